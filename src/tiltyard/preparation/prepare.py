"""Prepare a task: split the rows, seal the test rows, fit the encoder on training rows, write encoded parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files, plugins
from tiltyard.arrays import Array, ParsedRows
from tiltyard.config.task import Task
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation import array_file
from tiltyard.preparation.column_spill import ColumnSpill, open_spill
from tiltyard.preparation.row_encoding import encode_batches
from tiltyard.preparation.row_hashes import row_keys
from tiltyard.preparation.sealed_test import hash_pieces, seal
from tiltyard.preparation.split import split_inputs, split_rows
from tiltyard.workspace import Workspace


def prepare(workspace: Workspace, task: Task, *, reseal: bool = False) -> dict[str, Any]:
    """Write train, validation and test parts and the encoder; return row counts and hashes."""
    modality = plugins.load("modalities", task.modality)()
    raw = workspace.raw(task.name)
    with (
        open_spill(workspace.state(task.name, "prepare")) as spill,
        files.atomic_folder(workspace.out(task.name, "prepare")) as folder,
    ):
        keys, truth = _spill(modality.chunks(task, raw), spill, task.split.seed)
        inputs = split_inputs(task, keys, lambda name: modality.raw_column(task, raw, name))
        parts = split_rows(task.split, inputs, truth, modality.overlap(task))
        facts = {
            "data": files.sha256(raw),
            "test": _write_test(folder / "test.npz", spill, truth, parts["test"]),
            "rows": {name: len(index) for name, index in parts.items()},
            "notes": modality.notes(raw),
        }
        seal(workspace, task.name, facts, reseal=reseal)
        encoder = task.encoder().learn(
            task.target, lambda name: spill.cells(name, parts["train"]), truth[parts["train"]]
        )
        for name in ("train", "validation"):
            index = parts[name]
            with array_file.npz_writer(folder / f"{name}.npz") as write:
                write("features", len(index), _encoded(encoder, spill, index))
                write("truth", len(index), [truth[index]])
        encoder.save(folder / "encoder.json")
        files.write_json(folder / "split.json", facts)
    return facts


def _spill(chunks: Iterable[tuple[ParsedRows, Array]], spill: ColumnSpill, seed: int) -> tuple[Array, Array]:
    """Write rows to disk; return each row's key and truth, which stay in memory."""
    kept = []
    for rows, truth in chunks:
        spill.append(rows)
        kept.append((row_keys(rows, seed), truth))
    keys, truth = (np.concatenate(arrays) for arrays in zip(*kept, strict=True))
    return keys, truth


def _write_test(path: Path, spill: ColumnSpill, truth: Array, index: Array) -> str:
    """Write the test rows; return the hash for the seal."""
    digest = hashlib.sha256()
    with array_file.npz_writer(path) as write:
        for name in sorted(spill.files):
            write(f"column:{name}", len(index), hash_pieces(digest, len(index), spill.column(name, index)))
        for name, array in (("truth", truth[index]), ("number", index)):
            write(name, len(index), hash_pieces(digest, len(index), [array]))
    return digest.hexdigest()


def _encoded(encoder: Encoder, spill: ColumnSpill, index: Array) -> Iterator[Array]:
    for rows in spill.rows(index):
        yield from encode_batches(encoder, rows)
