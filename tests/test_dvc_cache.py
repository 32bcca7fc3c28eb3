"""A flipped bit in DVC's cache: what is damaged is dropped before it is used, and what is named as a cure works."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from making import ROOT

from tiltyard import dvc_cache, fetch, files, quiet, store, task_file
from tiltyard.errors import DataError
from tiltyard.workspace import Workspace


@pytest.fixture
def fetched(workspace: Workspace) -> Workspace:
    """A project in which iris was fetched, and so lies in cache and remote."""
    (workspace.root / "src").symlink_to(ROOT / "src")
    quiet.silence(workspace)
    fetch.get(workspace, task_file.load(workspace, "iris"))
    store.push(workspace, workspace.raw("iris"))
    return workspace


def flip(folder: Path, suffix: str) -> int:
    """Turn a bit in the middle of the files, and leave their modes as DVC made them; return their number."""
    found = [path for path in folder.rglob("files/md5/*/*") if path.name.endswith(".dir") == bool(suffix)]
    for path in found:
        mode, content = path.stat().st_mode, bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(content)
        path.chmod(mode)
    return len(found)


@pytest.mark.parametrize("suffix", ["", ".dir"])
def test_what_is_damaged_comes_from_the_remote(fetched: Workspace, suffix: str) -> None:
    """The listing or the file: checked out is what was fetched."""
    before, pointer = files.sha256(fetched.raw("iris")), store.pointer(fetched.raw("iris"))
    assert flip(fetched.root / ".dvc" / "cache", suffix) == 1
    shutil.rmtree(fetched.raw("iris"))
    store.checkout(fetched, fetched.raw("iris"), pointer)
    assert files.sha256(fetched.raw("iris")) == before


def test_without_a_remote_the_hint_cures(fetched: Workspace) -> None:
    """Damaged here, and nowhere else: a sentence, and the command that it names brings the data back for good."""
    task, raw = task_file.load(fetched, "iris"), fetched.raw("iris")
    before, pointer = files.sha256(raw), store.pointer(raw)
    flip(fetched.root / ".dvc" / "cache", "")
    shutil.rmtree(fetched.root / ".dvcstore")
    shutil.rmtree(raw)
    with pytest.raises(DataError, match="is neither in DVC's cache nor in the remote") as caught:
        store.checkout(fetched, raw, pointer)
    assert "tiltyard fetch --force TASK" in caught.value.hint
    fetch.get(fetched, task, force=True)
    shutil.rmtree(raw)
    store.checkout(fetched, raw, pointer)
    assert files.sha256(raw) == before


def test_a_damaged_file_is_stored_anew(fetched: Workspace) -> None:
    """What lies at the path is whole: adding it mends the cache."""
    flip(fetched.root / ".dvc" / "cache", "")
    store.add(fetched, fetched.raw("iris"))
    shutil.rmtree(fetched.root / ".dvcstore")
    shutil.rmtree(fetched.raw("iris"))
    store.checkout(fetched, fetched.raw("iris"), store.pointer(fetched.raw("iris")))


@pytest.mark.slow
def test_a_damaged_output_is_made_again(fetched: Workspace) -> None:
    """A stage whose output is gone does not get a damaged one back."""
    store.stage(fetched, "validate", "iris")
    out = fetched.out("iris", "validate")
    before = files.sha256(out)
    assert flip(fetched.root / ".dvc" / "cache", "") > 1
    shutil.rmtree(out)
    store.stage(fetched, "validate", "iris")
    assert files.sha256(out) == before


def test_a_torn_lock_names_nothing(tmp_path: Path) -> None:
    """What cannot be read is healed elsewhere."""
    for text in ("stages: [", "", "stages: {a: 3}", "[]"):
        files.write_text(tmp_path / "dvc.lock", text)
        assert dvc_cache.outputs(tmp_path / "dvc.lock", "a") == []
    assert dvc_cache.outputs(tmp_path / "absent", "a") == []
