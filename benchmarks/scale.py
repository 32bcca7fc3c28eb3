"""Benchmark of scaling: time and memory of each stage by number of rows, on generated tables of 20 columns.

`python benchmarks/scale.py [ROWS]...` writes benchmarks/SCALE.md. Each stage runs in a separate process, in a temporary
project. pandera runs the same checks on the same rows if it is installed: `uv pip install --group bench` installs it,
and the next `make` removes it.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import yaml
from wide import SEED, task, write

from tiltyard import files

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "SCALE.md"
BIN = Path(sys.executable).parent
# Modules are compiled once, as where they are installed, whatever this machine says about that.
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT = {**COMPILED, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
VERBS = ("fetch", "validate", "prepare", "train", "evaluate")
SLOPED = 1_000_000  # rows from which on the slope is taken: below it, imports are much of the time
MIB = 1 << 20
FORMATS = ("csv", "parquet")


@dataclass(frozen=True)
class Figure:
    """The measurement of one command on one table."""

    suffix: str
    rows: int
    what: str
    seconds: float
    busy: float  # seconds of processor time, which other work on the machine hardly changes
    peak: float  # MiB of the whole process tree
    said: str = ""


def main(arguments: list[str]) -> None:
    """Run all measurements, then write the file."""
    sizes = [int(float(argument)) for argument in arguments] or list(ROWS)
    with tempfile.TemporaryDirectory() as compiled:
        ENVIRONMENT["PYTHONPYCACHEPREFIX"] = compiled
        list(_measured("csv", 5_000))
        figures = [figure for suffix in FORMATS for rows in sizes for figure in _measured(suffix, rows)]
    files.write_text(RESULTS, _page(figures))
    print(f"written: {RESULTS.relative_to(ROOT)}")


def _measured(suffix: str, rows: int) -> Iterator[Figure]:
    """Run the pipeline on one table in a temporary project."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        table = root / f"wide.{suffix}"
        write(table, rows)
        _project(root, table, rows)
        commands = {verb: ["tiltyard", verb, "wide"] for verb in VERBS}
        rival = [sys.executable, str(ROOT / "benchmarks" / "rival.py"), str(root)]
        if importlib.util.find_spec("pandera"):
            commands["pandera"] = [*rival, "whole"]
        if importlib.util.find_spec("pandera") and suffix == FORMATS[0]:
            commands["checks"] = [*rival, "checks"]
        for what, command in commands.items():
            figure = Figure(suffix, rows, what, *_run(root, command))
            print(json.dumps(asdict(figure)), flush=True)
            yield figure


def _project(root: Path, table: Path, rows: int) -> None:
    for name in ("dvc.yaml", ".dvcignore"):
        files.write_bytes(root / name, (ROOT / name).read_bytes())
    files.write_text(root / "params.yaml", yaml.safe_dump({"tasks": ["wide"]}))
    files.write_text(root / "tasks" / "wide.yaml", yaml.safe_dump(task(table, rows), sort_keys=False))


def _run(root: Path, command: list[str]) -> tuple[float, float, float, str]:
    """Run a command; return wall-clock and processor seconds, peak resident memory, and its last line."""
    start, before, peak = time.perf_counter(), _busy(), 0
    with tempfile.TemporaryFile("w+") as out:
        process = psutil.Popen(command, cwd=root, env=ENVIRONMENT, stdout=out, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, _resident(process))
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        out.seek(0)
        said = out.read()
    if process.returncode:
        raise SystemExit(f"{command}: {said}")
    return round(seconds, 2), round(_busy() - before, 2), round(peak / MIB), said.strip().splitlines()[-1]


def _busy() -> float:
    """Return the processor time of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(process: psutil.Process) -> int:
    """Return the resident memory of a process and its descendants; shared pages count for each of them."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.Error:  # ended in the meantime
            continue
    return total


