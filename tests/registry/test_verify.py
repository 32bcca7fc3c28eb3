"""Verifying a champion, comparing versions, and human approval."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from linear_challengers import prepared_project, quick_package, write_challenger
from workspaces import edit_task

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import PackageError, RegistryError
from tiltyard.evaluation.reference import fit_reference
from tiltyard.gate import duel_setup
from tiltyard.gate.promote import promote
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation import array_file, sealed_test
from tiltyard.registry import manifest, pointer
from tiltyard.registry.aliases import aliases
from tiltyard.registry.approve import approve
from tiltyard.registry.queries import compare
from tiltyard.registry.registry import Registry
from tiltyard.registry.verify import verify
from tiltyard.workspace import Workspace

Project = tuple[Workspace, Task]
PROVEN = ("ledger", "model", "package", "data", "parameters", "code", "figures")


@pytest.fixture(scope="module")
def champion_project_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Diabetes with a champion, and a challenger that uses fewer features."""
    workspace, task = prepared_project(tmp_path_factory.mktemp("crowned"), "diabetes")
    write_challenger(workspace, task, slice(None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiltyard.serving.packaging.package.package", quick_package)
        assert promote(workspace, task).verdict == "PROMOTE"
    write_challenger(workspace, task, slice(1))
    return workspace.root


@pytest.fixture
def project(champion_project_root: Path, tmp_path: Path) -> Project:
    """A copy of the project for one test."""
    shutil.copytree(champion_project_root, tmp_path / "own")
    workspace = Workspace(tmp_path / "own")
    return workspace, loader.load(workspace, "diabetes")


def verification_states(workspace: Workspace, task: Task) -> dict[str, str]:
    """Return the state of each row."""
    return {row["what"]: row["state"] for row in verify(workspace, task)}


def test_unchanged_champion_is_verified(project: Project) -> None:
    """All hashes and metrics are the same, and the evidence holds size and memory."""
    workspace, task = project
    assert verification_states(workspace, task) == dict.fromkeys(PROVEN, "same")
    (line,) = Registry(workspace).decisions("diabetes")
    assert 30 < line.evidence["facts"]["memory_mb"] < 500
    assert 0 < line.evidence["facts"]["size_mb"] < 1


def _package(workspace: Workspace, version: str, name: str) -> Path:
    return workspace.package("diabetes", version) / name


@pytest.mark.parametrize("what", ["model.onnx", "encoder.json", "card.md", "data", "ledger", "parameters", "pointer"])
def test_any_changed_byte_is_detected(project: Project, what: str) -> None:
    """One changed byte in any of these files is detected."""
    workspace, task = project
    version = aliases(workspace, task)["champion"]
    expected = {"model.onnx": "model", "encoder.json": "model", "card.md": "package", "pointer": "ledger"}.get(
        what, what
    )
    if what == "parameters":
        edit_task(workspace, "diabetes", {"train.epochs": 7})
        task = loader.load(workspace, "diabetes")
    elif what == "pointer":
        content = files.read_json(workspace.champion("diabetes"))
        content["decision"]["reasons"] = ["because"]
        files.write_json(workspace.champion("diabetes"), content)
    else:
        path = {
            "data": next(path for path in workspace.raw("diabetes").rglob("*") if path.is_file()),
            "ledger": workspace.ledger("diabetes"),
        }.get(what) or _package(workspace, version, what)
        content = path.read_bytes() if path.is_file() else b"0"
        path.write_bytes(content.replace(b"0", b"1", 1) if what != "model.onnx" else content + b"\x00")
    assert verification_states(workspace, task)[expected] == "changed"


def test_missing_files_are_unknown(project: Project) -> None:
    """In a fresh clone missing files are unknown, not changed."""
    workspace, task = project
    for folder in (workspace.raw("diabetes"), workspace.package("diabetes", aliases(workspace, task)["champion"])):
        shutil.rmtree(folder)
    states = verification_states(workspace, task)
    assert {what for what, state in states.items() if state == "unknown"} == {"package", "data", "figures"}
    assert "changed" not in states.values()
    shutil.rmtree(workspace.champion("diabetes").parent)
    with pytest.raises(RegistryError, match="has no champion to verify"):
        verify(workspace, task)


def test_pointer_has_the_hash_of_the_package(project: Project) -> None:
    """A different or missing hash is reported; the service refuses such a champion."""
    workspace, task = project
    folder = workspace.package("diabetes", aliases(workspace, task)["champion"])
    files.write_json(folder / "schema.json", {})
    path = workspace.champion("diabetes")
    whole = {**files.read_json(path), "files": manifest.digest(folder)}
    for content, state in (
        (whole, "same"),
        ({**whole, "files": "0" * 64}, "changed"),
        ({name: value for name, value in whole.items() if name != "files"}, "changed"),
    ):
        files.write_json(path, content)
        assert verification_states(workspace, task)["files"] == state
    files.write_json(path, {**whole, "files": "0" * 64})
    with pytest.raises(PackageError, match="is not the one that was promoted"):
        manifest.check(folder, pointer.read(path).files)


def test_fifo_in_place_of_a_file_is_reported(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO in place of any of these files does not block the command."""
    workspace, task = project
    monkeypatch.chdir(workspace.root)
    workspace.signers.mkdir(exist_ok=True)
    model = workspace.package("diabetes", aliases(workspace, task)["champion"]) / "model.onnx"
    model.unlink()
    for path in (
        *(model, workspace.champion("zz"), workspace.ledger("yy"), workspace.signers / "zz.pub"),
        *(workspace.task_file("xx"), workspace.ledger("xx").with_suffix(".head")),
    ):
        os.mkfifo(path)
    for arguments in (["verify", "--json"], ["verify", "diabetes"], ["status"]):
        command = [sys.executable, "-c", "from tiltyard.cli.main import main; main()", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == (0 if arguments == ["status"] else 1), result.stderr
        assert "Traceback" not in result.stderr
        if "--json" in arguments:
            verification_states = {(row["task"], row["what"]): row["state"] for row in json.loads(result.stdout)}
            assert verification_states["diabetes", "model"] == verification_states["xx", "task"] == "changed"


def test_versions_are_compared_by_every_metric(project: Project) -> None:
    """Gains are symmetric, and the version with fewer features is worse in every metric."""
    workspace, task = project
    comparison = compare(workspace, task, "champion", "challenger")
    reversed_comparison = compare(workspace, task, "challenger", "champion")
    assert {row["metric"]: row["first_is"] for row in comparison["metrics"]} == dict.fromkeys(
        task.evaluator.metrics, "better"
    )
    assert {row["first_is"] for row in reversed_comparison["metrics"]} == {"worse"}
    gains = [[row["gain"] for row in compared["metrics"]] for compared in (comparison, reversed_comparison)]
    np.testing.assert_allclose(gains[0], -np.array(gains[1]))


def test_latest_training_may_be_the_champion(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """If champion and challenger are the same version, they do not differ, and there is none to approve."""
    workspace, task = project
    monkeypatch.chdir(workspace.root)
    monkeypatch.setattr("tiltyard.serving.packaging.package.package", quick_package)
    shutil.rmtree(workspace.champion("diabetes").parent)
    version = write_challenger(workspace, task, slice(None))
    assert promote(workspace, task).verdict == "PROMOTE"
    assert {aliases(workspace, task)[name] for name in ("champion", "challenger")} == {version}
    result = CliRunner().invoke(cli, ["compare", "diabetes", "challenger", "champion"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "challenger and champion are the same version" in result.output
    assert {row["first_is"] for row in compare(workspace, task, "champion", version)["metrics"]} == {"the same"}
    with pytest.raises(RegistryError, match="has no challenger to approve"):
        approve(workspace, task)


def test_commands_print_tables_json_and_exit_codes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands print tables, JSON and exit codes."""
    workspace, task = project
    monkeypatch.chdir(workspace.root)
    for arguments in (
        ["why", "diabetes"],
        ["why", "diabetes", "champion"],
        ["compare", "diabetes", "champion", "challenger"],
    ):
        for more in ([], ["--json"]):
            result = CliRunner().invoke(cli, [*arguments, *more], catch_exceptions=False)
            assert result.exit_code == 0
            assert aliases(workspace, task)["champion"] in result.output
    assert CliRunner().invoke(cli, ["verify", "diabetes"]).exit_code == 0
    (line,) = Registry(workspace).decisions("diabetes")
    assert json.loads(CliRunner().invoke(cli, ["why", "diabetes", "--json"]).output)["checks"] == line.checks
    assert "against the baseline's" in CliRunner().invoke(cli, ["why", "diabetes"]).output
    for passed_check in (check for check in line.checks if check["state"] == "passed"):
        assert "expected" in passed_check["text"], passed_check
        assert {type(passed_check[name]) for name in ("observed", "limit", "rows")} <= {float, int}, passed_check
    _package(workspace, aliases(workspace, task)["champion"], "card.md").write_text("better than it is")
    result = CliRunner().invoke(cli, ["verify", "diabetes"])
    assert result.exit_code == 1
    assert "changed" in result.output


def test_other_versions_judged_on_the_same_rows_are_counted(project: Project) -> None:
    """Other versions judged by the same metric on the same rows are counted, rollbacks are not."""
    workspace, task = project
    report = files.read_json(workspace.out("diabetes", "evaluate") / "report.json")
    (line,) = Registry(workspace).decisions("diabetes")
    others = [
        line,
        line.model_copy(update={"version": report["version"]}),
        line.model_copy(update={"version": "b", "verdict": "HOLD"}),
        line.model_copy(update={"version": "b", "verdict": "REJECT"}),
        line.model_copy(update={"version": "c", "metric": "mae"}),
        line.model_copy(update={"version": "d", "test": "other"}),
        line.model_copy(update={"version": "e", "verdict": "ROLLBACK"}),
    ]
    assert duel_setup.uses(others, report) == 2
    assert task.gate.uses == 50


@pytest.mark.parametrize("name", ["diabetes", "iris", "digits", "sine"])
def test_reference_beats_the_baseline(tmp_path: Path, name: str) -> None:
    """The reference beats the baseline for every kind of features, and says how many rows it was fitted to."""
    workspace, task = prepared_project(tmp_path, name)
    test, folder = sealed_test.read_test(workspace, task.name, task.columns), workspace.out(name, "prepare")
    context = task.evaluator.context(array_file.read_truth(folder / "train.npz"))
    parts = array_file.open_part(folder / "train.npz"), array_file.open_part(folder / "validation.npz")
    encoder = Encoder.load(folder / "encoder.json")
    reference = fit_reference(task, encoder, parts, encoder.encode(test.rows), context)
    assert reference is not None
    assert reference.fitted_to == f"{len(parts[0][1]):,} training rows"
    _, known = array_file.read_part(folder / "train.npz")
    baseline = task.evaluator.baseline(
        known, {"value": test.rows["value"][:, -1:]} if name == "sine" else test.rows, "mae"
    )
    scores = [task.metric.score(test.truth, outputs, context) for outputs in (reference.outputs, baseline)]
    assert task.metric.gain(*scores) > 0


def test_challenger_is_held_until_approved(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A challenger is held until it is approved; approving twice records one line."""
    workspace, _ = project
    monkeypatch.setenv("TILTYARD_ACTOR", "anna")
    monkeypatch.setattr("tiltyard.serving.packaging.package.package", quick_package)
    edit_task(workspace, "diabetes", {"gate.approval": True})
    shutil.rmtree(workspace.champion("diabetes").parent)
    task = loader.load(workspace, "diabetes")
    version = write_challenger(workspace, task, slice(None))
    verdict = promote(workspace, task)
    assert verdict.reasons == ["0 people have approved it; expected 1: tiltyard approve diabetes"]
    assert verdict.verdict == "HOLD"
    assert {approve(workspace, task).id for _ in range(2)} == {approve(workspace, task, version[:6]).id}
    assert promote(workspace, task).verdict == "PROMOTE"
    arguments = [decision.verdict for decision in Registry(workspace).decisions("diabetes")]
    assert arguments == ["PROMOTE", "HOLD", "APPROVE", "PROMOTE"]
    with pytest.raises(RegistryError, match="diabetes has no challenger to approve"):
        approve(workspace, task)


def test_run_waits_for_approval(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run waits for an approval as long as the task says."""
    from tiltyard.pipelines import steps

    workspace, task = project
    monkeypatch.setattr(steps, "POLL_SECONDS", 0.01)
    long_wait, short_wait = (
        task.model_copy(update={"gate": task.gate.model_copy(update={"approval": True, "approval_minutes": minutes})})
        for minutes in (5.0, 0.001)
    )
    version = aliases(workspace, task)["challenger"]
    assert not steps.wait_for_approval(workspace, short_wait, version)
    threading.Timer(0.2, approve, (workspace, task)).start()
    assert steps.wait_for_approval(workspace, long_wait, version)
