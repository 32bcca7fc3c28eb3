"""Verify champions: check hashes and signatures of ledger, package, data and code, and compute the metrics again."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Collection, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import PackageError, RegistryError, TiltyardError
from tiltyard.modeling.evaluators.forecasting import training_context
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.modeling.metrics.base import with_threshold
from tiltyard.preparation.array_file import read_truth
from tiltyard.preparation.sealed_test import read_test
from tiltyard.registry import manifest, pointer, rollout
from tiltyard.registry.decision import Decision, code_digest
from tiltyard.registry.git_comparison import Commit, signer_faults, task_faults
from tiltyard.registry.ledger import CURRENT_FORMAT, FORMAT
from tiltyard.registry.registry import CHALLENGE_VERDICTS, CHAMPION_VERDICTS, Entry, Registry
from tiltyard.registry.rollout import Rollout
from tiltyard.workspace import Workspace

State = Literal["same", "changed", "unknown"]
Row = dict[str, Any]


class VerifyResult(NamedTuple):
    """The result of verifying one thing."""

    what: str
    state: State
    text: str
    fault: bool = False  # causes exit status 1; a changed state always does

    def row(self) -> Row:
        """Return the result as a row for output."""
        return {**self._asdict(), "fault": self.fault or self.state == "changed"}


def verify(workspace: Workspace, task: Task, against: str | None = None) -> list[Row]:
    """Return a row for each thing that was verified."""
    if Registry(workspace).champion(task.name) is None and against is None:
        raise _no_champion(workspace, task.name)
    commit = Commit(workspace, against) if against else None
    return [result.row() for result in _task_results(workspace, task.name, task, commit)]


def verify_tasks(workspace: Workspace, names: Collection[str], against: str | None = None) -> Iterator[Row]:
    """Yield rows of the named tasks, or of all that have a champion or a ledger, now or in the commit.

    A task that cannot be verified yields a row that says so, and the others follow. A removed task has only a ledger.
    """
    commit = Commit(workspace, against) if against else None
    for name in sorted(names or _known_tasks(workspace) | (commit.tasks() if commit else set())):
        task, results = None, []
        try:
            task = loader.load(workspace, name)
        except TiltyardError as error:
            if workspace.task_file(name).exists() or workspace.champion(name).exists() or name in names:
                results.append(VerifyResult("task", "changed", error.message))
        try:
            results += _task_results(workspace, name, task, commit)
        except TiltyardError as error:
            results.append(VerifyResult("pointer", "changed", error.message))
        yield from ({"task": name, **result.row()} for result in results)
    if commit:
        faults, new = signer_faults(commit)
        summary = "; ".join(faults) or f"the public keys of {against}" + (
            f"; new ones: {', '.join(new)}" if new else ""
        )
        yield {"task": "", **VerifyResult("signers", "changed" if faults else "same", summary).row()}


def _task_results(workspace: Workspace, name: str, task: Task | None, commit: Commit | None) -> list[VerifyResult]:
    """Verify the ledger, the comparison with git, and everything the champion was made from."""
    results = [*(_git_result(commit, name) if commit else ()), *_challenge_results(workspace, name)]
    try:
        champion = Registry(workspace).champion(name)
        results = [*_ledger_results(workspace, name, commit, required=bool(task and task.gate.signed)), *results]
    except RegistryError as error:
        return [VerifyResult("pointer", "changed", error.message), *results]
    if champion and task:
        return [*results, *_champion_results(workspace, task, champion.decision)]
    if task and champion is None and _last_promoted(workspace, name):
        results.append(VerifyResult("pointer", "changed", _no_champion(workspace, name).message))
    return results


def _known_tasks(workspace: Workspace) -> set[str]:
    """Return all tasks with a pointer, ledger, head or rollout."""
    pointers, ledgers = workspace.champion("any").parent, workspace.ledger("any").parent
    paths = [*ledgers.glob("[!.]*.jsonl"), *ledgers.glob("[!.]*.head")]
    paths += [*pointers.glob("[!.]*.json"), *workspace.traffic("any").parent.glob("[!.]*.json")]
    return {path.stem for path in paths}


def _last_promoted(workspace: Workspace, name: str) -> str:
    """Return the version that the ledger made champion last; empty if there is none or it cannot be read."""
    try:
        decisions = Registry(workspace).decisions(name)
    except RegistryError:
        return ""
    return next((decision.version for decision in reversed(decisions) if decision.verdict in CHAMPION_VERDICTS), "")


def _no_champion(workspace: Workspace, name: str) -> RegistryError:
    """Return the error that there is no champion, or that its pointer is missing."""
    if not (version := _last_promoted(workspace, name)):
        return RegistryError(f"{name} has no champion to verify", hint=f"make one: tiltyard run {name}")
    path = workspace.champion(name).relative_to(workspace.root)
    return RegistryError(
        f"{name} has no champion to verify: its ledger made {version} champion, and {path} is missing",
        hint=f"restore it: git checkout -- {path}; or go on without a champion: tiltyard run {name}",
    )


def _champion_results(workspace: Workspace, task: Task, decision: Decision) -> Iterator[VerifyResult]:
    folder, evidence = workspace.package(task.name, decision.version), decision.evidence
    if not folder.is_dir():
        yield VerifyResult(
            "package", "unknown", f"its files are not here: dvc pull {folder.relative_to(workspace.root)}"
        )
    else:
        yield _model_result(decision.version, folder)
        yield _compare_hashes("package", evidence.get("package"), files.sha256(folder))
        yield from _package_files_result(workspace, task.name, folder)
    raw = workspace.raw(task.name)
    yield _compare_hashes("data", decision.data, files.sha256(raw) if raw.is_dir() else None)
    yield _parameters_result(task, decision)
    yield _compare_hashes("code", evidence.get("code"), code_digest())
    yield _metrics_result(workspace, task, decision)


def _ledger_results(
    workspace: Workspace, name: str, commit: Commit | None, *, required: bool
) -> Iterator[VerifyResult]:
    """Verify the hash chain, the pointer's hashes, and every signature."""
    registry = Registry(workspace)
    faults, entries = registry.faults(name), registry.entries(name)
    signed = [entry for entry in entries if entry.signer or entry.fault]
    text = f"{len(entries)} lines, hash chain intact{'' if signed else ', unsigned'}"
    if not signed and (keys := sorted(path.stem for path in workspace.signers.glob("*.pub"))):
        text += f" although there are public keys of {', '.join(keys)}"
    if not registry.has_hashes(name):
        text += "; their hashes were not recorded in the pointer"
    yield VerifyResult("ledger", "changed" if faults else "same", "; ".join(faults) or text)
    if signed or required:
        first = min((entry.place for entry in signed), default=0)
        unknown = _unknown_signers(workspace, signed, commit)
        for entry in entries:
            if entry.signer in unknown and not entry.fault:
                yield _unknown_signer_result(entry, commit, required=required)
            else:
                yield _signature_result(entry, required=required and entry.place >= first)


