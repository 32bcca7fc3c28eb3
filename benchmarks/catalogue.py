"""Benchmark of the catalogue's tables on real data: our models, published results, baseline and boosted trees.

TILTYARD_MIRROR=... python benchmarks/catalogue.py [--page] [TASK]...

Writes docs/RESULTS.md. Each task runs through the pipeline several times: with training seeds 0, 1 and 2 on one split
or, if test rows are few, on up to ten splits. All models of a line are trained on the same rows and measured on the
same test rows. Results are kept in benchmarks/catalogue.json, so that single tasks can be measured again;
--page only writes the section.
"""

from __future__ import annotations

import difflib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import page
import raw_data
import yaml

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.draft import draft as init
from tiltyard.config.task import Task
from tiltyard.evaluation import evaluate
from tiltyard.gate import promote
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation import array_file, prepare, sealed_test
from tiltyard.runtime import environment
from tiltyard.training import train
from tiltyard.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
RESULTS_FILE = ROOT / "benchmarks" / "catalogue.json"
LOWER_IS_BETTER = ("mae", "rmse", "scaled_rmse")
FEW = 2000  # with fewer rows, one split is not enough
# words of the rule for spam
SPAM = ("free", "win", "won", "prize", "claim", "urgent", "txt", "call now", "cash", "guaranteed")


@dataclass(frozen=True)
class Goal:
    """The published result, and another model to compare with, if there is one."""

    data: str
    target: str
    metric: str
    published: str = "-"
    rival: str = ""
    drop: tuple[str, ...] = ()
    more_targets: tuple[str, ...] = ()  # further numbers that are predicted at once


GOALS = {
    "house_sales": Goal("house_sales.csv.gz", "SalePrice", "mae", "132,879, from 4 columns"),
    "california": Goal("california_housing.csv.gz", "median_house_value", "rmse", "56,730"),
    "advertising": Goal("advertising.csv", "sales", "r2", ".526, from TV alone"),
    "mpg": Goal("mtcars.csv", "mpg", "rmse", "-", "linear"),
    "burned_area": Goal("forest_fires.csv", "area", "mae", drop=("month", "day")),
    "wine_quality": Goal("wine_quality_red.csv", "quality", "accuracy", ".74"),
    "wine_values": Goal(
        "wine_quality_red.csv", "alcohol", "scaled_rmse", "-", "linear", more_targets=("density", "pH")
    ),
    "churn": Goal("churn.csv", "Exited", "accuracy"),
    "forest_fires": Goal("forest_fires.csv", "size_category", "accuracy", drop=("month", "day")),
    "prosper_loans": Goal("prosper_loans.csv.gz", "LoanStatus", "roc_auc", "-", "logistic"),
    "admissions": Goal("admissions.csv", "admit", "accuracy"),
    "sms_spam": Goal("sms_spam.tsv", "isspam", "macro_f1", "-", "keywords"),
    "airline": Goal("airline-passengers.csv", "Passengers", "rmse", "-", "a year ago"),
}


def main(names: list[str]) -> None:
    """Measure the named tasks, or all; write the page from all results."""
    results: dict[str, Any] = files.read_json(RESULTS_FILE) if RESULTS_FILE.is_file() else {}
    for name in [] if "--page" in names else names or GOALS:
        runs = [_run(name, seed) for seed in range(_run_count(name))]
        results[name] = {
            "runs": runs,
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "edits": _edits(name),
            "machine": page.machine(),
        }
        files.write_json(RESULTS_FILE, {name: results[name] for name in GOALS if name in results})
        print(_line(name, results[name]), flush=True)
    _write(results)


def _write(results: dict[str, Any]) -> None:
    """Write the page from the results."""
    lines = [_line(name, results[name]) for name in GOALS if name in results]
    page.write(
        "Tables, and a short series", "\n".join([HEAD, *lines, "", _trees_win(results), "", *_rejections(results)])
    )


def _trees_win(results: dict[str, Any]) -> str:
    """Return the sentence on the tasks whose trees are better than our network, and in how many runs."""
    wins = {}
    for name, result in results.items():
        sign = -1 if GOALS[name].metric in LOWER_IS_BETTER else 1
        gains = [sign * (run["values"]["trees"] - run["values"]["ours"]) for run in result["runs"]]
        if sum(gains) > 0:
            wins[name] = f"`{name}` (in {sum(gain > 0 for gain in gains)} of {len(gains)} runs)"
    return f"Trees are better on average than our network for {', '.join(wins.values())}." if wins else ""


