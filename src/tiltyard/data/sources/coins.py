"""Minute bars of several coins, joined by time: from the files of exchanges, or generated ones of known difficulty.

Exchanges publish one file for each coin, newest first, sometimes below a line with an address, and without minutes in
which there was no trade. This source writes them as they should be prepared: oldest first, one row for each minute,
gaps filled with the previous price.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.data import stand_in
from tiltyard.data.sources._location import MIRROR, FileLocation
from tiltyard.data.sources.base import Source
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

COINS = {"btc": 30_000.0, "eth": 2_000.0, "ltc": 90.0, "bch": 250.0}  # prices to begin with
START = 1_600_000_020  # seconds, a full minute
MILLISECONDS = 100_000_000_000  # larger times are no seconds
FOLLOWS = 0.35  # share of the first coin's previous step in each step of the others, which a model can learn
MISSING = 0.01  # share of minutes without a trade
HEAD_LINES = 5  # within which the names of the columns are looked for


class Coins(Source):
    """Prices and volumes of coins by minute; generated, three of four prices follow the first by one minute."""

    kind: Literal["coins"]
    paths: dict[str, str] = Field(
        default={coin: f"{coin.upper()}-USD.csv" for coin in COINS},
        min_length=1,
        description="The file of each coin: a path, a URL, or a name that is searched. "
        "It has the columns unix and close, and one whose name begins with volume.",
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

    def _read(self, coin: str, workspace: Workspace) -> pd.DataFrame:
        """Return the bars of a coin by time, in seconds; several bars of a minute are refused."""
        location = FileLocation(path=self.paths[coin], url=None, sha256=None)
        try:
            with tempfile.TemporaryDirectory() as temporary:
                location.copy_to(copy := Path(temporary) / "bars.csv", workspace)
                return _read_bars(copy, coin, location.safe_path)
        except SourceError as error:
            hint = "; or, for generated bars, which prove nothing: source.stand_in: true"
            raise SourceError(error.message, f"{error.hint or 'see source.paths'}{hint}") from None

    def _generated(self) -> dict[str, Array]:
        rng = np.random.default_rng(self.seed)
        first = rng.normal(0, 0.001, self.rows)
        joined: dict[str, Array] = {"unix": START + 60 * np.arange(self.rows)}
        for place, (coin, price) in enumerate(COINS.items()):
            steps = first if not place else FOLLOWS * np.roll(first, 1) + rng.normal(0, 0.0006, self.rows)
            bars = _bars(price * np.exp(np.cumsum(steps)), rng)
            joined |= {f"{coin}_{name}": values for name, values in _fill_gaps(bars, joined["unix"]).items()}
        return joined


def _read_bars(path: Path, coin: str, name: str) -> pd.DataFrame:
    """Read unix, close and volume of a file, whose names of columns may stand below other lines."""
    import pandas as pd

    with path.open(encoding="utf-8", errors="replace") as file:
        heads = [line.strip().lower().split(",") for line, _ in zip(file, range(HEAD_LINES), strict=False)]
    place = next((place for place, head in enumerate(heads) if {"unix", "close"} <= {*head}), None)
    if place is None or not (volume := next((text for text in heads[place] if text.startswith("volume")), "")):
        received = ", ".join(heads[0])[:100] if heads else "an empty file"
        raise SourceError(f"{name}: expected the columns unix, close and one of volume; received {received}")
    frame = pd.read_csv(path, skiprows=place)
    frame.columns = frame.columns.str.strip().str.lower()
    times, close, volumes = (pd.to_numeric(frame[key], errors="coerce") for key in ("unix", "close", volume))
    bars = pd.DataFrame({f"{coin}_close": close.to_numpy(), f"{coin}_volume": volumes.to_numpy()})
    bars["unix"] = np.where(times > MILLISECONDS, times / 1000, times)
    bars = bars.dropna().sort_values("unix")
    if bars.empty or (bars["unix"] % 60 != 0).any() or bars["unix"].duplicated().any():
        raise SourceError(f"{name}: expected one bar for each full minute, with numbers")
    return bars.set_index("unix")


def _joined(bars: dict[str, pd.DataFrame], rows: int) -> dict[str, Array]:
    """Join the coins by minute: without a trade, the price is repeated and the volume is 0."""
    first = max(frame.index[0] for frame in bars.values())
    last = min(frame.index[-1] for frame in bars.values())
    minutes = np.arange(first, last + 60, 60)[-rows:]
    if len(minutes) < rows:
        raise SourceError(f"source.rows: expected {rows:,} minutes that all coins have; received {len(minutes):,}")
    joined: dict[str, Array] = {"unix": minutes.astype(np.int64)}
    for coin, frame in bars.items():
        close = frame[f"{coin}_close"].reindex(np.union1d(frame.index, minutes)).ffill()
        joined[f"{coin}_close"] = close.loc[minutes].to_numpy(np.float64)
        joined[f"{coin}_volume"] = frame[f"{coin}_volume"].reindex(minutes, fill_value=0.0).to_numpy(np.float64)
    return joined


def _bars(close: Array, rng: np.random.Generator) -> list[dict[str, float]]:
    """Return bars as an exchange publishes them: newest first, none for minutes without a trade."""
    volume = np.exp(rng.normal(2, 1, len(close)))
    traded = rng.random(len(close)) >= MISSING
    traded[0] = True
    seconds = START + 60 * np.arange(len(close))
    rows = zip(seconds[traded], close[traded], volume[traded], strict=True)
    return [{"unix": float(t), "close": float(c), "volume": float(v)} for t, c, v in rows][::-1]


def _fill_gaps(bars: list[dict[str, float]], seconds: Array) -> dict[str, Array]:
    """Sort bars by time, one for each minute; without a trade, repeat the price and set the volume to 0."""
    bars_by_time = {bar["unix"]: bar for bar in reversed(bars)}
    close, volume, last = [], [], 0.0
    for second in seconds.tolist():
        bar = bars_by_time.get(float(second))
        last = bar["close"] if bar else last
        close.append(last)
        volume.append(bar["volume"] if bar else 0.0)
    return {"close": np.array(close), "volume": np.array(volume)}


def _format(value: float) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)
