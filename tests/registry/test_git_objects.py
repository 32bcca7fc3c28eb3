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


def committed(workspace: Workspace, *options: str) -> str:
    """Decide a few times and commit; return the commit's hash."""
    signing.create_key(workspace, "anna")
    record_decisions(workspace)
    if not (workspace.root / ".git").exists():
        git(workspace, "init", "-q", *options)
    return again(workspace)


def again(workspace: Workspace) -> str:
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
    done = CliRunner().invoke(cli, ["verify", *words, "--json"], catch_exceptions=False)
    return {row["what"]: row for row in json.loads(done.stdout)}


def states(*words: str) -> dict[str, str]:
    """Return the state of each row."""
    return {what: row["state"] for what, row in rows(*words).items()}


@pytest.fixture(autouse=True)
def _quiet(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate the tests from the user's keys and git variables."""
    assert not keys.exists()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
@pytest.mark.parametrize("way", ["commit", "tree", "blob"])
def test_replacements_stand_for_nothing(workspace: Workspace, kind: str, way: str) -> None:
    """`git replace` does not affect what verify reads of a commit."""
    known = committed(workspace, f"--object-format={kind}")
    assert states("iris", "--against", known)["git"] == "same"
    path = {"commit": "", "tree": "^{tree}", "blob": ":serving/ledger/iris.jsonl"}[way]
    old = git(workspace, "rev-parse", f"{known}{path}")
    forge(workspace)
    git(workspace, "replace", old, git(workspace, "rev-parse", f"{again(workspace)}{path}"))
    if way != "blob":
        assert git(workspace, "diff", "--stat", known, "--", "serving") == "", "git itself is fooled"
    assert states("iris", "--against", known)["git"] == "changed"


def written_over(workspace: Workspace, name: str, other: str | None) -> None:
    """Overwrite an object's file with another object, or delete it."""
    place = workspace.root / ".git" / "objects" / name[:2] / name[2:]
    place.chmod(0o644)
    if other is None:
        place.unlink()
    else:
        shutil.copy(workspace.root / ".git" / "objects" / other[:2] / other[2:], place)


PLACES = ["", "^{tree}", ":serving", ":serving/ledger", ":serving/ledger/iris.jsonl", ":serving/signers/anna.pub"]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("path", PLACES)
def test_objects_that_were_written_over_are_found(workspace: Workspace, path: str, *, missing: bool) -> None:
    """An overwritten or missing object is an error, for each kind of object that is read."""
    known = committed(workspace)
    old = git(workspace, "rev-parse", f"{known}{path}")
    forge(workspace)
    shutil.rmtree(workspace.signers)
    signing.create_key(workspace, "anna-2")
    (workspace.signers / "anna-2.pub").rename(workspace.signers / "anna.pub")
    new = git(workspace, "rev-parse", f"{again(workspace)}{path}")
    written_over(workspace, old, None if missing else new)
    done = CliRunner().invoke(cli, ["verify", "--against", known])
    assert done.exit_code == 1
    assert "overwritten" in f"{done.output} {done.exception}"
    commit = Commit(workspace, known)
    with pytest.raises(RegistryError, match="is missing, damaged or overwritten"):
        task_faults(commit, "iris") and signer_faults(commit)


def test_a_tag_is_followed_by_its_hash(workspace: Workspace) -> None:
    """A tag is verified by its hash, too."""
    known = committed(workspace)
    git(workspace, "tag", "-a", "then", "-m", "then")
    git(workspace, "tag", "-a", "twice", "-m", "twice", "then")
    tag = git(workspace, "rev-parse", "twice")
    assert Commit(workspace, tag).hash == Commit(workspace, "then").hash == known
    forge(workspace)
    again(workspace)
    git(workspace, "tag", "-a", "now", "-m", "now")
    written_over(workspace, tag, git(workspace, "rev-parse", "now"))
    with pytest.raises(RegistryError, match="overwritten"):
        assert Commit(workspace, tag).files


def test_a_project_in_a_folder_of_its_repository(workspace: Workspace, tmp_path: Path) -> None:
    """A project may be a subfolder of its repository, with packed objects or not."""
    inner = Workspace(tmp_path / "team" / "own")
    inner.root.mkdir(parents=True)
    for name in ("tasks", "dvc.yaml"):
        (workspace.root / name).rename(inner.root / name)
    git(workspace, "init", "-q")
    known = committed_inside(inner)
    git(inner, "gc", "-q")
    assert len(Commit(inner, known).files) == 4
    assert task_faults(Commit(inner, known), "iris") == []
    forge(inner)
    assert task_faults(Commit(inner, known), "iris")


def committed_inside(workspace: Workspace) -> str:
    """Commit the registry of a project whose repository is there already."""
    signing.create_key(workspace, "anna")
    record_decisions(workspace)
    return again(workspace)


def test_a_key_that_git_does_not_hold_is_told(workspace: Workspace, keys: Path) -> None:
    """A key that is not in the commit proves nothing: the row says so, and the exit status is 1."""
    known = committed(workspace)
    record_decisions(workspace, steps=[("f", "HOLD")])
    shutil.rmtree(keys)
    signing.create_key(workspace, "mallory")
    record_decisions(workspace, steps=[("g", "HOLD")])
    found = rows("iris")
    assert found["line 6"]["text"] == "HOLD f: signed by anna"
    assert found["line 7"]["text"] == "HOLD g: signed by mallory; the key is not in git's HEAD"
    assert (found["line 7"]["state"], found["line 7"]["fault"]) == ("same", False)
    found = rows("iris", "--against", known)
    assert found["line 7"]["text"] == f"HOLD g: signed by mallory, whose key is not in {known}"
    assert (found["line 7"]["state"], found["line 7"]["fault"]) == ("unknown", True)
    assert (found["line 6"]["state"], found["line 6"]["fault"]) == ("same", False)
    edit_task(workspace, "iris", {"gate.signed": True})
    assert states("iris", "--against", known)["line 7"] == "changed"
    again(workspace)
    assert rows("iris")["line 7"]["text"] == "HOLD g: signed by mallory"
    assert states("iris", "--against", "HEAD")["line 7"] == "same"


def test_a_key_that_a_commit_does_not_hold_ends_with_status_1(workspace: Workspace, keys: Path) -> None:
    """The exit status is 1 even if nothing else has changed."""
    signing.create_key(workspace, "anna")
    record_decisions(workspace, "digits", [("a", "REJECT")])
    git(workspace, "init", "-q")
    known = again(workspace)
    assert CliRunner().invoke(cli, ["verify", "--against", known]).exit_code == 0
    shutil.rmtree(keys)
    signing.create_key(workspace, "mallory")
    record_decisions(workspace, "digits", [("b", "REJECT")])
    assert CliRunner().invoke(cli, ["verify"]).exit_code == 0
    assert CliRunner().invoke(cli, ["verify", "--against", known]).exit_code == 1


def test_a_signer_whose_key_is_another_now_is_told(workspace: Workspace, keys: Path) -> None:
    """A new key under a known name does not count as that signer."""
    known = committed(workspace)
    shutil.rmtree(keys)
    shutil.rmtree(workspace.signers)
    for path in (workspace.ledger("iris"), workspace.ledger("iris").with_suffix(".head"), workspace.champion("iris")):
        path.unlink()
    signing.create_key(workspace, "anna")
    record_decisions(workspace)
    assert states("iris", "--against", known)["line 1"] == "unknown"
    assert rows("iris")["line 1"]["text"].endswith("signed by anna; the key is not in git's HEAD")


def test_signatures_that_were_all_taken_out(workspace: Workspace) -> None:
    """Removed signatures are reported against a commit or under gate.signed, and noted otherwise."""
    known = committed(workspace)
    forge(workspace)
    assert states("iris", "--against", known)["git"] == "changed"
    found = rows("iris")["ledger"]
    assert (found["state"], found["fault"]) == ("same", False)
    assert (
        found["text"] == f"{len(STEPS) - 1} lines, hash chain intact, unsigned although there are public keys of anna"
    )
    edit_task(workspace, "iris", {"gate.signed": True})
    assert rows("iris")["line 1"]["fault"]
