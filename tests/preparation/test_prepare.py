"""Preparation: disjoint parts, encoders fitted on training rows only, and sealed test rows."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import generated_tasks
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspaces import edit_task, fetch_raw

from tiltyard import files
from tiltyard.arrays import Array, Coded, Rows, decoded, row_count
from tiltyard.config import loader
from tiltyard.config.sections import Split
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.data.formats import delimited
from tiltyard.errors import DataError, SealError
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation import array_file, prepare, sealed_test
from tiltyard.preparation.column_spill import ColumnSpill
from tiltyard.preparation.modalities import table
from tiltyard.preparation.row_hashes import row_keys
from tiltyard.preparation.split import Parts, SplitInputs, split_rows
from tiltyard.workspace import Workspace

ALL = ["diabetes", "digits", "iris", "sine"]


def split_by_content(how: Split, rows: Rows, truth: Array) -> Parts:
    """Split rows by their content."""
    return split_rows(how, SplitInputs(row_keys(rows, how.seed)), truth)


def _prepare(workspace: Workspace, name: str, *, reseal: bool = False) -> None:
    prepare.prepare(workspace, loader.load(workspace, name), reseal=reseal)


@given(
    values=st.lists(st.integers(0, 30), min_size=12, max_size=200),
    seed=st.integers(-3, 3),
    shares=st.sampled_from([(0.2, 0.2), (0.1, 0.3), (0.45, 0.45)]),
)
def test_identical_rows_are_in_the_same_part(values: list[int], seed: int, shares: tuple[float, float]) -> None:
    """Every row is in exactly one part, and no value in two."""
    rows = {"x": np.array(values, dtype=np.float64)}
    how = Split(kind="random", test=shares[0], validation=shares[1], seed=seed)
    try:
        parts = split_by_content(how, rows, np.zeros(len(values)))
    except DataError:
        return  # too few distinct rows for three parts, which is an error
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(values)))
    values_of_parts = [set(rows["x"][index]) for index in parts.values()]
    assert sum(map(len, values_of_parts)) == len(set.union(*values_of_parts))


def test_test_rows_do_not_depend_on_row_order() -> None:
    """Reordered rows give the same test rows."""
    values = np.random.default_rng(0).random(200)
    order = np.random.default_rng(1).permutation(200)
    how = Split(kind="random")
    one = split_by_content(how, {"x": values}, values)["test"]
    other = split_by_content(how, {"x": values[order]}, values[order])["test"]
    assert set(values[one]) == set(values[order][other])


def test_stratified_parts_keep_class_proportions() -> None:
    """Each class is split in the same proportions."""
    truth = np.array([0] * 100 + [1] * 20)
    parts = split_by_content(Split(kind="stratified"), {"x": np.arange(120.0)}, truth)
    assert {name: np.bincount(truth[index]).tolist() for name, index in parts.items()} == {
        "train": [60, 12],
        "validation": [20, 4],
        "test": [20, 4],
    }


@given(cells=st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=30, max_size=200), seed=st.integers(0, 3))
def test_identical_rows_of_two_classes_are_in_the_same_part(cells: list[tuple[int, bool]], seed: int) -> None:
    """Identical rows with different labels are in one part."""
    values, truth = (np.array(part) for part in zip(*cells, strict=True))
    how = Split(kind="stratified", seed=seed)
    try:
        parts = split_by_content(how, {"x": values.astype(np.float64)}, truth.astype(np.int64))
        message = ""
    except DataError as error:
        parts, message = {}, error.message
    if message:
        assert "is empty" in message  # too few distinct rows for three parts
        return
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(values)))
    values_of_parts = [set(values[index]) for index in parts.values()]
    assert sum(map(len, values_of_parts)) == len(set.union(*values_of_parts))


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


def test_chronological_split_with_a_repeated_row_is_refused(workspace: Workspace) -> None:
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
def test_encoder_is_fitted_on_training_rows_only(workspace: Workspace, name: str) -> None:
    """The saved encoder's scaling is that of the training part."""
    fetch_raw(workspace, name)
    _prepare(workspace, name)
    folder = workspace.out(name, "prepare")
    features, truth = array_file.read_part(folder / "train.npz")
    encoder = Encoder.load(folder / "encoder.json")
    means, stds = encoder.scaling()
    for index, (mean, std) in enumerate(zip(means, stds, strict=True)):
        if (mean, std) != (0.0, 1.0) and name != "digits":
            column = features[..., index].astype(np.float64)
            assert np.allclose([column.mean(), column.std()], [mean, std], rtol=1e-4)
    if encoder.target:
        assert encoder.target == {"mean": truth.mean(), "std": truth.std()}


