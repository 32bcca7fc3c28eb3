"""Tampering: contradictions between ledger, head and pointer are detected; interrupted writes are no fault."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from registry_attacks import (
    ATTACKS,
    STEPS,
    Attack,
    delete_head,
    duplicate_key,
    duplicate_nested_key,
    ledger_lines,
    make_decision,
    record_decisions,
    remove_last_line,
)

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import RegistryError
from tiltyard.registry.registry import Registry
from tiltyard.registry.verify import verify
from tiltyard.workspace import Workspace


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("steps", [STEPS, STEPS[:4]], ids=["a reject is last", "a promotion is last"])
def test_inconsistent_files_are_detected(workspace: Workspace, attack: Attack, steps: list[tuple[str, str]]) -> None:
    """Each attack is detected at once and after later decisions."""
    registry = record_decisions(workspace, steps=steps)
    assert registry.faults("iris") == []
    attack(workspace, ledger_lines(workspace))
    assert registry.faults("iris")
    if attack in (duplicate_key, duplicate_nested_key):
        with pytest.raises(RegistryError, match="expected each key once; received"):
            registry.decisions("iris")
        return
    restored = attack is delete_head or (steps is not STEPS and attack is remove_last_line)  # nothing was lost
    registry.record(make_decision("z", "HOLD"))
    assert restored or registry.faults("iris"), "a later decision hides the fault"


def test_missing_promotion_is_restored_from_the_pointer(workspace: Workspace) -> None:
    """The next decision writes the line that the pointer holds again, byte for byte."""
    registry = record_decisions(workspace, steps=STEPS[:4])
    before = workspace.ledger("iris").read_bytes()
    remove_last_line(workspace, ledger_lines(workspace))
    assert registry.faults("iris")
    registry.record(make_decision("z", "HOLD"))
    assert workspace.ledger("iris").read_bytes().startswith(before)
    assert registry.faults("iris") == []


def test_interrupted_change_is_no_fault(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill after any write of a promotion or decision leaves no fault, and the next change finishes it."""
    registry = record_decisions(workspace)

    class Killed(BaseException):
        """Ends the code at this point, as a kill does."""

    for version, verdict in (("f", "PROMOTE"), ("g", "HOLD")):
        write_decision = registry.promote if verdict == "PROMOTE" else registry.record
        for writes in range(4):
            remaining = [writes]

            def fail(
                path: Path, content: bytes, remaining: list[int] = remaining, real: Any = files.write_bytes
            ) -> None:
                if not remaining[0]:
                    raise Killed
                remaining[0] -= 1
                real(path, content)

            with monkeypatch.context() as patch:
                patch.setattr(files, "write_bytes", fail)
                with contextlib.suppress(Killed):
                    write_decision(make_decision(f"{version}{writes}", verdict))
            assert registry.faults("iris") == [], (version, writes)
    registry.record(make_decision("h", "HOLD"))
    assert registry.faults("iris") == []
    assert len(files.read_json(workspace.champion("iris"))["ledger"]["hashes"]) == len(ledger_lines(workspace))


def test_ledger_without_hashes_is_accepted_and_reported(workspace: Workspace) -> None:
    """An old ledger and pointer without hashes are no fault; later decisions add hashes."""
    old = [make_decision("a", "PROMOTE"), make_decision("b", "HOLD")]
    workspace.ledger("iris").parent.mkdir(parents=True)
    workspace.ledger("iris").write_text("".join(line.model_dump_json() + "\n" for line in old))
    content = {"task": "iris", "version": "a", "decision": old[0].model_dump(mode="json")}
    files.write_json(workspace.champion("iris"), content)
    registry = Registry(workspace)
    assert registry.faults("iris") == []
    (row,) = [row for row in verify(workspace, loader.load(workspace, "iris")) if row["what"] == "ledger"]
    assert (row["state"], row["text"]) == (
        "same",
        "2 lines, hash chain intact, unsigned; their hashes were not recorded in the pointer",
    )
    registry.record(make_decision("c", "REJECT"))
    assert registry.faults("iris") == []
    text = workspace.ledger("iris").read_text()
    workspace.ledger("iris").write_text(text.replace('"so"', '"no"', 1))
    assert registry.faults("iris")


def test_inconsistent_pointer_is_refused(workspace: Workspace) -> None:
    """Different versions or tasks inside one pointer are an error."""
    registry, path = record_decisions(workspace), workspace.champion("iris")
    intact = files.read_json(path)
    for change, text in (
        ({"version": "f"}, "contradicts itself: its version is f, that of its decision d"),
        ({"task": "sine"}, "contradicts itself: its task is sine, that of its decision iris"),
        ({"task": "sine", "decision": {**intact["decision"], "task": "sine"}}, "is about another task: expected iris"),
        ({"ledger": {"hashes": "none"}}, "holds no readable hashes"),
        ({"ledger": 3}, "holds no readable hashes"),
    ):
        files.write_json(path, {**intact, **change})
        with pytest.raises(RegistryError, match=text) as caught:
            registry.champion("iris")
        assert "git checkout" in caught.value.hint
    path.write_text(json.dumps(intact).replace('{"task"', '{"version": "f", "task"', 1))
    with pytest.raises(RegistryError, match="is not a champion pointer"):
        registry.champion("iris")