def _unknown_signers(workspace: Workspace, signed: list[Entry], commit: Commit | None) -> set[str]:
    """Return the signers whose key is not in the commit, or in git's HEAD; empty before the first commit."""
    try:
        tracked = commit or Commit(workspace, "HEAD")
        return {name for name in {entry.signer for entry in signed if not entry.fault} if not tracked.holds_key(name)}
    except RegistryError:
        if commit:
            raise
        return set()


def _unknown_signer_result(entry: Entry, commit: Commit | None, *, required: bool) -> VerifyResult:
    """Report a key that git does not hold: anyone with write access can create one."""
    subject, summary = f"line {entry.place}", f"{entry.verdict} {entry.version}: signed by {entry.signer}"
    if commit is None:
        return VerifyResult(subject, "same", f"{summary}; the key is not in git's HEAD")
    return VerifyResult(
        subject, "changed" if required else "unknown", f"{summary}, whose key is not in {commit.ref}", fault=True
    )


def _signature_result(entry: Entry, *, required: bool) -> VerifyResult:
    """Report who signed a line, or that it is unsigned."""
    subject, decision = f"line {entry.place}", f"{entry.verdict} {entry.version}"
    if entry.fault:
        return VerifyResult(subject, "changed", f"{decision}: bad signature: {entry.fault}")
    if entry.signer:
        return VerifyResult(subject, "same", f"{decision}: signed by {entry.signer}")
    return VerifyResult(
        subject,
        "changed" if required else "unknown",
        f"{decision}: unsigned" + "; gate.signed requires a signature" * required,
    )


