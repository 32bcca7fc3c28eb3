"""Excel workbooks (.xlsx): one table of one sheet, read row by row; its cells then have the types that CSV would have.

openpyxl is written in Python and streams rows, so a damaged file raises an error, and a stray cell far below or to the
right of the table costs no memory.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from tiltyard.data.formats.base import Format, Layout, unique_names
from tiltyard.data.formats.delimited import without_last
from tiltyard.data.tables import archive, merged_cells
from tiltyard.data.tables.column_types import convert, styles
from tiltyard.data.tables.dialect import HEADER_ROWS, has_header, second_header
from tiltyard.data.tables.merged_cells import Merged
from tiltyard.data.tables.sheet import HEAD_ROWS, Row, SheetTable, as_text, body, has_time, is_blank, locate
from tiltyard.data.tables.type_inference import TypeInference, infer

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 10_000  # of a batch
MAX_COLUMNS = 16_384  # of a sheet in Excel
MAX_MEMBERS = 10_000  # files in a workbook
OPTIONS = {"sheet", "skip_rows", "skip_first", "skip_last", "na", "header", "names", "decimal", "thousands"}


class Excel(Format):
    """A workbook; the formulas' last results are read."""

    suffixes: ClassVar = (".xlsx", ".xlsm")

    def survey(self) -> Layout:
        """Find the table and the types of its columns by all cells."""
        if unsupported := [name for name in self.dialect.set_options if name not in OPTIONS]:
            raise self.error(f"source.read: {', '.join(unsupported)}: expected only for delimited text such as .csv")
        with self._sheet() as (sheet, notes):
            table, merged = self._locate(sheet), self._merged(sheet.title)
            names, repairs = self._names(table)
            left_out: list[int] = []
            times = [False] * len(names)
            inferences = [TypeInference(styles(self.dialect, "\t"), self.dialect.missing) for _ in names]
            for batch in without_last(self._batches(sheet, table, times, left_out), self.dialect.skip_last or 0):
                for inference, cells in zip(inferences, batch.columns, strict=True):
                    inference.add(cells)
        rows = inferences[0].present + inferences[0].missing
        if not rows:
            raise self.error("expected rows below the header; received none")
        columns, styled = infer(dict(zip(names, inferences, strict=True)))
        if left_out:
            repairs.append(f"{left_out[0]:,} rows below the table, after a blank one: left out")
        if merged := [cells for cells in merged if cells.last > table.header and cells.column < table.last]:
            repairs.append(f"cells merged downwards, {len(merged):,} times: the value of the first one is read in all")
        state = {"header": table.header, "first": table.first, "names": table.names, "times": times}
        return Layout(columns, rows, [*notes, *repairs, *styled], state)

    def batches(self, layout: Layout, names: list[str]) -> Iterator[pa.Table]:
        """Read the sheet a second time, by its layout."""
        import pyarrow as pa

        state = layout.format_state
        table = SheetTable(state["header"], state["first"], state["names"])
        places = [[*layout.columns].index(name) for name in names]
        with self._sheet() as (sheet, _):
            for batch in without_last(self._batches(sheet, table, state["times"], []), self.dialect.skip_last or 0):
                cells = {name: batch.columns[place] for name, place in zip(names, places, strict=True)}
                yield pa.table({n: convert(c, layout.columns[n], self.dialect.missing) for n, c in cells.items()})

    def guess(self) -> dict[str, Any]:
        """Return the sheet and the number of rows above its header."""
        with self._sheet() as (sheet, notes):
            table = self._locate(sheet)
            skipped = {"skip_rows": table.header} if table.header else {}
            rows = itertools.islice(_rows(sheet), table.header, table.header + HEADER_ROWS)
            texts = [["" if is_blank(cell) else str(cell) for cell in table.cut(row)] for row in rows]
            units = {"skip_first": 1} if "skip_first" in second_header([*enumerate(texts)]) else {}
            return {**({"sheet": sheet.title} if notes else {}), **skipped, **units}

    def _locate(self, sheet: Any) -> SheetTable:
        head = list(itertools.islice(_rows(sheet), HEAD_ROWS))
        table = locate(head, self.dialect.skip_rows)
        if table is None:
            raise self.error(f"expected a table in the sheet {sheet.title}; it is empty")
        if len(table.names) > MAX_COLUMNS:
            raise self.error(f"expected at most {MAX_COLUMNS:,} columns")
        return table

    def _names(self, table: SheetTable) -> tuple[list[str], list[str]]:
        if self.dialect.header is False or (self.dialect.header is None and not has_header([table.names])):
            raise self.error("expected a header above the columns", "add a row with their names")
        if self.dialect.names and len(self.dialect.names) != len(table.names):
            received = len(self.dialect.names)
            raise self.error(
                f"source.read.names: expected {len(table.names)}, one for each column; received {received}"
            )
        return (self.dialect.names, []) if self.dialect.names else unique_names(table.names)

    def _batches(
        self, sheet: Any, table: SheetTable, times: list[bool], left_out: list[int]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the table as text; `times` learns which columns hold times of day."""
        import pyarrow as pa

        above = table.header + (self.dialect.skip_first or 0)
        filled = merged_cells.filled(_rows(sheet), self._merged(sheet.title))
        rows = body(itertools.islice(filled, above, None), table, left_out)
        missing = frozenset(self.dialect.missing)
        while part := self._next(rows):
            columns = [*zip(*part, strict=True)]
            for place, cells in enumerate(columns):
                times[place] = times[place] or any(map(has_time, cells))
            texts = [[as_text(cell, with_time=times[place]) for cell in cells] for place, cells in enumerate(columns)]
            arrays = [pa.array([None if text in missing else text for text in cells], pa.string()) for cells in texts]
            yield pa.RecordBatch.from_arrays(arrays, names=[str(place) for place in range(len(arrays))])

    def _next(self, rows: Iterator[list[Any]]) -> list[list[Any]]:
        try:
            return list(itertools.islice(rows, ROWS))
        except ValueError as error:
            raise self.error(str(error)) from None

    @contextlib.contextmanager
    def _sheet(self) -> Iterator[tuple[Any, list[str]]]:
        """Open the sheet that the task names, else the first one that holds more than one row."""
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException

        self._check_archive()
        try:
            with warnings.catch_warnings(), self.path.open("rb") as file:
                warnings.simplefilter("ignore")  # about styles and extensions, which do not matter here
                book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
                yield self._chosen(book)
        except (InvalidFileException, zipfile.BadZipFile, KeyError, SyntaxError, TypeError, EOFError) as error:
            raise self.error(f"expected a workbook of Excel; it is damaged: {error}") from None

    def _chosen(self, book: Any) -> tuple[Any, list[str]]:
        sheets = {sheet.title: sheet for sheet in book.worksheets}
        if self.dialect.sheet:
            if self.dialect.sheet not in sheets:
                raise self.error(f"expected one of the sheets {', '.join(sheets)}; received {self.dialect.sheet}")
            return sheets[self.dialect.sheet], []
        visible = [sheet for sheet in sheets.values() if sheet.sheet_state == "visible"] or [*sheets.values()]
        chosen = next((sheet for sheet in visible if _has_table(sheet)), None)
        if chosen is None:
            raise self.error(f"expected a sheet with a table; received {', '.join(sheets) or 'no sheet'}")
        other_sheets = [name for name in sheets if name != chosen.title]
        return chosen, [f"sheet {chosen.title}; others: {', '.join(other_sheets[:5])}"] if other_sheets else []

    def _merged(self, title: str) -> list[Merged]:
        """Return the cells of a sheet that are merged downwards."""
        with archive.open_stream(self.path) as (_, stream), zipfile.ZipFile(stream) as file:
            return merged_cells.read(file, title)

    def _check_archive(self) -> None:
        """Refuse a workbook that unpacks to too much, or whose XML declares entities."""
        with archive.open_stream(self.path) as (_, stream), zipfile.ZipFile(stream) as file:
            members = file.infolist()
            packed, total = self.path.stat().st_size, sum(member.file_size for member in members)
            limit = max(archive.ALWAYS_ALLOWED_BYTES, archive.MAX_RATIO * packed)
            if len(members) > MAX_MEMBERS or total > min(limit, archive.MAX_BYTES):
                raise self.error(f"expected a workbook; {packed:,} bytes unpack to {total:,}, like a zip bomb")
            for member in members:
                if member.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in file.open(member).read(1024):
                    raise self.error(f"expected a workbook; {member.filename} declares a document type")


def _rows(sheet: Any) -> Iterator[Row]:
    """Yield the rows of a sheet; its declared size is ignored, since it may be wrong."""
    sheet.reset_dimensions()
    yield from sheet.iter_rows(values_only=True)


def _has_table(sheet: Any) -> bool:
    if not hasattr(sheet, "reset_dimensions"):  # a chart
        return False
    head = list(itertools.islice(_rows(sheet), HEAD_ROWS))
    wide = sum(sum(cell is not None for cell in row) > 1 for row in head)
    return wide > 1
