"""The command rollback: the previous champion serves again."""

from __future__ import annotations

from typing import Any

from tiltyard.config.task import Task
from tiltyard.errors import RegistryError
from tiltyard.registry import signing
from tiltyard.registry.decision import Decision, provenance
from tiltyard.registry.registry import Champion, Registry, champion_history
from tiltyard.workspace import Workspace


def rollback(workspace: Workspace, task: Task) -> Decision:
    """Make the previous champion serve again; the decision's `version` returns, its `champion` is replaced."""
    signing.require_key(workspace, task.name, required=task.gate.signed)
    return restore_previous(workspace, task.name)


def restore_previous(workspace: Workspace, task: str) -> Decision:
    """Return to the previous champion whose package is still there."""
    registry = Registry(workspace)
    with registry.lock(task):
        registry.repair(task)
        champion = registry.champion(task)
        if champion is None:
            raise RegistryError(f"no champion of {task} to roll back", hint=f"make one: tiltyard run {task}")
        earlier = _previous_champion(workspace, registry, champion)
        decision = _decision(champion, earlier, provenance(workspace))
        registry.promote(decision)
        return decision


def _previous_champion(workspace: Workspace, registry: Registry, champion: Champion) -> Decision:
    """Return the decision that made the previous version champion."""
    decisions = registry.decisions(champion.task)
    if found := find_previous(workspace, decisions, champion.version):
        return found
    before = [decision for decision in champion_history(decisions) if decision.version != champion.version]
    versions = ", ".join(decision.version for decision in before)
    reason = f"the packages of {versions} are not here" if versions else "it is the first"
    raise RegistryError(
        f"no champion of {champion.task} before {champion.version} to roll back to: {reason}",
        hint="get them from the remote: dvc pull" if versions else "",
    )


def find_previous(workspace: Workspace, decisions: list[Decision], champion: str) -> Decision | None:
    """Return the decision that made the previous champion whose package is here; None if there is none."""
    before = [decision for decision in champion_history(decisions) if decision.version != champion]
    packaged = [decision for decision in before if workspace.package(decision.task, decision.version).is_dir()]
    return packaged[-1] if packaged else None


def _decision(champion: Champion, earlier: Decision, source: dict[str, Any]) -> Decision:
    """Return the rollback decision; its metrics are those of the version that returns."""
    evidence = {name: earlier.evidence[name] for name in ("package", "code", "override") if name in earlier.evidence}
    fields = earlier.model_dump(
        exclude={"id", "time", "verdict", "champion", "reasons", "checks", "evidence"} | set(source)
    )
    reason = f"rolled back from {champion.version} to {earlier.version} by {source['who']}"
    return Decision(
        **{**fields, **source}, verdict="ROLLBACK", champion=champion.version, reasons=[reason], evidence=evidence
    )
