"""What a decision finds and mends: packages, challenges, files of dead processes, pointers of old releases, faults."""

from __future__ import annotations

import pytest
from registry_attacks import make_decision

from tiltyard import files
from tiltyard.errors import RegistryError
from tiltyard.registry.ledger import Ledger
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def crown(workspace: Workspace, version: str) -> None:
    """Make a version champion."""
    Registry(workspace).promote(make_decision(version, "PROMOTE"))


def test_the_package_of_a_version_is_here_or_told_where(workspace: Workspace) -> None:
    """Its folder; else where it is expected, and how it is fetched if DVC knows it."""
    folder = workspace.package("iris", "v1")
    folder.mkdir(parents=True)
    assert Registry(workspace).package("iris", "v1") == folder
    folder.rmdir()
    place = folder.relative_to(workspace.root)
    for hint in ("", f"get it from the remote: dvc pull {place}"):
        with pytest.raises(RegistryError, match=f"the package of iris v1 is not here: expected {place}") as caught:
            Registry(workspace).package("iris", "v1")
        assert caught.value.hint == hint
        folder.with_name("v1.dvc").touch()


def test_a_promotion_ends_what_was_asked_of_the_champion_before(workspace: Workspace) -> None:
    """A challenge is against one champion; a decision that leaves it in place leaves the challenge too."""
    crown(workspace, "v1")
    files.write_json(workspace.traffic("iris"), {})
    Registry(workspace).record(make_decision("v2", "HOLD"))
    assert workspace.traffic("iris").is_file()
    crown(workspace, "v3")
    assert not workspace.traffic("iris").exists()


def test_a_line_that_only_an_old_pointer_knows_is_written_by_the_next_change(workspace: Workspace) -> None:
    """One from before pointers held hashes: its decision becomes the line that follows, once."""
    registry, old = Registry(workspace), make_decision("a", "PROMOTE").model_dump(mode="json")
    workspace.champion("iris").parent.mkdir(parents=True)
    files.write_json(workspace.champion("iris"), {"task": "iris", "version": "a", "decision": old})
    for version in ("b", "c"):
        registry.record(make_decision(version, "HOLD"))
    lines = registry.decisions("iris")
    assert [(line.version, line.verdict) for line in lines] == [("a", "PROMOTE"), ("b", "HOLD"), ("c", "HOLD")]
    assert lines[0].id == old["id"]
    assert registry.faults("iris") == []


def test_a_promotion_that_is_under_way_is_no_fault(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pointer is there before its line; a pointer whose line never followed is one."""
    crown(workspace, "a")
    with monkeypatch.context() as killed:
        killed.setattr("tiltyard.registry.ledger.Ledger.append", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Registry(workspace).promote(make_decision("b", "PROMOTE"))
    registry, path = Registry(workspace), workspace.champion("iris")
    assert registry.faults("iris") == []
    whole = files.read_json(path)
    files.write_json(path, {**whole, "decision": {**whole["decision"], "reasons": ["none"]}})
    assert registry.faults("iris") == ["the decision in the pointer is not in the ledger"]


def test_half_written_files_of_a_dead_process_are_removed(workspace: Workspace) -> None:
    """By the next decision, beside pointer and ledger; other files stay."""
    crown(workspace, "a")
    folders = {workspace.champion("iris").parent, workspace.ledger("iris").parent}
    for folder in folders:
        (folder / f".iris.json-{'0' * 32}").write_text("{")
        (folder / "other").touch()
    Registry(workspace).record(make_decision("b", "HOLD"))
    assert not [path.name for folder in folders for path in folder.glob(".iris*")]
    assert all((folder / "other").is_file() for folder in folders)


def test_a_ledger_without_a_champion_is_checked_too(workspace: Workspace) -> None:
    """Where all were held there is no pointer, but each line holds the one before it."""
    registry, path = Registry(workspace), workspace.ledger("iris")
    for version in ("a", "b"):
        registry.record(make_decision(version, "HOLD"))
    assert registry.faults("iris") == []
    path.write_bytes(path.read_bytes().replace(b'"so"', b'"no"', 1))
    assert [fault.partition(" of ")[0] for fault in registry.faults("iris")] == ["line 1", "line 2"]


def test_a_line_without_a_hash_behind_lines_that_have_one_was_put_in(workspace: Workspace) -> None:
    """Though it claims to be from before there were hashes; as the first line it may be."""
    crown(workspace, "a")
    path, old = workspace.ledger("iris"), make_decision("b", "HOLD").model_dump_json().encode() + b"\n"
    whole = path.read_bytes()
    put_in = "was inserted: expected the hash of the line before; it has none"
    for content, places in ((whole + old, ["line 2"]), (old + whole, list[str]())):
        path.write_bytes(content)
        told = [fault for fault in Registry(workspace).faults("iris") if fault.endswith(put_in)]
        assert [fault.partition(" of ")[0] for fault in told] == places


def test_the_hash_of_a_line_does_not_depend_on_the_order_of_its_keys(workspace: Workspace) -> None:
    """As a pointer may be written by another program; another value has another hash."""
    crown(workspace, "a")
    ledger = Ledger(workspace.ledger("iris"))
    line = ledger.next_line(make_decision("b", "HOLD"))
    assert ledger.follows(dict(reversed(line.items())))
    assert not ledger.follows({**line, "version": "c"})


def test_a_line_that_is_no_decision_hides_no_other_fault(workspace: Workspace) -> None:
    """What was changed elsewhere is told before it."""
    crown(workspace, "a")
    Registry(workspace).record(make_decision("b", "HOLD"))
    path = workspace.ledger("iris")
    path.write_bytes(path.read_bytes().replace(b'"so"', b'"no"', 1).replace(b'"HOLD"', b'"KEEP"'))
    told = Registry(workspace).faults("iris")
    assert "line 1" in told[0]
    assert "is not a decision" in told[-1]


def test_a_repair_removes_a_torn_last_line(workspace: Workspace) -> None:
    """The rest of a killed write is removed from the file, also if no decision is added."""
    crown(workspace, "a")
    path = workspace.ledger("iris")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"task": "ir')
    Registry(workspace).repair("iris")
    assert path.read_bytes() == whole


def test_entries_of_a_task_without_a_champion(workspace: Workspace) -> None:
    """A ledger of held versions has an entry for each line."""
    Registry(workspace).record(make_decision("a", "HOLD"))
    assert [(entry.verdict, entry.version) for entry in Registry(workspace).entries("iris")] == [("HOLD", "a")]
