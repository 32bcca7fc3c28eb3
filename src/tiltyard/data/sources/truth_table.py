"""Truth tables of logic gates: every combination of inputs, with the output of the function."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import Field

from tiltyard import files
from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace

FUNCTIONS: dict[str, tuple[tuple[str, ...], Callable[..., int]]] = {  # inputs, and the function of them
    "and": (("a", "b"), lambda a, b: a & b),
    "or": (("a", "b"), lambda a, b: a | b),
    "xor": (("a", "b"), lambda a, b: a ^ b),
    "buffer": (("a",), lambda a: a),
    "a_not_b": (("a", "b"), lambda a, b: a & (1 - b)),
}


class TruthTable(Source):
    """All rows of a function of one or two bits."""

    kind: Literal["truth_table"]
    function: Literal["and", "or", "xor", "buffer", "a_not_b"] = Field(description="The function of the gate.")

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.csv with the inputs and the column output."""
        inputs, function = FUNCTIONS[self.function]
        rows = [[*bits, function(*bits)] for bits in product((0, 1), repeat=len(inputs))]
        lines = [",".join([*inputs, "output"]), *(",".join(map(str, row)) for row in rows)]
        files.write_text(folder / "table.csv", "\n".join(lines) + "\n")
