"""Git objects are verified by hash, so that replaced or overwritten objects are detected."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from registry_attacks import STEPS, Json, ledger_lines, record_decisions, without_signature, write_ledger, write_pointer
from workspaces import edit_task

from tiltyard.cli.main import cli
from tiltyard.errors import RegistryError
from tiltyard.registry import signing
from tiltyard.registry.git_comparison import Commit, signer_faults, task_faults
from tiltyard.workspace import Workspace


def git(workspace: Workspace, *words: str) -> str:
    """Run git in the project."""
    names = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(workspace.root), *names, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def decide_and_commit(workspace: Workspace, *options: str) -> str:
    """Decide a few times and commit; return the commit's hash."""
    signing.create_key(workspace, "anna")
    record_decisions(workspace)
    if not (workspace.root / ".git").exists():
        git(workspace, "init", "-q", *options)
    return commit_registry(workspace)


def commit_registry(workspace: Workspace) -> str:
    """Commit the registry as it is; return the commit's hash."""
    git(workspace, "add", "-f", "serving")
    git(workspace, "commit", "-qm", "Decide")
    return git(workspace, "rev-parse", "HEAD")


def forge(workspace: Workspace) -> None:
    """Write a consistent unsigned history without the first REJECT."""
    plain = [without_signature(line) | {"id": line["id"]} for line in ledger_lines(workspace) if line["version"] != "c"]
    write_ledger(workspace, plain)
    write_pointer(workspace, [line for line in ledger_lines(workspace) if line["verdict"] == "PROMOTE"][-1])


def rows(*words: str) -> dict[str, Json]:
    """Return the rows of verify by what they verify."""
    result = CliRunner().invoke(cli, ["verify", *words, "--json"], catch_exceptions=False)
    return {row["what"]: row for row in json.loads(result.stdout)}


def states(*words: str) -> dict[str, str]:
    """Return the state of each row."""
    return {what: row["state"] for what, row in rows(*words).items()}


