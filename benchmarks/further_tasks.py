"""Benchmark of one more task in a run: `tiltyard run` of the four tasks, and of these and four copies of iris.

python benchmarks/further_tasks.py [--times N] adds a section to benchmarks/PIPELINE.md.

Both runs begin in new copies of the project with nothing cached, alternately. The bare fit is that of
benchmarks/plain_training.py in a process that has loaded Keras, on the rows that the run has prepared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import page
import pipeline
import yaml

from tiltyard import files
from tiltyard.gate.exit_status import EXIT_STATUS

COPIES = 4
HEADING = "## One more task"
FIT = """\
import sys, time
sys.path.insert(0, {folder!r})
import plain_training
plain_training.keras.Sequential([plain_training.keras.layers.Dense(1)]).build((1, 1))
started = time.perf_counter()
plain_training.main({root!r}, "iris")
print(time.perf_counter() - started)
"""


def main() -> None:
    """Measure, and replace the section of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="measurements of each run (default: 5)")
    times = parser.parse_args().times
    four, eight, fits = list[float](), list[float](), list[float]()
    for number in range(times + 1):
        for copies, seconds in ((0, four), (COPIES, eight)):
            with tempfile.TemporaryDirectory() as folder:
                project = Path(folder) / "project"
                _project(project, copies)
                seconds.append(_run(project, "tiltyard", "run"))
                print(f"{4 + copies} tasks: {seconds[-1]:.2f} s", flush=True)
                fits.append(_fit(project))
        if not number:  # the first writes bytecode
            for seconds in (four, eight, fits):
                seconds.clear()
    before, _, _ = pipeline.TARGET.read_text(encoding="utf-8").partition(HEADING)
    files.write_text(pipeline.TARGET, f"{before.rstrip()}\n\n{_section(four, eight, fits)}")


def _project(project: Path, copies: int) -> None:
    project.mkdir()
    pipeline.copy_project(project)
    names = [f"iris_{place}" for place in range(copies)]
    for name in names:
        files.write_bytes(project / "tasks" / f"{name}.yaml", (project / "tasks" / "iris.yaml").read_bytes())
    tasks = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["tasks"]
    files.write_text(project / "params.yaml", yaml.safe_dump({"tasks": [*tasks, *names]}))


def _run(project: Path, *command: str) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=project, env=pipeline.environment(project), capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, *EXIT_STATUS.values()):
        raise SystemExit(f"{command}: {done.stdout}{done.stderr}")
    return time.perf_counter() - started


def _fit(project: Path) -> float:
    code = FIT.format(folder=str(Path(__file__).parent), root=str(project))
    environment = {**pipeline.environment(project), "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _section(four: list[float], eight: list[float], fits: list[float]) -> str:
    least, most, fit = (statistics.median(one) for one in (four, eight, fits))
    further = (most - least) / COPIES
    reached = "reached" if further <= 1.2 * fit + 2 else "not reached"
    return f"""{HEADING}
`python benchmarks/further_tasks.py`, {datetime.now(UTC):%Y-%m-%d}, {page.machine()}, load average
{os.getloadavg()[0]:.1f} at the end. Seconds, medians of {len(four)}. The copies are of iris; the bare fit is
`model.fit` of the same network on the same rows.

| run of the four tasks | and of {COPIES} copies of iris | each copy | bare fit of iris | goal: 1.2 x the fit + 2 s |
|---:|---:|---:|---:|---|
| {least:.2f} | {most:.2f} | {further:.2f} | {fit:.2f} | {1.2 * fit + 2:.2f}: {reached} |
"""


if __name__ == "__main__":
    main()
