"""Progress of what may take long: nothing for two seconds, then a bar, or a line now and then where no terminal is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

PATIENCE = 2.0  # seconds without a word
SECONDS_A_LINE = 5.0  # where there is no terminal to redraw


@contextlib.contextmanager
def watched(name: str, total: int | None, done: int, unit: str = "MB") -> Iterator[Callable[[int], None]]:
    """Give what is to be told how many bytes are there, or how many of another unit."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    of_bytes = (DownloadColumn(), TransferSpeedColumn())
    columns = (BarColumn(), *(of_bytes if unit == "MB" else (MofNCompleteColumn(),)), TimeRemainingColumn())
    bar = Progress(TextColumn("{task.description}"), *columns, console=console, transient=True, auto_refresh=False)
    row = bar.add_task(name, total=total, completed=done)
    spoken = time.monotonic() + PATIENCE - SECONDS_A_LINE
    start = time.monotonic()

    def tell(now: int) -> None:
        nonlocal spoken
        if time.monotonic() - start < PATIENCE:
            return
        if console.is_terminal:
            bar.start()
            bar.update(row, completed=now, refresh=True)
        elif time.monotonic() - spoken > SECONDS_A_LINE:
            spoken = time.monotonic()
            so_far, whole = (f"{n / 1e6:.1f}" if unit == "MB" else f"{n:,}" for n in (now, total or 0))
            console.print(f"{name} {so_far}{f' of {whole}' if total else ''} {unit}", highlight=False)

    try:
        yield tell
    finally:
        if bar.live.is_started:
            bar.stop()
