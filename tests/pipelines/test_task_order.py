"""The longest task of a run starts first."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspaces import edit_task, new_workspace

from tiltyard.pipelines.estimate import Estimate
from tiltyard.pipelines.task_order import longest_first
from tiltyard.workspace import Workspace

STEPS = ("fetch", "train")
NAMES = ["diabetes", "digits", "iris", "sine"]


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A project in which nothing has been run."""
    return new_workspace(tmp_path)


def _record(space: Workspace, seconds: dict[str, float]) -> Estimate:
    estimate = Estimate(space, STEPS, 1)
    for name, duration in seconds.items():
        for step in STEPS:
            estimate.record(name, step, "ran", duration / len(STEPS))
    return estimate


def test_numbers_that_training_reads_decide_before_a_run(space: Workspace) -> None:
    """Epochs, rows and the size of an example tell which task is likely to take longest."""
    assert longest_first(space, NAMES, Estimate(space, STEPS, 1)) == ["digits", "sine", "diabetes", "iris"]


def test_durations_of_the_last_run_decide_if_all_are_known(space: Workspace) -> None:
    """Durations count only if they can be compared."""
    known = {"diabetes": 8.0, "digits": 5.0, "iris": 3.0}
    assert longest_first(space, NAMES, _record(space, known))[0] == "digits"
    assert longest_first(space, NAMES, _record(space, {**known, "sine": 9.0})) == ["sine", "diabetes", "digits", "iris"]


def test_base_task_stays_before_tasks_that_wait_for_it(space: Workspace) -> None:
    """A base task is as urgent as itself and the longest task that starts from it."""
    edit_task(space, "digits", {"train.epochs": 1})
    text = space.task_file("digits").read_text(encoding="utf-8")
    space.task_file("child").write_text(text, encoding="utf-8")
    edit_task(space, "child", {"model": {"family": "transfer", "base": "digits"}, "train.epochs": 1000})
    order = longest_first(space, ["iris", "digits", "child"], Estimate(space, STEPS, 1))
    assert order == ["digits", "child", "iris"]


def test_invalid_task_file_is_last(space: Workspace) -> None:
    """It fails at once, whenever it starts."""
    space.task_file("digits").write_text("title: [", encoding="utf-8")
    assert longest_first(space, ["digits", "iris"], Estimate(space, STEPS, 1)) == ["iris", "digits"]
