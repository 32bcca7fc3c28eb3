"""Evaluating expectations chunk by chunk: results equal those of Great Expectations on the whole table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tiltyard.errors import TaskError
from tiltyard.expectation import Expectation
from tiltyard.preparation.modalities.base import RawTable
from tiltyard.validation.streaming import MAX_KEPT, StreamingExpectation
from tiltyard.validation.suite import ExpectationOutcome, evaluate, gx_context, resolve, validate_frame

ROWS = 300
X = {"column": "x"}
PAIR = {"column_A": "x", "column_B": "y"}
IN_CHUNKS: list[tuple[str, dict[str, Any]]] = [
    ("expect_table_row_count_to_be_between", {"min_value": 1, "max_value": 300}),
    ("expect_table_row_count_to_equal", {"value": 299}),
    ("expect_table_column_count_to_equal", {"value": 5}),
    ("expect_table_columns_to_match_set", {"column_set": ["x", "y", "name", "day", "none"]}),
    ("expect_table_columns_to_match_ordered_list", {"column_list": ["y", "x", "name", "day", "none"]}),
    ("expect_column_to_exist", X),
    ("expect_column_values_to_not_be_null", X),
    ("expect_column_values_to_not_be_null", {"column": "name", "mostly": 0.5}),
    ("expect_column_values_to_be_null", X),
    ("expect_column_values_to_be_between", {**X, "min_value": 3, "max_value": 6}),
    ("expect_column_values_to_be_between", {**X, "min_value": 3, "strict_min": True, "mostly": 0.6}),
    ("expect_column_values_to_be_between", {**X, "max_value": 100}),
    ("expect_column_values_to_be_in_set", {**X, "value_set": [1, 2, 3]}),
    ("expect_column_values_to_be_in_set", {"column": "name", "value_set": ["a", "b"]}),
    ("expect_column_values_to_not_be_in_set", {"column": "name", "value_set": ["a"]}),
    ("expect_column_values_to_match_regex", {"column": "name", "regex": "^[ab]$"}),
    ("expect_column_values_to_not_match_regex", {"column": "name", "regex": "c"}),
    ("expect_column_values_to_match_strftime_format", {"column": "day", "strftime_format": "%Y-%m-%d"}),
    ("expect_column_values_to_be_json_parseable", {"column": "name"}),
    ("expect_column_values_to_be_dateutil_parseable", {"column": "day"}),
    ("expect_column_pair_values_a_to_be_greater_than_b", PAIR),
    ("expect_column_pair_values_a_to_be_greater_than_b", {**PAIR, "ignore_row_if": "either_value_is_missing"}),
    ("expect_column_pair_values_to_be_equal", {**PAIR, "mostly": 0.2}),
    ("expect_column_pair_values_to_be_in_set", {**PAIR, "value_pairs_set": [(1, 2), (3, 4)]}),
]
AGGREGATES: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_mean_to_be_between", {**X, "min_value": 0, "max_value": 5}),
    ("expect_column_mean_to_be_between", {"column": "none", "min_value": 0}),
    ("expect_column_min_to_be_between", {**X, "min_value": 1}),
    ("expect_column_max_to_be_between", {**X, "max_value": 9}),
    ("expect_column_max_to_be_between", {"column": "none", "max_value": 9}),
]
WHOLE_TABLE: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_not_match_regex_list", {"column": "name", "regex_list": ["a", "q"]}),
    ("expect_column_values_to_match_regex_list", {"column": "name", "regex_list": ["a", "b"], "match_on": "any"}),
    ("expect_column_stdev_to_be_between", {**X, "min_value": 0, "max_value": 2}),
    ("expect_column_values_to_be_unique", {"column": "name"}),
    ("expect_column_value_lengths_to_equal", {"column": "name", "value": 1}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["x", "name"]}),
    (
        "expect_column_values_to_be_between",
        {**X, "min_value": 3, "row_condition": "y > 5", "condition_parser": "pandas"},
    ),
]


@pytest.fixture(scope="module")
def gx() -> Any:
    """A Great Expectations context."""
    return gx_context()


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Rows with all kinds of unexpected values, and missing ones."""
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 10, ROWS).astype(float) for _ in range(2))
    x[rng.random(ROWS) < 0.1] = np.nan
    name = rng.choice(["a", "b", "c", "1"], ROWS).astype(object)
    name[rng.random(ROWS) < 0.1] = None
    day = pd.Series(rng.choice(["2024-01-01", "2024-02-30", "soon"], ROWS))
    return pd.DataFrame({"x": x, "y": y, "name": pd.Series(list(name), dtype="str"), "day": day, "none": np.nan})


