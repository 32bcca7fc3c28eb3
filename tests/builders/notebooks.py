"""Notebooks run without Jupyter: the code cells of a file in one namespace, with what each would display."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any


def code_cells(path: Path) -> list[str]:
    """Return the code of the cells in order."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def run(path: Path, **replacements: str) -> list[str]:
    """Run all cells; return for each what is displayed: the panel of its last expression, or its text."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    return [
        _run_cell(_replaced(cell, replacements), f"{path.name}[{n}]", namespace)
        for n, cell in enumerate(code_cells(path))
    ]


def _replaced(code: str, replacements: dict[str, str]) -> str:
    for name, value in replacements.items():
        code = code.replace(PLACES[name], value)
    return code


PLACES = {"url": "http://localhost:3000"}  # what a test may put another address for


def _run_cell(code: str, name: str, namespace: dict[str, Any]) -> str:
    tree = ast.parse(code, name)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), namespace)  # noqa: S102 - our own notebooks
    if not isinstance(last, ast.Expr):
        return ""
    value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)  # noqa: S307 - our own notebooks
    panel = getattr(value, "_repr_html_", None)
    return panel() if panel else repr(value)
