"""Generated pairs for sequence-to-sequence tasks: dates in many formats, and the same dates in ISO 8601."""

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
# Day and month are numbers in unambiguous formats only: 3/4 could be two different days.
FORMATS = (
    *("%d %B %Y", "%d %b %Y", "%d. %B %Y", "%d-%b-%y", "%d %B, %Y"),
    *("%B %d, %Y", "%b %d, %Y", "%B %d %Y", "%A, %d %B %Y", "%A, %B %d, %Y", "%a %d %b %Y"),
    *("%Y %B %d", "%Y/%m/%d", "%d.%m.%Y"),
)


class Dates(Source):
    """Random days, each in a random format, with and without leading zeros, in lower, upper or mixed case."""

    kind: Literal["dates"]
    rows: int = Field(10_000, ge=10, description="How many rows to make.")
    seed: int = Field(0, description="Seed of the pseudo-random numbers.")

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.csv with the columns written and iso."""
        rng = np.random.default_rng(self.seed)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["written", "iso"])
        for _ in range(self.rows):
            day = FIRST + timedelta(days=int(rng.integers(DAYS)))
            writer.writerow([_format(day, rng), day.isoformat()])
        files.write_text(folder / "table.csv", text.getvalue())


def _format(day: date, rng: np.random.Generator) -> str:
    """Return a day in a random format; names of months are English in any locale."""
    format_ = FORMATS[rng.integers(len(FORMATS))]
    short = bool(rng.integers(2))
    parts = {
        "%d": str(day.day) if short else f"{day.day:02}",
        "%m": str(day.month) if short else f"{day.month:02}",
        "%Y": str(day.year),
        "%y": f"{day.year % 100:02}",
        "%B": MONTHS[day.month - 1],
        "%b": MONTHS[day.month - 1][:3],
        "%A": WEEKDAYS[day.weekday()],
        "%a": WEEKDAYS[day.weekday()][:3],
    }
    for mark, text in parts.items():
        format_ = format_.replace(mark, text)
    return [format_, format_.lower(), format_.upper()][rng.choice(3, p=[0.6, 0.3, 0.1])]


MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