def _rejections(results: dict[str, Any]) -> list[str]:
    """Return the reasons of rejections: for each task those of its first rejected run."""
    lines = ["Rejected runs and their reasons:", ""]
    for name, result in results.items():
        runs = result["runs"]
        if rejected := [run for run in runs if run["verdict"] != "PROMOTE"]:
            lines.append(
                f"- `{name}`, {len(rejected)} of {len(runs)} runs; the first: {'; '.join(rejected[0]['reasons'])}."
            )
    return lines


def _run_count(name: str) -> int:
    return 3 if _rows(name) >= FEW else 10


def _rows(name: str) -> int:
    content = yaml.safe_load((ROOT / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))
    return int(content["rows"][0]) * 2


def _run(name: str, seed: int) -> dict[str, Any]:
    """Run a task from fetch to verdict in a temporary project; return the value and cost of each model."""
    with tempfile.TemporaryDirectory() as folder:
        space = Workspace(Path(folder))
        environment.configure_tools(space)
        content = yaml.safe_load((ROOT / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))
        content["train"]["seed"] = seed
        if _rows(name) < FEW and content["split"]["kind"] != "chronological":
            content["split"]["seed"] = seed
        files.write_text(space.task_file(name), yaml.safe_dump(content, sort_keys=False))
        task = loader.load(space, name)
        raw_data.fetch(space, task)
        data = prepare.prepare(space, task)["data"]
        start = time.perf_counter()
        record = train.train(space, task)
        seconds = time.perf_counter() - start
        report = evaluate.evaluate(space, task)
        metric = GOALS[name].metric
        values = {"ours": report["metrics"][metric], "baseline": report["baseline"][metric]}
        values |= _reference_scores(space, task, metric)
        verdict = promote.promote(space, task, dry_run=True)
        return {
            "values": values,
            "epochs": record["epochs"],
            "seconds": round(seconds, 1),
            **page.judged(verdict),
            "data": data,
            "version": report["version"],
        }


def _edits(name: str) -> int:
    """Count the lines of the draft that were edited by hand, except title and checksum."""
    goal = GOALS[name]
    with tempfile.TemporaryDirectory() as folder:
        space = Workspace(Path(folder))
        request = init.DraftRequest(goal.data, goal.target, drop=goal.drop, more_targets=goal.more_targets)
        init.draft_task(space, name, request)
        draft, final = (
            [re.sub(r", sha256: \w+", "", line) for line in path.read_text(encoding="utf-8").splitlines()]
            for path in (space.task_file(name), ROOT / "tasks" / f"{name}.yaml")
        )
    changes = [line for line in difflib.ndiff(draft, final) if line.startswith("+ ")]
    return len([line for line in changes if not line.startswith("+ title:")])


def _reference_scores(space: Workspace, task: Task, metric: str) -> dict[str, float]:
    """Fit scikit-learn's boosted trees and the other published model to the training rows."""
    folder = space.out(task.name, "prepare")
    encoder = Encoder.load(folder / "encoder.json")
    features, truth = array_file.read_part(folder / "train.npz")
    test = sealed_test.read_test(space, task.name, task.columns)
    test_features = encoder.encode(test.rows)
    if task.modality == "text":
        features, test_features = _word_counts(features, encoder), _word_counts(test_features, encoder)
    features, test_features = (np.asarray(part).reshape(len(part), -1) for part in (features, test_features))
    truth = np.asarray(truth)
    fits = {"trees": _boosted(task)}
    if GOALS[task.name].rival in ("linear", "logistic"):
        fits["rival"] = _linear(task)
    outputs = {name: fit(features, truth, test_features) for name, fit in fits.items()}
    if GOALS[task.name].rival == "a year ago":
        outputs["rival"] = next(iter(test.rows.values()))[:, -12:-11]
    if GOALS[task.name].rival == "keywords":
        texts = [str(text).lower() for text in next(iter(test.rows.values()))]
        spam = np.array([any(word in text for word in SPAM) for text in texts], dtype=np.float64)
        outputs["rival"] = np.stack([1 - spam, spam], axis=1)
    score, context = task.evaluator.metrics[metric].score, task.evaluator.context(truth)
    return {name: score(test.truth, output, context) for name, output in outputs.items()}


