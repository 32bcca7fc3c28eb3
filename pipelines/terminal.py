"""Live output on a terminal: a few lines that are updated in place; only changed lines are written."""

from __future__ import annotations

import math
import os
import re
from typing import TextIO

from rich.cells import cell_len

CURSOR_UP, CURSOR_DOWN, CLEAR_LINE, CLEAR_BELOW = "\x1b[{}F", "\x1b[{}E", "\x1b[2K", "\x1b[J"
STYLE_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")
DEFAULT_SIZE = os.terminal_size((80, 24))


def can_rewrite(stream: TextIO) -> bool:
    """Return whether lines of a stream can be rewritten, as on a terminal, but not in a file or a pipe."""
    try:
        return os.isatty(stream.fileno()) and os.environ.get("TERM") != "dumb"
    except OSError:
        return False


class Screen:
    """The lines at the cursor of a terminal that are updated in place."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.drawn_lines: list[str] = []
        self.columns = self.size().columns

    def size(self) -> os.terminal_size:
        """Return the current width and height of the terminal, or the usual ones if they are unknown."""
        try:
            terminal = os.get_terminal_size(self.stream.fileno())
        except OSError:
            terminal = DEFAULT_SIZE
        columns, lines = (_size_variable(name) for name in ("COLUMNS", "LINES"))
        return os.terminal_size(
            (columns or terminal.columns or DEFAULT_SIZE.columns, lines or terminal.lines or DEFAULT_SIZE.lines)
        )

    def draw(self, lines: list[str]) -> None:
        """Replace the lines that were drawn before."""
        parts = [self._back()] if self.drawn_lines else []
        skipped = 0
        for number, line in enumerate(lines):
            if number >= len(self.drawn_lines):
                parts.append(f"{CURSOR_DOWN.format(skipped)}{line}\n" if skipped else f"{line}\n")
                skipped = 0
            elif line == self.drawn_lines[number]:
                skipped += 1
            else:
                parts.append(
                    f"{CURSOR_DOWN.format(skipped) if skipped else ''}{CLEAR_LINE}{line}{CURSOR_DOWN.format(1)}"
                )
                skipped = 0
        if skipped:
            parts.append(CURSOR_DOWN.format(skipped))
        if len(lines) < len(self.drawn_lines):
            parts.append(CLEAR_BELOW)
        if lines != self.drawn_lines:
            self._write("".join(parts))
        self.drawn_lines = lines

    def erase(self) -> None:
        """Remove the lines and leave the cursor at the first one."""
        if self.drawn_lines:
            self._write(self._back() + CLEAR_BELOW)
            self.drawn_lines = []

    def _back(self) -> str:
        """Return the sequence that moves to the first line; in a narrower terminal, lines may have wrapped."""
        columns, before = self.size().columns, self.columns
        self.columns = columns
        if columns >= before:
            return CURSOR_UP.format(len(self.drawn_lines))
        rows = sum(max(1, math.ceil(cell_len(STYLE_SEQUENCE.sub("", line)) / columns)) for line in self.drawn_lines)
        self.drawn_lines = []
        return CURSOR_UP.format(rows) + CLEAR_BELOW

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def _size_variable(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else 0
