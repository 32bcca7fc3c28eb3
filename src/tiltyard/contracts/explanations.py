"""Contract of explanation methods: a reason why it does not apply, or reproducible figures as valid JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.explain.explain import load_model
from tiltyard.explain.methods.base import ExplanationMethod
from tiltyard.workspace import Workspace

DRAWN = {
    "lines": "lines",
    "points": "groups",
    "bars": "bars",
    "matrix": "values",
    "table": "rows",
    "images": "images",
    "words": "words",
}


def has_a_title(name: str) -> None:
    """The title is a phrase, not a sentence."""
    method: ExplanationMethod = plugins.load("explanations", name)()
    assert method.title
    assert not method.title.endswith(".")


def explain_twice(root: str, task: str, name: str) -> tuple[str, list[str]]:
    """Explain a trained model twice by one method; return why it does not apply, and both results as JSON."""
    results = [_explain(Workspace(Path(root)), task, name) for _ in range(2)]
    return results[0][0], [json.dumps(figures, allow_nan=False) for _, figures in results]


def _explain(space: Workspace, task: str, name: str) -> tuple[str, list[dict[str, Any]]]:
    model = load_model(space, loader.load(space, task))
    method: ExplanationMethod = plugins.load("explanations", name)()
    if reason := method.unsupported_reason(model):
        return reason, []
    return "", [asdict(one) for one in (*method.of_model(model), *method.of_row(model, model.row(0)))]


def explains_or_gives_a_reason(reason: str, first: str, again: str) -> None:
    """Texts end with a full stop, JSON has no NaN, figures are not empty, and two runs are equal."""
    assert first == again, "expected the same figures twice; they differ"
    figures = json.loads(first)
    assert bool(reason) != bool(figures), "expected a reason or figures"
    for one in figures:
        assert one["title"]
        assert one["text"].endswith("."), one["text"]
        assert one["data"][DRAWN[one["kind"]]]
