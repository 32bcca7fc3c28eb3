"""What pages of results say of verdicts: how many, those of another gate than today's, and the best rival."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import statistics
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import tiltyard

Json = dict[str, Any]
SOURCE = Path(tiltyard.__file__).parent
# What measures and judges. Networks, encoders and preparation change versions, not how these are judged.
JUDGING = ("gate/judge.py", "gate/checks", "evaluation/evaluate.py", "modeling/references", "config/gate_section.py")
FOLLOWED = (  # packages whose imports count, too
    *("gate", "evaluation", "modeling/metrics", "modeling/distances", "modeling/references", "modeling/evaluators"),
    *("modeling/inference/decision_threshold.py", "modeling/inference/held_out.py"),
)
DISPATCHING = ("gate", "evaluation")  # they import what belongs to single problems, by modules of the same name
IMPORT = re.compile(r"^\s*from (tiltyard[\w.]*) import ([\w, ]+|\([^)]*\))", re.MULTILINE)


def digest(content: Json) -> str:
    """Return the fingerprint for a task file: the code that judges its problem, and its gate section."""
    parts = [*map(_statements, _judging(content["problem"])), json.dumps(content.get("gate"), sort_keys=True)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _judging(problem: str) -> list[Path]:
    """Return the modules that judge a problem: what JUDGING and its evaluator import, but not of other problems."""
    others = {path.stem for path in _modules(SOURCE / "modeling" / "problems")} - {problem}
    waiting = [*(path for place in JUDGING for path in _modules(SOURCE / place))]
    waiting += _existing(SOURCE / "modeling" / "evaluators" / problem)
    found = set[Path]()
    while waiting:
        if (path := waiting.pop()) in found:
            continue
        found.add(path)
        skipped = others if _is_in(path, DISPATCHING) else ()
        waiting += [each for each in _imports(path) if each.stem not in skipped and _is_in(each, FOLLOWED)]
    return sorted(found)


def _imports(path: Path) -> list[Path]:
    """Return the modules of the package that a module imports, inside functions as well."""
    found = list[Path]()
    for package, names in IMPORT.findall(path.read_text(encoding="utf-8")):
        place = SOURCE.joinpath(*package.split(".")[1:])
        found += _existing(place)
        found += [module for name in re.findall(r"\w+", names) for module in _existing(place / name)]
    return found


def _existing(place: Path) -> list[Path]:
    return [path] if (path := place.with_suffix(".py")).is_file() else []


def _is_in(path: Path, places: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(SOURCE / place) for place in places)


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


def verdicts(content: Json, runs: list[Json]) -> str:
    """Return how often the gate gave each verdict; those of another gate than today's are stale."""
    today = digest(content)
    counts = Counter(("" if run.get("judged_by") == today else "stale: ") + str(run["verdict"]) for run in runs)
    return ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common())


def best_rival(runs: list[Json]) -> str:
    """Return the best simple rival, chosen by the gate on validation rows, and in how many runs it is surely better."""
    if not all("reference" in run for run in runs):
        return "not measured"
    found = [run["reference"] for run in runs if run["reference"]]
    if not found:
        return "none applies"
    names = Counter(reference["model"] for reference in found)
    surely = sum(reference["high"] < 0 for reference in found)
    better = f", surely better in {surely} of {len(runs)}" if surely else ""
    return f"{number(statistics.fmean(one['old'] for one in found))} ({names.most_common(1)[0][0]}{better})"


def number(value: float) -> str:
    """Return a value with about four digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}" if abs(value) >= 5 else f"{value:.4f}"
