"""The learning rate range test: losses by rate, a suggested rate, and an unchanged model."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from workspaces import edit_task, fetch_raw, run_in_process

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import TrainingError
from tiltyard.experiments import lr_range_test
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow


def _trials(names: list[str]) -> dict[str, str]:
    """Run the command with text and with JSON output."""
    from tiltyard.cli.commands.pipeline import train

    arguments = {"text": [*names, "--range-test"], "json": [*names, "--range-test", "--json"]}
    return {name: CliRunner().invoke(train, line, catch_exceptions=False).output for name, line in arguments.items()}


def _losses(workspace: Workspace, name: str, rates: list[float]) -> list[float]:
    """Return the best validation loss of a short training at each rate."""
    from tiltyard.training.train import train

    found = []
    for rate in rates:
        edit_task(workspace, name, {"train.learning_rate": rate})
        found.append(min(train(workspace, loader.load(workspace, name))["history"]["val_loss"]))
    return found


def test_suggested_rate_learns_and_the_project_is_unchanged(workspace: Workspace) -> None:
    """After a few epochs the suggested rate beats one thirty times lower and one a hundred times higher."""
    edit_task(workspace, "diabetes", {"train.epochs": 4, "train.patience": None, "train.schedule": "constant"})
    fetch_raw(workspace, "diabetes")
    prepare.prepare(workspace, loader.load(workspace, "diabetes"))
    before = files.sha256(workspace.out("diabetes", "prepare"))
    outputs = run_in_process(_trials, ["diabetes"])
    result = json.loads(outputs["json"])["diabetes"]
    assert f"the loss falls fastest at {result['suggested']:g}; train.learning_rate is 0.003" in outputs["text"]
    rates = [row["rate"] for row in result["rows"]]
    assert rates == sorted(rates)
    assert rates[0] == 1e-6
    folder = workspace.root / "out" / "diabetes"
    assert sorted(path.name for path in folder.iterdir()) == ["prepare", "range_test"]
    assert sorted(path.name for path in folder.glob("range_test/*")) == ["range_test.json", "range_test.png"]
    assert files.sha256(workspace.out("diabetes", "prepare")) == before
    rate = result["suggested"]
    good, low, high = run_in_process(_losses, workspace, "diabetes", [rate, rate / 30, rate * 100])
    assert good < low
    assert good < high


def test_loss_that_never_falls_is_an_error() -> None:
    """Without a falling loss no rate is suggested."""
    rows = [{"rate": 10.0**i, "loss": 1.0 + i} for i in range(5)]
    with pytest.raises(TrainingError, match="expected a loss that falls at some rate; it rose from the first"):
        lr_range_test.suggest(rows)


def test_suggestion_is_where_the_loss_falls_fastest() -> None:
    """The suggested rate is not the one with the lowest loss, where the loss is about to rise."""
    losses = [1.0, 1.0, 0.9, 0.5, 0.35, 0.3, 0.8]
    assert lr_range_test.suggest([{"rate": 10.0**i, "loss": loss} for i, loss in enumerate(losses)]) == 1000
