"""The data that findings examine: rows or a sample, their split, and the data to compare them with."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tiltyard import plugins
from tiltyard.arrays import Array, Rows, is_missing, take_rows
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.data.joins import joined_table
from tiltyard.data.joins.statistics import JoinStatistics
from tiltyard.errors import DataError
from tiltyard.modeling.columns._label_cells import labels_of
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.number import Number
from tiltyard.preparation.modalities._normal_labels import ANOMALY
from tiltyard.preparation.modalities.base import Modality, parse_target, single_targets
from tiltyard.preparation.normal_rows import split_task
from tiltyard.preparation.row_hashes import row_keys
from tiltyard.preparation.split import Parts, split_inputs
from tiltyard.validation.findings._observed_column import ObservedColumn, observe
from tiltyard.validation.findings._sample import draw
from tiltyard.validation.findings._whole_file import CellCounts, RefusedCells

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """Two samples of one column that should have similar distributions."""

    column: str
    old: Array
    new: Array
    names: tuple[str, str]  # of the two samples


@dataclass(frozen=True)
class PreviousData:
    """What is recorded about the previous version of the data."""

    rows: int | None = None
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class CheckedData:
    """The rows of a task, or new data, which need no target and have the task's own data as their reference."""

    task: Task
    frame: pd.DataFrame  # the sample; its index counts the rows of the file
    rows: int  # of the file
    repairs: list[str]
    hashes: tuple[Array, Array] | None  # of every row of the file: of its features, and of features and target
    columns: dict[str, ObservedColumn] = field(default_factory=dict)  # those present in the data
    counts: dict[str, CellCounts] = field(default_factory=dict)  # of every row of the file, if the frame is a sample
    truth: Array | None = (
        None  # of the sample: a label as text, '' if missing; or numbers; else None, also for several targets
    )
    parts: Parts | None = None  # positions in the sample; None if the sample cannot be split
    split_error: str = ""  # the error message of the split, if it fails
    reference: CheckedData | None = None
    previous: PreviousData = field(default_factory=PreviousData)
    joins: tuple[JoinStatistics, ...] = ()  # what each join of the task finds

    @property
    def parsed(self) -> Rows:
        """The parsed values of all columns."""
        return {name: column.parsed for name, column in self.columns.items()}

    @property
    def train(self) -> Array:
        """The positions of the training rows, or of all rows if they cannot be split."""
        return self.parts["train"] if self.parts else np.arange(len(self.frame))

    @property
    def readable(self) -> Array:
        """The positions of the rows that can be used for training; none if a column is missing."""
        usable = self._has_target
        if usable is None or self.columns.keys() != {*_observed_names(self.task)}:
            return np.empty(0, dtype=np.int64)
        for column in self.columns.values():
            usable[[refusal.place for refusal in column.refused]] = False
        return np.flatnonzero(usable)

    @property
    def _has_target(self) -> Array | None:
        """Whether each row has a target that can be learned; None if the data have none."""
        if self.label_sets is not None:
            known = {*self.task.labels}
            return np.array([known.issuperset(labels) for labels in self.label_sets], dtype=bool)
        if self.task.problem_type.targets in ("objects", "mask") and self.task.target.column in self.frame:
            cells = self.frame[self.task.target.column]
            return np.asarray(cells.isin(self.task.labels) | cells.isna())
        if not self.task.target.names or self.task.problem == "anomaly":
            return np.ones(len(self.frame), dtype=bool)
        if self.task.target.columns:
            truths = [one.truth for one in self.by_target if one.truth is not None]
            complete = len(truths) == len(self.task.target.columns)
            return np.asarray(np.isfinite(truths).all(axis=0)) if complete else None
        if self.truth is None:
            return None
        labels = self.task.target.classes if self.task.problem_type.targets == "row" else self.task.classes
        return np.isin(self.truth, labels) if labels else np.isfinite(self.truth)

    @cached_property
    def by_target(self) -> list[CheckedData]:
        """The data with each of several targets alone; else only themselves."""
        if not self.task.target.columns:
            return [self]
        return [replace(self, task=single, truth=_truth(single, self.frame)) for single in single_targets(self.task)]

    @cached_property
    def label_sets(self) -> list[list[str]] | None:
        """The labels of each row, if it may have several; None for other targets."""
        target = self.task.target
        if self.task.problem != "multilabel" or target.column not in self.frame:
            return None
        return [labels_of(cell, target.separator) for cell in self.frame[target.column].tolist()]

    def cell_counts(self, name: str) -> CellCounts:
        """Return the counts of missing and refused cells of a column: of all rows of the file."""
        if name in self.counts:
            return self.counts[name]
        column, counts = self.columns[name], CellCounts()
        missing = column.missing
        counts.rows, counts.missing = len(missing), int(missing.sum())
        counts.first_missing = self.row(int(missing.argmax())) if counts.missing else -1
        for refusal in column.refused:
            refused_cells = RefusedCells(1, self.row(refusal.place), refusal.text)
            counts.add(CellCounts(refused={refusal.code: refused_cells}))
        return counts

    def row(self, place: int) -> int:
        """Return the number of a row in the file, from 0 as in validation."""
        return int(self.frame.index[place])

    def row_numbers(self, places: Array) -> list[int]:
        """Return the numbers of several rows in the file."""
        return [int(row) for row in self.frame.index[places]]


