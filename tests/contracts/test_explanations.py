"""Every explanation method: a reason why it does not fit, or figures as valid JSON, the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import generated_tasks
import pytest
from known_models import explain_twice
from workspaces import new_workspace, run_in_process, train_tasks

from tiltyard import plugins
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
SUBJECTS = ("diabetes", "iris", "digits", "sine", "moods")  # tables, pictures, a series, texts


@pytest.fixture(scope="session")
def moody(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a trained task of texts."""
    space = new_workspace(tmp_path_factory.mktemp("moody"))
    generated_tasks.prepare_texts(space)
    train_tasks(space, "moods")
    return space


def test_has_a_title(explanation_name: str) -> None:
    """The title is a phrase, not a sentence."""
    made: ExplanationMethod = plugins.load("explanations", explanation_name)()
    assert made.title
    assert not made.title.endswith(".")


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_shows_something_or_says_why_not(
    explanation_name: str, subject: str, trained: Workspace, moody: Workspace
) -> None:
    """Texts end with a full stop, JSON has no NaN, figures are not empty, and two runs are equal."""
    root: Path = (moody if subject == "moods" else trained).root
    reason, (first, again) = run_in_process(explain_twice, str(root), subject, explanation_name)
    assert first == again
    exhibits = json.loads(first)
    assert bool(reason) != bool(exhibits), "expected a reason or exhibits"
    for one in exhibits:
        assert one["title"]
        assert one["text"].endswith("."), one["text"]
        assert one["data"][DRAWN[one["kind"]]]


@pytest.mark.slow
def test_each_model_is_seen_in_some_way(trained: Workspace, moody: Workspace) -> None:
    """For every modality there is a method that needs the ONNX model only."""
    for subject, way in zip(SUBJECTS, ("shap", "lime", "lime", "occlusion", "occlusion"), strict=True):
        root = (moody if subject == "moods" else trained).root
        assert run_in_process(explain_twice, str(root), subject, way)[0] == ""
