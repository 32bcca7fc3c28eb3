"""Push record: whether all versions were pushed, without asking the remote."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tiltyard.config import loader
from tiltyard.data import dvc, dvc_push
from tiltyard.data.fetch import fetch
from tiltyard.workspace import Workspace


def _new_version(workspace: Workspace) -> None:
    fetch(workspace, loader.load(workspace, "iris"))


def _other_lock(workspace: Workspace) -> None:
    (workspace.root / "dvc.lock").write_text("schema: '2.0'\n", encoding="utf-8")


def _other_remote(workspace: Workspace) -> None:
    (workspace.root / ".dvc" / "config").write_text("[core]\n    remote = other\n", encoding="utf-8")


@pytest.mark.parametrize("change", [_new_version, _other_lock, _other_remote])
def test_a_change_is_not_pushed_yet(workspace: Workspace, change: Callable[[Workspace], None]) -> None:
    """A version, a stage or a remote that is new needs a push; a push of everything records the state."""
    assert not dvc_push.is_pushed(workspace)
    fetch(workspace, loader.load(workspace, "sine"))
    assert not dvc_push.is_pushed(workspace)
    dvc.push(workspace)
    assert dvc_push.is_pushed(workspace)
    change(workspace)
    assert not dvc_push.is_pushed(workspace)


def test_the_stage_code_needs_no_push(workspace: Workspace) -> None:
    """`dvc repro` records it; its output is not cached. What stands after it in the lock file still counts."""
    lock, other = workspace.root / "dvc.lock", "  train@iris:\n    cmd: tiltyard train iris\n"
    fetch(workspace, loader.load(workspace, "sine"))
    lock.write_text(f"schema: '2.0'\nstages:\n{other}", encoding="utf-8")
    dvc_push.record(workspace)
    code = "  code:\n    cmd: tiltyard code\n    outs:\n    - path: out/code.json\n      md5: 0\n"
    lock.write_text(f"schema: '2.0'\nstages:\n{code}{other}", encoding="utf-8")
    assert dvc_push.is_pushed(workspace)
    lock.write_text(f"schema: '2.0'\nstages:\n{code}{other}    md5: 1\n", encoding="utf-8")
    assert not dvc_push.is_pushed(workspace)
