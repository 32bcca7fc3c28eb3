"""Made pairs of known difficulty: dates as people write them, and the same day as a computer does."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tiltyard import files
from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace

FIRST, DAYS = date(1970, 1, 1), 22_000  # up to 2030
# Month and day are never both bare numbers: 3/4 would be two days, and no model could be right.
SPELLINGS = (
    *("%d %B %Y", "%d %b %Y", "%d. %B %Y", "%d-%b-%y", "%d %B, %Y"),
    *("%B %d, %Y", "%b %d, %Y", "%B %d %Y", "%A, %d %B %Y", "%A, %B %d, %Y", "%a %d %b %Y"),
    *("%Y %B %d", "%Y/%m/%d", "%d.%m.%Y"),
)


class Dates(Source):
    """Days drawn at random, each in a spelling drawn at random, with and without leading zeros, in any case."""

    kind: Literal["dates"]
    rows: int = Field(10_000, ge=10)
    seed: int = 0

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.csv with the columns written and iso."""
        chance = np.random.default_rng(self.seed)
        made = io.StringIO()
        writer = csv.writer(made, lineterminator="\n")
        writer.writerow(["written", "iso"])
        for _ in range(self.rows):
            day = FIRST + timedelta(days=int(chance.integers(DAYS)))
            writer.writerow([_spelled(day, chance), day.isoformat()])
        files.write_text(folder / "table.csv", made.getvalue())


def _spelled(day: date, chance: np.random.Generator) -> str:
    """Write a day by hand; month names are English whatever the machine's language is."""
    spelling = SPELLINGS[chance.integers(len(SPELLINGS))]
    bare = bool(chance.integers(2))
    parts = {
        "%d": str(day.day) if bare else f"{day.day:02}",
        "%m": str(day.month) if bare else f"{day.month:02}",
        "%Y": str(day.year),
        "%y": f"{day.year % 100:02}",
        "%B": MONTHS[day.month - 1],
        "%b": MONTHS[day.month - 1][:3],
        "%A": WEEKDAYS[day.weekday()],
        "%a": WEEKDAYS[day.weekday()][:3],
    }
    for mark, text in parts.items():
        spelling = spelling.replace(mark, text)
    return [spelling, spelling.lower(), spelling.upper()][chance.choice(3, p=[0.6, 0.3, 0.1])]


MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
