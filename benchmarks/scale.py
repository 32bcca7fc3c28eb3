"""Benchmark of scaling: time and memory of each stage by number of rows, on generated tables of 20 columns.

`python benchmarks/scale.py [ROWS]...` writes benchmarks/SCALE.md. Each stage runs in a separate process, in a temporary
project. `--only prepare` measures one stage again, and leaves what was measured of the others. pandera runs the same
checks on the same rows, and Polars prepares them, if they are installed: `uv pip install --group bench` installs them,
and the next `make` removes them. `--large 1e7 1e8` measures Parquet alone, without pandera and Polars, which hold a
whole table in memory, and adds a section; 1e8 rows need about 60 GB of disk.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import re
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
# Modules are compiled once, as in an installation, even if this machine disables bytecode.
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT = {**COMPILED, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
VERBS = ("fetch", "validate", "prepare", "train", "evaluate")
SLOPE_FROM = 1_000_000  # the slope is computed from this number of rows, since imports dominate below it
MIB = 1 << 20
PARQUET = "parquet"
FORMATS = ("csv", PARQUET)
LARGE = "## Larger Parquet files"


@dataclass(frozen=True)
class Measurement:
    """The measurement of one command on one table."""

    suffix: str
    rows: int
    what: str
    seconds: float
    cpu_seconds: float  # processor time, which hardly depends on other work on the machine
    peak: float  # MiB of the whole process tree
    output: str = ""


def main(arguments: list[str]) -> None:
    """Run all measurements, then write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", type=float)
    parser.add_argument("--only", choices=("validate", "prepare"))
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args(arguments)
    sizes = [int(rows) for rows in options.rows] or list(ROWS)
    with tempfile.TemporaryDirectory() as compiled:
        ENVIRONMENT["PYTHONPYCACHEPREFIX"] = compiled
        list(_measured("csv", 5_000, options.only))
        if options.large:
            large = [one for rows in sizes for one in _measured(PARQUET, rows, "")]
            files.write_text(RESULTS, _with_large(RESULTS.read_text(encoding="utf-8"), large))
            return
        measurements = [one for suffix in FORMATS for rows in sizes for one in _measured(suffix, rows, options.only)]
    page = _updated(RESULTS.read_text(encoding="utf-8"), options.only, measurements) if options.only else None
    files.write_text(RESULTS, page or _page(measurements))
    print(f"written: {RESULTS.relative_to(ROOT)}")


