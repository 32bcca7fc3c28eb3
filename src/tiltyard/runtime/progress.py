"""Progress of long work: nothing for two seconds, then a bar on a terminal, or occasional lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

QUIET = "TILTYARD_QUIET"  # environment variable: show no progress
VERBOSE = "TILTYARD_VERBOSE"  # environment variable: show what stages and libraries print
QUIET_SECONDS = 2.0  # before progress is shown
SECONDS_A_LINE = 5.0  # between lines if there is no terminal

# During a run, the run's table shows the progress, since two bars on one terminal would overwrite each other.
LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar("LISTENER", default=None)


def without_colour() -> bool:
    """Return whether output should be without colours: NO_COLOR is set, or the terminal does not support them."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return the console for tables and bars."""
    from rich.console import Console

    return Console(stderr=stderr, width=width, color_system=None if without_colour() else "auto")


@contextlib.contextmanager
def show_waiting() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows which process is waited for; it shows it once, and clears it at the end."""
    shown = ""

    def wait(who: str) -> None:
        nonlocal shown
        if listener := LISTENER.get():
            listener(f"waiting for {who}")  # at each call: it may raise an error to end the wait
        elif not shown:
            print(f"waiting for {who}", file=sys.stderr, flush=True)  # noqa: T201 - outside of a run
        shown = who

    try:
        yield wait
    finally:
        if shown and (listener := LISTENER.get()):
            listener("")


@contextlib.contextmanager
def status(text: str) -> Iterator[Callable[[], None]]:
    """Show a line on a terminal until the yielded function is called or the block ends."""
    terminal = console(stderr=True)
    shown = terminal.is_terminal and not terminal.is_dumb_terminal and QUIET not in os.environ

    def clear() -> None:
        nonlocal shown
        if shown:
            terminal.file.write("\r\x1b[2K")
            terminal.file.flush()
        shown = False

    if shown:
        terminal.print(text, end="", style="dim", highlight=False)
    try:
        yield clear
    finally:
        clear()


@contextlib.contextmanager
def progress_bar(name: str, total: int | None, done: int, unit: str = "MB") -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of bytes, or of another unit, that are done."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    terminal = console(stderr=True)
    animated = terminal.is_terminal and not terminal.is_dumb_terminal
    of_bytes = (DownloadColumn(), TransferSpeedColumn())
    columns = (BarColumn(), *(of_bytes if unit == "MB" else (MofNCompleteColumn(),)), TimeRemainingColumn())
    bar = Progress(TextColumn("{task.description}"), *columns, console=terminal, transient=True, auto_refresh=False)
    row = bar.add_task(name, total=total, completed=done)
    last_line = time.monotonic() + QUIET_SECONDS - SECONDS_A_LINE
    start = time.monotonic()

    def show(done_now: int) -> None:
        nonlocal last_line
        if time.monotonic() - start < QUIET_SECONDS or QUIET in os.environ:
            return
        done_text, total_text = (f"{n / 1e6:.1f}" if unit == "MB" else f"{n:,}" for n in (done_now, total or 0))
        text = f"{done_text}{f' of {total_text}' if total else ''} {unit}"
        if listener := LISTENER.get():
            listener(text)
        elif animated:
            bar.start()
            bar.update(row, completed=done_now, refresh=True)
        elif time.monotonic() - last_line > SECONDS_A_LINE:
            last_line = time.monotonic()
            terminal.print(f"{name} {text}", highlight=False, soft_wrap=True)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()
