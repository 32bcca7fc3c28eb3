"""Truth tables: every combination of inputs once, with the output of the function."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiltyard.data.sources.truth_table import TruthTable
from tiltyard.workspace import Workspace

TABLES = {
    "and": "a,b,output\n0,0,0\n0,1,0\n1,0,0\n1,1,1\n",
    "or": "a,b,output\n0,0,0\n0,1,1\n1,0,1\n1,1,1\n",
    "xor": "a,b,output\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n",
    "a_not_b": "a,b,output\n0,0,0\n0,1,0\n1,0,1\n1,1,0\n",
    "buffer": "a,output\n0,0\n1,1\n",
}


@pytest.mark.parametrize("function", TABLES)
def test_table_is_that_of_the_function(tmp_path: Path, function: str) -> None:
    """The file is the table as textbooks write it."""
    TruthTable.model_validate({"kind": "truth_table", "function": function}).fetch(tmp_path, Workspace(tmp_path))
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == TABLES[function]
