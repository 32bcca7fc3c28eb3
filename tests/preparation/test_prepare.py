"""Preparation: disjoint parts, encoders fitted on training rows only, and sealed test rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import generated_tasks
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspaces import edit_task, fetch_raw

from tiltyard import files
from tiltyard.arrays import Array, Rows, row_count
from tiltyard.config import loader
from tiltyard.config.sections import Split
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.data.formats import delimited
from tiltyard.errors import DataError, SealError
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation import array_file, prepare, sealed_test
from tiltyard.preparation.modalities import table
from tiltyard.preparation.split import Parts, SplitInputs, row_keys, split_rows
from tiltyard.workspace import Workspace

ALL = ["diabetes", "digits", "iris", "sine"]


def dealt(how: Split, rows: Rows, truth: Array) -> Parts:
    """Split rows by their content."""
    return split_rows(how, SplitInputs(row_keys(rows, how.seed)), truth)


def _prepare(workspace: Workspace, name: str, *, reseal: bool = False) -> None:
    prepare.prepare(workspace, loader.load(workspace, name), reseal=reseal)


@given(
    values=st.lists(st.integers(0, 30), min_size=12, max_size=200),
    seed=st.integers(-3, 3),
    shares=st.sampled_from([(0.2, 0.2), (0.1, 0.3), (0.45, 0.45)]),
)
def test_identical_rows_stay_together(values: list[int], seed: int, shares: tuple[float, float]) -> None:
    """Every row is in exactly one part, and no value in two."""
    rows = {"x": np.array(values, dtype=np.float64)}
    how = Split(kind="random", test=shares[0], validation=shares[1], seed=seed)
    try:
        parts = dealt(how, rows, np.zeros(len(values)))
    except DataError:
        return  # too few distinct rows for three parts, and said so
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(values)))
    seen = [set(rows["x"][index]) for index in parts.values()]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_order_of_rows_does_not_change_who_is_tested() -> None:
    """Reordered rows give the same test rows."""
    values = np.random.default_rng(0).random(200)
    order = np.random.default_rng(1).permutation(200)
    how = Split(kind="random")
    one = dealt(how, {"x": values}, values)["test"]
    other = dealt(how, {"x": values[order]}, values[order])["test"]
    assert set(values[one]) == set(values[order][other])


def test_stratified_parts_have_the_shares_of_the_whole() -> None:
    """Each class is split in the same proportions."""
    truth = np.array([0] * 100 + [1] * 20)
    parts = dealt(Split(kind="stratified"), {"x": np.arange(120.0)}, truth)
    assert {name: np.bincount(truth[index]).tolist() for name, index in parts.items()} == {
        "train": [60, 12],
        "validation": [20, 4],
        "test": [20, 4],
    }


@given(cells=st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=30, max_size=200), seed=st.integers(0, 3))
def test_identical_rows_of_two_classes_stay_together(cells: list[tuple[int, bool]], seed: int) -> None:
    """Identical rows with different labels are in one part."""
    values, truth = (np.array(part) for part in zip(*cells, strict=True))
    how = Split(kind="stratified", seed=seed)
    try:
        parts = dealt(how, {"x": values.astype(np.float64)}, truth.astype(np.int64))
        said = ""
    except DataError as error:
        parts, said = {}, error.message
    if said:
        assert "is empty" in said  # too few distinct rows for three parts
        return
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(values)))
    seen = [set(values[index]) for index in parts.values()]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_windows_of_a_series_share_no_value_across_parts(workspace: Workspace) -> None:
    """No value is in two parts."""
    fetch_raw(workspace, "sine")
    _prepare(workspace, "sine")
    folder = workspace.out("sine", "prepare")
    test = sealed_test.read_test(workspace, "sine", loader.load(workspace, "sine").columns)
    train, truth = array_file.read_part(folder / "train.npz")
    validation, later = array_file.read_part(folder / "validation.npz")
    values = [
        set(np.concatenate([np.ravel(features), np.ravel(target)]).astype(np.float32).tolist())
        for features, target in ((train, truth), (validation, later), (test.rows["value"], test.truth))
    ]
    assert not values[0] & values[1]
    assert not values[1] & values[2]
    assert not values[0] & values[2]


def test_a_repeated_row_across_a_chronological_border_is_refused(workspace: Workspace) -> None:
    """A test row that equals a training row is an error in a chronological split."""
    edit_task(
        workspace, "iris", {"split.kind": "chronological", "target.classes": ["setosa", "versicolor", "virginica"]}
    )
    fetch_raw(workspace, "iris")
    path = workspace.raw("iris") / "table.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[1]]) + "\n")
    with pytest.raises(DataError, match="1 rows of test are identical to training rows; the first are 149"):
        _prepare(workspace, "iris")


@pytest.mark.parametrize("name", ALL)
def test_the_encoder_learns_from_training_rows_only(workspace: Workspace, name: str) -> None:
    """The saved encoder's scaling is that of the training part."""
    fetch_raw(workspace, name)
    _prepare(workspace, name)
    folder = workspace.out(name, "prepare")
    features, truth = array_file.read_part(folder / "train.npz")
    encoder = Encoder.load(folder / "encoder.json")
    means, stds = encoder.scaling()
    for place, (mean, std) in enumerate(zip(means, stds, strict=True)):
        if (mean, std) != (0.0, 1.0) and name != "digits":
            column = features[..., place].astype(np.float64)
            assert np.allclose([column.mean(), column.std()], [mean, std], rtol=1e-4)
    if encoder.target:
        assert encoder.target == {"mean": truth.mean(), "std": truth.std()}


