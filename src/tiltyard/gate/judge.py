"""Judge a challenger: run every check on a duel and decide the verdict, without writing anything."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import TypedDict, Unpack

from tiltyard import plugins
from tiltyard.config.gate_section import Gate
from tiltyard.config.task import Task
from tiltyard.evaluation.evaluated import Evaluated, read_evaluated
from tiltyard.files import Json
from tiltyard.gate import duel_setup
from tiltyard.gate.checks.base import versus
from tiltyard.gate.duel import Duel
from tiltyard.gate.verdict import Verdict, decide
from tiltyard.registry.decision import code_digest
from tiltyard.registry.registry import Champion, Registry, rolled_back
from tiltyard.workspace import Workspace


class JudgeOptions(TypedDict, total=False):
    """Options of a judgement, which `promote` passes on."""

    again: bool  # judge what was held, rejected or rolled back before
    allow_stand_in: bool  # let a model of generated data that stand in for real files win


class DuelOptions(JudgeOptions, total=False):
    """Options of a judgement, with what to do before a duel."""

    before_duel: Callable[[], object]  # called unless the verdict is known without a duel


def judge(
    workspace: Workspace, task: Task, evaluated: Evaluated | None = None, **options: Unpack[DuelOptions]
) -> Verdict:
    """Run every check on the evaluated model; pass `evaluated` if it was read already."""
    allow_stand_in = options.get("allow_stand_in", False)
    evaluated = evaluated or read_evaluated(workspace, task)
    verdict, champion = _undecided(workspace, task, evaluated, allow_stand_in=allow_stand_in)
    if earlier := _earlier_verdict(workspace, verdict, again=options.get("again", False)):
        return earlier
    if before_duel := options.get("before_duel"):
        before_duel()
    duel = duel_setup.build_duel(workspace, task, evaluated, champion, allow_stand_in=allow_stand_in)
    outcomes = [plugins.load("checks", name)().outcome(duel) for name in plugins.names("checks")]
    reasons = [outcome.text for outcome in outcomes if outcome.state == "failed"] or _praise(duel)
    return dataclasses.replace(
        verdict, verdict=decide(outcomes), reasons=reasons, outcomes=outcomes, evidence=duel.evidence()
    )


def known_verdict(
    workspace: Workspace, task: Task, evaluated: Evaluated, *, allow_stand_in: bool = False
) -> Verdict | None:
    """Return the verdict if it is known without a duel: on the champion, or on what was judged before."""
    return _earlier_verdict(workspace, _undecided(workspace, task, evaluated, allow_stand_in=allow_stand_in)[0])


def _undecided(
    workspace: Workspace, task: Task, evaluated: Evaluated, *, allow_stand_in: bool
) -> tuple[Verdict, Champion | None]:
    """Return the verdict before any check, and the champion to compare with."""
    champion = Registry(workspace).champion(task.name)
    version = champion.version if champion else None
    fingerprint = _fingerprint(task.gate, evaluated.report, version, allow_stand_in=allow_stand_in)
    return Verdict(task.name, "HOLD", evaluated.report["version"], version, [], fingerprint=fingerprint), champion


def _earlier_verdict(workspace: Workspace, verdict: Verdict, *, again: bool = False) -> Verdict | None:
    """Return HOLD for the champion itself and, except `again`, what was rolled back, or the verdict on equal inputs."""
    if verdict.version == verdict.champion:
        reasons = [f"version {verdict.champion} is already the champion"]
        return dataclasses.replace(verdict, reasons=reasons, recorded=True)
    if again:
        return None
    decisions = Registry(workspace).decisions(verdict.task)
    if back := rolled_back(decisions).get(verdict.version):
        reason = (
            f"version {verdict.version} was rolled back by {back.who} on {back.time}; to judge it again: "
            f"tiltyard promote {verdict.task} --again"
        )
        return dataclasses.replace(verdict, reasons=[reason], recorded=True)
    for decision in reversed(decisions):
        if decision.fingerprint == verdict.fingerprint and decision.verdict in {"HOLD", "REJECT"}:
            earlier = Verdict.earlier(decision)
            repeatable = all(outcome.repeatable for outcome in earlier.outcomes if outcome.state == "failed")
            return earlier if repeatable else None
    return None


def _fingerprint(gate: Gate, report: Json, champion: str | None, *, allow_stand_in: bool) -> str:
    """Hash everything that a verdict depends on; whether a stand-in is allowed matters only if there is one."""
    allowed = ["stand-in allowed"] if allow_stand_in and "stand_in" in report else []
    judged = [report, gate.model_dump(mode="json"), champion, code_digest(), *allowed]
    return hashlib.sha256(json.dumps(judged, sort_keys=True).encode()).hexdigest()


def _praise(duel: Duel) -> list[str]:
    """Return the gains of a challenger that wins."""
    won = [
        versus(duel, duel.over_baseline, "the baseline"),
        *([duel.live.describe(duel.task.gate)] if duel.live else []),
    ]
    return [versus(duel, duel.over_champion, "the champion"), *won] if duel.over_champion else won
