"""CSV parsing by Python's own reader: slower than Arrow's, but it reports the lines that are malformed."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_LINES_SHOWN = 5  # in an error message


@dataclass(frozen=True)
class CsvLines:
    """How lines are split into cells."""

    delimiter: str
    width: int  # cells in a row
    header: bool
    quoted: bool  # whether a cell may be quoted; else quotes are ordinary characters
    repeated_headers: tuple[int, ...] = ()  # rows that repeat the header, as in concatenated files
    skipped: int = 0  # lines above the header that were left out
    unclosed: tuple[int, ...] = ()  # lines below these that are left out, since a quote in them is not closed

    def line_before_open_quote(self, stream: io.RawIOBase) -> int:
        """Return the last line before a quote that is never closed; 0 if there is none."""
        line = 0
        try:
            for _, line, _ in self._lines(stream):  # noqa: B007 - the line is wanted after the loop
                pass
        except csv.Error:
            return line or 1
        return 0

    def irregular_rows(self, stream: io.RawIOBase) -> str:
        """Return a text that names the lines with more or fewer cells than the first row."""
        bad = [(line, len(row)) for line, _, row in self._lines(stream) if len(row) != self.width]
        shown = ", ".join(f"{cells} in line {line}" for line, cells in bad[:MAX_LINES_SHOWN])
        return shown + (
            f", and others in {len(bad) - MAX_LINES_SHOWN} more lines" if len(bad) > MAX_LINES_SHOWN else ""
        )

    def _lines(self, stream: io.RawIOBase) -> Iterator[tuple[int, int, list[str]]]:
        """Yield each row with the numbers of its first and last line; skip empty lines."""
        text = io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8", newline="")
        reader = csv_reader(text, self.delimiter, quoted=self.quoted, strict=True)
        before = 0
        for row in reader:
            if row:
                yield self.skipped + before + 1, self.skipped + reader.line_num, row
            before = reader.line_num


def csv_reader(text: io.TextIOBase, delimiter: str, *, quoted: bool, strict: bool = False) -> Any:
    """Return a reader of Python's csv module without a limit on the size of cells."""
    csv.field_size_limit(sys.maxsize)
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    return csv.reader(text, delimiter=delimiter, quoting=quoting, strict=strict)  # type: ignore[arg-type]
