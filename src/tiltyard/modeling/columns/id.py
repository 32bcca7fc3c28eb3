"""Column of identifiers, such as users or products: one number for each that training rows have, 0 for any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tiltyard.arrays import Array, Cells, Coded, Fitted, is_missing
from tiltyard.errors import DataError, RequestError, format_value
from tiltyard.expectation import Expectation, not_null
from tiltyard.modeling.columns._cell import CellColumn
from tiltyard.modeling.columns.base import PLAIN, Scale
from tiltyard.modeling.columns.category import LONGEST, name_of_cell

MOST = 500_000  # identifiers: each has a vector in the network, and a place in encoder.json
UNKNOWN = 0  # the code of an identifier that training rows do not have


class Id(CellColumn):
    """A column of identifiers, which a network looks up in a table of vectors."""

    repeats: ClassVar = True

    type: Literal["id"] = "id"
    fewest: int = Field(
        1, ge=1, description="Training rows that an identifier needs for a vector of its own; else it is unknown."
    )

    def expectations(self, name: str) -> list[Expectation]:
        """Expect an identifier in every row."""
        return [not_null(name)]

    def read(self, cells: Sequence[object]) -> list[object]:
        """Return every cell as text, and None for those that mean a missing value."""
        words = self.na_texts
        names = [None if is_missing(cell) else name_of_cell(cell) for cell in cells]
        return [None if name is None or name.strip() in words else name for name in names]

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse identifiers: text or whole numbers; one that is not known is none the less valid."""
        for i, value in enumerate(values):
            if error := _error(value):
                raise RequestError(*error, f"instances[{i}].{name}")
        return np.array([str(value) for value in values], dtype=np.str_)

    def fit(self, values: Array) -> Fitted:
        """Learn the identifiers."""
        return self.fit_parts([values])

    def fit_parts(self, parts: Iterable[Cells]) -> Fitted:
        """Count identifiers chunk by chunk; the most frequent one comes first."""
        counts: Counter[str] = Counter()
        for cells in parts:
            if isinstance(cells, Coded):
                rows = np.bincount(cells.places, minlength=len(cells.distinct)).tolist()
                for value, count in zip(cells.distinct.tolist(), rows, strict=True):
                    counts[value] += count
            else:
                counts.update(cells.tolist())
        known = [value for value, count in counts.items() if count >= self.fewest]
        if not 1 <= len(known) <= MOST:
            raise DataError(
                f"expected 1 to {MOST:,} identifiers with {self.fewest} training rows or more; received {len(known):,}",
                hint="change `fewest`, the rows that an identifier needs",
            )
        return {"values": sorted(known, key=lambda value: (-counts[value], value))}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Return the code of each identifier, from 1 on; 0 if it is not known."""
        codes = {value: code for code, value in enumerate(fitted["values"], 1)}
        return np.array([[codes.get(value, UNKNOWN)] for value in values.tolist()], dtype=np.float32)

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return no scaling: a code is looked up."""
        return [PLAIN]

    def json_schema(self) -> dict[str, Any]:
        """Return the schema: any text or whole number."""
        return {"type": ["string", "integer"]}

    def to_json(self, values: Array) -> list[Any]:
        """Return the identifiers as text."""
        return [*values.tolist()]


def _error(value: object) -> tuple[str, str] | None:
    """Return the error code and the message for a value that is no identifier."""
    if is_missing(value) or not isinstance(value, str | int) or isinstance(value, bool):
        return "wrong_type", f"expected text or a whole number; received {format_value(value)}"
    if isinstance(value, int) and abs(value) >= 2**63:
        return "out_of_bounds", "expected a whole number of at most 64 bits"
    if isinstance(value, str) and len(value) > LONGEST:
        return "too_long", f"expected at most {LONGEST} characters; received {len(value)}"
    return None
