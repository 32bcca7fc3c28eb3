"""Sealed test rows: their hash is recorded once for each version of the data, and any other test rows are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array, Rows
from tiltyard.errors import DataError, SealError
from tiltyard.preparation import array_file
from tiltyard.runtime import threads
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class TestRows:
    """The sealed rows as a client would send them, with the truth and their row numbers in the raw data."""

    __test__ = False  # pytest must not collect it

    rows: Rows
    truth: Array
    number: Array
    unit: Array | None = None  # the group or the time step of each row, if rows depend on one another through it

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


def write_test(
    path: Path,
    columns: Mapping[str, Callable[[], Iterable[Array]]],
    truth: Array,
    index: Array,
    unit: Array | None = None,
) -> str:
    """Write the test rows, given the pieces of each column; return the hash for the seal, which leaves out units."""
    digest = hashlib.sha256()
    with array_file.npz_writer(path) as write:
        for name in sorted(columns):
            with threads.ahead(columns[name]()) as pieces:
                write(f"column:{name}", len(index), hash_pieces(digest, len(index), pieces))
        for name, array in (("truth", truth[index]), ("number", index)):
            write(name, len(index), hash_pieces(digest, len(index), [array]))
        if unit is not None:
            write("unit", len(index), [unit])
    return digest.hexdigest()


def read_test(workspace: Workspace, task: str, columns: Iterable[str]) -> TestRows:
    """Read the sealed test rows of a task; refuse them if their hash differs from the seal."""
    path = workspace.out(task, "prepare") / "test.npz"
    if not path.is_file():
        raise DataError(f"no test rows of {task}", hint=f"prepare them: tiltyard prepare {task}")
    with np.load(path, allow_pickle=False) as arrays:
        rows = {name: arrays[f"column:{name}"] for name in columns}
        test = TestRows(rows, arrays["truth"], arrays["number"], arrays.get("unit"))
    data, seals = files.read_json(path.with_name("split.json"))["data"], _sealed(workspace, task)
    hint = f"make them again: rm -r {path.parent.relative_to(workspace.root)} && tiltyard run {task}"
    for subject, sealed, received in (
        ("test rows", seals.get(data), test.digest),
        ("groups or times of the test rows", seals.get(_units_key(data)), unit_digest(test.unit)),
    ):
        if received != sealed:
            text = f"expected {str(sealed)[:12]}; received {str(received)[:12]}"
            raise SealError(f"the {subject} of {task} were changed: {text}", hint)
    return test


def unit_digest(unit: Array | None) -> str | None:
    """Return the hash of the units of the rows that the seal records; None if there are none."""
    return None if unit is None else hashlib.sha256(array_file.raw_bytes(unit)).hexdigest()


def _units_key(data: str) -> str:
    return f"{data} units"


def _sealed(workspace: Workspace, task: str) -> dict[str, str]:
    """Return the recorded hashes: version of the data -> hash of the test rows."""
    path = workspace.seal(task)
    seals: dict[str, str] = files.read_json(path) if path.is_file() else {}
    return seals


def seal(workspace: Workspace, task: str, facts: dict[str, Any], *, reseal: bool) -> None:
    """Record the hashes of the test rows and of their units for this version of the data; refuse different ones."""
    seals, data = _sealed(workspace, task), facts["data"]
    new = {data: facts["test"], **({_units_key(data): facts["units"]} if "units" in facts else {})}
    recorded = {name: seals[name] for name in (data, _units_key(data)) if name in seals}
    if recorded == new:
        return
    changed = [name for name in recorded if recorded[name] != new.get(name)]  # an earlier release sealed no units
    if changed and not reseal:
        subject = "the test rows" if data in changed else "the groups or times of the test rows"
        expected, received = recorded[changed[0]][:12], str(new.get(changed[0]))[:12]
        raise SealError(
            f"split: {subject} differ from the sealed ones of the same data: expected {expected}; received {received}",
            hint="undo the change of split or columns; or, if earlier metrics need not compare, "
            f"tiltyard prepare {task} --reseal",
        )
    other_seals = {name: digest for name, digest in seals.items() if name not in recorded}
    files.write_json(workspace.seal(task), {**other_seals, **new})
