"""Base class of modalities: read raw files as a table for validation, and as rows for training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard import plugins
from tiltyard.arrays import Array, Cells, ParsedRows, Rows, is_missing
from tiltyard.config.task import Task
from tiltyard.data.joins import joined_table
from tiltyard.data.joins.statistics import JoinStatistics, sentences
from tiltyard.data.table_reader import TableFile
from tiltyard.errors import DataError, RequestError, format_value
from tiltyard.modeling.columns._label_cells import labels_of, multi_hot
from tiltyard.modeling.columns.base import distinct
from tiltyard.modeling.columns.number import LARGEST, arrow_numbers
from tiltyard.preparation.modalities import _fact_parts
from tiltyard.preparation.modalities._fact_parts import FactPart
from tiltyard.preparation.modalities._normal_labels import parse_labels

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class RawTable:
    """The table that expectations check, before it is read: its columns, and a reader of chunks."""

    columns: list[str]
    repairs: list[str]  # repairs made while reading, in sentences
    chunks: Callable[[Sequence[str]], Iterator[pd.DataFrame]]  # rows are numbered across chunks; memory is bounded
    summarized: Callable[[Sequence[str]], Iterator[FactPart]] | None = (
        None  # the same chunks, before they are converted
    )

    def parts(self, names: Sequence[str]) -> Iterator[FactPart]:
        """Yield the rows in chunks, with summaries of their columns where the modality has them."""
        return self.summarized(names) if self.summarized else map(_fact_parts.of_frame, self.chunks(names))


class Modality(ABC):
    """Base class of modalities: how raw data are read; each plug-in in this folder implements one."""

    drops_rows: ClassVar[bool] = False  # whether rows without a target are left out
    file: ClassVar[str]  # the raw file; a table may have any readable suffix
    times: Array | None = None  # of each row, if several rows have one time step; set by rows()
    strict_joins: bool = True  # whether faults of joins are refused; else they are only counted
    joined: Sequence[JoinStatistics] = ()  # what each join found; set by open_raw()
    steps: Array | None = (
        None  # of each row of several series: how far the truth is from the value before; set likewise
    )

    @property
    def stems(self) -> tuple[str, ...]:
        """The names that the raw file may have, up to the first dot."""
        return (self.file.partition(".")[0],)

    @abstractmethod
    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """Return the table that expectations check; unreadable values appear in it and raise no error."""

    @abstractmethod
    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """Return parsed rows and their truth; raise a DataError for values that cannot be learned from."""

    def raw_table(self, task: Task, folder: Path) -> RawTable:
        """Return the facts as a table that is read in chunks; by default one."""
        frame = self.facts(task, folder)
        return RawTable([*frame.columns], frame.attrs.get("repairs", []), lambda names: iter([frame[[*names]]]))

    def chunks(self, task: Task, folder: Path) -> Iterator[tuple[ParsedRows, Array]]:
        """Yield parsed rows and their truth in chunks; by default one."""
        rows, truth = self.rows(task, folder)
        yield {**rows}, truth

    def notes(self, folder: Path) -> list[str]:
        """Return the source's notes about the raw data, for readers of the report; a stand-in is not among them."""
        return sentences(self.joined)

    def raw_column(self, task: Task, folder: Path, name: str) -> pd.Series[Any]:
        """Return a raw column, also one that is not a feature; only tables have them."""
        raise NotImplementedError

    def overlap(self, task: Task) -> int:
        """Return how many neighbouring rows share values with a row."""
        return 0

    def open_raw(self, task: Task, folder: Path, texts: Iterable[str] = ()) -> TableFile:
        """Open the raw table with the joined ones."""
        joins = joined_table.JoinedFiles(task.joins, folder, self.strict_joins)
        table = joined_table.open_table(self.raw_file(folder), task.source.dialect, joins, texts)
        self.joined = joined_table.counted(table)
        return table

    def read_raw(
        self, task: Task, folder: Path, columns: Iterable[str] | None = None, texts: Iterable[str] = ()
    ) -> pd.DataFrame:
        """Read the raw table with the joined ones, or some columns, as a whole."""
        table = self.open_raw(task, folder, texts)
        frame = table.to_frame(columns)
        frame.attrs["repairs"] = table.layout.repairs  # validation reports them, and receives the frame alone
        return frame

    def raw_file(self, folder: Path) -> Path:
        """Return the raw file; raise a DataError if it is missing or not the only one."""
        paths = sorted(path for path in folder.glob("*.*") if path.name.partition(".")[0] in self.stems)
        if not paths:
            raise DataError(
                f"no raw data: expected {folder.name}/{self.file}", hint=f"fetch it: tiltyard fetch {folder.name}"
            )
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise DataError(f"expected one raw file in {folder.name}; received {names}", hint="remove all but one")
        return paths[0]


def version_reader(task: Task) -> Callable[[Path], pd.DataFrame]:
    """Return a function that reads a folder of raw data for a comparison of versions."""
    modality: Modality = plugins.load("modalities", task.modality)()
    if task.modality == "image":
        return lambda folder: modality.facts(task, folder)
    modality.strict_joins = False

    def read(folder: Path) -> pd.DataFrame:
        present = {name: join for name, join in task.joins.items() if (folder / joined_table.FOLDER / name).is_dir()}
        return modality.open_raw(task.model_copy(update={"joins": present}), folder).to_frame()

    return read


def single_targets(task: Task) -> list[Task]:
    """Return the task with each of its targets alone, whose columns are parsed one by one; none if it has no target."""
    if task.target.columns:
        return [task.model_copy(update={"target": part}) for part in task.target.parts]
    return [task] if task.target.column else []


def no_truth(rows: int) -> Array:
    """Return the truth of rows without a target: 0, the error of a perfect reconstruction."""
    return np.zeros(rows)