Fit = Callable[[Array, Array, Array], Array]


def _boosted(task: Task) -> Fit:
    """Return boosted trees with default settings, and with the logarithm of the target if the task uses it."""
    from sklearn import ensemble

    def fit(features: Array, truth: Array, test_features: Array) -> Array:
        if task.classes:
            model = ensemble.HistGradientBoostingClassifier(random_state=0).fit(features, truth)
            shares: Array = model.predict_proba(test_features)
            return shares
        transform, inverse = (np.log1p, np.expm1) if task.target.log else (np.asarray, np.asarray)
        columns = [
            ensemble.HistGradientBoostingRegressor(random_state=0).fit(features, column).predict(test_features)
            for column in transform(truth).reshape(len(truth), -1).T
        ]
        return np.asarray(inverse(np.stack(columns, axis=1)))

    return fit


def _linear(task: Task) -> Fit:
    from sklearn import linear_model, pipeline, preprocessing

    def fit(features: Array, truth: Array, test_features: Array) -> Array:
        last = linear_model.LogisticRegression(max_iter=1000) if task.classes else linear_model.LinearRegression()
        model = pipeline.make_pipeline(preprocessing.StandardScaler(), last).fit(features, truth)
        outputs: Array = model.predict_proba(test_features) if task.classes else model.predict(test_features)
        return outputs.reshape(len(outputs), -1)

    return fit


def _word_counts(ids: Array, encoder: Encoder) -> Array:
    """Count words, since trees cannot learn from token ids."""
    counts = np.zeros((len(ids), encoder.vocabulary_size), dtype=np.float32)
    for row, token_ids in enumerate(np.asarray(ids, dtype=np.int64).reshape(len(ids), -1)):
        np.add.at(counts[row], token_ids, 1)
    most_common: Array = counts[:, :1000]
    return most_common


def _line(name: str, result: dict[str, Any]) -> str:
    goal, runs = GOALS[name], result["runs"]
    cells = {key: _cell([run["values"][key] for run in runs]) for key in runs[0]["values"]}
    rival = f"{goal.rival}: {cells['rival']}" if goal.rival else "-"
    epochs, seconds = (statistics.median(float(run[key]) for run in runs) for key in ("epochs", "seconds"))
    splits = _rows(name) < FEW and name != "airline"
    digits = _digits([run["values"]["ours"] for run in runs])
    return (
        f"| `{name}` | {goal.metric} | {goal.published} | **{cells['ours']}** | {cells['baseline']} | {cells['trees']} "
        f"| {rival} | {page.best_rival(runs, digits)} "
        f"| {len(runs)} {'splits' if splits else 'seeds'} | {page.verdicts(runs)} | {epochs:.0f} | {seconds:.0f} "
        f"| {result['edits']} | {runs[0]['data'][:12]} |"
    )


def _cell(values: list[float]) -> str:
    """Return mean and standard deviation over the runs."""
    mean, spread, digits = statistics.fmean(values), statistics.stdev(values), _digits(values)
    return f"{mean:,.{digits}f} ± {spread:,.{digits}f}"


def _digits(values: list[float]) -> int:
    """Return how many decimals to show."""
    mean = statistics.fmean(values)
    return 0 if abs(mean) >= 1000 else 1 if abs(mean) >= 50 else 2 if abs(mean) >= 5 else 3


HEAD = f"""Written by `benchmarks/catalogue.py` ({page.machine()}). `benchmarks/catalogue.json` has dates, the value of
every run and the gate's reasons. Values are mean ± standard deviation over training seeds on one split, or over ten
splits if there are few rows. Baseline, trees (scikit-learn's HistGradientBoosting with default settings) and rival were
trained on the same training rows, and all are measured on the same test rows, which were not used for training, early
stopping or model selection. `published` is a published result on the same data, if there is one. Every task file was
drafted by `tiltyard init`; `edits` counts the lines that were changed by hand, except the title. `gate` counts the
verdicts on the runs, each as if there were no champion yet; those of other code than today's are stale.
`best simple rival` is the best of the models that the gate fits to the same rows and features, chosen by validation
rows.

| task | metric | published | ours | baseline | trees | rival | best simple rival | over | gate | epochs | seconds |"""
HEAD += " edits | data |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"

if __name__ == "__main__":
    main(sys.argv[1:])
