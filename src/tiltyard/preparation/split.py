"""Split rows into training, validation and test rows: by content hash, time, group, or as the data says.

Hashing row contents keeps identical rows together, and the split stable when rows are reordered or added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.complete_split import combinations
from tiltyard.config.sections import Split
from tiltyard.config.task import Task
from tiltyard.errors import DataError, format_value, join_first
from tiltyard.modeling.columns._datetime_format import times
from tiltyard.preparation.row_hashes import row_keys

if TYPE_CHECKING:
    import pandas as pd

Parts = dict[str, Array]  # train, validation, test -> sorted row indices
SHUFFLE = np.uint64(0x9E3779B97F4A7C15)  # keys times this are ordered differently than the parts are
PART_COLUMN = "part"  # the fact of an image that holds the part in its file name
PART_NAMES = {"train": ("train", "training"), "validation": ("validation", "val", "valid"), "test": ("test", "testing")}


@dataclass(frozen=True)
class SplitInputs:
    """What the split depends on: a key that identical rows share, and times or parts from raw columns."""

    key: Array
    times: Array | None = None
    part: Array | None = None  # the part that the data assigns to each row
    grouped: bool = False  # the key is that of a group

    def take(self, index: Array) -> SplitInputs:
        """Return the inputs of some rows."""
        times, part = (None if array is None else array[index] for array in (self.times, self.part))
        return SplitInputs(self.key[index], times, part, self.grouped)


def split_inputs(task: Task, key: Array, cells: Callable[[str], pd.Series[Any]]) -> SplitInputs:
    """Return the inputs of the split; `key` holds the content hashes, `cells` returns a raw column."""
    split = task.split
    if split.complete:
        _refuse_incomplete(task, key)
    if split.kind == "given":
        return SplitInputs(key, part=_parse_parts(cells(split.by or PART_COLUMN), split.by or "the names of the files"))
    if split.group:
        return SplitInputs(group_keys(split, cells(split.group).map(str).to_numpy(dtype=np.str_)), grouped=True)
    date_format = split.format or getattr(task.columns.get(split.by or ""), "format", None)
    return SplitInputs(key, times=_parse_times(cells(split.by), split.by, date_format) if split.by else None)


def _refuse_incomplete(task: Task, key: Array) -> None:
    """Refuse a complete split unless each combination of the columns' values is there once."""
    expected, distinct = combinations(task.columns), len(np.unique(key))
    if not len(key) == distinct == expected:
        raise DataError(
            f"split.kind: complete: expected each of the {expected} combinations of the columns' values once; "
            f"received {distinct} of them in {len(key)} rows",
            hint="add the missing rows and remove repeated ones, or use a random split",
        )


def notes(split: Split, rows: int) -> list[str]:
    """Return what every report must say of the split; nothing unless test rows are not unseen."""
    if not split.complete:
        return []
    text = (
        f"all {rows} rows are training, validation and test rows at once: they are every combination of the columns' "
        "values, so no row is unseen, and the metrics say how well the model has learned these rows"
    )
    return [text]


def parse_part(name: str) -> str:
    """Return the part that a word means, such as validation for val; empty for other words."""
    return next((part for part, words in PART_NAMES.items() if name.strip().lower() in words), "")


def _parse_parts(cells: pd.Series[Any], where: str) -> Array:
    """Return the part of each row; refuse other words."""
    words = {word: parse_part(str(word)) for word in cells.unique()}
    if unknown := [str(word) for word, part in words.items() if not part]:
        text = f"received {join_first(sorted(unknown))} in {where}"
        raise DataError(f"split: expected train, validation or test for each row; {text}")
    return cells.map(words).to_numpy(dtype=np.str_)


