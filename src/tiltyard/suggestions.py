"""Did you mean: the name nearest to a misspelt key, task, column or expectation, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MIN_SIMILARITY = 0.6  # of two names, from 0 to 1, so that one is suggested for the other


def similar_names(
    name: str, names: Iterable[str], *, limit: int = 1, min_similarity: float = MIN_SIMILARITY
) -> list[str]:
    """Return the names similar to a misspelt one, the nearest first."""
    return difflib.get_close_matches(name, [*names], n=limit, cutoff=min_similarity)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question in brackets that suggests the nearest name; empty if none is similar."""
    similar = similar_names(name, names)
    return f" (did you mean '{similar[0]}'?)" if similar else ""
