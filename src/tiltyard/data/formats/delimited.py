"""Delimited text (CSV, TSV and the like), read with Arrow; the whole file decides types and number styles."""

from __future__ import annotations

import contextlib
import functools
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from tiltyard.data.formats.base import Format, Layout, unique_names
from tiltyard.data.tables import archive
from tiltyard.data.tables.column_types import convert, styles
from tiltyard.data.tables.csv_lines import CsvLines
from tiltyard.data.tables.dialect import (
    DELIMITERS,
    comment_lines,
    guess_delimiter,
    has_header,
    second_header,
    split_cells,
    title_lines,
    with_lines,
    without_runs,
)
from tiltyard.data.tables.text_encoding import Utf8Stream
from tiltyard.data.tables.type_inference import TypeInference, infer
from tiltyard.errors import DataError
from tiltyard.runtime import threads

if TYPE_CHECKING:
    import pyarrow as pa

HEAD_BYTES = 1 << 18  # used to guess the dialect
BLOCK_BYTES = 1 << 22  # of a batch; no row may be longer
BATCHES = 8  # whose cells are looked at together, one column in each thread
DELIMITER_NAMES = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "spaces"}
MAX_UNCLOSED = 20  # passes over the file to leave out lines with a quote that is not closed
HINT = (
    "correct these lines, name the delimiter (source.read.delimiter), or leave them out: source.read.skip_bad_rows, or "
    "tiltyard init --skip-bad-rows"
)


