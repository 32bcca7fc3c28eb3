"""Draft a task of recommendations: identifiers of users and items, what describes each, and which ratings are good."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.config.draft.examples import example_value
from tiltyard.errors import DataError, TaskError

if TYPE_CHECKING:
    import pandas as pd

MOST_GOOD = 0.6  # share of the ratings that are good ones, at most
TITLE = re.compile(r"(?i)title|name")
USER = re.compile(r"(?i)^(user|customer|reader|member|client|reviewer|viewer|listener)s?([_ -]?(id|no|nr|number))?$")
ITEM = re.compile(
    r"(?i)^(item|movie|film|book|product|song|track|article|game|restaurant|recipe|show)s?([_ -]?(id|no|nr|number))?$"
)
FEWEST_EACH = 3  # ratings of a user and of an item, on average, in a table of ratings


def suggestions(rows: pd.DataFrame, target: str, dropped: Collection[str]) -> Iterator[str]:
    """Yield a sentence if the table looks like ratings of items by users."""
    names = [str(name) for name in rows if name != target and name not in dropped]
    users, items = ([name for name in names if pattern.search(name)] for pattern in (USER, ITEM))
    for user, item in itertools.islice(itertools.product(users, items), 1):
        if all(rows[name].nunique() * FEWEST_EACH <= len(rows) for name in (user, item)):
            options = f"--problem recommendation --user {user} --item {item}"
            yield f"{target}: if each row is the rating of an item by a user, learn to recommend: {options}"


def columns(named: tuple[str | None, str | None, str], others: dict[str, Any]) -> tuple[str, str]:
    """Return the columns of user and item; raise if they are not named, or if other options are."""
    user, item, target = named
    if not user or not item or len({user, item, target}) < 3:
        received = f"--user {user}, --item {item}, --target {target}"
        raise TaskError(
            f"recommendation: expected three different columns for user, item and rating; received {received}"
        )
    if received := next((name for name, value in others.items() if value), ""):
        raise TaskError(f"recommendation: expected --user, --item and --target alone; received {received}")
    return user, item


def profiles(rows: pd.DataFrame, traits: list[ColumnProfile], user: str, item: str) -> list[ColumnProfile]:
    """Return the profiles with identifiers; columns that describe neither a user nor an item are left out."""
    found = []
    for profile in traits:
        if profile.name in (user, item):
            found.append(replace(profile, kind="id", column={"type": "id"}, reason=""))
        elif profile.reason:
            found.append(profile)
        elif profile.kind == "category" and TITLE.search(profile.name) and _decides(rows, item, profile.name):
            found.append(profile.left_out(f"the title of the {item}, which is shown to people"))
        else:
            described = _describes(rows, profile.name, user, item)
            reason = "" if described else f"changes between the rows of one {user}, and of one {item}"
            found.append(profile.left_out(reason) if reason else profile)
    return found


def _describes(rows: pd.DataFrame, name: str, user: str, item: str) -> str:
    """Return the column that decides the value of another one; empty if none does."""
    return next((key for key in (item, user) if _decides(rows, key, name)), "")


def _decides(rows: pd.DataFrame, key: str, name: str) -> bool:
    pairs = rows[[key, name]].astype(str).drop_duplicates()
    return len(pairs) == rows[key].astype(str).nunique()


def sections(
    target: dict[str, Any], rows: pd.DataFrame, traits: list[ColumnProfile], user: str, item: str
) -> dict[str, Any]:
    """Return the sections columns, target, split, model, train and serve."""
    features = [profile for profile in traits if not profile.reason]
    ratings = rows[target["column"]].to_numpy(np.float64)
    others = [profile.name for profile in features if profile.name not in (user, item)]
    of_user = [name for name in others if _describes(rows, name, user, item) == user]
    title = next((p.name for p in traits if p.reason and TITLE.search(p.name) and _decides(rows, item, p.name)), None)
    interaction = {
        "user": user,
        "item": item,
        **({"user_features": of_user} if of_user else {}),
        **({"title": title} if title else {}),
        "relevant": _relevant(ratings),
    }
    ends = [_whole(ratings.min()), _whole(ratings.max())]
    example = {
        profile.name: str(rows[profile.name].iloc[0])
        if profile.kind == "id"
        else example_value(profile, rows[profile.name])
        for profile in features
    }
    batch = min(1024, max(1, 2 ** int(math.log2(max(1, len(rows) * 0.1)))))
    return {
        "columns": {profile.name: profile.column for profile in features},
        "target": {"column": target["column"], "bounds": ends, "interaction": interaction},
        "split": {"kind": "random", "test": 0.1, "validation": 0.1},
        "model": {"family": "two_tower", "dropout": 0.4, "l2": 0.001},
        "train": {"epochs": 60, "batch_size": batch, "learning_rate": 0.002, "patience": 5},
        "serve": {"example": example},
    }


def gate() -> dict[str, Any]:
    """Return the section gate; vectors of users fit their few training ratings, so that the gap is large."""
    return {"metric": "rmse", "minimum_gain": 0.0, "max_gap": 0.95}


def _relevant(ratings: Any) -> float:
    """Return the lowest rating from which at most so many of all ratings are good."""
    values = np.unique(ratings)
    if len(values) < 2:
        raise DataError("--target: expected ratings of two values or more; all are the same")
    good = [value for value in values[1:] if float(np.mean(ratings >= value)) <= MOST_GOOD]
    return _whole(good[0] if good else values[-1])


def _whole(value: float) -> float:
    number = float(value)
    return int(number) if number.is_integer() else number
