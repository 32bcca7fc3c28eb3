"""The type of a form: how raw files become a table of facts to validate, and rows to learn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard import plugins
from tiltyard.arrays import Array, Rows, empty
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.errors import DataError, RequestError, shown
from tiltyard.expectation import Expectation, among, between, present, row_count
from tiltyard.modeling.columns.base import distinct
from tiltyard.modeling.columns.number import LARGEST

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RawTable:
    """The table that expectations look at, before it is read: its columns, and how to get some of them."""

    columns: list[str]
    repairs: list[str]  # what was read otherwise than it stands in the file
    parts: Callable[[Sequence[str]], Iterator[pd.DataFrame]]  # rows are numbered through, and memory is bounded


class Modality(ABC):
    """How one form of raw data is read; plug-ins in forms/ say what each means."""

    file: ClassVar[str]  # the one raw file; a table may have any suffix that can be read

    @property
    def stems(self) -> tuple[str, ...]:
        """What the raw file may be called, up to its first point."""
        return (self.file.partition(".")[0],)

    @abstractmethod
    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """Return the table that expectations look at; what cannot be read shows up in it and is no error here."""

    @abstractmethod
    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """Return parsed rows and their truth; raise a DataError for what cannot be learned from."""

    def look(self, task: Task, folder: Path) -> RawTable:
        """Return the facts so that they can be read in parts; in one, where a form knows no better."""
        frame = self.facts(task, folder)
        return RawTable([*frame.columns], frame.attrs.get("repairs", []), lambda names: iter([frame[[*names]]]))

    def parts(self, task: Task, folder: Path) -> Iterator[tuple[Rows, Array]]:
        """Yield parsed rows and their truth in parts; in one, where a form knows no better."""
        yield self.rows(task, folder)

    def notes(self, folder: Path) -> list[str]:
        """Return the note that the source left about the raw data, for whoever reads figures."""
        return []

    def cells(self, task: Task, folder: Path, name: str) -> pd.Series[Any]:
        """Return a raw column as it stands, also one that is no feature; only tables have such."""
        raise NotImplementedError

    def reach(self, task: Task) -> int:
        """Return over how many rows the values of one row are spread: neighbours that near share values."""
        return 0

    def implied(self, task: Task) -> list[Expectation]:
        """Return the expectations that the task's rows, columns and target imply."""
        columns = [e for name, column in task.columns.items() for e in column.expectations(name)]
        return [row_count(task.rows), *columns, *self._of_target(task)]

    def _of_target(self, task: Task) -> list[Expectation]:
        name, bounds = task.target.column, task.target.bounds
        expected = [present(name)] if name not in task.columns else []
        expected += [between(name, bounds)] if bounds else []
        return expected + ([among(name, task.target.labels)] if task.target.labels else [])

    def open(self, folder: Path) -> Path:
        """Return the raw file, or say that it is missing, or not the only one."""
        found = sorted(path for path in folder.glob("*.*") if path.name.partition(".")[0] in self.stems)
        if not found:
            raise DataError(
                f"no raw data: expected {folder.name}/{self.file}", hint=f"get it: tiltyard fetch {folder.name}"
            )
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DataError(f"expected one raw file in {folder.name}; received {names}", hint="remove all but one")
        return found[0]


def reader(task: Task) -> Callable[[Path], pd.DataFrame]:
    """Return what reads a folder of raw data to compare versions: a table as it stands, or a row of facts a picture."""
    form: Modality = plugins.load("modalities", task.form)()
    if task.form == "image":
        return lambda folder: form.facts(task, folder)
    return lambda folder: table_reader.read(form.open(folder), task.source.dialect).frame


def parse_target(task: Task, values: Sequence[object]) -> Array:
    """Return the truth as numbers: the value itself, or the label's place among the classes; or as texts."""
    if task.kind.targets == "text":
        return _texts(task, values)
    if not task.target.labels:
        numbers = _numbers(task, values)
        return numbers if task.target.threshold is None else (numbers >= task.target.threshold).astype(np.int64)
    places = {label: place for place, label in enumerate(task.classes)}
    strange = sorted({str(value) for value in values} - places.keys())
    if strange:
        expected = ", ".join(task.classes)
        raise DataError(f"target.classes: expected {expected}; the data also holds {', '.join(strange[:10])}")
    return np.array([places[str(value)] for value in values], dtype=np.int64)


def _texts(task: Task, values: Sequence[object]) -> Array:
    """Return answers as they are spelled, without blanks around; refuse what has none, or is too long."""
    most = task.target.length or 0
    texts = ["" if empty(value) else str(value).strip() for value in values]
    for row, text in enumerate(texts):
        steps = len(text.split()) if task.target.by == "words" else len(text)
        if not 1 <= steps <= most:
            name, received = task.target.column, f"{steps} {task.target.by}: {shown(text)}" if text else "none"
            raise DataError(f"target.length: {name}: expected 1 to {most} {task.target.by}; row {row} holds {received}")
    return np.array(texts, dtype=np.str_)


def _numbers(task: Task, values: Sequence[object] | Array) -> Array:
    name = task.target.column
    try:
        numbers = np.array(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"target {name}: expected numbers: {error}") from None
    good = np.abs(numbers) <= LARGEST  # NaN is not
    if not good.all():
        first = int(np.argmin(good))
        expected = f"a number of at most {LARGEST:g}, either sign," if np.isfinite(numbers[first]) else "a number"
        raise DataError(f"target {name}: expected {expected} in every row; row {first} holds {numbers[first]:g}")
    if task.target.log and (numbers <= -1).any():
        raise DataError(f"target.log: expected numbers above -1; received {numbers.min():g} in {name}")
    return numbers


def truth_of_cells(task: Task, cells: pd.Series) -> Array:
    """Return the truth of a whole column of a file."""
    if task.kind.targets == "text":
        return parse_target(task, cells.tolist())
    if task.classes and (found := distinct(cells)):
        places, values = found
        return parse_target(task, values)[places]
    if not task.classes and cells.dtype.kind in "if":
        return _numbers(task, cells.to_numpy(np.float64))
    return parse_target(task, cells.tolist())


def parse(task: Task, name: str, cells: pd.Series) -> Array:
    """Parse cells of a file by the code that parses requests, so that both always agree; rows go by the index."""
    try:
        return task.columns[name].parse_cells(cells, name)
    except RequestError as error:
        place, _, rest = error.field.removeprefix("instances[").partition("]")
        raise DataError(f"row [{cells.index[int(place)]}]{rest}: {error.message}") from None
