"""Titles of items: the names by which people know them, from a raw column that is no feature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files
from tiltyard.arrays import Array, is_missing
from tiltyard.modeling.columns.category import LONGEST
from tiltyard.modeling.problems._interaction import Interaction

if TYPE_CHECKING:
    import pandas as pd

FILE = "titles.json"


def write(
    folder: Path, between: Interaction, items: Array, cells: Callable[[str], pd.Series[Any]], index: Array
) -> None:
    """Write the title of each item of the training rows; the first one counts."""
    if not between.title:
        return
    found: dict[str, str] = {}
    titles = cells(between.title).to_numpy(dtype=object)[index]
    for item, title in zip(items.tolist(), titles.tolist(), strict=True):
        if item not in found and not is_missing(title):
            found[item] = str(title)[:LONGEST]
    files.write_json(folder / FILE, found)


def read(folder: Path, items: list[str]) -> list[str]:
    """Return the title of each item; its identifier if it has none."""
    path = folder / FILE
    titles = files.read_json(path) if path.is_file() else {}
    return [titles.get(item, item) for item in items]
