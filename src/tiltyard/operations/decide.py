"""The decision: from the rules of a task, the facts and the state to the next action. It reads and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tiltyard.config.operate_section import Operate
from tiltyard.operations import retraining_rules, trial_rules
from tiltyard.operations.facts import HOUR, Facts
from tiltyard.operations.state import Action, State, Trial

STOPPED = "operate.stop is set"
Next = Action | Literal["none", "forget"]  # forget: drop what a person has decided otherwise


@dataclass(frozen=True)
class Step:
    """The next action and why; `blocked` says what keeps an action from being taken that the facts call for."""

    action: Next
    reason: str
    version: str = ""
    share: float = 0.0
    limit: float = 0.0  # seconds that a retraining may take
    blocked: str = ""
    figures: dict[str, float] = field(default_factory=dict)


def decide(rules: Operate, facts: Facts, state: State) -> Step:
    """Return the next action of a task.

    A rollback comes before everything. An action that a kill interrupted is finished before another one begins.
    """
    if not facts.champion:
        return Step("none", "there is no champion yet")
    if (step := _rollback(rules, facts)) and not _is_pending(state, "rollback"):
        return step
    if pending := state.pending:
        if rules.stop and pending.action not in ("end", "rollback"):
            return Step("forget", STOPPED, pending.version)
        return Step(pending.action, pending.reason, pending.version, pending.share, pending.limit)
    if state.trial:
        return _trial(rules, facts, state.trial)
    return _retrain(rules, facts)


def _is_pending(state: State, action: Action) -> bool:
    return state.pending is not None and state.pending.action == action


def _rollback(rules: Operate, facts: Facts) -> Step | None:
    """Return the rollback that the champion's live figures call for; only of a version that was promoted lately."""
    if not facts.previous or facts.promoted is None or facts.now - facts.promoted > rules.rollback.hours * HOUR:
        return None
    limit, errors = rules.rollback.quality, rules.rollback.errors
    if reason := retraining_rules.too_many_errors(errors, facts.requests):
        share = facts.requests.share if facts.requests else 0.0
        return Step("rollback", reason, facts.previous, figures={"errors": share})
    if limit is not None and facts.live and facts.live.is_worse(limit, higher_is_better=facts.higher_is_better):
        reason = f"{retraining_rules.describe('live', facts.live)} is worse than {limit:g}"
        return Step("rollback", reason, facts.previous, figures={"live": facts.live.value})
    return None


def _trial(rules: Operate, facts: Facts, trial: Trial) -> Step:
    """Return the next step of a trial; with `stop` it ends."""
    if reason := trial_rules.decided_elsewhere(facts, trial):
        return Step("forget", reason, trial.version)
    if reason := trial_rules.failure(rules.trial, facts, trial) or (STOPPED if rules.stop else ""):
        return Step("end", reason, trial.version, figures=trial_rules.figures(facts))
    if reason := trial_rules.waiting(rules.trial, facts, trial):
        return Step("none", reason, trial.version)
    action, share = trial_rules.next_step(rules.trial, facts, trial)
    return Step(action, trial_rules.success(facts, trial), trial.version, share, figures=trial_rules.figures(facts))


def _retrain(rules: Operate, facts: Facts) -> Step:
    """Return a retraining if there is a cause, and budget for it."""
    if facts.rollout:
        return Step("none", f"a person runs {facts.rollout.version} as {facts.rollout.way}")
    reason, figures = retraining_rules.cause(rules, facts)
    if not reason:
        return Step("none", "nothing calls for an action")
    left = retraining_rules.seconds_left(rules.budget, facts)
    if blocked := retraining_rules.obstacle(rules, facts):
        return Step("none", reason, blocked=blocked, figures=figures)
    return Step("retrain", reason, limit=left, figures=figures)
