"""Made minute bars of four coins, joined on their time: a stand-in for what exchanges publish, of known difficulty.

Exchanges give a file for each coin, newest first, without the minutes in which nobody traded; what is written is what
should be made of them: oldest first, one row a minute, gaps filled with the price before.
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
FOLLOWS = 0.35  # share of the first coin's last step in each step of the others, which a model can find out
MISSING = 0.01  # share of minutes without a trade


class Coins(Source):
    """Prices walk at random, but three of them follow the first by a minute."""

    kind: Literal["coins"]
    rows: int = Field(20_000, ge=100)
    seed: int = 0

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write series.csv with unix, and close and volume of each coin."""
        chance = np.random.default_rng(self.seed)
        first = chance.normal(0, 0.001, self.rows)
        joined: dict[str, Array] = {"unix": START + 60 * np.arange(self.rows)}
        for place, (coin, price) in enumerate(COINS.items()):
            steps = first if not place else FOLLOWS * np.roll(first, 1) + chance.normal(0, 0.0006, self.rows)
            bars = _bars(price * np.exp(np.cumsum(steps)), chance)
            joined |= {f"{coin}_{name}": values for name, values in _filled(bars, joined["unix"]).items()}
        lines = [",".join(joined), *(",".join(map(_spelled, row)) for row in zip(*joined.values(), strict=True))]
        files.write_text(folder / "series.csv", "\n".join(lines) + "\n")


def _bars(close: Array, chance: np.random.Generator) -> list[dict[str, float]]:
    """Return bars as an exchange has them: newest first, none where nothing was traded."""
    volume = np.exp(chance.normal(2, 1, len(close)))
    traded = chance.random(len(close)) >= MISSING
    traded[0] = True
    seconds = START + 60 * np.arange(len(close))
    rows = zip(seconds[traded], close[traded], volume[traded], strict=True)
    return [{"unix": float(t), "close": float(c), "volume": float(v)} for t, c, v in rows][::-1]


def _filled(bars: list[dict[str, float]], seconds: Array) -> dict[str, Array]:
    """Bring bars into the order of time, one a minute: without a trade the price stays, and nothing was sold."""
    known = {bar["unix"]: bar for bar in reversed(bars)}
    close, volume, last = [], [], 0.0
    for second in seconds.tolist():
        bar = known.get(float(second))
        last = bar["close"] if bar else last
        close.append(last)
        volume.append(bar["volume"] if bar else 0.0)
    return {"close": np.array(close), "volume": np.array(volume)}


def _spelled(value: float) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)