def _parse_times(cells: pd.Series[Any], name: str, date_format: str | None) -> Array:
    """Return times as numbers; refuse other values."""
    numbers = times(cells, date_format)
    if numbers.isna().any():
        row = int(numbers.isna().to_numpy().argmax())
        value = format_value(cells.iloc[row])
        raise DataError(
            f"split.by: {name}: expected a number or a date in every row; row {row} holds {value}",
            hint="if it is a date in another format, set split.format, such as '%d.%m.%Y'",
        )
    return numbers.to_numpy()


def group_keys(split: Split, names: Array) -> Array:
    """Return the key of each row's group, so that rows of one group stay together."""
    groups, group_index = np.unique(names, return_inverse=True)
    return row_keys({"group": groups}, split.seed)[group_index]


def split_rows(split: Split, inputs: SplitInputs, truth: Array, gap: int = 0) -> Parts:
    """Return the row indices of each part.

    A chronological split leaves out `gap` rows at each border, because overlapping windows share values.
    """
    selected = _subsample(split, inputs)
    inputs, truth = inputs.take(selected), truth[selected]
    return {name: selected[index] for name, index in _assign(split, inputs, truth, gap).items()}


def unlabelled_rows(split: Split, inputs: SplitInputs, truth: Array, parts: Parts) -> Array:
    """Return the training rows, and those that `training_rows` leaves out, for learning without labels.

    Rows that equal a validation or test row are not among them.
    """
    every = split_rows(split.model_copy(update={"training_rows": None}), inputs, truth)
    learned = np.sort(np.concatenate([every["train"], every["validation"]]))
    apart = np.concatenate([inputs.key[parts[name]] for name in ("validation", "test")])
    return learned[~np.isin(inputs.key[learned], apart)]


def units(inputs: SplitInputs, index: Array, series_times: Array | None = None) -> Array | None:
    """Return the number of the group or the time step of some rows; None if rows are independent or in order of time.

    Rows of one group, and rows of one time step, depend on one another.
    """
    times = inputs.times if series_times is None else series_times
    values = inputs.key if inputs.grouped else times
    return None if values is None else np.unique(values[index], return_inverse=True)[1].astype(np.int64)


def _subsample(split: Split, inputs: SplitInputs) -> Array:
    """Choose as many rows as split.rows says: the latest by time, otherwise by key, so that identical rows stay."""
    if not split.rows or split.rows >= len(inputs.key):
        return np.arange(len(inputs.key))
    if split.kind == "chronological":
        order = np.arange(len(inputs.key)) if inputs.times is None else np.argsort(inputs.times, kind="stable")
        return np.sort(order[-split.rows :])
    shuffled_keys = inputs.key * SHUFFLE
    return np.flatnonzero(shuffled_keys < np.sort(shuffled_keys)[split.rows])


def _assign(split: Split, inputs: SplitInputs, truth: Array, gap: int) -> Parts:
    key = inputs.key
    if split.complete:
        return {name: np.arange(len(key)) for name in PART_NAMES}
    if split.kind == "chronological":
        order = np.arange(len(key)) if inputs.times is None else np.argsort(inputs.times, kind="stable")
        parts = {name: np.sort(order[index]) for name, index in _by_time(split, len(key), gap).items()}
    elif inputs.part is not None:
        parts = _by_part(split, key, inputs.part)
    elif split.kind == "random":
        parts = _by_key(split, key, np.arange(len(key)))
    else:
        stratum = truth[_first_identical(key)]
        groups = [_by_key(split, key, np.flatnonzero(stratum == label)) for label in np.unique(stratum)]
        parts = {name: np.sort(np.concatenate([group[name] for group in groups])) for name in groups[0]}
    parts = _with_fewer_rows(split, parts, key)
    _refuse_empty(parts, key)
    if split.kind == "chronological" and not gap:  # all other kinds keep identical rows together
        _refuse_overlap(parts, key)
    return parts


