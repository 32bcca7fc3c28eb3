"""Generated minute bars: the file is ordered and complete, and flaws of real files are detected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from workspaces import ROOT

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.data import stand_in
from tiltyard.data.joins import joined_table
from tiltyard.data.joins.rule import JoinRule
from tiltyard.data.sources.coins import COINS, START, Coins
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


def published(coin: str, prices: dict[int, float], *, names: str = "", header_again: bool = False) -> str:
    """Return a file with the nine columns of an exchange's archive, in milliseconds, newest first."""
    head = names or f"unix,date,symbol,open,high,low,close,Volume {coin},Volume USD"
    days = {second: f"{second}000,{pd.Timestamp(second, unit='s')},{coin}/USD" for second in prices}
    lines = [
        f"{days[second]},{close - 1},{close + 2},{close - 2},{close},.5,{close / 2}"
        for second, close in sorted(prices.items(), reverse=True)
    ]
    middle = [head] if header_again else []
    rows = [*lines[: len(lines) // 2], *middle, *lines[len(lines) // 2 :]]
    return "\n".join(["https://www.example.com/data", head, *rows]) + "\n"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with the files of four coins as an exchange publishes them: gaps, another start, a repeated header."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for place, (coin, price) in enumerate(COINS.items()):
        chance = np.random.default_rng(place)
        steps = np.exp(np.cumsum(chance.normal(0, 0.001, 700)))
        traded = {START + 60 * (minute - 10 * place): price * step for minute, step in enumerate(steps)}
        kept = {second: close for second, close in traded.items() if chance.random() > 0.02}
        text = published(coin.upper(), kept, header_again=coin == "eth")
        (folder / f"{coin.upper()}-USD.csv").write_text(text, encoding="utf-8")
    monkeypatch.setenv("TILTYARD_MIRROR", str(folder))
    return folder


@pytest.mark.usefixtures("archive")
def test_task_of_the_catalogue_runs_on_published_files(workspace: Workspace) -> None:
    """By their names in the mirror, real files take the place of the stand-in: validated, and not marked as one."""
    path = workspace.task_file("crypto_direction")
    files.write_text(path, Workspace(ROOT).task_file("crypto_direction").read_text(encoding="utf-8"))
    task = loader.load(workspace, "crypto_direction")
    task = task.model_copy(update={"rows": (400, 700), "source": task.source.model_copy(update={"rows": 600})})
    with files.atomic_folder(workspace.raw(task.name)) as folder:
        task.source.fetch(folder, workspace)
    assert not stand_in.reason(workspace.raw(task.name))
    validation = validate.validate(workspace, task)
    assert (validation.rows, validation.repairs) == (600, [])
    table = np.genfromtxt(workspace.raw(task.name) / "series.csv", delimiter=",", names=True)
    assert (np.diff(table["unix"]) == 60).all()
    assert 0 < (table["btc_volume"] == 0).sum() < 30


def test_names_that_are_fewer_than_columns_are_refused(workspace: Workspace, archive: Path) -> None:
    """Six names above nine columns, as in the notes, would give each column the name of another."""
    names = "unix,low,high,open,close,volume"
    (archive / "BTC-USD.csv").write_text(published("BTC", {60: 1.0, 120: 2.0}, names=names), encoding="utf-8")
    with pytest.raises(SourceError, match="expected a name for each column; received 6 names for 9 columns"):
        Coins(kind="coins", rows=100).fetch(workspace.raw("coins"), workspace)


def test_the_general_join_gives_the_same_prices(workspace: Workspace, archive: Path) -> None:
    """Joining the published files by time, with the first coin as the main table, finds the prices of this source."""
    with files.atomic_folder(workspace.raw("coins")) as folder:
        Coins(kind="coins", rows=600).fetch(folder, workspace)
    expected = pd.read_csv(workspace.raw("coins") / "series.csv").set_index("unix")
    raw = workspace.root / "raw"
    rule = JoinRule(time="unix", unmatched="drop", columns=["close"], max_age=3_600_000)
    joins = {coin: rule.model_copy(update={"prefix": f"{coin}_"}) for coin in ("eth", "ltc", "bch")}
    for coin in COINS:
        target = raw / ("table.csv" if coin == "btc" else f"joins/{coin}/table.csv")
        target.parent.mkdir(parents=True, exist_ok=True)
        address, _, table = (archive / f"{coin.upper()}-USD.csv").read_text(encoding="utf-8").partition("\n")
        assert address.startswith("https")
        target.write_text(table, encoding="utf-8")
    frame = joined_table.open_table(raw / "table.csv", None, joined_table.JoinedFiles(joins, raw)).to_frame()
    frame = frame.assign(unix=frame["unix"] // 1000).set_index("unix").loc[lambda one: one.index.isin(expected.index)]
    assert len(frame) > 550
    for coin in joins:
        assert np.allclose(frame[f"{coin}_close"], expected.loc[frame.index, f"{coin}_close"], rtol=1e-6)