@pytest.fixture(autouse=True)
def _isolated_environment(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate the tests from the user's keys and git variables."""
    assert not keys.exists()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("hash_format", ["sha1", "sha256"])
@pytest.mark.parametrize("object_type", ["commit", "tree", "blob"])
def test_git_replace_does_not_affect_verification(workspace: Workspace, hash_format: str, object_type: str) -> None:
    """`git replace` does not affect what verify reads of a commit."""
    commit_hash = decide_and_commit(workspace, f"--object-format={hash_format}")
    assert states("iris", "--against", commit_hash)["git"] == "same"
    path = {"commit": "", "tree": "^{tree}", "blob": ":serving/ledger/iris.jsonl"}[object_type]
    old = git(workspace, "rev-parse", f"{commit_hash}{path}")
    forge(workspace)
    git(workspace, "replace", old, git(workspace, "rev-parse", f"{commit_registry(workspace)}{path}"))
    if object_type != "blob":
        assert git(workspace, "diff", "--stat", commit_hash, "--", "serving") == "", "git itself is fooled"
    assert states("iris", "--against", commit_hash)["git"] == "changed"


def overwrite_object(workspace: Workspace, name: str, other: str | None) -> None:
    """Overwrite an object's file with another object, or delete it."""
    object_file = workspace.root / ".git" / "objects" / name[:2] / name[2:]
    object_file.chmod(0o644)
    if other is None:
        object_file.unlink()
    else:
        shutil.copy(workspace.root / ".git" / "objects" / other[:2] / other[2:], object_file)


PATHS = ["", "^{tree}", ":serving", ":serving/ledger", ":serving/ledger/iris.jsonl", ":serving/signers/anna.pub"]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_overwritten_or_missing_objects_are_detected(workspace: Workspace, path: str, *, missing: bool) -> None:
    """An overwritten or missing object is an error, for each kind of object that is read."""
    commit_hash = decide_and_commit(workspace)
    old = git(workspace, "rev-parse", f"{commit_hash}{path}")
    forge(workspace)
    shutil.rmtree(workspace.signers)
    signing.create_key(workspace, "anna-2")
    (workspace.signers / "anna-2.pub").rename(workspace.signers / "anna.pub")
    new = git(workspace, "rev-parse", f"{commit_registry(workspace)}{path}")
    overwrite_object(workspace, old, None if missing else new)
    result = CliRunner().invoke(cli, ["verify", "--against", commit_hash])
    assert result.exit_code == 1
    assert "overwritten" in f"{result.output} {result.exception}"
    commit = Commit(workspace, commit_hash)
    with pytest.raises(RegistryError, match="is missing, damaged or overwritten"):
        task_faults(commit, "iris") and signer_faults(commit)


def test_tag_objects_are_verified_by_hash(workspace: Workspace) -> None:
    """A tag is verified by its hash, too."""
    commit_hash = decide_and_commit(workspace)
    git(workspace, "tag", "-a", "then", "-m", "then")
    git(workspace, "tag", "-a", "twice", "-m", "twice", "then")
    tag = git(workspace, "rev-parse", "twice")
    assert Commit(workspace, tag).hash == Commit(workspace, "then").hash == commit_hash
    forge(workspace)
    commit_registry(workspace)
    git(workspace, "tag", "-a", "now", "-m", "now")
    overwrite_object(workspace, tag, git(workspace, "rev-parse", "now"))
    with pytest.raises(RegistryError, match="overwritten"):
        assert Commit(workspace, tag).files


def test_project_may_be_a_subfolder_of_its_repository(workspace: Workspace, tmp_path: Path) -> None:
    """A project may be a subfolder of its repository, with packed objects or not."""
    inner = Workspace(tmp_path / "team" / "own")
    inner.root.mkdir(parents=True)
    for name in ("tasks", "dvc.yaml"):
        (workspace.root / name).rename(inner.root / name)
    git(workspace, "init", "-q")
    commit_hash = decide_and_commit_inside(inner)
    git(inner, "gc", "-q")
    assert len(Commit(inner, commit_hash).files) == 4
    assert task_faults(Commit(inner, commit_hash), "iris") == []
    forge(inner)
    assert task_faults(Commit(inner, commit_hash), "iris")


def decide_and_commit_inside(workspace: Workspace) -> str:
    """Commit the registry of a project whose repository is there already."""
    signing.create_key(workspace, "anna")
    record_decisions(workspace)
    return commit_registry(workspace)


def test_key_that_is_not_in_git_is_reported(workspace: Workspace, keys: Path) -> None:
    """A key that is not in the commit proves nothing: the row says so, and the exit status is 1."""
    commit_hash = decide_and_commit(workspace)
    record_decisions(workspace, steps=[("f", "HOLD")])
    shutil.rmtree(keys)
    signing.create_key(workspace, "mallory")
    record_decisions(workspace, steps=[("g", "HOLD")])
    results = rows("iris")
    assert results["line 6"]["text"] == "HOLD f: signed by anna"
    assert results["line 7"]["text"] == "HOLD g: signed by mallory; the key is not in git's HEAD"
    assert (results["line 7"]["state"], results["line 7"]["fault"]) == ("same", False)
    results = rows("iris", "--against", commit_hash)
    assert results["line 7"]["text"] == f"HOLD g: signed by mallory, whose key is not in {commit_hash}"
    assert (results["line 7"]["state"], results["line 7"]["fault"]) == ("unknown", True)
    assert (results["line 6"]["state"], results["line 6"]["fault"]) == ("same", False)
    edit_task(workspace, "iris", {"gate.signed": True})
    assert states("iris", "--against", commit_hash)["line 7"] == "changed"
    commit_registry(workspace)
    assert rows("iris")["line 7"]["text"] == "HOLD g: signed by mallory"
    assert states("iris", "--against", "HEAD")["line 7"] == "same"


def test_key_that_is_not_in_the_commit_gives_exit_status_1(workspace: Workspace, keys: Path) -> None:
    """The exit status is 1 even if nothing else has changed."""
    signing.create_key(workspace, "anna")
    record_decisions(workspace, "digits", [("a", "REJECT")])
    git(workspace, "init", "-q")
    commit_hash = commit_registry(workspace)
    assert CliRunner().invoke(cli, ["verify", "--against", commit_hash]).exit_code == 0
    shutil.rmtree(keys)
    signing.create_key(workspace, "mallory")
    record_decisions(workspace, "digits", [("b", "REJECT")])
    assert CliRunner().invoke(cli, ["verify"]).exit_code == 0
    assert CliRunner().invoke(cli, ["verify", "--against", commit_hash]).exit_code == 1


def test_replaced_key_of_a_signer_is_reported(workspace: Workspace, keys: Path) -> None:
    """A new key under a known name does not count as that signer."""
    commit_hash = decide_and_commit(workspace)
    shutil.rmtree(keys)
    shutil.rmtree(workspace.signers)
    for path in (workspace.ledger("iris"), workspace.ledger("iris").with_suffix(".head"), workspace.champion("iris")):
        path.unlink()
    signing.create_key(workspace, "anna")
    record_decisions(workspace)
    assert states("iris", "--against", commit_hash)["line 1"] == "unknown"
    assert rows("iris")["line 1"]["text"].endswith("signed by anna; the key is not in git's HEAD")


def test_removed_signatures_are_reported(workspace: Workspace) -> None:
    """Removed signatures are reported against a commit or under gate.signed, and noted otherwise."""
    commit_hash = decide_and_commit(workspace)
    forge(workspace)
    assert states("iris", "--against", commit_hash)["git"] == "changed"
    ledger = rows("iris")["ledger"]
    assert (ledger["state"], ledger["fault"]) == ("same", False)
    assert (
        ledger["text"] == f"{len(STEPS) - 1} lines, hash chain intact, unsigned although there are public keys of anna"
    )
    edit_task(workspace, "iris", {"gate.signed": True})
    assert rows("iris")["line 1"]["fault"]
