"""The registry: champion pointer, ledger, rollback, and recovery from kills."""

from __future__ import annotations

import json
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import RegistryError
from tiltyard.registry.aliases import aliases, resolve_version
from tiltyard.registry.decision import Decision, provenance
from tiltyard.registry.ledger import Ledger
from tiltyard.registry.queries import compare, history, status, why
from tiltyard.registry.registry import Registry, champion_history, rolled_back
from tiltyard.registry.rollback import restore_previous, rollback
from tiltyard.report.report import report
from tiltyard.workspace import Workspace


def make_decision(version: str, verdict: str = "PROMOTE", before: str | None = None) -> Decision:
    """Return a decision about iris."""
    metrics = {"accuracy": 0.9}
    return Decision.model_validate(
        {
            "task": "iris",
            "verdict": verdict,
            "version": version,
            "champion": before,
            "reasons": ["so"],
            "metrics": metrics,
        }
        | {"metric": "accuracy", "parameters": {"epochs": 3}}
    )


def promote_versions(workspace: Workspace, *versions: str) -> None:
    """Promote versions one after the other, each with a package."""
    registry, before = Registry(workspace), None
    for version in versions:
        workspace.package("iris", version).mkdir(parents=True)
        registry.promote(make_decision(version, before=before))
        before = version


def champion(workspace: Workspace) -> str | None:
    """Return the champion's version."""
    current = Registry(workspace).champion("iris")
    return current.version if current else None


def test_new_project_has_no_champion(workspace: Workspace) -> None:
    """Without decisions there is no champion, and reading writes nothing."""
    assert champion(workspace) is None
    assert Registry(workspace).decisions("iris") == []
    assert not (workspace.root / "serving" / "ledger").exists()


def test_pointer_contains_the_whole_decision(workspace: Workspace) -> None:
    """The decision can be read from the pointer alone."""
    registry, decision = Registry(workspace), make_decision("a")
    registry.promote(decision)
    current = registry.champion("iris")
    assert current is not None
    assert (current.task, current.version, current.decision) == ("iris", "a", decision)
    assert registry.decisions("iris") == [decision]


def test_ledger_is_append_only(workspace: Workspace) -> None:
    """Earlier lines keep their bytes."""
    registry = Registry(workspace)
    registry.promote(make_decision("a"))
    first = workspace.ledger("iris").read_bytes()
    registry.record(make_decision("b", "HOLD", before="a"))
    assert workspace.ledger("iris").read_bytes().startswith(first)
    assert [decision.verdict for decision in registry.decisions("iris")] == ["PROMOTE", "HOLD"]
    assert champion(workspace) == "a"


def test_line_missing_from_the_ledger_is_restored_from_the_pointer(workspace: Workspace) -> None:
    """A kill between pointer and ledger loses no decision."""
    registry = Registry(workspace)
    registry.promote(make_decision("a"))
    whole = workspace.ledger("iris").read_bytes()
    registry.promote(make_decision("b", before="a"))
    workspace.ledger("iris").write_bytes(whole)
    assert [decision.version for decision in registry.decisions("iris")] == ["a", "b"]
    assert workspace.ledger("iris").read_bytes() == whole
    registry.record(make_decision("c", "HOLD", before="b"))
    assert [line.version for line in registry.decisions("iris")] == ["a", "b", "c"]
    assert workspace.ledger("iris").read_bytes().count(b"\n") == 3


def test_incomplete_last_line_is_dropped(workspace: Workspace) -> None:
    """Half a line, as a kill during the write leaves it, is ignored and then removed."""
    registry = Registry(workspace)
    registry.promote(make_decision("a"))
    with workspace.ledger("iris").open("ab") as file:
        file.write(make_decision("b", "HOLD").model_dump_json().encode()[:-40])
    assert [line.version for line in registry.decisions("iris")] == ["a"]
    registry.record(make_decision("c", "HOLD"))
    assert [line.version for line in registry.decisions("iris")] == ["a", "c"]


