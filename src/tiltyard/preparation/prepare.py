"""The verb prepare: deal rows to three parts once, seal the test part, fit the encoder on the training rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files, plugins
from tiltyard.arrays import Array, Rows, count
from tiltyard.config.task import Task
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation import array_file
from tiltyard.preparation.column_spill import ColumnSpill, shelf
from tiltyard.preparation.sealed_test import hashed, seal
from tiltyard.preparation.split import deal, keys, marked
from tiltyard.workspace import Workspace

AT_ONCE = 1 << 14  # rows that are encoded together


def prepare(workspace: Workspace, task: Task, *, reseal: bool = False) -> dict[str, Any]:
    """Write train, validation and test parts and the encoder; give the numbers of rows and the hashes."""
    form = plugins.load("modalities", task.form)()
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
            "notes": form.notes(raw),
        }
        seal(workspace, task.name, facts, reseal=reseal)
        encoder = task.encoder().learn(
            task.target, lambda name: kept.column(name, parts["train"]), truth[parts["train"]]
        )
        for name in ("train", "validation"):
            index = parts[name]
            with array_file.writing(folder / f"{name}.npz") as write:
                write("features", len(index), _encoded(encoder, kept, index))
                write("truth", len(index), [truth[index]])
        encoder.save(folder / "encoder.json")
        files.write_json(folder / "split.json", facts)
    return facts


def _shelve(parts: Iterable[tuple[Rows, Array]], kept: ColumnSpill, seed: int) -> tuple[Array, Array]:
    """Put rows on the shelf; of each keep in memory its key and its truth."""
    known = []
    for rows, truth in parts:
        kept.put(rows)
        known.append((keys(rows, seed), truth))
    key, truth = (np.concatenate(some) for some in zip(*known, strict=True))
    return key, truth


def _write_test(path: Path, kept: ColumnSpill, truth: Array, index: Array) -> str:
    """Write the test part, and give the hash that the seal records."""
    digest = hashlib.sha256()
    with array_file.writing(path) as write:
        for name in sorted(kept.files):
            write(f"column:{name}", len(index), hashed(digest, len(index), kept.column(name, index)))
        for name, array in (("truth", truth[index]), ("number", index)):
            write(name, len(index), hashed(digest, len(index), [array]))
    return digest.hexdigest()


def _encoded(encoder: Encoder, kept: ColumnSpill, index: Array) -> Iterator[Array]:
    """Encode some rows, few at a time: a category may be a thousand features."""
    for rows in kept.rows(index):
        for start in range(0, count(rows), AT_ONCE):
            some = {name: values[start : start + AT_ONCE] for name, values in rows.items()}
            yield encoder.pack(encoder.encode(some))