def _git_result(commit: Commit, task: str) -> Iterator[VerifyResult]:
    """Compare ledger and pointer with those of a commit."""
    try:
        faults, is_committed = task_faults(commit, task), task in commit.tasks()
    except RegistryError as error:
        yield VerifyResult("git", "changed", error.message)
        return
    if not is_committed:
        yield VerifyResult("git", "unknown", f"{commit.ref} has nothing about {task}")
    else:
        yield VerifyResult(
            "git", "changed" if faults else "same", "; ".join(faults) or f"everything in {commit.ref} is still here"
        )


def _package_files_result(workspace: Workspace, name: str, folder: Path) -> Iterator[VerifyResult]:
    """Compare the pointer's hash of schema, card and reference with the package, as the service does."""
    content = pointer.read(workspace.champion(name))
    required = content.decision.get(FORMAT) == CURRENT_FORMAT and bool(manifest.hashes(folder))
    if required and not content.files:
        text = "the pointer has no hash of the package's files; it had one when its decision was written"
        yield VerifyResult("files", "changed", text)
    elif content.files:
        yield _compare_hashes("files", content.files, manifest.digest(folder))


def _model_result(expected: str, folder: Path) -> VerifyResult:
    """Hash the model of a package; a model that cannot be read counts as changed."""
    try:
        return _compare_hashes("model", expected, version(folder))
    except OSError as error:
        return VerifyResult("model", "changed", f"it cannot be read: {error}")


def _compare_hashes(subject: str, expected: str | None, received: str | None) -> VerifyResult:
    """Compare two hashes; without one of them the state is unknown."""
    if not expected or not received:
        missing = "it was not recorded" if not expected else "it is not here"
        return VerifyResult(subject, "unknown", missing)
    if expected == received:
        return VerifyResult(subject, "same", received[:12])
    return VerifyResult(subject, "changed", f"expected {expected[:12]}; received {received[:12]}")


def _challenge_results(workspace: Workspace, task: str) -> Iterator[VerifyResult]:
    """Yield a row for the rollout of a task and one for its package; nothing without a rollout."""
    path = workspace.traffic(task)
    if not os.path.lexists(path):
        return
    try:
        running = rollout.read(path)
        start = _start_decision(workspace, task, running) if running else None
    except (RegistryError, OSError) as error:
        yield VerifyResult("challenge", "changed", str(error))
        return
    if running is None:
        yield VerifyResult("challenge", "changed", f"{path} is not a rollout: expected a regular file")
        return
    summary = f"{running.way} of {running.version}, share {running.share:g}"
    if start is None:
        text = f"{summary}: it is not the last traffic decision in the ledger; end it: tiltyard traffic {task} --off"
        yield VerifyResult("challenge", "changed", text)
    else:
        yield VerifyResult("challenge", "same", f"{summary}, begun by {start.who} on {start.time}")
    yield _challenger_result(workspace.package(task, running.version), start)


def _start_decision(workspace: Workspace, task: str, running: Rollout) -> Decision | None:
    """Return the decision that started a rollout; None if the rollout has ended or started differently."""
    decisions = [decision for decision in Registry(workspace).decisions(task) if decision.verdict in CHALLENGE_VERDICTS]
    last = decisions[-1] if decisions else None
    if last is None or last.verdict != "CHALLENGE" or (last.task, last.version) != (running.task, running.version):
        return None
    return last if last.evidence.get("challenge") == running.model_dump(mode="json") else None


