"""Split assignment with known keys: which rows each kind of split puts into each part, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from duels import cancer, duel_task

from tiltyard.arrays import Array
from tiltyard.config.sections import Split
from tiltyard.errors import DataError
from tiltyard.modeling.columns.date import Date
from tiltyard.preparation.split import SplitInputs, group_keys, parse_part, row_keys, split_inputs, split_rows

KEY = np.array([3, 9, 1, 7, 5, 0, 8, 2, 6, 4], dtype=np.uint64)
SHARES: dict[str, Any] = {"test": 0.3, "validation": 0.2}


def dealt(kind: Any, key: Array = KEY, truth: Array | None = None, reach: int = 0, **more: Any) -> dict[str, list[int]]:
    """Deal rows with marks, and give the places of each part."""
    marks = {name: more.pop(name) for name in ("times", "part") if name in more}
    how = Split(kind=kind, **{**SHARES, **more})
    found = split_rows(how, SplitInputs(key, **marks), np.zeros(len(key), int) if truth is None else truth, reach)
    return {name: index.tolist() for name, index in found.items()}


def test_the_lowest_keys_are_tested() -> None:
    """Of ten rows those with the three lowest, then two for validation; places rise."""
    assert dealt("random") == {"train": [1, 3, 4, 6, 8], "validation": [0, 9], "test": [2, 5, 7]}


def test_one_row_is_always_left_to_train() -> None:
    """Where shares are rounded up to all rows: the one with the highest key."""
    assert dealt("random", test=0.5, validation=0.49)["train"] == [1]


def test_each_label_is_dealt_by_itself() -> None:
    """Five rows of each: of either label two are tested, one validates."""
    truth = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    assert dealt("stratified", truth=truth, test=0.4) == {
        "train": [1, 3, 6, 8],
        "validation": [4, 9],
        "test": [0, 2, 5, 7],
    }


def test_a_row_with_two_labels_is_dealt_with_the_first_of_them() -> None:
    """The last row repeats the first, with another label: both are of the first one's."""
    key = np.array([0, 5, 6, 7, 8, 10, 11, 12, 13, 0], dtype=np.uint64)
    truth = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    assert dealt("stratified", key, truth, test=0.4)["test"] == [0, 5, 6, 9]


@pytest.mark.parametrize(
    ("reach", "parts"),
    [
        (0, {"train": [0, 1, 2, 3, 4], "validation": [5, 6], "test": [7, 8, 9]}),
        (1, {"train": [0, 1, 2, 3, 4], "validation": [6], "test": [8, 9]}),
    ],
)
def test_the_latest_rows_are_tested_and_borders_are_left_out(reach: int, parts: dict[str, list[int]]) -> None:
    """In the order of the file; by times in that of time, whatever the order of the file."""
    assert dealt("chronological", reach=reach) == parts
    times = np.arange(10.0)[::-1]
    turned = {name: sorted(9 - place for place in places) for name, places in parts.items()}
    assert dealt("chronological", reach=reach, times=times) == turned


def test_rows_of_one_time_keep_their_order() -> None:
    """The later ones in the file are the later ones."""
    assert dealt("chronological", times=np.zeros(10))["test"] == [7, 8, 9]


@pytest.mark.parametrize("kind", ["random", "stratified", "chronological"])
@pytest.mark.parametrize("rows", [10, 11])
def test_a_task_may_use_as_many_rows_as_there_are(kind: str, rows: int) -> None:
    """Or more: then all are dealt, as without a number."""
    assert dealt(kind, rows=rows) == dealt(kind)


def test_some_rows_by_time_are_the_latest() -> None:
    """By their times, not by the order of the file."""
    key, times = np.arange(20, dtype=np.uint64), np.arange(20.0)[::-1]
    found = dealt("chronological", key, rows=10, times=times)
    assert sorted(place for places in found.values() for place in places) == [*range(10)]
    assert found["test"] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["U", "S"])
@pytest.mark.parametrize("width", range(1, 9))
def test_a_key_does_not_depend_on_how_wide_a_column_of_texts_is(kind: str, width: int) -> None:
    """Texts of one length have the keys that they have in a column which is just as wide, and in a wider one."""
    texts = ["a" * width, "b" * width]
    narrow = row_keys({"x": np.array(texts, dtype=f"{kind}{width}")}, 0).tolist()
    for wider in range(width, 17):
        assert row_keys({"x": np.array(texts, dtype=f"{kind}{wider}")}, 0).tolist() == narrow


@pytest.mark.parametrize("kind", ["random", "stratified"])
def test_some_rows_by_key_are_not_those_that_are_tested(kind: str) -> None:
    """They are chosen by a number of the key in another order, which stays: seals depend on it."""
    key = np.arange(1000, dtype=np.uint64)
    mixed = [place * 0x9E3779B97F4A7C15 % 2**64 for place in range(1000)]
    found = dealt(kind, key, rows=100)
    assert sorted(place for places in found.values() for place in places) == sorted(np.argsort(mixed)[:100].tolist())


def test_the_data_may_name_the_parts() -> None:
    """Of training rows without named validation rows the lowest keys validate; what repeats is left out before."""
    part = np.array(["train"] * 8 + ["test"] * 2)
    assert dealt("given", part=part, validation=0.25) == {
        "train": [0, 1, 3, 4, 6, 7],
        "validation": [2, 5],
        "test": [8, 9],
    }
    named_parts = np.array(["validation", "train"] * 4 + ["test"] * 2)
    assert dealt("given", part=named_parts)["validation"] == [0, 2, 4, 6]
    repeated = np.array([3, 9, 1, 7, 5, 0, 8, 3, 6, 4], dtype=np.uint64)
    assert dealt("given", repeated, part=named_parts)["train"] == [1, 3, 5]


