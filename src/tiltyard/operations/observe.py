"""Gathers the facts about a task: records, drift, live and estimated quality, freshness, requests, and the trial."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tiltyard.config.operate_section import Operate
from tiltyard.config.task import Task
from tiltyard.data import versions
from tiltyard.errors import TiltyardError
from tiltyard.modeling.problems.base import WITHOUT_FEEDBACK
from tiltyard.monitoring import estimated_quality
from tiltyard.monitoring.drift import measure_drift
from tiltyard.monitoring.live_comparison import compare
from tiltyard.monitoring.live_quality import LiveQuality, load_live_quality
from tiltyard.monitoring.records import compact
from tiltyard.operations import ledger, service_state
from tiltyard.operations.facts import Facts, Measured, Requests, Routing, TrialFacts
from tiltyard.operations.retraining_rules import MIN_REQUESTS
from tiltyard.operations.service_state import ServiceState
from tiltyard.operations.state import State
from tiltyard.registry import rollout
from tiltyard.registry.approve import approvers
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Champion, Registry
from tiltyard.registry.rollback import find_previous
from tiltyard.workspace import Workspace

Counts = dict[str, list[int]]  # by version: requests and failed ones


@dataclass(frozen=True)
class Observed:
    """The facts, the decisions in the ledger, and the counts of requests that the next look begins with."""

    facts: Facts
    decisions: list[Decision]
    counted: Counts = field(default_factory=dict)
    service_error: str = ""


def observe(workspace: Workspace, task: Task, rules: Operate, state: State, now: float) -> Observed:
    """Gather the facts about a task."""
    registry = Registry(workspace)
    champion, decisions = registry.champion(task.name), registry.decisions(task.name)
    if champion is None:
        return Observed(Facts(now), decisions)
    compact(workspace, task)
    quality = load_live_quality(workspace, task)
    service, error = _service(rules, task)
    requests, counted = new_requests(service.requests, state.counted, {champion.version, _challenger(state)})
    running = rollout.read(workspace.traffic(task.name))
    previous = find_previous(workspace, decisions, champion.version)
    since = ledger.seconds_of(champion.decision.time)
    facts = Facts(
        now,
        champion.version,
        previous.version if previous else "",
        since,
        since if champion.decision.verdict == "PROMOTE" else None,
        task.metric.higher_is_better,
        _drifted(workspace, task, champion, rules.window),
        _live(quality, champion.version, rules.window),
        _estimated(workspace, quality, champion.version, rules.window),
        _data_time(workspace, task, champion),
        requests.get(champion.version),
        service.served,
        Routing(running.version, running.way, running.share) if running else None,
        _trial(quality, champion.version, state, requests),
        _is_approved(registry, task, state),
        ledger.retrainings(decisions, state.pending),
    )
    return Observed(facts, decisions, counted, error)


def _challenger(state: State) -> str:
    return state.trial.version if state.trial else ""


def _service(rules: Operate, task: Task) -> tuple[ServiceState, str]:
    """Return what the service says, or why it says nothing."""
    if not rules.service:
        return ServiceState(), ""
    try:
        return service_state.read(rules.service, task.name), ""
    except TiltyardError as error:
        return ServiceState(), error.message


def new_requests(total: dict[str, Requests], counted: Counts, wanted: set[str]) -> tuple[dict[str, Requests], Counts]:
    """Return the requests since the present count began, and the counts to begin the next one with.

    A count goes on until it has enough requests to be judged; it begins again when the service was restarted.
    """
    new: dict[str, Requests] = {}
    begins: Counts = {}
    for version, now in total.items():
        if version not in wanted:
            continue
        before = counted.get(version, [now.count, now.failed])
        if before[0] > now.count or before[1] > now.failed:
            before = [0, 0]
        new[version] = Requests(now.count - before[0], now.failed - before[1])
        begins[version] = [now.count, now.failed] if new[version].count >= MIN_REQUESTS else before
    return new, begins


def _drifted(workspace: Workspace, task: Task, champion: Champion, window: int) -> tuple[tuple[str, float], ...]:
    """Return the drifted features of the requests since the champion was promoted."""
    since = datetime.fromisoformat(champion.decision.time)
    rows = measure_drift(workspace, task, champion.version, window, since)["drift"]
    significant = [row for row in rows if row["chance"] * len(rows) < 1 - task.check.confidence]
    return tuple((str(row["feature"]), float(row["psi"])) for row in significant)


def _live(quality: LiveQuality, version: str, window: int) -> Measured | None:
    """Return the metric of the latest predictions whose ground truth is known."""
    if quality.task.problem_type.targets in WITHOUT_FEEDBACK:
        return None
    found = estimated_quality.latest(quality, quality.with_truth(version), window).quality(version)
    if found is None or any(found[name] is None for name in ("value", "low", "high")):
        return None
    return Measured(found["value"], found["low"], found["high"], found["truths"])


def _estimated(workspace: Workspace, quality: LiveQuality, version: str, window: int) -> Measured | None:
    """Return the metric of the latest predictions, estimated without ground truth."""
    latest = estimated_quality.latest(quality, quality.predictions_of(version), window)
    found = estimated_quality.estimate(workspace, latest, version)
    return Measured(found.value, found.low, found.high, found.rows) if found.measured else None


def _data_time(workspace: Workspace, task: Task, champion: Champion) -> float | None:
    """Return when the data of the champion were fetched."""
    times = [one.time for one in versions.recorded(workspace, task.name) if one.data == champion.decision.data]
    return ledger.seconds_of(times[-1]) if times else None


def _is_approved(registry: Registry, task: Task, state: State) -> bool:
    if not state.trial or not state.trial.asked:
        return False
    return bool(approvers(registry, task.name, state.trial.version, signed=task.gate.signed))


def _trial(quality: LiveQuality, champion: str, state: State, requests: dict[str, Requests]) -> TrialFacts | None:
    """Return how the challenger does: predictions and latency since the present step, gain since the trial began."""
    if not (trial := state.trial) or not trial.begun:
        return None
    rows = quality.predictions
    whole = replace(quality, predictions=rows[rows["time"] >= _time(trial.since)])
    step = replace(quality, predictions=rows[rows["time"] >= _time(trial.step_since)])
    comparable = quality.task.problem_type.targets not in WITHOUT_FEEDBACK
    comparison = compare(whole, trial.version, champion) if comparable else None
    gain = comparison.gain if comparison else None
    new, old = step.predictions_of(trial.version), step.predictions_of(champion)
    return TrialFacts(
        len(new),
        comparison.truths if comparison else 0,
        (gain.value, gain.low, gain.high) if gain else None,
        _p99(new),
        _p99(old),
        requests.get(trial.version),
    )


def _p99(rows: Any) -> float | None:
    return float(rows["ms"].quantile(0.99)) if len(rows) >= MIN_REQUESTS else None


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
