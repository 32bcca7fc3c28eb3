"""Run the main benchmarks and write benchmarks/RESULTS.md; `make bench` runs this on an idle machine.

The pipeline is measured in a temporary project.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tiltyard import files
from tiltyard.config import task_list
from tiltyard.gate.exit_status import EXIT_STATUS
from tiltyard.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
PROJECT = ("tasks", "dvc.yaml", "params.yaml", ".dvcignore", ".dvc/config", "serving", "src")


def main() -> None:
    """Run all benchmarks, then write the file."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _copy(root)
        parts = [_head(), _overhead(root), _unchanged(root)]
    files.write_text(RESULTS, "\n\n".join(parts) + "\n")
    print(f"written: {RESULTS.relative_to(ROOT)}")


def _copy(root: Path) -> None:
    """Copy the tracked files of the project."""
    command = ["git", "-C", str(ROOT), "ls-files", "--", *PROJECT]
    for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        files.write_bytes(root / name, (ROOT / name).read_bytes())


def _seconds(root: Path, *command: str) -> tuple[float, str]:
    start = time.perf_counter()
    result = subprocess.run(command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if result.returncode not in (0, *EXIT_STATUS.values()):  # HOLD and REJECT are verdicts, not errors
        raise SystemExit(result.stdout + result.stderr)
    return time.perf_counter() - start, result.stdout


def _head() -> str:
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)  # noqa: PLW1510
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("keras", "bentoml", "dvc", "prefect"))
    return (
        f"# Results\n\nMeasured {datetime.now(UTC):%Y-%m-%d} at commit {commit.stdout.strip()} by `make bench`: "
        f"{os.cpu_count()} cores, {platform.machine()}, no GPU, Python {platform.python_version()}, {versions}. "
        "Seeds are those of the task files. Absolute times are those of one machine; ratios come from one run on it."
    )


def _overhead(root: Path) -> str:
    """Measure each task from source to champion, and a plain fit of the same rows; then the fixed costs."""
    lines = ["| task | plain fit, s | pipeline, s | whole command, s | pipeline / plain |", "|---|--:|--:|--:|--:|"]
    fixed = []
    for name in task_list.listed(Workspace(root)):
        whole, out = _seconds(root, "tiltyard", "run", name, "--json")
        (row,) = json.loads(out)
        plain, _ = _seconds(root, sys.executable, str(ROOT / "benchmarks" / "plain_training.py"), str(root), name)
        fixed.append(whole - row["seconds"])
        lines.append(f"| {name} | {plain:.1f} | {row['seconds']:.1f} | {whole:.1f} | {row['seconds'] / plain:.1f} |")
    return (
        "## Overhead of the pipeline\nFetch, validate, prepare, train, evaluate, promote, package and push of one task "
        "against a script that only fits the prepared rows. Both times include one import of TensorFlow.\n\n"
        + "\n".join(lines)
        + f"\n\nFixed part of a command, independent of the tasks (Prefect's embedded server, imports, push): "
        f"{statistics.median(fixed):.1f} s in the median."
    )


def _unchanged(root: Path) -> str:
    """Measure a run in which nothing has to be done."""
    rows = [
        ("`tiltyard --help`", 9, ("tiltyard", "--help")),
        ("`tiltyard status`", 5, ("tiltyard", "status")),
        ("`dvc repro`, nothing changed", 3, ("dvc", "repro")),
        ("`tiltyard run`, nothing changed, four tasks", 3, ("tiltyard", "run")),
    ]
    lines = ["| command | median, s | lowest | highest |", "|---|--:|--:|--:|"]
    for title, times, command in rows:
        durations = [_seconds(root, *command)[0] for _ in range(times)]
        lines.append(f"| {title} | {statistics.median(durations):.2f} | {min(durations):.2f} | {max(durations):.2f} |")
    return "## Nothing to run\n\n" + "\n".join(lines) + "\n\nServing is measured in [SERVING.md](SERVING.md)."


if __name__ == "__main__":
    main()
