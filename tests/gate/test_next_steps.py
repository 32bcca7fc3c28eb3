"""HOLD and REJECT: the next steps, the diagnosis of the fit, and exit statuses that CI can distinguish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from linear_challengers import prepared_project, quick_package, write_challenger
from workspaces import edit_task, fetch_raw, main

from tiltyard import files
from tiltyard.cli.output import tables
from tiltyard.config import loader
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.next_steps import next_steps
from tiltyard.gate.promote import promote
from tiltyard.gate.verdict import Verdict, Word
from tiltyard.pipelines.task_outcome import TaskOutcome
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

DIAGNOSIS = {"verdict": "over-fit", "reason": "it takes 90% off on training rows and 10% on others", "findings": []}


@pytest.fixture(scope="module")
def weak_challenger(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """An iris project with a good champion, and a challenger without features that was not judged yet."""
    workspace, task = prepared_project(tmp_path_factory.mktemp("held"), "iris")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiltyard.serving.packaging.package.package", quick_package)
        patch.setattr("tiltyard.gate.duel_setup.fit_reference", lambda *_: None)
        write_challenger(workspace, task, slice(4))
        assert promote(workspace, task).verdict == "PROMOTE"
    write_challenger(workspace, task, slice(0))
    path = workspace.out("iris", "train") / "training.json"
    files.write_json(path, {**files.read_json(path), "diagnosis": DIAGNOSIS})
    return workspace


def test_promote_exits_with_3_without_a_promotion(
    weak_challenger: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """HOLD and REJECT exit with 3; JSON has the verdict; text and JSON have reasons, the fit and commands."""
    monkeypatch.chdir(weak_challenger.root)
    monkeypatch.setattr("tiltyard.gate.duel_setup.fit_reference", lambda *_: None)
    status = main(monkeypatch, "promote", "iris", "--dry-run", "--json")
    (result,) = json.loads(capsys.readouterr().out)
    assert (status, result["verdict"]) == (3, "REJECT")
    assert result["next"]["fit"] == [f"fit: over-fit: {DIAGNOSIS['reason']}"]
    assert main(monkeypatch, "promote", "iris", "--dry-run") == status
    out = capsys.readouterr().out
    assert all(reason in out for reason in result["reasons"])
    assert "fit: over-fit: it takes 90% off" in out
    assert "next: tiltyard why iris" in out
    assert "edit tasks/iris.yaml" in out
    assert "dropout" in out


def test_promoting_the_champion_again_is_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status is neither HOLD nor a failure."""
    workspace, task = prepared_project(tmp_path / "again", "iris")
    monkeypatch.chdir(workspace.root)
    monkeypatch.setattr("tiltyard.serving.packaging.package.package", quick_package)
    monkeypatch.setattr("tiltyard.gate.duel_setup.fit_reference", lambda *_: None)
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


def test_next_steps_depend_on_the_failed_checks(workspace: Workspace) -> None:
    """Next steps are an approval, fresh rows, a search or other settings; there are none after a promotion."""
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
    searchable = loader.load(workspace, "iris")
    assert "tiltyard search iris --apply" in next_steps(workspace, searchable, verdict("HOLD", "champion")).commands
    lost = next_steps(workspace, searchable, verdict("HOLD", "reference")).commands
    assert "or model: {family: reference}, which serves the reference" in lost["edit tasks/iris.yaml"]
    assert "model.blend_references: true, which averages the network" in lost["edit tasks/iris.yaml"]
    edit_task(workspace, "iris", {"model.blend_references": True})
    lost = next_steps(workspace, loader.load(workspace, "iris"), verdict("HOLD", "reference")).commands
    assert "model.blend_references" not in lost["edit tasks/iris.yaml"]
    assert not next_steps(workspace, task, verdict("PROMOTE")).commands
    assert not next_steps(workspace, task, verdict("HOLD", champion="new")).commands


def test_run_exits_with_3_if_a_challenger_was_not_promoted(
    capsys: pytest.CaptureFixture[str], workspace: Workspace
) -> None:
    """HOLD and REJECT have one exit status; the table is followed by reasons, fit and commands."""
    task = loader.load(workspace, "iris")
    rows = [TaskOutcome("iris", verdict=word) for word in ("PROMOTE", "unchanged", "HOLD", "REJECT", "ok")]
    assert [row.status for row in rows] == [0, 0, 3, 3, 0]
    rows[2].next, rows[2].reasons = next_steps(workspace, task, verdict("HOLD", "champion")), ["it did not"]
    tables.print_outcomes([rows[2]])
    out = capsys.readouterr().out
    assert "iris: it did not" in out
    assert "tiltyard why iris" in out


def test_broken_task_does_not_affect_the_others(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one invalid task file and one task without raw data, the third task is prepared and the status is 1."""
    fetch_raw(workspace, "diabetes")
    workspace.task_file("digits").write_text("title: [")
    for arguments in (("prepare", "digits", "iris", "diabetes"), ("prepare", "digits", "diabetes", "iris", "--json")):
        assert main(monkeypatch, *arguments) == 1
        captured = capsys.readouterr()
        assert "tasks/digits.yaml: not YAML: line 1" in captured.err
        assert "no raw data: expected iris/" in captured.err
        assert "tiltyard fetch iris" in captured.err
        assert "265 train" in captured.out or set(json.loads(captured.out)) == {"diabetes"}
    assert workspace.out("diabetes", "prepare").is_dir()


def test_unknown_task_name_runs_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one name is unknown, the known tasks are not started."""
    fetch_raw(workspace, "diabetes")
    assert main(monkeypatch, "prepare", "diabetes", "irish") == 1
    assert not workspace.out("diabetes", "prepare").exists()


def test_single_task_failure_is_one_error(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A single task prints one error."""
    with pytest.raises(Exception, match="no raw data"):
        prepare.prepare(workspace, loader.load(workspace, "iris"))
    assert main(monkeypatch, "prepare", "iris") == 1
    assert capsys.readouterr().err.count("error: ") == 1
