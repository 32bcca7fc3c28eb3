"""Prepare a task: split the rows, seal the test rows, fit the encoder on training rows, encode on all cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files, plugins
from tiltyard.arrays import Array, Cells, Coded, ParsedRows, decoded, row_count
from tiltyard.config.task import Task
from tiltyard.data import stand_in
from tiltyard.data.joins.joined_table import checksums
from tiltyard.modeling.inference.encoder import Encoder, side_by_side
from tiltyard.preparation import array_file, base_rows, base_vocabulary, item_titles
from tiltyard.preparation.column_spill import ColumnSpill, open_spill
from tiltyard.preparation.modalities.base import Modality
from tiltyard.preparation.normal_rows import as_flags, split_task
from tiltyard.preparation.row_hashes import hashing
from tiltyard.preparation.sealed_test import seal, unit_digest, write_test
from tiltyard.preparation.split import Parts, notes, split_inputs, units, unlabelled_rows
from tiltyard.preparation.training_rows import UNLABELLED
from tiltyard.runtime import threads
from tiltyard.workspace import Workspace

BATCH_ROWS = 1 << 16  # rows of one batch at most
BATCH_VALUES = 1 << 22  # features of one batch at most, since one category may become a thousand
BARE_ROWS = 1 << 12  # images or texts of one batch
BLOCK_ROWS = 1 << 10  # rows that are joined at a time, so that they stay in the processor's cache


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
        parts = split_task(task, inputs, truth, modality.overlap(task))
        unlabelled = unlabelled_rows(task.split, inputs, truth, parts) if task.split.unlabelled else None
        truth = as_flags(truth) if task.problem_type.targets == "anomaly" else truth
        unit = _users(task, spill, parts["test"])
        unit = units(inputs, parts["test"], modality.times) if unit is None else unit
        test_columns = {name: partial(spill.column, name, parts["test"]) for name in spill.files}
        facts = {
            "data": data.result(),
            **({"files": checksums(raw)} if task.joins else {}),
            "test": write_test(folder / "test.npz", test_columns, truth, parts["test"], unit),
            **({"units": unit_digest(unit)} if unit is not None else {}),
            **_counts(modality, parts, unlabelled),
            "notes": [*modality.notes(raw), *notes(task.split, len(truth))],
            **({"stand_in": generated} if (generated := stand_in.reason(raw)) else {}),
        }
        seal(workspace, task.name, facts, reseal=reseal)
        base_rows.write(folder, keys, _learned(parts, unlabelled), task.split.seed)
        _write_titles(task, folder, spill, lambda name: modality.raw_column(task, raw, name), parts["train"])
        encoder = task.encoder().learn(
            task.target, lambda name: spill.cells(name, parts["train"]), truth[parts["train"]], threads.ordered
        )
        encoder = base_vocabulary.adopted(workspace, task, encoder)
        for name in ("train", "validation"):
            _write_encoded(folder / f"{name}.npz", encoder, spill, parts[name], truth)
        if unlabelled is not None:
            _write_encoded(folder / UNLABELLED, encoder, spill, unlabelled)
        if encoder.derived:
            encoder = encoder.with_derived(array_file.open_part(folder / "train.npz")[0])
        encoder.save(folder / "encoder.json")
        files.write_json(folder / "split.json", facts)
    return facts


def _counts(modality: Modality, parts: Parts, unlabelled: Array | None) -> dict[str, Any]:
    """Return how many rows each part has, and the error of the naive forecast on training rows of a series."""
    naive = {} if modality.steps is None else {"naive_mae": float(modality.steps[parts["train"]].mean())}
    rows = {name: len(index) for name, index in parts.items()}
    return {"rows": rows, **({} if unlabelled is None else {"unlabelled": len(unlabelled)}), **naive}


def _write_titles(task: Task, folder: Path, spill: ColumnSpill, raw_column: Callable[[str], Any], train: Array) -> None:
    """Write the titles of items, for a task that recommends them."""
    if between := task.target.interaction:
        items = np.concatenate([*spill.column(between.item, train)])
        item_titles.write(folder, between, items, raw_column, train)


def _write_encoded(path: Path, encoder: Encoder, spill: ColumnSpill, index: Array, truth: Array | None = None) -> None:
    """Write the encoded features of some rows, and their truth if they have any."""
    with array_file.npz_writer(path) as write:
        write("features", len(index), encode_batches(encoder, spill.rows(index)))
        if truth is not None:
            write("truth", len(index), [truth[index]])


def _users(task: Task, spill: ColumnSpill, index: Array) -> Array | None:
    """Return the number of the user of some rows, which depend on one another; None if there are no users."""
    if task.target.interaction is None:
        return None
    users = np.concatenate([*spill.column(task.target.interaction.user, index)])
    return np.unique(users, return_inverse=True)[1].astype(np.int64)


def _learned(parts: Parts, unlabelled: Array | None) -> Parts:
    """Return the parts with all rows that a model learns from."""
    return parts if unlabelled is None else {**parts, "train": unlabelled}


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


def encode_batches(encoder: Encoder, chunks: Iterable[ParsedRows]) -> Iterator[Array]:
    """Yield the same features as `Encoder.encode`, some rows at a time, packed for storage."""
    for blocks in threads.ordered(lambda batch: batch(), _batches(encoder, chunks)):
        yield from blocks


def _batches(encoder: Encoder, chunks: Iterable[ParsedRows]) -> Iterator[Callable[[], list[Array]]]:
    """Yield a function for each batch that encodes it."""
    max_rows = _batch_rows(encoder)
    for rows in chunks:
        size = math.ceil(row_count(rows) / math.ceil(row_count(rows) / max_rows))  # batches of equal size
        encodings = [_encoding(encoder, name, rows[name]) for name in encoder.columns]
        for start in range(0, row_count(rows), size):
            batch = slice(start, start + size)
            yield lambda encodings=encodings, batch=batch: _encode(encoder, [encode(batch) for encode in encodings])  # type: ignore[misc]


def _batch_rows(encoder: Encoder) -> int:
    if encoder.bare:
        return BARE_ROWS
    width = len(encoder.scaling()[0])
    return min(max(BATCH_VALUES // width, BLOCK_ROWS), BATCH_ROWS)


def _encoding(encoder: Encoder, name: str, cells: Cells) -> Callable[[slice], Cells]:
    """Return a function that encodes some rows of a column."""
    column, fitted = encoder.columns[name], encoder.fitted[name]
    if not isinstance(cells, Coded):
        return lambda batch: column.encode(cells[batch], fitted)
    features = Coded(column.encode(cells.distinct, fitted), cells.places)
    return lambda batch: features[batch]


def _encode(encoder: Encoder, parts: list[Cells]) -> list[Array]:
    """Put the features of all columns side by side, block by block."""
    if encoder.bare:
        return [encoder.pack(decoded(parts[0]))]
    blocks = [slice(start, start + BLOCK_ROWS) for start in range(0, len(parts[0]), BLOCK_ROWS)]
    return [side_by_side([decoded(part[block]) for part in parts]) for block in blocks]
