"""Signed decisions: keys, signatures, and tasks that require them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from registry_attacks import (
    STEPS,
    Json,
    ledger_lines,
    make_decision,
    record_decisions,
    without_signature,
    write_ledger,
    write_pointer,
)
from workspaces import ROOT, edit_task

from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.errors import RegistryError
from tiltyard.registry import signing
from tiltyard.registry.approve import approve, approvers
from tiltyard.registry.registry import Registry
from tiltyard.registry.rollback import rollback
from tiltyard.registry.verify import verify
from tiltyard.workspace import Workspace


def signature_states(workspace: Workspace) -> dict[int, str]:
    """Return for each line what is wrong with its signature, or its signer."""
    return {entry.place: entry.fault or entry.signer or "unsigned" for entry in Registry(workspace).entries("iris")}


def test_key_is_created_once_and_signs_later_decisions(workspace: Workspace, keys: Path) -> None:
    """The private key is outside the project with mode 600, the public one in the project in OpenSSH format."""
    record_decisions(workspace, steps=STEPS[:2])
    result = CliRunner().invoke(cli, ["key", "anna", "--sign"], catch_exceptions=False)
    assert result.exit_code == 0
    assert (keys / "anna").stat().st_mode & 0o777 == 0o600
    assert (workspace.signers / "anna.pub").read_text().startswith("ssh-ed25519 ")
    private_key = (keys / "anna").read_bytes()
    assert CliRunner().invoke(cli, ["key", "anna", "--sign"], catch_exceptions=False).exit_code == 0
    assert (keys / "anna").read_bytes() == private_key
    record_decisions(workspace, steps=STEPS[2:])
    assert signature_states(workspace) == {1: "unsigned", 2: "unsigned", 3: "anna", 4: "anna", 5: "anna"}
    assert Registry(workspace).faults("iris") == []


def test_concurrent_calls_create_one_key(workspace: Workspace, keys: Path) -> None:
    """Concurrent calls use the same key; none is overwritten."""
    with ThreadPoolExecutor(8) as pool:
        keys_created = [
            future.result(60) for future in [pool.submit(signing.create_key, workspace, "anna") for _ in range(16)]
        ]
    assert {*keys_created} == {(keys / "anna", workspace.signers / "anna.pub")}
    record_decisions(workspace, steps=STEPS[:2])
    assert signature_states(workspace) == {1: "anna", 2: "anna"}
    assert [path.name for path in keys.iterdir()] == ["anna"]


@pytest.mark.usefixtures("keys")
@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs OpenSSH")
def test_key_of_ssh_keygen_is_accepted(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key named by the environment variable signs; a key of another type is refused."""
    for kind in ("ed25519", "rsa"):
        path = workspace.root.parent / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    monkeypatch.setenv("TILTYARD_SIGNING_KEY", str(workspace.root.parent / "rsa"))
    with pytest.raises(RegistryError, match="expected a private Ed25519 key"):
        signing.create_key(workspace, "robot")
    monkeypatch.setenv("TILTYARD_SIGNING_KEY", str(workspace.root.parent / "ed25519"))
    with pytest.raises(RegistryError, match="belongs to no signer of this project"):
        record_decisions(workspace, steps=STEPS[:1])
    signing.create_key(workspace, "robot")
    record_decisions(workspace, steps=STEPS[:2])
    assert signature_states(workspace) == {1: "robot", 2: "robot"}


