"""Progress of a run: a table that fits the terminal, plain lines elsewhere, and no other output."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from terminal import TerminalEmulator, run_in_terminal
from workspaces import ROOT

from tiltyard.pipelines.estimate import Estimate
from tiltyard.pipelines.progress_table import ProgressTable, format_duration
from tiltyard.pipelines.run_progress import RunProgress
from tiltyard.pipelines.task_progress import Epochs, TaskProgress
from tiltyard.pipelines.terminal import Screen
from tiltyard.workspace import Workspace

STEPS = ("fetch", "validate", "prepare", "train", "evaluate", "promote")
SIZES = [(80, 24), (140, 40), (40, 8)]
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def some_tasks(count: int) -> list[TaskProgress]:
    """Return tasks: a quarter is done, two run, one failed, the rest waits."""
    tasks = [TaskProgress(f"task_{number}") for number in range(count)]
    for number, task in enumerate(tasks[: count // 4 + 3]):
        for step in STEPS[:3]:
            task.begin(step, 10.0)
            task.end(step, "ran", 12.5)
        task.begin("train", 12.5)
        if number < count // 4:
            for step in STEPS[3:]:
                task.begin(step, 13.0)
                task.end(step, "PROMOTE" if step == "promote" else "ran", 14.0)
            task.finish(14.0 + number)
        elif number == count // 4:
            task.finish(20.0, stopped="train")
    tasks[count // 4 + 1].training = Epochs(12, 40, "val_loss", 0.123456)
    return tasks


def table_lines(workspace: Workspace, tasks: list[TaskProgress], size: tuple[int, int]) -> list[str]:
    """Return the lines of a table without their colours."""
    lines = ProgressTable(STEPS, "utf-8").lines(tasks, Estimate(workspace, STEPS, 2), 30.0, size)
    return [COLOURS.sub("", line) for line in lines]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [4, 40, 400])
def test_table_fits_the_terminal(tmp_path: Path, size: tuple[int, int], count: int) -> None:
    """Lines are shorter than the width, fewer than the height, and running and failed tasks are always shown."""
    lines = table_lines(Workspace(tmp_path), some_tasks(count), size)
    assert all(cell_len(line) < size[0] for line in lines)
    assert len(lines) < size[1]
    shown = "\n".join(lines)
    for number in range(count // 4, count // 4 + 3):
        assert f"task_{number} " in shown
    assert f"{count} tasks: {count // 4} done, 1 stopped, 2 running"[: size[0] - 2] in lines[-1]


@pytest.mark.parametrize("size", SIZES[:2])
def test_row_of_a_training_shows_epochs_and_best_value(tmp_path: Path, size: tuple[int, int]) -> None:
    """The row shows epochs, the best value with its name, the verdict or the failure."""
    lines = table_lines(Workspace(tmp_path), some_tasks(4), size)
    (training,) = (line for line in lines if "12/40" in line)
    assert "best val_loss 0.1235" in training
    assert any("PROMOTE" in line for line in lines)
    assert any("stopped at train" in line for line in lines)
    if size[0] >= 120:
        assert all(step in lines[0] for step in STEPS)


def test_hidden_tasks_are_counted(tmp_path: Path) -> None:
    """Of 40 tasks on 24 lines, the hidden ones are counted by state."""
    lines = table_lines(Workspace(tmp_path), some_tasks(40), (80, 24))
    (hidden,) = (line for line in lines if "more:" in line)
    shown = sum(line.startswith("task_") for line in lines)
    hidden_count = int(hidden.split()[1])
    assert shown + hidden_count == 40
    assert sum(map(int, re.findall(r"(\d+) (?:done|waiting|stopped|running)", hidden))) == hidden_count


def test_terminal_without_unicode_gets_ascii(tmp_path: Path) -> None:
    """Marks that the encoding lacks are replaced, so that the run does not fail."""
    table = ProgressTable(STEPS, "ascii")
    lines = table.lines(some_tasks(4), Estimate(Workspace(tmp_path), STEPS, 2), 30.0, (80, 24))
    assert "\n".join(lines).isascii()


def test_screen_writes_only_changed_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines may change, be added and removed; unchanged ones are not written again."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    stream = io.StringIO()
    screen, emulator = Screen(stream), TerminalEmulator(80, 24).feed("before\r\n")
    frames = [["a", "b", "c"], ["a", "B", "c"], ["a", "B", "c", "d"], ["A", "d"], ["A", "d", "e", "f", "g"], ["A"]]
    for frame in frames:
        stream.seek(0), stream.truncate()
        screen.draw(frame)
        emulator.feed(stream.getvalue().replace("\n", "\r\n"))
        assert emulator.screen == ["before", *frame]
    stream.seek(0), stream.truncate()
    screen.draw(frames[-1])
    assert stream.getvalue() == ""
    screen.erase()
    assert emulator.feed(stream.getvalue()).screen == ["before"]


def test_table_at_the_bottom_of_the_screen_scrolls_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without free lines below, the screen scrolls once, and later frames stay in place."""
    monkeypatch.setenv("COLUMNS", "80")
    stream, emulator = io.StringIO(), TerminalEmulator(80, 6).feed("x\r\n" * 5)
    screen = Screen(stream)
    screen.draw(["a", "b", "c"])
    screen.draw(["a", "B", "c"])
    assert emulator.feed(stream.getvalue().replace("\n", "\r\n")).screen == ["x"] * 5 + ["a", "B", "c"]