@pytest.mark.parametrize("name", ALL)
def test_preparing_twice_gives_the_same_bytes(workspace: Workspace, name: str) -> None:
    """Preparing again gives the same bytes."""
    fetch_raw(workspace, name)
    _prepare(workspace, name)
    first = files.sha256(workspace.out(name, "prepare"))
    _prepare(workspace, name)
    assert files.sha256(workspace.out(name, "prepare")) == first


def test_another_split_of_the_same_data_is_refused_until_resealed(workspace: Workspace) -> None:
    """A new seed would change the sealed test rows: it needs --reseal."""
    fetch_raw(workspace, "iris")
    _prepare(workspace, "iris")
    before = files.sha256(workspace.out("iris", "prepare"))
    edit_task(workspace, "iris", {"split.seed": 1})
    with pytest.raises(SealError, match="the test rows differ from the sealed ones") as error:
        _prepare(workspace, "iris")
    assert "tiltyard prepare iris --reseal" in error.value.hint
    assert files.sha256(workspace.out("iris", "prepare")) == before
    _prepare(workspace, "iris", reseal=True)
    _prepare(workspace, "iris")


def test_new_data_gets_a_seal_of_its_own(workspace: Workspace) -> None:
    """New data get a new seal, and the old one is kept."""
    fetch_raw(workspace, "iris")
    _prepare(workspace, "iris")
    path = workspace.raw("iris") / "table.csv"
    path.write_text(path.read_text() + "5.05,3.33,1.44,0.22,setosa\n")
    _prepare(workspace, "iris")
    assert len(files.read_json(workspace.seal("iris"))) == 2


def test_a_changed_test_part_is_refused(workspace: Workspace) -> None:
    """One changed label in test.npz is detected when it is read."""
    fetch_raw(workspace, "iris")
    _prepare(workspace, "iris")
    task = loader.load(workspace, "iris")
    assert len(sealed_test.read_test(workspace, task.name, task.columns).truth) == 30
    path = workspace.out("iris", "prepare") / "test.npz"
    with np.load(path) as arrays:
        changed = {name: arrays[name].copy() for name in arrays.files}
    changed["truth"][0] = 2
    np.savez(path, **changed)
    with pytest.raises(SealError, match="the test rows of iris were changed"):
        sealed_test.read_test(workspace, task.name, task.columns)


