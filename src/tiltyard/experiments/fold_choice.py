"""The choice among variants by mean and spread over folds: of the best, the one that varies least."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tiltyard.modeling.metrics.base import Metric


def choose(variants: Sequence[Mapping[str, Any]], metric: Metric) -> dict[str, Any] | None:
    """Return name and reason of the chosen variant; None if no variant has two folds.

    The best mean is often best by chance. A variant within one standard error of it may as well be the best; of these,
    the one with the smallest standard deviation depends least on which rows it learns.
    """
    measured = [variant for variant in variants if variant["deviation"] is not None]
    if not measured:
        return None
    best = measured[0]
    for variant in measured[1:]:
        best = variant if metric.gain(variant["mean"], best["mean"]) > 0 else best
    error = best["deviation"] / math.sqrt(len(best["values"]))
    near = [variant for variant in measured if metric.gain(best["mean"], variant["mean"]) <= error]
    chosen = min(near, key=lambda variant: variant["deviation"])
    reason = f"mean {chosen['mean']:.4g}, standard deviation {chosen['deviation']:.2g} over folds"
    if chosen is best:
        others = f"{len(near) - 1} others" if len(near) > 2 else "the other" if len(near) == 2 else "no other"
        reason += f"; it has the best mean, and {others} within one standard error ({error:.2g})"
        reason += " varies less" if len(near) > 1 else ""
    else:
        reason += (
            f"; the best mean is that of {best['name']}, {best['mean']:.4g}, which is within one standard error "
            f"({error:.2g}) and has a deviation of {best['deviation']:.2g}"
        )
    return {"name": chosen["name"], "sentence": f"Chosen: {chosen['name']} ({reason})"}
