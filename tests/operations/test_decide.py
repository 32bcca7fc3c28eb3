"""The decision of the watch: a table of facts and the action they call for, and properties of any sequence of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.config.operate_section import Operate
from tiltyard.operations.decide import Step, decide
from tiltyard.operations.facts import DAY, HOUR, Facts, Measured, Requests, Retraining, Routing, TrialFacts
from tiltyard.operations.state import Pending, State, Trial

NOW = 1_700_000_000.0
OLD, NEW, THIRD = "a" * 12, "b" * 12, "c" * 12
CALM = Facts(NOW, OLD)
IDLE = State(task="iris")
DRIFT = (("petal_length", 0.5),)
RULES: dict[str, Any] = {
    "service": "http://127.0.0.1:3000",
    "retrain": {"quality": 0.8, "age_days": 30.0, "errors": 0.1, "estimated": True},
    "rollback": {"quality": 0.7, "errors": 0.2},
    "trial": {"shadow": 100, "predictions": 50, "truths": 20},
}


def rules(**changes: Any) -> Operate:
    """Return rules with changes of sections."""
    return Operate.model_validate({**RULES, **changes})


def measured(value: float) -> Measured:
    """Return a metric with an interval of 0.02 to both sides."""
    return Measured(value, value - 0.02, value + 0.02, 200)


def on_trial(**changes: Any) -> State:
    """Return the state during a trial."""
    trial = {"version": NEW, "champion": OLD, "since": NOW - HOUR, "step_since": NOW - HOUR, "begun": True, **changes}
    return State(task="iris", trial=Trial.model_validate(trial))


def pending(action: str, **changes: Any) -> State:
    """Return the state after a kill within an action."""
    fields = {"id": "0" * 32, "action": action, "reason": "as before", "champion": OLD, "version": NEW, **changes}
    return State(task="iris", pending=Pending.model_validate(fields))


SHADOW, QUARTER = Routing(NEW, "shadow", 1.0), Routing(NEW, "canary", 0.25)
HALF = Routing(NEW, "canary", 0.5)
GOOD = TrialFacts(200, 50, (0.01, -0.02, 0.04), 5.0, 4.0, Requests(100, 0))
PROMOTED = replace(CALM, previous=THIRD, promoted=NOW - HOUR)
SPENT = tuple(Retraining(NOW - days * DAY, 60.0) for days in (6, 5))

# name, facts, state, expected action, text of the reason or of what blocks it
TABLE: list[tuple[str, Facts, State, str, str]] = [
    ("no champion", Facts(NOW), IDLE, "none", "no champion yet"),
    ("calm", CALM, IDLE, "none", "nothing calls for"),
    ("drift", replace(CALM, drifted=DRIFT), IDLE, "retrain", "petal_length has drifted: PSI 0.5, above 0.2"),
    ("little drift", replace(CALM, drifted=(("petal_length", 0.19),)), IDLE, "none", "nothing"),
    ("live quality", replace(CALM, live=measured(0.7)), IDLE, "retrain", "the live metric 0.7"),
    ("not surely low", replace(CALM, live=measured(0.79)), IDLE, "none", "nothing"),
    ("estimated quality", replace(CALM, estimated=measured(0.7)), IDLE, "retrain", "the estimated metric 0.7"),
    ("truth beats estimate", replace(CALM, estimated=measured(0.7), live=measured(0.9)), IDLE, "none", "nothing"),
    ("old data", replace(CALM, data_time=NOW - 31 * DAY), IDLE, "retrain", "31.0 days old; expected at most 30"),
    ("errors", replace(CALM, requests=Requests(100, 11)), IDLE, "retrain", "0.11 of 100 requests failed"),
    ("errors of few", replace(CALM, requests=Requests(10, 9)), IDLE, "none", "nothing"),
    ("by hand", replace(CALM, drifted=DRIFT, rollout=SHADOW), IDLE, "none", "a person runs"),
    ("spent", replace(CALM, drifted=DRIFT, retrainings=SPENT), IDLE, "none", "budget.retrainings: 2 of 2"),
    (
        "spent long ago",
        replace(CALM, drifted=DRIFT, retrainings=(Retraining(NOW - 8 * DAY, 60.0), Retraining(NOW - 7.1 * DAY, 60.0))),
        IDLE,
        "retrain",
        "drifted",
    ),
    ("pause", replace(CALM, drifted=DRIFT, retrainings=(Retraining(NOW - HOUR, 9.0),)), IDLE, "none", "pause_hours"),
    (
        "clock set back",
        replace(CALM, drifted=DRIFT, retrainings=(Retraining(NOW + DAY, 9.0),)),
        IDLE,
        "none",
        "pause_hours",
    ),
    (
        "compute spent",
        replace(CALM, drifted=DRIFT, retrainings=(Retraining(NOW - 3 * DAY, 24 * HOUR),)),
        IDLE,
        "none",
        "compute_hours: 24",
    ),
    ("rollback by quality", replace(PROMOTED, live=measured(0.6)), IDLE, "rollback", "worse than 0.7"),
    ("rollback by errors", replace(PROMOTED, requests=Requests(90, 45)), IDLE, "rollback", "0.5 of 90 requests"),
    ("too late to roll back", replace(PROMOTED, live=measured(0.6), promoted=NOW - 8 * DAY), IDLE, "retrain", "live"),
    ("nothing to go back to", replace(PROMOTED, live=measured(0.6), previous=""), IDLE, "retrain", "live"),
    ("rollback first", replace(PROMOTED, live=measured(0.6)), pending("retrain"), "rollback", "worse than 0.7"),
    ("rollback of a trial's champion", replace(PROMOTED, live=measured(0.6)), on_trial(), "rollback", "0.7"),
    ("resume", replace(CALM, drifted=DRIFT), pending("canary", share=0.25), "canary", "as before"),
    ("first step", CALM, on_trial(begun=False), "shadow", "passed the gate"),
    ("few predictions", replace(CALM, rollout=SHADOW, trial=TrialFacts(99)), on_trial(), "none", "99 of 100"),
    ("after the shadow", replace(CALM, rollout=SHADOW, trial=TrialFacts(100, 20)), on_trial(), "canary", "as shadow"),
    ("next share", replace(CALM, rollout=QUARTER, trial=GOOD), on_trial(), "canary", "0.25 of the clients"),
    ("promote", replace(CALM, rollout=HALF, trial=GOOD), on_trial(), "promote", "0.5 of the clients"),
    ("wait for truths", replace(CALM, rollout=SHADOW, trial=TrialFacts(200, 3)), on_trial(), "none", "3 of 20"),
    (
        "worse live",
        replace(CALM, rollout=QUARTER, trial=replace(GOOD, gain=(-0.2, -0.3, -0.1))),
        on_trial(),
        "end",
        "worse on live requests",
    ),
    ("slower", replace(CALM, rollout=QUARTER, trial=replace(GOOD, p99_ms=10.0)), on_trial(), "end", "takes 10 ms"),
    ("a little slower", replace(CALM, rollout=QUARTER, trial=replace(GOOD, p99_ms=8.9)), on_trial(), "canary", ""),
    (
        "failing",
        replace(CALM, rollout=QUARTER, trial=replace(GOOD, requests=Requests(60, 6))),
        on_trial(),
        "end",
        "0.1 of 60 requests failed",
    ),
    ("too long", replace(CALM, rollout=QUARTER), on_trial(since=NOW - 169 * HOUR), "end", "not finish in 168"),
    ("ended by a person", CALM, on_trial(), "forget", "was ended"),
    ("another rollout", replace(CALM, rollout=Routing(THIRD, "shadow", 1.0)), on_trial(), "forget", "was ended"),
    ("promoted by a person", replace(CALM, champion=NEW), on_trial(), "forget", "is champion now"),
    ("approval", replace(CALM, rollout=HALF, trial=GOOD), on_trial(asked=True), "none", "waits for approval"),
    ("approved", replace(CALM, rollout=HALF, trial=GOOD, approved=True), on_trial(asked=True), "promote", ""),
]


@pytest.mark.parametrize(("facts", "state", "action", "reason"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_facts_call_for_an_action(facts: Facts, state: State, action: str, reason: str) -> None:
    """Each row of the table: the action, and the figures in its reason."""
    step = decide(rules(), facts, state)
    assert step.action == action
    assert reason in f"{step.reason}; {step.blocked}"


def test_a_step_that_is_turned_off_is_skipped() -> None:
    """Without a shadow the canary comes first; without shares, the promotion comes after the shadow."""
    without_shadow = rules(trial={"shadow": 0})
    assert decide(without_shadow, CALM, on_trial(begun=False)).share == 0.05
    without_canary = rules(trial={"shares": [], "shadow": 10})
    assert decide(without_canary, replace(CALM, rollout=SHADOW, trial=GOOD), on_trial()).action == "promote"
    neither = rules(trial={"shadow": 0, "shares": []})
    assert decide(neither, CALM, on_trial(begun=False)).action == "promote"


def test_stop_ends_what_runs_but_not_rollbacks() -> None:
    """With `stop`, nothing begins, a trial ends, an interrupted action is dropped, and a rollback still happens."""
    stopped = rules(stop=True)
    assert decide(stopped, replace(CALM, drifted=DRIFT), IDLE).blocked == "operate.stop is set"
    assert decide(stopped, replace(CALM, rollout=QUARTER, trial=GOOD), on_trial()).action == "end"
    assert decide(stopped, CALM, pending("retrain")).action == "forget"
    assert decide(stopped, CALM, pending("end")).action == "end"
    assert decide(stopped, replace(PROMOTED, live=measured(0.6)), IDLE).action == "rollback"


def test_failures_in_a_row_stop_retraining() -> None:
    """After the allowed number of failures in a row no retraining begins, whatever the other budgets allow."""
    generous = rules(budget={"retrainings": 100, "failures": 2}, retrain={"pause_hours": 0.0})
    failed = tuple(Retraining(NOW - hours * HOUR, 1.0, failed=True) for hours in (5, 4))
    facts = replace(CALM, drifted=DRIFT, retrainings=failed)
    assert "budget.failures: the last 2" in decide(generous, facts, IDLE).blocked
    succeeded = replace(facts, retrainings=(*failed, Retraining(NOW - HOUR, 1.0)))
    assert decide(generous, succeeded, IDLE).action == "retrain"


def test_smaller_is_better_for_errors_of_numbers() -> None:
    """For a metric of which smaller is better, quality is low if the whole interval is above the limit."""
    facts = replace(CALM, higher_is_better=False)
    assert decide(rules(), replace(facts, live=measured(0.9)), IDLE).action == "retrain"
    assert decide(rules(), replace(facts, live=measured(0.7)), IDLE).action == "none"


@st.composite
def worlds(draw: st.DrawFn) -> list[tuple[float, Facts]]:
    """Draw a sequence of facts with the hours between them; the champion and the ledger are filled in by the test."""
    shares = st.floats(0, 1)
    metric = st.none() | st.floats(0.5, 1).map(measured)
    trial = st.builds(TrialFacts, predictions=st.integers(0, 400), truths=st.integers(0, 40), p99_ms=st.none())
    facts = st.builds(
        Facts,
        now=st.just(NOW),
        drifted=st.just(DRIFT) | st.just(()),
        live=metric,
        estimated=metric,
        requests=st.none() | shares.map(lambda share: Requests(100, int(100 * share))),
        trial=st.none() | trial,
        approved=st.booleans(),
    )
    return draw(st.lists(st.tuples(st.floats(0.01, 100), facts), max_size=60))


@given(
    worlds(),
    st.integers(0, 3),
    st.floats(1, 50),
    st.lists(st.floats(0, 30), min_size=61, max_size=61),
    st.lists(st.booleans(), min_size=61, max_size=61),
)
def test_budgets_hold_and_rollbacks_are_possible(
    world: list[tuple[float, Facts]], most: int, hours: float, took: list[float], killed: list[bool]
) -> None:
    """In any world, with kills at any step: budgets are kept, an action is finished before the next, rollbacks come."""
    operate = rules(budget={"retrainings": most, "compute_hours": hours, "failures": 5}, retrain={"pause_hours": 0.0})
    model = World(operate)
    for place, (pause, facts) in enumerate(world):
        model.advance(pause * HOUR, facts, took[place] * HOUR, killed=killed[place])
        spent = [one for one in model.retrainings if one.time > model.now - operate.budget.days * DAY]
        assert len(spent) <= most
        assert sum(one.seconds for one in spent) <= hours * HOUR + 1e-6


class World:
    """What the watch would do with decisions, without a project: champion, ledger and state."""

    def __init__(self, operate: Operate) -> None:
        self.operate, self.now, self.state = operate, NOW, IDLE
        self.champions = [OLD]
        self.promoted: float | None = None
        self.rollout: Routing | None = None
        self.retrainings: list[Retraining] = []
        self.count = 0

    def advance(self, pause: float, seen: Facts, took: float, *, killed: bool) -> None:
        """Let time pass, decide, and carry the decision out; a kill leaves it to the next look."""
        self.now += pause
        facts = replace(
            seen,
            now=self.now,
            champion=self.champions[-1],
            previous=self.champions[-2] if len(self.champions) > 1 else "",
            promoted=self.promoted,
            rollout=self.rollout,
            retrainings=tuple(self.retrainings),
        )
        step = decide(self.operate, facts, self.state)
        self.check(step, facts)
        if step.action in ("none", "forget"):
            self.state = self.state if step.action == "none" else IDLE
            return
        before = self.state.pending
        if before is None or before.action != step.action:
            self.begin(step)
        if not killed:
            self.carry_out(step, took)

    def check(self, step: Step, facts: Facts) -> None:
        """An action that waits is finished before another begins, but for a rollback, which is never held back."""
        waiting = self.state.pending
        fallen = facts.live is not None and facts.live.high < 0.7
        lately = facts.promoted is not None and facts.now - facts.promoted <= 168 * HOUR
        if fallen and lately and facts.previous:
            assert step.action == "rollback"
        elif waiting:
            assert step.action == waiting.action

    def begin(self, step: Step) -> None:
        """Write the action down; a retraining counts from now on."""
        fields = {"action": step.action, "reason": step.reason, "version": step.version, "share": step.share}
        fields |= {"id": f"{self.count}", "champion": self.champions[-1], "limit": step.limit}
        self.state = self.state.with_(pending=Pending.model_validate(fields))
        if step.action == "retrain":
            self.retrainings.append(Retraining(self.now, 0.0))

    def carry_out(self, step: Step, took: float) -> None:
        """Do what the watch would do."""
        trial = self.state.trial
        if step.action == "retrain":
            self.retrainings[-1] = replace(self.retrainings[-1], seconds=min(took, step.limit))
            self.count += 1
            version = f"{self.count:012x}"
            trial = Trial(version=version, champion=self.champions[-1], since=self.now, step_since=self.now)
        elif step.action in ("shadow", "canary"):
            way, share = step.action, step.share if step.action == "canary" else 1.0
            assert self.rollout is None or way == "canary", "a shadow runs already"
            assert self.rollout is None or self.rollout.way == "shadow" or share > self.rollout.share
            self.rollout = Routing(step.version, way, share)
            assert trial
            trial = trial.model_copy(update={"begun": True, "step_since": self.now})
        else:
            self.rollout, trial = None, None
            if step.action == "promote":
                self.champions.append(step.version)
                self.promoted = self.now
            elif step.action == "rollback":
                self.champions.pop()
                self.promoted = None
        self.state = State(task="iris", trial=trial)
