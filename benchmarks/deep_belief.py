"""Benchmark of pre-training by restricted Boltzmann machines: `dbn_1000`, and the same network from scratch.

TILTYARD_MIRROR=... python benchmarks/deep_belief.py [--seeds N] [--only-seed S] [--validation] [--page]

Writes benchmarks/DEEP_BELIEF.md. Both networks learn from the same 1,000 labels and are measured on the same test
rows, sealed; the machines also see the other training pictures, without labels. Results are kept in
benchmarks/deep_belief.json after each run, so that an interrupted script resumes. With --validation, settings are
compared on validation rows, and test rows are not read.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import page
import raw_data

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.experiments.seed_comparison import SeedComparison
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.runtime import environment
from tiltyard.training import train
from tiltyard.workspace import Workspace

RESULTS_FILE, PAGE = page.ROOT / "benchmarks" / "deep_belief.json", page.ROOT / "benchmarks" / "DEEP_BELIEF.md"
PROJECT = page.ROOT / ".tiltyard" / "deep_belief"
PRETRAINED, SCRATCH = "dbn_1000", "dbn_1000_scratch"
Json = dict[str, Any]
# Settings that were compared on validation rows: pre-trained and from scratch alike, so that both have their best.
SETTINGS: list[Json] = [
    {"dropout": dropout, "learning_rate": rate} for dropout in (0.0, 0.3, 0.5) for rate in (0.0002, 0.001)
]


def main() -> None:
    """Train both networks with each seed; write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only-seed", type=int, help="one seed, for short runs")
    parser.add_argument("--validation", action="store_true", help="compare settings on validation rows with one seed")
    parser.add_argument("--page", action="store_true", help="only write the page again")
    options = parser.parse_args()
    results: Json = files.read_json(RESULTS_FILE) if RESULTS_FILE.is_file() else {}
    if not options.page:
        space = _project()
        seeds = range(options.seeds) if options.only_seed is None else [options.only_seed]
        for name in (PRETRAINED, SCRATCH):
            for key, task in _wanted(space, name, seeds, options.validation):
                if key not in (runs := results.setdefault(name, {})):
                    runs[key] = _run(space, task, tested=not options.validation)
                    files.write_json(RESULTS_FILE, results)
                    print(name, key, runs[key], flush=True)
    files.write_text(PAGE, _page(results))


def _project() -> Workspace:
    """Create a project with these tasks only."""
    space = Workspace(PROJECT)
    environment.configure_tools(space)
    for name in (PRETRAINED, SCRATCH):
        files.write_text(space.task_file(name), (page.ROOT / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))
    return space


def _wanted(space: Workspace, name: str, seeds: Any, validation: bool) -> list[tuple[str, Task]]:
    """Return the trainings that are asked for, with the keys of their results."""
    task = loader.load(space, name)
    if not validation:
        return [(str(seed), _with(task, {}, seed)) for seed in seeds]
    return [(f"validation {_said(change)}", _with(task, change, 0)) for change in SETTINGS]


def _with(task: Task, change: Json, seed: int) -> Task:
    model = task.model.model_copy(update={"dropout": change["dropout"]} if change else {})
    rate = {"learning_rate": change["learning_rate"]} if change else {}
    return task.model_copy(update={"model": model, "train": task.train.model_copy(update={"seed": seed, **rate})})


def _said(change: Json) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in change.items())


def _run(space: Workspace, task: Task, *, tested: bool) -> Json:
    """Train a network, after preparing the rows if that is not done; measure its exported file."""
    if not (space.out(task.name, "prepare") / "split.json").is_file():
        raw_data.fetch(space, task)
        prepare.prepare(space, task, reseal=True)
    started = time.perf_counter()
    record = train.train(space, task)
    history, best = record["history"], record["best_epoch"] - 1
    split = files.read_json(space.out(task.name, "prepare") / "split.json")
    found = {
        "validation_accuracy": history["val_accuracy"][best],
        "validation_loss": history["val_loss"][best],
        "seconds": round(time.perf_counter() - started, 1),
        "epochs": record["epochs"],
        "parameters": record["parameters"],
        "rows": split["rows"],
        "unlabelled": split.get("unlabelled", 0),
        "test": split["test"],
        "machine": page.machine(),
    }
    if tested:
        test = read_test(space, task.name, task.columns)
        outputs = Predictor.load(space.out(task.name, "train")).condensed(test.rows, test.truth)
        found["accuracy"] = task.metric.score(test.truth, outputs, {})
    return found


def _page(results: Json) -> str:
    """Return the page: the comparison over seeds, then the settings by validation rows."""
    parts = ["# Deep belief networks", "Written by `benchmarks/deep_belief.py`."]
    tested = {name: {key: run for key, run in runs.items() if "accuracy" in run} for name, runs in results.items()}
    seeds = sorted(set(tested.get(PRETRAINED, ())) & set(tested.get(SCRATCH, ())), key=int)
    if seeds:
        parts += _comparison(tested, seeds)
    compared = {
        name: {key: run for key, run in runs.items() if "accuracy" not in run} for name, runs in results.items()
    }
    if any(compared.values()):
        lines = [
            f"| `{name}` | {key.removeprefix('validation ')} | {run['validation_accuracy']:.4f} "
            f"| {run['validation_loss']:.4f} |"
            for name, runs in compared.items()
            for key, run in runs.items()
        ]
        head = "| task | settings | accuracy | loss |\n|---|---|--:|--:|"
        parts += ["## Settings by validation rows, seed 0", "\n".join([head, *lines])]
    return "\n\n".join(parts) + "\n"


def _comparison(tested: Json, seeds: list[str]) -> list[str]:
    ours, theirs = ([tested[name][seed] for seed in seeds] for name in (PRETRAINED, SCRATCH))
    if {run["test"] for run in ours} != {run["test"] for run in theirs}:
        raise SystemExit("expected the same test rows for both networks")
    rows, head = ours[0]["rows"], "| network | test accuracy | by seed | seeds | seconds |\n|---|---|---|--:|--:|"
    lines = [_line(name, runs) for name, runs in ((PRETRAINED, ours), (SCRATCH, theirs))]
    text = (
        f"{rows['train']} training and {rows['validation']} validation labels of MNIST, {rows['test']:,} sealed test "
        f"rows; the machines also see {ours[0]['unlabelled'] - rows['train']:,} training pictures without labels "
        f"({ours[0]['machine']}). Mean ± standard deviation over seeds of the training; the interval is that of the "
        "mean of the paired differences."
    )
    if len(seeds) < 2:
        return [text, "\n".join([head, *lines])]
    gains = [mine["accuracy"] - other["accuracy"] for mine, other in zip(ours, theirs, strict=True)]
    sentence = SeedComparison("pre-training", "training from scratch", gains, 0.95, rows["test"]).sentence
    return [text, "\n".join([head, *lines]), f"{sentence[0].upper()}{sentence[1:]}."]


def _line(name: str, runs: list[Json]) -> str:
    values = [run["accuracy"] for run in runs]
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    listed = ", ".join(f"{value:.4f}" for value in values)
    seconds = statistics.fmean(run["seconds"] for run in runs)
    return f"| `{name}` | **{statistics.fmean(values):.4f}**{deviation} | {listed} | {len(runs)} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
