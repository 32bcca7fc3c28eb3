"""The rules of retraining: what calls for it, and what it may cost."""

from __future__ import annotations

from tiltyard.config.operate_section import Budget, Operate
from tiltyard.operations.facts import DAY, HOUR, Facts, Measured, Requests, Retraining

MIN_REQUESTS = 50  # with fewer, a share of failed ones is not judged
Cause = tuple[str, dict[str, float]]  # a reason, empty without one, and its figures


def cause(rules: Operate, facts: Facts) -> Cause:
    """Return what calls for a retraining; the most serious cause first."""
    causes = (_errors(rules, facts), _quality(rules, facts), _drift(rules, facts), _age(rules, facts))
    return next((found for found in causes if found[0]), ("", {}))


def _errors(rules: Operate, facts: Facts) -> Cause:
    text = too_many_errors(rules.retrain.errors, facts.requests)
    return text, {"errors": facts.requests.share} if text and facts.requests else {}


def too_many_errors(limit: float | None, requests: Requests | None) -> str:
    """Return a sentence if more requests fail than a limit allows; empty if not, or if there are few requests."""
    if limit is None or requests is None or requests.count < MIN_REQUESTS or requests.share <= limit:
        return ""
    return f"{requests.share:.3g} of {requests.count} requests failed; expected at most {limit:g}"


def _quality(rules: Operate, facts: Facts) -> Cause:
    """Return a live metric below the limit; without ground truth, an estimated one if the rules say so."""
    limit, word, measured = rules.retrain.quality, "live", facts.live
    if measured is None and rules.retrain.estimated:
        word, measured = "estimated", facts.estimated
    if limit is None or measured is None or not measured.is_worse(limit, higher_is_better=facts.higher_is_better):
        return "", {}
    return f"{describe(word, measured)} is worse than {limit:g}", {word: measured.value}


def _drift(rules: Operate, facts: Facts) -> Cause:
    limit = rules.retrain.drift
    beyond = [(name, psi) for name, psi in facts.drifted if limit is not None and psi > limit]
    if not beyond:
        return "", {}
    name, psi = beyond[0]
    others = f" and {len(beyond) - 1} more" if len(beyond) > 1 else ""
    return f"{name}{others} has drifted: PSI {psi:.3g}, above {limit:g}", {"psi": psi}


def _age(rules: Operate, facts: Facts) -> Cause:
    limit = rules.retrain.age_days
    if limit is None or facts.data_time is None or (days := (facts.now - facts.data_time) / DAY) <= limit:
        return "", {}
    return f"the champion's data are {days:.1f} days old; expected at most {limit:g}", {"age_days": days}


def describe(word: str, measured: Measured) -> str:
    """Return a metric in words."""
    interval = f"{measured.low:.4g} to {measured.high:.4g}"
    return f"the {word} metric {measured.value:.4g} ({interval}, {measured.rows} predictions)"


def obstacle(rules: Operate, facts: Facts) -> str:
    """Return what forbids a retraining now; empty if nothing does."""
    budget, spent = rules.budget, in_period(rules.budget, facts)
    if rules.stop:
        return "operate.stop is set"
    if (counted := sum(not one.unchanged for one in spent)) >= budget.retrainings:
        return f"operate.budget.retrainings: {counted} of {budget.retrainings} in {budget.days:g} days are spent"
    if seconds_left(budget, facts) <= 0:
        return f"operate.budget.compute_hours: {budget.compute_hours:g} in {budget.days:g} days are spent"
    if len(spent) >= budget.failures and all(one.failed for one in spent[-budget.failures :]):
        return f"operate.budget.failures: the last {budget.failures} retrainings failed"
    if spent and facts.now - spent[-1].time < rules.retrain.pause_hours * HOUR:
        return f"operate.retrain.pause_hours: the last retraining was less than {rules.retrain.pause_hours:g} hours ago"
    return ""


def seconds_left(budget: Budget, facts: Facts) -> float:
    """Return the seconds that retraining may still take in the period."""
    return budget.compute_hours * HOUR - sum(one.seconds for one in in_period(budget, facts))


def in_period(budget: Budget, facts: Facts) -> list[Retraining]:
    """Return the retrainings of the period; those in the future count, too: a clock may have been set back."""
    return [one for one in facts.retrainings if one.time > facts.now - budget.days * DAY]
