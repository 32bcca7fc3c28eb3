"""Restarts: trainings from other seeds until one reaches its goal, and the best is kept."""

from __future__ import annotations

from typing import Any

import pytest
from workspaces import edit_task, fetch_raw, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.preparation import prepare
from tiltyard.report.sections.training import training_sections
from tiltyard.workspace import Workspace


def trained(workspace: Workspace, **train: Any) -> dict[str, Any]:
    """Train iris for two epochs; return the record."""
    edit_task(
        workspace, "iris", {f"train.{key}": value for key, value in {"epochs": 2, "patience": None, **train}.items()}
    )
    fetch_raw(workspace, "iris")
    prepare.prepare(workspace, loader.load(workspace, "iris"))
    train_tasks(workspace, "iris")
    record: dict[str, Any] = files.read_json(workspace.out("iris", "train") / "training.json")
    return record


@pytest.mark.slow
def test_best_of_all_attempts_is_kept(workspace: Workspace) -> None:
    """A goal out of reach takes all restarts; the record is that of the lowest validation loss."""
    record = trained(workspace, restarts=3, stop_at={"loss": 1e-9}, seed=5)
    attempts = record["attempts"]
    assert [attempt["seed"] for attempt in attempts] == [5, 6, 7, 8]
    best = min(attempts, key=lambda attempt: attempt["value"])
    assert record["seed"] == best["seed"]
    assert min(record["history"]["val_loss"]) == best["value"]
    task = loader.load(workspace, "iris")
    (section,) = (part for part in training_sections(task, {}, record) if part.title == "Restarts")
    assert section.content.count("<tr>") == 5


@pytest.mark.slow
@pytest.mark.parametrize("goal", [{"loss": 100.0}, {"accuracy": 0.01}])
def test_reached_goal_ends_the_restarts(workspace: Workspace, goal: dict[str, float]) -> None:
    """The first training reaches it, so no other follows."""
    assert len(trained(workspace, restarts=3, stop_at=goal)["attempts"]) == 1


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"restarts": 2}, "restarts: expected with stop_at on validation rows, which ends them"),
        ({"restarts": 2, "stop_at": {"loss": 1, "on": "training"}}, "restarts: expected with stop_at on validation"),
        ({"restarts": 2, "stop_at": {"loss": 1}, "members": 3}, "restarts: expected none with members or folds"),
        ({"restarts": 2, "stop_at": {"loss": 1}, "folds": 3}, "restarts: expected none with members or folds"),
    ],
)
def test_restarts_without_a_goal_are_refused(workspace: Workspace, train: dict[str, Any], message: str) -> None:
    """Without a goal on validation rows nothing ends them; ensembles and folds have trainings of their own."""
    edit_task(workspace, "iris", {f"train.{key}": value for key, value in train.items()})
    with pytest.raises(TaskError, match=message):
        loader.load(workspace, "iris")