def _measured(suffix: str, rows: int, only: str | None = None) -> Iterator[Measurement]:
    """Run the pipeline, or one stage, on one table in a temporary project."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        table = root / f"wide.{suffix}"
        write(table, rows)
        _project(root, table, rows)
        for what, command in _commands(root, suffix, only).items():
            measurement = Measurement(suffix, rows, what, *_run(root, command))
            print(json.dumps(asdict(measurement)), flush=True)
            yield measurement


def _commands(root: Path, suffix: str, only: str | None) -> dict[str, list[str]]:
    """Return what to measure: all, one stage, which needs only the fetched data, or (`only` is empty) no scripts."""
    commands = {verb: ["tiltyard", verb, "wide"] for verb in VERBS if only in (None, "", verb) or verb == "fetch"}
    script = [sys.executable, str(ROOT / "benchmarks" / "pandera_checks.py"), str(root)]
    if only in (None, "validate") and importlib.util.find_spec("pandera"):
        commands["pandera"] = [*script, "whole"]
    if "pandera" in commands and suffix == FORMATS[0]:
        commands["checks"] = [*script, "checks"]
    if only in (None, "prepare") and importlib.util.find_spec("polars"):
        commands["polars"] = [sys.executable, str(ROOT / "benchmarks" / "polars_rows.py"), str(root)]
    return commands


def _project(root: Path, table: Path, rows: int) -> None:
    for name in ("dvc.yaml", ".dvcignore"):
        files.write_bytes(root / name, (ROOT / name).read_bytes())
    files.write_text(root / "params.yaml", yaml.safe_dump({"tasks": ["wide"]}))
    files.write_text(root / "tasks" / "wide.yaml", yaml.safe_dump(task(table, rows), sort_keys=False))


def _run(root: Path, command: list[str]) -> tuple[float, float, float, str]:
    """Run a command; return wall-clock and processor seconds, peak resident memory, and its last line."""
    start, before, peak = time.perf_counter(), _child_cpu_seconds(), 0
    with tempfile.TemporaryFile("w+") as out:
        process = psutil.Popen(command, cwd=root, env=ENVIRONMENT, stdout=out, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, _resident(process))
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        out.seek(0)
        output = out.read()
    if process.returncode:
        raise SystemExit(f"{command}: {output}")
    return (
        round(seconds, 2),
        round(_child_cpu_seconds() - before, 2),
        round(peak / MIB),
        output.strip().splitlines()[-1],
    )


def _child_cpu_seconds() -> float:
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


def _page(measurements: list[Measurement]) -> str:
    parts = [_head()]
    for suffix in FORMATS:
        selected = [measurement for measurement in measurements if measurement.suffix == suffix]
        parts += [f"## {suffix}", _table(selected), *_comparisons(selected)]
    return "\n\n".join(filter(None, [*parts, _checks(measurements)])) + "\n"


def _with_large(page: str, measurements: list[Measurement]) -> str:
    """Return the page with a section on files for which pandera and Polars need too much memory."""
    before, _, after = page.partition(LARGE)
    rest = after[after.index("\n## ") :] if "\n## " in after else ""
    return f"{before.rstrip()}\n\n{LARGE}\nMeasured {_circumstances()}.\n\n{_table(measurements)}\n{rest}"


def _updated(page: str, verb: str, measurements: list[Measurement]) -> str:
    """Return the page with what was measured of one stage in place of what was there."""
    head, *sections = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    head = re.sub(rf"`{verb}` \([a-z, ]+\) was measured again .*\n\n", "", head)
    formats = ", ".join(dict.fromkeys(one.suffix for one in measurements))
    sections = [_updated_section(section, verb, measurements) for section in sections]
    return f"{head}`{verb}` ({formats}) was measured again {_circumstances()}.\n\n{''.join(sections)}"


def _updated_section(section: str, verb: str, measurements: list[Measurement]) -> str:
    selected = [one for one in measurements if section.startswith(f"## {one.suffix}\n")]
    if not selected:
        return section
    section = re.sub(rf"^\| {verb} \|.*$", _line(verb, selected), section, flags=re.MULTILINE)
    for comparison in _comparisons(selected):
        start = re.escape(comparison.partition(" ")[0])
        section = re.sub(rf"^{start} .*\n\n(\|.*\n)+\n", "", section, flags=re.MULTILINE) + comparison + "\n\n"
    return section


def _circumstances() -> str:
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    return (
        f"{datetime.now(UTC):%Y-%m-%d} at commit {commit.stdout.strip()} by `benchmarks/scale.py`: "
        f"{os.cpu_count()} cores, {platform.machine()}, no GPU, Python {platform.python_version()}; load average at "
        f"the end {os.getloadavg()[2]:.1f} (above 1.5, other work was running)"
    )


def _head() -> str:
    return (
        f"# Scale\n\nMeasured {_circumstances()}. Rows are generated with seed {SEED}: "
        "8 numbers, 5 categories (one of 10,000 values), 3 dates, 3 booleans, a label; some values are missing.\n\n"
        "Each stage runs in a separate process; `train` is one epoch. Processor time, which hardly depends on other "
        "work on the machine, is in brackets. MiB is the maximum sum of resident memory over the processes; shared "
        "pages count for each of them. The slope is that of the logarithm of processor time over the logarithm of "
        "rows, from a million rows, where imports hardly matter: 1 is linear."
    )


def _table(measurements: list[Measurement]) -> str:
    sizes = sorted({measurement.rows for measurement in measurements})
    head = "".join(f" {rows:.0e} rows |".replace("e+0", "e") for rows in sizes)
    lines = [f"| verb |{head} slope |", "|---|" + "--:|" * (len(sizes) + 1)]
    return "\n".join([*lines, *(_line(what, measurements) for what in VERBS)])


def _line(what: str, measurements: list[Measurement]) -> str:
    found = sorted((one for one in measurements if one.what == what), key=lambda one: one.rows)
    return f"| {what} |{''.join(f' {_cell(one)} |' for one in found)} {_slope(found)} |"


def _cell(measurement: Measurement) -> str:
    return f"{measurement.seconds:.1f} s ({measurement.cpu_seconds:.1f}), {measurement.peak:.0f} MiB"


def _slope(measurements: list[Measurement]) -> str:
    """Return the slope of a line through the logarithms."""
    selected = [measurement for measurement in measurements if measurement.rows >= SLOPE_FROM]
    if len(selected) < 2:
        return "-"
    x, y = (
        [math.log(value) for value in values]
        for values in zip(*((f.rows, f.cpu_seconds) for f in selected), strict=True)
    )
    center = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - center[0]) * (b - center[1]) for a, b in zip(x, y, strict=True))
    return f"{slope / sum((a - center[0]) ** 2 for a in x):.2f}"


def _comparisons(measurements: list[Measurement]) -> list[str]:
    """Compare two stages with scripts around pandera and Polars, if these were measured."""
    pandera = "reads the whole file and runs the same checks with pandera"
    polars = "parses, hashes, splits and standardizes the same rows, one feature for each column, with Polars"
    compared = (
        _compare(measurements, "validate", "pandera", pandera),
        _compare(measurements, "prepare", "polars", polars),
    )
    return [*filter(None, compared)]


def _compare(measurements: list[Measurement], verb: str, script_name: str, purpose: str) -> str:
    found = {(measurement.what, measurement.rows): measurement for measurement in measurements}
    scripts = [measurement for measurement in measurements if measurement.what == script_name]
    if not scripts:
        return ""
    version = json.loads(scripts[0].output)["version"]
    lines = [
        f"`{verb}` and a script that {purpose} {version}:",
        "",
        f"| rows | {verb} | script | seconds, ratio |",
        "|--:|--:|--:|--:|",
    ]
    for script in scripts:
        ours = found[verb, script.rows]
        ratios = f"{ours.seconds / script.seconds:.2f} ({ours.cpu_seconds / script.cpu_seconds:.2f})"
        lines.append(f"| {script.rows:,} | {_cell(ours)} | {_cell(script)} | {ratios} |")
    return "\n".join(lines)


def _checks(measurements: list[Measurement]) -> str:
    """Compare the checks alone with pandera's."""
    measured = [
        (measurement.rows, json.loads(measurement.output))
        for measurement in measurements
        if measurement.what == "checks"
    ]
    if not measured:
        return ""
    lines = [
        "## The checks alone",
        "Rows are already in memory, as in validation; unmodified Great Expectations evaluates the whole table.",
        "",
        "| rows | tiltyard, s | pandera, s | ratio | Great Expectations, s | ratio |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for rows, seconds_by_tool in measured:
        ours, script, gx = (seconds_by_tool[who] for who in ("tiltyard", "pandera", "stock"))
        lines.append(f"| {rows:,} | {ours:.2f} | {script:.2f} | {ours / script:.2f} | {gx:.2f} | {gx / script:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
