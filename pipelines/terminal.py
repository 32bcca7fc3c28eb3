"""A few lines of a terminal that are kept up to date: only what changed is written."""

from __future__ import annotations

import math
import os
import re
from typing import TextIO

from rich.cells import cell_len

UP, NEXT, CLEAR_LINE, CLEAR_BELOW = "\x1b[{}F", "\x1b[{}E", "\x1b[2K", "\x1b[J"
STYLE = re.compile(r"\x1b\[[0-9;]*m")
DEFAULT = os.terminal_size((80, 24))


def animated(stream: TextIO) -> bool:
    """Return whether lines of a stream can be rewritten: a file, a pipe and a dumb terminal keep what was written."""
    try:
        return os.isatty(stream.fileno()) and os.environ.get("TERM") != "dumb"
    except OSError:
        return False


class Screen:
    """The lines below the cursor of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.drawn: list[str] = []
        self.columns = self.size().columns

    def size(self) -> os.terminal_size:
        """Return columns and lines, as they are now; a terminal that does not know its own has the usual ones."""
        try:
            found = os.get_terminal_size(self.stream.fileno())
        except OSError:
            found = DEFAULT
        columns, lines = (_number(name) for name in ("COLUMNS", "LINES"))
        return os.terminal_size((columns or found.columns or DEFAULT.columns, lines or found.lines or DEFAULT.lines))

    def draw(self, lines: list[str]) -> None:
        """Show lines in the place of those that were drawn before."""
        parts = [self._back()] if self.drawn else []
        skipped = 0
        for number, line in enumerate(lines):
            if number >= len(self.drawn):
                parts.append(f"{NEXT.format(skipped)}{line}\n" if skipped else f"{line}\n")
                skipped = 0
            elif line == self.drawn[number]:
                skipped += 1
            else:
                parts.append(f"{NEXT.format(skipped) if skipped else ''}{CLEAR_LINE}{line}{NEXT.format(1)}")
                skipped = 0
        if skipped:
            parts.append(NEXT.format(skipped))
        if len(lines) < len(self.drawn):
            parts.append(CLEAR_BELOW)
        if lines != self.drawn:
            self._write("".join(parts))
        self.drawn = lines

    def erase(self) -> None:
        """Remove the lines, and leave the cursor where the first one was."""
        if self.drawn:
            self._write(self._back() + CLEAR_BELOW)
            self.drawn = []

    def _back(self) -> str:
        """Move to the first line; in a terminal that was made narrower each may take several, which are drawn anew."""
        columns, before = self.size().columns, self.columns
        self.columns = columns
        if columns >= before:
            return UP.format(len(self.drawn))
        rows = sum(max(1, math.ceil(cell_len(STYLE.sub("", line)) / columns)) for line in self.drawn)
        self.drawn = []
        return UP.format(rows) + CLEAR_BELOW

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else 0