def _with_fewer_rows(split: Split, parts: Parts, key: Array) -> Parts:
    """Keep as many training and validation rows as the task says, chosen by key; identical rows stay together."""
    learned = np.concatenate([parts["train"], parts["validation"]])
    if not split.training_rows or split.training_rows >= len(learned):
        return parts
    shuffled_keys = key * SHUFFLE
    limit = np.sort(shuffled_keys[learned])[split.training_rows]
    kept = {name: parts[name][shuffled_keys[parts[name]] < limit] for name in ("train", "validation")}
    return {**parts, **kept}


def _by_part(split: Split, key: Array, part: Array) -> Parts:
    """Use the data's own split, without training rows that equal a validation or test row.

    If the data names no validation rows, they are a share of the training rows.
    """
    test, remaining = np.flatnonzero(part == "test"), np.flatnonzero(part != "test")
    remaining = remaining[~np.isin(key[remaining], key[test])]
    is_validation = part[remaining] == "validation"
    if not is_validation.any():
        is_validation = (
            key[remaining] < _key_quantile(np.sort(key[remaining]), split.validation)
            if len(remaining)
            else is_validation
        )
    validation, train = remaining[is_validation], remaining[~is_validation]
    return {"train": train[~np.isin(key[train], key[validation])], "validation": validation, "test": test}


def _first_identical(key: Array) -> Array:
    """Return for each row the index of the first identical one, whose label decides its stratum."""
    first_index, sorted_keys = np.arange(len(key)), np.sort(key)
    repeated = sorted_keys[1:][sorted_keys[1:] == sorted_keys[:-1]]
    if len(repeated):  # only repeated rows are sorted with their indices, which takes five times as long
        rows = np.flatnonzero(repeated[np.minimum(np.searchsorted(repeated, key), len(repeated) - 1)] == key)
        _, places, inverse = np.unique(key[rows], return_index=True, return_inverse=True)
        first_index[rows] = rows[places[inverse]]
    return first_index


def _by_time(split: Split, n: int, gap: int) -> Parts:
    test = n - round(n * split.test)
    validation = test - round(n * split.validation)
    return {
        "train": np.arange(validation),
        "validation": np.arange(validation + gap, test),
        "test": np.arange(test + gap, n),
    }


def _by_key(split: Split, key: Array, index: Array) -> Parts:
    """Assign the lowest keys to test and the next ones to validation; equal keys stay together."""
    sorted_keys = np.sort(key[index])
    test = _key_quantile(sorted_keys, split.test)
    validation = _key_quantile(sorted_keys, split.test + split.validation)
    selected = key[index]
    return {
        "train": index[selected >= validation],
        "validation": index[(selected >= test) & (selected < validation)],
        "test": index[selected < test],
    }


def _key_quantile(sorted_keys: Array, share: float) -> np.uint64:
    """Return the key below which `share` of the rows lie."""
    limit: np.uint64 = sorted_keys[min(round(len(sorted_keys) * share), len(sorted_keys) - 1)]
    return limit


def _refuse_empty(parts: Parts, key: Array) -> None:
    for name, index in parts.items():
        if not len(index):
            sizes = ", ".join(f"{part} {len(rows)}" for part, rows in parts.items())
            raise DataError(
                f"split: expected rows in every part; received {sizes}: {name} is empty", _too_few_hint(key)
            )


def _too_few_hint(key: Array) -> str:
    """Return a hint why there are too few rows."""
    distinct = len(np.unique(key))
    if distinct * 2 > len(key):
        return "get more rows, or make split.test and split.validation smaller"
    return f"rows that are the same in all features stay together, and only {distinct:,} of {len(key):,} differ"


def _refuse_overlap(parts: Parts, key: Array) -> None:
    """Refuse validation or test rows that are identical to training rows."""
    for name in ("validation", "test"):
        shared = parts[name][np.isin(key[parts[name]], key[parts["train"]])]
        if len(shared):
            first = ", ".join(map(str, shared[:10]))
            raise DataError(
                f"split: {len(shared)} rows of {name} are identical to training rows; the first are {first}",
                hint="drop repeated rows from the data, or use a random or stratified split, which keeps them together",
            )
