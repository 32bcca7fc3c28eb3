"""The board: a bar for each task while a run goes on; where there is no terminal, a line for each step that ended."""

from __future__ import annotations

import json
import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tiltyard.workspace import Workspace


class Board:
    """Bars for tasks x steps; many threads write to it."""

    def __init__(self, workspace: Workspace, names: list[str], steps: int) -> None:
        self.workspace = workspace
        self.console = Console(stderr=True)
        self.bars = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        width = max(map(len, names), default=0)
        self.rows = {name: self.bars.add_task(f"{name:{width}}", total=steps, now="waits") for name in names}
        self.training: set[str] = set()
        self.closed = threading.Event()

    def __enter__(self) -> Self:
        """Draw the bars."""
        self.bars.start()
        if self.console.is_terminal:
            threading.Thread(target=self._follow, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal in order."""
        self.closed.set()
        self.bars.stop()

    def begin(self, name: str, step: str) -> None:
        """Show the step that a task is at."""
        self.bars.update(self.rows[name], now=step)
        if step == "train":
            self.training.add(name)

    def end(self, name: str, step: str, how: str, seconds: float) -> None:
        """Show that it came through."""
        self.training.discard(name)
        self.bars.update(self.rows[name], advance=1, now=f"{step} {how}")
        if not self.console.is_terminal:
            self.console.print(f"{name} {step} {how} {seconds:.1f} s", highlight=False, soft_wrap=True)

    def stop(self, name: str, step: str, error: str) -> None:
        """Show where it ended."""
        self.training.discard(name)
        self.bars.stop_task(self.rows[name])
        self.bars.update(self.rows[name], now=f"[red]stopped at {step}")
        if not self.console.is_terminal:
            self.console.print(f"{name} {step} failed: {error}", highlight=False, markup=False, soft_wrap=True)

    def _follow(self) -> None:
        """Show epochs: training notes them in a file of its own."""
        while not self.closed.wait(0.5):
            for name in list(self.training):
                try:
                    at = json.loads((self.workspace.state(name, "train") / "progress.json").read_bytes())
                except (OSError, ValueError):
                    continue
                self.bars.update(self.rows[name], now=f"train, epoch {at['epoch']}/{at['epochs']}")
