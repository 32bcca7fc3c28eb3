"""Mixed: a table whose columns include texts or images, the latter as Base64 of their files, beside others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.modeling.columns.image import Image
from tiltyard.preparation.modalities.table import CHUNK_ROWS, Table

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_BYTES = 1 << 28  # of decoded pixels


class Mixed(Table):
    """A table, read like any other; fewer rows are parsed at a time if these hold images."""

    def parts(self, task: Task, table: table_reader.TableFile, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield parts of at most as many rows as bounded memory holds when their images are decoded."""
        pixels = sum(math.prod(column.shape) for column in task.columns.values() if isinstance(column, Image))
        rows = min(CHUNK_ROWS, max(1, CHUNK_BYTES // (4 * pixels))) if pixels else CHUNK_ROWS
        for start, part in table.tables(names, rows):
            for first in range(0, len(part), rows):
                yield start + first, part.slice(first, rows)
