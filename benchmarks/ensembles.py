"""Benchmark of ensembles: one network, and means of several that differ by seed, by rows or by family.

TILTYARD_MIRROR=... python benchmarks/ensembles.py

Writes benchmarks/ENSEMBLES.md. Each task is split and trained with five seeds. Values are means of the gate's metric on
sealed rows, which choose nothing. Gains are over one network of the same split, positive where the ensemble is better,
with Student's interval of 95 %. Five networks differ by seed, by bootstrap sample, or by the fold that each leaves out;
families are the task's MLP, TabM and RealMLP, with equal weights or with those that validation rows choose. The one
network is the MLP; TabM and RealMLP alone are the members of the families, so that their gain is not taken for
one of averaging. The correlation is that of the members' errors on validation rows. Seconds are those of all trainings,
on a machine with much other load, so only their ratios say something.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import drafted
import page
import raw_data
import yaml

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.experiments.seed_comparison import interval
from tiltyard.preparation import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training.fit import RunPaths
from tiltyard.training.fit_members import Members, fit_members
from tiltyard.training.train import opened
from tiltyard.workspace import Workspace

SEEDS, COUNT = 5, 5
TASKS = ("wine_quality", "diabetes", "mpg")
HEAD = "| task | model | metric | value | gain over one network | correlation | seconds |"
FAMILIES = [
    {"model": {"family": "tabm", "units": [64, 64], "members": 8}, "train": {"learning_rate": 0.002}},
    {"model": {"family": "realmlp", "units": [64, 64]}, "train": {"learning_rate": 0.01}},
]
PARTS: dict[str, dict[str, Any]] = {
    "five seeds": {"train": {"members": COUNT}},
    "five bootstrap samples": {"train": {"members": COUNT, "member_rows": "bootstrap"}},
    "five folds": {"train": {"members": COUNT, "member_rows": "folds"}},
    "three families": {"ensemble": FAMILIES},
}
TOGETHER, WEIGHTED = "three families", "three families, weighted"
SINGLE = ("TabM alone", "RealMLP alone")
ONE = "one network"
Json = dict[str, Any]


def main() -> None:
    """Measure all tasks, and write the table."""
    about = " ".join((__doc__ or "").split("\n\n")[2].split(". ", 1)[1].split())
    rows = {
        f"{name}: {variant}": (lambda name=name, variant=variant: _row(name, variant))
        for name in TASKS
        for variant in (ONE, *SINGLE, *PARTS, WEIGHTED)
    }
    drafted.write_table("ENSEMBLES", "Ensembles by seed, rows and family", about, HEAD, rows)


def _row(name: str, variant: str) -> str:
    part = variant if variant in PARTS else TOGETHER
    runs = [_measured(name, seed, part)[variant] for seed in range(SEEDS)]
    ones = [_measured(name, seed, TOGETHER)[ONE] for seed in range(SEEDS)]
    gains = [run["gain"](one["value"]) for run, one in zip(runs, ones, strict=True)]
    bounds, value = interval(gains, 0.95), statistics.fmean(run["value"] for run in runs)
    gain = f"{statistics.fmean(gains):+.3g} ({bounds[0]:+.3g} to {bounds[1]:+.3g})" if bounds else "-"
    shared = f"{statistics.fmean(run['correlation'] for run in runs):.2f}" if variant in (*PARTS, WEIGHTED) else "-"
    seconds = statistics.fmean(run["seconds"] for run in runs)
    return f"| `{name}` | {variant} | {runs[0]['metric']} | {value:.4g} | {gain} | {shared} | {seconds:.0f} |"


@cache
def _measured(name: str, seed: int, part: str) -> Json:
    """Return the results of a variant on one split; of the families together, also those of each alone."""
    with tempfile.TemporaryDirectory() as folder:
        space, task = _task(Path(folder), name, seed, PARTS[part])
        started = time.monotonic()
        parts = opened(space, task)
        members = fit_members(task, parts, RunPaths(Path(folder) / "s", Path(folder) / "l", part))
        seconds = time.monotonic() - started
        found = {part: _scored(space, task, members, seconds)}
        if part == TOGETHER:
            weighted = task.model_copy(update={"train": task.train.model_copy(update={"blend": "weighted"})})
            found[WEIGHTED] = _scored(space, weighted, dataclasses.replace(members, task=weighted), seconds)
            for place, single in enumerate((ONE, *SINGLE)):
                found[single] = _scored(space, task, members, seconds / 3, members.fitted[place].body)
    print(name, seed, part, {key: run["value"] for key, run in found.items()}, flush=True)
    return found


def _task(folder: Path, name: str, seed: int, changes: Json) -> tuple[Workspace, Task]:
    """Write the task with another split and seed, and prepare its rows."""
    space = drafted.project(folder)
    content = yaml.safe_load((page.ROOT / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))
    content["split"]["seed"] = seed
    content["train"] |= {**changes.get("train", {}), "seed": 100 * seed, "watch": False}
    content |= {"ensemble": changes["ensemble"]} if "ensemble" in changes else {}
    files.write_text(space.task_file(name), yaml.safe_dump(content, sort_keys=False))
    task = loader.load(space, name)
    raw_data.fetch(space, task)
    prepare.prepare(space, task)
    return space, task


def _scored(space: Workspace, task: Task, members: Members, seconds: float, body: Any = None) -> Json:
    """Return the metric on the sealed rows."""
    from tiltyard.training import network

    parts, test = members.parts, read_test(space, task.name, task.columns)
    model = network.build_inference(task.model, body or members.body, parts.encoder)
    outputs = network.outputs(model, parts.encoder.encode(test.rows))
    context = task.evaluator.context(TrainingRows.load(space.out(task.name, "prepare")).train[1])
    predictions = task.problem_type.condense(parts.encoder, test.truth, outputs)
    record = members.record()
    return {
        "value": (value := task.metric.score(test.truth, predictions, context)),
        "gain": lambda one: task.metric.gain(value, one),
        "metric": task.gate.metric,
        "correlation": record["correlation"]["mean"],
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
