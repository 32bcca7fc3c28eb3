"""HOLD and REJECT: what to do next, the diagnosis of the fit among it, and an exit status that CI can tell apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from linear_challengers import prepared_project, quick_package, write_challenger
from workspaces import edit_task, fetch_raw, main

from pipelines.task_outcome import TaskOutcome
from tiltyard import files
from tiltyard.cli.output import tables
from tiltyard.config import loader
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.next_steps import next_steps
from tiltyard.gate.promote import promote
from tiltyard.gate.verdict import Verdict, Word
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

DIAGNOSIS = {"verdict": "over-fit", "reason": "it takes 90% off on training rows and 10% on others", "findings": []}


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Iris with a good champion, and a blind challenger that nobody has judged yet."""
    workspace, task = prepared_project(tmp_path_factory.mktemp("held"), "iris")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiltyard.serving.packaging.package.package", quick_package)
        patch.setattr("tiltyard.gate.duel_setup.simple", lambda *_: None)
        write_challenger(workspace, task, slice(4))
        assert promote(workspace, task).verdict == "PROMOTE"
    write_challenger(workspace, task, slice(0))
    path = workspace.out("iris", "train") / "training.json"
    files.write_json(path, {**files.read_json(path), "diagnosis": DIAGNOSIS})
    return workspace


def test_a_challenger_that_does_not_win_ends_with_its_own_status(
    held: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """3 or 4 by the verdict, with reasons, the fit and commands to type; as JSON the same."""
    monkeypatch.chdir(held.root)
    monkeypatch.setattr("tiltyard.gate.duel_setup.simple", lambda *_: None)
    status = main(monkeypatch, "promote", "iris", "--dry-run", "--json")
    (told,) = json.loads(capsys.readouterr().out)
    assert status == {"HOLD": 3, "REJECT": 4}[told["verdict"]]
    assert told["next"]["fit"] == [f"fit: over-fit: {DIAGNOSIS['reason']}"]
    assert main(monkeypatch, "promote", "iris", "--dry-run") == status
    out = capsys.readouterr().out
    assert all(reason in out for reason in told["reasons"])
    assert "fit: over-fit: it takes 90% off" in out
    assert "next: tiltyard why iris" in out
    assert "edit tasks/iris.yaml" in out
    assert "dropout" in out


def test_the_champion_that_comes_again_is_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is neither held nor a failure."""
    workspace, task = prepared_project(tmp_path / "again", "iris")
    monkeypatch.chdir(workspace.root)
    monkeypatch.setattr("tiltyard.serving.packaging.package.package", quick_package)
    monkeypatch.setattr("tiltyard.gate.duel_setup.simple", lambda *_: None)
    write_challenger(workspace, task, slice(4))
    assert [main(monkeypatch, "promote", "iris") for _ in range(2)] == [0, 0]
    assert "iris: unchanged" in capsys.readouterr().out


def verdict(word: Word, *failed: str, champion: str | None = "old") -> Verdict:
    """Return a verdict in which checks of these codes failed."""
    outcomes = [
        Outcome(code=code, title=code, state="failed", text="it did not", severity="HOLD", repeatable=True)
        for code in failed
    ]
    return Verdict("iris", word, "new", champion, ["it did not"], outcomes)


def test_what_is_next_depends_on_what_failed(workspace: Workspace) -> None:
    """A word of a person, fresh rows, a search that the task names, or its settings; nothing after a promotion."""
    task = loader.load(workspace, "iris")
    commands = [
        " ".join(next_steps(workspace, task, verdict("HOLD", *failed)).commands)
        for failed in (["approval"], ["test_reuse"], ["champion", "approval"], [])
    ]
    assert commands[0] == "tiltyard approve iris"
    assert "tiltyard prepare iris --reseal" in commands[1]
    assert "edit tasks/iris.yaml" in commands[2]
    assert commands[3] == "tiltyard history iris"
    edit_task(workspace, "iris", {"search": {"train.epochs": {"low": 3, "high": 9}}})
    searching = loader.load(workspace, "iris")
    assert "tiltyard search iris --apply" in next_steps(workspace, searching, verdict("HOLD", "champion")).commands
    assert not next_steps(workspace, task, verdict("PROMOTE")).commands
    assert not next_steps(workspace, task, verdict("HOLD", champion="new")).commands


def test_a_run_exits_by_its_gravest_verdict(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> None:
    """REJECT before HOLD; and the table is followed by reasons, fit and commands."""
    task = loader.load(workspace, "iris")
    rows = [TaskOutcome("iris", verdict=word) for word in ("PROMOTE", "unchanged", "HOLD", "REJECT", "ok")]
    assert [row.status for row in rows] == [0, 0, 3, 4, 0]
    rows[2].next, rows[2].reasons = next_steps(workspace, task, verdict("HOLD", "champion")), ["it did not"]
    tables.print_outcomes([rows[2]])
    out = capsys.readouterr().out
    assert "iris: it did not" in out
    assert "tiltyard why iris" in out


def test_of_several_tasks_a_broken_one_leaves_the_others_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be meant, and one without raw data: the third is prepared, and the command ends with 1."""
    fetch_raw(workspace, "diabetes")
    workspace.task_file("digits").write_text("title: [")
    for arguments in (("prepare", "digits", "iris", "diabetes"), ("prepare", "digits", "diabetes", "iris", "--json")):
        assert main(monkeypatch, *arguments) == 1
        told = capsys.readouterr()
        assert "error: tasks/digits.yaml: not YAML: line 1" in told.err
        assert "error: no raw data: expected iris/" in told.err
        assert "tiltyard fetch iris" in told.err
        assert "265 train" in told.out or set(json.loads(told.out)) == {"diabetes"}
    assert workspace.out("diabetes", "prepare").is_dir()


def test_a_slip_of_the_hand_runs_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a name is unknown, the known ones are not begun."""
    fetch_raw(workspace, "diabetes")
    assert main(monkeypatch, "prepare", "diabetes", "irish") == 1
    assert not workspace.out("diabetes", "prepare").exists()


def test_alone_a_failure_is_an_error_as_ever(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One task, one sentence, one hint."""
    with pytest.raises(Exception, match="no raw data"):
        prepare.prepare(workspace, loader.load(workspace, "iris"))
    assert main(monkeypatch, "prepare", "iris") == 1
    assert capsys.readouterr().err.count("error: ") == 1
