"""Verification against git: a consistently rewritten registry differs from an earlier commit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from registry_attacks import (
    ATTACKS,
    Attack,
    Json,
    ledger_lines,
    record_decisions,
    without_signature,
    write_ledger,
    write_pointer,
)

from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.errors import RegistryError
from tiltyard.registry import git_comparison, signing
from tiltyard.registry.registry import Registry
from tiltyard.registry.verify import verify, verify_tasks
from tiltyard.workspace import Workspace


def git(workspace: Workspace, *words: str) -> str:
    """Run git in the project."""
    names = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(workspace.root), *names, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def committed_project(workspace: Workspace, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A committed project with a signer and two tasks, and a decision after the commit."""
    assert not keys.exists()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    signing.create_key(workspace, "anna")
    record_decisions(workspace)
    record_decisions(workspace, "sine")
    git(workspace, "init", "-q")
    git(workspace, "add", "serving", "tasks")
    git(workspace, "commit", "-qm", "Decide")
    record_decisions(workspace, steps=[("f", "HOLD")])
    return workspace


def faults_against_head(workspace: Workspace) -> list[str]:
    """Return all differences from git's HEAD."""
    commit = git_comparison.Commit(workspace, "HEAD")
    faults = [fault for task in sorted(commit.tasks()) for fault in git_comparison.task_faults(commit, task)]
    return faults + git_comparison.signer_faults(commit)[0]


def _rewrite_everything(workspace: Workspace, lines: list[Json]) -> None:
    """Remove the first REJECT, unsigned, from ledger, head and pointer."""
    plain = [without_signature(line) | {"id": line["id"]} for line in lines if line["version"] != "c"]
    write_ledger(workspace, plain)
    write_pointer(workspace, [line for line in ledger_lines(workspace) if line["verdict"] == "PROMOTE"][-1])


def _restore_first_promotion(workspace: Workspace, lines: list[Json]) -> None:
    """Restore the state after the first promotion, signatures included."""
    write_ledger(workspace, lines[:1])
    write_pointer(workspace, lines[0])


def _delete_everything(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    for path in (workspace.ledger("iris"), workspace.ledger("iris").with_suffix(".head"), workspace.champion("iris")):
        path.unlink()


def _delete_folders(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    for folder in ("ledger", "champions", "signers"):
        shutil.rmtree(workspace.root / "serving" / folder)


def _replace_key(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Sign everything again with another key under the same name."""
    public = workspace.signers / "anna.pub"
    public.unlink()
    shutil.rmtree(signing._key_folder())
    signing.create_key(workspace, "anna")
    for path in (workspace.ledger("iris"), workspace.ledger("iris").with_suffix(".head"), workspace.champion("iris")):
        path.unlink()
    record_decisions(workspace)


def _delete_key(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    (workspace.signers / "anna.pub").unlink()


def _delete_ledger_of_other_task(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    workspace.ledger("sine").unlink()


def _remove_hashes_of_pointer(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    write_pointer(workspace, hashes=False)


@pytest.mark.parametrize(
    "attack",
    [
        *(
            _rewrite_everything,
            _restore_first_promotion,
            _delete_everything,
            _delete_folders,
            _replace_key,
            _delete_key,
            _delete_ledger_of_other_task,
        ),
        *(_remove_hashes_of_pointer, *ATTACKS),
    ],
)
def test_git_detects_a_consistently_rewritten_registry(committed_project: Workspace, attack: Attack) -> None:
    """Every line, head, pointer and public key of the commit must still be there, for every task."""
    assert faults_against_head(committed_project) == []
    attack(committed_project, ledger_lines(committed_project))
    faults = [
        *faults_against_head(committed_project),
        *(Registry(committed_project).faults("iris") if committed_project.champion("iris").is_file() else ["gone"]),
    ]
    assert faults
    if attack not in ATTACKS:
        assert faults_against_head(committed_project)


def test_verify_against_git_compares_all_tasks(committed_project: Workspace) -> None:
    """All tasks are compared, also those without a task file; a fault ends with status 1."""
    (committed_project.root / "tasks" / "sine.yaml").unlink()
    result = CliRunner().invoke(cli, ["verify", "--against", "HEAD", "--json"], catch_exceptions=False)
    rows = {(row["task"], row["what"]): row for row in json.loads(result.output)}
    assert rows["iris", "git"]["state"] == rows["sine", "git"]["state"] == rows["", "signers"]["state"] == "same"
    assert rows["iris", "line 6"]["text"] == "HOLD f: signed by anna"
    committed_project.ledger("sine").unlink()
    result = CliRunner().invoke(cli, ["verify", "--against", "HEAD"], catch_exceptions=False)
    assert result.exit_code == 1
    assert "serving/ledger/sine.jsonl is missing: HEAD has it" in result.output
    for ref in ("nosuch", "--help", "HEAD:serving"):
        result = CliRunner().invoke(cli, ["verify", "iris", "--against", ref])
        assert isinstance(result.exception, RegistryError)
        assert "git knows no commit" in str(result.exception)


def test_fault_of_one_task_does_not_stop_other_verifications(workspace: Workspace) -> None:
    """A fault of one task does not stop the verification of the others."""
    record_decisions(workspace)
    record_decisions(workspace, "sine")
    record_decisions(workspace, "digits", [("a", "REJECT")])
    record_decisions(workspace, "diabetes")
    record_decisions(workspace, "gone")
    workspace.champion("iris").write_text("{")
    workspace.champion("sine").unlink()
    workspace.champion("gone").unlink()
    with workspace.ledger("diabetes").open("a") as file:
        file.write("<<<<<<< HEAD\n")
    results = {(row["task"], row["what"]): row for row in verify_tasks(workspace, ())}
    assert results["iris", "pointer"]["state"] == "changed"
    assert "is not a champion pointer" in results["iris", "pointer"]["text"]
    assert "serving/champions/sine.json is missing" in results["sine", "pointer"]["text"]
    assert results["digits", "ledger"]["text"] == "1 lines, hash chain intact, unsigned"
    assert results["gone", "ledger"]["state"] == "same"
    assert "is not a decision" in results["diabetes", "ledger"]["text"]
    assert {task for (task, _), row in results.items() if row["state"] == "changed"} == {"iris", "sine", "diabetes"}


def test_missing_pointer_is_detected_from_the_ledger(committed_project: Workspace) -> None:
    """A missing pointer is detected without git: the ledger records the promotion."""
    committed_project.champion("iris").unlink()
    with pytest.raises(RegistryError, match=r"its ledger made d champion, and serving/champions/iris\.json is missing"):
        verify(committed_project, loader.load(committed_project, "iris"))
