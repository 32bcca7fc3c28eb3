"""The rules of a trial: its steps, what ends it, and what it still waits for."""

from __future__ import annotations

from typing import Literal

from tiltyard.config.operate_section import Trial as TrialRules
from tiltyard.operations.facts import HOUR, Facts
from tiltyard.operations.retraining_rules import too_many_errors
from tiltyard.operations.state import Trial

NextStep = tuple[Literal["shadow", "canary", "promote"], float]


def next_step(rules: TrialRules, facts: Facts, trial: Trial) -> NextStep:
    """Return the step after the present one: first the shadow, then each larger share, then the promotion."""
    if not trial.begun and rules.shadow:
        return "shadow", 1.0
    share = facts.rollout.share if facts.rollout and facts.rollout.way == "canary" else 0.0
    larger = [one for one in rules.shares if one > share]
    return ("canary", larger[0]) if larger else ("promote", 0.0)


def decided_elsewhere(facts: Facts, trial: Trial) -> str:
    """Return how a person ended or decided the trial; empty if it goes on."""
    if facts.champion != trial.champion:
        return f"{facts.champion} is champion now"
    if trial.begun and (facts.rollout is None or facts.rollout.version != trial.version):
        return f"the rollout of {trial.version} was ended"
    return ""


def failure(rules: TrialRules, facts: Facts, trial: Trial) -> str:
    """Return why the trial must end without a promotion; empty if it need not."""
    seen = facts.trial
    if facts.now - trial.since > rules.hours * HOUR:
        return f"the trial of {trial.version} did not finish in {rules.hours:g} hours"
    if seen is None:
        return ""
    if seen.gain and seen.gain[2] < 0:
        value, low, high = seen.gain
        return f"{trial.version} is worse on live requests: a gain of {value:.4g} ({low:.4g} to {high:.4g})"
    if reason := too_many_errors(rules.errors, seen.requests):
        return f"{trial.version}: {reason}"
    return _latency(rules, seen.p99_ms, seen.champion_p99_ms, trial.version)


def _latency(rules: TrialRules, new: float | None, old: float | None, version: str) -> str:
    if new is None or old is None or new <= max(rules.slower * old, old + rules.slower_ms):
        return ""
    return f"{version} takes {new:.3g} ms (99th percentile), the champion {old:.3g} ms"


def waiting(rules: TrialRules, facts: Facts, trial: Trial) -> str:
    """Return what the trial waits for; empty if the next step can be taken."""
    if trial.asked and not facts.approved:
        return f"{trial.version} waits for approval"
    if not trial.begun:
        return ""
    seen, way = facts.trial, facts.rollout.way if facts.rollout else ""
    wanted = rules.shadow if way == "shadow" else rules.predictions
    if (received := seen.predictions if seen else 0) < wanted:
        return f"{trial.version} has made {received} of {wanted} predictions as {way}"
    if (truths := seen.truths if seen else 0) < rules.truths:
        return f"{truths} of {rules.truths} ground truths of each version have arrived"
    return ""


def success(facts: Facts, trial: Trial) -> str:
    """Return why the next step is taken."""
    if not trial.begun or not facts.rollout or not facts.trial:
        return f"{trial.version} passed the gate"
    how = f"{trial.version} made {facts.trial.predictions} predictions as {facts.rollout.way}"
    return f"{how} of {facts.rollout.share:g} of the clients" if facts.rollout.way == "canary" else how


def figures(facts: Facts) -> dict[str, float]:
    """Return the figures of the trial for the ledger."""
    if not facts.trial:
        return {}
    gain = facts.trial.gain[0] if facts.trial.gain else None
    values = {"predictions": facts.trial.predictions, "truths": facts.trial.truths, "gain": gain}
    values |= {"p99_ms": facts.trial.p99_ms, "champion_p99_ms": facts.trial.champion_p99_ms}
    return {name: float(value) for name, value in values.items() if value is not None}
