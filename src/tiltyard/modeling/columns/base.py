"""The Column base class: how values are validated, parsed and encoded, in training and serving alike."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted, is_missing
from tiltyard.errors import DataError, RequestError
from tiltyard.expectation import Expectation
from tiltyard.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

Scale = tuple[float, float]  # mean and standard deviation of one encoded feature

PLAIN: Scale = (0.0, 1.0)  # for flags and cycles, which are not scaled


@dataclass(frozen=True)
class Plain:
    """Values that are finite numbers within bounds, single or nested in a shape, and that are features as they are."""

    low: float
    high: float
    shape: tuple[int, ...] = ()  # of a value
    feature: tuple[int, ...] = ()  # of what the model reads


def scale(values: Array) -> Scale:
    """Return mean and standard deviation; 1 if float32 cannot tell the values from a constant."""
    mean, std = float(values.mean()), float(values.std())
    return mean, std if std > max(1e-30, 1e-7 * abs(mean)) else 1.0


def unit(values: Array) -> float:
    """Return a power of two near the largest value: dividing by it loses nothing, and squares stay within a float."""
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if 0 < largest < math.inf else 1.0


def learned(values: Array) -> Array:
    """Raise DataError if the training rows have no value."""
    if not len(values):
        raise DataError("expected a value in some training row; all are missing", hint="leave the column out")
    return values


def distinct(cells: pd.Series) -> tuple[Array, list[object]] | None:
    """Return each cell's place among the distinct ones, and those; None where unlike cells are equal, as 1 and True.

    What is worked out cell by cell need be worked out for these alone: by the code that answers requests, and fast.
    """
    import pandas as pd

    if not (isinstance(cells.dtype, pd.StringDtype) or pd.api.types.infer_dtype(cells) == "boolean"):
        return None
    places, values = pd.factorize(cells, use_na_sentinel=False)
    return places, values.to_numpy(dtype=object).tolist()


def tidy(cells: pd.Series) -> bool:
    """Return whether a column of a file is text without blanks around, missing cells aside."""
    import pandas as pd

    if not isinstance(cells.dtype, pd.StringDtype):
        return False
    bare = cells.str.strip()
    return bool((((bare == cells) & (bare != "")) | cells.isna()).all())


class Column(Settings):
    """One column of a task file; plug-ins in columns/ say what each type means.

    In parsed values a missing one is NaN, NaT or an empty text.
    """

    spelled: ClassVar[bool] = True  # whether cells of a file are wanted as they are spelled, and not as numbers

    repeats: ClassVar[bool] = False  # whether there are few values, each of which comes often

    seconds_a_byte: ClassVar[float] = 5e-7  # of JSON: what it takes to read many small values

    type: str

    @abstractmethod
    def expectations(self, name: str) -> list[Expectation]:
        """Return what validation may expect of the raw values (or, for images, of their facts)."""

    @property
    def in_cells(self) -> bool:
        """Whether one cell of a table holds a value."""
        return True

    def seconds(self, values: Sequence[object]) -> float:
        """Estimate the seconds to parse values."""
        return 1e-6 * len(values)

    def decodes(self, values: Sequence[object]) -> bool:
        """Whether some of these values are files that native code has to decode."""
        return False

    @property
    def plain(self) -> Plain | None:
        """What a whole request of them can be checked and encoded by at once; None if they need a closer look."""
        return None

    def read(self, cells: Sequence[object]) -> list[object]:
        """Convert cells of a file to what a client would send; leave bad ones for `parse` to refuse."""
        return [None if is_missing(cell) else cell for cell in cells]

    def facts(self, cells: Sequence[object]) -> list[Any]:
        """Convert cells of a file to what validation checks."""
        return self.read(cells)

    @abstractmethod
    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse JSON values, one per instance; raise a RequestError that names the field."""

    def facts_of_cells(self, cells: pd.Series) -> pd.Series:
        """Return the facts about a whole column of a file."""
        import pandas as pd

        if not (found := distinct(cells)):
            return pd.Series(self.facts(cells.tolist()), index=cells.index)
        places, values = found
        return pd.Series(self.facts(values)).take(places).set_axis(cells.index)

    def parse_cells(self, cells: pd.Series, name: str) -> Array:
        """Read and parse a whole column of a file; a refusal is that of `parse`, and names the row."""
        if found := distinct(cells):
            places, values = found
            try:
                return self.parse(self.read(values), name)[places]
            except RequestError:
                pass  # the first bad row, not the first bad value, is to be named
        return self.parse(self.read(cells.tolist()), name)

    @abstractmethod
    def fit(self, values: Array) -> Fitted:
        """Fit the encoding to the training rows."""

    def fit_parts(self, parts: Iterable[Array]) -> Fitted:
        """Fit to training rows that come in chunks, with the same result as `fit`."""
        return self.fit(np.concatenate([*parts]))

    @abstractmethod
    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Encode parsed values as float32, one row each."""

    def pack(self, features: Array) -> Array:
        """Return encoded features of a file as they are kept for training, where that takes less room than float32."""
        return features

    @abstractmethod
    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return mean and standard deviation of each feature along the last axis of `encode`, or one for all.

        The model scales by them inside its graph.
        """

    def vocabulary_size(self, fitted: Fitted) -> int:
        """Return how many ids there are where features are ids and no quantities; 0 elsewhere."""
        return 0

    @abstractmethod
    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of one value."""

    @abstractmethod
    def to_json(self, values: Array) -> list[Any]:
        """Convert parsed values back to JSON values."""
