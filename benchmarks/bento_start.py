"""Benchmark of Bentos: size, and start time of their services.

python benchmarks/bento_start.py NAME=FOLDER ... prints a table. Bentos are measured alternately, each from a new copy
of the folder: a first and a second start, and both with PYTHONDONTWRITEBYTECODE=1. Processor seconds are those of the
process and its children until it was ready, responded and stopped, since the machine may be busy; wall-clock seconds
are those until it was ready.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tiltyard.serving.packaging import bento, smoke_test

TIMES = 7
STARTS = ("first", "second", "first, no bytecode", "second, no bytecode")


def seconds(folder: Path, home: Path, bytecode: str) -> tuple[float, float]:
    """Start and stop the service of a Bento; return its processor and wall-clock seconds."""
    before, started_at = _cpu_seconds(), time.perf_counter()
    environment = {**bento.clean(), "PYTHONDONTWRITEBYTECODE": bytecode}
    with smoke_test.running(["-m", "bentoml", "serve", str(folder)], environment, home) as server:
        ready = time.perf_counter() - started_at
        server.ask("/v1/models")
    return _cpu_seconds() - before, ready


def _cpu_seconds() -> float:
    cpu_time = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cpu_time.ru_utime + cpu_time.ru_stime


def measure_starts(folder: Path) -> list[tuple[float, float]]:
    """Measure one start of each kind."""
    results = []
    for bytecode in ("", "1"):
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary, "bento")
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
            results += [seconds(copy, Path(temporary, "home"), bytecode) for _ in range(2)]
    return results


def size(folder: Path) -> str:
    """Return the number and the total size of the files of a Bento."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    return f"{len(files)} | {sum(path.stat().st_size for path in files) / 1e6:.3f}"


def main() -> None:
    """Measure the Bentos that the arguments name."""
    folders = {name: Path(folder) for name, _, folder in (argument.partition("=") for argument in sys.argv[1:])}
    measurements = [(name, measure_starts(folder)) for _ in range(TIMES) for name, folder in folders.items()]
    print(f"| Bento | files | MB | {' | '.join(STARTS)} |\n|---|---:|---:|{'---:|' * len(STARTS)}")
    for name, folder in folders.items():
        kinds = zip(*(results for other, results in measurements if other == name), strict=True)
        medians = ([statistics.median(column) for column in zip(*kind, strict=True)] for kind in kinds)
        cells = (f"{cpu_time:.2f} ({ready:.2f})" for cpu_time, ready in medians)
        print(f"| {name} | {size(folder)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
