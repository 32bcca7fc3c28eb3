"""Divergence with bounded losses: a learning rate that is too high ends in an error, not in a model of no use."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from workspaces import ROOT, edit_task, fetch_raw, start_training

from tiltyard.config import loader
from tiltyard.preparation import prepare
from tiltyard.training.diagnosis import PATIENT, stalled_loss
from tiltyard.workspace import Workspace


@pytest.mark.parametrize(
    ("losses", "validation", "expected"),
    [
        ([5.0] * PATIENT, [5.0] * PATIENT, None),  # too few epochs to compare with earlier ones
        ([5.0, *[6.0] * PATIENT], [5.0, *[7.0] * PATIENT], 6.0),
        ([5.0, *[6.0] * (PATIENT - 1), 4.9], [7.0] * (PATIENT + 1), None),  # the last epoch lowered it
        ([0.5, *[6.0] * PATIENT], [0.5, *[2.0] * PATIENT], 2.0),
        ([0.5, *[0.4] * PATIENT], [0.5, *[9.0] * PATIENT], None),  # over-fit: the training loss falls
        ([0.4, *[0.4] * PATIENT], [0.5, *[9.0] * PATIENT], 0.4),  # over-fit: the training loss stays low
    ],
)
def test_loss_is_stalled_if_no_late_epoch_lowered_it(
    losses: list[float], validation: list[float], expected: float | None
) -> None:
    """The lowest loss of the last epochs counts, on either kind of rows."""
    assert stalled_loss(losses, validation) == expected


def train(workspace: Workspace, name: str, changes: dict[str, Any]) -> str:
    """Train a task of generated points in another process; return its error, empty if there is none."""
    shutil.copy(ROOT / "tasks" / f"{name}.yaml", workspace.task_file(name))
    edit_task(workspace, name, {f"train.{key}": value for key, value in changes.items()})
    fetch_raw(workspace, name)
    prepare.prepare(workspace, loader.load(workspace, name))
    process = start_training(workspace, name)
    process.join(120)
    return "" if process.exitcode == 0 else (workspace.root / "error.txt").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("playground_circle", "expected a loss below that of the best constant, 0.69"),  # sigmoids are bounded
        ("playground_plane", "expected a finite loss; received NaN or infinity"),  # numbers are not
    ],
)
def test_rate_that_is_too_high_ends_in_an_error(workspace: Workspace, name: str, expected: str) -> None:
    """The training stops early, says why, and leaves no model; run again, it ends in the same way."""
    for _ in range(2):
        error = train(workspace, name, {"learning_rate": 3000, "epochs": 300})
        assert "TrainingError: training diverged in epoch" in error
        assert expected in error
        assert not workspace.out(name, "train").exists()


@pytest.mark.slow
def test_model_that_learns_nothing_is_no_divergence(workspace: Workspace) -> None:
    """A line on a circle is as bad as a constant, and no worse: the gate judges it."""
    assert train(workspace, "playground_circle_line", {"epochs": 20}) == ""