class Delimited(Format):
    """Delimited text, with or without a header."""

    suffixes: ClassVar = (".csv", ".tsv", ".tab", ".psv", ".txt", ".dat", ".data")

    bad_rows = 0  # left out in the pass that surveys the file

    @property
    def default_delimiter(self) -> str:
        """The usual delimiter for the suffix."""
        return "\t" if self.suffix in (".tsv", ".tab") else ","

    def survey(self) -> Layout:
        """Guess the dialect by the first lines, then check all lines; if a quote stays open, read quotes as text."""
        head = self._head()
        delimiter = self.dialect.delimiter or guess_delimiter(head, self.default_delimiter)
        try:
            return self._survey_as(head, delimiter, quoted=True)
        except _QuoteError as error:
            quote, line = f"a quote after line {error.line} is not closed", error.line
        if self.dialect.skip_bad_rows and (layout := self._without_unclosed(head, delimiter, line)):
            return layout
        try:
            return self._survey_as(head, delimiter, quoted=False)
        except DataError as error:
            raise self.error(f"{quote}; and with quotes as ordinary characters: {error.message}", error.hint) from None

    def _without_unclosed(self, head: str, delimiter: str, line: int) -> Layout | None:
        """Leave out the lines in which a quote is not closed, one after another; return None if there are many."""
        unclosed: list[int] = []
        last, skipped = -1, self.dialect.skip_rows or 0
        for _ in range(MAX_UNCLOSED):
            if line == last:
                unclosed[-1] += 1  # it was an empty line between the last row and the quote
            else:
                unclosed.append(line - skipped + 1)
            try:
                return self._survey_as(head, delimiter, quoted=True, unclosed=tuple(unclosed))
            except _QuoteError as error:
                last, line = line, error.line
        return None

    def guess(self) -> dict[str, Any]:
        """Return the number of lines above the header, and what a second row of names means."""
        lines, head = self._title_lines(), self._head()
        below = head.split("\n", lines)[-1]
        delimiter = self.dialect.delimiter or guess_delimiter(below, self.default_delimiter)
        second = second_header(with_lines(without_runs(below) if delimiter == " " else below, delimiter))
        skipped = lines + second.pop("skip_rows", 0)
        return {**({"skip_rows": skipped} if skipped else {}), **second}

    def _title_lines(self) -> int:
        head = self._head()
        usual = self.dialect.delimiter or guess_delimiter(head, self.default_delimiter)
        if comments := comment_lines(head, usual):
            return comments
        if len({*map(len, split_cells(head, usual))} - {1}) == 1 and len(split_cells(head, usual)[0]) > 1:
            return 0
        delimiters = [self.dialect.delimiter] if self.dialect.delimiter else [*DELIMITERS]
        return next(filter(None, (title_lines(head, delimiter) for delimiter in delimiters)), 0)

    def batches(self, layout: Layout, names: list[str]) -> Iterator[pa.Table]:
        """Read the file a second time, by its layout."""
        import pyarrow as pa

        places = [list(layout.columns).index(name) for name in names]

        def converted(batch: pa.RecordBatch) -> pa.Table:
            cells = zip(batch.columns, names, strict=True)
            return pa.table({n: convert(c, layout.columns[n], self.dialect.missing) for c, n in cells})

        lines = CsvLines(**layout.format_state)
        with self._open_utf8(lines) as decoding:
            batches = self._rows(decoding, lines, places)
            yield from threads.ordered(converted, batches)

    def _survey_as(
        self,
        head: str,
        delimiter: str,
        *,
        quoted: bool,
        unclosed: tuple[int, ...] = (),
        beside: Mapping[int, str] = MappingProxyType({}),
    ) -> Layout:
        """Make the first pass with a given delimiter, handling of quotes and lines to leave out."""
        rows = split_cells(without_runs(head) if delimiter == " " else head, delimiter, quoted=quoted)
        if not rows:
            raise self.error("expected a header and rows; the file is empty")
        header = has_header(rows) if self.dialect.header is None else self.dialect.header
        self.bad_rows = 0
        skipped = self.dialect.skip_rows or 0
        lines = CsvLines(delimiter, len(rows[0]), header, quoted, (), skipped, unclosed, tuple(beside))
        names, repairs = self._column_names(rows[0], header=header)
        if header and (short := self._short_header(rows)):
            lines = replace(lines, header=False, width=len(short), header_width=len(rows[0]))
            names, repairs = unique_names(short)
            repairs.append(f"the header has {len(rows[0])} names, the rows have {len(short)} cells")
        inferences = [TypeInference(styles(self.dialect, delimiter), self.dialect.missing) for _ in names]
        with self._open_utf8(lines) as decoding:
            regular = self._infer_types(decoding, lines, inferences)
        if header and regular and (repeated_headers := self._repeated_headers(lines, rows[0], inferences)):
            lines = replace(lines, repeated_headers=repeated_headers)
            inferences = [TypeInference(styles(self.dialect, delimiter), self.dialect.missing) for _ in names]
            with self._open_utf8(lines) as decoding:
                self._infer_types(decoding, lines, inferences)
        if quoted and decoding.has_quotes:
            self._check_quotes(lines)
        if not regular and not beside and (found := self._lines_beside(lines)):
            return self._survey_as(head, delimiter, quoted=quoted, unclosed=unclosed, beside=found)
        if not regular:
            raise self._ragged_error(lines)
        repairs += [
            f"line {skipped + line} is no row of the table: left out: {text[:60]}" for line, text in beside.items()
        ]
        if self.bad_rows:
            repairs.append(self._bad_rows_sentence(lines))
        if not (count := inferences[0].present + inferences[0].missing):
            raise self.error("expected rows; received a header alone")
        column_types, style_repairs = infer(dict(zip(names, inferences, strict=True)))
        return Layout(
            column_types, count, [*decoding.repairs, *self._repairs(lines), *repairs, *style_repairs], asdict(lines)
        )

    def _short_header(self, rows: list[list[str]]) -> list[str]:
        """Return names of all columns if all rows have as many cells more than the header; else an empty list.

        The last cells are blank, as after a delimiter at the end of each row, or the first column has no name, as in
        files that R writes.
        """
        width, (body, *others) = len(rows[0]), {*map(len, rows[1:])} or {0}
        if others or body <= width or self.dialect.names:
            return []
        blank = [""] * (body - width)
        if all(not "".join(row[width:]).strip() for row in rows[1:]):
            return [*rows[0], *blank]
        return [*blank, *rows[0]] if body == width + 1 and width > 1 else []

    def _lines_beside(self, lines: CsvLines) -> dict[int, str]:
        """Return the lines of comments and of notes below the table."""
        with self._open_utf8(lines) as decoding:
            return lines.lines_beside(decoding)

    def _infer_types(self, decoding: Utf8Stream, lines: CsvLines, inferences: list[TypeInference]) -> bool:
        """Infer the types from every cell; return whether all rows have the same number of cells."""
        try:
            with threads.ahead(threads.grouped(self._rows(decoding, lines, range(lines.width)), BATCHES)) as groups:
                for batches in groups:
                    columns = zip(inferences, zip(*(batch.columns for batch in batches), strict=True), strict=True)
                    deque(threads.ordered(_add, columns), maxlen=0)
        except _RaggedError:
            return False
        return True

    def _repeated_headers(self, lines: CsvLines, first: list[str], inferences: list[TypeInference]) -> tuple[int, ...]:
        """Return the rows that repeat the header; there can be none if any column holds only numbers."""
        import pyarrow.compute as pc

        if any(inference.possible for inference in inferences):
            return ()
        rows, start = [], 0
        with self._open_utf8(lines) as decoding:
            for batch in self._rows(decoding, lines, range(lines.width)):
                same = [
                    pc.equal(cells, name).fill_null(fill_value=False) for cells, name in zip(batch, first, strict=True)
                ]
                rows += [start + place for place in pc.indices_nonzero(functools.reduce(pc.and_, same)).to_pylist()]
                start += len(batch)
        return tuple(rows)

    def _column_names(self, first: list[str], *, header: bool) -> tuple[list[str], list[str]]:
        set_names = self.dialect.names
        if set_names and len(set_names) != len(first):
            raise self.error(
                f"source.read.names: expected {len(first)}, one for each column; received {len(set_names)}"
            )
        if set_names:
            return set_names, []
        if header:
            return unique_names(first)
        names = [f"column_{place}" for place in range(1, len(first) + 1)]
        if self.dialect.header is False:
            return names, []
        return names, [f"no header: columns named {', '.join(names[:2])}{', ...' if len(names) > 2 else ''}"]

    def _repairs(self, lines: CsvLines) -> list[str]:
        repairs = []
        if lines.delimiter not in (self.default_delimiter, self.dialect.delimiter):
            repairs.append(f"{DELIMITER_NAMES.get(lines.delimiter, lines.delimiter)} as delimiter")
        if lines.repeated_headers:
            rows = ", ".join(str(place + 1) for place in lines.repeated_headers[:5]) + (
                ", ..." if len(lines.repeated_headers) > 5 else ""
            )
            repairs.append(f"the header repeats in row {rows}: left out")
        if lines.unclosed:
            numbers = ", ".join(str(lines.skipped + line) for line in lines.unclosed)
            repairs.append(f"a quote is not closed in line {numbers}: left out")
        return repairs if lines.quoted else [*repairs, "quotes read as ordinary characters"]

    def _head(self) -> str:
        """Return the first lines of the file, without a partial one at the end."""
        with self._open_utf8() as decoding:
            stream = io.BufferedReader(decoding)
            text = stream.read(HEAD_BYTES).decode(errors="ignore")
            complete = not stream.read(1)
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        return text if complete or not end else text[:end]

    @contextlib.contextmanager
    def _open_utf8(self, lines: CsvLines | None = None) -> Iterator[Utf8Stream]:
        blank = (*lines.unclosed, *lines.beside) if lines else ()
        with archive.open_stream(self.path) as (_, stream):
            skipped, spaced = self.dialect.skip_rows or 0, lines is not None and lines.delimiter == " "
            yield Utf8Stream(stream, self.path.name, self.dialect.encoding, skipped, blank, spaced=spaced)

    def _check_quotes(self, lines: CsvLines) -> None:
        with self._open_utf8(lines) as decoding:
            if line := lines.line_before_open_quote(decoding):
                raise _QuoteError(line)

    def _ragged_error(self, lines: CsvLines) -> Exception:
        with self._open_utf8(lines) as decoding:
            irregular_rows = lines.irregular_rows(decoding) or f"a row of more than {BLOCK_BYTES} bytes"
        return self.error(
            f"expected {lines.width} cells in every row, as in the first; received {irregular_rows}", HINT
        )

    def _bad_rows_sentence(self, lines: CsvLines) -> str:
        """Name the malformed rows; the slower reader finds their lines."""
        with self._open_utf8(lines) as decoding:
            return f"malformed rows left out, expected {lines.width} cells: {lines.irregular_rows(decoding)}"

    def _row_handler(self, lines: CsvLines) -> Callable[[Any], str]:
        """Return what decides about a row with more or fewer cells than others: the first may be a short header."""
        headers = iter([lines.header_width] if lines.header_width else [])

        def handle(row: Any) -> str:
            if next(headers, None) == row.actual_columns:
                return "skip"
            self.bad_rows += 1
            return "skip" if self.dialect.skip_bad_rows else "error"

        return handle

    def _rows(self, decoding: Utf8Stream, lines: CsvLines, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Yield some columns as text, batch by batch, without the header and the last rows that the task leaves out."""
        return without_last(self._body(decoding, lines, places), self.dialect.skip_last or 0)

    def _body(self, decoding: Utf8Stream, lines: CsvLines, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Yield some columns as text, batch by batch, without the header."""
        import pyarrow as pa
        from pyarrow import csv

        names = [str(place) for place in range(lines.width)]
        reading = csv.ReadOptions(column_names=names, block_size=BLOCK_BYTES)
        parsing = csv.ParseOptions(
            delimiter=lines.delimiter,
            quote_char='"' if lines.quoted else False,
            newlines_in_values=lines.quoted,
            invalid_row_handler=self._row_handler(lines),
        )
        converting = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=[str(place) for place in places],
            null_values=self.dialect.missing,
            strings_can_be_null=True,
            check_utf8=False,  # Utf8Stream guarantees it
        )
        above, start = int(lines.header) + (self.dialect.skip_first or 0), 0
        try:
            for batch in csv.open_csv(decoding, reading, parsing, converting):
                body = batch.slice(above)
                above, start, first = max(0, above - len(batch)), start + len(body), start
                if repeated_headers := [place - first for place in lines.repeated_headers if first <= place < start]:
                    body = body.filter(pa.array([place not in repeated_headers for place in range(len(body))]))
                if len(body):
                    yield body
        except pa.ArrowInvalid as error:
            raise _RaggedError(str(error)) from None


def without_last(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield all rows but the last ones, without holding more than a few batches."""
    pending: deque[pa.RecordBatch] = deque()
    size = 0
    for batch in batches:
        pending.append(batch)
        size += len(batch)
        while size - len(pending[0]) >= rows and len(pending) > 1:
            size -= len(pending[0])
            yield pending.popleft()
    for batch in pending:
        if len(part := batch.slice(0, max(0, min(len(batch), size - rows)))):
            yield part
        size -= len(batch)


def _add(column: tuple[TypeInference, Iterable[pa.Array]]) -> None:
    inference, batches = column
    for cells in batches:
        inference.add(cells)


class _QuoteError(Exception):
    """A quote that opens a cell is not closed."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


class _RaggedError(Exception):
    """A row has more or fewer cells than the first, or is too long."""