def parse_target(task: Task, values: Sequence[object]) -> Array:
    """Return the truth: numbers, label indices, a flag for each label, or texts."""
    if not task.target.names or (task.problem_type.targets == "row" and not task.target.labels):
        return no_truth(len(values))
    if task.problem_type.targets == "anomaly":
        return parse_labels(task.target.normal or (), values)
    if task.problem_type.targets == "text":
        return _parse_texts(task, values)
    if task.problem == "multilabel":
        return _parse_label_sets(task, values)
    if not task.target.labels:
        numbers = _parse_numbers(task, values)
        return numbers if task.target.threshold is None else (numbers >= task.target.threshold).astype(np.int64)
    label_indices = {label: place for place, label in enumerate(task.target.labels)}
    _refuse_unknown(task, {str(value) for value in values})
    return np.array([label_indices[str(value)] for value in values], dtype=np.int64)


def _parse_label_sets(task: Task, values: Sequence[object]) -> Array:
    """Return for each cell and label whether the cell holds it; refuse labels that the task does not name."""
    sets = [labels_of(value, task.target.separator) for value in values]
    _refuse_unknown(task, {label for labels in sets for label in labels})
    return multi_hot(sets, task.labels)


def one_label(task: Task, cells: pd.Series[Any]) -> pd.Series[Any]:
    """Return one label of each cell: the first that the task does not name, if there is any; missing if it has none."""
    known = {*task.labels}

    def first(cell: object) -> str | None:
        labels = sorted(labels_of(cell, task.target.separator), key=known.__contains__)
        return labels[0] if labels else None

    return cells.map({cell: first(cell) for cell in cells.unique()}).astype(object)


def _refuse_unknown(task: Task, found: set[str]) -> None:
    if unknown := sorted(found - {*task.target.labels}):
        expected = ", ".join(task.target.labels)
        raise DataError(f"target.classes: expected {expected}; the data also holds {', '.join(unknown[:10])}")


def _parse_texts(task: Task, values: Sequence[object]) -> Array:
    """Return target texts without surrounding blanks; refuse empty ones and those that are too long."""
    max_steps = task.target.length or 0
    texts = ["" if is_missing(value) else str(value).strip() for value in values]
    for row, text in enumerate(texts):
        length = len(text.split()) if task.target.by == "words" else len(text)
        if not 1 <= length <= max_steps:
            name, received = task.target.column, f"{length} {task.target.by}: {format_value(text)}" if text else "none"
            raise DataError(
                f"target.length: {name}: expected 1 to {max_steps} {task.target.by}; row {row} holds {received}"
            )
    return np.array(texts, dtype=np.str_)


def _parse_numbers(task: Task, values: Sequence[object] | Array) -> Array:
    name = task.target.column
    if task.target.written and not isinstance(values, np.ndarray):
        values = task.target.number.read(values)
    try:
        numbers = np.array(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"target {name}: expected numbers: {error}") from None
    valid = np.abs(numbers) <= LARGEST  # false for NaN
    if not valid.all():
        first = int(np.argmin(valid))
        expected = f"a number of at most {LARGEST:g}, either sign," if np.isfinite(numbers[first]) else "a number"
        raise DataError(f"target {name}: expected {expected} in every row; row {first} holds {numbers[first]:g}")
    if task.target.log and (numbers <= -1).any():
        raise DataError(f"target.log: expected numbers above -1; received {numbers.min():g} in {name}")
    return numbers


def parse_target_column(task: Task, cells: pd.Series) -> Array:
    """Return the truth of a whole column of a file."""
    if task.problem_type.targets == "text":
        return parse_target(task, cells.tolist())
    is_label = bool(task.labels) or task.problem_type.targets == "anomaly"
    if is_label and (coded := distinct(cells)):
        places, values = coded
        return parse_target(task, values)[places]
    if task.target.written and not task.labels:
        return _parse_numbers(task, _parse_written(task, cells))
    if not is_label and cells.dtype.kind in "if":
        return _parse_numbers(task, cells.to_numpy(np.float64))
    return parse_target(task, cells.tolist())


def _parse_written(task: Task, cells: pd.Series) -> Array:
    try:
        return task.target.number.parse_cells(cells, task.target.column)
    except RequestError as error:
        place, _, name = error.field.removeprefix("instances[").partition("].")
        raise DataError(f"target {name}: row {cells.index[int(place)]}: {error.message}") from None


def parse_arrow_target(task: Task, cells: pa.Array) -> Array | None:
    """Return the truth of a whole column; None if `parse_target_column` has to parse it."""
    from pyarrow import types

    if cells.null_count or task.problem_type.targets in ("text", "anomaly"):
        return None
    if task.labels and types.is_string(cells.type):
        coded = cells.dictionary_encode()
        truth: Array = parse_target(task, coded.dictionary.to_pylist()).take(coded.indices.to_numpy(), axis=0)
        return truth
    numbers = None if task.labels or task.target.written else arrow_numbers(cells)
    return None if numbers is None else _parse_numbers(task, numbers)


def parse_arrow_column(task: Task, name: str, cells: pa.Array) -> Cells | None:
    """Parse a whole column; None if `parse_column` has to parse it, or has to report what is wrong with it."""
    return task.columns[name].parse_arrow(cells, name)


def parse_column(task: Task, name: str, cells: pd.Series) -> Array:
    """Parse cells of a file with the parser of requests, so that both agree; errors name rows by the index."""
    try:
        return task.columns[name].parse_cells(cells, name)
    except RequestError as error:
        place, _, suffix = error.field.removeprefix("instances[").partition("]")
        raise DataError(f"row [{cells.index[int(place)]}]{suffix}: {error.message}") from None