def evaluate_in_chunks(
    gx: Any, frame: pd.DataFrame, size: int, name: str, arguments: dict[str, Any]
) -> ExpectationOutcome:
    """Evaluate one expectation on rows in chunks of a given size."""

    def read_chunks(names: Sequence[str]) -> Iterator[pd.DataFrame]:
        yield from (frame[[*names]].iloc[start : start + size] for start in range(0, len(frame), size))

    resolved = resolve("key", Expectation(expectation=name, arguments=arguments), [*frame.columns])
    rows, found = evaluate(gx, "any", [resolved], RawTable([*frame.columns], [], read_chunks))
    assert rows == len(frame)
    return found["key"]


@pytest.mark.filterwarnings("ignore:.*row_condition|.*condition_parser:DeprecationWarning")
@pytest.mark.parametrize(("name", "arguments"), [*IN_CHUNKS, *AGGREGATES, *WHOLE_TABLE])
@pytest.mark.parametrize("size", [7, ROWS])
def test_chunked_evaluation_equals_that_of_the_whole_table(
    gx: Any, frame: pd.DataFrame, size: int, name: str, arguments: dict[str, Any]
) -> None:
    """Success, counts, shares, and the first unexpected rows equal those of the whole table."""
    gx_expectation = resolve("key", Expectation(expectation=name, arguments=arguments), [*frame.columns]).gx_expectation
    assert StreamingExpectation.supports(gx_expectation) == ((name, arguments) not in WHOLE_TABLE)
    (whole,) = validate_frame(gx, "whole", [gx_expectation], frame)
    found = evaluate_in_chunks(gx, frame, size, name, arguments)
    assert found.result.success == whole.success
    expected, received = whole.to_json_dict()["result"], found.result.to_json_dict()["result"]
    if expected.get("unexpected_count", 0) > MAX_KEPT:
        expected.pop("partial_unexpected_counts")
        received.pop("partial_unexpected_counts", None)
    mean = expected.get("observed_value")
    if isinstance(mean, float):  # added up in another order
        assert received.pop("observed_value") == pytest.approx(expected.pop("observed_value"), rel=1e-14, nan_ok=True)
    assert {key: received[key] for key in expected} == expected
    for key in ("unexpected_list", "unexpected_index_list"):  # kept for the pages if the lists are short
        assert received.get(key) in (None, expected.get(f"partial_{key}"))
    assert [row["row"] for row in found.rows] == (expected.get("partial_unexpected_index_list") or [])


def test_columns_beyond_the_memory_limit_are_read_again(
    gx: Any, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the memory limit, columns are read again, with the same result."""
    name, arguments = "expect_column_stdev_to_be_between", {**X, "min_value": 0, "max_value": 5}
    expected = evaluate_in_chunks(gx, frame, 50, name, arguments).result.to_json_dict()
    monkeypatch.setattr("tiltyard.validation.suite.MAX_HELD_BYTES", 1000)
    assert evaluate_in_chunks(gx, frame, 50, name, arguments).result.to_json_dict() == expected


@pytest.mark.parametrize("column", ["name", "day"])
def test_expectation_that_cannot_be_computed_is_a_task_error(gx: Any, frame: pd.DataFrame, column: str) -> None:
    """The error for an expectation that does not fit the data names its key."""
    for name in ("expect_column_values_to_be_between", "expect_column_mean_to_be_between"):
        with pytest.raises(TaskError, match=f"key: {name} could not be computed: "):
            evaluate_in_chunks(gx, frame, 50, name, {"column": column, "min_value": 1, "max_value": 2})
