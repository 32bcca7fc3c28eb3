"""The verb prepare: deal rows to three parts once, seal the test part, fit the encoder on the training rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files, plugins
from tiltyard.column import Array, Rows, take
from tiltyard.encoder import Encoder
from tiltyard.errors import DataError, SealError
from tiltyard.split import split
from tiltyard.task import Task
from tiltyard.workspace import Workspace


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
            digest.update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def prepare(workspace: Workspace, task: Task, *, reseal: bool = False) -> dict[str, Any]:
    """Write train, validation and test parts and the encoder; give the numbers of rows and the hashes."""
    form = plugins.load("forms", task.form)()
    rows, truth = form.rows(task, workspace.raw(task.name))
    parts = split(task.split, rows, truth, form.reach(task))
    test = TestPart(take(rows, parts["test"]), truth[parts["test"]], parts["test"])
    encoder = Encoder.fit(task, take(rows, parts["train"]), truth[parts["train"]])
    facts = {
        "data": files.sha256(workspace.raw(task.name)),
        "test": test.digest,
        "rows": {name: len(index) for name, index in parts.items()},
        "context": task.kind.context(truth[parts["train"]]),
    }
    _seal(workspace, task, facts, reseal=reseal)
    with files.replacing_folder(workspace.out(task.name, "prepare")) as folder:
        for name in ("train", "validation"):
            some = take(rows, parts[name])
            _save(folder / f"{name}.npz", {"features": encoder.encode(some), "truth": truth[parts[name]]})
        columns = {f"column:{name}": values for name, values in test.rows.items()}
        _save(folder / "test.npz", {"truth": test.truth, "number": test.number, **columns})
        encoder.save(folder / "encoder.json")
        files.write_json(folder / "split.json", facts)
    return facts


def read_part(path: Path) -> tuple[Array, Array]:
    """Read encoded features and truth of train.npz or validation.npz."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["features"], arrays["truth"]


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
            hint=f"make it again: rm -r {path.parent.relative_to(workspace.root)} && dvc repro prepare@{task.name}",
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


def _save(path: Path, arrays: dict[str, Array]) -> None:
    """Write arrays; numpy's zip holds no time, so the same arrays give the same bytes."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
