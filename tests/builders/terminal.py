"""A small terminal emulator: the content of its screen after a program has written to it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|(\x1b)")


class TerminalEmulator:
    """Interprets sequences that move the cursor and clear; colours are only counted."""

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.height = columns, lines
        self.rows, self.row, self.column, self.colours = [""], 0, 0, 0

    def feed(self, text: str) -> TerminalEmulator:
        """Process output of a program."""
        for numbers, letter, control, plain, stray in TOKEN.findall(text):
            assert not stray, "an escape sequence that no terminal knows"
            if plain:
                self._print(plain)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self._down(1)
            elif letter:
                self._sequence(letter, numbers)
        return self

    @property
    def screen(self) -> list[str]:
        """The lines from the first to the last that holds something."""
        return "\n".join(row.rstrip() for row in self.rows).rstrip().split("\n")

    def _sequence(self, letter: str, numbers: str) -> None:
        count = int(numbers) if numbers.isdigit() else 1
        if letter == "F":
            visible = max(len(self.rows) - self.height, 0)  # the cursor cannot go where lines have scrolled away
            self.row, self.column = max(self.row - count, visible), 0
        elif letter == "E":
            self._down(count)
            self.column = 0
        elif letter == "K":
            self.rows[self.row] = ""
        elif letter == "J":
            del self.rows[self.row + 1 :]
            self.rows[self.row] = self.rows[self.row][: self.column]
        else:
            assert letter == "m", f"unknown sequence {letter}"
            self.colours += 1

    def _print(self, text: str) -> None:
        for character in text:
            if self.column == self.columns:
                self.column = 0
                self._down(1)
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
            self.column += 1

    def _down(self, count: int) -> None:
        self.row += count
        self.rows += [""] * (self.row + 1 - len(self.rows))


def run_in_terminal(
    command: Sequence[str], columns: int, lines: int, folder: Path, environment: dict[str, str]
) -> tuple[int, str]:
    """Run a command in a pseudo-terminal; return its exit status and output."""
    own = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    pieces = []
    with subprocess.Popen(command, cwd=folder, env=own, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # the last one that had it open has ended
                break
            if not piece:
                break
            pieces.append(piece)
    os.close(ours)
    return process.returncode, b"".join(pieces).decode()