@pytest.mark.parametrize("name", ALL)
def test_preparing_twice_gives_identical_files(workspace: Workspace, name: str) -> None:
    """Preparing again gives the same bytes."""
    fetch_raw(workspace, name)
    _prepare(workspace, name)
    first = files.sha256(workspace.out(name, "prepare"))
    _prepare(workspace, name)
    assert files.sha256(workspace.out(name, "prepare")) == first


def test_changed_split_is_refused_without_reseal(workspace: Workspace) -> None:
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


def test_new_data_get_a_new_seal(workspace: Workspace) -> None:
    """New data get a new seal, and the old one is kept."""
    fetch_raw(workspace, "iris")
    _prepare(workspace, "iris")
    path = workspace.raw("iris") / "table.csv"
    path.write_text(path.read_text() + "5.05,3.33,1.44,0.22,setosa\n")
    _prepare(workspace, "iris")
    assert len(files.read_json(workspace.seal("iris"))) == 2


def test_changed_test_rows_are_refused(workspace: Workspace) -> None:
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


def test_empty_part_is_refused() -> None:
    """Identical rows cannot be split into three parts."""
    with pytest.raises(DataError, match="expected rows in every part"):
        split_by_content(Split(kind="random"), {"x": np.zeros(50)}, np.zeros(50))


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
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
def test_invalid_target_value_is_refused(workspace: Workspace, name: str, old: str, new: str, message: str) -> None:
    """The error names the invalid value, also without validation."""
    fetch_raw(workspace, name)
    path = workspace.raw(name) / "table.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        _prepare(workspace, name)


def row_keys_one_by_one(rows: Rows, seed: int) -> list[int]:
    """Hash row by row, as committed seals were made."""
    digests = []
    for i in range(row_count(rows)):
        digest = hashlib.blake2b(seed.to_bytes(8, "little", signed=True), digest_size=8)
        for name in sorted(rows):
            digest.update(np.ascontiguousarray(rows[name][i]).tobytes())
        digests.append(int.from_bytes(digest.digest(), "little"))
    return digests


@given(data=st.data(), seed=st.integers(-3, 3), size=st.integers(1, 5))
def test_vectorized_row_keys_equal_those_of_single_rows(data: st.DataObject, seed: int, size: int) -> None:
    """Vectorized hashing of any column types equals hashing row by row."""
    kinds = [
        st.lists(st.floats(), min_size=size, max_size=size).map(np.array),
        st.lists(st.text(max_size=3), min_size=size, max_size=size).map(lambda texts: np.array(texts, dtype=np.str_)),
        st.lists(st.text("äbc", min_size=2, max_size=2), min_size=size, max_size=size).map(np.array),
        st.lists(st.binary(max_size=3), min_size=size, max_size=size).map(
            lambda values: np.array(values, dtype=np.bytes_)
        ),
        st.just(np.arange(size * 6, dtype=np.uint8).reshape(size, 3, 2)),
        st.just(np.datetime64("2024-01-01", "us") + np.arange(size)),
        st.just(np.arange(size * 2, dtype=np.float64).reshape(size, 2)[:, 0]),
    ]
    columns = data.draw(st.lists(st.one_of(kinds), min_size=1, max_size=5))
    rows = {f"column {index}": values for index, values in enumerate(columns)}
    assert row_keys(rows, seed).tolist() == row_keys_one_by_one(rows, seed)


