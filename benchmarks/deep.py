"""Benchmark of the catalogue's images, series and texts on real data, beside published results.

TILTYARD_MIRROR=... python benchmarks/deep.py [--seeds N] [TASK]...

Writes docs/RESULTS.md. Each task runs from its source to the gate's verdict in a temporary project. Results are kept in
benchmarks/deep.json after each run: an interrupted script resumes, and measures again the tasks whose file changed.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import page
import raw_data
import yaml

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import SourceError
from tiltyard.evaluation import evaluate
from tiltyard.gate import promote
from tiltyard.preparation import prepare
from tiltyard.runtime import environment
from tiltyard.training import train
from tiltyard.workspace import Workspace

RESULTS_FILE = page.ROOT / "benchmarks" / "deep.json"
PROJECT = page.ROOT / ".tiltyard" / "results"
Json = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """The published result, the value to reach, and a remark."""

    published: str
    goal: str = "-"
    remark: str = ""


GOALS = {
    "mnist_mlp": Goal(
        ".9777", "≥ .98", "30 epochs, then continued from the best weights until 5 epochs bring no improvement"
    ),
    "mnist_batchnorm": Goal(".9796", "-"),
    "mnist_cnn": Goal(".1243 (cut)", "≥ .993", "with a cosine schedule, chosen after a result of .9923"),
    "mnist_lstm": Goal(".9799 (validation)", "≥ .985"),
    "mnist_two_digits": Goal(
        "-", "≥ .90", "two digits on each canvas, ten sigmoids; test canvases show only digits of MNIST's test part"
    ),
    "fashion_mnist": Goal(".83", "≥ .83", "1 epoch"),
    "lenet5": Goal(".4258", "> .4258", "2 epochs"),
    "lenet5_paper": Goal("-", "≥ .99", "on MNIST"),
    "cifar10_cnn": Goal(".7030", "≥ .7030"),
    "cifar10_augmented": Goal("above .7030", "≥ .82", "at most 122,570 parameters"),
    "cats_dogs": Goal("about .75", "≥ .75", "cats and dogs of CIFAR-10, 1,000 test images; published: of photos"),
    "transfer": Goal(
        "-",
        "above training from scratch on the same rows",
        "the convolutions of cifar10_cnn, which was trained on other pictures, 10,000 cats and dogs among them",
    ),
    "sine_rnn": Goal(".678 (mse .46)", "≤ .678", "the noise alone: .577"),
    "sine_lstm": Goal("-", "sine_rnn"),
    "sine_gru": Goal("-", "sine_rnn"),
    "sp500_lstm": Goal("-", "persistence", "5 days per forecast"),
    "crypto_direction": Goal("-", "> .5"),
    "imdb_lstm": Goal(".8452 (validation)", "≥ .87 by one of the three"),
    "imdb_bilstm": Goal("-", "≥ .87 by one of the three"),
    "imdb_stacked": Goal("-", "≥ .87 by one of the three"),
    "imdb_transformer": Goal("-", "imdb_bilstm"),
    "text_generation": Goal("-", "3-gram"),
    "text_generation_transformer": Goal("-", "3-gram"),
    "translation": Goal("-", "≥ .95"),
    "translation_attention": Goal("-", "≥ .95"),
}


def main() -> None:
    """Measure what is missing, then write the section from all results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="judge the last training of each task again")
    parser.add_argument("--page", action="store_true", help="only write the section again: verdicts may be stale now")
    options = parser.parse_args()
    results: dict[str, list[Json]] = files.read_json(RESULTS_FILE) if RESULTS_FILE.is_file() else {}
    if options.page:
        _write(results)
        return
    space = create_space()
    for name in options.tasks or GOALS:
        settings_hash = _settings_hash(space, name)
        runs = [run for run in results.get(name, []) if run["task"] == settings_hash]
        if options.again and runs:
            runs[-1] |= _evaluate_and_judge(space, loader.load(space, name))
        for seed in sorted({*range(options.seeds)} - {run["seed"] for run in runs}):
            try:
                runs.append({**run(space, name, seed), "task": settings_hash})
            except SourceError as error:
                print(f"{name}: not measured: {error.message}", flush=True)
                break
            _save(results, name, runs)
        if options.again:
            _save(results, name, runs)


def _save(results: dict[str, list[Json]], name: str, runs: list[Json]) -> None:
    results[name] = sorted(runs, key=lambda run: int(run["seed"]))
    files.write_json(RESULTS_FILE, {task_name: results[task_name] for task_name in GOALS if task_name in results})
    _write(results)
    print(_line(name, results[name]), flush=True)


def create_space() -> Workspace:
    """Create a project with these tasks only."""
    space = Workspace(PROJECT)
    environment.configure_tools(space)
    for path in (page.ROOT / "tasks").glob("*.yaml"):
        files.write_text(space.task_file(path.stem), path.read_text(encoding="utf-8"))
    return space


def _settings_hash(space: Workspace, name: str) -> str:
    """Return the hash of a task's settings that affect its training, base task included."""
    content = yaml.safe_load(space.task_file(name).read_text(encoding="utf-8"))
    for unused in ("title", "gate", "serve"):
        content.pop(unused, None)
    if isinstance(base := content["model"].get("base"), str):
        content["model"]["base"] = _settings_hash(space, base)
    return hashlib.sha256(yaml.safe_dump(content, sort_keys=True).encode()).hexdigest()[:12]


