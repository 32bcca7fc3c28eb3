"""Generated minute bars of four coins, joined by time: synthetic data like those of exchanges, of known difficulty.

Exchanges publish one file for each coin, newest first, without minutes in which there was no trade. This source
writes them as they should be prepared: oldest first, one row for each minute, gaps filled with the previous price.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace

COINS = {"btc": 30_000.0, "eth": 2_000.0, "ltc": 90.0, "bch": 250.0}  # prices to begin with
START = 1_600_000_020  # seconds, a full minute
FOLLOWS = 0.35  # share of the first coin's previous step in each step of the others, which a model can learn
MISSING = 0.01  # share of minutes without a trade


class Coins(Source):
    """Four prices on a random walk, of which three follow the first by one minute."""

    kind: Literal["coins"]
    rows: int = Field(20_000, ge=100)
    seed: int = 0

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write series.csv with unix, and close and volume of each coin."""
        rng = np.random.default_rng(self.seed)
        first = rng.normal(0, 0.001, self.rows)
        joined: dict[str, Array] = {"unix": START + 60 * np.arange(self.rows)}
        for place, (coin, price) in enumerate(COINS.items()):
            steps = first if not place else FOLLOWS * np.roll(first, 1) + rng.normal(0, 0.0006, self.rows)
            bars = _bars(price * np.exp(np.cumsum(steps)), rng)
            joined |= {f"{coin}_{name}": values for name, values in _fill_gaps(bars, joined["unix"]).items()}
        lines = [",".join(joined), *(",".join(map(_format, row)) for row in zip(*joined.values(), strict=True))]
        files.write_text(folder / "series.csv", "\n".join(lines) + "\n")


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
