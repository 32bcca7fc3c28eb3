"""Benchmark of the nets of the course notes beside ours, on the same columns and rows.

TILTYARD_MIRROR=... python benchmarks/notes_nets.py [--all] [TASK]...

Writes a section of docs/RESULTS.md. Without names, it measures the tasks whose training takes seconds; with --all, all.
Trainings are kept in benchmarks/notes_nets.json by a hash of their settings: an interrupted script resumes, and a
changed task file is measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import page
import raw_data
import yaml

from tiltyard import files
from tiltyard.config import loader
from tiltyard.evaluation import evaluate
from tiltyard.experiments.seed_comparison import SeedComparison, interval
from tiltyard.modeling.metrics.base import Metric
from tiltyard.preparation import prepare
from tiltyard.runtime import environment
from tiltyard.training import train
from tiltyard.workspace import Workspace

RESULTS_FILE = page.ROOT / "benchmarks" / "notes_nets.json"
CONFIDENCE = 0.95
HASHED = ("problem", "source", "columns", "target", "split", "model", "train")
Json = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """A net of the notes, the net to compare it with, how often to train both, the metric and the notes' figure."""

    other: str
    runs: int
    metric: str
    published: str = "-"
    quick: bool = False  # whether a training takes seconds
    also: str = ""  # another metric to report


PAIRS = {
    "iris_notes": Pair("iris", 10, "accuracy", ".93", quick=True),
    "wine_quality_notes": Pair("wine_quality", 5, "accuracy", ".74", quick=True),
    "forest_fires_notes": Pair("forest_fires", 5, "roc_auc", quick=True),
    "burned_area_notes": Pair("burned_area", 5, "mae", quick=True),
    "admissions_notes": Pair("admissions", 5, "accuracy", quick=True),
    "california_notes": Pair("california", 5, "rmse", ".567 (mse .3218)", quick=True),
    "sine_rnn": Pair("", 5, "rmse", ".678 (mse .46)", quick=True),
    "sine_lstm": Pair("sine_rnn", 5, "rmse", quick=True),
    "sine_gru": Pair("sine_rnn", 5, "rmse", quick=True),
    "house_sales_notes": Pair("house_sales", 5, "mae", "132,879", quick=True, also="rmse"),
    "churn_notes": Pair("churn", 5, "roc_auc", quick=True, also="accuracy"),
    "sp500_lstm_notes": Pair("", 5, "rmse"),
    "mnist_mlp_notes": Pair("mnist_mlp", 5, "accuracy", ".9777"),
    "mnist_elu_notes": Pair("mnist_mlp", 5, "accuracy"),
    "mnist_batchnorm": Pair("", 5, "accuracy", ".9796"),
    "mnist_cnn_notes": Pair("mnist_cnn", 3, "accuracy", ".1243 (at rate .001)"),
    "mnist_lstm_notes": Pair("mnist_lstm", 3, "accuracy", ".9799 (validation)"),
    "lenet5_notes": Pair("lenet5", 5, "accuracy", ".4258"),
    "lenet5_paper_notes": Pair("lenet5_paper", 3, "accuracy"),
    "cifar10_cnn_notes": Pair("cifar10_cnn", 3, "accuracy", ".7030"),
    "cats_dogs": Pair("", 5, "accuracy", "about .75"),
    "imdb_lstm": Pair("", 3, "accuracy", ".8452 (validation)"),
    "imdb_bilstm": Pair("imdb_lstm", 5, "accuracy"),
    "imdb_stacked": Pair("imdb_lstm", 3, "accuracy"),
    "imdb_transformer": Pair("imdb_bilstm", 5, "accuracy"),
}
STUDIES = ("batch_norm_notes", "optimizers_notes")


