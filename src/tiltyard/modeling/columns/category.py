"""Categorical column, one-hot encoded; unseen values are refused or share a bucket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import not_
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array, Cells, Coded, Fitted, is_missing
from tiltyard.errors import RequestError, format_value
from tiltyard.expectation import Expectation, in_set, not_null
from tiltyard.modeling.columns._cell import CellColumn
from tiltyard.modeling.columns.base import PLAIN, Scale, tidy

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 1000  # characters: numpy stores each row of a request with the width of the longest one
MOST = 1000  # names, since every row has a feature for each
USUAL = 50  # learned names, if the task sets no number


class Category(CellColumn):
    """A column of names or codes."""

    one_hot: ClassVar = True
    repeats: ClassVar = True

    restores: ClassVar = True

    type: Literal["category"] = "category"
    values: list[str | int] | None = Field(
        None,
        min_length=1,
        exclude_if=lambda values: values is None,
        description="The values that may occur; if unset, the most frequent ones of the training rows are learned.",
    )
    unseen: Literal["refuse", "bucket"] = Field(
        "refuse", description="What to do with an unseen value when serving: refuse it, or encode all of them as one."
    )
    missing: Literal["refuse", "bucket"] = Field(
        "refuse",
        exclude_if="refuse".__eq__,
        description="What to do with null or an empty cell: refuse it, or encode it as a category of its own.",
    )
    drop_first: bool = Field(
        False,
        exclude_if=not_,
        description="The first of `values` has no feature of its own (dummy coding): it is where all others are 0.",
    )
    top: int | None = Field(
        None,
        ge=1,
        le=MOST,
        exclude_if=lambda top: top is None,
        description=f"How many values are learned if `values` is unset; {USUAL} if unset.",
    )

    @model_validator(mode="after")
    def _check_settings(self) -> Category:
        if self.values is None and self.unseen == "refuse":
            raise ValueError("values: expected the values that may occur, or `unseen: bucket` to learn them")
        if self.values is not None and self.top is not None:
            raise ValueError("top: expected only if values are learned; `values` names them")
        if self.drop_first and (len(self.names) < 2 or self.unseen != "refuse"):
            raise ValueError("drop_first: expected two or more `values`, and `unseen: refuse`: others would look alike")
        if len(self.names) > MOST:
            problem = f"expected at most {MOST}; received {len(self.names)}"
            raise ValueError(f"values: {problem}: leave `values` out, and set `unseen: bucket` and `top: {USUAL}`")
        if "" in self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"values: expected each name once, and none empty; received {self.values}")
        return self

    @property
    def names(self) -> list[str]:
        """The values as text, since a CSV file does not distinguish 1 from '1'; empty if they are learned."""
        return [str(value) for value in self.values or ()]

    def expectations(self, name: str) -> list[Expectation]:
        """Expect a value in every row unless it may be missing, and a known one if unseen values are refused."""
        return [
            *([not_null(name)] if self.missing == "refuse" else []),
            *([in_set(name, self.names)] if self.unseen == "refuse" else []),
        ]

    def read(self, cells: Sequence[object]) -> list[object]:
        """Return every cell as text."""
        names = [None if is_missing(cell) else name_of_cell(cell) for cell in cells]
        return self._with_nulls(names) if self.na else [*names]

    def _with_nulls(self, names: Sequence[object]) -> list[object]:
        """Return the names with None for those that mean a missing value."""
        words = self.na_texts
        return [None if str(name).strip() in words else name for name in names]

    def facts_of_cells(self, cells: pd.Series) -> pd.Series:
        """Return the names unchanged."""
        return cells if tidy(cells) and not self.na else super().facts_of_cells(cells)

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse names; refuse one that is not in the list, unless the column has a bucket for unseen values."""
        allowed = set(self.names)
        values = self._with_nulls(values) if self.na else values
        for i, value in enumerate(values):
            if error := self._error(value, allowed):
                raise RequestError(*error, f"instances[{i}].{name}")
        return np.array(["" if is_missing(value) else str(value) for value in values], dtype=np.str_)

    def _error(self, value: object, allowed: set[str]) -> tuple[str, str] | None:
        """Return the error code and the message for an invalid value; blank text counts as null, as in a file."""
        if is_missing(value):
            message = f"expected text or a whole number; received {format_value(value)}"
            return ("wrong_type", message) if self.missing == "refuse" else None
        if not isinstance(value, str | int) or isinstance(value, bool):
            return "wrong_type", f"expected text or a whole number; received {format_value(value)}"
        if isinstance(value, int) and abs(value) >= 2**63:
            return "out_of_bounds", "expected a whole number of at most 64 bits"
        if isinstance(value, str) and len(value) > LONGEST:
            return "too_long", f"expected at most {LONGEST} characters; received {len(value)}"
        if self.unseen == "refuse" and str(value) not in allowed:
            return "unseen", f"expected one of {', '.join(self.names)}; received {format_value(value)}"
        return None

    def fit(self, values: Array) -> Fitted:
        """Learn the most frequent values unless the task names them; ties in alphabetical order."""
        return self.fit_parts([values])

    def fit_parts(self, parts: Iterable[Cells]) -> Fitted:
        """Count names chunk by chunk, since all rows may not fit into memory."""
        if self.values is not None:
            return {}
        counts: Counter[str] = Counter()
        for cells in parts:
            if isinstance(cells, Coded):
                value_counts = np.bincount(cells.places, minlength=len(cells.distinct)).tolist()
                for value, count in zip(cells.distinct.tolist(), value_counts, strict=True):
                    counts[value] += count
            else:
                counts.update(cells.tolist())
        del counts[""]
        ranked = sorted(filter(counts.get, counts), key=lambda value: (-counts[value], value))
        return {"values": ranked[: self.top or USUAL]}

    def _feature_names(self, fitted: Fitted) -> list[str | None]:
        """Return the name of each feature: None for unseen values, '' for missing ones."""
        names: list[str | None] = [*(fitted["values"] if self.values is None else self.names[self.drop_first :])]
        return [
            *names,
            *([None] if self.unseen == "bucket" else []),
            *([""] if self.missing == "bucket" else []),
        ]

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Return the one-hot encoding, with a feature for unseen and one for missing values if the settings say so."""
        indices = {name: index for index, name in enumerate(self._feature_names(fitted))}
        unseen = indices.get(None, -1)
        codes = np.array([indices.get(value, unseen) for value in values.tolist()], dtype=np.int64)
        encoded: Array = (codes[:, None] == np.arange(len(indices))).astype(np.float32)
        return encoded

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return no scaling, since the features are flags."""
        return [PLAIN] * len(self._feature_names(fitted))

    def restore(self, features: Array, fitted: Fitted) -> list[Any]:
        """Return the name with the largest feature; null stands for a missing or an unseen value."""
        names = np.array([name or "" for name in self._feature_names(fitted)], dtype=object)
        chosen = names[features.argmax(axis=1)]
        if self.drop_first:  # the first name has no feature
            chosen = np.where(features.max(axis=1) < 0.5, self.names[0], chosen)
        return self.to_json(chosen)

    def restored_schema(self) -> dict[str, Any]:
        """Return the schema: one of the names, or null for a missing or an unseen value."""
        null = "bucket" in (self.unseen, self.missing)
        if self.values is None:
            return {"type": ["string", "null"] if null else "string"}
        return {"enum": [*self.values, *([None] if null else [])]}

    def json_schema(self) -> dict[str, Any]:
        """Return the schema: one of the values, or any text if there is a bucket."""
        null = ["null"] if self.missing == "bucket" else []
        if self.unseen == "bucket":
            examples = {"examples": self.values} if self.values else {}
            return {"type": ["string", "integer", *null], **examples}
        return {"enum": [*(self.values or ()), *([None] if null else [])]}

    def to_json(self, values: Array) -> list[Any]:
        """Return the values as the task file writes them, and null for missing ones."""
        json_values: dict[str, Any] = {"": None, **dict(zip(self.names, self.values or (), strict=True))}
        return [json_values.get(value, value) for value in values.tolist()]


def name_of_cell(cell: object) -> str:
    """Return the name as it was before a typed file changed it: 1 for 1.0, true for True."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).lower() if isinstance(cell, bool) else str(cell)
