"""Tables for the terminal: coloured where there is one, plain text where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {
    "PROMOTE": "bold green",
    "HOLD": "yellow",
    "REJECT": "red",
    "ROLLBACK": "magenta",
    "stopped": "bold red",
    "ok": "green",
    "missing": "yellow",
}
WIDE = 200  # where output is no terminal, nothing is folded for a width that nobody has


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under headings; numbers stand right, what is None is a dash."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    rows = [list(row) for row in rows]
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for place, column in enumerate(columns):
        number = any(isinstance(row[place], int | float) for row in rows)
        drawn.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*map(_cell, row))
    console.print(drawn)


def _cell(value: Any) -> Text:
    if value is None or value == "":
        return Text("-", style="dim")
    if isinstance(value, float):
        return Text(f"{value:.4g}")
    text = str(value)
    return Text(text, style=COLOURS.get(text.split(" ", maxsplit=1)[0], ""))
