"""The verb verify: whether the champion is what the ledger says, by hashing and measuring all of it again."""

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
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.preparation.array_file import read_truth
from tiltyard.preparation.sealed_test import read_test
from tiltyard.registry import manifest, pointer, rollout
from tiltyard.registry.decision import Decision
from tiltyard.registry.git_comparison import Commit, signer_faults, task_faults
from tiltyard.registry.ledger import FORMAT, RECORDED
from tiltyard.registry.provenance import code
from tiltyard.registry.registry import CROWNING, Entry, Registry
from tiltyard.registry.rollout import Rollout
from tiltyard.workspace import Workspace

State = Literal["same", "changed", "unknown"]
Row = dict[str, Any]
ENDS = {"CHALLENGE", "END", *CROWNING}  # verdicts after which an earlier challenge no longer runs


class Proof(NamedTuple):
    """One thing that was looked at again."""

    what: str
    state: State
    text: str
    fault: bool = False  # whether it is a reason for exit status 1; what was changed always is

    def row(self) -> Row:
        """Return it as commands print it."""
        return {**self._asdict(), "fault": self.fault or self.state == "changed"}


def verify(workspace: Workspace, task: Task, against: str | None = None) -> list[Row]:
    """Return a row for each thing; what was changed since the decision is a reason not to trust it."""
    if Registry(workspace).champion(task.name) is None and against is None:
        raise _no_champion(workspace, task.name)
    commit = Commit(workspace, against) if against else None
    return [proof.row() for proof in _of_task(workspace, task.name, task, commit)]


def everything(workspace: Workspace, names: Collection[str], against: str | None = None) -> Iterator[Row]:
    """Return the rows of the named tasks, or of all that have a champion or a ledger, now or in the commit.

    What cannot be looked at is a row of its own, and the rest is looked at. A task that was removed has a ledger alone.
    """
    commit = Commit(workspace, against) if against else None
    for name in sorted(names or _known(workspace) | (commit.tasks() if commit else set())):
        task, proofs = None, []
        try:
            task = loader.load(workspace, name)
        except TiltyardError as error:
            if workspace.task_file(name).exists() or workspace.champion(name).exists() or name in names:
                proofs.append(Proof("task", "changed", error.message))
        try:
            proofs += _of_task(workspace, name, task, commit)
        except TiltyardError as error:
            proofs.append(Proof("pointer", "changed", error.message))
        yield from ({"task": name, **proof.row()} for proof in proofs)
    if commit:
        faults, new = signer_faults(commit)
        said = "; ".join(faults) or f"the public keys of {against}" + (f"; new ones: {', '.join(new)}" if new else "")
        yield {"task": "", **Proof("signers", "changed" if faults else "same", said).row()}


def _of_task(workspace: Workspace, name: str, task: Task | None, commit: Commit | None) -> list[Proof]:
    """Look at the ledger, at what git held, and at all that the champion was made of."""
    proofs = [*(_in_git(commit, name) if commit else ()), *_challenge(workspace, name)]
    try:
        champion = Registry(workspace).champion(name)
        proofs = [*_ledger(workspace, name, commit, wanted=bool(task and task.gate.signed)), *proofs]
    except RegistryError as error:
        return [Proof("pointer", "changed", error.message), *proofs]
    if champion and task:
        return [*proofs, *_proofs(workspace, task, champion.decision)]
    if task and champion is None and _crowned(workspace, name):
        proofs.append(Proof("pointer", "changed", _no_champion(workspace, name).message))
    return proofs


def _known(workspace: Workspace) -> set[str]:
    """Name all tasks with a pointer, a ledger, a head or a challenge."""
    pointers, ledgers = workspace.champion("any").parent, workspace.ledger("any").parent
    found = [*ledgers.glob("[!.]*.jsonl"), *ledgers.glob("[!.]*.head")]
    found += [*pointers.glob("[!.]*.json"), *workspace.traffic("any").parent.glob("[!.]*.json")]
    return {path.stem for path in found}


def _crowned(workspace: Workspace, name: str) -> str:
    """Return the version that the ledger made champion last, if it can be read and made any."""
    try:
        decisions = Registry(workspace).decisions(name)
    except RegistryError:
        return ""
    return next((one.version for one in reversed(decisions) if one.verdict in CROWNING), "")


def _no_champion(workspace: Workspace, name: str) -> RegistryError:
    """Return that there is none; where the ledger made one, that its pointer is gone."""
    if not (version := _crowned(workspace, name)):
        return RegistryError(f"{name} has no champion to verify", hint=f"make one: tiltyard run {name}")
    path = workspace.champion(name).relative_to(workspace.root)
    return RegistryError(
        f"{name} has no champion to verify: its ledger made {version} champion, and {path} is gone",
        hint=f"bring it back: git checkout -- {path}; or go on without a champion: tiltyard run {name}",
    )


