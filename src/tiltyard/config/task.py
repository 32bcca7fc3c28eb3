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
    model_checks,
    operate_section,
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
from tiltyard.config.notify_section import Notify
from tiltyard.config.operate_section import Operate
from tiltyard.config.sections import Check, Range, Serve, Split
from tiltyard.config.train_section import Train
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


FORMAT = 1  # of task files; raise it when keys change their meaning


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
    operate: Operate | None = Field(None, exclude_if=not_, description="How `tiltyard watch` operates the champion.")
    notify: Notify = Field(default_factory=Notify, exclude_if=Notify().__eq__)
    format: int = Field(default=FORMAT, ge=1, exclude_if=FORMAT.__eq__, description="The format of this file.")

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
            model_checks.family_error,
            model_checks.fit_error,
            target_checks.threshold_error,
            model_checks.ngrams_error,
            model_checks.reference_error,
            model_checks.blend_error,
            lambda task: ensemble_section.find_error(
                task, (model_checks.family_error, model_checks.fit_error, model_checks.ngrams_error, _rows)
            ),
            _folds,
            _rows,
            _evaluate,
            lambda task: operate_section.find_error(task.operate, task.problem_type.targets),
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


def _split(task: Task) -> str:
    if task.split.kind == "stratified" and not task.classes:
        return (
            f"split.kind: expected random or chronological, since {model_checks.no_classes(task)}; received stratified"
        )
    if task.modality in ("series", "prose") and task.split.kind != "chronological":
        return f"split.kind: expected chronological for {task.modality}; received {task.split.kind}"
    if task.split.kind == "given" and task.modality != "image" and not task.split.by:
        return "split.by: expected the column that holds train, validation or test for each row; received none"
    if (task.split.by or task.split.group) and not (task.is_tabular or task.modality == "text"):
        return f"split: expected by and group only for rows of a table; received them for {task.modality} columns"
    return complete_split.find_error(task.split, task.columns, task.rows, task.train.folds)


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
