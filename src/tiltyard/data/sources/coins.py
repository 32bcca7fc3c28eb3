"""Minute bars of several coins, joined by time: from the files of exchanges, or generated ones of known difficulty.

Exchanges publish one file for each coin, newest first, sometimes below a line with an address, and without minutes in
which there was no trade. This source writes them as they should be prepared: oldest first, one row for each minute,
gaps filled with the previous price.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.data import stand_in
from tiltyard.data.joins.times import LatestRows, Times
from tiltyard.data.sources._location import MIRROR, FileLocation
from tiltyard.data.sources.base import Source
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

Bars = dict[str, Array]  # unix, close and volume of each minute with a trade
COINS = {"btc": 30_000.0, "eth": 2_000.0, "ltc": 90.0, "bch": 250.0}  # prices to begin with
START = 1_600_000_020  # seconds, a full minute
MILLISECONDS = 100_000_000_000  # larger times are no seconds
FOLLOWS = 0.35  # share of the first coin's previous step in each step of the others, which a model can learn
MISSING = 0.01  # share of minutes without a trade
BEGINNINGS = ("unix", "close", "volume")  # of the columns' names, such as unix timestamp and volume btc
HEAD_LINES = 5  # within which the names of the columns are looked for


class Coins(Source):
    """Prices and volumes of coins by minute; generated, three of four prices follow the first by one minute."""

    kind: Literal["coins"]
    paths: dict[str, str] = Field(
        default={coin: f"{coin.upper()}-USD.csv" for coin in COINS},
        min_length=1,
        description="The file of each coin: a path, a URL, or a name that is searched. "
        "It has columns whose names begin with unix, close and volume.",
    )
    rows: int = Field(20_000, ge=100, description="The last minutes to take.")
    stand_in: bool = Field(
        default=False,
        description="Generate bars if none of the files is found; outputs say so, and the gate holds the model.",
    )
    seed: int = Field(0, description="The seed of generated bars.")

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write series.csv with unix, and close and volume of each coin."""
        if self.stand_in and not self._is_any_local(workspace):
            joined = self._generated()
            stand_in.mark(folder, f"generated bars stand in for files that are neither in the project nor in {MIRROR}")
        else:
            joined = _joined({coin: self._read(coin, workspace) for coin in self.paths}, self.rows)
        lines = [",".join(joined), *(",".join(map(_format, row)) for row in zip(*joined.values(), strict=True))]
        files.write_text(folder / "series.csv", "\n".join(lines) + "\n")

    def _is_any_local(self, workspace: Workspace) -> bool:
        """Return whether there is a file or an address: then the stand-in must not hide that others are missing."""
        found = [FileLocation(path=path, url=None, sha256=None).local_paths(workspace) for path in self.paths.values()]
        return any(not paths or any(path.is_file() for path in paths) for paths in found)

    def _read(self, coin: str, workspace: Workspace) -> Bars:
        """Return the bars of a coin, with times in seconds; several bars of a minute are refused."""
        location = FileLocation(path=self.paths[coin], url=None, sha256=None)
        try:
            with tempfile.TemporaryDirectory() as temporary:
                location.copy_to(copy := Path(temporary) / "bars.csv", workspace)
                return _read_bars(copy, location.safe_path)
        except SourceError as error:
            hint = "; or, for generated bars, which prove nothing: source.stand_in: true"
            raise SourceError(error.message, f"{error.hint or 'see source.paths'}{hint}") from None

    def _generated(self) -> dict[str, Array]:
        rng = np.random.default_rng(self.seed)
        first = rng.normal(0, 0.001, self.rows)
        joined: dict[str, Array] = {"unix": START + 60 * np.arange(self.rows)}
        for place, (coin, price) in enumerate(COINS.items()):
            steps = first if not place else FOLLOWS * np.roll(first, 1) + rng.normal(0, 0.0006, self.rows)
            joined |= _at(_bars(price * np.exp(np.cumsum(steps)), rng), joined["unix"], coin)
        return joined