def test_an_empty_part_is_refused() -> None:
    """Identical rows cannot be split into three parts."""
    with pytest.raises(DataError, match="expected rows in every part"):
        dealt(Split(kind="random"), {"x": np.zeros(50)}, np.zeros(50))


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "iris",
            "setosa",
            "tulip",
            "target.classes: expected setosa, versicolor, virginica; the data also holds tulip",
        ),
        ("diabetes", "151.0", "many", "target progression: expected numbers: could not convert .*many"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(
    workspace: Workspace, name: str, old: str, new: str, said: str
) -> None:
    """The error names the invalid value, also without validation."""
    fetch_raw(workspace, name)
    path = workspace.raw(name) / "table.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=said):
        _prepare(workspace, name)


def slow_keys(rows: Rows, seed: int) -> list[int]:
    """Hash row by row, as committed seals were made."""
    digests = []
    for i in range(row_count(rows)):
        digest = hashlib.blake2b(seed.to_bytes(8, "little", signed=True), digest_size=8)
        for name in sorted(rows):
            digest.update(np.ascontiguousarray(rows[name][i]).tobytes())
        digests.append(int.from_bytes(digest.digest(), "little"))
    return digests


@given(data=st.data(), seed=st.integers(-3, 3), size=st.integers(1, 5))
def test_keys_of_many_rows_are_those_of_each(data: st.DataObject, seed: int, size: int) -> None:
    """Vectorized hashing of any column types equals hashing row by row."""
    kinds = [
        st.lists(st.floats(), min_size=size, max_size=size).map(np.array),
        st.lists(st.text(max_size=3), min_size=size, max_size=size).map(lambda texts: np.array(texts, dtype=np.str_)),
        st.lists(st.text("äbc", min_size=2, max_size=2), min_size=size, max_size=size).map(np.array),
        st.lists(st.binary(max_size=3), min_size=size, max_size=size).map(lambda some: np.array(some, dtype=np.bytes_)),
        st.just(np.arange(size * 6, dtype=np.uint8).reshape(size, 3, 2)),
        st.just(np.datetime64("2024-01-01", "us") + np.arange(size)),
        st.just(np.arange(size * 2, dtype=np.float64).reshape(size, 2)[:, 0]),
    ]
    columns = data.draw(st.lists(st.one_of(kinds), min_size=1, max_size=5))
    rows = {f"column {place}": values for place, values in enumerate(columns)}
    assert row_keys(rows, seed).tolist() == slow_keys(rows, seed)


@pytest.mark.parametrize("make", [generated_tasks.prepare_table, generated_tasks.prepare_texts])
def test_parts_are_prepared_as_the_whole(
    workspace: Workspace, make: Callable[[Workspace], Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Preparing in chunks of 30 rows gives the same bytes."""
    task = make(workspace)
    whole = files.sha256(workspace.out(task.name, "prepare"))
    reading_parts = table_reader.TableFile.parts

    def small(table: table_reader.TableFile, columns: list[str], rows: int) -> Iterator[pd.DataFrame]:
        for frame in reading_parts(table, columns, rows):
            yield from (frame.iloc[start : start + 30] for start in range(0, len(frame), 30))

    monkeypatch.setattr(table_reader.TableFile, "parts", small)
    prepare.prepare(workspace, task)
    assert files.sha256(workspace.out(task.name, "prepare")) == whole
    assert not workspace.state(task.name, "prepare").exists()


def test_a_bad_cell_is_named_by_its_row_in_any_part(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row numbers count from the start of the file, not of the chunk."""
    fetch_raw(workspace, "iris")
    path = workspace.raw("iris") / "table.csv"
    lines = path.read_text().splitlines()
    lines[101] = "99" + lines[101]
    path.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(table, "CHUNK_ROWS", 10)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 500)
    with pytest.raises(DataError, match=r"row \[100\]\.sepal_length: expected 3 to 10; received 99"):
        _prepare(workspace, "iris")


def test_arrays_are_read_in_slices_as_they_were_written(tmp_path: Path) -> None:
    """Numpy reads a file written in pieces, and slices equal those of the whole."""
    whole = np.arange(120, dtype=np.float32).reshape(20, 3, 2)
    with array_file.npz_writer(tmp_path / "some.npz") as write:
        write("other", 2, [np.array(["ä", "bc"])])
        write("features", 20, (whole[start : start + 7] for start in range(0, 20, 7)))
    with np.load(tmp_path / "some.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["features"], whole)
        assert arrays["other"].tolist() == ["ä", "bc"]
    found = array_file.ArrayFile(tmp_path / "some.npz", "features")
    assert (len(found), found.shape, found.nbytes) == (20, whole.shape, whole.nbytes)
    for some in (slice(None), slice(3, 9), slice(15, 99), slice(-2, None), slice(9, 3)):
        np.testing.assert_array_equal(found[some], whole[some])
    np.savez_compressed(tmp_path / "small.npz", features=whole)
    with pytest.raises(ValueError, match=r"features\.npy is compressed"):
        array_file.ArrayFile(tmp_path / "small.npz", "features")


def test_what_a_kill_has_left_on_the_shelf_is_cleared(workspace: Workspace) -> None:
    """Spilled rows of a killed run are deleted."""
    fetch_raw(workspace, "iris")
    left = workspace.state("iris", "prepare") / "0"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half an array")
    _prepare(workspace, "iris")
    assert not left.parent.exists()
