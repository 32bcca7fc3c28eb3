"""One table in a sheet of a workbook: below title rows, beside or above other tables, with blank rows between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

Row = Sequence[Any]

HEAD_ROWS = 200  # that show where the table is
MAX_CELLS = 50_000_000
MAX_TITLE_ROWS = 50


@dataclass(frozen=True)
class SheetTable:
    """Where a table is: the row of its header, counted from 0, and its columns."""

    header: int
    first: int
    names: list[str]

    @property
    def last(self) -> int:
        """The column after the last one."""
        return self.first + len(self.names)

    def cut(self, row: Row) -> list[Any]:
        """Return the cells of a row that belong to the table."""
        cells = list(row[self.first : self.last])
        return cells + [None] * (len(self.names) - len(cells))


def locate(rows: Sequence[Row], skip: int | None) -> SheetTable | None:
    """Find the table by the first rows: its header is the first row that is as wide as most, or follows `skip` rows."""
    filled = [sum(not is_blank(cell) for cell in row) for row in rows]
    start = skip if skip is not None else _header_row(filled)
    header = next((place for place in range(start, len(rows)) if filled[place]), None)
    if header is None:
        return None
    first, last = _columns(rows, header)
    names = ["" if is_blank(cell) else str(cell).strip() for cell in rows[header][first:last]]
    return SheetTable(header, first, names + [""] * (last - first - len(names)))


def is_blank(cell: object) -> bool:
    """Return whether a cell is empty."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _header_row(filled: list[int]) -> int:
    """Return the first row with at least most of the cells of the widest; rows above it are a title."""
    widest = max(filled[: MAX_TITLE_ROWS + 20], default=0)
    wide = [place for place, count in enumerate(filled[:MAX_TITLE_ROWS]) if count > widest / 2]
    return wide[0] if widest > 1 and wide else 0


def _columns(rows: Sequence[Row], header: int) -> tuple[int, int]:
    """Return the first column of the table and the one after its last: an empty column ends it."""
    width = max(len(row) for row in rows[header:])
    body = rows[header:]
    empty = [all(place >= len(row) or is_blank(row[place]) for row in body) for place in range(width)]
    first = empty.index(False)
    last = next((place for place in range(first, width) if empty[place]), width)
    return first, last


def body(rows: Iterator[Row], table: SheetTable, left_out: list[int]) -> Iterator[list[Any]]:
    """Yield the rows of the table, in `rows` from its header on; it ends at a blank row before something else.

    `left_out` receives the number of rows after its end.
    """
    next(rows, None)
    numbers, has_text = [False] * len(table.names), [False] * len(table.names)
    blank, count = False, 0
    for row in rows:
        cells = table.cut(row)
        count += len(cells)
        if count > MAX_CELLS:
            raise ValueError(f"expected at most {MAX_CELLS:,} cells: save the sheet as CSV")
        if all(map(is_blank, cells)):
            blank = True
            continue
        numeric = [number and not text for number, text in zip(numbers, has_text, strict=True)]
        if blank and not _fits(cells, numeric):
            left_out.append(1 + sum(not all(map(is_blank, later)) for later in rows))
            return
        blank = False
        for place, cell in enumerate(cells):
            numbers[place] = numbers[place] or _is_number(cell)
            has_text[place] = has_text[place] or not (is_blank(cell) or _is_number(cell))
        yield cells


def _fits(cells: Sequence[Any], numeric: list[bool]) -> bool:
    """Return whether a row after a blank one continues the table: as wide, and with numbers where it has numbers."""
    filled = sum(not is_blank(cell) for cell in cells)
    numbers = all(is_blank(cell) or _is_number(cell) for cell, number in zip(cells, numeric, strict=True) if number)
    return filled * 2 > len(cells) and numbers


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def as_text(cell: Any, *, with_time: bool) -> str | None:
    """Return a cell as the text that a CSV file would hold."""
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, date | time | timedelta):
        return _time_text(cell, with_time=with_time)
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _time_text(cell: date | time | timedelta, *, with_time: bool) -> str:
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%d %H:%M:%S" if with_time else "%Y-%m-%d")
    if not isinstance(cell, timedelta):
        return cell.strftime("%H:%M:%S") if isinstance(cell, time) else cell.isoformat()
    seconds = round(cell.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def has_time(cell: object) -> bool:
    """Return whether a cell is a date with a time of day."""
    return isinstance(cell, datetime) and cell.time() != time()
