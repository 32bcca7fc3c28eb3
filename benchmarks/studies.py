"""Run the studies of studies/*.yaml; write their pages to docs/studies and their sentences to docs/RESULTS.md.

TILTYARD_MIRROR=... nice python benchmarks/studies.py [STUDY]...

Each study is that of `tiltyard study studies/NAME.yaml --into docs/studies`, in a separate project,
.tiltyard/measured, so that the data of this project stay unchanged. Earlier trainings there are not repeated.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import page
import raw

from tiltyard import environment, files
from tiltyard.config import loader
from tiltyard.experiments import study, study_plan
from tiltyard.experiments.study_markdown import failures, table
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "studies"


def main() -> None:
    """Run the named studies, or all; keep the lines of the others."""
    place = Workspace(ROOT / ".tiltyard" / "measured")
    place.root.mkdir(parents=True, exist_ok=True)
    if not (place.root / "tasks").exists():
        (place.root / "tasks").symlink_to(ROOT / "tasks")
    environment.configure_tools(place)
    for path in sorted((ROOT / "studies").glob("*.yaml")):
        if path.stem in sys.argv[1:] or len(sys.argv) == 1:
            _run(place, path)
    page.write("Studies", _section(place))


def _run(place: Workspace, path: Path) -> None:
    wanted = study_plan.read(path)
    task = loader.load(place, wanted.task)
    if not place.out(task.name, "prepare").is_dir():
        raw.fetch(place, task)
        prepare.prepare(place, task)
    result = study.study(place, path.stem, wanted, 2, print)
    study.copy(place, result, PAGES)
    measured = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": page.machine()}
    files.write_json(place.study(path.stem) / "measured.json", measured)


def _section(place: Workspace) -> str:
    lines, missing = [*HEAD, ""], []
    for path in sorted((ROOT / "studies").glob("*.yaml")):
        if (folder := place.study(path.stem)).is_dir():
            lines += _lines(files.read_json(folder / "study.json"), files.read_json(folder / "measured.json"))
        else:
            missing.append(f"`{path.stem}`")
    return "\n".join([*lines, *([f"Not measured yet: {', '.join(missing)}."] if missing else [])])


def _lines(result: dict[str, Any], measured: dict[str, str]) -> list[str]:
    planned, name = result["plan"], result["study"]
    rows = f"{planned['rows']:,}" if planned["rows"] else "all"
    file, drawn = f"[studies/{name}.yaml](../studies/{name}.yaml)", f"[drawn](studies/{name}.md)"
    seeds = f"`{result['task']}`, {rows} training rows, {planned['repeat']} seeds"
    return [
        f"### {result['title']}",
        "",
        f"{file}, {drawn}: {seeds}; {measured['machine']}, {measured['date']}.",
        "",
        *table(result),
        "",
        *(f"- {one['sentence']}." for one in result["variants"][1:]),
        *(f"- {text}." for text in failures(result)),
        "",
    ]


HEAD = [
    "Written by `benchmarks/studies.py`, which runs `tiltyard study` on each file of `studies/`. The metric is that of",
    "validation rows at the epoch that was best on them; no test row was looked at. Mean and interval are over seeds,",
    "one thread a training; differences are by seed. Rows and epochs are few, so that each study takes minutes: what",
    "differs here may not with more of them.",
]


if __name__ == "__main__":
    main()
