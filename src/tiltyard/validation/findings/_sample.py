"""Sampling: all rows of a small table, or a random sample drawn while the file is read in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.preparation.array_file import MAX_SAMPLED_ROWS
from tiltyard.preparation.modalities.base import Modality

if TYPE_CHECKING:
    import pandas as pd

PART_ROWS = 1 << 18  # read at a time


@dataclass(frozen=True)
class Sample:
    """Some rows of a file, and hashes of all."""

    frame: pd.DataFrame  # its index counts the rows of the file
    rows: int  # of the file
    repairs: list[str]  # how the cells differ from the text of the file
    hashes: tuple[Array, Array] | None = None  # of every row of a table: of the features, and of features and target


def draw(task: Task, modality: Modality, folder: Path) -> Sample:
    """Return a sample of a table, with labels as text; or all facts about images or series, as in validation."""
    if task.modality in ("image", "series"):
        frame = modality.facts(task, folder)
        return Sample(frame, len(frame), frame.attrs.get("repairs", []))
    texts = [name for name, column in task.columns.items() if column.parsed_as_text]
    texts += [task.target.column] if task.target.labels else []
    table = table_reader.open_table(modality.raw_file(folder), task.source.dialect, texts)
    return _draw_rows(task, table)


def _draw_rows(task: Task, table: table_reader.TableFile) -> Sample:
    import pandas as pd

    rows = table.layout.rows
    places = np.arange(rows)
    if rows > MAX_SAMPLED_ROWS:
        places = np.sort(np.random.default_rng(0).choice(rows, MAX_SAMPLED_ROWS, replace=False))
    frames, hashes = zip(*_parts(task, table, places), strict=True)
    features, labelled = (np.concatenate(some) for some in zip(*hashes, strict=True))
    return Sample(pd.concat(frames), rows, table.layout.repairs, (features, labelled))


def _parts(
    task: Task, table: table_reader.TableFile, places: Array
) -> Iterator[tuple[pd.DataFrame, tuple[Array, Array]]]:
    for part in table.parts(rows=PART_ROWS):
        chosen = places[np.searchsorted(places, part.index[0]) : np.searchsorted(places, part.index[-1], side="right")]
        yield part.loc[chosen], _hashes(task, part)


def _hashes(task: Task, frame: pd.DataFrame) -> tuple[Array, Array]:
    names = [name for name in task.columns if name in frame]
    return _hash(frame[names]), _hash(frame[[*names, *({task.target.column} & set(frame.columns))]])


def _hash(frame: pd.DataFrame) -> Array:
    import pandas as pd

    if not len(frame.columns):
        return np.zeros(len(frame), dtype=np.uint64)
    return np.asarray(pd.util.hash_pandas_object(frame, index=False).to_numpy())
