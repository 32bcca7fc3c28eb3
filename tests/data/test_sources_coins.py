"""Generated minute bars: the file is ordered and complete, and flaws of real files are detected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from workspaces import ROOT

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.data.sources.coins import Coins
from tiltyard.errors import DataError
from tiltyard.validation import validate
from tiltyard.workspace import Workspace

Lines = list[str]


def fetched(workspace: Workspace) -> tuple[Task, Path]:
    """Fetch some bars for the task of the catalogue."""
    path = workspace.task_file("crypto_direction")
    files.write_text(path, Workspace(ROOT).task_file("crypto_direction").read_text(encoding="utf-8"))
    task = loader.load(workspace, "crypto_direction")
    task = task.model_copy(update={"rows": (400, 600), "source": Coins(kind="coins", rows=500)})
    with files.atomic_folder(workspace.raw(task.name)) as folder:
        task.source.fetch(folder, workspace)
    return task, workspace.raw(task.name) / "series.csv"


def test_three_coins_lag_the_first_by_a_minute(workspace: Workspace) -> None:
    """Steps of three coins correlate with the previous step of the first."""
    _, path = fetched(workspace)
    table = np.genfromtxt(path, delimiter=",", names=True)
    steps = {coin: np.diff(np.log(table[f"{coin}_close"])) for coin in ("btc", "eth")}
    assert np.corrcoef(steps["btc"][:-1], steps["eth"][1:])[0, 1] > 0.3
    assert abs(np.corrcoef(steps["btc"], steps["eth"])[0, 1]) < 0.15
    assert (np.diff(table["unix"]) == 60).all()
    assert (table["eth_volume"] == 0).sum() > 0  # a minute without a trade, filled


def newest_first(lines: Lines) -> Lines:
    """Reverse the rows, as exchanges publish them."""
    return [lines[0], *lines[:0:-1]]


def with_a_gap(lines: Lines) -> Lines:
    """Remove a minute."""
    return [*lines[:100], *lines[101:]]


def shifted(lines: Lines) -> Lines:
    """Assign wrong names to columns: six names for nine columns."""
    head = lines[0].split(",")
    return [",".join([head[0], *head[2:], head[1]]), *lines[1:]]


@pytest.mark.parametrize("insert_flaw", [newest_first, with_a_gap, shifted])
def test_common_flaws_are_detected(workspace: Workspace, insert_flaw: Callable[[Lines], Lines]) -> None:
    """Flaws are detected before training."""
    task, path = fetched(workspace)
    validate.validate(workspace, task)
    lines = insert_flaw(path.read_text(encoding="utf-8").splitlines())
    files.write_text(path, "\n".join(lines) + "\n")
    with pytest.raises(DataError):
        validate.validate(workspace, task)


def test_repeated_header_is_dropped_and_reported(workspace: Workspace) -> None:
    """Repeated headers of concatenated files are dropped and reported."""
    task, path = fetched(workspace)
    lines = path.read_text(encoding="utf-8").splitlines()
    files.write_text(path, "\n".join([*lines[:50], lines[0], *lines[50:]]) + "\n")
    validation = validate.validate(workspace, task)
    assert any("header" in repair for repair in validation.repairs)
