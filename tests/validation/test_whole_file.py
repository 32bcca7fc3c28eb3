"""Counts over all rows of a file: the same as those of a sample that contains all rows."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workspaces import new_workspace

from tiltyard.contracts.customers import customers, write_task
from tiltyard.validation.findings import _dataset, _sample
from tiltyard.validation.findings._whole_file import row_hashes
from tiltyard.workspace import Workspace

ROWS = 60
NUMBERS = st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 30.0, 500.0, 1e39])
TEXTS = st.sampled_from(["", " ", "no", "YES", "de", " de", "xx", "2020-02-30", "2020-01-01 ", "soon", "7", "inf"])
CELLS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("age", "income", "height"), NUMBERS | st.sampled_from(["x", "1e3", "None"])),
    **dict.fromkeys(("vip", "country", "shop", "since"), TEXTS),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project for the table."""
    return new_workspace(tmp_path_factory.mktemp("counts"))


@given(data=st.data())
@settings(max_examples=30)
def test_counts_of_all_rows_are_those_of_cells_parsed_one_by_one(workspace: Workspace, data: st.DataObject) -> None:
    """Missing and refused cells: their number, and row and message of the first."""
    frame = customers(ROWS).astype(object)
    for name in data.draw(st.lists(st.sampled_from([*CELLS]), unique=True)):
        for place in data.draw(st.lists(st.integers(0, ROWS - 1), max_size=4, unique=True)):
            frame.loc[place, name] = data.draw(CELLS[name])
    task = write_task(workspace, frame)
    whole = _dataset.of_task(task, workspace.raw(task.name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sample, "MAX_SAMPLED_ROWS", 10)
        patch.setattr(_sample, "PART_ROWS", data.draw(st.sampled_from([7, 25, ROWS])))
        patch.setattr("tiltyard.data.formats.delimited.BLOCK_BYTES", 700)
        sampled = _dataset.of_task(task, workspace.raw(task.name))
    assert (len(whole.counts), len(sampled.frame), [*sampled.counts]) == (0, 10, [*task.columns])
    for name in task.columns:
        assert sampled.cell_counts(name) == whole.cell_counts(name)


def test_hashes_tell_rows_and_their_targets_apart() -> None:
    """Equal rows have equal hashes, also in another frame; the order of values matters."""
    frame = pd.DataFrame({"x": [1.0, 1.0, 2.0, 1.0], "y": [2.0, 2.0, 1.0, 2.0], "t": ["a", "b", "a", "a"]})
    features, labelled = row_hashes(frame, ["x", "y"], ["t"])
    assert len({*features.tolist()}) == 2
    assert features[0] == features[1] == features[3] != features[2]
    assert labelled[0] == labelled[3] != labelled[1]
    assert row_hashes(frame.iloc[1:2], ["x", "y"], ["t"])[0][0] == features[0]
    assert [hashes.tolist() for hashes in row_hashes(frame, ["x", "y"], ["gone"])] == [features.tolist()] * 2