@pytest.mark.parametrize("make", [generated_tasks.prepare_table, generated_tasks.prepare_texts])
def test_preparing_in_chunks_gives_identical_files(
    workspace: Workspace, make: Callable[[Workspace], Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Preparing in chunks of 30 rows gives the same bytes."""
    task = make(workspace)
    whole = files.sha256(workspace.out(task.name, "prepare"))
    reading_tables = table_reader.TableFile.tables

    def small(table: table_reader.TableFile, columns: list[str], rows: int) -> Iterator[tuple[int, pa.Table]]:
        for start, part in reading_tables(table, columns, rows):
            yield from ((start + place, part.slice(place, 30)) for place in range(0, len(part), 30))

    monkeypatch.setattr(table_reader.TableFile, "tables", small)
    prepare.prepare(workspace, task)
    assert files.sha256(workspace.out(task.name, "prepare")) == whole
    assert not workspace.state(task.name, "prepare").exists()


@pytest.mark.parametrize("make", [generated_tasks.prepare_table, generated_tasks.prepare_texts])
def test_parsing_with_pandas_gives_identical_files(
    workspace: Workspace, make: Callable[[Workspace], Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Arrow cannot parse a column, pandas does, with the same bytes."""
    task = make(workspace)
    whole = files.sha256(workspace.out(task.name, "prepare"))
    monkeypatch.setattr(table, "MAX_ARROW_BYTES", 0)
    monkeypatch.setattr(Column, "parse_arrow", None)
    prepare.prepare(workspace, task)
    assert files.sha256(workspace.out(task.name, "prepare")) == whole


@given(
    texts=st.lists(st.sampled_from(["", "a", "ä", "Ulm", "New York"]), min_size=1, max_size=9),
    kind=st.sampled_from(["U", "S"]),
    seed=st.integers(-3, 3),
)
def test_coded_columns_have_the_keys_of_their_values(texts: list[str], kind: str, seed: int) -> None:
    """A key does not depend on how a column is stored."""
    values = np.array([text.encode() for text in texts]) if kind == "S" else np.array(texts)
    distinct, places = np.unique(values, return_inverse=True)
    numbers = np.arange(len(texts)) / 3
    coded = row_keys({"x": Coded(distinct, places), "y": numbers}, seed)
    assert coded.tolist() == row_keys_one_by_one({"x": values, "y": numbers}, seed)


@given(st.lists(st.lists(st.sampled_from(["", "a", "bb", "Ulm"]), min_size=1, max_size=9), min_size=1, max_size=3))
def test_spilled_rows_are_read_as_they_were_appended(chunks: list[list[str]]) -> None:
    """A column may be coded in some chunks and plain in others; its type is as wide as the longest text of all."""
    whole = np.concatenate([np.array(texts) for texts in chunks])
    index = np.arange(0, len(whole), 2)
    with tempfile.TemporaryDirectory() as folder:
        spill = ColumnSpill(Path(folder))
        for number, texts in enumerate(chunks):
            values, places = np.unique(texts, return_inverse=True)
            spill.append({"x": np.array(texts) if number % 2 else Coded(values, places), "y": np.arange(len(texts))})
        column = np.concatenate([*spill.column("x", index)])
        assert (column.dtype, column.tolist()) == (whole.dtype, whole[index].tolist())
        rows = [*spill.rows(index)]
    assert [text for some in rows for text in decoded(some["x"]).tolist()] == whole[index].tolist()
    assert sum(row_count(some) for some in rows) == len(index)


def test_batches_are_encoded_like_whole_columns(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding each distinct value once, in batches of seven rows, gives the bits of the encoder."""
    task = generated_tasks.prepare_table(workspace)
    ((rows, truth),) = table.Table().chunks(task, workspace.raw(task.name))
    assert {name for name, cells in rows.items() if isinstance(cells, Coded)} == {"town", "plan", "member"}
    whole = {name: decoded(cells) for name, cells in rows.items()}
    encoder = task.encoder().fit(task.target, whole, truth)
    assert encoder.fitted == task.encoder().learn(task.target, lambda name: [rows[name]], truth).fitted
    for name, rows_of_block in (("BATCH_ROWS", 7), ("BLOCK_ROWS", 5)):
        monkeypatch.setattr(prepare, name, rows_of_block)
    batches = np.concatenate([*prepare.encode_batches(encoder, [rows])])
    assert batches.tobytes() == encoder.encode(whole).tobytes()


def test_invalid_cell_is_named_by_its_row_in_the_file(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_array_file_slices_equal_the_written_array(tmp_path: Path) -> None:
    """Numpy reads a file written in pieces, and slices equal those of the whole."""
    whole = np.arange(120, dtype=np.float32).reshape(20, 3, 2)
    with array_file.npz_writer(tmp_path / "some.npz") as write:
        write("other", 2, [np.array(["ä", "bc"])])
        write("features", 20, (whole[start : start + 7] for start in range(0, 20, 7)))
    with np.load(tmp_path / "some.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["features"], whole)
        assert arrays["other"].tolist() == ["ä", "bc"]
    array = array_file.ArrayFile(tmp_path / "some.npz", "features")
    assert (len(array), array.shape, array.nbytes) == (20, whole.shape, whole.nbytes)
    for array_slice in (slice(None), slice(3, 9), slice(15, 99), slice(-2, None), slice(9, 3)):
        np.testing.assert_array_equal(array[array_slice], whole[array_slice])
    np.savez_compressed(tmp_path / "small.npz", features=whole)
    with pytest.raises(ValueError, match=r"features\.npy is compressed"):
        array_file.ArrayFile(tmp_path / "small.npz", "features")


def test_leftovers_of_a_killed_run_are_deleted(workspace: Workspace) -> None:
    """Spilled rows of a killed run are deleted."""
    fetch_raw(workspace, "iris")
    leftover = workspace.state("iris", "prepare") / "0"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half an array")
    _prepare(workspace, "iris")
    assert not leftover.parent.exists()