def _proofs(workspace: Workspace, task: Task, decision: Decision) -> Iterator[Proof]:
    folder, evidence = workspace.package(task.name, decision.version), decision.evidence
    if not folder.is_dir():
        yield Proof("package", "unknown", f"its files are not here: dvc pull {folder.relative_to(workspace.root)}")
    else:
        yield _model(decision.version, folder)
        yield _compared("package", evidence.get("package"), files.sha256(folder))
        yield from _recorded_files(workspace, task.name, folder)
    raw = workspace.raw(task.name)
    yield _compared("data", decision.data, files.sha256(raw) if raw.is_dir() else None)
    yield _parameters(task, decision)
    yield _compared("code", evidence.get("code"), code())
    yield _figures(workspace, task, decision)


def _ledger(workspace: Workspace, name: str, commit: Commit | None, *, wanted: bool) -> Iterator[Proof]:
    """Look at every link, at what the pointer holds of each, and at every signature."""
    registry = Registry(workspace)
    faults, entries = registry.faults(name), registry.entries(name)
    signed = [entry for entry in entries if entry.signer or entry.problem]
    text = f"{len(entries)} lines, each in its place{'' if signed else ', unsigned'}"
    if not signed and (keys := sorted(path.stem for path in workspace.signers.glob("*.pub"))):
        text += f" although there are public keys of {', '.join(keys)}"
    if not registry.has_hashes(name):
        text += "; their hashes were not recorded in the pointer"
    yield Proof("ledger", "changed" if faults else "same", "; ".join(faults) or text)
    if signed or wanted:
        first = min((entry.place for entry in signed), default=0)
        unheld = _unheld(workspace, signed, commit)
        for entry in entries:
            if entry.signer in unheld and not entry.problem:
                yield _signed_by_stranger(entry, commit, wanted=wanted)
            else:
                yield _signed(entry, wanted=wanted and entry.place >= first)


def _unheld(workspace: Workspace, signed: list[Entry], commit: Commit | None) -> set[str]:
    """Return the signers whose key a commit does not hold, or git's HEAD; nobody where there is no commit yet."""
    try:
        held = commit or Commit(workspace, "HEAD")
        return {name for name in {entry.signer for entry in signed if not entry.problem} if not held.holds_key(name)}
    except RegistryError:
        if commit:
            raise
        return set()


def _signed_by_stranger(entry: Entry, commit: Commit | None, *, wanted: bool) -> Proof:
    """Report a key that git does not hold: whoever may write files can make one."""
    what, said = f"line {entry.place}", f"{entry.verdict} {entry.version}: signed by {entry.signer}"
    if commit is None:
        return Proof(what, "same", f"{said}; that key is not in git's HEAD")
    return Proof(what, "changed" if wanted else "unknown", f"{said}, whose key {commit.ref} does not hold", fault=True)


def _signed(entry: Entry, *, wanted: bool) -> Proof:
    """Return who signed a line; without a signature nobody vouches for it, which may be wanted."""
    what, decision = f"line {entry.place}", f"{entry.verdict} {entry.version}"
    if entry.problem:
        return Proof(what, "changed", f"{decision}: bad signature: {entry.problem}")
    if entry.signer:
        return Proof(what, "same", f"{decision}: signed by {entry.signer}")
    return Proof(what, "changed" if wanted else "unknown", f"{decision}: unsigned" + "; gate.signed wants it" * wanted)


def _in_git(commit: Commit, task: str) -> Iterator[Proof]:
    """Compare the ledger and the pointer with those of a commit."""
    try:
        faults, known = task_faults(commit, task), task in commit.tasks()
    except RegistryError as error:
        yield Proof("git", "changed", error.message)
        return
    if not known:
        yield Proof("git", "unknown", f"{commit.ref} holds nothing about {task}")
    else:
        yield Proof("git", "changed" if faults else "same", "; ".join(faults) or f"all that {commit.ref} holds is here")


def _recorded_files(workspace: Workspace, name: str, folder: Path) -> Iterator[Proof]:
    """Compare the hash that the pointer has of schema, card and reference with the package, as the service does."""
    found = pointer.read(workspace.champion(name))
    wanted = found.decision.get(FORMAT) == RECORDED and bool(manifest.hashes(folder))
    if wanted and not found.files:
        text = "the pointer holds no hash of the package's files; it held one when its decision was written"
        yield Proof("files", "changed", text)
    elif found.files:
        yield _compared("files", found.files, manifest.digest(folder))


def _model(expected: str, folder: Path) -> Proof:
    """Hash the model of a package; one that cannot be read, or is no regular file, is not the one that was packaged."""
    try:
        return _compared("model", expected, version(folder))
    except OSError as error:
        return Proof("model", "changed", f"it cannot be read: {error}")


def _compared(what: str, expected: str | None, received: str | None) -> Proof:
    """Compare two hashes; without one of them nothing is known."""
    if not expected or not received:
        missing = "it was not recorded" if not expected else "it is not here"
        return Proof(what, "unknown", missing)
    if expected == received:
        return Proof(what, "same", received[:12])
    return Proof(what, "changed", f"expected {expected[:12]}; received {received[:12]}")


