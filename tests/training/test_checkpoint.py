"""Checkpoints: written as often as their cost allows, and a training resumed from an old one has the same result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from workspaces import edit_task, fetch_raw, run_in_process

from tiltyard.config import loader
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow


def _saved(folder: Path, cost: float, epochs: int) -> list[int]:
    """Return the epochs of a training of one second each after which a state is written."""
    import keras

    from tiltyard.training import checkpoint

    clock, saved = [0.0], list[int]()

    class Slow(checkpoint.CheckpointCallback):
        def _save(self) -> None:
            saved.append(self.epoch)
            clock[0] += cost

    checkpoint.time.monotonic = lambda: clock[0]  # type: ignore[attr-defined]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    callback = Slow(folder / "state.npz", "", [])
    callback.set_model(model)
    callback.set_params({"epochs": epochs})
    model.stop_training = False
    for epoch in range(epochs):
        clock[0] += 1
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0})
    return saved


@pytest.mark.parametrize(
    ("cost", "expected"), [(0.01, list(range(1, 51))), (0.09, [*range(1, 50, 2), 50]), (1.0, [1, 21, 41, 50])]
)
def test_a_twentieth_of_the_time_is_spent_on_checkpoints(tmp_path: Path, cost: float, expected: list[int]) -> None:
    """The first and the last epoch are always saved, the others as the cost of the last checkpoint allows."""
    assert run_in_process(_saved, tmp_path, cost, 50) == expected


def _interrupted(root: Path, name: str, kept: int) -> list[Any]:
    """Train uninterrupted; then interrupted at epoch 9 with a state only of epoch `kept`. Return both records."""
    from tiltyard.training import checkpoint, fit, train

    space = Workspace(root)
    task, rows = loader.load(space, name), train.opened(space, loader.load(space, name))
    records = [fit.fit(task, rows, fit.RunPaths(root / "one", root / "logs", name)).record]
    save = checkpoint.CheckpointCallback._save
    checkpoint.CheckpointCallback._save = (  # type: ignore[method-assign]
        lambda self: save(self) if self.epoch == kept else None
    )

    def stop(epoch: int, _: float) -> None:
        if epoch == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit.fit(task, rows, fit.RunPaths(root / "two", root / "logs", name, stop))
    seen: list[int] = []
    again = fit.RunPaths(root / "two", root / "logs", name, lambda epoch, _: seen.append(epoch))
    records.append(fit.fit(task, rows, again).record)
    assert seen[0] == kept + 1
    return records


@pytest.mark.parametrize("kept", [1, 5])
def test_training_resumed_from_an_old_state_has_the_same_record(workspace: Workspace, kept: int) -> None:
    """The epochs since are repeated: with early stopping, a schedule and dropout, the record is the same."""
    settings = {"train.epochs": 30, "train.patience": 3, "train.schedule": "plateau", "train.learning_rate": 0.05}
    edit_task(workspace, "iris", {**settings, "model.dropout": 0.2})
    fetch_raw(workspace, "iris")
    prepare.prepare(workspace, loader.load(workspace, "iris"))
    expected, resumed = run_in_process(_interrupted, workspace.root, "iris", kept)
    assert resumed == expected