def _challenger_result(folder: Path, start: Decision | None) -> VerifyResult:
    """Compare the challenger's package with its name, its own hashes, and the hash recorded at the start."""
    if not folder.is_dir():
        return VerifyResult("challenger", "unknown", f"its files are not here: dvc pull {'/'.join(folder.parts[-4:])}")
    try:
        rollout.require_proof(folder)
        manifest.check(folder)
        actual, package = version(folder), files.sha256(folder)
    except (PackageError, OSError) as error:
        return VerifyResult("challenger", "changed", str(error))
    if actual != folder.name:
        return VerifyResult("challenger", "changed", f"expected {folder.name}; received {actual}")
    if start is None:
        return VerifyResult("challenger", "unknown", "no decision of the ledger names it as the challenger")
    if package != (expected := str(start.evidence.get("package"))):
        return VerifyResult("challenger", "changed", f"expected {expected[:12]}; received {package[:12]}")
    return VerifyResult("challenger", "same", package[:12])


def _parameters_result(task: Task, decision: Decision) -> VerifyResult:
    """Compare the task file with the decision's; keys of a later release take their defaults."""
    now, then = task.model_dump(mode="json"), decision.parameters
    with contextlib.suppress(ValueError):
        then = Task.model_validate(then).model_dump(mode="json")
    keys = [key for key in now if now[key] != then.get(key)]
    summary = f"changed since the decision: {', '.join(keys)}" if keys else "unchanged since the decision"
    return VerifyResult("parameters", "changed" if keys else "same", summary)


def _metrics_result(workspace: Workspace, task: Task, decision: Decision) -> VerifyResult:
    """Measure the packaged model on the test rows again."""
    try:
        test = read_test(workspace, task.name, task.columns)
        predictor = Predictor.load(workspace.package(task.name, decision.version))
        prepared = workspace.out(task.name, "prepare")
        context = training_context(task.evaluator, prepared, read_truth(prepared / "train.npz"))
    except TiltyardError as error:
        return VerifyResult("figures", "unknown", error.message)
    except Exception as error:  # noqa: BLE001 - a damaged file fails in many ways, none of which is documented
        return VerifyResult("figures", "changed", f"the packaged model cannot be opened: {type(error).__name__}")
    if test.digest != decision.test:
        return VerifyResult("figures", "unknown", f"the test rows have changed: {test.digest[:12]}")
    evaluator = task.evaluator
    context = with_threshold(context, predictor.encoder.problem.threshold)
    metrics = evaluator.scores(test.truth, predictor.condensed(test.rows, test.truth), context)
    differences = [
        f"{name} {metrics[name]:.6g}; expected {value:.6g}"
        for name, value in decision.metrics.items()
        if name in metrics and not math.isclose(metrics[name], value, rel_tol=1e-6, abs_tol=1e-9)
    ]
    return VerifyResult(
        "figures",
        "changed" if differences else "same",
        ", ".join(differences) or f"{len(metrics)} metrics measured again",
    )


def merge_lines(rows: list[Row]) -> list[Row]:
    """Merge consecutive rows of equal signatures."""
    merged: list[Row] = []
    for _, group in groupby(rows, key=_merge_key):
        first, *following = group
        if following and first["what"].startswith("line "):
            summary = first["text"].rpartition(": ")[2]
            first = {**first, "what": f"lines {first['what'][5:]} to {following[-1]['what'][5:]}", "text": summary}
            following = []
        merged += [first, *following]
    return merged


def _merge_key(row: Row) -> tuple[str, ...]:
    if not row["what"].startswith("line "):
        return (row["task"], row["what"])
    return (row["task"], "line", row["state"], row["text"].rpartition(": ")[2])
