"""Made minute bars: what is written is in order and whole, and what is wrong with the real ones is caught."""

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
    with files.replacing_folder(workspace.raw(task.name)) as folder:
        task.source.fetch(folder, workspace)
    return task, workspace.raw(task.name) / "series.csv"


def test_three_coins_follow_the_first_by_a_minute(workspace: Workspace) -> None:
    """That is what there is to be learned: steps of the others go with the first one's last step."""
    _, path = fetched(workspace)
    table = np.genfromtxt(path, delimiter=",", names=True)
    steps = {coin: np.diff(np.log(table[f"{coin}_close"])) for coin in ("btc", "eth")}
    assert np.corrcoef(steps["btc"][:-1], steps["eth"][1:])[0, 1] > 0.3
    assert abs(np.corrcoef(steps["btc"], steps["eth"])[0, 1]) < 0.15
    assert (np.diff(table["unix"]) == 60).all()
    assert (table["eth_volume"] == 0).sum() > 0  # a minute without a trade, filled


def newest_first(lines: Lines) -> Lines:
    """Turn the file round, as exchanges have it."""
    return [lines[0], *lines[:0:-1]]


def with_a_gap(lines: Lines) -> Lines:
    """Leave a minute out."""
    return [*lines[:100], *lines[101:]]


def shifted(lines: Lines) -> Lines:
    """Return the columns names that belong to others: six names for nine columns did so."""
    head = lines[0].split(",")
    return [",".join([head[0], *head[2:], head[1]]), *lines[1:]]


@pytest.mark.parametrize("spoil", [newest_first, with_a_gap, shifted])
def test_the_flaws_of_such_files_are_caught(workspace: Workspace, spoil: Callable[[Lines], Lines]) -> None:
    """Before anything is learned from them."""
    task, path = fetched(workspace)
    validate.validate(workspace, task)
    lines = spoil(path.read_text(encoding="utf-8").splitlines())
    files.write_text(path, "\n".join(lines) + "\n")
    with pytest.raises(DataError):
        validate.validate(workspace, task)


def test_a_header_among_the_rows_is_left_out_and_told(workspace: Workspace) -> None:
    """Files that were put together from several hold it again and again."""
    task, path = fetched(workspace)
    lines = path.read_text(encoding="utf-8").splitlines()
    files.write_text(path, "\n".join([*lines[:50], lines[0], *lines[50:]]) + "\n")
    validation = validate.validate(workspace, task)
    assert any("header" in repair for repair in validation.repairs)
