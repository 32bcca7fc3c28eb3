"""Sampling: all rows of a small table, or a random sample, with counts of all rows, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.preparation.array_file import MAX_SAMPLED_ROWS
from tiltyard.preparation.modalities.base import Modality, single_targets
from tiltyard.runtime import threads
from tiltyard.validation.findings._whole_file import CellCounts, counted, row_hashes

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
    counts: dict[str, CellCounts] = field(default_factory=dict)  # of every row of a table, if it is a sample


def draw(task: Task, modality: Modality, folder: Path) -> Sample:
    """Return a sample of a table, with labels as text; or all facts about images, series or lines, as in validation."""
    if task.modality in ("image", "series", "prose"):
        frame = modality.facts(task, folder)
        return Sample(frame, len(frame), frame.attrs.get("repairs", []))
    texts = [name for name, column in task.columns.items() if column.parsed_as_text]
    targets = single_targets(task)
    texts += [one.target.column for one in targets if one.target.labels or one.target.normal or one.target.written]
    return _draw_rows(task, modality.open_raw(task, folder, texts))


def _draw_rows(task: Task, table: table_reader.TableFile) -> Sample:
    """Read the file once: draw rows, and count the cells of all rows and hash them, several parts at a time."""
    import pandas as pd

    rows = table.layout.rows
    places = np.arange(rows)
    if rows > MAX_SAMPLED_ROWS:
        places = np.sort(np.random.default_rng(0).choice(rows, MAX_SAMPLED_ROWS, replace=False))
    names = [name for name in task.columns if name in table.layout.columns]
    counted_names = [name for name in names if task.columns[name].branch != "image"] if task.is_tabular else []
    counts = {name: CellCounts() for name in counted_names} if rows > MAX_SAMPLED_ROWS else {}

    def read_part(part: tuple[int, Any]) -> tuple[pd.DataFrame, tuple[Array, Array], list[CellCounts]]:
        start, cells = part
        frame = table.frame(cells, start)
        chosen = places[np.searchsorted(places, start) : np.searchsorted(places, start + len(frame))]
        part_counts = [counted(task.columns[name], cells[name].combine_chunks(), frame[name], start) for name in counts]
        return frame.loc[chosen], row_hashes(frame, names, task.target.names), part_counts

    frames, hashes = [], []
    for frame, part_hashes, part_counts in threads.ordered(read_part, table.tables(rows=PART_ROWS)):
        frames.append(frame)
        hashes.append(part_hashes)
        for total, added in zip(counts.values(), part_counts, strict=True):
            total.add(added)
    features, labelled = (np.concatenate(arrays) for arrays in zip(*hashes, strict=True))
    return Sample(pd.concat(frames), rows, table.layout.repairs, (features, labelled), counts)