def test_table_is_redrawn_after_narrowing_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that wrap after narrowing are removed completely."""
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    screen = Screen(stream)
    screen.draw(["a" * 70, "b" * 30])
    monkeypatch.setenv("COLUMNS", "40")
    stream.seek(0), stream.truncate()
    screen.draw(["a", "b"])
    assert stream.getvalue().startswith("\x1b[3F\x1b[J")


def test_remaining_time_is_estimated_from_the_last_run(tmp_path: Path) -> None:
    """There is no estimate before a step shows whether there is work; then durations of the last run count."""
    workspace = Workspace(tmp_path)
    first = Estimate(workspace, STEPS, 2)
    for name in ("a", "b"):
        for step in STEPS:
            first.record(name, step, "ran", 10.0)
            first.record(name, step, "skipped", 1.0)
    first.save()
    estimate, tasks = Estimate(workspace, STEPS, 2), [TaskProgress("a"), TaskProgress("b")]
    tasks[0].begin("fetch", 0.0)
    assert estimate.seconds_left(tasks, 1.0) is None
    tasks[0].end("fetch", "new", 10.0)
    tasks[0].begin("validate", 10.0)
    assert estimate.seconds_left(tasks, 12.0) == pytest.approx(60.0)  # the other task, which begins now
    assert estimate.task_seconds_left(tasks[0], 12.0) == pytest.approx(48.0)
    tasks[0].steps["fetch"] = "same"
    assert estimate.seconds_left(tasks, 10.0) == pytest.approx(6.0)  # there was nothing to do so far
    tasks[0].begin("train", 0.0)
    tasks[0].training = Epochs(10, 20)
    tasks[0]._first = ("", 0, 0.0)
    assert tasks[0].training_left(10.0) == pytest.approx(10.0)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', '{"a": {"fetch": "x"}}'])
def test_damaged_durations_file_is_ignored(tmp_path: Path, content: str) -> None:
    """A damaged file of durations does not stop a run."""
    workspace = Workspace(tmp_path)
    workspace.durations.parent.mkdir()
    workspace.durations.write_text(content, encoding="utf-8")
    assert Estimate(workspace, STEPS, 1).seconds_left([TaskProgress("a")], 0.0) is None


def test_epochs_are_read_from_the_newest_progress_file(tmp_path: Path) -> None:
    """The newest progress.json counts, also in a subfolder; files of an earlier run are ignored."""
    state = tmp_path / "state"
    (state / "member-2").mkdir(parents=True)
    old, new = state / "progress.json", state / "member-2" / "progress.json"
    for path, epoch in ((old, 7), (new, 3)):
        path.write_text(json.dumps({"epoch": epoch, "epochs": 9, "monitor": "val_loss", "best": 0.5}))
    os.utime(old, (1, 1))
    task = TaskProgress("a")
    task.begin("train", 0.0)
    task.update_training(state, 10.0)
    assert task.training == Epochs(3, 9, "val_loss", 0.5, "member-2")
    os.utime(new, (1, 1))
    task.begin("train", 0.0)
    task.update_training(state, 10.0)
    assert task.training is None


def test_durations_are_formatted_compactly() -> None:
    """A duration has minutes and seconds, and hours only if there are any."""
    assert [format_duration(seconds) for seconds in (0.4, 75, 3725)] == ["0:00", "1:15", "1:02:05"]


# Other sources of output: progress bars of DVC, a child process, a native library, a warning, print.
NOISY = """
import os, subprocess, sys, time, warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tiltyard.pipelines.run_progress import RunProgress
from tiltyard.data import dvc as store
from tiltyard.workspace import Workspace

