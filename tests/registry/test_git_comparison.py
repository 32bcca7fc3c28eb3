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
def held(workspace: Workspace, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
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


def against(workspace: Workspace) -> list[str]:
    """Return all differences from git's HEAD."""
    commit = git_comparison.Commit(workspace, "HEAD")
    faults = [fault for task in sorted(commit.tasks()) for fault in git_comparison.task_faults(commit, task)]
    return faults + git_comparison.signer_faults(commit)[0]


def _all_rewritten(workspace: Workspace, lines: list[Json]) -> None:
    """Remove the first REJECT, unsigned, from ledger, head and pointer."""
    plain = [without_signature(line) | {"id": line["id"]} for line in lines if line["version"] != "c"]
    write_ledger(workspace, plain)
    write_pointer(workspace, [line for line in ledger_lines(workspace) if line["verdict"] == "PROMOTE"][-1])


def _all_rolled_back(workspace: Workspace, lines: list[Json]) -> None:
    """Restore the state after the first promotion, signatures included."""
    write_ledger(workspace, lines[:1])
    write_pointer(workspace, lines[0])


def _all_gone(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    for path in (workspace.ledger("iris"), workspace.ledger("iris").with_suffix(".head"), workspace.champion("iris")):
        path.unlink()


def _folders_gone(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    for folder in ("ledger", "champions", "signers"):
        shutil.rmtree(workspace.root / "serving" / folder)


def _key_replaced(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Sign everything again with another key under the same name."""
    public = workspace.signers / "anna.pub"
    public.unlink()
    shutil.rmtree(signing._key_folder())
    signing.create_key(workspace, "anna")
    for path in (workspace.ledger("iris"), workspace.ledger("iris").with_suffix(".head"), workspace.champion("iris")):
        path.unlink()
    record_decisions(workspace)


def _key_gone(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    (workspace.signers / "anna.pub").unlink()


def _other_task_gone(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    workspace.ledger("sine").unlink()


def _pointer_hashes_gone(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    write_pointer(workspace, hashes=False)


@pytest.mark.parametrize(
    "attack",
    [
        *(_all_rewritten, _all_rolled_back, _all_gone, _folders_gone, _key_replaced, _key_gone, _other_task_gone),
        *(_pointer_hashes_gone, *ATTACKS),
    ],
)
def test_git_finds_what_was_written_anew_as_a_whole(held: Workspace, attack: Attack) -> None:
    """Every line, head, pointer and public key of the commit must still be there, for every task."""
    assert against(held) == []
    attack(held, ledger_lines(held))
    found = [*against(held), *(Registry(held).faults("iris") if held.champion("iris").is_file() else ["gone"])]
    assert found
    if attack not in ATTACKS:
        assert against(held)


def test_verify_against_git_on_the_command_line(held: Workspace) -> None:
    """All tasks are compared, also those without a task file; a fault ends with status 1."""
    (held.root / "tasks" / "sine.yaml").unlink()
    done = CliRunner().invoke(cli, ["verify", "--against", "HEAD", "--json"], catch_exceptions=False)
    rows = {(row["task"], row["what"]): row for row in json.loads(done.output)}
    assert rows["iris", "git"]["state"] == rows["sine", "git"]["state"] == rows["", "signers"]["state"] == "same"
    assert rows["iris", "line 6"]["text"] == "HOLD f: signed by anna"
    held.ledger("sine").unlink()
    done = CliRunner().invoke(cli, ["verify", "--against", "HEAD"], catch_exceptions=False)
    assert done.exit_code == 1
    assert "serving/ledger/sine.jsonl is missing: HEAD has it" in done.output
    for ref in ("nosuch", "--help", "HEAD:serving"):
        done = CliRunner().invoke(cli, ["verify", "iris", "--against", ref])
        assert isinstance(done.exception, RegistryError)
        assert "git knows no commit" in str(done.exception)


def test_every_task_is_looked_at_whatever_is_wrong_with_another(workspace: Workspace) -> None:
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
    found = {(row["task"], row["what"]): row for row in verify_tasks(workspace, ())}
    assert found["iris", "pointer"]["state"] == "changed"
    assert "is not a champion pointer" in found["iris", "pointer"]["text"]
    assert "serving/champions/sine.json is missing" in found["sine", "pointer"]["text"]
    assert found["digits", "ledger"]["text"] == "1 lines, hash chain intact, unsigned"
    assert found["gone", "ledger"]["state"] == "same"
    assert "is not a decision" in found["diabetes", "ledger"]["text"]
    assert {task for (task, _), row in found.items() if row["state"] == "changed"} == {"iris", "sine", "diabetes"}


def test_a_pointer_that_is_gone_is_told_by_the_ledger(held: Workspace) -> None:
    """A missing pointer is detected without git: the ledger records the promotion."""
    held.champion("iris").unlink()
    with pytest.raises(RegistryError, match=r"its ledger made d champion, and serving/champions/iris\.json is missing"):
        verify(held, loader.load(held, "iris"))
