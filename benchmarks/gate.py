"""Benchmark of the gate: error rate and power of its decisions, on pairs of models with a known true difference.

python benchmarks/gate.py [--pairs N] [--rows N] [--seed N] [--only PART]

Writes benchmarks/GATE.md, and what it is made of to benchmarks/gate.json; `--only` measures one part of it again.
Outputs of models are simulated: each is the best prediction plus errors, part of which both models share, as models of
the same data do. The gate's own code judges them, bootstrap included.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import gate_page
import numpy as np
import page
from dependent_rows import DESIGNS

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.gate.checks.champion import Champion
from tiltyard.gate.checks.mcnemar import Mcnemar
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics.dependence import Dependence
from tiltyard.workspace import Workspace

TARGET, SOURCE = (page.ROOT / "benchmarks" / name for name in ("GATE.md", "gate.json"))
SHARED_VARIANCE = 0.7  # share of the variance of errors that two models have in common
CHALLENGERS = 10  # challengers that are judged on the same rows, one after another
KINDS = {
    "diabetes": ("rmse", "mae", "r2"),
    "iris": ("accuracy", "log_loss", "roc_auc"),
}
ALL_METRICS = {name: tuple(loader.load(Workspace(page.ROOT), name).evaluator.metrics) for name in KINDS}
FIRST = ("rmse", "accuracy")  # measured on all kinds of dependent rows
EVERY_METRIC = ("series .8", "groups", "panel")
SLOW = ("calibration_error", "roc_auc", "average_precision", "recall_at_1pct_fpr")  # measured on a third of the pairs
BETTER = 0.25  # share of the champion's errors that a better challenger does not make, on dependent rows
CHECKS = (Champion, Mcnemar)


@dataclass(frozen=True)
class Setting:
    """The simulation: metric of the task, number of rows, and size of the errors of both models."""

    task: str
    metric: str
    rows: int
    errors: float = 1.0  # of the champion
    better: float = 0.0  # share of its errors that the challenger does not make
    least: float = 0.0  # the task's minimum gain
    corrected: bool = True  # for earlier challengers on the same rows
    design: str = ""  # how rows depend on one another; independent if empty
    by_rows: bool = False  # draw rows one by one all the same
    refresh: bool = False  # the challenger is newer, and may be worse by a margin

    @property
    def dependence(self) -> Dependence | None:
        """The dependence that the gate knows of."""
        return DESIGNS[self.design].dependence if self.design and not self.by_rows else None

    def judged_by(self, seed: int) -> Task:
        """Return the task with this gate and a seed, which determines the bootstrap resamples."""
        task = _task(self.task)
        changes = {"metric": self.metric, "minimum_gain": self.least, "refresh": self.refresh}
        gate = task.gate.model_copy(update=changes)
        return task.model_copy(update={"gate": gate, "split": task.split.model_copy(update={"seed": seed})})


@cache
def _task(name: str) -> Task:
    return loader.load(Workspace(page.ROOT), name)


def simulate(setting: Setting, seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield the truth of sealed rows with the champion's outputs, then with those of new challengers."""
    generator, classes = np.random.default_rng(seed), 3

    def draw() -> Array:
        if setting.design:
            return DESIGNS[setting.design].draw(generator, classes)
        return generator.standard_normal((setting.rows, classes))

    shared = math.sqrt(SHARED_VARIANCE) * draw()
    truth = _truth(setting, draw, generator)
    for index in range(CHALLENGERS + 1):
        own = math.sqrt(1 - SHARED_VARIANCE) * draw()
        errors = setting.errors * (1 - setting.better * (index > 0)) * (shared + own)
        if setting.task == "diabetes":
            yield truth, (truth + errors[:, 0])[:, None]
        else:
            scores = np.exp(2 * (np.eye(classes)[truth] + errors))
            yield truth, scores / scores.sum(axis=1, keepdims=True)