def _page(figures: list[Figure]) -> str:
    parts = [_head()]
    for suffix in FORMATS:
        some = [figure for figure in figures if figure.suffix == suffix]
        parts += [f"## {suffix}", _table(some), _versus(some)]
    return "\n\n".join(filter(None, [*parts, _checks(figures)])) + "\n"


def _head() -> str:
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    return (
        f"# Scale\n\nMeasured {datetime.now(UTC):%Y-%m-%d} at commit {commit.stdout.strip()} by `benchmarks/scale.py`: "
        f"{os.cpu_count()} cores, {platform.machine()}, no GPU, Python {platform.python_version()}; load average at "
        f"the end {os.getloadavg()[2]:.1f} (above 1.5, others shared it). Rows are generated with seed {SEED}: "
        "8 numbers, 5 categories (one of 10,000 values), 3 dates, 3 booleans, a label; some values are missing.\n\n"
        "Each verb is a process of its own; `train` is one epoch. In brackets is processor time, which other work on "
        "the machine hardly changes. MiB is the highest sum of resident memory over the processes; what they share "
        "counts twice. The slope is that of the logarithm of processor time over that of rows, from a million rows on, "
        "where imports no longer count for much: 1 is linear."
    )


def _table(figures: list[Figure]) -> str:
    sizes = sorted({figure.rows for figure in figures})
    found = {(figure.what, figure.rows): figure for figure in figures}
    head = "".join(f" {rows:.0e} rows |".replace("e+0", "e") for rows in sizes)
    lines = [f"| verb |{head} slope |", "|---|" + "--:|" * (len(sizes) + 1)]
    for what in VERBS:
        cells = "".join(f" {_cell(found[what, rows])} |" for rows in sizes)
        lines.append(f"| {what} |{cells} {_slope([found[what, rows] for rows in sizes])} |")
    return "\n".join(lines)


def _cell(figure: Figure) -> str:
    return f"{figure.seconds:.1f} s ({figure.busy:.1f}), {figure.peak:.0f} MiB"


def _slope(figures: list[Figure]) -> str:
    """Return the slope of a line through the logarithms."""
    some = [figure for figure in figures if figure.rows >= SLOPED]
    if len(some) < 2:
        return "-"
    x, y = ([math.log(value) for value in values] for values in zip(*((f.rows, f.busy) for f in some), strict=True))
    middle = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - middle[0]) * (b - middle[1]) for a, b in zip(x, y, strict=True))
    return f"{slope / sum((a - middle[0]) ** 2 for a in x):.2f}"


def _versus(figures: list[Figure]) -> str:
    """Compare the stage with a script around pandera."""
    found = {(figure.what, figure.rows): figure for figure in figures}
    rivals = [figure for figure in figures if figure.what == "pandera"]
    if not rivals:
        return ""
    version = json.loads(rivals[0].said)["version"]
    lines = [
        f"`validate` against a script that reads the same file whole and has pandera {version} make the same checks:",
        "",
        "| rows | validate | script | seconds, ratio |",
        "|--:|--:|--:|--:|",
    ]
    for rival in rivals:
        ours = found["validate", rival.rows]
        ratios = f"{ours.seconds / rival.seconds:.2f} ({ours.busy / rival.busy:.2f})"
        lines.append(f"| {rival.rows:,} | {_cell(ours)} | {_cell(rival)} | {ratios} |")
    return "\n".join(lines)


def _checks(figures: list[Figure]) -> str:
    """Compare the checks alone with pandera's."""
    measured = [(figure.rows, json.loads(figure.said)) for figure in figures if figure.what == "checks"]
    if not measured:
        return ""
    lines = [
        "## The checks alone",
        "Rows already in memory, as validation sees them; Great Expectations as it comes judges them whole.",
        "",
        "| rows | tiltyard, s | pandera, s | ratio | Great Expectations, s | ratio |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for rows, taken in measured:
        ours, rival, stock = (taken[who] for who in ("tiltyard", "pandera", "stock"))
        lines.append(
            f"| {rows:,} | {ours:.2f} | {rival:.2f} | {ours / rival:.2f} | {stock:.2f} | {stock / rival:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
