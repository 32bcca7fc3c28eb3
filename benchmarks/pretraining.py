"""Benchmark of pre-training on texts: the task `imdb_1000`, and the same network from scratch on the same rows.

TILTYARD_MIRROR=... python benchmarks/pretraining.py [--seeds N] [--page]

Writes a section of docs/RESULTS.md. Both networks have the vocabulary of `imdb_masked`, learn from the same few labels
and are measured on the same sealed test rows, which the base has not seen: training refuses a base that has. Results
are kept in benchmarks/pretraining.json after each run, so that an interrupted script resumes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import judging
import measured
import page
import raw_data

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.evaluation import evaluate
from tiltyard.experiments.seed_comparison import SeedComparison
from tiltyard.gate import promote
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.runtime import environment
from tiltyard.training import train
from tiltyard.workspace import Workspace

RESULTS_FILE = page.ROOT / "benchmarks" / "pretraining.json"
PROJECT = page.ROOT / ".tiltyard" / "results"
BASE, TUNED, SCRATCH = "imdb_masked", "imdb_1000", "imdb_1000_from_scratch"
Json = dict[str, Any]


def main() -> None:
    """Train the base once and both networks with each seed; write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="only write the section again")
    options = parser.parse_args()
    results: Json = files.read_json(RESULTS_FILE) if RESULTS_FILE.is_file() else {}
    if options.page:
        page.write("Pre-training on texts", _section(results))
        return
    space = _project()
    if not (space.out(BASE, "train") / "model.keras").is_file():
        results = {BASE: _run(space, BASE, 0)}
    results.setdefault(BASE, {})
    for seed in range(options.seeds):
        for name in (TUNED, SCRATCH):
            if str(seed) not in (runs := results.setdefault(name, {})):
                runs[str(seed)] = _run(space, name, seed)
                files.write_json(RESULTS_FILE, results)
                print(f"{name}, seed {seed}: {runs[str(seed)]['value']:.4f}", flush=True)
        if seed:
            page.write("Pre-training on texts", _section(results))
    for name, run in ((BASE, results[BASE]), (TUNED, results[TUNED]["0"])):
        _judge(space, name, run)
        files.write_json(RESULTS_FILE, results)
        page.write("Pre-training on texts", _section(results))


def _project() -> Workspace:
    """Create a project with these tasks only."""
    space = Workspace(PROJECT)
    environment.configure_tools(space)
    for path in (page.ROOT / "tasks").glob("*.yaml"):
        files.write_text(space.task_file(path.stem), path.read_text(encoding="utf-8"))
    return space


def _task(space: Workspace, name: str, seed: int) -> Task:
    """Return a task with a seed; from scratch, it is `imdb_1000` with random weights."""
    task = loader.load(space, TUNED if name == SCRATCH else name)
    model = task.model.model_copy(update={"from_scratch": True}) if name == SCRATCH else task.model
    return task.model_copy(update={"model": model, "train": task.train.model_copy(update={"seed": seed})})


def _run(space: Workspace, name: str, seed: int) -> Json:
    """Train a network, after preparing the rows if that is not done; measure its exported file on the test rows."""
    task = _task(space, name, seed)
    if not (space.out(task.name, "prepare") / "split.json").is_file():
        raw_data.fetch(space, task)
        prepare.prepare(space, task, reseal=True)
    started = time.perf_counter()
    record = train.train(space, task)
    seconds = time.perf_counter() - started
    test = read_test(space, task.name, task.columns)
    outputs = Predictor.load(space.out(task.name, "train")).condensed(test.rows, test.truth)
    split = files.read_json(space.out(task.name, "prepare") / "split.json")
    return {
        "value": task.metric.score(test.truth, outputs, {}),
        "seconds": round(seconds, 1),
        "parameters": record["parameters"],
        "epochs": record["epochs"],
        "base": record.get("base"),
        "test": split["test"],
        "rows": split["rows"],
        "data": split["data"],
        "machine": page.machine(),
    }


def _judge(space: Workspace, name: str, run: Json) -> None:
    """Add what the gate says of the first seed, whose network is trained again, since others were trained after it."""
    if "judged" in run:
        return
    task = _task(space, name, 0)
    if name == TUNED:
        train.train(space, task)
    report = evaluate.evaluate(space, task)
    verdict = promote.promote(space, task, dry_run=True, again=True)
    metric = task.gate.metric
    run["judged"] = {
        "metrics": report["metrics"],
        "interval": report["intervals"][metric],
        "baseline": report["baseline"],
        **measured.judged(verdict, measured.task_file(name)),
    }


def _section(results: Json) -> str:
    seeds = [seed for seed in results[TUNED] if seed in results[SCRATCH]]
    tuned, scratch = ([results[name][seed] for seed in seeds] for name in (TUNED, SCRATCH))
    if {run["test"] for run in tuned} != {run["test"] for run in scratch}:
        raise SystemExit("expected the same test rows for both networks")
    gains = [ours["value"] - theirs["value"] for ours, theirs in zip(tuned, scratch, strict=True)]
    sentence = SeedComparison("pre-training", "training from scratch", gains, 0.95, tuned[0]["rows"]["test"]).sentence
    table = [_line(name, runs) for name, runs in (("`imdb_1000`", tuned), ("from scratch", scratch))]
    text = _text(tuned[0], results[BASE].get("judged"))
    return "\n\n".join([text, "\n".join([*HEAD, *table]), f"{sentence[0].upper()}{sentence[1:]}."])


def _text(run: Json, judged: Json | None) -> str:
    """Describe the rows, the base and what it knows."""
    rows, base = run["rows"], run["base"]
    figures = ""
    if judged:
        model, trigrams = judged["metrics"], judged["baseline"]
        figures = (
            f": perplexity {model['perplexity']:.0f} and accuracy {model['accuracy']:.3f} on masked words of the test "
            f"reviews; trigrams {trigrams['perplexity']:.0f} and {trigrams['accuracy']:.3f}; {judged['verdict']}"
        )
    return (
        f"Written by `benchmarks/pretraining.py` ({run['machine']}). {rows['train']:,} training, "
        f"{rows['validation']:,} validation and {rows['test']:,} sealed test reviews of IMDB. The base, "
        f"`{base['task']}` (version {base['version']}, data {base['data'][:12]}), learned to predict masked words of "
        f"{base['rows']['train']:,} training reviews, without labels and without a test review{figures}. From scratch, "
        "the same network learns from the same rows with the same vocabulary. Mean ± standard deviation over seeds of "
        "the training; the interval is that of the mean of the paired differences. The verdict is that of the first "
        "seed."
    )


HEAD = ("| network | accuracy | seeds | parameters | best simple rival | gate |", "|---|---|--:|--:|---|---|")


def _line(name: str, runs: list[Json]) -> str:
    values, judged = [run["value"] for run in runs], [runs[0]["judged"]] if "judged" in runs[0] else []
    verdicts = judging.verdicts(measured.task_file(TUNED), judged) or "-"
    return (
        f"| {name} | **{statistics.fmean(values):.4f}** ± {statistics.stdev(values):.4f} | {len(runs)} "
        f"| {runs[0]['parameters']:,} | {judging.best_rival(judged or [{}])} | {verdicts} |"
    )


if __name__ == "__main__":
    main()
