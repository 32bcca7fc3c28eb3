"""Prose: one long text, cut into consecutive windows; the truth is the same window shifted by one character."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.errors import DataError
from tiltyard.modeling.columns.prose import Prose as ProseColumn
from tiltyard.modeling.columns.prose import clean
from tiltyard.preparation.modalities.base import Modality

if TYPE_CHECKING:
    import pandas as pd


class Prose(Modality):
    """prose.txt."""

    file: ClassVar = "prose.txt"

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """Return one row for each line: the line and its number of characters."""
        import pandas as pd

        lines = self._text(folder).split("\n")
        return pd.DataFrame({task.target.column: lines, "characters": [len(line) for line in lines]})

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """Return consecutive windows; each character but the first is predicted once."""
        ((name, column),) = task.columns.items()
        assert isinstance(column, ProseColumn)  # noqa: S101 - for the type checker: a task's modality is its column's
        text, length = self._text(folder), column.length
        starts = range(0, len(text) - length, length)
        if not starts:
            raise DataError(f"expected more than {length} characters, the window; received {len(text)}")
        truth = np.array([text[start + 1 : start + 1 + length] for start in starts], dtype=f"U{length}")
        return {name: column.windows([text[start : start + length] for start in starts])}, truth

    def overlap(self, task: Task) -> int:
        """Return 1: the truth of a window ends with the first character of the next one. Lines may repeat."""
        return 1

    def _text(self, folder: Path) -> str:
        path = self.raw_file(folder)
        try:
            return clean(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name}: expected a text in UTF-8: {error}") from None
