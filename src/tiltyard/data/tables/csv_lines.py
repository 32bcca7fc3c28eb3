"""How lines of text are cut into cells, and which lines are not: the slow and exact look, for what went wrong."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SHOWN = 5  # lines that a complaint names


@dataclass(frozen=True)
class CsvLines:
    """How lines are cut into cells."""

    delimiter: str
    width: int  # cells in a row
    header: bool
    quoted: bool  # whether quotes hold a cell together; else they are characters like others
    again: tuple[int, ...] = ()  # rows that hold the header once more, as where files were put together

    def unclosed(self, stream: io.RawIOBase) -> int:
        """Return the line of the last row before a quote opens a cell and does not close it; 0 if none does."""
        line = 0
        try:
            for line, _ in self._lines(stream):  # noqa: B007 - the line is wanted after the loop
                pass
        except csv.Error:
            return line or 1
        return 0

    def strays(self, stream: io.RawIOBase) -> str:
        """Name the lines that have more or fewer cells."""
        bad = [(line, len(row)) for line, row in self._lines(stream) if len(row) != self.width]
        shown = ", ".join(f"{cells} in line {line}" for line, cells in bad[:SHOWN])
        return shown + (f", and others in {len(bad) - SHOWN} more lines" if len(bad) > SHOWN else "")

    def _lines(self, stream: io.RawIOBase) -> Iterator[tuple[int, list[str]]]:
        """Yield each row with the number of the line that it begins in; empty lines are none."""
        text = io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8", newline="")
        reader = reader_of(text, self.delimiter, quoted=self.quoted, strict=True)
        before = 0
        for row in reader:
            if row:
                yield before + 1, row
            before = reader.line_num


def reader_of(text: io.TextIOBase, delimiter: str, *, quoted: bool, strict: bool = False) -> Any:
    """Return Python's own reader of such text."""
    csv.field_size_limit(sys.maxsize)
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    return csv.reader(text, delimiter=delimiter, quoting=quoting, strict=strict)  # type: ignore[arg-type]