def test_last_line_without_line_end_is_kept(workspace: Workspace) -> None:
    """A missing final line end, as some editors leave it, loses no decision."""
    registry = Registry(workspace)
    registry.promote(make_decision("a"))
    workspace.ledger("iris").write_bytes(workspace.ledger("iris").read_bytes().rstrip())
    registry.record(make_decision("b", "HOLD"))
    assert [line.version for line in registry.decisions("iris")] == ["a", "b"]


def test_damaged_line_is_reported_with_its_number(workspace: Workspace) -> None:
    """A conflict marker is refused with its line number, and the hint restores the file."""
    Registry(workspace).promote(make_decision("a"))
    path = workspace.ledger("iris")
    path.write_text(path.read_text() + "<<<<<<< HEAD\n" + path.read_text())
    with pytest.raises(
        RegistryError, match=r"line 2 of .*iris\.jsonl is not a decision: expected one JSON object"
    ) as caught:
        Registry(workspace).decisions("iris")
    assert "git checkout" in caught.value.hint


def test_pointer_with_an_edited_decision_is_refused(workspace: Workspace) -> None:
    """The message names the invalid field, also for an old pointer and before the next decision is written."""
    registry = Registry(workspace)
    registry.promote(make_decision("a"))
    path = workspace.champion("iris")
    pointer = files.read_json(path)
    pointer["decision"] |= {"id": "another", "checks": [{"observed": "much"}]}
    del pointer["ledger"]
    files.write_json(path, pointer)
    for read in (registry.champion, registry.decisions, registry.repair):
        with pytest.raises(RegistryError, match=r"not a champion pointer: .*; decision\.checks: 0\.code: "):
            read("iris")