workspace = Workspace(Path.cwd())
(workspace.root / "raw").mkdir()
(workspace.root / "raw" / "file").write_text("x")
with RunProgress(workspace, ["a", "b", "c", "d"], ("validate", "train"), 2) as board, ThreadPoolExecutor(2) as pool:
    store.add(workspace, workspace.root / "raw")
    store.push(workspace)
    def run_steps(name):
        for step in ("validate", "train"):
            board.begin(name, step)
            subprocess.run([sys.executable, "-c", "print('NOISE of a child')"])
            os.write(2, b"NOISE of a library")
            warnings.warn("NOISE of a warning")
            print("NOISE of a print")
            board.end(name, step, store.run_stage(workspace, step, name))
    list(pool.map(run_steps, "abcd"))
print("the results")
"""


def run_noisy_program(project: Workspace, columns: int, lines: int, **variables: str) -> tuple[str, str]:
    """Run the noisy program in a terminal; return its output and its log."""
    path = os.pathsep.join(map(str, (ROOT / "src", ROOT)))
    bins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment = {**inherited, "PYTHONPATH": path, "PATH": bins, "TERM": "xterm", "DVC_NO_ANALYTICS": "1", **variables}
    status, out = run_in_terminal([sys.executable, "-c", NOISY], columns, lines, project.root, environment)
    assert status == 0, out
    return out, project.log("run").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 140])
def test_only_the_table_is_written_to_a_terminal(small: Workspace, columns: int) -> None:
    """Other output goes to the log of the run, and the table takes few bytes."""
    out, log = run_noisy_program(small, columns, 24)
    assert "NOISE" not in out
    assert "Collecting" not in out
    assert len(out) < 20_000
    assert out.count("\n") < 24
    assert TerminalEmulator(columns, 24).feed(out).screen == ["the results"]  # the results replace the table
    assert "4 tasks: " in out
    assert [log.count(f"NOISE of a {of}") for of in ("child", "library", "print")] == [8, 8, 8]
    assert "NOISE of a warning" in log  # Python shows it once, or again if another thread has changed the filters


@pytest.mark.slow
def test_no_color_disables_colours(small: Workspace) -> None:
    """With NO_COLOR the table has no colours."""
    out, _ = run_noisy_program(small, 80, 24, NO_COLOR="1")
    assert TerminalEmulator(80, 24).feed(out).colours == 0
    assert "\x1b[" in out


@pytest.mark.slow
def test_dumb_terminal_gets_plain_lines(small: Workspace) -> None:
    """A terminal that cannot move its cursor gets plain lines."""
    out, _ = run_noisy_program(small, 80, 24, TERM="dumb")
    assert "\x1b" not in out
    assert sorted(line.split()[:3] for line in out.splitlines()[:-1]) == sorted(
        [name, step, "ran"] for name in "abcd" for step in ("validate", "train")
    )


def test_pipe_gets_one_line_per_step(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Steps, failures and messages take a line each, and other output is not shown."""
    with RunProgress(Workspace(tmp_path), ["a"], ("fetch", "train")) as progress:
        progress.begin("a", "fetch")
        progress.note("a", "12.0 of 70.0 MB")
        os.write(1, b"noise")
        progress.end("a", "fetch", "new")
        progress.begin("a", "train")
        progress.fail("a", "train", "[bold]it rains")
    out, err = capfd.readouterr()
    assert out == ""
    assert re.sub(r"\d\.\d s", "0.0 s", err).splitlines() == [
        "a fetch: 12.0 of 70.0 MB",
        "a fetch new 0.0 s",
        "a train failed: [bold]it rains",
    ]


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
@pytest.mark.parametrize("command", [["make", "help"], ["tiltyard", "status"], ["tiltyard", "validate", "rose"]])
def test_colours_are_used_on_terminals_that_support_them(
    workspace: Workspace, command: list[str], variables: dict[str, str], *, coloured: bool
) -> None:
    """Help, tables and errors are coloured on a terminal, but not with NO_COLOR or a dumb terminal."""
    bins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    folder = ROOT if command[0] == "make" else workspace.root
    environment = {**inherited, "PATH": bins, "TERM": "xterm-256color", **variables}
    _, out = run_in_terminal(command, 80, 24, folder, environment)
    assert len(out.splitlines()) > 1
    assert (TerminalEmulator(80, 24).feed(out).colours > 0) == coloured


def test_make_help_has_no_escape_codes_in_a_pipe() -> None:
    """Help that is written to a pipe has no escape codes."""
    result = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "make run " in result.stdout
    assert "\x1b" not in result.stdout
