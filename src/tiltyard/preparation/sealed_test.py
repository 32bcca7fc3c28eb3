"""Sealed test rows: their hash is recorded once for each version of the data, and any other test rows are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files, threads
from tiltyard.arrays import Array, Rows
from tiltyard.errors import DataError, SealError
from tiltyard.preparation import array_file
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class TestRows:
    """The sealed rows as a client would send them, with the truth and their row numbers in the raw data."""

    __test__ = False  # pytest must not collect it

    rows: Rows
    truth: Array
    number: Array

    @cached_property
    def digest(self) -> str:
        """The hash that the seal records."""
        digest = hashlib.sha256()
        for array in (*(self.rows[name] for name in sorted(self.rows)), self.truth, self.number):
            for _ in hash_pieces(digest, len(array), [array]):
                pass
        return digest.hexdigest()


def hash_pieces(digest: Any, rows: int, pieces: Iterable[Array]) -> Iterator[Array]:
    """Yield the pieces of an array while hashing them: type and shape first, then the bytes."""
    for place, piece in enumerate(pieces):
        if not place:
            digest.update(f"{piece.dtype.str}{(rows, *piece.shape[1:])}".encode())
        digest.update(array_file.raw_bytes(piece))
        yield piece


def write_test(path: Path, columns: Mapping[str, Callable[[], Iterable[Array]]], truth: Array, index: Array) -> str:
    """Write the test rows, given the pieces of each column; return the hash for the seal."""
    digest = hashlib.sha256()
    with array_file.npz_writer(path) as write:
        for name in sorted(columns):
            with threads.ahead(columns[name]()) as pieces:
                write(f"column:{name}", len(index), hash_pieces(digest, len(index), pieces))
        for name, array in (("truth", truth[index]), ("number", index)):
            write(name, len(index), hash_pieces(digest, len(index), [array]))
    return digest.hexdigest()


def read_test(workspace: Workspace, task: str, columns: Iterable[str]) -> TestRows:
    """Read the sealed test rows of a task; refuse them if their hash differs from the seal."""
    path = workspace.out(task, "prepare") / "test.npz"
    if not path.is_file():
        raise DataError(f"no test rows of {task}", hint=f"prepare them: tiltyard prepare {task}")
    with np.load(path, allow_pickle=False) as arrays:
        rows = {name: arrays[f"column:{name}"] for name in columns}
        test = TestRows(rows, arrays["truth"], arrays["number"])
    facts = files.read_json(path.with_name("split.json"))
    sealed = _sealed(workspace, task).get(facts["data"])
    if test.digest != sealed:
        raise SealError(
            f"the test rows of {task} were changed: expected {str(sealed)[:12]}; received {test.digest[:12]}",
            hint=f"make them again: rm -r {path.parent.relative_to(workspace.root)} && tiltyard run {task}",
        )
    return test


def _sealed(workspace: Workspace, task: str) -> dict[str, str]:
    """Return the recorded hashes: version of the data -> hash of the test rows."""
    path = workspace.seal(task)
    seals: dict[str, str] = files.read_json(path) if path.is_file() else {}
    return seals


def seal(workspace: Workspace, task: str, facts: dict[str, Any], *, reseal: bool) -> None:
    """Record the hash of the test rows for this version of the data; refuse a different one."""
    seals = _sealed(workspace, task)
    known = seals.get(facts["data"])
    if known == facts["test"]:
        return
    if known and not reseal:
        raise SealError(
            f"split: the test rows differ from the sealed ones of the same data: "
            f"expected {known[:12]}; received {facts['test'][:12]}",
            hint="undo the change of split or columns; or, if earlier metrics need not compare, "
            f"tiltyard prepare {task} --reseal",
        )
    files.write_json(workspace.seal(task), {**seals, facts["data"]: facts["test"]})