def test_actor_name_with_invalid_utf8_is_recorded(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of TILTYARD_ACTOR that are not UTF-8 are replaced."""
    monkeypatch.setitem(os.environ, "TILTYARD_ACTOR", os.fsdecode(b"ann\xff"))
    Registry(workspace).promote(Decision.model_validate({**make_decision("a").model_dump(), **provenance(workspace)}))
    assert Registry(workspace).decisions("iris")[0].who == "ann?"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "a"}', '{"decision": {"version": 3}}'])
def test_damaged_pointer_is_refused(workspace: Workspace, content: str) -> None:
    """An invalid pointer is an error, not an absent champion."""
    path = workspace.champion("iris")
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(RegistryError, match="is not a champion pointer: expected task, version and decision"):
        Registry(workspace).champion("iris")


def test_each_rollback_restores_the_previous_champion(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rollbacks go back two champions; each records its reason and actor."""
    monkeypatch.setenv("TILTYARD_ACTOR", "anna")
    promote_versions(workspace, "a", "b", "c")
    task = loader.load(workspace, "iris")
    first = rollback(workspace, task)
    assert (first.version, first.champion, champion(workspace)) == ("b", "c", "b")
    assert first.reasons == ["rolled back from c to b by anna"]
    assert first.metrics == {"accuracy": 0.9}
    assert first.parameters == {"epochs": 3}
    assert rollback(workspace, task).version == champion(workspace) == "a"
    with pytest.raises(RegistryError, match="no champion of iris before a to roll back to: it is the first"):
        rollback(workspace, task)
    assert [line.verdict for line in Registry(workspace).decisions("iris")] == ["PROMOTE"] * 3 + ["ROLLBACK"] * 2


def test_rollback_skips_a_champion_without_package(workspace: Workspace) -> None:
    """A champion whose package is missing is skipped."""
    promote_versions(workspace, "a", "b", "c")
    workspace.package("iris", "b").rmdir()
    assert restore_previous(workspace, "iris").version == "a"


def test_rollback_without_earlier_packages_is_refused(workspace: Workspace) -> None:
    """Without an earlier package the rollback is refused and the champion stays."""
    promote_versions(workspace, "a", "b")
    workspace.package("iris", "a").rmdir()
    with pytest.raises(RegistryError, match="before b to roll back to: the packages of a are not here"):
        restore_previous(workspace, "iris")
    assert champion(workspace) == "b"


def test_rollback_without_champion_is_refused(workspace: Workspace) -> None:
    """Without a champion the error says how to get one."""
    with pytest.raises(RegistryError, match="no champion of iris to roll back") as caught:
        restore_previous(workspace, "iris")
    assert caught.value.hint == "make one: tiltyard run iris"


def test_rolled_back_version_is_listed_until_promoted_again(workspace: Workspace) -> None:
    """A rolled-back version is listed until it is promoted again."""
    promote_versions(workspace, "a", "b")
    registry = Registry(workspace)
    restore_previous(workspace, "iris")
    assert rolled_back(registry.decisions("iris")).keys() == {"b"}
    registry.promote(make_decision("b", before="a"))
    assert rolled_back(registry.decisions("iris")) == {}


def test_status_has_all_tasks_and_history_all_decisions(workspace: Workspace) -> None:
    """Status has a row for each task, with or without a champion; history has all decisions."""
    promote_versions(workspace, "a")
    Registry(workspace).record(make_decision("b", "HOLD", before="a"))
    rows = {row["task"]: row for row in status(workspace)}
    assert rows.keys() == {"diabetes", "digits", "iris", "sine"}
    assert rows["iris"]["version"] == "a"
    assert rows["iris"]["value"] == 0.9
    assert rows["iris"]["verdict"] == "HOLD"
    assert rows["sine"]["version"] is rows["sine"]["verdict"] is None
    lines = history(workspace, loader.load(workspace, "iris"))
    assert [line["version"] for line in lines] == ["a", "b"]


def test_provenance_outside_git_has_no_commit(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside git the commit is None, and the actor is still recorded."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(workspace.root.parent))
    monkeypatch.setenv("TILTYARD_ACTOR", "nightly")
    assert provenance(workspace) == {"commit": None, "dirty": None, "who": "nightly"}


def test_unknown_fields_of_a_decision_are_ignored(workspace: Workspace) -> None:
    """Unknown fields of a decision are ignored, so that a ledger survives a downgrade."""
    Registry(workspace).promote(make_decision("a"))
    pointer = files.read_json(workspace.champion("iris"))
    pointer["decision"]["moon"] = "full"
    files.write_json(workspace.champion("iris"), pointer)
    assert champion(workspace) == "a"


def test_lock_waits_until_it_is_released(workspace: Workspace) -> None:
    """A second process waits until the first releases the lock."""
    registry, order = Registry(workspace), []

    def second() -> None:
        with Registry(workspace).lock("iris"):
            order.append("second")

    thread = threading.Thread(target=second)
    with registry.lock("iris"):
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


@given(st.lists(st.sampled_from(["promote", "rollback", "hold"]), max_size=20))
def test_champion_history_ends_with_the_champion(steps: list[str]) -> None:
    """After any promotions and rollbacks the history ends with the champion, and contains no rolled-back version."""
    stack, decisions = [], []
    for number, step in enumerate(steps):
        if step == "promote":
            stack.append(f"v{number}")
            decisions.append(make_decision(stack[-1]))
        elif step == "rollback" and len(stack) > 1:
            before = stack.pop()
            decisions.append(make_decision(stack[-1], "ROLLBACK", before=before))
        else:
            decisions.append(make_decision("held", "HOLD"))
    assert [decision.version for decision in champion_history(decisions)] == stack
    assert not rolled_back(decisions).keys() & set(stack)


def _tamper(text: str, manipulation: str) -> str:
    """Return a ledger of three lines, tampered with in a given way."""
    first, second, third = text.splitlines()
    inserted = json.dumps({key: value for key, value in json.loads(second).items() if key != "chain"})
    return "\n".join(
        {
            "edited": [first, second.replace('"so"', '"no"'), third],
            "removed": [first, third],
            "swapped": [second, first, third],
            "truncated": [first, second],
            "emptied": [],
            "inserted": [first, inserted, second, third],
            "reformatted": [first, second.replace('":', '" :', 1), third],
        }[manipulation]
        + [""]
    )


@pytest.mark.parametrize(
    "manipulation", ["edited", "removed", "swapped", "truncated", "emptied", "inserted", "reformatted"]
)
def test_tampered_ledger_is_detected(workspace: Workspace, manipulation: str) -> None:
    """The hash chain and the head detect every manipulation."""
    registry, ledger = Registry(workspace), Ledger(workspace.ledger("iris"))
    registry.promote(make_decision("a"))
    registry.record(make_decision("b", "HOLD", before="a"))
    registry.record(make_decision("c", "REJECT", before="a"))
    assert ledger.faults() == []
    ledger.path.write_text(_tamper(ledger.path.read_text(), manipulation))
    assert ledger.faults()


def test_ledger_without_hashes_is_continued(workspace: Workspace) -> None:
    """The first hashed line covers the lines before it."""
    path = workspace.ledger("iris")
    path.parent.mkdir(parents=True)
    path.write_text(make_decision("a").model_dump_json() + "\n")
    ledger = Ledger(path)
    assert ledger.faults() == []
    ledger.append(make_decision("b", "HOLD"))
    assert ledger.faults() == []
    path.write_text(path.read_text().replace('"so"', '"no"', 1))
    assert len(ledger.faults()) == 1


def test_head_that_is_one_line_behind_is_no_fault(workspace: Workspace) -> None:
    """The head may be one line behind; any other difference is a fault."""
    ledger = Ledger(workspace.ledger("iris"))
    ledger.append(make_decision("a"))
    before = ledger.head.read_text()
    ledger.append(make_decision("b", "HOLD"))
    ledger.head.write_text(before)
    assert ledger.faults() == []
    ledger.head.write_text("1 0000\n")
    assert "does not end with the hash" in ledger.faults()[0]
    ledger.head.unlink()
    assert "is missing" in ledger.faults()[0]


def test_aliases_and_prefixes_of_versions_are_resolved(workspace: Workspace) -> None:
    """Aliases and unique prefixes are resolved; other names are refused with the known ones."""
    promote_versions(workspace, "aaaa1", "bbbb2", "bbbb3")
    task = loader.load(workspace, "iris")
    assert aliases(workspace, task) == {"champion": "bbbb3", "previous": "bbbb2"}
    assert [resolve_version(workspace, task, name) for name in ("previous", "aaaa", "bbbb3")] == [
        "bbbb2",
        "aaaa1",
        "bbbb3",
    ]
    for unknown in ("bbbb", "aaa", "cccc"):
        with pytest.raises(RegistryError, match=f"expected one version of iris: champion, .*received {unknown}"):
            resolve_version(workspace, task, unknown)


def test_why_returns_the_last_decision_about_a_version(workspace: Workspace) -> None:
    """Without a version it is the last of all; without decisions it is an error."""
    task = loader.load(workspace, "iris")
    with pytest.raises(RegistryError, match="nothing was decided about iris yet"):
        why(workspace, task)
    promote_versions(workspace, "aaaa1")
    Registry(workspace).record(make_decision("bbbb2", "HOLD", before="aaaa1"))
    assert why(workspace, task)["version"] == "bbbb2"
    assert why(workspace, task, "champion")["verdict"] == "PROMOTE"


def test_damaged_pointer_of_one_task_does_not_affect_others(workspace: Workspace) -> None:
    """Status and report show the other tasks; commands about this one fail with a hint."""
    promote_versions(workspace, "aaaa1")
    workspace.champion("sine").write_text('{"version": "aaaa1", "decision": {"version": "bbbb2"}}')
    rows = {row["task"]: row for row in status(workspace)}
    assert rows["iris"]["version"] == "aaaa1"
    assert rows["iris"]["mistake"] is None
    assert "contradicts itself" in rows["sine"]["mistake"]
    assert f"git checkout -- {workspace.champion('sine')}" in rows["sine"]["hint"]
    tasks = [loader.load(workspace, name) for name in ("sine", "iris")]
    report(workspace, tasks, workspace.root / "site")
    assert "contradicts itself" in (workspace.root / "site" / "sine.html").read_text()
    assert "aaaa1" in (workspace.root / "site" / "index.html").read_text()
    assert "cannot be read" in (workspace.root / "site" / "index.html").read_text()
    for verb in (history, why, lambda w, t: compare(w, t, "champion", "previous")):
        with pytest.raises(RegistryError, match="contradicts itself") as caught:
            verb(workspace, tasks[0])
        assert "git checkout" in caught.value.hint