def of_task(task: Task, folder: Path) -> CheckedData:
    """Return the raw data of a task."""
    modality = plugins.load("modalities", task.modality)()
    modality.strict_joins = False
    return _split(_read_sample(task, modality, folder), modality, folder)


def of_file(task: Task, path: Path, reference: CheckedData, raw: Path) -> CheckedData:
    """Return new data from a file, joined with the tables of the raw data if it lacks the joined columns."""
    modality = plugins.load("modalities", task.modality)()
    modality.strict_joins = False
    if not path.is_file():
        raise DataError(f"no file {path}", hint=f"give an existing file: tiltyard check {task.name} --against new.csv")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        suffixes = "".join(path.suffixes[-2:])
        name = modality.file if task.modality in ("image", "series", "prose") else f"table{suffixes}"
        (folder / name).symlink_to(path.resolve())
        if task.joins and task.columns.keys() <= table_reader.survey(folder / name, task.source.dialect).columns.keys():
            task = task.model_copy(update={"joins": {}})
        elif task.joins:
            (folder / joined_table.FOLDER).symlink_to((raw / joined_table.FOLDER).resolve())
        data = _read_sample(task, modality, folder)
    return replace(data, reference=reference)


def _read_sample(task: Task, modality: Modality, folder: Path) -> CheckedData:
    sample = draw(task, modality, folder)
    frame = sample.frame
    has_features = task.modality not in ("image", "prose")  # whose frames hold facts about images or lines
    names = [name for name in _observed_names(task) if has_features and name in frame]
    is_series = task.modality == "series"
    columns = {name: _observe(task.columns[name], name, frame, is_series=is_series) for name in names}
    return CheckedData(
        *(task, frame, sample.rows, sample.repairs, sample.hashes, columns, sample.counts, _truth(task, frame)),
        joins=tuple(modality.joined),
    )


def _observed_names(task: Task) -> list[str]:
    """Return the columns that findings parse: images beside others are decoded by a finding of their own."""
    tabular = task.is_tabular  # computed from all columns, so not once for each
    return [name for name, column in task.columns.items() if not tabular or column.branch != "image"]


def _observe(column: Column, name: str, frame: pd.DataFrame, *, is_series: bool) -> ObservedColumn:
    """Parse a column; for a series, each value on its own."""
    if is_series:
        column = Number(bounds=getattr(column, "bounds", None))
    return observe(column, frame[name].tolist(), name)


def _truth(task: Task, frame: pd.DataFrame) -> Array | None:
    import pandas as pd

    if (
        len(task.target.names) != 1
        or task.target.column not in frame
        or task.target.rise
        or task.problem_type.targets in ("text", "labels", "objects", "mask", "anomaly")
    ):
        return None
    cells = frame[task.target.column]
    if task.target.labels:
        return np.array(["" if is_missing(cell) else str(cell) for cell in cells.tolist()], dtype=np.str_)
    if task.target.written:
        cells = task.target.number.facts_of_cells(cells)
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    if task.target.threshold is None:
        return numbers
    low, high = task.classes
    return np.where(np.isnan(numbers), "", np.where(numbers >= task.target.threshold, high, low))


def _split(subject: CheckedData, modality: Modality, folder: Path) -> CheckedData:
    """Split the readable rows as `prepare` does; for a sample, approximately."""
    try:
        if subject.task.modality == "series":
            rows, truth = modality.rows(subject.task, folder)
            places = _window_targets(subject, len(truth))
        else:
            places = subject.readable
            rows, truth = _rows(subject, places)
    except DataError:
        return subject
    if not len(places):
        return subject
    try:
        key = row_keys(rows | _pictures(subject, places), subject.task.split.seed)
        inputs = split_inputs(subject.task, key, lambda name: subject.frame[name].iloc[places])
        parts = split_task(subject.task, inputs, truth, modality.overlap(subject.task))
    except DataError as error:
        return replace(subject, split_error=error.message)
    if subject.task.problem == "anomaly":  # anomalies differ from training rows, as they should
        parts["test"] = parts["test"][truth[parts["test"]] != ANOMALY]
    return replace(subject, parts={name: places[part] for name, part in parts.items()})


def _pictures(subject: CheckedData, places: Array) -> Rows:
    """Return a hash of each image beside other columns, without which rows with other images would be the same."""
    import pandas as pd

    task = subject.task
    names = [name for name in (task.columns if task.is_tabular else ()) if task.columns[name].branch == "image"]
    cells = {name: subject.frame[name].iloc[places] for name in names}
    return {name: pd.util.hash_pandas_object(files, index=False).to_numpy() for name, files in cells.items()}


def _window_targets(subject: CheckedData, windows: int) -> Array:
    """Return the position of the value after each window; empty for several series."""
    column = subject.task.columns.get(subject.task.target.column) or next(iter(subject.task.columns.values()))
    places = np.arange(subject.rows)[-windows:]
    return np.empty(0, dtype=np.int64) if getattr(column, "group", None) else places


def _rows(subject: CheckedData, places: Array) -> tuple[Rows, Array]:
    rows = take_rows(subject.parsed, places)
    target = subject.task.target
    if subject.task.problem == "anomaly" and target.column in subject.frame:
        return rows, parse_target(subject.task, subject.frame[target.column].iloc[places].tolist())
    truth = np.zeros(len(places)) if subject.truth is None else subject.truth[places]
    return rows, np.unique(truth, return_inverse=True)[1] if truth.dtype.kind == "U" else truth
