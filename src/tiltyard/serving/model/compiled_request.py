"""Compiled request: a fast path for ordinary JSON requests, with a msgspec decoder built once from the model's schema.

It accepts only requests that the general path (requests/predict_request.py) accepts too, and returns the same response.
It returns None for every other request; the general path then computes the response or the error message.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np

from tiltyard.arrays import Array, Fitted
from tiltyard.errors import RequestError
from tiltyard.modeling.columns.base import Column, Plain
from tiltyard.modeling.inference.encoder import Encoder, side_by_side
from tiltyard.modeling.problems.base import Problem

if TYPE_CHECKING:
    from tiltyard.modeling.inference.predictor import Predictor

MAX_INLINE_SECONDS = 0.001  # that a request may block the event loop
MAX_CACHED_VALUES = 1024  # of a column
MAX_SMALL_BATCH = 8  # rows; numpy is faster for more
CachedFeatures = Mapping[tuple[type, object], Sequence[float]]  # the features of a value, by its type and value
MAX_CACHED_CHARACTERS = 64  # of a cached value
MAX_UNCACHED_VALUES = 64  # of a request: parsing costs a hundred times as much as the cache
ESCAPED = re.compile(r'["\\\x00-\x1f]')

json_encoder = msgspec.json.Encoder()


class Part(NamedTuple):
    """A function that computes features, and the values of a row that it takes: all if `columns` is None."""

    columns: int | slice | None
    features: Callable[[Sequence[Any]], Array | None]

    def of(self, rows: Sequence[Any]) -> Array | None:
        """Return the features of rows; None if the general path must handle them."""
        return self.features(rows if self.columns is None else [row[self.columns] for row in rows])


class CompiledRequest:
    """Computes the response body for a request body of one model."""

    def __init__(self, predictor: Predictor, version: str) -> None:
        encoder = predictor.encoder
        self.predictor, self.max_instances, self.bare = predictor, encoder.max_instances, encoder.bare
        self.identity = {"model": encoder.task, "version": version}
        self.decoder = msgspec.json.Decoder(_body(encoder))
        self.parts = [*_parts(encoder)]
        plain = [column.plain for column in encoder.columns.values()]
        self.is_numeric = (self.bare or len(self.parts) == 1) and all(plain)  # see features_of_arrays
        self.small_batch = None if self.bare else _small_batch_encoder(encoder, self.parts)

    def respond(self, body: bytes) -> tuple[bytes, int] | None:
        """Return the response body and the number of instances; None if the general path must handle the request."""
        try:
            instances = self.decoder.decode(body).instances
            if (
                not 0 < len(instances) <= self.max_instances
                or self.predictor.seconds(len(instances)) > MAX_INLINE_SECONDS
            ):
                return None
            features = self._features(instances)
        except (ValueError, RecursionError, RequestError):
            return None
        if features is None or (outputs := self.run(features)) is None:
            return None
        encoder = self.predictor.encoder
        predictions = encoder.problem.decode(outputs, encoder.classes)
        return json_encoder.encode({"predictions": predictions, **self.identity}), len(instances)

    def run(self, features: Array) -> Array | None:
        """Return the outputs of the model; None if they are not finite, which the general path reports."""
        outputs = self.predictor.run(features)
        return outputs if math.isfinite(np.vdot(outputs, outputs)) else None  # one test for all; it refuses 1e200, too

    def features_of_arrays(self, columns: Sequence[Array]) -> Array | None:
        """Return the features of numbers by column; None if the general path must handle them.

        It does so if a column's values are not encoded unchanged, or if a number is out of bounds.
        """
        if not self.is_numeric or any(column.dtype.kind not in "iuf" for column in columns):
            return None
        if len({*map(len, columns)}) != 1 or not 0 < len(columns[0]) <= self.max_instances:
            return None
        values: Any = columns[0] if self.bare else np.stack(columns, axis=1, dtype=np.float64)
        return self.parts[0].features(values)

    def _features(self, instances: Sequence[Any]) -> Array | None:
        rows = instances if self.bare else [*map(msgspec.structs.astuple, instances)]
        if self.small_batch and len(rows) <= MAX_SMALL_BATCH and (features := self.small_batch(rows)) is not None:
            return features
        if len(self.parts) == 1:
            return self.parts[0].of(rows)
        blocks = []
        for part in self.parts:
            if (features := part.of(rows)) is None:
                return None
            blocks.append(features)
        return side_by_side(blocks)


class ValueCache:
    """A cache of the features of repeated values, such as names and codes: each value is parsed once."""

    def __init__(self, column: Column, fitted: Fitted) -> None:
        self.column, self.fitted = column, fitted
        self.cached: dict[tuple[type, object], list[float]] = {}  # the type is part of the key, since 1 == 1.0 == True

    def __call__(self, values: Sequence[Any]) -> Array | None:
        """Return a row of features for each value; None if too many of them are not cached."""
        try:
            return np.array([self.cached[type(value), value] for value in values], dtype=np.float32)
        except (KeyError, TypeError):  # not cached yet, or not hashable
            return self._read(values)

    def _read(self, values: Sequence[Any]) -> Array | None:
        """Parse and cache values; return None if there are more than are parsed here."""
        part = values[:MAX_UNCACHED_VALUES]
        features = _parse(self.column, self.fitted, part)
        for value, row in zip(part, features.tolist(), strict=True):
            if len(self.cached) < MAX_CACHED_VALUES and (type(value) is not str or len(value) <= MAX_CACHED_CHARACTERS):
                self.cached[type(value), value] = row
        return features if len(part) == len(values) else None


def compile_request(predictor: Predictor, version: str) -> CompiledRequest | None:
    """Return a compiled request, or None if the problem runs the model repeatedly or msgspec cannot encode a name."""
    runs_once = type(predictor.encoder.problem).respond is Problem.respond
    encodable = not any(ESCAPED.search(name) for name in predictor.encoder.columns)
    return CompiledRequest(predictor, version) if runs_once and encodable else None


def _body(encoder: Encoder) -> Any:
    """Return a msgspec type for the body, which msgspec validates while it decodes."""
    types = [_json_type(column) for column in encoder.columns.values()]
    if encoder.bare:
        row = types[0]
    else:
        names = {f"c{index}": name for index, name in enumerate(encoder.columns)}
        row = msgspec.defstruct("Row", [*zip(names, types, strict=True)], rename=names, forbid_unknown_fields=True)
    rows: Any = list[row]  # type: ignore[valid-type]
    signature = ("signature_name", Literal["serving_default"], "serving_default")
    return msgspec.defstruct("Body", [("instances", rows), signature], forbid_unknown_fields=True)


def _json_type(column: Column) -> Any:
    """Return the type of a value in JSON: nested lists of numbers, or Any if the column itself validates it."""
    json_type: Any = float
    for _ in column.plain.shape if column.plain else ():
        json_type = list[json_type]
    return json_type if column.plain else Any


def _parts(encoder: Encoder) -> Iterator[Part]:
    """Yield the parts of a row; adjacent scalar columns form one part, which numpy handles at once."""
    columns = [*enumerate(encoder.columns.items())]
    for plain, group in groupby(columns, lambda item: _is_scalar(item[1][1].plain)):
        members = [*group]
        if plain:
            first, last = members[0][0], members[-1][0] + 1
            scalar_columns = None if last - first == len(columns) else slice(first, last)
            yield Part(scalar_columns, _scalars([column.plain for _, (_, column) in members if column.plain]))
            continue
        for index, (name, column) in members:
            yield Part(None if encoder.bare else index, _feature_function(column, encoder.fitted[name]))


def _feature_function(column: Column, fitted: Fitted) -> Callable[[Sequence[Any]], Array | None]:
    if column.plain:
        return _nested(column.plain)
    return ValueCache(column, fitted) if column.repeats else partial(_parse_if_fast, column, fitted)


def _small_batch_encoder(encoder: Encoder, parts: Sequence[Part]) -> SmallBatchEncoder | None:
    """Return an encoder of small batches, or None unless all columns are scalars or cached."""
    caches = {part.columns: part.features for part in parts if isinstance(part.features, ValueCache)}
    columns: list[Plain | CachedFeatures] = []
    for index, column in enumerate(encoder.columns.values()):
        if isinstance(cache := caches.get(index), ValueCache):
            columns.append(cache.cached)
        elif column.plain and not column.plain.shape:
            columns.append(column.plain)
        else:
            return None
    return SmallBatchEncoder(columns)


def _is_scalar(plain: Plain | None) -> bool:
    return plain is not None and not plain.shape


def _scalars(plain: Sequence[Plain]) -> Callable[[Sequence[Any]], Array | None]:
    low, high = np.array([bounds.low for bounds in plain]), np.array([bounds.high for bounds in plain])
    return partial(_numbers, shape=(len(plain),), feature=(len(plain),), low=low, high=high)


def _nested(plain: Plain) -> Callable[[Sequence[Any]], Array | None]:
    return partial(_numbers, shape=plain.shape, feature=plain.feature, low=plain.low, high=plain.high)


def _numbers(
    values: Sequence[Any], *, shape: tuple[int, ...], feature: tuple[int, ...], low: Any, high: Any
) -> Array | None:
    """Return numbers as float32; None if a number is out of bounds or the shape differs."""
    numbers = _flattened(values, shape) if isinstance(values, list) else np.array(values, dtype=np.float64)
    if numbers.shape[1:] != shape or not ((numbers >= low) & (numbers <= high)).all():
        return None
    return numbers.astype(np.float32).reshape(len(numbers), *feature)


def _flattened(values: list[Any], shape: tuple[int, ...]) -> Array:
    """Return nested lists of floats as an array, which takes numpy alone longer.

    Raise ValueError if the lists have other lengths.
    """
    count = len(values)
    for size in shape:
        if {*map(len, values)} != {size}:
            raise ValueError
        values = [*chain.from_iterable(values)]
    return np.frombuffer(struct.pack(f"{len(values)}d", *values)).reshape(count, *shape)


def _parse_if_fast(column: Column, fitted: Fitted, values: Sequence[Any]) -> Array | None:
    return _parse(column, fitted, values) if column.seconds(values) < MAX_INLINE_SECONDS / 2 else None


def _parse(column: Column, fitted: Fitted, values: Sequence[Any]) -> Array:
    return column.encode(column.parse(values, ""), fitted)


class SmallBatchEncoder:
    """Encodes few rows without numpy operations: numbers within bounds as they are, other values by the cache."""

    def __init__(self, columns: Sequence[Plain | CachedFeatures]) -> None:
        self.columns = [
            (column.low, column.high, None) if isinstance(column, Plain) else (0.0, 0.0, column) for column in columns
        ]

    def __call__(self, rows: Sequence[Sequence[Any]]) -> Array | None:
        """Return the features; None if a number is out of bounds or a value is not cached."""
        try:
            return np.array([self._row(row) for row in rows], dtype=np.float32)
        except (LookupError, TypeError):
            return None

    def _row(self, values: Sequence[Any]) -> list[float]:
        features: list[float] = []
        for value, (low, high, cached) in zip(values, self.columns, strict=True):
            if cached is not None:
                features += cached[type(value), value]
            elif low <= value <= high:
                features.append(value)
            else:
                raise LookupError
        return features