def _truth(setting: Setting, draw: Callable[[], Array], generator: np.random.Generator) -> Array:
    """Return labels or numbers; where rows depend on one another, so do these."""
    if setting.design:
        values = draw()
        return values.argmax(axis=1) if setting.task == "iris" else values[:, 0]
    return generator.integers(0, 3, setting.rows) if setting.task == "iris" else generator.standard_normal(setting.rows)


def duels(setting: Setting, seed: int) -> Iterator[Duel]:
    """Yield duels of one challenger after another with the same champion on the same rows."""
    task, models = setting.judged_by(seed), simulate(setting, seed)
    truth, champion = next(models)
    for number, (_, outputs) in enumerate(models):
        uses = number if setting.corrected else 0
        baseline = _baseline(task, truth) if setting.refresh else outputs
        more: dict[str, Any] = {"dependence": setting.dependence, "uses": uses, "newer": setting.refresh}
        yield Duel(task, truth, outputs, baseline, champion, {}, 0.0, 0.0, **more)


def _baseline(task: Task, truth: Array) -> Array:
    return task.evaluator.baseline(truth, {"row": truth}, task.gate.metric)


def wins(duel: Duel) -> bool:
    """Return whether the challenger passes the checks that compare it with the champion."""
    return all(check().outcome(duel).state != "failed" for check in CHECKS)


def wins_once(setting: Setting, seed: int) -> bool:
    """Judge one challenger."""
    return wins(next(duels(setting, seed)))


def first_winner(setting: Setting, seed: int) -> int:
    """Judge one challenger after another; return the number of the first to win, 0 if none does."""
    return next((number for number, duel in enumerate(duels(setting, seed), 1) if wins(duel)), 0)


def detectable_gain(setting: Setting, seed: int) -> float:
    """Return the gain that so many rows detect with a power of 80 %."""
    gain = next(duels(setting, seed)).over_champion
    assert gain is not None  # noqa: S101 - there is a champion
    return gain.detectable_gain(0.95)


def true_gain(setting: Setting, better: float, seed: int) -> float:
    """Return the true gain, measured on very many rows."""
    task, models = setting.judged_by(seed), simulate(replace(setting, rows=400_000, better=better), seed)
    (truth, old), (_, new) = next(models), next(models)
    return task.metric.gain(*(task.metric.score(truth, outputs, {}) for outputs in (new, old)))


def improvement_for(setting: Setting, gain: float, seed: int) -> float:
    """Return the share by which errors must be smaller, or larger for a negative gain, for a true gain."""
    sign, low, high = math.copysign(1, gain), 0.0, 0.9
    for _ in range(12):
        center = (low + high) / 2
        far = sign * true_gain(setting, sign * center, seed) < abs(gain)
        low, high = (center, high) if far else (low, center)
    return (low + high) / 2


