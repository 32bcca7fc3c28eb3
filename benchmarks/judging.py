"""The fingerprint of the code and settings that a verdict depends on, by which pages tell a stale verdict."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import tiltyard

SOURCE = Path(tiltyard.__file__).parent
# What measures and judges. Networks, encoders and preparation change versions, not how these are judged.
JUDGING = (
    *("gate", "evaluation", "modeling/metrics", "modeling/references", "config/gate_section.py"),
    *("modeling/inference/decision_threshold.py", "modeling/inference/held_out.py", "modeling/evaluators/base.py"),
)


def digest(content: dict[str, Any]) -> str:
    """Return the fingerprint for a task file: judging code, the evaluator of its problem, and its gate section."""
    evaluators = sorted((SOURCE / "modeling" / "evaluators").glob(f"{content['problem']}.py"))
    modules = [*(path for place in JUDGING for path in _modules(SOURCE / place)), *evaluators]
    parts = [*(_statements(path) for path in modules), json.dumps(content.get("gate"), sort_keys=True)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _modules(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


@cache
def _statements(path: Path) -> str:
    """Return the code of a module as a syntax tree without docstrings, so that words can change."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            node.body = body[1:]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(statement: object) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