@pytest.mark.parametrize(
    ("word", "part"),
    [("Training", "train"), (" val ", "validation"), ("valid", "validation"), ("TESTING", "test"), ("holdout", "")],
)
def test_parts_go_by_the_usual_words(word: str, part: str) -> None:
    """In any case, with blanks around them."""
    assert parse_part(word) == part


def test_groups_have_a_key_each() -> None:
    """Rows of one group share it, another seed gives others."""
    names = np.array(["b", "a", "b", "c"])
    one, other = (group_keys(Split(kind="random", seed=seed), names) for seed in (0, 1))
    assert (one[0] == one[2], len({*one.tolist()})) == (True, 3)
    assert not {*one.tolist()} & {*other.tolist()}


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ([0] * 10, "rows that are the same in all features stay together, and only 1 of 10 differ"),
        ([0, 1, 2, 3, 4, 5, 5, 5, 5, 5], ""),
        ([0, 1, 2, 3, 4, 4, 4, 4, 4, 4], "and only 5 of 10 differ"),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "get more rows, or make split.test and split.validation smaller"),
    ],
)
def test_an_empty_part_is_told_with_its_cause(key: list[int], hint: str) -> None:
    """That rows repeat, where no more than half of them differ; else that they are few."""
    few: dict[str, Any] = {"test": 0.01, "validation": 0.01} if len({*key}) > 5 else {"test": 0.45, "validation": 0.45}
    with pytest.raises(
        DataError, match=r"expected rows in every part; received train \d+, validation 0, test"
    ) as error:
        dealt("random", np.array(key, dtype=np.uint64), **few)
    assert hint in str(error.value.hint)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ([*range(28), 0, 1, *range(30, 40)], "2 rows of test are identical to training rows; the first are 28, 29$"),
        ([*range(21), 0, *range(22, 40)], "1 rows of validation are identical to training rows; the first are 21$"),
    ],
)
def test_repeated_rows_over_a_border_are_counted(key: list[int], said: str) -> None:
    """Those of the part that repeats training rows; nobody asks where borders are left out."""
    repeated = np.array(key, dtype=np.uint64)
    with pytest.raises(DataError, match=said):
        dealt("chronological", repeated)
    assert len(dealt("chronological", repeated, reach=1)["test"]) == 11


def test_only_ten_repeated_rows_are_named() -> None:
    """Of twelve."""
    key = np.array([*range(28), *range(12)], dtype=np.uint64)
    wanted = ", ".join(map(str, range(28, 38)))
    with pytest.raises(DataError, match=f"12 rows of test are identical to training rows; the first are {wanted}$"):
        dealt("chronological", key)


CELLS: dict[str, pd.Series[Any]] = {
    "part": pd.Series(["train", "test", "Val"]),
    "set": pd.Series(["testing", "training", "valid"]),
    "day": pd.Series(["03.01.2020", "01.02.2020", "02.01.2020"]),
    "number": pd.Series([2.5, 1.0, 10.0]),
    "garden": pd.Series(["b", "a", "b"]),
}


def marks(**split: Any) -> SplitInputs:
    """Mark three rows of a task with such a split; its column of days has a spelling of its own."""
    how = Split(**split)
    columns = {"day": Date(format="%d.%m.%Y")}
    return split_inputs(
        duel_task(cancer()).model_copy(update={"split": how, "columns": columns}), KEY[:3], CELLS.__getitem__
    )


def test_rows_are_marked_by_what_the_split_names() -> None:
    """Parts in the named column, or that of folders; else times, in the spelling of split or column; else nothing."""
    for split, parts in (({"by": "set"}, ["test", "train", "validation"]), ({}, ["train", "test", "validation"])):
        found = marks(kind="given", **split)
        assert found.part is not None
        assert (found.part.tolist(), found.times, found.key.tolist()) == (parts, None, [3, 9, 1])
    for split in ({"by": "day"}, {"by": "day", "format": "%d.%m.%Y"}, {"by": "number"}):
        found = marks(kind="chronological", **split)
        assert found.times is not None
        latest = [1, 0, 2] if split["by"] == "day" else [2, 0, 1]
        assert (np.argsort(found.times)[::-1].tolist(), found.part, found.key.tolist()) == (latest, None, [3, 9, 1])
    for kind in ("random", "chronological"):
        found = marks(kind=kind)
        assert (found.times, found.part, found.key.tolist()) == (None, None, [3, 9, 1])
    found = marks(kind="random", group="garden")
    assert found.key.tolist() == group_keys(Split(kind="random"), np.array(["b", "a", "b"])).tolist()


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"kind": "given", "by": "garden"}, "expected train, validation or test for each row; received a, b in garden"),
        ({"kind": "chronological", "by": "garden"}, "expected a number or a date in every row; row 0 holds"),
        ({"kind": "chronological", "by": "day", "format": "%Y"}, "split.by: day: expected a number or a date"),
    ],
)
def test_words_that_mean_no_part_or_time_are_refused(split: dict[str, Any], said: str) -> None:
    """With the column, and what it holds."""
    with pytest.raises(DataError, match=said):
        marks(**split)