def measure(setting: Setting, pool: ProcessPoolExecutor, pairs: int, seed: int) -> dict[str, Any]:
    """Return the shares of challengers that win: equal ones, equal ones repeatedly, better ones."""
    all_seeds, fewer_seeds = range(seed, seed + pairs), range(seed, seed + max(pairs // 4, 1))

    def run_all(judge: Callable[[Setting, int], Any], what: Setting, of: range = all_seeds) -> Array:
        return np.array([*pool.map(partial(judge, what), of, chunksize=8)])

    least = float(np.median(run_all(detectable_gain, setting, fewer_seeds)))
    better = replace(setting, better=improvement_for(setting, least, seed), least=least)
    equal, uncorrected = (
        run_all(first_winner, setting),
        run_all(first_winner, replace(setting, corrected=False), fewer_seeds),
    )
    return {
        "equal": np.mean(equal == 1),
        "peeking": np.mean(equal > 0),
        "uncorrected": np.mean(uncorrected > 0),
        "least": least,
        "power": np.mean(run_all(wins_once, better)),
        "last": np.mean(run_all(wins_after_nine, better, fewer_seeds)),
    }


def wins_after_nine(setting: Setting, seed: int) -> bool:
    """Judge a better challenger after nine others."""
    duel = next(duels(setting, seed))
    return wins(replace(duel, uses=9))


def measure_dependent(setting: Setting, pool: ProcessPoolExecutor, pairs: int, seed: int) -> dict[str, Any]:
    """Return how often equal and better challengers win, where rows depend on one another."""

    def share(what: Setting, of: int) -> float:
        return float(np.mean([*pool.map(partial(wins_once, what), range(seed, seed + of), chunksize=2)]))

    return {
        "design": DESIGNS[setting.design].name,
        "metric": setting.metric,
        "pairs": pairs,
        "equal": share(setting, pairs),
        "by_rows": share(replace(setting, by_rows=True), pairs // 4) if setting.metric in FIRST else None,
        "power": share(replace(setting, better=BETTER), max(pairs // 4, 1)),
    }


def independent_part(pool: ProcessPoolExecutor, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure each metric on independent rows."""
    settings = [Setting(task, metric, options.rows) for task, metrics in KINDS.items() for metric in metrics]
    for each in settings:
        yield measure(each, pool, options.pairs, options.seed) | {"metric": each.metric}


def dependent_part(pool: ProcessPoolExecutor, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure all metrics on three kinds of dependent rows, and the first ones on all."""
    settings = [
        Setting(task, metric, 0, design=design)
        for task, metrics in ALL_METRICS.items()
        for metric in metrics
        for design in (DESIGNS if metric in FIRST else EVERY_METRIC)
    ]
    settings.sort(key=lambda each: (each.metric in SLOW, each.metric not in FIRST))  # the most important first
    for each in settings:
        share = 1 if each.metric in FIRST else 5 if each.metric in SLOW else 2
        yield measure_dependent(each, pool, options.pairs // share, options.seed)


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    print(found, flush=True)
    return {name: value if value is None or isinstance(value, str) else float(value) for name, value in found.items()}


def refresh_part(pool: ProcessPoolExecutor, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Return how often newer challengers are promoted that are equal, or worse by exactly the margin."""
    for task, metrics in KINDS.items():
        for metric in metrics:
            setting = Setting(task, metric, options.rows, errors=0.5, refresh=True)
            truth, champion = next(simulate(replace(setting, rows=400_000), options.seed))
            loaded = setting.judged_by(0)
            outputs = (champion, _baseline(loaded, truth))
            gain = loaded.metric.gain(*(loaded.metric.score(truth, each, {}) for each in outputs))
            margin = loaded.gate.refresh_margin * gain
            worse = replace(setting, better=-improvement_for(setting, -margin, options.seed))

            def share(what: Setting) -> float:
                seeds = range(options.seed, options.seed + options.pairs)
                return float(np.mean([*pool.map(partial(wins_once, what), seeds, chunksize=4)]))

            yield {"metric": metric, "margin": margin, "worse": share(worse), "equal": share(setting)}


PARTS = {"independent": independent_part, "dependent": dependent_part, "refresh": refresh_part}


def main() -> None:
    """Measure the parts, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=480)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=[*PARTS])
    options = parser.parse_args()
    known = files.read_json(SOURCE) if SOURCE.is_file() else {}
    with ProcessPoolExecutor(options.processes) as pool:
        for part in [options.only] if options.only else PARTS:
            run = {name: getattr(options, name) for name in ("pairs", "rows", "seed")}
            known[part] = {**run, "date": f"{datetime.now(UTC):%Y-%m-%d}", "rows_of_table": []}
            for row in PARTS[part](pool, options):
                known[part]["rows_of_table"].append(_shown(row))
                files.write_json(SOURCE, known)
                files.write_text(TARGET, gate_page.page(known, CHALLENGERS, BETTER))


if __name__ == "__main__":
    main()
