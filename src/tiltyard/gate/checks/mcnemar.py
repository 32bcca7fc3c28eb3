"""McNemar's exact test on the labels that only one of the two models predicts correctly."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel
from tiltyard.modeling.metrics.dependence import Dependence
from tiltyard.modeling.problems.base import Threshold
from tiltyard.modeling.problems.classification import labels
from tiltyard.modeling.problems.multilabel import predicted


class Mcnemar(Check):
    """Rows that both models get right, or both wrong, do not show which is better; the test counts the others."""

    code: ClassVar = "mcnemar"
    title: ClassVar = "gets more labels right than the champion"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require significantly more correct labels where accuracy decides; elsewhere, not significantly fewer."""
        if not duel.task.labels or duel.task.problem_type.targets in ("objects", "mask"):
            raise NotApplicableError(f"{duel.task.problem} has no labels of whole rows")
        if duel.champion is None:
            raise NotApplicableError("there is no champion yet")
        if duel.task.split.complete:
            raise NotApplicableError("the rows are all combinations of the columns' values, not a sample of them")
        rows = slice(None) if duel.shared is None else duel.shared
        models = (duel.challenger, duel.threshold), (duel.champion, duel.champion_threshold)
        new, old = (_is_right(duel.truth[rows], outputs[rows], threshold) for outputs, threshold in models)
        won, lost = int((new & ~old).sum()), int((old & ~new).sum())
        chance, max_p = _chance(won, lost), 1 - duel.confidence
        if duel.dependence:
            places = np.arange(len(duel.truth))[rows]
            chance = max(chance, _chance_between_units(duel.dependence.take(places), new.astype(np.float64) - old))
        decides = duel.task.gate.metric == "accuracy" and not (duel.is_variant or duel.is_refresh)
        good = (won > lost and chance <= max_p) if decides else (won >= lost or chance > max_p)
        expected = f"a gain with p at most {max_p:.3g}" if decides else f"no loss, or p above {max_p:.3g}"
        counts = f"only the challenger is right on {won} rows, only the champion on {lost}"
        text = f"{counts} (p-value {chance:.3g}); expected {expected}"
        return Observation(good, text, chance, max_p)


def _is_right(truth: Array, outputs: Array, threshold: Threshold | None) -> Array:
    """Return for each row whether its label is predicted; of several labels, whether all are, and no others."""
    if truth.dtype.kind == "b":
        return np.asarray((predicted(outputs, threshold) == truth).all(axis=1))
    return np.asarray(labels(outputs, threshold) == truth)


def _chance_between_units(dependence: Dependence, gained: Array) -> float:
    """Return the p-value of a t-test between groups or blocks; labels of one of them are often right together."""
    blocks = dependence.blocks(lambda places: gained[places].mean(keepdims=True))
    return blocks.p_value(gained)


def _chance(won: int, lost: int) -> float:
    """Return the p-value of the exact test."""
    from scipy.stats import binomtest

    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
