"""The sealed test part: written once for each version of the data, and refused if it is another one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array, Rows
from tiltyard.errors import DataError, SealError
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class TestPart:
    """The sealed rows: as a client would send them, with the truth and their numbers in the raw data."""

    __test__ = False  # for pytest: no test case

    rows: Rows
    truth: Array
    number: Array

    @cached_property
    def digest(self) -> str:
        """The hash that the seal records."""
        digest = hashlib.sha256()
        for array in (*(self.rows[name] for name in sorted(self.rows)), self.truth, self.number):
            for _ in hashed(digest, len(array), [array]):
                pass
        return digest.hexdigest()


def hashed(digest: Any, rows: int, pieces: Iterable[Array]) -> Iterator[Array]:
    """Hash an array that comes in pieces, and pass them on: its type and shape first, then its bytes."""
    for place, piece in enumerate(pieces):
        if not place:
            digest.update(f"{piece.dtype.str}{(rows, *piece.shape[1:])}".encode())
        digest.update(piece.tobytes())
        yield piece


def read_test(workspace: Workspace, task: str, columns: Iterable[str]) -> TestPart:
    """Read the sealed test part of a task; refuse it if it is not the one that was sealed."""
    path = workspace.out(task, "prepare") / "test.npz"
    if not path.is_file():
        raise DataError(f"no test part for {task}", hint=f"make it: tiltyard prepare {task}")
    with np.load(path, allow_pickle=False) as arrays:
        rows = {name: arrays[f"column:{name}"] for name in columns}
        test = TestPart(rows, arrays["truth"], arrays["number"])
    facts = files.read_json(path.with_name("split.json"))
    sealed = _sealed(workspace, task).get(facts["data"])
    if test.digest != sealed:
        raise SealError(
            f"the test part of {task} was changed: expected {str(sealed)[:12]}; received {test.digest[:12]}",
            hint=f"make it again: rm -r {path.parent.relative_to(workspace.root)} && tiltyard run {task}",
        )
    return test


def _sealed(workspace: Workspace, task: str) -> dict[str, str]:
    """Return the recorded hash of the test part for each version of the data."""
    path = workspace.seal(task)
    seals: dict[str, str] = files.read_json(path) if path.is_file() else {}
    return seals


def seal(workspace: Workspace, task: str, facts: dict[str, Any], *, reseal: bool) -> None:
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
            f"tiltyard prepare {task} --reseal",
        )
    files.write_json(workspace.seal(task), {**seals, facts["data"]: facts["test"]})
