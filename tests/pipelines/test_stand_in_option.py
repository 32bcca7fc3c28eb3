"""The option --allow-stand-in of `tiltyard run`: it reaches the search for unchanged tasks and the promotion alone."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.data import dvc
from tiltyard.pipelines import flow, steps, unchanged
from tiltyard.pipelines.task_outcome import TaskOutcome
from tiltyard.workspace import Workspace


@pytest.mark.parametrize("allowed", [False, True])
def test_option_reaches_the_promotion_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    """Stages know only whether they are current, and `promote` whether a stand-in is allowed."""
    received: dict[str, dict[str, Any]] = {}

    def fake(step: str) -> Any:
        def run(*_: str, **options: Any) -> Any:
            assert options.pop("return_state")
            received[step] = options
            return SimpleNamespace(result=lambda: "done")

        return run

    monkeypatch.setattr(steps, "STEPS", {step: fake(step) for step in steps.STEPS})
    monkeypatch.setattr(flow, "_record_result", lambda *_: None)
    monkeypatch.setattr("tiltyard.data.dvc.is_current", lambda *_: True)
    nothing: Any = lambda *_: None  # noqa: E731
    display: Any = SimpleNamespace(stopping=threading.Event(), begin=nothing, end=nothing, fail=nothing)
    row = TaskOutcome("iris")
    options = {"promote": {"allow_stand_in": allowed}}
    flow._run_steps(workspace, loader.load(workspace, "iris"), display, row, options)
    assert row.ok, row.error
    stages = {stage: {"current": True} for stage in dvc.STAGES}
    assert received == {"fetch": {}, **stages, "promote": {"allow_stand_in": allowed}}


def test_command_passes_the_option_on(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` asks for unchanged tasks with it, and prints the mark of stand-ins."""
    asked: list[bool] = []

    def find(*_: object, allow_stand_in: bool) -> list[TaskOutcome]:
        asked.append(allow_stand_in)
        return [TaskOutcome("iris", verdict="unchanged", stand_in="generated flowers")]

    monkeypatch.setattr(unchanged, "unchanged", find)
    monkeypatch.chdir(workspace.root)
    for arguments in ([], ["--allow-stand-in"]):
        result = CliRunner().invoke(cli, ["run", "iris", *arguments])
        assert result.exit_code == 0, result.output
        assert "iris: stand-in: generated flowers; figures on it prove nothing about the real data" in result.output
    assert asked == [False, True]
