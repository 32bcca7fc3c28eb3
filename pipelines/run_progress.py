"""Progress of a run: one table of tasks and steps on a terminal; elsewhere a line for each step."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from types import TracebackType
from typing import Self, TextIO

from pipelines.estimate import Estimate
from pipelines.progress_table import ProgressTable
from pipelines.task_progress import TaskProgress
from pipelines.terminal import Screen, animated
from tiltyard import environment
from tiltyard.errors import TiltyardError
from tiltyard.progress import SECONDS_A_LINE
from tiltyard.workspace import Workspace

PAUSE = 0.5  # seconds between two looks


class RunProgress:
    """Shows tasks x steps; many threads tell it. What anything else prints meanwhile goes to the log of the run."""

    def __init__(self, workspace: Workspace, names: list[str], steps: tuple[str, ...], workers: int = 1) -> None:
        self.workspace, self.steps = workspace, steps
        self.tasks = {name: TaskProgress(name) for name in names}
        self.estimate = Estimate(workspace, steps, workers)
        self.stopping = threading.Event()  # no step begins any more
        self.doing = ""  # what the run is at when no task is
        self._lock, self._closed = threading.RLock(), threading.Event()
        self._said: dict[str, float] = {}
        self._stack = contextlib.ExitStack()
        self._screen: Screen | None = None

    def __enter__(self) -> Self:
        """Redirect other output, and draw the table."""
        self._results_follow = bool(sys.stdout and sys.stdout.isatty())  # on the same terminal
        self.stream: TextIO = self._stack.enter_context(environment.redirected(self.workspace.log("run")))
        if animated(self.stream):
            self._screen = Screen(self.stream)
            self._table = ProgressTable(self.steps, self.stream.encoding)
            self._follower = threading.Thread(target=self._follow, daemon=True)
            self._follower.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal in order; the table of results that follows holds more than this one."""
        self._closed.set()
        if self._screen:
            self._follower.join(2 * PAUSE)
            with self._lock:
                self._draw()
                if self._results_follow:
                    self._screen.erase()
        self.estimate.save()
        self._stack.close()

    def begin(self, name: str, step: str) -> None:
        """Show the step that a task is at."""
        with self._lock:
            self.tasks[name].begin(step, time.monotonic())

    def end(self, name: str, step: str, how: str) -> None:
        """Show that a step came through; the last one ends the task."""
        with self._lock:
            task, now = self.tasks[name], time.monotonic()
            task.end(step, how, now)
            self.estimate.learn(name, step, how, task.seconds[step])
            if len(task.steps) == len(self.steps):
                task.finish(now)
            self._print(f"{name} {step} {how} {task.seconds[step]:.1f} s")

    def stop(self, name: str, step: str, error: str) -> None:
        """Show where a task ended."""
        with self._lock:
            self.tasks[name].finish(time.monotonic(), stopped=step)
            self._print(f"{name} {step} failed: {error}")

    def note(self, name: str, text: str) -> None:
        """Show how far a step is, or who it waits for; raise if the run was interrupted, since a wait may be long."""
        if self.stopping.is_set():
            raise TiltyardError(f"{name}: interrupted")
        with self._lock:
            task, now = self.tasks[name], time.monotonic()
            news, task.note = text not in ("", task.note), text
            if news and now - self._said.get(name, -SECONDS_A_LINE) >= SECONDS_A_LINE:
                self._said[name] = now
                self._print(f"{name} {task.step}: {text}".replace(" :", ":"))

    def tell(self, doing: str) -> None:
        """Show what the run as a whole is at."""
        with self._lock:
            self.doing = doing

    def wait_for_idle(self, seconds: float) -> None:
        """Wait until no step runs, for so many seconds at most."""
        end = time.monotonic() + seconds
        while any(task.step for task in self.tasks.values()) and time.monotonic() < end:
            time.sleep(0.05)

    def _print(self, line: str) -> None:
        """Write a line where no table can be shown."""
        if not self._screen:
            self.stream.write(f"{line}\n")
            self.stream.flush()

    def _follow(self) -> None:
        """Draw what changed, and look how far trainings are."""
        while not self._closed.is_set():
            with self._lock:
                for task in self.tasks.values():
                    if task.step == "train":
                        task.look(self.workspace.state(task.name, "train"), time.monotonic())
                self._draw()
            self._closed.wait(PAUSE)

    def _draw(self) -> None:
        if self._screen:
            size = self._screen.size()
            tasks = list(self.tasks.values())
            self._screen.draw(self._table.lines(tasks, self.estimate, time.monotonic(), size, self.doing))
