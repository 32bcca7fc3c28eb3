"""Schema of task files: the whole definition of one model, validated strictly from tasks/NAME.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from operator import not_
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.config import column_checks, complete_split, reconstruction_checks
from tiltyard.config.gate_section import Gate
from tiltyard.config.sections import Check, Range, Serve, Split
from tiltyard.config.train_section import Train, incompatibility
from tiltyard.data.sources.base import Source
from tiltyard.errors import DataError, RequestError, format_value
from tiltyard.expectation import Expectation
from tiltyard.modeling.columns._cell import CellColumn
from tiltyard.modeling.columns._derived import Derived
from tiltyard.modeling.columns._label_cells import labels_of
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.base import Metric
from tiltyard.modeling.metrics.dependence import Dependence
from tiltyard.modeling.models.base import Model, Output
from tiltyard.modeling.problems.base import Problem, Target
from tiltyard.modeling.problems.multilabel import MAX_LABELS
from tiltyard.modeling.references.base import Subject
from tiltyard.settings import Settings

if TYPE_CHECKING:
    AnySource = Source
    AnyModel = Model
    AnyColumn = Column
    ProblemName = str
else:
    AnySource = plugins.union("sources", "kind")
    AnyModel = plugins.union("models", "family")
    AnyColumn = plugins.union("columns", "type")
    ProblemName = Literal[tuple(plugins.names("problems"))]


class Task(Settings):
    """A task file."""

    name: str = Field(pattern="^[a-z][a-z0-9_]{0,62}$", description="The name of the file; may be omitted.")
    title: str
    problem: ProblemName
    source: AnySource
    rows: tuple[int, int] = Field(strict=False, description="The minimum and the maximum number of rows.")
    columns: dict[str, AnyColumn] = Field(min_length=1)
    derived: dict[str, Derived] = Field(
        default_factory=dict,
        exclude_if=not_,
        description="Features that the model computes from number columns; a client does not send them.",
    )
    target: Target = Field(
        default_factory=lambda: Target(column=""),
        exclude_if=lambda target: not target.column,
        description="The column to predict; none for reconstruction.",
    )
    expect: list[Expectation] = Field(default_factory=list)
    split: Split
    model: AnyModel
    train: Train
    gate: Gate
    check: Check = Field(default_factory=Check)
    serve: Serve
    search: dict[str, Range] = Field(
        default_factory=dict, description="Search space by dotted key, such as train.learning_rate."
    )

    @property
    def modality(self) -> str:
        """The modality of its raw data: table, image, series, prose or text."""
        types = {column.type for column in self.columns.values()}
        return next((modality for modality in ("image", "series", "prose", "text") if modality in types), "table")

    @property
    def problem_type(self) -> Problem:
        """The problem plug-in."""
        problem: Problem = plugins.load("problems", self.problem)()
        return problem

    @property
    def evaluator(self) -> Evaluator:
        """The evaluator plug-in of its problem."""
        evaluator: Evaluator = plugins.load("evaluators", self.problem)()
        return evaluator.with_code(self.model.code_size) if self.model.code_size else evaluator

    @property
    def metric(self) -> Metric:
        """The metric of the gate."""
        return self.evaluator.metrics[self.gate.metric]

    @property
    def output(self) -> Output:
        """The activation of the output layer."""
        usual: Any = next(iter(self.problem_type.losses))
        return self.model.output or usual

    @property
    def loss(self) -> str:
        """The loss function."""
        return self.train.loss or self.problem_type.losses[self.output][0]

    @property
    def labels(self) -> list[str]:
        """The labels that rows have, each one or any number of them; else empty."""
        return self.target.classes or []

    @property
    def classes(self) -> list[str]:
        """The labels of a classification, where each row has exactly one; else empty."""
        return [] if self.problem == "multilabel" else self.labels

    def dependence(self, unit: Array | None, rows: int) -> Dependence | None:
        """Return how test rows depend on one another, by the split; `unit` is as `prepare` wrote it."""
        by_time = self.split.kind == "chronological"
        own_column = self.split.group or self.split.by or getattr(self.columns.get(self.target.column), "group", None)
        if unit is None and (by_time or self.split.group) and own_column:
            raise DataError(
                f"the test rows of {self.name} have no {'times' if by_time else 'groups'}: "
                "an earlier release made them",
                hint=f"make them again: tiltyard prepare {self.name}",
            )
        if unit is None and not by_time:
            return None
        overlap = self.target.horizon if self.modality == "series" else 1
        return Dependence(np.arange(rows) if unit is None else unit, by_time, overlap)

    def encoder(self) -> Encoder:
        """Return an unfitted encoder, which suffices to parse instances."""
        read = self.source.dialect.model_dump(mode="json", include={"delimiter", "decimal", "thousands", "na"})
        return Encoder(
            task=self.name,
            problem=self.problem_type,
            columns={name: self._with_na(column) for name, column in self.columns.items()},
            fitted={},
            target={},
            classes=self.labels,
            bare=self.modality != "table" and len(self.columns) == 1,
            max_instances=self.serve.max_instances,
            read={key: value for key, value in read.items() if value is not None},
            derived=self.derived,
        )

    def _with_na(self, column: Column) -> Column:
        """Return a column that knows the texts that mean a missing value in the whole file, for requests in JSON."""
        return column.with_na(self.source.dialect.na) if isinstance(column, CellColumn) else column

    def reference_subject(self, encoder: Encoder) -> Subject:
        """Return what references need to know of the task, beside its rows."""
        series, name = self.modality == "series" and not self.classes, self.target.column
        followed = series and name in self.columns and getattr(self.columns[name], "log", False) == self.target.log
        return Subject(
            self.modality,
            encoder,
            self.target.horizon,
            self.train.class_weights,
            [*self.columns].index(name) if followed else None,
        )

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        for error in self._errors():
            raise ValueError(error)
        return self

    def _errors(self) -> Iterator[str]:
        """Yield the errors that concern several sections; each names the key, the expected and the received value."""
        for check in (
            _columns,
            reconstruction_checks.find_error,
            _target,
            _forecast,
            _split,
            _family,
            _fit,
            _ngrams,
            _reference,
            _blend,
            _folds,
            _rows,
            _gate,
            _example,
        ):
            if text := check(self):
                yield text


def _columns(task: Task) -> str:
    if text := column_checks.derived_error(task.derived, task.columns, task.target):
        return text
    if task.modality == "series":
        return column_checks.series_error(task.columns, task.target)
    if task.modality != "table" and len(task.columns) > 1:
        return f"columns: expected the {task.modality} column alone; received {', '.join(task.columns)}"
    if task.modality != "prose" and task.target.column in task.columns:
        return f"columns.{task.target.column}: expected features only; this is the target"
    return ""


def _target(task: Task) -> str:
    has_labels = task.problem_type.targets in ("label", "labels")
    if has_labels != bool(task.labels):
        expected = "the list of labels" if has_labels else "none"
        return f"target.classes: expected {expected} for {task.problem}; received {task.target.classes}"
    if len(set(task.labels)) < len(task.labels):
        return f"target.classes: expected each label once; received {task.labels}"
    if text := _label_cells(task):
        return text
    if task.target.threshold is not None and len(task.classes) != 2:
        return f"target.threshold: expected two classes, below and above the threshold; received {task.target.classes}"
    if task.target.log and task.problem_type.targets != "number":
        return f"target.log: expected only for numbers; received true for {task.problem}"
    return _problem(task)


def _label_cells(task: Task) -> str:
    """Check that cells with several labels can be read."""
    separator = task.target.separator
    if task.problem != "multilabel":
        return f"target.separator: expected only for multilabel; received it for {task.problem}" if separator else ""
    if len(task.labels) > MAX_LABELS:
        return f"target.classes: expected at most {MAX_LABELS} labels; received {len(task.labels)}"
    if unreadable := [label for label in task.labels if labels_of(label, separator) != [label]]:
        wanted = "labels without blanks around them" + (f", and without '{separator}'" if separator else "")
        return f"target.classes: expected {wanted}; received {format_value(unreadable[0])}"
    return ""


def _problem(task: Task) -> str:
    if task.target.rise:
        return ""
    for problem, modality in (("forecasting", "series"), ("generation", "prose")):
        if (task.problem == problem) != (task.modality == modality):
            return f"problem: expected {problem} for {modality} and only then; received {task.problem}"
    if task.problem == "multilabel" and task.modality not in ("table", "text"):
        return f"problem: expected multilabel for a table or texts; received {task.modality} columns"
    if task.problem == "translation" and (task.modality != "text" or not task.target.length):
        return "problem: expected for translation a column of text, and target.length; received " + (
            f"{task.modality} columns" if task.modality != "text" else "no target.length"
        )
    if task.modality == "prose" and task.target.column not in task.columns:
        return f"target.column: expected {', '.join(task.columns)}, the text to continue; received {task.target.column}"
    return ""


def _forecast(task: Task) -> str:
    requested = {"horizon": task.target.horizon > 1, "interval": bool(task.target.interval), "rise": task.target.rise}
    for name, value in requested.items():
        if value and task.modality != "series":
            return f"target.{name}: expected only for a series; received {getattr(task.target, name)}"
    if task.target.rise and (task.problem != "classification" or len(task.classes) != 2):
        return f"target.rise: expected for classification with two classes; received {task.problem}, {task.classes}"
    if task.target.interval and task.problem != "forecasting":
        return f"target.interval: expected only for forecasting; received it for {task.problem}"
    return ""


def _no_classes(task: Task) -> str:
    return "a row may have several labels" if task.labels else "there are no classes"


def _split(task: Task) -> str:
    if task.split.kind == "stratified" and not task.classes:
        return f"split.kind: expected random or chronological, since {_no_classes(task)}; received stratified"
    if task.modality in ("series", "prose") and task.split.kind != "chronological":
        return f"split.kind: expected chronological for {task.modality}; received {task.split.kind}"
    if task.split.kind == "given" and task.modality != "image" and not task.split.by:
        return "split.by: expected the column that holds train, validation or test for each row; received none"
    if (task.split.by or task.split.group) and task.modality not in ("table", "text"):
        return f"split: expected by and group only for rows of a table; received them for {task.modality} columns"
    return complete_split.find_error(task.split, task.columns, task.rows, task.train.folds)


def _family(task: Task) -> str:
    if task.model.translates != (task.problem == "translation"):
        expected = "seq2seq" if task.problem == "translation" else "another than seq2seq"
        return f"model.family: expected {expected} for {task.problem}; received {task.model.family}"
    if task.model.steps != (task.problem == "generation"):
        ways = "rnn with whole: true, from one end and without attention, or transformer with causal: true, pool: none"
        return f"model: expected for prose, and only for it, {ways}"
    return ""


def _fit(task: Task) -> str:
    if task.modality not in task.model.modalities:
        expected = " or ".join(task.model.modalities)
        return f"model.family: {task.model.family} takes {expected}; received {task.modality} columns"
    channels = getattr(next(iter(task.columns.values())), "channels", 0)
    if text := incompatibility(task.train, task.modality, channels, task.classes, _no_classes(task)):
        return text
    if task.output not in task.problem_type.losses:
        return (
            f"model.output: expected {' or '.join(task.problem_type.losses)} for {task.problem}; received {task.output}"
        )
    if task.loss not in task.problem_type.losses[task.output]:
        allowed = " or ".join(task.problem_type.losses[task.output])
        return f"train.loss: expected {allowed} with a {task.output} output; received {task.loss}"
    if task.output == "sigmoid" and task.problem == "classification" and len(task.classes) != 2:
        return f"model.output: expected softmax for {len(task.classes)} classes; received sigmoid, which is for 2"
    return ""


def _ngrams(task: Task) -> str:
    """Check that n-grams are read by families that need no order of words, and only by them."""
    for name, column in task.columns.items() if task.modality == "text" else ():
        unit = getattr(column, "by", "")
        if task.model.reads_ngrams and unit != "ngrams":
            return f"columns.{name}.by: expected ngrams for the family {task.model.family}; received {unit}"
        if unit == "ngrams" and not task.model.reads_ngrams and task.model.family != "bow":
            return (
                f"columns.{name}.by: expected words or characters for the family {task.model.family}; received ngrams"
            )
    return ""


def _reference(task: Task) -> str:
    """Check that nothing is asked of a family without a network that only training by epochs can do."""
    if task.model.trained_by_epochs:
        return ""
    options = {"folds": task.train.folds, "augment": task.train.augment, "then": task.train.then}
    options |= {"members": task.train.members > 1, "restarts": task.train.restarts}
    for key, value in options.items():
        if value:
            return (
                f"train.{key}: expected none for the family {task.model.family}, which Keras does not train; remove it"
            )
    return ""


def _blend(task: Task) -> str:
    """Check that there are references which the network can be averaged with, in one graph."""
    if not task.model.blend_references:
        return ""
    reads = getattr(next(iter(task.columns.values())), "by", "") if task.modality == "text" else "ngrams"
    reasons = {
        f"the family {task.model.family}, which Keras does not train": not task.model.trained_by_epochs,
        f"{task.problem}, since no reference predicts texts": task.problem_type.targets == "text",
        f"texts that are read by {reads} (references read by: ngrams)": reads != "ngrams",
    }
    why = next((text for text, holds in reasons.items() if holds), "")
    return f"model.blend_references: expected false for {why}; received true" if why else ""


def _folds(task: Task) -> str:
    if task.problem_type.targets == "text":
        for name, value in (("folds", task.train.folds), ("members", task.train.members > 1)):
            if value:
                return f"train.{name}: expected only for numbers and labels; received it for {task.problem}"
    times = task.split.by if task.split.kind == "chronological" else None
    if task.train.folds and (named := times or task.split.group):
        return (
            f"train.folds: expected a split that uses no other column than those of the task; received one by {named}"
        )
    return ""


def _rows(task: Task) -> str:
    low, high = task.rows
    if not 1 <= low <= high:
        return f"rows: expected the minimum, then the maximum, both at least 1; received {list(task.rows)}"
    train = int(min(low, task.split.rows or low) * task.split.training_share)
    if task.train.batch_size > train:
        return (
            f"train.batch_size: expected 1 to {train}, the training rows when there are {low}; "
            f"received {task.train.batch_size}"
        )
    return ""


def _gate(task: Task) -> str:
    for key, named in (("metric", [task.gate.metric]), ("require", [*task.gate.require])):
        for name in named:
            if name not in task.evaluator.metrics:
                metric_names = ", ".join(task.evaluator.metrics)
                return f"gate.{key}: expected one of {metric_names} for {task.problem}; received {name}"
    return task.gate.find_mismatch(task.columns, task.labels, task.problem_type.targets)


def _example(task: Task) -> str:
    """Parse the example as the service parses an instance."""
    try:
        task.encoder().parse([task.serve.example])
    except RequestError as error:
        place = error.field.removeprefix("instances").removeprefix("[0]")
        wrong = {"unknown_field": "no column has this name; ", "missing_field": "it is missing; "}.get(error.code, "")
        return f"serve.example{place}: {wrong}{error.message}"
    return ""
