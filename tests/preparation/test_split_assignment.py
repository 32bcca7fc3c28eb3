"""Split assignment with known keys: which rows each kind of split puts into each part, and what it refuses."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from duels import cancer, duel_task
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.arrays import Array
from tiltyard.config.sections import Split
from tiltyard.errors import DataError
from tiltyard.modeling.columns.date import Date
from tiltyard.preparation.row_hashes import row_keys
from tiltyard.preparation.split import (
    SplitInputs,
    _first_identical,
    group_keys,
    parse_part,
    split_inputs,
    split_rows,
)

KEY = np.array([3, 9, 1, 7, 5, 0, 8, 2, 6, 4], dtype=np.uint64)
SHARES: dict[str, Any] = {"test": 0.3, "validation": 0.2}


def split_indices(
    kind: Any, key: Array = KEY, truth: Array | None = None, reach: int = 0, **more: Any
) -> dict[str, list[int]]:
    """Split rows by keys, and optionally by times or named parts; return the row indices of each part."""
    inputs = {name: more.pop(name) for name in ("times", "part") if name in more}
    how = Split(kind=kind, **{**SHARES, **more})
    found = split_rows(how, SplitInputs(key, **inputs), np.zeros(len(key), int) if truth is None else truth, reach)
    return {name: index.tolist() for name, index in found.items()}


def test_rows_with_the_lowest_keys_are_the_test_rows() -> None:
    """Of ten rows, the three lowest keys are for testing, the next two for validation; indices are sorted."""
    assert split_indices("random") == {"train": [1, 3, 4, 6, 8], "validation": [0, 9], "test": [2, 5, 7]}


def test_at_least_one_row_remains_for_training() -> None:
    """If rounding up would use all rows, the row with the highest key remains for training."""
    assert split_indices("random", test=0.5, validation=0.49)["train"] == [1]


def test_each_label_is_split_separately() -> None:
    """Of five rows of each label, two are for testing and one for validation."""
    truth = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    assert split_indices("stratified", truth=truth, test=0.4) == {
        "train": [1, 3, 6, 8],
        "validation": [4, 9],
        "test": [0, 2, 5, 7],
    }


def test_repeated_row_with_two_labels_is_split_by_the_first_label() -> None:
    """If the last row repeats the first with another label, both are split by the label of the first."""
    key = np.array([0, 5, 6, 7, 8, 10, 11, 12, 13, 0], dtype=np.uint64)
    truth = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    assert split_indices("stratified", key, truth, test=0.4)["test"] == [0, 5, 6, 9]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=40))
def test_identical_rows_are_split_by_the_label_of_the_first(rows: list[tuple[int, int]]) -> None:
    """Only repeated rows are sorted; the first of each is the one that np.unique finds."""
    key = np.array([key for key, _ in rows], dtype=np.uint64)
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    assert _first_identical(key).tolist() == first[place].tolist()


@pytest.mark.parametrize("kind", ["random", "stratified", "given"])
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 1), st.sampled_from(["train", "test"])), min_size=9))
def test_identical_rows_are_never_in_two_parts(kind: str, rows: list[tuple[int, int, str]]) -> None:
    """So only a chronological split needs to look for identical rows in two parts."""
    key, truth, part = (np.array(values) for values in zip(*rows, strict=True))
    try:
        parts = split_indices(kind, key.astype(np.uint64), truth, part=part if kind == "given" else None)
    except DataError as error:
        assert "is empty" in error.message  # noqa: PT017 - few rows may leave a part empty
        return
    keys = [key[index] for index in parts.values()]
    assert all(not np.intersect1d(one, other).size for one, other in itertools.combinations(keys, 2))


@pytest.mark.parametrize(
    ("reach", "parts"),
    [
        (0, {"train": [0, 1, 2, 3, 4], "validation": [5, 6], "test": [7, 8, 9]}),
        (1, {"train": [0, 1, 2, 3, 4], "validation": [6], "test": [8, 9]}),
    ],
)
def test_latest_rows_are_tested_and_overlapping_windows_are_left_out(reach: int, parts: dict[str, list[int]]) -> None:
    """Without times the order of the file counts; with times only their order counts."""
    assert split_indices("chronological", reach=reach) == parts
    times = np.arange(10.0)[::-1]
    reversed_parts = {name: sorted(9 - index for index in indices) for name, indices in parts.items()}
    assert split_indices("chronological", reach=reach, times=times) == reversed_parts


def test_rows_with_equal_times_keep_their_order() -> None:
    """With equal times, rows later in the file count as later."""
    assert split_indices("chronological", times=np.zeros(10))["test"] == [7, 8, 9]


@pytest.mark.parametrize("kind", ["random", "stratified", "chronological"])
@pytest.mark.parametrize("rows", [10, 11])
def test_limit_of_all_rows_or_more_has_no_effect(kind: str, rows: int) -> None:
    """If `rows` is the number of rows or more, the split is the same as without it."""
    assert split_indices(kind, rows=rows) == split_indices(kind)


def test_row_limit_by_time_uses_the_latest_rows() -> None:
    """The latest rows by time are used, whatever their order in the file."""
    key, times = np.arange(20, dtype=np.uint64), np.arange(20.0)[::-1]
    found = split_indices("chronological", key, rows=10, times=times)
    assert sorted(index for indices in found.values() for index in indices) == [*range(10)]
    assert found["test"] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["U", "S"])
@pytest.mark.parametrize("width", range(1, 9))
def test_row_key_does_not_depend_on_the_width_of_a_text_column(kind: str, width: int) -> None:
    """Texts of one length have the same keys in a column of exactly that width and in wider ones."""
    texts = ["a" * width, "b" * width]
    narrow = row_keys({"x": np.array(texts, dtype=f"{kind}{width}")}, 0).tolist()
    for wider in range(width, 17):
        assert row_keys({"x": np.array(texts, dtype=f"{kind}{wider}")}, 0).tolist() == narrow


@pytest.mark.parametrize("kind", ["random", "stratified"])
def test_row_limit_by_key_is_independent_of_the_test_rows(kind: str) -> None:
    """Used rows are chosen by another hash of the key, which must not change, since seals depend on it."""
    key = np.arange(1000, dtype=np.uint64)
    mixed = [index * 0x9E3779B97F4A7C15 % 2**64 for index in range(1000)]
    found = split_indices(kind, key, rows=100)
    assert sorted(index for indices in found.values() for index in indices) == sorted(np.argsort(mixed)[:100].tolist())


def test_parts_are_taken_from_the_data() -> None:
    """Without named validation rows, training rows with the lowest keys validate; repeated rows are left out first."""
    part = np.array(["train"] * 8 + ["test"] * 2)
    assert split_indices("given", part=part, validation=0.25) == {
        "train": [0, 1, 3, 4, 6, 7],
        "validation": [2, 5],
        "test": [8, 9],
    }
    named_parts = np.array(["validation", "train"] * 4 + ["test"] * 2)
    assert split_indices("given", part=named_parts)["validation"] == [0, 2, 4, 6]
    repeated = np.array([3, 9, 1, 7, 5, 0, 8, 3, 6, 4], dtype=np.uint64)
    assert split_indices("given", repeated, part=named_parts)["train"] == [1, 3, 5]


@pytest.mark.parametrize(
    ("word", "part"),
    [("Training", "train"), (" val ", "validation"), ("valid", "validation"), ("TESTING", "test"), ("holdout", "")],
)
def test_usual_names_of_parts_are_parsed(word: str, part: str) -> None:
    """Letter case and surrounding blanks are ignored."""
    assert parse_part(word) == part


def test_each_group_has_one_key() -> None:
    """Rows of a group share a key, and another seed gives other keys."""
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
def test_error_for_an_empty_part_names_its_cause(key: list[int], hint: str) -> None:
    """The cause is repeated rows if at most half of the rows are distinct, and otherwise too few rows."""
    few: dict[str, Any] = {"test": 0.01, "validation": 0.01} if len({*key}) > 5 else {"test": 0.45, "validation": 0.45}
    with pytest.raises(
        DataError, match=r"expected rows in every part; received train \d+, validation 0, test"
    ) as error:
        split_indices("random", np.array(key, dtype=np.uint64), **few)
    assert hint in str(error.value.hint)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([*range(28), 0, 1, *range(30, 40)], "2 rows of test are identical to training rows; the first are 28, 29$"),
        ([*range(21), 0, *range(22, 40)], "1 rows of validation are identical to training rows; the first are 21$"),
    ],
)
def test_repeated_rows_across_parts_are_counted(key: list[int], message: str) -> None:
    """Rows of a part that repeat training rows are counted, unless rows at the borders are left out."""
    repeated = np.array(key, dtype=np.uint64)
    with pytest.raises(DataError, match=message):
        split_indices("chronological", repeated)
    assert len(split_indices("chronological", repeated, reach=1)["test"]) == 11


def test_at_most_ten_repeated_rows_are_named() -> None:
    """Of twelve repeated rows the error names ten."""
    key = np.array([*range(28), *range(12)], dtype=np.uint64)
    wanted = ", ".join(map(str, range(28, 38)))
    with pytest.raises(DataError, match=f"12 rows of test are identical to training rows; the first are {wanted}$"):
        split_indices("chronological", key)


CELLS: dict[str, pd.Series[Any]] = {
    "part": pd.Series(["train", "test", "Val"]),
    "set": pd.Series(["testing", "training", "valid"]),
    "day": pd.Series(["03.01.2020", "01.02.2020", "02.01.2020"]),
    "number": pd.Series([2.5, 1.0, 10.0]),
    "garden": pd.Series(["b", "a", "b"]),
}


def inputs_of_split(**split: Any) -> SplitInputs:
    """Return the split inputs of three rows; the column `day` has its own date format."""
    how = Split(**split)
    columns = {"day": Date(format="%d.%m.%Y")}
    return split_inputs(
        duel_task(cancer()).model_copy(update={"split": how, "columns": columns}), KEY[:3], CELLS.__getitem__
    )


def test_split_inputs_come_from_the_columns_that_the_split_names() -> None:
    """A given split reads parts, a chronological one times in the format of split or column, others neither."""
    for split, parts in (({"by": "set"}, ["test", "train", "validation"]), ({}, ["train", "test", "validation"])):
        found = inputs_of_split(kind="given", **split)
        assert found.part is not None
        assert (found.part.tolist(), found.times, found.key.tolist()) == (parts, None, [3, 9, 1])
    for split in ({"by": "day"}, {"by": "day", "format": "%d.%m.%Y"}, {"by": "number"}):
        found = inputs_of_split(kind="chronological", **split)
        assert found.times is not None
        latest = [1, 0, 2] if split["by"] == "day" else [2, 0, 1]
        assert (np.argsort(found.times)[::-1].tolist(), found.part, found.key.tolist()) == (latest, None, [3, 9, 1])
    for kind in ("random", "chronological"):
        found = inputs_of_split(kind=kind)
        assert (found.times, found.part, found.key.tolist()) == (None, None, [3, 9, 1])
    found = inputs_of_split(kind="random", group="garden")
    assert found.key.tolist() == group_keys(Split(kind="random"), np.array(["b", "a", "b"])).tolist()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"kind": "given", "by": "garden"}, "expected train, validation or test for each row; received a, b in garden"),
        ({"kind": "chronological", "by": "garden"}, "expected a number or a date in every row; row 0 holds"),
        ({"kind": "chronological", "by": "day", "format": "%Y"}, "split.by: day: expected a number or a date"),
    ],
)
def test_invalid_parts_and_times_are_refused(split: dict[str, Any], message: str) -> None:
    """The error names the column and the invalid value."""
    with pytest.raises(DataError, match=message):
        inputs_of_split(**split)
