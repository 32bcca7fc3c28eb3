"""Prepare a task: split the rows, seal the test rows, fit the encoder on training rows, write encoded parts."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from tiltyard import files, plugins
from tiltyard.arrays import Array, ParsedRows
from tiltyard.config.task import Task
from tiltyard.preparation import array_file
from tiltyard.preparation.column_spill import ColumnSpill, open_spill
from tiltyard.preparation.row_encoding import encode_batches
from tiltyard.preparation.row_hashes import hashing
from tiltyard.preparation.sealed_test import seal, unit_digest, write_test
from tiltyard.preparation.split import split_inputs, split_rows, units
from tiltyard.runtime import threads
from tiltyard.workspace import Workspace


def prepare(workspace: Workspace, task: Task, *, reseal: bool = False) -> dict[str, Any]:
    """Write train, validation and test parts and the encoder; return row counts and hashes."""
    modality = plugins.load("modalities", task.modality)()
    raw = workspace.raw(task.name)
    with (
        open_spill(workspace.state(task.name, "prepare")) as spill,
        files.atomic_folder(workspace.out(task.name, "prepare")) as folder,
        ThreadPoolExecutor(1) as executor,
    ):
        data = executor.submit(files.sha256, raw)
        keys, truth = _spill(modality.chunks(task, raw), spill, task.split.seed)
        inputs = split_inputs(task, keys, lambda name: modality.raw_column(task, raw, name))
        parts = split_rows(task.split, inputs, truth, modality.overlap(task))
        unit = units(inputs, parts["test"], modality.times)
        test_columns = {name: partial(spill.column, name, parts["test"]) for name in spill.files}
        facts = {
            "data": data.result(),
            "test": write_test(folder / "test.npz", test_columns, truth, parts["test"], unit),
            **({"units": unit_digest(unit)} if unit is not None else {}),
            "rows": {name: len(index) for name, index in parts.items()},
            **({"naive_mae": float(modality.steps[parts["train"]].mean())} if modality.steps is not None else {}),
            "notes": modality.notes(raw),
        }
        seal(workspace, task.name, facts, reseal=reseal)
        encoder = task.encoder().learn(
            task.target, lambda name: spill.cells(name, parts["train"]), truth[parts["train"]], threads.ordered
        )
        for name in ("train", "validation"):
            index = parts[name]
            with array_file.npz_writer(folder / f"{name}.npz") as write:
                write("features", len(index), encode_batches(encoder, spill.rows(index)))
                write("truth", len(index), [truth[index]])
        encoder.save(folder / "encoder.json")
        files.write_json(folder / "split.json", facts)
    return facts


def _spill(chunks: Iterable[tuple[ParsedRows, Array]], spill: ColumnSpill, seed: int) -> tuple[Array, Array]:
    """Write rows to disk; return each row's key and truth, which stay in memory."""
    keys, truths = [], []
    with hashing(seed) as keys_of, threads.ahead(chunks) as coming:
        for place, (rows, truth) in enumerate(coming):
            keys.append(keys_of(rows))
            spill.append(rows)
            truths.append(truth)
            if place:
                keys[place - 1]()  # wait for the last chunk, so that memory is bounded
        return np.concatenate([key() for key in keys]), np.concatenate(truths)
