"""Text with a delimiter between cells: CSV, TSV and their kin; types and number styles are those of the whole file."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, ClassVar

from tiltyard.data.formats.base import Format, Layout, named
from tiltyard.data.tables import archive
from tiltyard.data.tables.column_types import convert, styles
from tiltyard.data.tables.csv_lines import CsvLines
from tiltyard.data.tables.dialect import delimiter_of, has_header, rows_of
from tiltyard.data.tables.text_encoding import Utf8Stream
from tiltyard.data.tables.type_inference import TypeInference, infer
from tiltyard.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

HEAD = 1 << 18  # bytes that guesses look at
BLOCK = 1 << 22  # bytes of a batch; no row may be longer
WORDS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
HINT = "mend these lines, or name the delimiter: source.read.delimiter in the task file"


class Delimited(Format):
    """Text with a header, or without one."""

    suffixes: ClassVar = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data")

    @property
    def usual(self) -> str:
        """The delimiter that the suffix promises."""
        return "\t" if self.suffix in (".tsv", ".tab") else ","

    def survey(self) -> Layout:
        """Guess by the first lines, then hold every line against the guess; quotes are tried as quotes first."""
        head = self._head()
        delimiter = self.dialect.delimiter or delimiter_of(head, self.usual)
        try:
            return self._surveyed(head, delimiter, quoted=True)
        except _QuoteError as error:
            quote = f"a quote after line {error.line} opens a cell and does not close it"
        try:
            return self._surveyed(head, delimiter, quoted=False)
        except DataError as error:
            raise self.error(f"{quote}; and if quotes mean nothing: {error.message}", error.hint) from None

    def batches(self, layout: Layout, names: list[str]) -> Iterator[pa.Table]:
        """Read again, by the layout."""
        import pyarrow as pa

        places = [list(layout.columns).index(name) for name in names]
        with self._decoded() as decoding:
            for batch in self._rows(decoding, CsvLines(**layout.how), places):
                cells = zip(batch.columns, names, strict=True)
                yield pa.table({n: convert(c, layout.columns[n], self.dialect.missing) for c, n in cells})

    def _surveyed(self, head: str, delimiter: str, *, quoted: bool) -> Layout:
        """Look at every cell."""
        rows = rows_of(head, delimiter, quoted=quoted)
        if not rows:
            raise self.error("expected a header and rows; the file is empty")
        header = has_header(rows) if self.dialect.header is None else self.dialect.header
        cut = CsvLines(delimiter, len(rows[0]), header, quoted)
        names, told = self._named(rows[0], header=header)
        tallies = [TypeInference(styles(self.dialect, delimiter), self.dialect.missing) for _ in names]
        with self._decoded() as decoding:
            regular = self._tallied(decoding, cut, tallies)
        if header and regular and (again := self._headers(cut, rows[0], tallies)):
            cut = replace(cut, again=again)
            tallies = [TypeInference(styles(self.dialect, delimiter), self.dialect.missing) for _ in names]
            with self._decoded() as decoding:
                self._tallied(decoding, cut, tallies)
        if quoted and decoding.quotes:
            self._check_quotes(cut)
        if not regular:
            raise self._ragged(cut)
        if not (count := tallies[0].filled + tallies[0].missing):
            raise self.error("expected rows; received a header alone")
        meanings, weighty = infer(dict(zip(names, tallies, strict=True)))
        return Layout(meanings, count, [*decoding.repairs, *self._told(cut), *told, *weighty], asdict(cut))

    def _tallied(self, decoding: Utf8Stream, cut: CsvLines, tallies: list[TypeInference]) -> bool:
        """Look at every cell; say whether all rows have the same number of cells."""
        try:
            for batch in self._rows(decoding, cut, range(cut.width)):
                for tally, cells in zip(tallies, batch.columns, strict=True):
                    tally.add(cells)
        except _RaggedError:
            return False
        return True

    def _headers(self, cut: CsvLines, first: list[str], tallies: list[TypeInference]) -> tuple[int, ...]:
        """Find rows that are the header once more; there can be none where a column is all numbers."""
        import pyarrow.compute as pc

        if any(tally.names for tally in tallies):
            return ()
        found, start = [], 0
        with self._decoded() as decoding:
            for batch in self._rows(decoding, cut, range(cut.width)):
                same = [
                    pc.equal(cells, name).fill_null(fill_value=False) for cells, name in zip(batch, first, strict=True)
                ]
                found += [start + place for place in pc.indices_nonzero(functools.reduce(pc.and_, same)).to_pylist()]
                start += len(batch)
        return tuple(found)

    def _named(self, first: list[str], *, header: bool) -> tuple[list[str], list[str]]:
        given = self.dialect.names
        if given and len(given) != len(first):
            raise self.error(f"source.read.names: expected {len(first)}, one a column; received {len(given)}")
        if given:
            return given, []
        if header:
            return named(first)
        names = [f"column_{place}" for place in range(1, len(first) + 1)]
        if self.dialect.header is False:
            return names, []
        return names, [f"no header: columns named {', '.join(names[:2])}{', ...' if len(names) > 2 else ''}"]

    def _told(self, cut: CsvLines) -> list[str]:
        told = []
        if cut.delimiter not in (self.usual, self.dialect.delimiter):
            told.append(f"{WORDS.get(cut.delimiter, cut.delimiter)} as delimiter")
        if cut.again:
            rows = ", ".join(str(place + 1) for place in cut.again[:5]) + (", ..." if len(cut.again) > 5 else "")
            told.append(f"the header again in row {rows}: left out")
        return told if cut.quoted else [*told, "quotes read as characters like others"]

    def _head(self) -> str:
        """Return the first lines, whole."""
        with self._decoded() as decoding:
            stream = io.BufferedReader(decoding)
            text = stream.read(HEAD).decode(errors="ignore").lstrip("\r\n")
            whole = not stream.read(1)
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        return text if whole or not end else text[:end]

    @contextlib.contextmanager
    def _decoded(self) -> Iterator[Utf8Stream]:
        with archive.opened(self.path) as (_, stream):
            yield Utf8Stream(stream, self.path.name, self.dialect.encoding)

    def _check_quotes(self, cut: CsvLines) -> None:
        with self._decoded() as decoding:
            if line := cut.unclosed(decoding):
                raise _QuoteError(line)

    def _ragged(self, cut: CsvLines) -> Exception:
        with self._decoded() as decoding:
            strays = cut.strays(decoding) or f"a row of more than {BLOCK} bytes"
        return self.error(f"expected {cut.width} cells in every row, as in the first; received {strays}", HINT)

    def _rows(self, decoding: Utf8Stream, cut: CsvLines, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Yield some columns as text, batch by batch, without the header."""
        import pyarrow as pa
        from pyarrow import csv

        names = [str(place) for place in range(cut.width)]
        reading = csv.ReadOptions(column_names=names, block_size=BLOCK)
        parsing = csv.ParseOptions(
            delimiter=cut.delimiter, quote_char='"' if cut.quoted else False, newlines_in_values=cut.quoted
        )
        converting = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=[str(place) for place in places],
            null_values=self.dialect.missing,
            strings_can_be_null=True,
            check_utf8=False,  # the decoding has seen to it
        )
        header, start = cut.header, 0
        try:
            for batch in csv.open_csv(decoding, reading, parsing, converting):
                body = batch.slice(1) if header and len(batch) else batch
                header, start, first = header and not len(batch), start + len(body), start
                if again := [place - first for place in cut.again if first <= place < start]:
                    body = body.filter(pa.array([place not in again for place in range(len(body))]))
                if len(body):
                    yield body
        except pa.ArrowInvalid as error:
            raise _RaggedError(str(error)) from None


class _QuoteError(Exception):
    """A quote that opens a cell and does not close it."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


class _RaggedError(Exception):
    """A row with more or fewer cells than the first, or one without end."""
