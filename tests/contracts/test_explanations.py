"""Every way of explaining: a reason why not, or exhibits that any page and program can read, the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import generated_tasks
import pytest
from known_models import explain_twice
from workspaces import new_workspace, run_in_process, train_tasks

from tiltyard import plugins
from tiltyard.explain.methods.base import Explanation
from tiltyard.workspace import Workspace

DRAWN = {
    "lines": "lines",
    "points": "groups",
    "bars": "bars",
    "matrix": "values",
    "table": "rows",
    "pictures": "pictures",
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
    """The class is called as the file; the title says what is seen, and is no sentence."""
    made: Explanation = plugins.load("explanations", explanation_name)()
    assert made.title
    assert not made.title.endswith(".")


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_shows_something_or_says_why_not(
    explanation_name: str, subject: str, trained: Workspace, moody: Workspace
) -> None:
    """Texts end with a full stop, JSON has no NaN, what is drawn is not empty, and the same is seen each time."""
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
    """There is a way for every kind of row that needs nothing but the judged model."""
    for subject, way in zip(SUBJECTS, ("shap", "lime", "lime", "occlusion", "occlusion"), strict=True):
        root = (moody if subject == "moods" else trained).root
        assert run_in_process(explain_twice, str(root), subject, way)[0] == ""
