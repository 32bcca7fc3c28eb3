"""Benchmark of the gate: error rate and power of its decisions, on pairs of models with a known true difference.

python benchmarks/gate.py [--pairs N] [--rows N] [--seed N]

Writes benchmarks/GATE.md. Outputs of models are simulated: each is the best prediction plus errors, part of which
both models share, as models of the same data do. The gate's own code judges them, bootstrap included.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
import page

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.gate.checks.champion import Champion
from tiltyard.gate.checks.mcnemar import Mcnemar
from tiltyard.gate.duel import Duel
from tiltyard.workspace import Workspace

TARGET = page.ROOT / "benchmarks" / "GATE.md"
SHARED_VARIANCE = 0.7  # share of the variance of errors that two models have in common
CHALLENGERS = 10  # challengers that are judged on the same rows, one after another
KINDS = {
    "diabetes": ("rmse", "mae", "r2"),
    "iris": ("accuracy", "log_loss", "roc_auc"),
}
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

    def judged_by(self, seed: int) -> Task:
        """Return the task with this gate and a seed, which determines the bootstrap resamples."""
        task = loader.load(Workspace(page.ROOT), self.task)
        gate = task.gate.model_copy(update={"metric": self.metric, "minimum_gain": self.least})
        return task.model_copy(update={"gate": gate, "split": task.split.model_copy(update={"seed": seed})})


def simulate(setting: Setting, seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield the truth of sealed rows with the champion's outputs, then with those of new challengers."""
    generator = np.random.default_rng(seed)
    rows, classes = setting.rows, 3
    shared = math.sqrt(SHARED_VARIANCE) * generator.standard_normal((rows, classes))
    truth = generator.integers(0, classes, rows) if setting.task == "iris" else generator.standard_normal(rows)
    for index in range(CHALLENGERS + 1):
        own = math.sqrt(1 - SHARED_VARIANCE) * generator.standard_normal((rows, classes))
        errors = setting.errors * (1 - setting.better * (index > 0)) * (shared + own)
        if setting.task == "diabetes":
            yield truth, (truth + errors[:, 0])[:, None]
        else:
            scores = np.exp(2 * (np.eye(classes)[truth] + errors))
            yield truth, scores / scores.sum(axis=1, keepdims=True)


def duels(setting: Setting, seed: int) -> Iterator[Duel]:
    """Yield duels of one challenger after another with the same champion on the same rows."""
    task, models = setting.judged_by(seed), simulate(setting, seed)
    truth, champion = next(models)
    for number, (_, outputs) in enumerate(models):
        yield Duel(task, truth, outputs, outputs, champion, {}, 0.0, 0.0, uses=number if setting.corrected else 0)


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
    """Return the reduction of errors that leads to a gain."""
    low, high = 0.0, 0.9
    for _ in range(12):
        center = (low + high) / 2
        low, high = (center, high) if true_gain(setting, center, seed) < gain else (low, center)
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


def main() -> None:
    """Measure each metric, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=480)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lines = []
    with ProcessPoolExecutor(2) as pool:
        for task, metrics in KINDS.items():
            for metric in metrics:
                found = measure(Setting(task, metric, options.rows), pool, options.pairs, options.seed)
                lines.append(_line(metric, found))
                print(lines[-1], flush=True)
    files.write_text(TARGET, _page(lines, options))


def _line(metric: str, found: dict[str, Any]) -> str:
    shares = " | ".join(f"{found[name]:.1%}" for name in ("equal", "peeking", "uncorrected", "power", "last"))
    return f"| {metric} | {found['least']:.3g} | {shares} |"


def _page(lines: list[str], options: argparse.Namespace) -> str:
    half_width = NormalDist().inv_cdf(0.975) * math.sqrt(0.05 * 0.95 / options.pairs)
    return f"""# Error rate and power of the gate

Measured by `benchmarks/gate.py --pairs {options.pairs} --rows {options.rows} --seed {options.seed}` on
{datetime.now(UTC):%Y-%m-%d}. Pairs of models with a known difference are judged by the checks that the gate makes
against the champion, at a confidence of 95 %, on {options.rows:,} sealed rows. Shares are of {options.pairs} pairs or
sequences, so the margin of error is ± {half_width:.1%} at 5 % and ± {1.84 * half_width:.1%} at 80 %; `uncorrected` and
`power, 10th` are shares of {options.pairs // 4}.

- **equal**: how often a challenger that is as good as the champion wins (goal: at most 5 %).
- **peeking**: how often any of {CHALLENGERS} such challengers, judged on the same rows, wins (goal: at most 5 %).
- **uncorrected**: the same without the gate's correction for repeated use of the rows.
- **minimum gain**: `gate.minimum_gain` of this simulation: the gain that so many rows detect in four of five cases.
- **power**: how often a challenger that is better by exactly this gain wins (goal: 80 %).
- **power, 10th**: the same if nine others were judged on these rows before.

| metric | minimum gain | equal | peeking | uncorrected | power | power, 10th |
|---|--:|--:|--:|--:|--:|--:|
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
