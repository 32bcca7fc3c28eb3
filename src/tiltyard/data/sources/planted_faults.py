"""Source `planted_faults`: the rows of a file, some of which are spoiled; a column says how.

Anomalies of real tables are rare, and hardly ever labelled. Here rows are real, and faults are of kinds that records
have: columns that were exchanged, another unit, a value of another row.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard import files
from tiltyard.data import table_reader
from tiltyard.data.sources._location import FileLocation
from tiltyard.data.sources.base import Source
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import SourceError
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

NO_FAULT = "none"


class Fault(Settings):
    """A way to spoil a row."""

    swap: tuple[str, str] | None = Field(None, strict=False, description="Two columns that exchange their values.")
    scale: str | None = Field(None, description="A column of numbers in another unit.")
    by: float | None = Field(None, gt=0, description="What the column of `scale` is multiplied by.")
    mix: str | None = Field(None, description="A column that gets the value of another row, which differs.")

    @model_validator(mode="after")
    def _one(self) -> Fault:
        given = [name for name in ("swap", "scale", "mix") if getattr(self, name)]
        if len(given) != 1 or bool(self.scale) != bool(self.by):
            raise ValueError(f"expected one of swap, scale with by, and mix; received {' and '.join(given) or 'none'}")
        return self

    @property
    def name(self) -> str:
        """The fault in the column of labels."""
        if self.swap:
            return f"{self.swap[0]} and {self.swap[1]} swapped"
        return f"{self.scale} times {self.by:g}" if self.scale else f"{self.mix} of another row"

    @property
    def columns(self) -> list[str]:
        """The columns that it changes."""
        return [*(self.swap or ()), *filter(None, (self.scale, self.mix))]


class PlantedFaults(FileLocation, Source):
    """A table with another column, which says how a row was spoiled, or `none`."""

    kind: Literal["planted_faults"]
    read: Dialect = Field(default_factory=Dialect, description="The dialect of the file, if it should not be guessed.")
    faults: list[Fault] = Field(min_length=1, description="The ways to spoil a row; each spoiled row gets one.")
    label: str = Field("fault", min_length=1, description="The column that is added.")
    share: float = Field(0.05, gt=0, lt=0.5, description="Share of the rows that are spoiled.")
    seed: int = 0

    @property
    def dialect(self) -> Dialect:
        """The usual dialect, in which the table is written."""
        return Dialect()

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.csv."""
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary) / f"table{''.join(Path(self.path).suffixes)}"
            self.copy_to(copy, workspace)
            self.verify(copy)
            table = table_reader.survey(copy, self.read)
            named = [name for fault in self.faults for name in fault.columns]
            table_reader.require_columns(copy, named, table.columns)
            frame = table_reader.open_table(copy, self.read).to_frame()
        if self.label in frame:
            raise SourceError(f"source.label: expected a name that no column has; received {self.label}")
        files.write_text(folder / "table.csv", self._spoiled(frame).to_csv(index=False, lineterminator="\n"))

    def _spoiled(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the table with faults in some rows."""
        rng, labels = np.random.default_rng(self.seed), np.full(len(frame), NO_FAULT, dtype=object)
        count, original = round(self.share * len(frame) / len(self.faults)), frame
        for fault in self.faults:
            untouched = np.flatnonzero((labels == NO_FAULT) & _changes(original, fault))
            chosen = np.sort(rng.permutation(untouched)[:count])
            frame = frame.assign(**_changed(frame, original, fault, chosen, rng))
            labels[chosen] = fault.name
        return frame.assign(**{self.label: labels})


def _changes(frame: pd.DataFrame, fault: Fault) -> np.ndarray:
    """Return which rows a fault changes: not the 0 in another unit, nor equal values that are exchanged."""
    first, *other = (frame[name].to_numpy() for name in fault.columns)
    if fault.scale and first.dtype.kind not in "if":
        raise SourceError(f"source.faults: scale: expected a column of numbers; received {fault.scale}")
    changes: np.ndarray = first != other[0] if other else (first != 0) | (fault.scale is None)
    return changes


def _changed(
    frame: pd.DataFrame, original: pd.DataFrame, fault: Fault, rows: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the columns that a fault changes, changed in some rows."""
    before = {name: original[name].to_numpy() for name in fault.columns}
    after = {name: frame[name].to_numpy(dtype=object, copy=True) for name in fault.columns}
    if fault.swap:
        first, second = fault.swap
        after[first][rows], after[second][rows] = before[second][rows], before[first][rows]
    elif fault.scale:
        after[fault.scale][rows] = np.round(before[fault.scale][rows] * (fault.by or 1), 6)
    else:
        ((name, values),) = before.items()
        for row in rows:
            others = values[rng.integers(0, len(values), 100)]
            after[name][row] = next((value for value in others if value != values[row]), values[row])
    return after