def _read_bars(path: Path, name: str) -> Bars:
    """Read unix, close and volume of a file, whose names of columns may stand below other lines."""
    import pandas as pd

    with path.open(encoding="utf-8", errors="replace") as file:
        heads = [line.strip().lower().split(",") for line, _ in zip(file, range(HEAD_LINES), strict=False)]
    place = next((place for place, head in enumerate(heads) if len(_columns(head)) == len(BEGINNINGS)), None)
    if place is None:
        received = ", ".join(heads[0])[:100] if heads else "an empty file"
        raise SourceError(f"{name}: expected the columns unix, close and one of volume; received {received}")
    if place + 1 < len(heads) and len(heads[place]) != len(heads[place + 1]):  # each name would be that of another
        text = f"{len(heads[place])} names for {len(heads[place + 1])} columns"
        raise SourceError(f"{name}: expected a name for each column; received {text}", hint="correct its header")
    frame = pd.read_csv(path, skiprows=place, index_col=False)
    frame.columns = frame.columns.str.strip().str.lower()
    columns = _columns([*frame.columns])
    cells = {key: pd.to_numeric(frame[column], errors="coerce") for key, column in columns.items()}
    bars = pd.DataFrame(cells).dropna()
    bars["unix"] = np.where(bars["unix"] > MILLISECONDS, bars["unix"] / 1000, bars["unix"])
    if bars.empty or (bars["unix"] % 60 != 0).any() or bars["unix"].duplicated().any():
        raise SourceError(f"{name}: expected one bar for each full minute, with numbers")
    return {str(key): bars[key].to_numpy(np.float64) for key in bars}


def _columns(head: list[str]) -> dict[str, str]:
    """Return the first column for each beginning of a name, as far as there is one."""
    found = {key: next((name for name in head if name.strip().startswith(key)), None) for key in BEGINNINGS}
    return {key: name for key, name in found.items() if name is not None}


def _joined(bars: dict[str, Bars], rows: int) -> dict[str, Array]:
    """Join the coins on the minutes that all of them have, gaps included."""
    first = max(part["unix"].min() for part in bars.values())
    last = min(part["unix"].max() for part in bars.values())
    minutes = np.arange(first, last + 60, 60)[-rows:].astype(np.int64)
    if len(minutes) < rows:
        raise SourceError(f"source.rows: expected {rows:,} minutes that all coins have; received {len(minutes):,}")
    joined = {"unix": minutes}
    for coin, part in bars.items():
        joined |= _at(part, minutes, coin)
    return joined


def _at(bars: Bars, minutes: Array, coin: str) -> dict[str, Array]:
    """Return price and volume at each minute: without a trade, the price before and a volume of 0."""
    latest = LatestRows.of(np.zeros(len(bars["unix"]), dtype=np.int64), _times(bars["unix"]))
    none = np.zeros(len(minutes), dtype=np.int64)
    rows = latest.order[latest.find(none, _times(minutes), same_time=True, max_age=None)]
    traded = bars["unix"][rows] == minutes
    return {f"{coin}_close": bars["close"][rows], f"{coin}_volume": np.where(traded, bars["volume"][rows], 0.0)}


def _times(seconds: Array) -> Times:
    return Times(seconds, np.ones(len(seconds), dtype=bool), "numbers")


def _bars(close: Array, rng: np.random.Generator) -> Bars:
    """Return bars as an exchange publishes them: newest first, none for minutes without a trade."""
    volume = np.exp(rng.normal(2, 1, len(close)))
    traded = rng.random(len(close)) >= MISSING
    traded[0] = True
    seconds = START + 60 * np.arange(len(close))
    return {"unix": seconds[traded][::-1], "close": close[traded][::-1], "volume": volume[traded][::-1]}


def _format(value: float) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)
