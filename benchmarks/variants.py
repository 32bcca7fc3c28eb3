"""Benchmark of variants: int8 and float16 files of the champions, judged by the gate as `tiltyard quantize` does.

tiltyard run TASKS; python benchmarks/variants.py TASKS

Writes benchmarks/VARIANTS.md. Each variant is made, evaluated on the sealed rows and judged, without promoting it.
Times are medians for a batch of encoded rows relative to the champion's, measured in turns in one process. The task
digits_wide is tasks/digits.yaml with `model: {family: mlp, units: [2048, 2048]}`, six epochs and no augmentation.
"""

from __future__ import annotations

import argparse
import itertools
from datetime import UTC, datetime
from pathlib import Path

import page

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import TrainingError
from tiltyard.gate.quantize import VariantWorkspace, quantize
from tiltyard.gate.verdict import Verdict
from tiltyard.runtime.environment import configure_tools
from tiltyard.training.onnx import variants
from tiltyard.workspace import Workspace

TARGET = page.ROOT / "benchmarks" / "VARIANTS.md"
HEAD = (
    "| task | model | variant | size | metric | champion's | interval of the gain "
    "| time, 1 row | 32 rows | verdict | failed checks |"
)


def main() -> None:
    """Judge all variants of the tasks' champions, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", metavar="TASK")
    options, workspace = parser.parse_args(), Workspace.find()
    configure_tools(workspace)
    lines = [HEAD, "|---|---|---|" + "--:|" * 6 + "---|---|"]
    for name, kind in itertools.product(options.tasks, variants.KINDS):
        task = loader.load(workspace, name)
        try:
            lines.append(_line(workspace, task, kind, quantize(workspace, task, kind, dry_run=True, again=True)))
        except TrainingError as error:
            lines.append(f"| {name} | {task.model.family} | {kind} |" + " |" * 6 + f" not made | {error.message} |")
        print(lines[-1], flush=True)
    why = (__doc__ or "").split("\n\n")[2].strip().partition(". ")[2].replace("\n", " ")
    intro = f"Measured by `benchmarks/variants.py` on {datetime.now(UTC):%Y-%m-%d}: {page.machine_with_load()}. {why}"
    files.write_text(TARGET, "\n\n".join(["# Variants", intro, "\n".join(lines)]) + "\n")


def _line(workspace: Workspace, task: Task, kind: str, verdict: Verdict) -> str:
    """Return the line of a variant."""
    sizes = [_model(one, task).stat().st_size for one in (VariantWorkspace(workspace.root, kind), workspace)]
    gain, ratios = verdict.evidence["over_champion"], verdict.evidence["time_ratios"]
    metric = f"{task.gate.metric} {gain['new']:.4g} | {gain['old']:.4g} | {gain['low']:.2g} to {gain['high']:.2g}"
    failed = ", ".join(outcome.code for outcome in verdict.outcomes if outcome.state == "failed")
    times = " | ".join(f"{ratio:.2f}" for ratio in ratios.values())
    size = f"{sizes[0] / sizes[1]:.2f}"
    return (
        f"| {task.name} | {task.model.family} | {kind} | {size} | {metric} | {times} | {verdict.verdict} | {failed} |"
    )


def _model(workspace: Workspace, task: Task) -> Path:
    return workspace.out(task.name, "train") / "model.onnx"


if __name__ == "__main__":
    main()