def _challenge(workspace: Workspace, task: str) -> Iterator[Proof]:
    """Return a row for the challenge of a task and one for its package; nothing if none runs."""
    path = workspace.traffic(task)
    if not os.path.lexists(path):
        return
    try:
        found = rollout.read(path)
        begun = _begun(workspace, task, found) if found else None
    except (RegistryError, OSError) as error:
        yield Proof("challenge", "changed", str(error))
        return
    if found is None:
        yield Proof("challenge", "changed", f"{path} is no challenge: expected a regular file")
        return
    said = f"{found.way} of {found.version}, share {found.share:g}"
    if begun is None:
        text = (
            f"{said}: the last decision of the ledger about traffic is another; end it: tiltyard traffic {task} --off"
        )
        yield Proof("challenge", "changed", text)
    else:
        yield Proof("challenge", "same", f"{said}, begun by {begun.who} on {begun.time}")
    yield _challenger(workspace.package(task, found.version), begun)


def _begun(workspace: Workspace, task: str, found: Rollout) -> Decision | None:
    """Return the decision that began a challenge, unless it was ended or was begun otherwise."""
    decisions = [one for one in Registry(workspace).decisions(task) if one.verdict in ENDS]
    last = decisions[-1] if decisions else None
    if last is None or last.verdict != "CHALLENGE" or (last.task, last.version) != (found.task, found.version):
        return None
    return last if last.evidence.get("challenge") == found.model_dump(mode="json") else None


def _challenger(folder: Path, begun: Decision | None) -> Proof:
    """Compare the challenger's package with its name, its own hashes, and what was recorded when it began."""
    if not folder.is_dir():
        return Proof("challenger", "unknown", f"its files are not here: dvc pull {'/'.join(folder.parts[-4:])}")
    try:
        rollout.insist_on_proof(folder)
        manifest.check(folder)
        found, package = version(folder), files.sha256(folder)
    except (PackageError, OSError) as error:
        return Proof("challenger", "changed", str(error))
    if found != folder.name:
        return Proof("challenger", "changed", f"expected {folder.name}; received {found}")
    if begun is None:
        return Proof("challenger", "unknown", "no decision of the ledger names it as the challenger")
    if package != (expected := str(begun.evidence.get("package"))):
        return Proof("challenger", "changed", f"expected {expected[:12]}; received {package[:12]}")
    return Proof("challenger", "same", package[:12])


def _parameters(task: Task, decision: Decision) -> Proof:
    """Compare the task file with that of the decision; what a later release adds is as it would have been then."""
    now, then = task.model_dump(mode="json"), decision.parameters
    with contextlib.suppress(ValueError):
        then = Task.model_validate(then).model_dump(mode="json")
    keys = [key for key in now if now[key] != then.get(key)]
    said = f"other than at the decision: {', '.join(keys)}" if keys else "as at the decision"
    return Proof("parameters", "changed" if keys else "same", said)


def _figures(workspace: Workspace, task: Task, decision: Decision) -> Proof:
    """Let the packaged model answer the sealed rows once more."""
    try:
        test = read_test(workspace, task.name, task.columns)
        predictor = Predictor.load(workspace.package(task.name, decision.version))
        known = read_truth(workspace.out(task.name, "prepare") / "train.npz")
    except TiltyardError as error:
        return Proof("figures", "unknown", error.message)
    except Exception as error:  # noqa: BLE001 - a damaged file fails in many ways, none of which is documented
        return Proof("figures", "changed", f"the packaged model cannot be opened: {type(error).__name__}")
    if test.digest != decision.test:
        return Proof("figures", "unknown", f"the sealed rows are others now: {test.digest[:12]}")
    evaluator = task.evaluator
    found = evaluator.scores(test.truth, predictor.condensed(test.rows, test.truth), evaluator.context(known))
    wrong = [
        f"{name} {found[name]:.6g}; expected {value:.6g}"
        for name, value in decision.metrics.items()
        if name in found and not math.isclose(found[name], value, rel_tol=1e-6, abs_tol=1e-9)
    ]
    return Proof("figures", "changed" if wrong else "same", ", ".join(wrong) or f"{len(found)} metrics measured again")


def shortened(rows: list[Row]) -> list[Row]:
    """Put signatures that follow each other and are alike into one row."""
    found: list[Row] = []
    for _, group in groupby(rows, key=_alike):
        first, *rest = group
        if rest and first["what"].startswith("line "):
            said = first["text"].rpartition(": ")[2]
            first = {**first, "what": f"lines {first['what'][5:]} to {rest[-1]['what'][5:]}", "text": said}
            rest = []
        found += [first, *rest]
    return found


def _alike(row: Row) -> tuple[str, ...]:
    if not row["what"].startswith("line "):
        return (row["task"], row["what"])
    return (row["task"], "line", row["state"], row["text"].rpartition(": ")[2])
