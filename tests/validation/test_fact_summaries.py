"""Summaries of columns: validation by distinct values and bounds gives the same results as by all rows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workspaces import new_workspace

from tiltyard.config.task import Task
from tiltyard.contracts.customers import customers, write_task
from tiltyard.expectation import Expectation
from tiltyard.preparation.modalities import _fact_parts, table
from tiltyard.preparation.modalities.base import RawTable
from tiltyard.validation.suite import evaluate, gx_context, implied_expectations, resolve
from tiltyard.workspace import Workspace

ROWS = 60
FURTHER = [
    Expectation(expectation="expect_column_values_to_be_null", arguments={"column": "shop"}),
    Expectation(expectation="expect_column_values_to_be_in_set", arguments={"column": "age", "value_set": [30, 40]}),
    Expectation(
        expectation="expect_column_values_to_be_between",
        arguments={"column": "income", "min_value": 0, "strict_min": True},
    ),
    Expectation(expectation="expect_column_values_to_not_be_null", arguments={"column": "income"}),
    Expectation(expectation="expect_column_mean_to_be_between", arguments={"column": "age", "min_value": 0}),
    Expectation(
        expectation="expect_column_pair_values_a_to_be_greater_than_b",
        arguments={"column_A": "height", "column_B": "weight"},
    ),
    Expectation(expectation="expect_column_values_to_be_unique", arguments={"column": "since"}),
]
NUMBERS = [math.nan, math.inf, -math.inf, -0.0, 0.0, 30.0, 500.0]
TEXTS = ["", " ", "no", "YES", "true", "de", " de", "xx", "2020-02-30", "2020-01-01 ", "soon", "7", "inf"]
CELLS = {
    **dict.fromkeys(("age", "income", "height"), st.sampled_from(NUMBERS) | st.sampled_from(["x", "1e3", "None"])),
    **dict.fromkeys(("vip", "country", "shop", "since", "again"), st.sampled_from(TEXTS)),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project for the table."""
    return new_workspace(tmp_path_factory.mktemp("summaries"))


def evaluated(gx: Any, task: Task, raw: RawTable) -> Any:
    """Return everything that a validation reports."""
    modality = table.Table()
    expected = [*implied_expectations(task, drops_rows=modality.drops_rows), *FURTHER]
    suite = [resolve(f"e{place}", one, raw.columns) for place, one in enumerate(expected)]
    rows, found = evaluate(gx, task.name, suite, raw)
    return rows, {key: (str(one.result.to_json_dict()), one.rows) for key, one in found.items()}


@given(data=st.data())
@settings(max_examples=30)
def test_summaries_give_the_results_of_all_rows(workspace: Workspace, data: st.DataObject) -> None:
    """With cells that are missing, of another type, out of bounds or not finite, in parts of any size."""
    frame = customers(ROWS).astype(object)
    for name, cells in CELLS.items():
        for place in data.draw(st.lists(st.integers(0, ROWS - 1), max_size=4, unique=True)):
            frame.loc[place, name] = data.draw(cells)
    task = write_task(workspace, frame)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "CHUNK_ROWS", data.draw(st.sampled_from([7, 25, ROWS])))
        patch.setattr("tiltyard.data.formats.delimited.BLOCK_BYTES", 700)
        patch.setattr(_fact_parts, "MAX_DISTINCT_SHARE", data.draw(st.sampled_from([0.0, 0.3, 2.0])))
        raw, gx = table.Table().raw_table(task, workspace.raw(task.name)), gx_context()
        assert evaluated(gx, task, raw) == evaluated(gx, task, replace(raw, summarized=None))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array([3, None, 1]), ([1, 3], 1)),
        (pa.array([1.5, math.nan, None]), ([1.5, 1.5], 2)),
        (pa.array([-math.inf, math.inf]), ([-math.inf, math.inf], 0)),
        (pa.array([None, math.nan], "float64"), None),
        (pa.array([None], "int64"), None),
        (pa.array([b"x"]), None),
    ],
)
def test_numbers_are_summarized_by_their_bounds(cells: pa.Array, expected: Any) -> None:
    """Missing values and NaN are counted; there is no summary without a number."""
    found = _fact_parts.summarized(cells, lambda ends: pd.Series(ends.to_pylist()))
    if expected is None:
        assert found is None
    else:
        assert isinstance(found, _fact_parts.BoundsOfFacts)
        assert (found.facts.tolist(), found.missing) == expected


def test_texts_are_summarized_by_their_distinct_values() -> None:
    """Each row has the index of its value; missing texts are a value, too."""
    found = _fact_parts.summarized(pa.array(["a", "b", None, "a", "a"] * 3), lambda some: pd.Series(some.to_pylist()))
    assert isinstance(found, _fact_parts.DistinctFacts)
    assert found.facts.fillna("missing").tolist() == ["a", "b", "missing"]
    assert found.codes.tolist() == [0, 1, 2, 0, 0] * 3
    assert found.counts.tolist() == [9, 3, 3]


def test_large_columns_and_many_distinct_texts_have_no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Converting all rows is then as fast, or Arrow's offsets would not suffice."""
    assert _fact_parts.summarized(pa.array(["a", "b"]), pd.Series) is None
    part = _fact_parts.of_table(pa.table({"x": np.ones(9)}), 0, lambda some, _: some.to_pandas())
    assert part.summary("x") is not None
    monkeypatch.setattr(_fact_parts, "MAX_ARROW_BYTES", 9)
    assert part.summary("x") is None
