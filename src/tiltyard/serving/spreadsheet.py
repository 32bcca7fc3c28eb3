"""CSV for spreadsheets, protected against formula injection: such text gets a leading apostrophe, as OWASP advises.

It is used for files that people open, not for data that programs read back.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    import pandas as pd

FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the last four are =, +, - and @ in full width
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def escape(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs as a formula; numbers and texts of numbers are unchanged."""
    if isinstance(cell, str) and FORMULA.match(cell) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def write_rows(file: TextIO, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows of cells, the header among them."""
    escaped = [[escape(cell) for cell in row] for row in rows]
    csv.writer(file, lineterminator="\n", quoting=_quoting(chain(*escaped))).writerows(escaped)


def write_frame(file: TextIO, frame: pd.DataFrame, *, header: bool) -> None:
    """Write a table, with or without its header."""
    import pandas as pd

    text_columns = [str(name) for name, dtype in frame.dtypes.items() if dtype.kind == "O"]
    cells = {name: [escape(cell) for cell in frame[name].tolist()] for name in text_columns}
    escaped = {name: pd.Series(column, index=frame.index, dtype=object) for name, column in cells.items()}
    names = [escape(name) for name in frame.columns]
    quoting = _quoting(chain(names, *cells.values()))
    frame.assign(**escaped).to_csv(file, index=False, header=names if header else False, quoting=quoting)


def _quoting(cells: Iterable[Any]) -> Literal[0, 2]:
    """Return a quoting mode that quotes texts with a carriage return, which Python would otherwise write unquoted."""
    return csv.QUOTE_NONNUMERIC if any(isinstance(cell, str) and "\r" in cell for cell in cells) else csv.QUOTE_MINIMAL
