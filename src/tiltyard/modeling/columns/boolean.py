"""Boolean column: encoded as 1 or 0; files may write true and false in several ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tiltyard.arrays import Array, Fitted, is_missing, stack_columns
from tiltyard.errors import RequestError, format_value
from tiltyard.expectation import Expectation, in_set, not_null
from tiltyard.modeling.columns._cell import MISSING, CellColumn
from tiltyard.modeling.columns.base import PLAIN, Scale

SPELLED = {  # in English, German, French, Spanish and Italian
    **dict.fromkeys(("true", "yes", "t", "y", "on", "1", "1.0"), True),
    **dict.fromkeys(("false", "no", "f", "n", "off", "0", "0.0"), False),
    **dict.fromkeys(("wahr", "ja", "j", "vrai", "oui", "verdadero", "sí", "si", "vero", "sì", "✓"), True),
    **dict.fromkeys(("falsch", "nein", "faux", "non", "falso", "✗"), False),
}


class Boolean(CellColumn):
    """A column of true and false."""

    repeats: ClassVar = True

    restores: ClassVar = True

    type: Literal["boolean"] = "boolean"
    missing: Literal["refuse", "bucket"] = Field(
        "refuse", description="What to do with null or an empty cell: refuse it, or encode it as an extra feature."
    )

    def expectations(self, name: str) -> list[Expectation]:
        """Expect true or false, in every row unless values may be missing."""
        return [*([not_null(name)] if self.missing == "refuse" else []), in_set(name, [True, False])]

    def read(self, cells: Sequence[object]) -> list[object]:
        """Convert the usual words for true and false, in upper or lower case."""
        read = [None if is_missing(cell) else SPELLED.get(str(cell).strip().lower(), cell) for cell in cells]
        return [None if isinstance(value, str) and value.strip() in self.na_texts else value for value in read]

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse true, false, 1, 0, the words that files use, and null if values may be missing."""
        parsed = [self._parse_text(value) if isinstance(value, str) else value for value in values]
        for i, value in enumerate(parsed):
            is_boolean = type(value) is bool or (type(value) is int and value in (0, 1))
            if not is_boolean and not (value is None and self.missing == "bucket"):
                message = f"expected true or false; received {format_value(value)}"
                raise RequestError("wrong_type", message, f"instances[{i}].{name}")
        return np.array(parsed, dtype=np.float64)

    def _parse_text(self, text: str) -> object:
        """Return what a text of a request means: true, false, or a missing value if one is allowed."""
        bare = text.strip()
        if self.missing == "bucket" and (bare in self.na_texts or bare in MISSING):
            return None
        return SPELLED.get(bare.lower(), text)

    def fit(self, values: Array) -> Fitted:
        """Return nothing: there is nothing to fit."""
        return {}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Return 1 or 0, and a missing-value flag if values may be missing."""
        missing = np.isnan(values)
        return stack_columns([np.where(missing, 0, values), *([missing] if self.missing == "bucket" else [])])

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return no scaling, since the features are flags."""
        return [PLAIN] * (2 if self.missing == "bucket" else 1)

    def restore(self, features: Array, fitted: Fitted) -> list[Any]:
        """Return true where the feature is nearer to 1, and null where the flag for missing values is."""
        missing = features[:, 1] > 0.5 if self.missing == "bucket" else np.zeros(len(features), dtype=bool)
        return [None if flag else value for value, flag in zip((features[:, 0] > 0.5).tolist(), missing, strict=True)]

    def restored_schema(self) -> dict[str, Any]:
        """Return the schema: true or false."""
        return {"type": ["boolean", "null"] if self.missing == "bucket" else "boolean"}

    def json_schema(self) -> dict[str, Any]:
        """Return the schema: true or false, 1 or 0, or the words that files use."""
        return {"enum": [True, False, 1, 0, *SPELLED, *([None] if self.missing == "bucket" else [])]}

    def to_json(self, values: Array) -> list[Any]:
        """Return true, false or null."""
        return [None if math.isnan(value) else bool(value) for value in values]
