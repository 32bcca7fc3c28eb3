"""Source `ratings`: generated ratings of items by users, who like some kinds of items better than others."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tiltyard import files
from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace

KINDS = ("comedy", "crime", "history", "poetry", "science")
LOWEST, HIGHEST = 1, 5


class Ratings(Source):
    """Each user has a taste, each item a kind and a quality; a rating is their sum with noise, 1 to 5.

    Items are rated the more often, the earlier they come, and the better the user likes their kind.
    """

    kind: Literal["ratings"]
    users: int = Field(60, ge=5, le=100_000)
    items: int = Field(40, ge=5, le=100_000)
    each: int = Field(15, ge=1, description="Ratings of each user.")
    seed: int = 0

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.csv with the columns reader, book, title, kind, pages and rating."""
        rng, text = np.random.default_rng(self.seed), io.StringIO()
        kinds, pages = rng.integers(0, len(KINDS), self.items), rng.integers(80, 900, self.items)
        quality, taste = rng.normal(0, 0.4, self.items), rng.normal(0, 1.1, (self.users, len(KINDS)))
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["reader", "book", "title", "kind", "pages", "rating"])
        for user in range(self.users):
            liking = taste[user, kinds]
            weights = np.exp(0.8 * liking) / (np.arange(self.items) + 5)
            chosen = rng.choice(self.items, min(self.each, self.items), replace=False, p=weights / weights.sum())
            for item in chosen.tolist():
                rating = round(float(3.2 + liking[item] + quality[item] + rng.normal(0, 0.5)))
                name = f"{KINDS[kinds[item]].title()} no. {item}"
                rating = min(max(rating, LOWEST), HIGHEST)
                writer.writerow([f"r{user}", f"b{item}", name, KINDS[kinds[item]], pages[item], rating])
        files.write_text(folder / "table.csv", text.getvalue())
