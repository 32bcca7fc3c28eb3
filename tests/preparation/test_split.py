"""Splits by raw columns: by time, by group, or by a column that names the parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from workspaces import edit_task

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.sections import Split
from tiltyard.errors import DataError, SealError, TaskError
from tiltyard.preparation import prepare, sealed_test
from tiltyard.preparation.row_hashes import row_keys
from tiltyard.preparation.split import SplitInputs, group_keys, split_rows, unlabelled_rows
from tiltyard.validation import check
from tiltyard.workspace import Workspace

ROWS = 120


def prepared(workspace: Workspace, days: list[str], **split: Any) -> sealed_test.TestRows:
    """Prepare iris-like rows with a day and a garden, which are no features."""
    changes = {f"split.{key}": value for key, value in {"kind": "random", **split}.items()}
    edit_task(workspace, "iris", {"rows": [ROWS, ROWS], **changes})
    names = "sepal_length,sepal_width,petal_length,petal_width,species,day,garden"
    rows = [f"{4 + n % 40 / 10},{2 + n % 7 / 10},{1 + n % 31 / 10},0.2,setosa,{days[n]},g{n % 13}" for n in range(ROWS)]
    files.write_text(workspace.raw("iris") / "table.csv", "\n".join([names, *rows]) + "\n")
    task = loader.load(workspace, "iris")
    prepare.prepare(workspace, task, reseal=True)
    check.check(workspace, task)
    return sealed_test.read_test(workspace, task.name, task.columns)


def test_latest_rows_are_the_test_rows(workspace: Workspace) -> None:
    """The latest rows by calendar are the test rows, whatever their order in the file."""
    order = np.random.default_rng(0).permutation(ROWS)
    days = [f"2024-{1 + n // 28:02d}-{1 + n % 28:02d}" for n in order]
    test = prepared(workspace, days, kind="chronological", by="day")
    assert sorted(order[test.number]) == list(range(96, 120))


def test_unknown_datetime_format_is_refused_with_a_hint(workspace: Workspace) -> None:
    """3.4. may be April or March: the error asks for split.format, which then works."""
    with pytest.raises(DataError, match=r"split\.by: day: expected a number or a date in every row; row 0") as caught:
        prepared(workspace, [f"{1 + n % 28}.4.2024" for n in range(ROWS)], kind="chronological", by="day")
    assert "split.format" in caught.value.hint
    split = {"kind": "chronological", "by": "day", "format": "%d.%m.%Y"}
    test = prepared(workspace, [f"{1 + n % 28}.{1 + n // 28}.2024" for n in range(ROWS)], **split)
    assert sorted(test.number) == list(range(96, 120))


def test_rows_of_a_group_are_in_one_part(workspace: Workspace) -> None:
    """All rows of a garden are in one part; another seed chooses other gardens."""
    drawn = []
    for seed in (0, 1):
        test = prepared(workspace, ["2024-01-01"] * ROWS, group="garden", seed=seed)
        gardens = {int(number) % 13 for number in test.number}
        assert len(test.number) == sum(n % 13 in gardens for n in range(ROWS))
        drawn.append(gardens)
    assert drawn[0] != drawn[1]


def test_test_rows_know_their_group(workspace: Workspace) -> None:
    """The rows of a garden have one number, and those of another garden another one."""
    test = prepared(workspace, ["2024-01-01"] * ROWS, group="garden")
    assert test.unit is not None
    assert len({*zip(test.unit.tolist(), (test.number % 13).tolist(), strict=True)}) == len(set(test.unit.tolist()))
    assert len(set(test.unit.tolist())) == len(set((test.number % 13).tolist()))


def test_test_rows_know_their_time_step(workspace: Workspace) -> None:
    """Rows of one day are one step, and steps are in order of time, whatever the order in the file."""
    order = np.random.default_rng(0).permutation(ROWS)
    days = [f"2024-{1 + n // 2 // 28:02d}-{1 + n // 2 % 28:02d}" for n in order]
    test = prepared(workspace, days, kind="chronological", by="day")
    assert test.unit is not None
    assert test.unit.tolist() == [int(order[number]) // 2 - 48 for number in test.number]


def test_independent_rows_have_no_units(workspace: Workspace) -> None:
    """Neither a random split nor one by the order of rows stores any."""
    assert prepared(workspace, ["2024-01-01"] * ROWS).unit is None
    assert prepared(workspace, ["2024-01-01"] * ROWS, kind="chronological").unit is None


def _write_units(workspace: Workspace, unit: Array | None) -> None:
    path = workspace.out("iris", "prepare") / "test.npz"
    with np.load(path) as arrays:
        content: dict[str, Any] = {name: arrays[name] for name in arrays if name != "unit"}
    np.savez(path, **(content if unit is None else {**content, "unit": unit}))


@pytest.mark.parametrize("unit", [None, np.arange(24)])
def test_changed_groups_of_sealed_rows_are_refused(workspace: Workspace, unit: Array | None) -> None:
    """Rows that claim to be independent would have narrower intervals."""
    test = prepared(workspace, ["2024-01-01"] * ROWS, group="garden")
    _write_units(workspace, None if unit is None else np.arange(len(test.truth)))
    with pytest.raises(SealError, match=r"the groups or times of the test rows of iris were changed: expected \w{12};"):
        sealed_test.read_test(workspace, "iris", loader.load(workspace, "iris").columns)


def test_test_rows_of_an_earlier_release_are_prepared_again(workspace: Workspace) -> None:
    """They have no groups and no seal of them; preparing adds both, and keeps the sealed rows."""
    test = prepared(workspace, ["2024-01-01"] * ROWS, group="garden")
    _write_units(workspace, None)
    seals = files.read_json(workspace.seal("iris"))
    files.write_json(workspace.seal("iris"), {name: seals[name] for name in seals if not name.endswith(" units")})
    task = loader.load(workspace, "iris")
    old = sealed_test.read_test(workspace, task.name, task.columns)
    with pytest.raises(DataError, match="the test rows of iris have no groups: an earlier release made them"):
        task.dependence(old.unit, len(old.truth))
    prepare.prepare(workspace, task)
    assert files.read_json(workspace.seal("iris")) == seals
    assert sealed_test.read_test(workspace, task.name, task.columns).digest == test.digest


def test_other_groups_of_the_same_rows_need_a_new_seal(workspace: Workspace) -> None:
    """A seal of groups is replaced only with --reseal."""
    prepared(workspace, ["2024-01-01"] * ROWS, group="garden")
    seals = files.read_json(workspace.seal("iris"))
    (data,) = (name for name in seals if not name.endswith(" units"))
    facts = {"data": data, "test": seals[data], "units": "0" * 64}
    with pytest.raises(SealError, match="the groups or times of the test rows differ from the sealed ones"):
        sealed_test.seal(workspace, "iris", facts, reseal=False)
    sealed_test.seal(workspace, "iris", facts, reseal=True)
    assert files.read_json(workspace.seal("iris")) == {data: seals[data], f"{data} units": "0" * 64}


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"by": "day"}, "by: expected for a chronological or given split"),
        ({"kind": "given"}, "split.by: expected the column that holds train, validation or test"),
        ({"kind": "chronological", "group": "garden"}, "group: expected for a random or stratified split"),
        ({"group": "garden", "test": 0.6, "validation": 0.4}, "expected test . validation below 1"),
    ],
)
def test_contradictory_split_settings_are_refused(workspace: Workspace, split: dict[str, Any], message: str) -> None:
    """Contradictory split settings are refused when the task file is read."""
    with pytest.raises(TaskError, match=message):
        prepared(workspace, ["2024-01-01"] * ROWS, **split)


def test_missing_split_column_is_named(workspace: Workspace) -> None:
    """The error names the missing column and those that exist."""
    with pytest.raises(DataError, match=r"expected the columns plot; received .*garden"):
        prepared(workspace, ["2024-01-01"] * ROWS, group="plot")


def test_split_column_may_name_the_test_rows(workspace: Workspace) -> None:
    """All usual words are understood; without named validation rows they are a share of the training rows."""
    words = ["Train", "training", "test"]
    test = prepared(workspace, [words[n % 3] for n in range(ROWS)], kind="given", by="day", validation=0.25)
    assert {int(n) % 3 for n in test.number} == {2}
    rows = files.read_json(workspace.out("iris", "prepare") / "split.json")["rows"]
    assert rows["test"] == 40
    assert rows["validation"] == 20
    assert rows["train"] == 60


def test_split_column_may_name_the_validation_rows(workspace: Workspace) -> None:
    """Validation rows that the data names are used, and no others."""
    words = ["train", "val", "test", "train"]
    prepared(workspace, [words[n % 4] for n in range(ROWS)], kind="given", by="day")
    rows = files.read_json(workspace.out("iris", "prepare") / "split.json")["rows"]
    assert rows == {"train": 60, "validation": 30, "test": 30}


def test_unknown_part_name_is_refused(workspace: Workspace) -> None:
    """The error names the column and the valid words."""
    with pytest.raises(DataError, match="expected train, validation or test for each row; received holdout in day"):
        prepared(workspace, ["holdout", "test"] * (ROWS // 2), kind="given", by="day")


def test_training_rows_that_repeat_test_rows_are_left_out() -> None:
    """Training rows that equal a test or validation row are left out, and validation rows that equal a test row."""
    values = np.array([1, 2, 3, 4, 5, 6, 7, 8, 1, 2.0] * 4 + [9.0, 10.0])
    part = np.array((["train"] * 8 + ["test"] * 2) * 4 + ["validation", "validation"])
    how = Split(kind="given", by="part")
    parts = split_rows(how, SplitInputs(row_keys({"x": values}, 0), part=part), np.zeros(len(values)))
    assert {*values[parts["test"]]} == {1, 2}
    assert {*values[parts["train"]]} == {3, 4, 5, 6, 7, 8}
    assert {*values[parts["validation"]]} == {9, 10}


@pytest.mark.parametrize("kind", ["random", "stratified", "chronological"])
def test_task_uses_as_many_rows_as_requested(kind: Any) -> None:
    """As many rows are used as requested, independent of their order; the latest ones by time."""
    values, truth = np.arange(1000.0), np.arange(1000) % 2
    how = Split(kind=kind, rows=100)
    parts = split_rows(how, SplitInputs(row_keys({"x": values}, 0)), truth)
    used = np.sort(np.concatenate([*parts.values()]))
    assert len(used) == 100
    assert (used == np.arange(900, 1000)).all() == (kind == "chronological")
    if kind == "random":
        reversed_parts = split_rows(how, SplitInputs(row_keys({"x": values[::-1]}, 0)), truth)
        assert {*values[::-1][reversed_parts["test"]]} == {*values[parts["test"]]}


@pytest.mark.parametrize("kind", ["random", "stratified", "given"])
def test_few_training_rows_keep_the_test_rows(kind: Any) -> None:
    """With `training_rows`, the test part is the same, and the others are some of those without it, of each label."""
    key = np.random.default_rng(1).integers(0, 2**63, 1000).astype(np.uint64)
    truth = np.arange(1000) % 2
    part = np.array(["test" if row % 5 == 0 else "train" for row in range(1000)])
    inputs = SplitInputs(key, part=part if kind == "given" else None)
    every, few = (
        split_rows(Split(kind=kind, by="part" if kind == "given" else None, training_rows=rows), inputs, truth)
        for rows in (None, 100)
    )
    assert np.array_equal(every["test"], few["test"])
    assert len(few["train"]) + len(few["validation"]) == 100
    for name in ("train", "validation"):
        assert np.isin(few[name], every[name]).all()
        assert 0.1 < truth[few[name]].mean() < 0.9


def test_rows_without_labels_share_no_group_with_validation_or_test() -> None:
    """All rows of a group of a validation or test row are left out; all others that are no test rows are there."""
    split = Split(kind="random", group="customer", training_rows=120, unlabelled=True)
    names = np.repeat(np.arange(60), 5).astype(np.str_)
    inputs, truth = SplitInputs(group_keys(split, names), grouped=True), np.zeros(len(names))
    parts = split_rows(split, inputs, truth)
    found = unlabelled_rows(split, inputs, truth, parts)
    apart = {*names[parts["validation"]], *names[parts["test"]]}
    assert not {*names[found]} & apart
    assert {*names[found]} == {*names} - apart
    assert {*parts["train"].tolist()} <= {*found.tolist()}
