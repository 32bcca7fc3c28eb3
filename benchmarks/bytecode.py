"""Benchmark of start times with and without cached bytecode.

python benchmarks/bytecode.py writes benchmarks/BYTECODE.md. It measures processor seconds, since the machine may be
busy. The environment is not changed: Python looks for bytecode in a folder that is empty, as on a read-only file
system, or filled by an earlier run.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMES = 3
COMMANDS = {
    "import tensorflow": [sys.executable, "-c", "import tensorflow"],
    "import great_expectations": [sys.executable, "-c", "import great_expectations"],
    "tiltyard validate iris": [sys.executable, "-c", "from tiltyard.cli.main import main; main()", "validate", "iris"],
}


def seconds(command: list[str], folder: str, *, write: bool = False) -> float:
    """Run a command with its bytecode in a folder; return the processor seconds of it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": "" if write else "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name: str, command: list[str]) -> str:
    """Measure a command in both ways, alternately."""
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as full:
        once = seconds(command, full, write=True)
        pairs = [(seconds(command, empty), seconds(command, full)) for _ in range(TIMES)]
    without, compiled = (statistics.median(column) for column in zip(*pairs, strict=True))
    return f"| `{name}` | {without:.1f} | {compiled:.1f} | {once:.1f} |"


def main() -> None:
    """Write the table; requires an earlier `tiltyard fetch iris`."""
    rows = [row(name, command) for name, command in COMMANDS.items()]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    text = f"""# Starting with and without bytecode

`python benchmarks/bytecode.py`, {dt.datetime.now(tz=dt.UTC).date()}, {machine}. Processor seconds of a whole
process, medians of {TIMES}. Without: PYTHONDONTWRITEBYTECODE is set, and the installation compiled nothing.

| command | without | compiled | the run that compiles |
|---|---:|---:|---:|
{chr(10).join(rows)}
"""
    (ROOT / "benchmarks" / "BYTECODE.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
