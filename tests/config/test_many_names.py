"""Columns of many names in a draft: kept if the names say something about the target, and how many are learned."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tiltyard.config.draft import many_names
from tiltyard.config.draft.column_profile import TOO_MANY, profile_column

ROWS = 900


def _names(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, count, ROWS)


def _cells(place: np.ndarray) -> list[object]:
    return [f"name {number}" for number in place]


@pytest.mark.parametrize("labels", [True, False])
def test_names_with_an_effect_say_something(labels: bool) -> None:
    """Three rows for each name suffice to see that names differ in their mean target."""
    generator, place = np.random.default_rng(1), _names(300)
    numbers = generator.normal(size=300)[place] + generator.normal(size=ROWS)
    truth = np.where(numbers > 0, "yes", "no") if labels else numbers
    assert many_names.informative(_cells(place), truth.tolist(), labels=labels)


@pytest.mark.parametrize("labels", [1, 2, 8])
def test_names_at_random_say_nothing(labels: int) -> None:
    """At most two of thirty columns at random are kept; 1 stands for a skewed number."""
    kept = 0
    for seed in range(30):
        generator = np.random.default_rng(1000 + seed)
        truth = generator.lognormal(0, 2, ROWS) if labels == 1 else generator.integers(0, labels, ROWS)
        kept += many_names.informative(_cells(_names(200, seed)), truth.tolist(), labels=labels > 1)
    assert kept <= 2


def test_names_that_hardly_repeat_say_nothing() -> None:
    """No mean of another row exists for most of them."""
    place = np.arange(ROWS)
    assert not many_names.informative(_cells(place), place.tolist(), labels=False)


def test_column_of_many_names_is_kept_with_all_of_them() -> None:
    """A profile that was left out for its many names is a feature again, unless its names say nothing."""
    place = _names(300)
    rows = pd.DataFrame({"name": _cells(place), "y": np.random.default_rng(1).normal(size=300)[place]})
    profile = profile_column("name", rows["name"])
    assert profile.reason.endswith(TOO_MANY)
    kept = many_names.with_names(profile, rows, "y", "regression")
    assert (kept.reason, kept.column["top"]) == ("", profile.unique)
    rows["y"] = np.random.default_rng(2).normal(size=ROWS)
    assert many_names.with_names(profile, rows, "y", "regression") == profile
    assert many_names.with_names(profile, rows, "y", "multilabel") == profile


def test_fewer_names_are_learned_if_rows_are_many() -> None:
    """Each name is a feature of every row: the product is bounded, but fifty names are always learned."""
    profile = profile_column("name", pd.Series(_cells(_names(300))))
    for rows, expected in ((900, profile.unique), (200_000, 100), (10_000_000, 50)):
        assert many_names.learned(type(profile)(**{**vars(profile), "rows": rows})) == expected
