"""The verb prepare: deal rows to three parts once, seal the test part, fit the encoder on the training rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files, plugins, stored
from tiltyard.arrays import Array, Rows, count
from tiltyard.encoder import Encoder
from tiltyard.errors import DataError, SealError
from tiltyard.shelf import Shelf, shelf
from tiltyard.split import deal, keys, marked
from tiltyard.stored import Stored
from tiltyard.task import Task
from tiltyard.workspace import Workspace

AT_ONCE = 1 << 14  # rows that are encoded together
LARGE = 1 << 28  # bytes of a part that are still read into memory
Features = Array | Stored


@dataclass(frozen=True)
class TestPart:
    """The sealed rows: as a client would send them, with the truth and their numbers in the raw data."""

    __test__ = False  # for pytest: no test case

    rows: Rows
    truth: Array
    number: Array

    @property
    def digest(self) -> str:
        """The hash that the seal records."""
        digest = hashlib.sha256()
        for array in (*(self.rows[name] for name in sorted(self.rows)), self.truth, self.number):
            for _ in _hashed(digest, len(array), [array]):
                pass
        return digest.hexdigest()


def prepare(workspace: Workspace, task: Task, *, reseal: bool = False) -> dict[str, Any]:
    """Write train, validation and test parts and the encoder; give the numbers of rows and the hashes."""
    form = plugins.load("forms", task.form)()
    raw = workspace.raw(task.name)
    with (
        shelf(workspace.state(task.name, "prepare")) as kept,
        files.replacing_folder(workspace.out(task.name, "prepare")) as folder,
    ):
        key, truth = _shelve(form.parts(task, raw), kept, task.split.seed)
        marks = marked(task, key, lambda name: form.cells(task, raw, name))
        parts = deal(task.split, marks, truth, form.reach(task))
        facts = {
            "data": files.sha256(raw),
            "test": _write_test(folder / "test.npz", kept, truth, parts["test"]),
            "rows": {name: len(index) for name, index in parts.items()},
            "context": task.kind.context(truth[parts["train"]]),
            "notes": form.notes(raw),
        }
        _seal(workspace, task, facts, reseal=reseal)
        encoder = task.encoder().learn(
            task.target, lambda name: kept.column(name, parts["train"]), truth[parts["train"]]
        )
        for name in ("train", "validation"):
            index = parts[name]
            with stored.writing(folder / f"{name}.npz") as write:
                write("features", len(index), _encoded(encoder, kept, index))
                write("truth", len(index), [truth[index]])
        encoder.save(folder / "encoder.json")
        files.write_json(folder / "split.json", facts)
    return facts


def _shelve(parts: Iterable[tuple[Rows, Array]], kept: Shelf, seed: int) -> tuple[Array, Array]:
    """Put rows on the shelf; of each keep in memory its key and its truth."""
    known = []
    for rows, truth in parts:
        kept.put(rows)
        known.append((keys(rows, seed), truth))
    key, truth = (np.concatenate(some) for some in zip(*known, strict=True))
    return key, truth


def _write_test(path: Path, kept: Shelf, truth: Array, index: Array) -> str:
    """Write the test part, and give the hash that the seal records."""
    digest = hashlib.sha256()
    with stored.writing(path) as write:
        for name in sorted(kept.files):
            write(f"column:{name}", len(index), _hashed(digest, len(index), kept.column(name, index)))
        for name, array in (("truth", truth[index]), ("number", index)):
            write(name, len(index), _hashed(digest, len(index), [array]))
    return digest.hexdigest()


def _encoded(encoder: Encoder, kept: Shelf, index: Array) -> Iterator[Array]:
    """Encode some rows, few at a time: a category may be a thousand features."""
    for rows in kept.rows(index):
        for start in range(0, count(rows), AT_ONCE):
            some = {name: values[start : start + AT_ONCE] for name, values in rows.items()}
            yield encoder.pack(encoder.encode(some))


def _hashed(digest: Any, rows: int, pieces: Iterable[Array]) -> Iterator[Array]:
    """Hash an array that comes in pieces, and pass them on: its type and shape first, then its bytes."""
    for place, piece in enumerate(pieces):
        if not place:
            digest.update(f"{piece.dtype.str}{(rows, *piece.shape[1:])}".encode())
        digest.update(piece.tobytes())
        yield piece


def read_part(path: Path) -> tuple[Array, Array]:
    """Read encoded features and truth of train.npz or validation.npz."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["features"], arrays["truth"]


def open_part(path: Path) -> tuple[Features, Array]:
    """Give the same, but leave features that are large where they are, to be read in slices."""
    if path.stat().st_size <= LARGE:
        return read_part(path)
    with np.load(path, allow_pickle=False) as arrays:
        return Stored(path, "features"), arrays["truth"]


def read_test(workspace: Workspace, task: Task) -> TestPart:
    """Read the sealed test part; refuse it if it is not the one that was sealed."""
    path = workspace.out(task.name, "prepare") / "test.npz"
    if not path.is_file():
        raise DataError(f"no test part for {task.name}", hint=f"make it: tiltyard prepare {task.name}")
    with np.load(path, allow_pickle=False) as arrays:
        rows = {name: arrays[f"column:{name}"] for name in task.columns}
        test = TestPart(rows, arrays["truth"], arrays["number"])
    facts = files.read_json(path.with_name("split.json"))
    sealed = _sealed(workspace, task).get(facts["data"])
    if test.digest != sealed:
        raise SealError(
            f"the test part of {task.name} was changed: expected {str(sealed)[:12]}; received {test.digest[:12]}",
            hint=f"make it again: rm -r {path.parent.relative_to(workspace.root)} && tiltyard run {task.name}",
        )
    return test


def _sealed(workspace: Workspace, task: Task) -> dict[str, str]:
    """Give the recorded hash of the test part for each version of the data."""
    path = workspace.seal(task.name)
    seals: dict[str, str] = files.read_json(path) if path.is_file() else {}
    return seals


def _seal(workspace: Workspace, task: Task, facts: dict[str, Any], *, reseal: bool) -> None:
    """Record the test part of this version of the data, or refuse another one than was recorded."""
    seals = _sealed(workspace, task)
    known = seals.get(facts["data"])
    if known == facts["test"]:
        return
    if known and not reseal:
        raise SealError(
            f"split: another test part than the sealed one for the same data: "
            f"expected {known[:12]}; received {facts['test'][:12]}",
            hint="undo the change of split or columns; or, knowing that earlier figures no longer compare, "
            f"tiltyard prepare {task.name} --reseal",
        )
    files.write_json(workspace.seal(task.name), {**seals, facts["data"]: facts["test"]})
