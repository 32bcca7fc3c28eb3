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
from tiltyard.data import stand_in
from tiltyard.data.sources.coins import START, Coins
from tiltyard.errors import DataError, SourceError
from tiltyard.validation import validate
from tiltyard.workspace import Workspace

Lines = list[str]


def fetched(workspace: Workspace) -> tuple[Task, Path]:
    """Fetch some bars for the task of the catalogue."""
    path = workspace.task_file("crypto_direction")
    files.write_text(path, Workspace(ROOT).task_file("crypto_direction").read_text(encoding="utf-8"))
    task = loader.load(workspace, "crypto_direction")
    task = task.model_copy(update={"rows": (400, 600), "source": Coins(kind="coins", rows=500, stand_in=True)})
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


def bars(prices: dict[int, float], *, milliseconds: bool = False) -> str:
    """Return a file as exchanges publish it: an address, then names, then bars, newest first."""
    lines = [
        f"{second * (1000 if milliseconds else 1)},2020-01-01,X/USD,{price},{price},{price},{price},2.5,{price * 2.5}"
        for second, price in sorted(prices.items(), reverse=True)
    ]
    return "\n".join(["https://www.example.com", "unix,date,symbol,open,high,low,close,Volume X,Volume USD", *lines])


def fetch_files(workspace: Workspace, content: dict[str, str], **settings: object) -> Path:
    """Write files of coins into the project and fetch them."""
    paths = {coin: f"{coin}.csv" for coin in ("btc", "eth")}
    for coin, text in content.items():
        (workspace.root / paths[coin]).write_text(text, encoding="utf-8")
    with files.atomic_folder(workspace.raw("coins")) as folder:
        Coins.model_validate({"kind": "coins", "paths": paths, "rows": 100, **settings}).fetch(folder, workspace)
    return workspace.raw("coins")


def test_files_of_exchanges_are_joined_by_minute(workspace: Workspace) -> None:
    """Bars are sorted, joined on the minutes of both, and filled; times may be milliseconds; nothing is marked."""
    minutes = range(START, START + 120 * 60, 60)
    btc = {second: 30_000.0 + place for place, second in enumerate(minutes)}
    eth = {second: 2_000.0 + place for place, second in enumerate(minutes) if place != 50}
    folder = fetch_files(workspace, {"btc": bars(btc), "eth": bars(eth, milliseconds=True)})
    table = np.genfromtxt(folder / "series.csv", delimiter=",", names=True)
    assert table.dtype.names == ("unix", "btc_close", "btc_volume", "eth_close", "eth_volume")
    assert table["unix"].tolist() == [*minutes][-100:]
    assert table["btc_close"].tolist() == [*btc.values()][-100:]
    (filled,) = np.flatnonzero(table["eth_volume"] == 0)
    assert table["unix"][filled] == minutes[50]
    assert table["eth_close"][filled] == 2_049.0
    assert not stand_in.reason(folder)


def test_a_missing_file_is_no_reason_to_generate_others(workspace: Workspace) -> None:
    """A stand-in is generated only if none of the files is found, and is marked; without one, the error says how."""
    with pytest.raises(SourceError, match=r"no file btc\.csv") as caught:
        fetch_files(workspace, {})
    assert "source.stand_in: true" in caught.value.hint
    assert stand_in.reason(fetch_files(workspace, {}, stand_in=True)).startswith("generated bars stand in")
    with pytest.raises(SourceError, match=r"no file eth\.csv"):
        fetch_files(workspace, {"btc": bars(dict.fromkeys(range(0, 6000, 60), 1.0))}, stand_in=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns unix, close and one of volume; received an empty file"),
        ("time,price\n1,2\n", "expected the columns unix, close and one of volume; received time, price"),
        (bars({60: 1.0, 130: 2.0}), "expected one bar for each full minute"),
        (bars({60: 1.0}) + "\n" + bars({60: 1.0}).splitlines()[-1], "expected one bar for each full minute"),
        (bars({60: 1.0, 120: 2.0}), "expected 100 minutes that all coins have; received 2"),
    ],
)
def test_flawed_files_of_coins_are_refused(workspace: Workspace, text: str, message: str) -> None:
    """Unknown columns, odd or repeated times, and too few minutes are refused with the reason."""
    with pytest.raises(SourceError, match=message):
        fetch_files(workspace, {"btc": text, "eth": text})
