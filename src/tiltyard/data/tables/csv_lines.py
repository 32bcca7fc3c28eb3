"""CSV parsing by Python's own reader: slower than Arrow's, but it reports the lines that are malformed."""

from __future__ import annotations

import csv
import io
import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_LINES_SHOWN = 5  # in an error message
MAX_BESIDE = 100  # lines of comments and notes
COMMENTS = ("#", "//", "%")


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
    beside: tuple[int, ...] = ()  # lines below these that are left out, since they are comments or below the table
    header_width: int = 0  # cells of a header that has fewer than the rows

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
        lines = itertools.islice(self._lines(stream), 1 if self.header_width else 0, None)
        bad = [(line, len(row)) for line, _, row in lines if len(row) != self.width]
        shown = ", ".join(f"{cells} in line {line}" for line, cells in bad[:MAX_LINES_SHOWN])
        return shown + (
            f", and others in {len(bad) - MAX_LINES_SHOWN} more lines" if len(bad) > MAX_LINES_SHOWN else ""
        )

    def lines_beside(self, stream: io.RawIOBase) -> dict[int, str]:
        """Return the lines of comments and of notes below the table, with their text; empty if others are irregular.

        They are counted from the first line that is not skipped.
        """
        found: dict[int, str] = {}
        notes, spaced, before = False, False, self.skipped
        for line, last, row in self._lines(stream):
            blank, before = line > before + 1, last
            if len(row) == self.width and notes:
                return {}  # the table goes on
            if len(row) == self.width:
                spaced = spaced or (blank and line > self.skipped + 2)
                continue
            cells = [cell.strip() for cell in row if cell.strip()]
            comment = not cells or cells[0].startswith(COMMENTS)
            if not comment and not (notes or self._begins_notes(cells, blank=blank and not spaced)):
                return {}
            notes = notes or not comment
            found |= dict.fromkeys(range(line - self.skipped, last - self.skipped + 1), self.delimiter.join(cells))
            if len(found) > MAX_BESIDE:
                return {}
        return found

    def _begins_notes(self, cells: list[str], *, blank: bool) -> bool:
        """Return whether a row follows a blank one or is a sentence, and not a row that was cut short."""
        sentence = re.search(r"[^\W\d]+[ :]+\S", cells[0]) is not None
        most = self.width - 1 if sentence else max(1, self.width // 2)
        return len(cells) <= most if blank else sentence and len(cells) == 1

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
