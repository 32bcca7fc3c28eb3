"""Benchmark of imports: large libraries as a whole, and without what no command uses (runtime/library_imports.py).

`python benchmarks/import_time.py` writes benchmarks/IMPORTS.md. Both ways take turns, with compiled bytecode.
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
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMES = 5
LIBRARIES = ("great_expectations.expectations.registry", "keras")
WHOLE = "import importlib, sys; importlib.import_module(sys.argv[1])"
REDUCED = "import sys; from tiltyard.runtime.library_imports import load; load(sys.argv[1])"
VALIDATE = [sys.executable, "-c", "from tiltyard.cli.main import main; main()", "validate", "iris"]


def seconds(command: list[str], folder: str) -> tuple[float, float]:
    """Run a command with its bytecode in a folder; return the processor and wall-clock seconds of its process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": folder, "KERAS_BACKEND": "tensorflow", "GX_ANALYTICS_ENABLED": "false"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    passed, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, passed


def medians(commands: list[list[str]], folder: str) -> list[tuple[float, float]]:
    """Run commands by turns, after a round that compiles; return the medians of each."""
    rounds = [[seconds(command, folder) for command in commands] for _ in range(TIMES + 1)][1:]
    columns = zip(*rounds, strict=True)
    return [(statistics.median(cpu), statistics.median(wall)) for cpu, wall in (zip(*c, strict=True) for c in columns)]


def main() -> None:
    """Write the table; requires an earlier `tiltyard fetch iris`."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for library in LIBRARIES:
            commands = [[sys.executable, "-c", code, library] for code in (WHOLE, REDUCED)]
            (whole, _), (reduced, _) = medians(commands, folder)
            lines.append(f"| `{library}` | {whole:.2f} | {reduced:.2f} | {reduced / whole:.2f} |")
        ((cpu, wall),) = medians([VALIDATE], folder)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    text = f"""# Imports of large libraries

`python benchmarks/import_time.py`, {dt.datetime.now(tz=dt.UTC).date()}, {machine}; load average at the end \
{os.getloadavg()[0]:.1f}. Processor seconds of a whole process with compiled bytecode, medians of {TIMES}.

| library | whole | reduced | ratio |
|---|---:|---:|---:|
{chr(10).join(lines)}

`tiltyard validate iris` takes {wall:.2f} s, {cpu:.2f} s of processor time.
"""
    (ROOT / "benchmarks" / "IMPORTS.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
