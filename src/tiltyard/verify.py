"""The verb verify: whether the champion is what the ledger says, by hashing and measuring all of it again."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from tiltyard import files
from tiltyard.decision import Decision, code
from tiltyard.errors import RegistryError, TiltyardError
from tiltyard.ledger import Ledger
from tiltyard.predictor import Predictor, version
from tiltyard.prepare import read_test
from tiltyard.registry import Registry
from tiltyard.task import Task
from tiltyard.workspace import Workspace

State = Literal["same", "changed", "unknown"]


class Proof(NamedTuple):
    """One thing that was looked at again."""

    what: str
    state: State
    text: str


def verify(workspace: Workspace, task: Task) -> list[dict[str, Any]]:
    """Give a row for each thing; what was changed since the decision is a reason not to trust it."""
    champion = Registry(workspace).champion(task.name)
    if champion is None:
        raise RegistryError(f"{task.name} has no champion to verify", hint=f"make one: tiltyard run {task.name}")
    return [proof._asdict() for proof in _proofs(workspace, task, champion.decision)]


def _proofs(workspace: Workspace, task: Task, decision: Decision) -> Iterator[Proof]:
    yield _ledger(workspace, task, decision)
    folder, evidence = workspace.package(task.name, decision.version), decision.evidence
    if not folder.is_dir():
        yield Proof("package", "unknown", f"its files are not here: dvc pull {folder.relative_to(workspace.root)}")
    else:
        yield _compared("model", decision.version, version(folder))
        yield _compared("package", evidence.get("package"), files.sha256(folder))
    raw = workspace.raw(task.name)
    yield _compared("data", decision.data, files.sha256(raw) if raw.is_dir() else None)
    yield _parameters(task, decision)
    yield _compared("code", evidence.get("code"), code())
    yield _figures(workspace, task, decision)


def _ledger(workspace: Workspace, task: Task, decision: Decision) -> Proof:
    """Look at every link, and for the pointer's own line."""
    ledger = Ledger(workspace.ledger(task.name))
    faults = ledger.faults()
    told = {line.id: line for line in ledger.decisions()}
    if told.get(decision.id, decision) != decision:
        faults.append("the pointer says otherwise than the ledger")
    return Proof(
        "ledger", "changed" if faults else "same", "; ".join(faults) or f"{len(told)} lines, each in its place"
    )


def _compared(what: str, expected: str | None, received: str | None) -> Proof:
    if not expected or not received:
        missing = "it was not recorded" if not expected else "it is not here"
        return Proof(what, "unknown", missing)
    if expected == received:
        return Proof(what, "same", received[:12])
    return Proof(what, "changed", f"expected {expected[:12]}; received {received[:12]}")


def _parameters(task: Task, decision: Decision) -> Proof:
    """Hold the task file against that of the decision; what a later release adds is as it would have been then."""
    now, then = task.model_dump(mode="json"), decision.parameters
    with contextlib.suppress(ValueError):
        then = Task.model_validate(then).model_dump(mode="json")
    keys = [key for key in now if now[key] != then.get(key)]
    said = f"other than at the decision: {', '.join(keys)}" if keys else "as at the decision"
    return Proof("parameters", "changed" if keys else "same", said)


def _figures(workspace: Workspace, task: Task, decision: Decision) -> Proof:
    """Let the packaged model answer the sealed rows once more."""
    try:
        test = read_test(workspace, task)
        predictor = Predictor.load(workspace.package(task.name, decision.version))
        facts = files.read_json(workspace.out(task.name, "prepare") / "split.json")
    except TiltyardError as error:
        return Proof("figures", "unknown", error.message)
    except Exception as error:  # noqa: BLE001 - a damaged file fails in many ways, none of which is documented
        return Proof("figures", "changed", f"the packaged model cannot be opened: {type(error).__name__}")
    if test.digest != decision.test:
        return Proof("figures", "unknown", f"the sealed rows are others now: {test.digest[:12]}")
    found = task.kind.scores(test.truth, predictor.condensed(test.rows, test.truth), facts["context"])
    wrong = [
        f"{name} {found[name]:.6g}; expected {value:.6g}"
        for name, value in decision.metrics.items()
        if name in found and not math.isclose(found[name], value, rel_tol=1e-6, abs_tol=1e-9)
    ]
    return Proof("figures", "changed" if wrong else "same", ", ".join(wrong) or f"{len(found)} metrics measured again")