def main() -> None:
    """Measure what is missing, and write the section after each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--all", action="store_true", help="also the tasks whose training takes minutes or hours")
    options = parser.parse_args()
    results: dict[str, Json] = files.read_json(RESULTS_FILE) if RESULTS_FILE.is_file() else {}
    for name in options.tasks or [name for name in PAIRS if options.all or PAIRS[name].quick]:
        pair = PAIRS[name]
        for seed in range(pair.runs):
            for side in ("", *([pair.other] if pair.other else [])):
                content = _content(name, side, seed)
                if (key := _key(content)) not in results:
                    results[key] = {"net": side or name, "on": name, "seed": seed, **_run(name, content)}
                    files.write_json(RESULTS_FILE, results)
                    value = results[key]["metrics"][pair.metric]
                    print(f"{name}, {side or name}, {seed}: {value:.4f}, {results[key]['seconds']} s", flush=True)
    _write(results)


def _content(name: str, other: str, seed: int) -> Json:
    """Return a task with another split, training seed and series; with the net and training of another task, if any."""
    content = _read(name)
    if other:
        ours = _read(other)
        content |= {"model": ours["model"], "train": ours["train"]}
        if "log" in ours["target"]:
            content["target"]["log"] = ours["target"]["log"]
    content["train"]["seed"] = content["split"]["seed"] = seed
    if content["source"]["kind"] == "sine":
        content["source"]["seed"] = seed
    return content


def _read(name: str) -> Json:
    content: Json = yaml.safe_load((page.ROOT / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def _key(content: Json) -> str:
    text = yaml.safe_dump({name: content[name] for name in HASHED}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _run(name: str, content: Json) -> Json:
    """Run a task from source to evaluation in a temporary project."""
    with tempfile.TemporaryDirectory() as folder:
        space = Workspace(Path(folder))
        environment.configure_tools(space)
        files.write_text(space.task_file(name), yaml.safe_dump(content, sort_keys=False))
        task = loader.load(space, name)
        raw_data.fetch(space, task)
        prepare.prepare(space, task)
        start = time.perf_counter()
        record = train.train(space, task)
        seconds = time.perf_counter() - start
        report = evaluate.evaluate(space, task)
    return {
        "metrics": report["metrics"],
        "baseline": report["baseline"],
        "parameters": record["parameters"],
        "epochs": record["epochs"],
        "seconds": round(seconds, 1),
        "machine": page.machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _found(results: dict[str, Json], name: str, other: str) -> dict[int, Json]:
    """Return the results of one net by seed."""
    keys = {seed: _key(_content(name, other, seed)) for seed in range(PAIRS[name].runs)}
    return {seed: results[key] for seed, key in keys.items() if key in results}


def _write(results: dict[str, Json]) -> None:
    """Write the section from the results that belong to today's task files."""
    lines, sentences, missing = [], [], []
    for name, pair in PAIRS.items():
        runs = _found(results, name, "")
        others = _found(results, name, pair.other) if pair.other else {}
        if len(runs) < pair.runs or (pair.other and len(others) < pair.runs):
            missing.append(f"`python benchmarks/notes_nets.py {name}`")
            continue
        lines += [_line(name, one, runs, others) for one in _metrics(pair)]
        if others:
            sentences += [f"- {_sentence(name, one, runs, others)}." for one in _metrics(pair)]
    missing += [
        f"`python benchmarks/studies.py {study}`"
        for study in STUDIES
        if not (page.ROOT / "docs" / "studies" / f"{study}.md").is_file()
    ]
    not_measured = ["Not measured, since they take from minutes to hours:", "", *(f"- {text}" for text in missing)]
    page.write(
        "Nets of the course notes",
        "\n".join([HEAD.strip(), *lines, "", *sentences, "", *(not_measured if missing else [])]),
    )


def _metrics(pair: Pair) -> list[Pair]:
    """Return the pair for each of its metrics; the figure of the notes is of the first one."""
    return [pair, *([replace(pair, metric=pair.also, published="-")] if pair.also else [])]


def _line(name: str, pair: Pair, runs: dict[int, Json], others: dict[int, Json]) -> str:
    first = runs[0]
    baseline = statistics.fmean(run["baseline"][pair.metric] for run in runs.values())
    seconds = statistics.median(run["seconds"] for run in runs.values())
    dates = sorted({run["date"] for run in [*runs.values(), *others.values()]})
    against = f"{_mean(pair, others)} (`{pair.other}`)" if others else "-"
    return (
        f"| `{name}` | {first['parameters']:,} | {pair.metric} | {pair.published} | {_mean(pair, runs)} | {against} "
        f"| {_rounded(baseline)} | {len(runs)} | {seconds:.0f} | {first['machine']}, {' to '.join(dates)} |"
    )


def _mean(pair: Pair, runs: dict[int, Json]) -> str:
    """Return the mean over seeds with its interval."""
    values = [run["metrics"][pair.metric] for run in runs.values()]
    ends = interval(values, CONFIDENCE)
    text = f"{_rounded(ends[0])} to {_rounded(ends[1])}" if ends else "all equal"
    return f"**{_rounded(statistics.fmean(values))}** ({text})"


def _sentence(name: str, pair: Pair, runs: dict[int, Json], others: dict[int, Json]) -> str:
    """Compare both nets, paired by seed."""
    metric = _metric(name, pair.metric)
    gains = [
        metric.gain(runs[seed]["metrics"][pair.metric], others[seed]["metrics"][pair.metric]) for seed in sorted(runs)
    ]
    return f"{pair.metric}: {SeedComparison(f'`{name}`', f'`{pair.other}`', gains, CONFIDENCE).sentence}"


def _metric(name: str, metric: str) -> Metric:
    return loader.load(Workspace(page.ROOT), name).evaluator.metrics[metric]


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}" if abs(value) >= 5 else f"{value:.4f}"


HEAD = """
Written by `benchmarks/notes_nets.py`; `benchmarks/notes_nets.json` has every training. `tasks/NAME_notes.yaml` is the
net that the course notes have for the task NAME, with their training ([why](decisions/notes-nets.md)). It is compared
with the net and training of our task, on the columns, target and rows of the notes' task. The value is that of the
exported file on sealed test rows; the pipeline scales the target and keeps the epoch that is best on validation rows,
for both. Each seed has a split, a training seed and, for `sine`, a series of its own; series are split by time, and
MNIST, CIFAR-10 and IMDB have one test part. The mean and its 95 % interval are over seeds. Differences are paired by
seed: both nets have the same test rows. Splits of one table share rows, so that the intervals are somewhat too narrow.
`published` is the notes' own figure, of one training on another split. Seconds were measured beside other work.

`house_sales` itself also learns from LandVal and ImpsVal, an assessor's values, which nearly are the price: its figure
in the first section cannot be compared with that of the notes. `forest_fires_notes` and `burned_area_notes` have 377
parameters, the notes' net 387: ten weights are those of a column that leaks the target.

| task | parameters | metric | published | the task's net | compared with | baseline | seeds | seconds | measured |
|---|--:|---|--:|--:|--:|--:|--:|--:|---|"""
if __name__ == "__main__":
    main()
