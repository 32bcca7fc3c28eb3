"""Schema of task files: the whole definition of one model, validated strictly from tasks/NAME.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from operator import not_
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.config import (
    anomaly_checks,
    clustering_checks,
    column_checks,
    complete_split,
    ensemble_section,
    evaluate_section,
    objective_checks,
    recommendation_checks,
    reconstruction_checks,
    sampling_checks,
    target_checks,
)
from tiltyard.config.anomaly_section import AnomalyScore
from tiltyard.config.ensemble_section import AnyModel, Member
from tiltyard.config.evaluate_section import Evaluate
from tiltyard.config.gate_section import Gate
from tiltyard.config.join_section import Joins
from tiltyard.config.sections import Check, Range, Serve, Split
from tiltyard.config.train_section import Train, incompatibility
from tiltyard.data.sources.base import Source
from tiltyard.errors import DataError, RequestError
from tiltyard.expectation import Expectation
from tiltyard.modeling.columns._cell import CellColumn
from tiltyard.modeling.columns._derived import Derived
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.base import Metric
from tiltyard.modeling.metrics.dependence import Dependence
from tiltyard.modeling.models.base import Output
from tiltyard.modeling.problems.base import Problem, Target
from tiltyard.modeling.references.base import Subject
from tiltyard.settings import Settings

if TYPE_CHECKING:
    AnySource = Source
    AnyColumn = Column
    ProblemName = str
else:
    AnySource = plugins.union("sources", "kind")
    AnyColumn = plugins.union("columns", "type")
    ProblemName = Literal[tuple(plugins.names("problems"))]


class Task(Settings):
    """A task file."""

    name: str = Field(pattern="^[a-z][a-z0-9_]{0,62}$", description="The name of the file; may be omitted.")
    title: str = Field(description="What the model does, in one line.")
    problem: ProblemName = Field(description="The kind of problem.")
    source: AnySource = Field(description="Where the raw data come from.")
    joins: Joins = Field(default_factory=dict, exclude_if=not_)
    rows: tuple[int, int] = Field(strict=False, description="The minimum and the maximum number of rows.")
    columns: dict[str, AnyColumn] = Field(min_length=1, description="The features, by name.")
    derived: dict[str, Derived] = Field(
        default_factory=dict,
        exclude_if=not_,
        description="Features that the model computes from number columns; a client does not send them.",
    )
    target: Target = Field(
        default_factory=lambda: Target(column=""),
        exclude_if=lambda target: not target.column,
        description="The column to predict; none for reconstruction and for anomalies without labels, conditions for "
        "sampling, for evaluation alone in clustering.",
    )
    expect: list[Expectation] = Field(default_factory=list, description="Expectations, named as in Great Expectations.")
    split: Split = Field(description="How rows are split into training, validation and test rows.")
    model: AnyModel = Field(description="The model: its family, and the settings of that family.")
    train: Train = Field(description="How the model is trained.")
    ensemble: list[Member] = Field(
        default_factory=list,
        max_length=20,
        exclude_if=not_,
        description="Further models, of other families or with other settings, that are averaged with `model`.",
    )
    evaluate: Evaluate = Field(default_factory=Evaluate, exclude_if=Evaluate().__eq__)
    gate: Gate = Field(description="What a challenger must meet to become champion.")
    check: Check = Field(default_factory=Check)
    serve: Serve = Field(description="Limits of the service, and an example of a request.")
    search: dict[str, Range] = Field(
        default_factory=dict, description="Search space by dotted key, such as train.learning_rate."
    )

    @property
    def modality(self) -> str:
        """The modality of its raw data: table, image, series, prose, text; mixed for texts or images beside others."""
        types = {column.type for column in self.columns.values()}
        modality = next((name for name in ("series", "prose", "image", "text") if name in types), "table")
        return "mixed" if modality in ("image", "text") and len(self.columns) > 1 else modality

    @property
    def is_tabular(self) -> bool:
        """Whether a row consists of named columns, each with one value."""
        return self.modality in ("table", "mixed")

    @property
    def problem_type(self) -> Problem:
        """The problem plug-in."""
        problem: Problem = plugins.load("problems", self.problem)()
        return problem

    @property
    def evaluator(self) -> Evaluator:
        """The evaluator plug-in of its problem."""
        evaluator: Evaluator = plugins.load("evaluators", self.problem)()
        conditional = getattr(self.model, "conditional", False)
        evaluator = evaluator.of(self.target).with_measures(self.model.measures, conditional=conditional)
        if self.model.cluster_count:
            return evaluator.with_clusters(self.model.cluster_count, is_k_means=self.model.family == "kmeans")
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
    def anomaly_score(self) -> AnomalyScore:
        """How anomalies are scored."""
        return self.train.anomaly or AnomalyScore()

    @property
    def labels(self) -> list[str]:
        """The labels to predict, of which rows have one or any number; else empty."""
        return [] if self.problem_type.targets == "row" else self.target.classes or []

    @property
    def classes(self) -> list[str]:
        """The labels of a classification, where each row has exactly one; else empty."""
        return [] if self.problem_type.targets in ("labels", "objects", "mask") else self.labels

    def dependence(self, unit: Array | None, rows: int) -> Dependence | None:
        """Return how test rows depend on one another, by the split; `unit` is as `prepare` wrote it."""
        by_time = self.split.kind == "chronological" and self.target.interaction is None
        own_column = self.split.group or self.split.by or getattr(self.columns.get(self.target.column), "group", None)
        by_user = self.target.interaction is not None
        if unit is None and (by_user or ((by_time or self.split.group) and own_column)):
            raise DataError(
                f"the test rows of {self.name} have no {'times' if by_time else 'groups'}: "
                "an earlier release made them",
                hint=f"make them again: tiltyard prepare {self.name}",
            )
        if unit is None and not by_time:
            return None
        overlap = self.target.horizon if self.modality == "series" else 1
        if self.modality == "series" and self.problem == "anomaly":
            overlap = next(getattr(column, "window", 1) for column in self.columns.values())
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
            bare=not self.is_tabular and len(self.columns) == 1,
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
            max(self.target.horizon, len(self.target.names)),
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
            _joins,
            _columns,
            reconstruction_checks.find_error,
            recommendation_checks.find_error,
            sampling_checks.find_error,
            clustering_checks.find_error,
            anomaly_checks.find_error,
            _predicted,
            target_checks.numbers_error,
            target_checks.forecast_error,
            _split,
            _family,
            _fit,
            target_checks.threshold_error,
            _ngrams,
            _reference,
            _blend,
            lambda task: ensemble_section.find_error(task, (_family, _fit, _ngrams, _rows)),
            _folds,
            _rows,
            _evaluate,
            _gate,
            _example,
        ):
            if text := check(self):
                yield text


def _joins(task: Task) -> str:
    if task.joins and task.modality not in ("table", "text", "series"):
        return f"joins: expected only for the rows of a table, or a series; received {task.modality} columns"
    return ""


def _columns(task: Task) -> str:
    if text := column_checks.derived_error(task.derived, task.columns, task.target):
        return text
    if task.modality == "series":
        return column_checks.series_error(task.columns, task.target, task.problem)
    if task.modality == "mixed" and (text := column_checks.mixed_error(task.columns)):
        return text
    if not task.is_tabular and len(task.columns) > 1:
        return f"columns: expected the {task.modality} column alone; received {', '.join(task.columns)}"
    of_text = task.problem in ("generation", "masked")
    if not of_text and (targets := [name for name in task.target.names if name in task.columns]):
        return f"columns.{targets[0]}: expected features only; this is the target"
    return ""


def _predicted(task: Task) -> str:
    """Check the target, unless its labels are those of rows without a target, which nothing predicts."""
    return "" if task.problem_type.targets == "row" else target_checks.target_error(task)


def _no_classes(task: Task) -> str:
    return "a row may have several labels" if task.labels else "there are no classes"


def _split(task: Task) -> str:
    if task.split.kind == "stratified" and not task.classes:
        return f"split.kind: expected random or chronological, since {_no_classes(task)}; received stratified"
    if task.modality in ("series", "prose") and task.split.kind != "chronological":
        return f"split.kind: expected chronological for {task.modality}; received {task.split.kind}"
    if task.split.kind == "given" and task.modality != "image" and not task.split.by:
        return "split.by: expected the column that holds train, validation or test for each row; received none"
    if (task.split.by or task.split.group) and not (task.is_tabular or task.modality == "text"):
        return f"split: expected by and group only for rows of a table; received them for {task.modality} columns"
    return complete_split.find_error(task.split, task.columns, task.rows, task.train.folds)


def _family(task: Task) -> str:
    writers = {"translation": "seq2seq", "captioning": "captioner"}
    if (task.model.family if task.model.translates else None) != (expected := writers.get(task.problem)):
        expected = expected or f"another than {task.model.family}"
        return f"model.family: expected {expected} for {task.problem}; received {task.model.family}"
    if task.model.steps != (task.problem == "generation"):
        ways = "rnn with whole: true, from one end and without attention, or transformer with causal: true, pool: none"
        return f"model: expected for prose, and only for it, {ways}"
    if task.problem == "masked" and not task.model.keeps_steps:
        return "model: expected for masked words transformer with pool: none, or rnn with whole and bidirectional: true"
    if task.split.unlabelled and not task.model.learns_without_labels:
        return f"split.unlabelled: expected false for {task.model.family}, which needs labels; received true"
    return task.model.columns_error(task.columns)


def _fit(task: Task) -> str:
    if task.modality not in task.model.modalities:
        expected = " or ".join(task.model.modalities)
        return f"model.family: {task.model.family} takes {expected}; received {task.modality} columns"
    channels = getattr(next(iter(task.columns.values())), "channels", 0)
    if text := incompatibility(task.train, task.modality, channels, task.classes, _no_classes(task)):
        return text
    return objective_checks.find_error(task)


def _ngrams(task: Task) -> str:
    """Check that n-grams are read by families that need no order of words, and only by them."""
    model = task.model.reader("text")
    for name, column in task.columns.items() if task.modality in ("text", "mixed") else ():
        if column.branch == "text" and (text := column_checks.ngrams_error(name, column, model)):
            return text
    return ""


def _reference(task: Task) -> str:
    """Check that nothing is asked of a family without a network that only training by epochs can do."""
    if task.model.trained_by_epochs:
        return ""
    options = {"folds": task.train.folds, "augment": task.train.augment, "then": task.train.then}
    options |= {name: getattr(task.train, name) for name in ("restarts", "tensorboard")}
    options |= {"members": task.train.members > 1}
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
    texts = [column for column in task.columns.values() if column.branch == "text"]
    reads = next((by for column in texts if (by := getattr(column, "by", "")) != "ngrams"), "ngrams")
    reasons = {
        f"the family {task.model.family}, which Keras does not train": not task.model.trained_by_epochs,
        f"{task.problem}, since no reference predicts texts": task.problem_type.targets == "text",
        f"texts that are read by {reads} (references read by: ngrams)": reads != "ngrams",
    }
    why = next((text for text, holds in reasons.items() if holds), "")
    return f"model.blend_references: expected false for {why}; received true" if why else ""


def _folds(task: Task) -> str:
    if task.problem_type.targets == "text":
        several = {"train.members": task.train.members > 1, "ensemble": task.ensemble}
        for name, value in {"train.folds": task.train.folds, **several}.items():
            if value:
                return f"{name}: expected only for numbers and labels; received it for {task.problem}"
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
    train = min(train, task.split.training_rows or train)
    if task.train.batch_size > train:
        return (
            f"train.batch_size: expected 1 to {train}, the training rows when there are {low}; "
            f"received {task.train.batch_size}"
        )
    return ""


def _evaluate(task: Task) -> str:
    return evaluate_section.find_error(task.evaluate, task.problem, task.columns, task.model, task.train)


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
