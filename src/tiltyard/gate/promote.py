"""The command promote: a challenger becomes champion only if no check fails and its packaged service passes."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Unpack

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.errors import PackageError, RegistryError
from tiltyard.evaluation.evaluated import Evaluated, read_evaluated
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.judge import JudgeOptions, judge
from tiltyard.gate.override import check_reason, overridden
from tiltyard.gate.verdict import Verdict
from tiltyard.registry import signing
from tiltyard.registry.decision import Decision, code_digest, provenance
from tiltyard.registry.registry import Registry
from tiltyard.serving.packaging import bento, package
from tiltyard.workspace import Workspace


def promote(
    workspace: Workspace,
    task: Task,
    *,
    dry_run: bool = False,
    override: str | None = None,
    **options: Unpack[JudgeOptions],
) -> Verdict:
    """Judge and record the verdict; `override` is a person's reason to promote in spite of HOLD."""
    reason = None if override is None else check_reason(override)
    if dry_run:
        return _with_word(workspace, judge(workspace, task, **options), reason)
    signing.require_key(workspace, task.name, required=task.gate.signed)
    registry = Registry(workspace)
    with registry.lock(task.name), contextlib.ExitStack() as stack:
        registry.repair(task.name)
        evaluated = read_evaluated(workspace, task)
        builder = stack.enter_context(bento.Builder(workspace, task.name))
        verdict = judge(workspace, task, evaluated, before_duel=builder.load, **options)
        try:
            verdict = _with_word(workspace, verdict, reason)
        except RegistryError:  # the verdict stands, and is a use of the sealed rows
            if not verdict.recorded:
                registry.record(_decision(workspace, task, evaluated, verdict))
            raise
        if verdict.version == verdict.champion:
            proven = workspace.package(task.name, verdict.version) / "proven.json"
            packaged = proven.is_file()
            package.package(workspace, task, evaluated)  # a fresh clone has the pointer, but no package
            if not packaged:
                registry.record_package_hash(task.name)
        if verdict.recorded:
            return verdict
        if verdict.verdict == "PROMOTE":
            verdict = _proven(workspace, task, evaluated, verdict, builder)
        if verdict.verdict == "PROMOTE":
            hashes = {"package": files.sha256(workspace.package(task.name, verdict.version)), "code": code_digest()}
            verdict = dataclasses.replace(verdict, evidence={**verdict.evidence, **hashes})
        decision = _decision(workspace, task, evaluated, verdict)
        (registry.promote if verdict.verdict == "PROMOTE" else registry.record)(decision)
        return verdict


def _decision(workspace: Workspace, task: Task, evaluated: Evaluated, verdict: Verdict) -> Decision:
    return verdict.decision(task.model_dump(mode="json"), evaluated.report, provenance(workspace))


def _with_word(workspace: Workspace, verdict: Verdict, reason: str | None) -> Verdict:
    """Return the verdict after a person's word, if there is one."""
    return verdict if reason is None else overridden(verdict, provenance(workspace)["who"], reason)


def _proven(
    workspace: Workspace, task: Task, evaluated: Evaluated, verdict: Verdict, builder: bento.Builder
) -> Verdict:
    """Package the winner; reject it if the packaged service does not predict what the evaluation did."""
    try:
        package.package(workspace, task, evaluated, override=verdict.evidence.get("override"), builder=builder)
    except PackageError as error:
        title = "the packaged service predicts what the evaluation did"
        outcome = Outcome("package", title, "failed", error.message, "REJECT", repeatable=False)
        outcomes, reasons = [*verdict.outcomes, outcome], [error.message.partition("\n")[0]]
        return dataclasses.replace(verdict, verdict="REJECT", reasons=reasons, outcomes=outcomes)
    return verdict