def run(space: Workspace, name: str, seed: int) -> Json:
    """Run a task from source to verdict; return the results."""
    task = loader.load(space, name)
    task = task.model_copy(update={"train": task.train.model_copy(update={"seed": seed})})
    raw_data.fetch(space, task)
    facts = prepare.prepare(space, task, reseal=True)
    start = time.perf_counter()
    record = train.train(space, task)
    seconds = time.perf_counter() - start
    device = files.read_json(space.out(name, "train") / "device.json")
    return {
        "seed": seed,
        **_evaluate_and_judge(space, task),
        "parameters": record["parameters"],
        "epochs": record["epochs"],
        "best_epoch": record["best_epoch"],
        "diagnosis": record.get("diagnosis", {}).get("verdict", ""),
        "seconds": round(seconds, 1),
        "notes": facts["notes"],
        **({"stand_in": facts["stand_in"]} if "stand_in" in facts else {}),
        "data": facts["data"],
        "device": f"{device['backend']} {device['device']}",
        "machine": page.machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _evaluate_and_judge(space: Workspace, task: Task) -> Json:
    """Evaluate the trained model and judge it; latency is reliable on an idle machine only."""
    report = evaluate.evaluate(space, task)
    verdict = promote.promote(space, task, dry_run=True, again=True)
    metric = task.gate.metric
    return {
        "metric": metric,
        "value": report["metrics"][metric],
        "interval": report["intervals"][metric],
        "baseline": report["baseline"][metric],
        "metrics": report["metrics"],
        "by_step": report.get("by_step", []),
        **page.judged(verdict),
        "version": report["version"],
    }


def _write(results: dict[str, list[Json]]) -> None:
    """Write the section."""
    shown = {name: runs for name in GOALS if (runs := _without_stand_ins(results.get(name, [])))}
    lines = [_line(name, runs) for name, runs in shown.items()]
    stand_ins = [f"`{name}`" for name in GOALS if results.get(name) and name not in shown]
    missing = [f"`{name}`" for name in GOALS if not results.get(name)]
    notes = [f"No figure for {', '.join(stand_ins)}: there is only a stand-in of the real data."] if stand_ins else []
    notes += [f"Not measured, or not yet on real data: {', '.join(missing)}."] if missing else []
    rejected = [
        f"- `{name}`: {'; '.join(runs[0]['reasons'])}."
        for name, runs in shown.items()
        if runs[0]["verdict"] != "PROMOTE"
    ]
    if rejected:
        notes += ["Not promoted, with the reasons:", "\n".join(rejected)]
    page.write("Images, series and texts", "\n\n".join([HEAD.strip() + "\n" + "\n".join(lines), *notes]))


def _without_stand_ins(runs: list[Json]) -> list[Json]:
    """Return the runs on real data."""
    return [run for run in runs if "stand_in" not in run]


def _line(name: str, runs: list[Json]) -> str:
    goal, one = GOALS[name], runs[0]
    values = [run["value"] for run in runs]
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    low, high = one["interval"]
    notes = "; ".join(filter(None, [goal.remark, *one["notes"], _staleness(name, runs)]))
    seconds = statistics.median(run["seconds"] for run in runs)
    return (
        f"| `{name}` | {one['metric']} | {goal.published} | {goal.goal} | **{statistics.fmean(values):.4f}**{spread} "
        f"| {low:.4f} to {high:.4f} | {one['baseline']:.4f} | {page.best_rival(runs)} | {len(runs)} | {one['epochs']} "
        f"| {seconds:,.0f} | {one['parameters']:,} | {page.verdicts(runs)} | {one['device']} "
        f"| {one['data'][:12]} | {notes} |"
    )


def _staleness(name: str, runs: list[Json]) -> str:
    """Return a remark if the task file has changed since it was measured."""
    today = _settings_hash(Workspace(page.ROOT), name)
    return "" if all(run["task"] == today for run in runs) else "**stale**: measured with other settings"


HEAD = """
Written by `benchmarks/deep.py` (`make results`). `benchmarks/deep.json` has dates, machine and the value of every run.
The value is that of the exported ONNX file on the sealed test rows: the usual 10,000 of MNIST and of CIFAR-10 (here as
JPEG, which lowers it a little), the usual 25,000 reviews of IMDB, the last fifth or tenth of a series or text. The 95 %
interval is that of the first run over test rows; with several seeds, the standard deviation is given. `published` is a
published result on the same data, if there is one; `goal` is what we wanted to reach: a value, or the model to beat.
`best simple rival` is the best of the models that the gate fits to the same rows and features, chosen by validation
rows: linear models, trees, n-grams, histograms; "surely" means that the 95 % interval of the difference excludes zero.
`gate` counts the verdicts on the runs, as if there were no champion yet; those of other code than today's are stale.
Seconds are those of training, mostly with other trainings on the same machine, so they show only the magnitude.

| task | metric | published | goal | ours | interval | baseline | best simple rival | seeds | epochs | seconds |"""
HEAD += " parameters | gate | device | data | |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|---|---|"
if __name__ == "__main__":
    main()
