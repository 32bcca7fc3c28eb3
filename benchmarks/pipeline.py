"""Benchmark of the pipeline's own cost: whole commands of this working tree and of an earlier revision, alternately.

python benchmarks/pipeline.py [--against REVISION] [--times N] writes benchmarks/PIPELINE.md.

Every measurement begins in a new copy of the project, in a folder without a git repository and with the bytecode of all
libraries cached. The ratio of two medians of one run is comparable between machines; seconds are not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import page

from tiltyard import files
from tiltyard.gate.exit_status import EXIT_STATUS

TARGET = page.ROOT / "benchmarks" / "PIPELINE.md"
PROJECT = ("tasks", "dvc.yaml", "params.yaml", ".dvcignore", ".dvc/config", "serving", "src", "pipelines")
FIRST = "`tiltyard run`, four tasks, nothing cached"
# measured in this order in one project: what runs again, and the command before it
COMMANDS: dict[str, list[str]] = {
    FIRST: ["tiltyard", "run"],
    "`tiltyard run`, four tasks, nothing changed": ["tiltyard", "run"],
    "`dvc repro`, nothing changed": ["dvc", "repro"],
    "`tiltyard validate iris`": ["tiltyard", "validate", "iris"],
    "`tiltyard promote iris`, not promoted before": ["tiltyard", "promote", "iris"],
}
# removed before a command: what makes iris a champion, and its package
REMOVED = {
    "`tiltyard promote iris`, not promoted before": [
        "serving/champions/iris.json",
        "serving/ledger/iris.jsonl",
        "serving/packages/iris",
        ".tiltyard/bentoml",
    ]
}
SMOKE = "`tiltyard run --smoke`, all tasks whose data are there"
Seconds = dict[str, list[float]]


def main() -> None:
    """Measure both trees, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", default="HEAD", help="the earlier revision (default: HEAD)")
    parser.add_argument("--times", type=int, default=5, help="measurements of each command (default: 5)")
    parser.add_argument("--smoke", action="store_true", help="measure a smoke test of all tasks, too (TILTYARD_MIRROR)")
    given = parser.parse_args()
    if given.smoke:
        COMMANDS[SMOKE] = ["tiltyard", "run", "--smoke", *sorted(path.stem for path in page.ROOT.glob("tasks/*.yaml"))]
    before, now = Seconds(), Seconds()
    with tempfile.TemporaryDirectory() as folder:
        earlier, current = Path(folder) / "earlier", Path(folder) / "current"
        _extract(given.against, earlier)
        copy_project(current)
        for number in range(given.times + 1):
            for tree, seconds in ((earlier, before), (current, now)):
                _measure(tree, Path(folder) / "project", seconds if number else Seconds())  # the first warms up
            if number:
                files.write_text(TARGET, _page(given.against, before, now))


def _extract(revision: str, folder: Path) -> None:
    """Write the project's files of a revision."""
    folder.mkdir()
    archive = ["git", "-C", str(page.ROOT), "archive", revision, *PROJECT]
    with subprocess.Popen(archive, stdout=subprocess.PIPE) as process:
        subprocess.run(["tar", "-x", "-C", str(folder)], stdin=process.stdout, check=True)
    entry = folder / "src/tiltyard/cli/entry.py"  # what the installed command imports; older revisions have only main
    if not entry.exists():
        files.write_text(entry, "from tiltyard.cli.main import main as main\n")


def copy_project(folder: Path) -> None:
    """Copy the project's files as they are now."""
    command = ["git", "-C", str(page.ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "--", *PROJECT]
    for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if (page.ROOT / name).is_file():
            files.write_bytes(folder / name, (page.ROOT / name).read_bytes())


def _measure(tree: Path, project: Path, seconds: Seconds) -> None:
    """Run all commands in a new copy of a tree."""
    shutil.copytree(tree, project)
    for title, arguments in COMMANDS.items():
        for name in REMOVED.get(title, ()):
            path = project / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        started = time.perf_counter()
        done = subprocess.run(
            arguments, cwd=project, env=environment(project), capture_output=True, text=True, check=False
        )
        if done.returncode not in (0, *EXIT_STATUS.values()):
            raise SystemExit(f"{title}: {done.stdout}{done.stderr}")
        seconds.setdefault(title, []).append(time.perf_counter() - started)
        print(f"{tree.name}: {title}: {seconds[title][-1]:.2f} s", flush=True)
    shutil.rmtree(project)


def environment(project: Path) -> dict[str, str]:
    """Return the environment of a command that uses the code of a copy, with bytecode."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    code = f"{project / 'src'}{os.pathsep}{project}"
    return {**kept, "PYTHONPATH": code, "DVC_NO_ANALYTICS": "1", "PATH": path}


def _page(revision: str, before: Seconds, now: Seconds) -> str:
    middle: Callable[[list[float]], float] = statistics.median
    rows = [
        f"| {title} | {middle(before[title]):.2f} | {middle(now[title]):.2f} | {min(now[title]):.2f} to "
        f"{max(now[title]):.2f} | {middle(now[title]) / middle(before[title]):.2f} |"
        for title in COMMANDS
    ]
    return f"""# The pipeline's own cost

`python benchmarks/pipeline.py --against {revision}`, {datetime.now(UTC):%Y-%m-%d}, {page.machine()}. Seconds of whole
commands, medians of {len(now[FIRST])}, of an earlier revision and of this one, alternately in new copies of the
project.

| command | before | now | range | ratio |
|---|---:|---:|---:|---:|
{chr(10).join(rows)}
"""


if __name__ == "__main__":
    main()
