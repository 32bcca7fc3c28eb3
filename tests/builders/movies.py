"""Films with several genres each, which depend on budget, length, studio and the words of the title."""

from __future__ import annotations

import numpy as np
import pandas as pd

GENRES = ["Action", "Comedy", "Drama", "Horror", "War"]
WORDS = {"Action": "chase", "Comedy": "funny", "Drama": "tears", "Horror": "night", "War": "front"}
STUDIOS = ["Blue Lake", "Kestrel", "Northside"]


def label_sets(rows: int = 400) -> list[list[str]]:
    """Return the genres of each film, in alphabetical order; some films have none."""
    return [[genre for genre, flag in zip(GENRES, flags, strict=True) if flag] for flags in _flags(rows)[1]]


def movies(rows: int = 400, separator: str = "|") -> pd.DataFrame:
    """Return the table; a cell of `genres` holds all genres of a film."""
    causes, _ = _flags(rows)
    dice, sets = np.random.default_rng(1), label_sets(rows)
    filler = ["the", "last", "of", "a", "long", "summer", "red", "house"]
    titles = [
        " ".join([*dice.choice(filler, 4), *(WORDS[genre] for genre in genres if dice.random() < 0.8)])
        for genres in sets
    ]
    return pd.DataFrame(
        {
            "title": [f"{title} {place}" for place, title in enumerate(titles)],
            "budget": (40 + 15 * causes[:, 0]).round(2),
            "minutes": (100 + 20 * causes[:, 1]).round(1),
            "studio": np.array(STUDIOS)[np.digitize(causes[:, 2], [-0.5, 0.5])],
            "genres": [separator.join(genres) for genres in sets],
        }
    )


def _flags(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return three causes of each film, and which genres it has."""
    dice = np.random.default_rng(0)
    causes = dice.normal(size=(rows, 3))
    weights = np.array([[2.0, 0, 0], [-1, 0, 1.5], [0, 2, 0], [-1.5, -1, 0], [0, 1, -1.5]])
    starts = np.array([0.0, 0.3, 0.4, 0.9, 1.4])
    return causes, causes @ weights.T + 0.7 * dice.normal(size=(rows, 5)) > starts
