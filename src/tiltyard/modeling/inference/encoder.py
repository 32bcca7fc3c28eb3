"""Encoder: from instances to model input, and from model output to predictions, in training and serving alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import TypeAdapter

from tiltyard import files, plugins
from tiltyard.arrays import Array, Cells, Fitted, Rows
from tiltyard.errors import DataError, RequestError
from tiltyard.modeling.columns._derived import Derived
from tiltyard.modeling.columns.base import Column, Scale, scale
from tiltyard.modeling.problems.base import Problem, Target, Threshold

FIT_ROWS = 1 << 16  # rows that are read at a time to fit derived features


class Features(Protocol):
    """Encoded rows in memory or in a file."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, rows: slice, /) -> Array:
        """Return rows."""


@dataclass(frozen=True)
class Encoder:
    """The columns of a task, their fitted state, and how outputs become predictions."""

    task: str
    problem: Problem
    columns: dict[str, Column]
    fitted: dict[str, Fitted]
    target: Fitted  # fitted to the targets: mean and standard deviation of a number, or ids of tokens
    classes: list[str]
    bare: bool  # an instance is the bare value (an image, a series, a text), not an object of named features
    max_instances: int
    read: dict[str, Any] = field(default_factory=dict)  # how the task reads text files; a CSV body is read the same way
    derived: dict[str, Derived] = field(default_factory=dict)  # features that the model computes from the encoded ones
    derived_fitted: dict[str, Fitted] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give the problem what was fitted to the targets, so that all decode alike."""
        object.__setattr__(self, "problem", self.problem.bound_to(self))

    def with_target(self, fitted: Fitted) -> Encoder:
        """Return the encoder with more that training has learned for the predictions."""
        return replace(self, target={**self.target, **fitted})

    def with_threshold(self, threshold: Threshold) -> Encoder:
        """Return the encoder with a decision threshold, or with one for each label."""
        return replace(self, target={**self.target, "threshold": threshold})

    def with_scale(self, mean: float, std: float) -> Encoder:
        """Return the encoder with another scale of the target, a number."""
        return replace(self, target={**self.target, "mean": mean, "std": std})

    def fit(self, target: Target, rows: Rows, truth: Array) -> Encoder:
        """Fit an encoder to training rows."""
        return self.learn(target, lambda name: [rows[name]], truth)

    def learn(
        self,
        target: Target,
        column: Callable[[str], Iterable[Cells]],
        truth: Array,
        map_columns: Callable[[Callable[[str], Fitted], Iterable[str]], Iterable[Fitted]] = map,
    ) -> Encoder:
        """Fit an encoder to training rows that come one column at a time, in chunks; `map_columns` may use threads."""
        fitted = map_columns(lambda name: _fit(self.columns[name], column(name), name), self.columns)
        fitted_columns = dict(zip(self.columns, fitted, strict=True))
        return replace(self, fitted=fitted_columns, target=self.problem.fit(target, truth))

    def parse(self, instances: object) -> Rows:
        """Parse instances as a client sends them; raise a RequestError that names the field."""
        if not isinstance(instances, list):
            raise RequestError("wrong_type", "expected a list of instances", "instances")
        if not instances:
            raise RequestError("no_instances", "expected at least one instance; received none", "instances")
        if len(instances) > self.max_instances:
            message = f"expected at most {self.max_instances} instances; received {len(instances)}"
            raise RequestError("too_many", message, "instances", status=413)
        if self.bare:
            ((name, column),) = self.columns.items()
            return {name: _parse_bare(column, instances, name)}
        self._check_names(instances)
        return {name: column.parse([i[name] for i in instances], name) for name, column in self.columns.items()}

    def _check_names(self, instances: Sequence[object]) -> None:
        for i, instance in enumerate(instances):
            if not isinstance(instance, dict):
                raise RequestError("wrong_type", "expected an object of named features", f"instances[{i}]")
            if instance.keys() == self.columns.keys():
                continue
            names = ", ".join(self.columns)
            for name in self.columns.keys() - instance.keys():
                raise RequestError("missing_field", f"expected {names}", f"instances[{i}].{name}")
            for name in instance.keys() - self.columns.keys():
                raise RequestError("unknown_field", f"expected {names}", f"instances[{i}].{name}")

    def encode(self, rows: Rows) -> Array:
        """Return the model's input as float32: concatenated features for a table, the value itself otherwise."""
        parts = [column.encode(rows[name], self.fitted[name]) for name, column in self.columns.items()]
        return parts[0] if self.bare else side_by_side(parts)

    def pack(self, features: Array) -> Array:
        """Return encoded features in the type they are stored in; they are float32 again when read."""
        return next(iter(self.columns.values())).pack(features) if self.bare else features

    def scaling(self) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation of each encoded feature, by which the model scales inside its graph."""
        scales = [scale for name in self.columns for scale in self._scales(name)]
        return [mean for mean, _ in scales], [std for _, std in scales]

    def _scales(self, name: str) -> list[Scale]:
        """Return mean and standard deviation of each feature of a column; of a bare value, one may be for all."""
        column, fitted = self.columns[name], self.fitted[name]
        scales = column.scaling(fitted)
        return scales if self.bare else scales * (math.prod(column.feature_shape(fitted)) // len(scales))

    def with_derived(self, features: Features) -> Encoder:
        """Return an encoder whose derived features are fitted to the encoded training rows."""
        fitted: dict[str, Fitted] = {}
        for name, derived in self.derived.items():
            places = [self.spans[operand].start for operand in derived.of]
            starts = range(0, len(features), FIT_ROWS)
            operands = np.concatenate([features[start : start + FIT_ROWS][:, places] for start in starts])
            learned = derived.fit(operands)
            mean, std = scale(_derive(derived, [*operands.T], learned, np).astype(np.float64))
            fitted[name] = {**learned, "mean": mean, "std": std}
        return replace(self, derived_fitted=fitted)

    def widened(self, features: Any, ops: Any = np) -> Any:
        """Return encoded features with the derived ones after them, as the network and the references see them.

        `ops` are the functions of NumPy or of Keras, whose graph computes them when the model is served.
        """
        if not self.derived:
            return features
        spans, columns = self.spans, [features]
        for name, derived in self.derived.items():
            operands = [features[:, spans[operand].start : spans[operand].start + 1] for operand in derived.of]
            columns.append(_derive(derived, operands, self.derived_fitted[name], ops))
        return ops.concatenate(columns, axis=-1)

    def widened_scaling(self) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation of each feature of `widened`."""
        mean, std = self.scaling()
        fitted = [self.derived_fitted[name] for name in self.derived]
        return [*mean, *(part["mean"] for part in fitted)], [*std, *(part["std"] for part in fitted)]

    @property
    def spans(self) -> dict[str, slice]:
        """Return the feature range of each column, for tables and multivariate series."""
        widths = [len(self._scales(name)) for name in self.columns]
        ends = np.cumsum(widths).tolist()
        return {name: slice(end - width, end) for name, width, end in zip(self.columns, widths, ends, strict=True)}

    @property
    def name_places(self) -> list[range]:
        """The features of each column of names, of which one flag is 1."""
        return [*self.places_by_name.values()]

    @property
    def places_by_name(self) -> dict[str, range]:
        """The same by the name of the column."""
        spans, columns = self.spans, self.columns.items()
        return {name: range(spans[name].start, spans[name].stop) for name, column in columns if column.one_hot}

    @property
    def longest_text(self) -> int:
        """Return the most ids of a text, if a row has texts among its columns; else 0."""
        texts = [(column, self.fitted[name]) for name, column in self.columns.items() if column.branch == "text"]
        return max((math.prod(column.feature_shape(fitted)) for column, fitted in texts), default=0)

    @property
    def vocabulary_size(self) -> int:
        """Return the number of ids if features are ids, else 0."""
        return max(column.vocabulary_size(self.fitted[name]) for name, column in self.columns.items())

    @property
    def token_weights(self) -> list[tuple[float, float]]:
        """Return the weights of each id in two groups, if features are a set of ids; else an empty list."""
        return next((w for name, column in self.columns.items() if (w := column.token_weights(self.fitted[name]))), [])

    def to_json(self, rows: Rows) -> list[Any]:
        """Convert rows back to instances."""
        return self.joined({name: column.to_json(rows[name]) for name, column in self.columns.items()})

    def joined(self, values: dict[str, list[Any]]) -> list[Any]:
        """Combine the values of columns into instances."""
        if self.bare:
            return next(iter(values.values()))
        return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]

    def decode(self, outputs: Array) -> list[Any]:
        """Convert the model's outputs to predictions."""
        return self.problem.decode(outputs, self.classes)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of an instance."""
        schemas = {name: column.json_schema() for name, column in self.columns.items()}
        if self.bare:
            return next(iter(schemas.values()))
        return {
            "type": "object",
            "properties": schemas,
            "required": list(schemas),
            "additionalProperties": False,
        }

    def save(self, path: Path) -> None:
        """Write the encoder as JSON."""
        columns = {name: column.model_dump(mode="json") for name, column in self.columns.items()}
        content = {
            "task": self.task,
            "problem": type(self.problem).__name__.lower(),
            "columns": columns,
            "fitted": self.fitted,
            "target": self.target,
            "classes": self.classes,
            "bare": self.bare,
            "max_instances": self.max_instances,
            **({"read": self.read} if self.read else {}),  # omitted if empty, so that older encoders keep their hash
        }
        if self.derived:
            content["derived"] = {name: derived.model_dump(exclude_none=True) for name, derived in self.derived.items()}
            content["derived_fitted"] = self.derived_fitted
        files.write_json(path, content)

    @classmethod
    def load(cls, path: Path) -> Encoder:
        """Read an encoder; its columns are validated like those of a task file."""
        content = files.read_json(path)
        column, settings = _column_adapter(*plugins.names("columns")), content["columns"].items()
        content["columns"] = {name: column.validate_python(value, strict=False) for name, value in settings}
        content["derived"] = {name: Derived(**value) for name, value in content.get("derived", {}).items()}
        content["problem"] = plugins.load("problems", content["problem"])()
        return cls(**content)


@cache
def _column_adapter(*_: str) -> TypeAdapter[Column]:
    """Return the type of a column of these kinds; building it holds the interpreter for milliseconds."""
    return TypeAdapter(plugins.union("columns", "type"))


def side_by_side(parts: Sequence[Array]) -> Array:
    """Return the encoded columns of some rows as one array; the pixels of an image become a row."""
    return np.concatenate([part.reshape(len(part), -1) if part.ndim > 3 else part for part in parts], axis=-1)


def _derive(derived: Derived, operands: list[Any], fitted: Fitted, ops: Any) -> Any:
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # results are bounded
        values = derived.values(operands, fitted, ops)
    return values.astype(np.float32) if ops is np else values


def _fit(column: Column, parts: Iterable[Cells], name: str) -> Fitted:
    """Fit one column; an error names it."""
    try:
        return column.fit_parts(parts)
    except DataError as error:
        raise DataError(f"columns.{name}: {error.message}", error.hint) from None


def _parse_bare(column: Column, instances: Sequence[object], name: str) -> Array:
    """Parse bare values of a single column: the field in errors is `instances[i]`, without a name."""
    try:
        return column.parse(instances, name)
    except RequestError as error:
        raise RequestError(error.code, error.message, error.field.replace(f".{name}", "", 1)) from None
