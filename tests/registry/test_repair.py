"""Checks and repairs before a decision: packages, rollouts, temporary files, old pointers and faults."""

from __future__ import annotations

import pytest
from registry_attacks import make_decision

from tiltyard import files
from tiltyard.errors import RegistryError
from tiltyard.registry.ledger import Ledger
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def promote_version(workspace: Workspace, version: str) -> None:
    """Make a version champion."""
    Registry(workspace).promote(make_decision(version, "PROMOTE"))


def test_missing_package_is_reported_with_its_path(workspace: Workspace) -> None:
    """The folder of an existing package is returned; the error names the expected path, and `dvc pull` if it helps."""
    folder = workspace.package("iris", "v1")
    folder.mkdir(parents=True)
    assert Registry(workspace).package("iris", "v1") == folder
    folder.rmdir()
    path = folder.relative_to(workspace.root)
    for hint in ("", f"get it from the remote: dvc pull {path}"):
        with pytest.raises(RegistryError, match=f"the package of iris v1 is not here: expected {path}") as caught:
            Registry(workspace).package("iris", "v1")
        assert caught.value.hint == hint
        folder.with_name("v1.dvc").touch()


def test_promotion_ends_the_rollout_against_the_previous_champion(workspace: Workspace) -> None:
    """A promotion ends a rollout, and a HOLD does not."""
    promote_version(workspace, "v1")
    files.write_json(workspace.traffic("iris"), {})
    Registry(workspace).record(make_decision("v2", "HOLD"))
    assert workspace.traffic("iris").is_file()
    promote_version(workspace, "v3")
    assert not workspace.traffic("iris").exists()


def test_decision_in_an_old_pointer_is_added_to_the_ledger(workspace: Workspace) -> None:
    """If a pointer without hashes has a decision that the ledger lacks, the next decision adds its line once."""
    registry, old = Registry(workspace), make_decision("a", "PROMOTE").model_dump(mode="json")
    workspace.champion("iris").parent.mkdir(parents=True)
    files.write_json(workspace.champion("iris"), {"task": "iris", "version": "a", "decision": old})
    for version in ("b", "c"):
        registry.record(make_decision(version, "HOLD"))
    lines = registry.decisions("iris")
    assert [(line.version, line.verdict) for line in lines] == [("a", "PROMOTE"), ("b", "HOLD"), ("c", "HOLD")]
    assert lines[0].id == old["id"]
    assert registry.faults("iris") == []


def test_unfinished_promotion_is_no_fault(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pointer may be written before its ledger line, but must not contradict the ledger."""
    promote_version(workspace, "a")
    with monkeypatch.context() as patch:
        patch.setattr("tiltyard.registry.ledger.Ledger.append", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Registry(workspace).promote(make_decision("b", "PROMOTE"))
    registry, path = Registry(workspace), workspace.champion("iris")
    assert registry.faults("iris") == []
    whole = files.read_json(path)
    files.write_json(path, {**whole, "decision": {**whole["decision"], "reasons": ["none"]}})
    assert registry.faults("iris") == ["the decision in the pointer is not in the ledger"]


def test_temporary_files_of_a_dead_process_are_removed(workspace: Workspace) -> None:
    """The next decision removes temporary files next to pointer and ledger, and no other files."""
    promote_version(workspace, "a")
    folders = {workspace.champion("iris").parent, workspace.ledger("iris").parent}
    for folder in folders:
        (folder / f".iris.json-{'0' * 32}").write_text("{")
        (folder / "other").touch()
    Registry(workspace).record(make_decision("b", "HOLD"))
    assert not [path.name for folder in folders for path in folder.glob(".iris*")]
    assert all((folder / "other").is_file() for folder in folders)


def test_ledger_without_a_champion_is_verified(workspace: Workspace) -> None:
    """Without any promotion there is no pointer, but the hash chain still reveals changed lines."""
    registry, path = Registry(workspace), workspace.ledger("iris")
    for version in ("a", "b"):
        registry.record(make_decision(version, "HOLD"))
    assert registry.faults("iris") == []
    path.write_bytes(path.read_bytes().replace(b'"so"', b'"no"', 1))
    assert [fault.partition(" of ")[0] for fault in registry.faults("iris")] == ["line 1", "line 2"]


def test_line_without_hash_after_hashed_lines_is_a_fault(workspace: Workspace) -> None:
    """A line without hash is accepted at the beginning only, since old ledgers have no hashes."""
    promote_version(workspace, "a")
    path, old = workspace.ledger("iris"), make_decision("b", "HOLD").model_dump_json().encode() + b"\n"
    whole = path.read_bytes()
    message = "was inserted: expected the hash of the line before; it has none"
    for content, lines in ((whole + old, ["line 2"]), (old + whole, list[str]())):
        path.write_bytes(content)
        faults = [fault for fault in Registry(workspace).faults("iris") if fault.endswith(message)]
        assert [fault.partition(" of ")[0] for fault in faults] == lines


def test_line_hash_does_not_depend_on_key_order(workspace: Workspace) -> None:
    """Another program may order the keys of a pointer differently; a changed value changes the hash."""
    promote_version(workspace, "a")
    ledger = Ledger(workspace.ledger("iris"))
    line = ledger.next_line(make_decision("b", "HOLD"))
    assert ledger.follows(dict(reversed(line.items())))
    assert not ledger.follows({**line, "version": "c"})


def test_invalid_line_does_not_hide_other_faults(workspace: Workspace) -> None:
    """A changed line before the invalid one is reported, too."""
    promote_version(workspace, "a")
    Registry(workspace).record(make_decision("b", "HOLD"))
    path = workspace.ledger("iris")
    path.write_bytes(path.read_bytes().replace(b'"so"', b'"no"', 1).replace(b'"HOLD"', b'"KEEP"'))
    faults = Registry(workspace).faults("iris")
    assert "line 1" in faults[0]
    assert "is not a decision" in faults[-1]


def test_repair_removes_an_incomplete_last_line(workspace: Workspace) -> None:
    """The rest of a killed write is removed from the file, also if no decision is added."""
    promote_version(workspace, "a")
    path = workspace.ledger("iris")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"task": "ir')
    Registry(workspace).repair("iris")
    assert path.read_bytes() == whole


def test_entries_of_a_task_without_a_champion(workspace: Workspace) -> None:
    """A ledger of held versions has an entry for each line."""
    Registry(workspace).record(make_decision("a", "HOLD"))
    assert [(entry.verdict, entry.version) for entry in Registry(workspace).entries("iris")] == [("HOLD", "a")]
