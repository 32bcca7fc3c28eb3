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
SHARED = 0.7  # of the variance of two models' errors
LOOKS = 10  # challengers that are judged on the same rows, one after another
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
    corrected: bool = True  # for having looked before

    def judged_by(self, seed: int) -> Task:
        """Return the task with this gate and a seed, which determines the bootstrap resamples."""
        task = loader.load(Workspace(page.ROOT), self.task)
        gate = task.gate.model_copy(update={"metric": self.metric, "minimum_gain": self.least})
        return task.model_copy(update={"gate": gate, "split": task.split.model_copy(update={"seed": seed})})


def drawn(setting: Setting, seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield the truth of sealed rows with the champion's outputs, then with those of new challengers."""
    generator = np.random.default_rng(seed)
    rows, classes = setting.rows, 3
    shared = math.sqrt(SHARED) * generator.standard_normal((rows, classes))
    truth = generator.integers(0, classes, rows) if setting.task == "iris" else generator.standard_normal(rows)
    for place in range(LOOKS + 1):
        own = math.sqrt(1 - SHARED) * generator.standard_normal((rows, classes))
        errors = setting.errors * (1 - setting.better * (place > 0)) * (shared + own)
        if setting.task == "diabetes":
            yield truth, (truth + errors[:, 0])[:, None]
        else:
            scores = np.exp(2 * (np.eye(classes)[truth] + errors))
            yield truth, scores / scores.sum(axis=1, keepdims=True)


def duels(setting: Setting, seed: int) -> Iterator[Duel]:
    """Yield duels of one challenger after another with the same champion on the same rows."""
    task, models = setting.judged_by(seed), drawn(setting, seed)
    truth, champion = next(models)
    for look, (_, outputs) in enumerate(models):
        yield Duel(task, truth, outputs, outputs, champion, {}, 0.0, 0.0, uses=look if setting.corrected else 0)


def wins(duel: Duel) -> bool:
    """Return whether the challenger passes the checks that compare it with the champion."""
    return all(check().outcome(duel).state != "failed" for check in CHECKS)


def once(setting: Setting, seed: int) -> bool:
    """Judge one challenger."""
    return wins(next(duels(setting, seed)))


def first(setting: Setting, seed: int) -> int:
    """Judge one challenger after another; return the number of the first to win, 0 if none does."""
    return next((look for look, duel in enumerate(duels(setting, seed), 1) if wins(duel)), 0)


def spread(setting: Setting, seed: int) -> float:
    """Return the gain that so many rows detect with a power of 80 %."""
    gain = next(duels(setting, seed)).over_champion
    assert gain is not None  # noqa: S101 - there is a champion
    return gain.detectable_gain(0.95)


def gained(setting: Setting, better: float, seed: int) -> float:
    """Return the true gain, measured on very many rows."""
    task, models = setting.judged_by(seed), drawn(replace(setting, rows=400_000, better=better), seed)
    (truth, old), (_, new) = next(models), next(models)
    return task.metric.gain(*(task.metric.score(truth, outputs, {}) for outputs in (new, old)))


def reaching(setting: Setting, gain: float, seed: int) -> float:
    """Return the reduction of errors that leads to a gain."""
    low, high = 0.0, 0.9
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if gained(setting, middle, seed) < gain else (low, middle)
    return (low + high) / 2


def measured(setting: Setting, pool: ProcessPoolExecutor, pairs: int, seed: int) -> dict[str, Any]:
    """Return the shares of challengers that win: equal ones, equal ones repeatedly, better ones."""
    all_seeds, few = range(seed, seed + pairs), range(seed, seed + max(pairs // 4, 1))

    def told(ask: Callable[[Setting, int], Any], what: Setting, of: range = all_seeds) -> Array:
        return np.array([*pool.map(partial(ask, what), of, chunksize=8)])

    least = float(np.median(told(spread, setting, few)))
    better = replace(setting, better=reaching(setting, least, seed), least=least)
    equal, uncounted = told(first, setting), told(first, replace(setting, corrected=False), few)
    return {
        "equal": np.mean(equal == 1),
        "peeking": np.mean(equal > 0),
        "uncorrected": np.mean(uncounted > 0),
        "least": least,
        "power": np.mean(told(once, better)),
        "last": np.mean(told(late, better, few)),
    }


def late(setting: Setting, seed: int) -> bool:
    """Judge a better challenger after nine others."""
    duel = next(duels(setting, seed))
    return wins(replace(duel, uses=9))


def main() -> None:
    """Measure each metric, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=480)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    lines = []
    with ProcessPoolExecutor(2) as pool:
        for task, metrics in KINDS.items():
            for metric in metrics:
                found = measured(Setting(task, metric, asked.rows), pool, asked.pairs, asked.seed)
                lines.append(_line(metric, found))
                print(lines[-1], flush=True)
    files.write_text(TARGET, _page(lines, asked))


def _line(metric: str, found: dict[str, Any]) -> str:
    shares = " | ".join(f"{found[name]:.1%}" for name in ("equal", "peeking", "uncorrected", "power", "last"))
    return f"| {metric} | {found['least']:.3g} | {shares} |"


def _page(lines: list[str], asked: argparse.Namespace) -> str:
    far = NormalDist().inv_cdf(0.975) * math.sqrt(0.05 * 0.95 / asked.pairs)
    return f"""# The gate, judged

Measured by `benchmarks/gate.py --pairs {asked.pairs} --rows {asked.rows} --seed {asked.seed}` on
{datetime.now(UTC):%Y-%m-%d}. Pairs of models of known difference are judged by the gate's own checks against the
champion, at a confidence of 95 %, on {asked.rows:,} sealed rows. Shares are of {asked.pairs} pairs or sequences, so
that 5 % are known to ± {far:.1%} and 80 % to ± {1.84 * far:.1%}; uncorrected and the 10th of {asked.pairs // 4}.

- **equal**: how often one challenger wins that is as good as the champion (goal: at most 5 %).
- **peeking**: how often any of {LOOKS} such challengers wins that are judged on the same rows (goal: at most 5 %).
- **uncorrected**: the same if the gate did not count how often it looked.
- **least**: the minimum gain that is set: what so many rows can show four times in five.
- **power**: how often a challenger wins that is truly better by just that (goal: 80 %).
- **power, 10th**: how often it does when nine others were judged on these rows before.

| metric | least | equal | peeking | uncorrected | power | power, 10th |
|---|--:|--:|--:|--:|--:|--:|
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
