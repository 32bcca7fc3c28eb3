"""The Column base class: how values are validated, parsed and encoded, in training and serving alike."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from tiltyard.arrays import Array, Cells, Coded, Fitted, decoded, is_missing
from tiltyard.errors import DataError, RequestError
from tiltyard.expectation import Expectation
from tiltyard.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAX_CODED = 1 << 14  # distinct values; with more, codes save nothing

Scale = tuple[float, float]  # mean and standard deviation of one encoded feature
Kind = Literal["table", "text", "image"]

PLAIN: Scale = (0.0, 1.0)  # for flags and cycles, which are not scaled


@dataclass(frozen=True)
class Plain:
    """Values that are encoded unchanged: finite numbers within bounds, single or in nested lists of one shape."""

    low: float
    high: float
    shape: tuple[int, ...] = ()  # of a value
    feature: tuple[int, ...] = ()  # of its encoded features


def scale(values: Array) -> Scale:
    """Return mean and standard deviation; 1 if float32 cannot tell the values from a constant."""
    return usable_scale(float(values.mean()), float(values.std()))


def usable_scale(mean: float, std: float) -> Scale:
    """Return the scale; 1 instead of the standard deviation if float32 cannot tell the values from a constant."""
    return mean, std if std > max(1e-30, 1e-7 * abs(mean)) else 1.0


def unit(values: Array) -> float:
    """Return a power of two near the largest value: dividing by it is exact, and prevents an overflow of squares."""
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if 0 < largest < math.inf else 1.0


def require_values(values: Array) -> Array:
    """Return the values; raise DataError if there are none: all training rows lack a value."""
    if not len(values):
        raise DataError("expected a value in some training row; all are missing", hint="leave the column out")
    return values


def distinct(cells: pd.Series) -> tuple[Array, list[object]] | None:
    """Return for each cell its index in the distinct values, and these; None if cells of different types may be equal.

    Then the slow code that parses cell by cell runs only for distinct values.
    """
    import pandas as pd

    if not (isinstance(cells.dtype, pd.StringDtype) or pd.api.types.infer_dtype(cells) == "boolean"):
        return None
    indices, values = pd.factorize(cells, use_na_sentinel=False)
    return indices, values.to_numpy(dtype=object).tolist()


def tidy(cells: pd.Series) -> bool:
    """Return whether a column of a file is text without surrounding blanks; missing cells are ignored."""
    import pandas as pd

    if not isinstance(cells.dtype, pd.StringDtype):
        return False
    stripped = cells.str.strip()
    return bool((((stripped == cells) & (stripped != "")) | cells.isna()).all())


class Column(Settings):
    """A column of a task file; each plug-in in columns/ implements one type.

    A missing value is parsed as NaN, NaT or an empty text.
    """

    one_hot: ClassVar[bool] = False  # whether its features are flags, of which one is 1

    restores: ClassVar[bool] = False  # whether `restore` is implemented

    repeats: ClassVar[bool] = False  # whether few distinct values occur often, so that a cache saves time

    seconds_a_byte: ClassVar[float] = 5e-7  # of JSON: the time to parse many small values

    branch: ClassVar[Kind] = "table"  # the layers that read it beside columns of other kinds

    type: str

    @property
    def parsed_as_text(self) -> bool:
        """Whether cells of a file are parsed as text, not as numbers."""
        return True

    @abstractmethod
    def expectations(self, name: str) -> list[Expectation]:
        """Return the expectations of the raw values (for images: of their facts) that the settings imply."""

    def cell_expectations(self, name: str) -> list[Expectation]:
        """Return the expectations of one cell in each row, for a table with columns of several kinds."""
        return self.expectations(name)

    @property
    def in_cells(self) -> bool:
        """Whether a value fits into one cell of a table."""
        return True

    def seconds(self, values: Sequence[object]) -> float:
        """Estimate the seconds to parse values."""
        return 1e-6 * len(values)

    def decodes(self, values: Sequence[object]) -> bool:
        """Return whether some of these values are files that native code has to decode."""
        return False

    @property
    def plain(self) -> Plain | None:
        """Bounds and shape for encoding all values of a request at once; None if each must be parsed by itself."""
        return None

    def read(self, cells: Sequence[object]) -> list[object]:
        """Convert cells of a file to JSON values as a client would send them; `parse` refuses invalid ones."""
        return [None if is_missing(cell) else cell for cell in cells]

    def facts(self, cells: Sequence[object]) -> list[Any]:
        """Convert cells of a file to the values that validation checks."""
        return self.read(cells)

    @abstractmethod
    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse JSON values, one per instance; raise a RequestError that names the field."""

    def facts_of_cells(self, cells: pd.Series) -> pd.Series:
        """Convert a whole column of a file to the values that validation checks."""
        import pandas as pd

        if not (distinct_cells := distinct(cells)):
            return pd.Series(self.facts(cells.tolist()), index=cells.index)
        indices, values = distinct_cells
        return pd.Series(self.facts(values)).take(indices).set_axis(cells.index)

    def parse_cells(self, cells: pd.Series, name: str) -> Array:
        """Read and parse a whole column of a file; raise the error of `parse`, which names the row."""
        if distinct_cells := distinct(cells):
            indices, values = distinct_cells
            try:
                return self.parse(self.read(values), name)[indices]
            except RequestError:
                pass  # parse all rows, so that the error names the first invalid row
        return self.parse(self.read(cells.tolist()), name)

    def parse_arrow(self, cells: pa.Array, name: str) -> Cells | None:
        """Parse a whole column like `parse_cells`, without one Python object for each row.

        Return None if `parse_cells` has to do it: for unusual cells, and for the error that names an invalid one.
        """
        from pyarrow import types

        if not types.is_string(cells.type):
            return None
        coded = cells.dictionary_encode(null_encoding="encode")
        try:
            values = self.parse(self.read(coded.dictionary.to_pylist()), name)
        except RequestError:
            return None
        indices = coded.indices.to_numpy()
        return Coded(values, indices) if len(values) <= MAX_CODED else values.take(indices, axis=0)

    @abstractmethod
    def fit(self, values: Array) -> Fitted:
        """Fit the encoding to the training rows."""

    def fit_parts(self, parts: Iterable[Cells]) -> Fitted:
        """Fit to training rows that come in chunks, with the same result as `fit`."""
        return self.fit(np.concatenate([*map(decoded, parts)]))

    @abstractmethod
    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Encode parsed values as float32, one row each."""

    def pack(self, features: Array) -> Array:
        """Return encoded features in the type in which they are stored for training, if it is smaller than float32."""
        return features

    @abstractmethod
    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return mean and standard deviation of each feature along the last axis of `encode`, or one for all.

        The model scales by them inside its graph.
        """

    def feature_shape(self, fitted: Fitted) -> tuple[int, ...]:
        """Return the shape of an encoded value."""
        return (len(self.scaling(fitted)),)

    def restore(self, features: Array, fitted: Fitted) -> list[Any]:
        """Convert features back to JSON values; they may be between those that `encode` returns."""
        raise NotImplementedError

    def restored_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what `restore` returns."""
        raise NotImplementedError

    def vocabulary_size(self, fitted: Fitted) -> int:
        """Return the number of ids if features are ids, else 0."""
        return 0

    def token_weights(self, fitted: Fitted) -> list[tuple[float, float]]:
        """Return the weights of each id in two groups, if features are a set of ids; else an empty list."""
        return []

    @abstractmethod
    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of one value."""

    @abstractmethod
    def to_json(self, values: Array) -> list[Any]:
        """Convert parsed values back to JSON values."""