@pytest.mark.usefixtures("keys")
def test_invalid_keys_and_names_are_refused(workspace: Workspace) -> None:
    """A readable private key, a path as name, a mismatched pair and an invalid file are refused."""
    private, public = signing.create_key(workspace, "anna")
    for name in ("../anna", "", ".hidden", "a b"):
        with pytest.raises(RegistryError, match="expected a name of letters"):
            signing.create_key(workspace, name)
    private.chmod(0o644)
    with pytest.raises(RegistryError, match="can be read by others"):
        signing.find_signer(workspace)
    private.unlink()
    with pytest.raises(RegistryError, match="its private half is not here"):
        signing.create_key(workspace, "anna")
    signing.create_key(workspace, "ben")
    shutil.copy(public, workspace.signers / "ben.pub")
    with pytest.raises(RegistryError, match="does not belong to"):
        signing.create_key(workspace, "ben")
    (workspace.signers / "carl.pub").write_text("nothing")
    with pytest.raises(RegistryError, match="is not a public key"):
        signing.find_signer(workspace)


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (lambda lines: [*lines[:2], {**lines[2], "verdict": "HOLD"}, *lines[3:]], "not the signature of anna"),
        (lambda lines: [*lines[:2], *lines[3:]], "not the signature of anna"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "not the signature of anna"),
        (lambda lines: [*lines[:2], without_signature(lines[1]), *lines[2:]], "not the signature of anna"),
        (lambda lines: [*lines[:-1], {k: v for k, v in lines[-1].items() if k != "signature"}], "was removed"),
        (lambda lines: [*lines[:-1], {k: v for k, v in lines[-1].items() if k != "signer"}], "has no signer"),
        (lambda lines: [*lines[:-1], {**lines[-1], "signer": "ben"}], "not the signature of ben"),
        (lambda lines: [*lines[:-1], {**lines[-1], "signer": "mallory"}], "no public key of mallory"),
        (lambda lines: [*lines[:-1], {**lines[-1], "signer": "../signers/anna"}], "no public key of"),
        (lambda lines: [*lines[:-1], {**lines[-1], "signature": "AAAA"}], "not the signature of anna"),
        (lambda lines: [*lines[:-1], {**lines[-1], "signature": "é"}], "not the signature of anna"),
    ],
)
def test_signatures_detect_a_consistent_rewrite(
    workspace: Workspace, keys: Path, attack: Callable[[list[Json]], list[Json]], expected: str
) -> None:
    """A consistent rewrite of ledger, head and pointer without the key is detected."""
    signing.create_key(workspace, "anna")
    registry = record_decisions(workspace)
    shutil.rmtree(keys)
    signing.create_key(workspace, "ben")
    write_ledger(workspace, attack(ledger_lines(workspace)))
    keys_created = [line for line in ledger_lines(workspace) if line["verdict"] == "PROMOTE"][-1]
    write_pointer(workspace, keys_created)
    assert registry.faults("iris") == []
    assert any(expected in problem for problem in signature_states(workspace).values()), signature_states(workspace)
    states = {row["what"]: row["state"] for row in verify(workspace, loader.load(workspace, "iris"))}
    assert states["ledger"] == "same"
    assert "changed" in {state for what, state in states.items() if what.startswith("line ")}


def test_task_may_require_signatures(workspace: Workspace, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With gate.signed, decisions need a key, only signed approvals count, and an unsigned line is a fault."""
    edit_task(workspace, "iris", {"gate.signed": True})
    task, registry = loader.load(workspace, "iris"), Registry(workspace)
    record_decisions(workspace, steps=STEPS[:2])
    for verb, words in ((approve, [task, "b"]), (rollback, [task])):
        with pytest.raises(RegistryError, match=r"gate\.signed: decisions about iris must be signed"):
            verb(workspace, *words)
    registry.record(make_decision("bbbb", "APPROVE"))
    assert approvers(registry, task.name, "bbbb", signed=True) == []
    monkeypatch.setenv("TILTYARD_ACTOR", "")
    signing.create_key(workspace, "anna")
    registry.record(make_decision("bbbb", "HOLD"))
    assert approve(workspace, task, "bbbb").id == approve(workspace, task, "bbbb").id
    assert approvers(registry, task.name, "bbbb", signed=True) == ["anna"]
    rows = {row["what"]: row for row in verify(workspace, task)}
    assert rows["line 1"]["state"] == "unknown"  # from before the first signature
    assert rows["line 5"]["text"] == "APPROVE bbbb: signed by anna"
    shutil.rmtree(keys)
    registry.record(make_decision("cccc", "HOLD"))
    (last,) = [row for row in verify(workspace, task) if row["what"] == "line 6"]
    assert (last["state"], last["text"]) == ("changed", "HOLD cccc: unsigned; gate.signed requires a signature")


def test_repository_contains_no_private_key() -> None:
    """Files of signers in the repository are public keys only."""
    for path in (ROOT / "serving").rglob("*"):
        if path.is_file() and path.stat().st_size < 10_000:
            assert b"PRIVATE KEY" not in path.read_bytes(), path
