"""Cells of a workbook that are merged downwards: only the first one holds the value, which counts for all."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree as ET  # the caller has refused workbooks that declare entities

RANGE = re.compile(rb'<(?:\w+:)?mergeCell\s+ref="([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})"')
MAX_RANGES = 200_000
BLOCK_BYTES = 1 << 20
OVERLAP_BYTES = 100  # that may hold the start of a range


@dataclass(frozen=True)
class Merged:
    """A column, and the first and the last row that are merged; all count from 0."""

    column: int
    first: int
    last: int


def read(file: zipfile.ZipFile, title: str) -> list[Merged]:
    """Return the ranges of a sheet that span several rows, by their first column."""
    path = _path(file, title)
    if path not in file.namelist():
        return []
    with file.open(path) as stream:
        remainder, found = b"", []
        while block := stream.read(BLOCK_BYTES):
            text = remainder + block
            matches = [*RANGE.finditer(text)]
            found += [Merged(_column(m[1]), int(m[2]) - 1, int(m[4]) - 1) for m in matches]
            remainder = text[max(matches[-1].end() if matches else 0, len(text) - OVERLAP_BYTES) :]
    return [merged for merged in islice(found, MAX_RANGES) if merged.first < merged.last]


def filled(rows: Iterator[Sequence[Any]], ranges: Sequence[Merged]) -> Iterator[Sequence[Any]]:
    """Yield rows whose merged cells all hold the value of the first one."""
    starting: dict[int, list[Merged]] = {}
    for merged in ranges:
        starting.setdefault(merged.first, []).append(merged)
    active: dict[int, tuple[int, Any]] = {}
    for place, cells in enumerate(rows):
        row = cells
        active = {column: (last, value) for column, (last, value) in active.items() if place <= last}
        if active:
            row = [*cells, *[None] * (max(active) + 1 - len(cells))]
            for column, (_, value) in active.items():
                row[column] = value if row[column] is None else row[column]
        for merged in starting.get(place, []):
            if merged.column < len(row):
                active[merged.column] = merged.last, row[merged.column]
        yield row


def _path(file: zipfile.ZipFile, title: str) -> str:
    """Return the name of a sheet's file in the workbook; '' if it is not found."""
    try:
        sheets = ET.fromstring(file.read("xl/workbook.xml"))  # noqa: S314
        relations = ET.fromstring(file.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
    except (KeyError, ET.ParseError):
        return ""
    keys = {
        next((value for name, value in sheet.items() if name.endswith("}id")), "")
        for sheet in sheets.iter()
        if sheet.tag.endswith("}sheet") and sheet.get("name") == title
    }
    targets = [relation.get("Target", "") for relation in relations if relation.get("Id") in keys]
    return (
        str(PurePosixPath("xl") / targets[0])
        if targets and not targets[0].startswith("/")
        else (targets or [""])[0][1:]
    )


def _column(letters: bytes) -> int:
    """Return the number of a column, from 0: A, B, ..., Z, AA."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number - 1
