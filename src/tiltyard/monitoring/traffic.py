"""The command traffic: starts and ends shadow and canary rollouts, and reports their results."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.errors import PackageError, RegistryError
from tiltyard.modeling.problems.base import WITHOUT_FEEDBACK
from tiltyard.monitoring.live_comparison import agreement, compare
from tiltyard.monitoring.live_quality import MIN_TRUTHS, LiveQuality, load_live_quality
from tiltyard.registry import rollout, signing
from tiltyard.registry.decision import Decision, provenance
from tiltyard.registry.registry import CHALLENGE_VERDICTS, Registry
from tiltyard.registry.rollout import Rollout
from tiltyard.workspace import Workspace


def traffic(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Return the running rollout of a task, if any, and its results."""
    champion = Registry(workspace).champion(task.name)
    running = rollout.read(workspace.traffic(task.name))
    version = champion.version if champion else None
    return {
        "task": task.name,
        "champion": version,
        "challenge": running.model_dump(mode="json") if running else None,
        "told": _summary(running, version),
        "report": _report(load_live_quality(workspace, task), running) if running else None,
    }


def _report(quality: LiveQuality, running: Rollout) -> dict[str, Any]:
    """Return traffic and latency of both arms, their agreement, and the comparison by ground truth."""
    new, old = running.version, running.champion
    comparison = None if quality.task.problem_type.targets in WITHOUT_FEEDBACK else compare(quality, new, old)
    return {
        "arms": [row for row in quality.arms() if row["version"] in (new, old)],
        "agreement": agreement(quality, new, old),
        "match": comparison.to_json() if comparison else None,
        "told": comparison.describe(quality.task.gate)
        if comparison
        else f"fewer than {MIN_TRUTHS} truths of each version so far",
    }


def _summary(running: Rollout | None, champion: str | None) -> str:
    if running is None:
        return f"{champion or 'no version'} serves all requests"
    if running.champion != champion:
        return f"the rollout of {running.version} against {running.champion} has ended: {champion} is champion now"
    if running.way == "shadow":
        copies = f"{running.version} gets a copy of those of {running.share:.3g} of all clients"
        return f"{champion} serves all requests; {copies}"
    return f"{running.version} serves {running.share:.3g} of all clients, {champion} the others"


def start_rollout(workspace: Workspace, task: Task, version_and_way: tuple[str, str], share: float) -> Rollout:
    """Start a rollout of a packaged version against the champion; it replaces the current rollout."""
    signing.require_key(workspace, task.name, required=task.gate.signed)
    (version, way), registry = version_and_way, Registry(workspace)
    with registry.lock(task.name):
        champion = registry.champion(task.name)
        if champion is None:
            raise RegistryError(f"no champion yet of {task.name}", hint=f"make one: tiltyard run {task.name}")
        if version == champion.version:
            raise RegistryError(
                f"expected another version than the champion; received {version}",
                hint=f"see which are packaged: ls {_packages(workspace, task).relative_to(workspace.root)}",
            )
        _require_package(workspace, task, version)
        since, origin = datetime.now(UTC).isoformat(timespec="seconds"), provenance(workspace)
        fields = {"task": task.name, "version": version, "way": way, "champion": champion.version}
        new_rollout = _recorded(registry, {**fields, "share": share})
        if new_rollout is None:
            new_rollout = Rollout.model_validate({**fields, "share": share, "since": since, "who": origin["who"]})
            registry.record(_decision(workspace, new_rollout, "CHALLENGE", origin))
        rollout.write(workspace.traffic(task.name), new_rollout)
    return new_rollout


def _recorded(registry: Registry, fields: dict[str, Any]) -> Rollout | None:
    """Return the rollout with these fields if the ledger's last change is its start: a kill came before its file."""
    changes = [one for one in registry.decisions(fields["task"]) if one.verdict in CHALLENGE_VERDICTS]
    challenge = changes[-1].evidence.get("challenge") if changes else None
    if not challenge or changes[-1].verdict != "CHALLENGE" or fields.items() - challenge.items():
        return None
    return Rollout.model_validate(challenge)


def end_rollout(workspace: Workspace, task: Task) -> None:
    """End the rollout, if there is one; the file is removed first, so that this works without the ledger."""
    signing.require_key(workspace, task.name, required=task.gate.signed)
    path, registry = workspace.traffic(task.name), Registry(workspace)
    with registry.lock(task.name):
        running = None
        with contextlib.suppress(RegistryError, OSError):  # a damaged file is removed, too
            running = rollout.read(path)
        path.unlink(missing_ok=True)
        if running and running.task == task.name:
            registry.record(_decision(workspace, running, "END", provenance(workspace)))


def _decision(
    workspace: Workspace, running: Rollout, verdict: Literal["CHALLENGE", "END"], origin: dict[str, Any]
) -> Decision:
    """Return the ledger's decision about the start or the end of a rollout."""
    evidence: dict[str, Any] = {"challenge": running.model_dump(mode="json")}
    if verdict == "CHALLENGE":
        evidence["package"] = files.sha256(workspace.package(running.task, running.version))
    action = "begun" if verdict == "CHALLENGE" else "ended"
    reasons = [f"{running.way} {action} by {origin['who']}: share {running.share:g}"]
    fields = {"task": running.task, "version": running.version, "champion": running.champion}
    return Decision(**fields, verdict=verdict, reasons=reasons, evidence=evidence, **origin)


def _require_package(workspace: Workspace, task: Task, version: str) -> None:
    """Raise PackageError unless a version is packaged and passed its smoke test; the gate's verdict does not matter."""
    folder = _packages(workspace, task)
    packaged = sorted(path.parent.name for path in folder.glob("[!.]*/proven.json"))
    if version in packaged:
        return
    path = (folder / version).relative_to(workspace.root)
    hint = f"package the version that was evaluated last, whatever the gate's verdict: tiltyard package {task.name}"
    if (folder / f"{version}.dvc").is_file() and not (folder / version).is_dir():
        hint = f"bring it from the remote: dvc pull {path}"
    elif _evaluated_version(workspace, task) != version:
        hint = f"train and evaluate it, then: tiltyard package {task.name}"
    text = f"{task.name}: expected a packaged version, one of {', '.join(packaged) or 'none yet'}; received {version!r}"
    raise PackageError(text, hint)


def _evaluated_version(workspace: Workspace, task: Task) -> str:
    """Return the version that was evaluated last; an empty text if there is none."""
    report = workspace.out(task.name, "evaluate") / "report.json"
    return str(files.read_json(report)["version"]) if report.is_file() else ""


def _packages(workspace: Workspace, task: Task) -> Path:
    return workspace.package(task.name, "any").parent
