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
import raw_data

from tiltyard import files
from tiltyard.config import loader
from tiltyard.experiments import study, study_plan
from tiltyard.experiments.study_markdown import failures, table
from tiltyard.preparation import prepare
from tiltyard.runtime import environment
from tiltyard.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "studies"


def main() -> None:
    """Run the named studies, or all; keep the lines of the others."""
    project = Workspace(ROOT / ".tiltyard" / "measured")
    project.root.mkdir(parents=True, exist_ok=True)
    if not (project.root / "tasks").exists():
        (project.root / "tasks").symlink_to(ROOT / "tasks")
    environment.configure_tools(project)
    for path in sorted((ROOT / "studies").glob("*.yaml")):
        if path.stem in sys.argv[1:] or len(sys.argv) == 1:
            _run(project, path)
    page.write("Studies", _section(project))


def _run(project: Workspace, path: Path) -> None:
    plan = study_plan.read(path)
    task = loader.load(project, plan.task)
    if not project.out(task.name, "prepare").is_dir():
        raw_data.fetch(project, task)
        prepare.prepare(project, task)
    result = study.study(project, path.stem, plan, 2, print)
    study.copy(project, result, PAGES)
    measured = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": page.machine()}
    files.write_json(project.study(path.stem) / "measured.json", measured)


def _section(project: Workspace) -> str:
    lines, missing = [*HEAD, ""], []
    for path in sorted((ROOT / "studies").glob("*.yaml")):
        if (folder := project.study(path.stem)).is_dir():
            lines += _lines(files.read_json(folder / "study.json"), files.read_json(folder / "measured.json"))
        else:
            missing.append(f"`{path.stem}`")
    return "\n".join([*lines, *([f"Not measured yet: {', '.join(missing)}."] if missing else [])])


def _lines(result: dict[str, Any], measured: dict[str, str]) -> list[str]:
    plan, name = result["plan"], result["study"]
    rows = f"{plan['rows']:,}" if plan["rows"] else "all"
    file, plots = f"[studies/{name}.yaml](../studies/{name}.yaml)", f"[plots](studies/{name}.md)"
    seeds = f"`{result['task']}`, {rows} training rows, {plan['repeat']} seeds"
    return [
        f"### {result['title']}",
        "",
        f"{file}, {plots}: {seeds}; {measured['machine']}, {measured['date']}.",
        "",
        *table(result),
        "",
        *(f"- {one['sentence']}." for one in result["variants"][1:]),
        *(f"- {text}." for text in failures(result)),
        "",
    ]


HEAD = [
    "Written by `benchmarks/studies.py`, which runs `tiltyard study` on each file of `studies/`. The metric is that of",
    "validation rows at their best epoch; test rows were not used. Mean and interval are over seeds, with one thread",
    "per training; differences are paired by seed. Rows and epochs are few, so that each study takes minutes:",
    "differences may vanish with more of them.",
]


if __name__ == "__main__":
    main()
