"""Human approval of a version, recorded in the ledger; the gate decides whether the version becomes champion."""

from __future__ import annotations

from tiltyard.config.task import Task
from tiltyard.errors import RegistryError
from tiltyard.registry import signing
from tiltyard.registry.aliases import aliases, resolve_version
from tiltyard.registry.decision import Decision, provenance
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def approve(workspace: Workspace, task: Task, name: str = "challenger") -> Decision:
    """Record an approval; approving twice records one line."""
    current_aliases = aliases(workspace, task)
    if name == "challenger" and current_aliases.get(name) in (None, current_aliases.get("champion")):
        raise RegistryError(f"{task.name} has no challenger to approve", hint=f"train one: tiltyard run {task.name}")
    signing.require_key(workspace, task.name, required=task.gate.signed)
    version, registry, origin = resolve_version(workspace, task, name), Registry(workspace), provenance(workspace)
    with registry.lock(task.name):
        signer = signing.find_signer(workspace)
        may_repeat = not task.gate.signed or (
            signer and signer.name in approvers(registry, task.name, version, signed=True)
        )
        for decision in registry.decisions(task.name) if may_repeat else []:
            if (decision.verdict, decision.version, decision.who) == ("APPROVE", version, origin["who"]):
                return decision
        champion = registry.champion(task.name)
        decision = Decision(
            task=task.name,
            verdict="APPROVE",
            version=version,
            champion=champion.version if champion else None,
            reasons=[f"approved by {origin['who']}"],
            **origin,
        )
        registry.record(decision)
        return decision


def approvers(registry: Registry, task: str, version: str, *, signed: bool) -> list[str]:
    """Return who approved a version; with `signed`, the names of the signing keys."""
    if signed:
        entries = [entry for entry in registry.entries(task) if entry.signer and not entry.fault]
        return [entry.signer for entry in entries if (entry.verdict, entry.version) == ("APPROVE", version)]
    return [
        decision.who
        for decision in registry.decisions(task)
        if decision.verdict == "APPROVE" and decision.version == version
    ]
