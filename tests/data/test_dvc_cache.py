"""Damaged files in DVC's cache: they are dropped before use, and the hints in the errors repair them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from workspaces import ROOT

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.data import dvc, fetch, integrity
from tiltyard.errors import DataError
from tiltyard.runtime import environment
from tiltyard.workspace import Workspace


@pytest.fixture
def fetched(workspace: Workspace) -> Workspace:
    """A project in which iris was fetched, so that cache and remote hold it."""
    (workspace.root / "src").symlink_to(ROOT / "src")
    environment.configure_tools(workspace)
    fetch.get(workspace, loader.load(workspace, "iris"))
    dvc.push(workspace, workspace.raw("iris"))
    return workspace


def flip(folder: Path, suffix: str) -> int:
    """Flip a bit in the middle of the files, keeping their modes; return their number."""
    paths = [path for path in folder.rglob("files/md5/*/*") if path.name.endswith(".dir") == bool(suffix)]
    for path in paths:
        mode, content = path.stat().st_mode, bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(content)
        path.chmod(mode)
    return len(paths)


@pytest.mark.parametrize("suffix", ["", ".dir"])
def test_damaged_files_are_restored_from_the_remote(fetched: Workspace, suffix: str) -> None:
    """A checkout restores a damaged listing or file from the remote."""
    before, pointer = files.sha256(fetched.raw("iris")), dvc.pointer(fetched.raw("iris"))
    assert flip(fetched.root / ".dvc" / "cache", suffix) == 1
    shutil.rmtree(fetched.raw("iris"))
    dvc.checkout(fetched, fetched.raw("iris"), pointer)
    assert files.sha256(fetched.raw("iris")) == before


def test_hint_restores_data_without_a_remote(fetched: Workspace) -> None:
    """Without a copy in the remote, the command in the hint restores the data."""
    task, raw = loader.load(fetched, "iris"), fetched.raw("iris")
    before, pointer = files.sha256(raw), dvc.pointer(raw)
    flip(fetched.root / ".dvc" / "cache", "")
    shutil.rmtree(fetched.root / ".dvcstore")
    shutil.rmtree(raw)
    with pytest.raises(DataError, match="is neither in DVC's cache nor in the remote") as caught:
        dvc.checkout(fetched, raw, pointer)
    assert "tiltyard fetch --force TASK" in caught.value.hint
    fetch.get(fetched, task, force=True)
    shutil.rmtree(raw)
    dvc.checkout(fetched, raw, pointer)
    assert files.sha256(raw) == before


def test_damaged_cache_file_is_stored_again(fetched: Workspace) -> None:
    """Adding the intact file of the project repairs the cache."""
    flip(fetched.root / ".dvc" / "cache", "")
    dvc.add(fetched, fetched.raw("iris"))
    shutil.rmtree(fetched.root / ".dvcstore")
    shutil.rmtree(fetched.raw("iris"))
    dvc.checkout(fetched, fetched.raw("iris"), dvc.pointer(fetched.raw("iris")))


@pytest.mark.slow
def test_damaged_output_is_rebuilt(fetched: Workspace) -> None:
    """A stage does not restore a damaged output from the cache."""
    dvc.run_stage(fetched, "validate", "iris")
    out = fetched.out("iris", "validate")
    before = files.sha256(out)
    assert flip(fetched.root / ".dvc" / "cache", "") > 1
    shutil.rmtree(out)
    dvc.run_stage(fetched, "validate", "iris")
    assert files.sha256(out) == before


def remote_files(workspace: Workspace) -> dict[str, bool]:
    """Return the hashes in the remote, and whether each file matches its hash."""
    paths = (path for path in (workspace.root / ".dvcstore").rglob("files/md5/*/*") if path.is_file())
    named = {f"{path.parent.name}{path.name}": path.read_bytes() for path in paths}
    return {
        name: hashlib.md5(content).hexdigest() == name.removesuffix(".dir")  # noqa: S324 - DVC's choice
        for name, content in named.items()
    }


@pytest.mark.parametrize("suffix", ["", ".dir"])
def test_damaged_files_are_not_pushed(workspace: Workspace, suffix: str) -> None:
    """A damaged file is reported with the command that repairs it, and all others are sent."""
    environment.configure_tools(workspace)
    for name in ("iris", "sine"):
        fetch.get(workspace, loader.load(workspace, name))
        if name == "iris":
            assert flip(workspace.root / ".dvc" / "cache", suffix) == 1
    with pytest.raises(DataError, match="not sent to the remote: data/raw/iris") as caught:
        dvc.push(workspace)
    assert caught.value.hint.endswith(": tiltyard fetch iris")
    assert all(remote_files(workspace).values())
    assert dvc.pointer(workspace.raw("sine")).md5 in remote_files(workspace)
    assert dvc.pointer(workspace.raw("iris")).md5 not in remote_files(workspace)
    assert fetch.fetch(workspace, loader.load(workspace, "iris")).state == "same"
    assert all(remote_files(workspace).values())
    pointer, before = dvc.pointer(workspace.raw("iris")), files.sha256(workspace.raw("iris"))
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    shutil.rmtree(workspace.raw("iris"))
    dvc.checkout(workspace, workspace.raw("iris"), pointer)
    assert files.sha256(workspace.raw("iris")) == before


def test_fetch_reports_files_that_it_cannot_push(workspace: Workspace) -> None:
    """The command fails with the file and the repair, and works when it is run again."""
    CliRunner().invoke(cli, ["fetch", "sine"], catch_exceptions=False)
    shutil.rmtree(workspace.root / ".dvcstore")
    assert flip(workspace.root / ".dvc" / "cache", "") == 1
    with pytest.raises(DataError, match=r"not sent to the remote: data/raw/sine/series\.csv"):
        CliRunner().invoke(cli, ["fetch", "sine"], catch_exceptions=False)
    assert all(remote_files(workspace).values())
    assert CliRunner().invoke(cli, ["fetch", "sine"], catch_exceptions=False).exit_code == 0
    assert sorted(remote_files(workspace).values()) == [True, True]


def test_data_damaged_in_the_project_must_be_fetched_again(workspace: Workspace) -> None:
    """If the copy in the project is damaged as well, the hint is to fetch again."""
    environment.configure_tools(workspace)
    task = loader.load(workspace, "sine")
    fetch.get(workspace, task)
    before = files.sha256(workspace.raw("sine"))
    (workspace.raw("sine") / "series.csv").unlink()
    (path,) = [path for path in (workspace.root / ".dvc/cache").rglob("files/md5/*/*") if path.suffix != ".dir"]
    (workspace.raw("sine") / "series.csv").hardlink_to(path)
    flip(workspace.root / ".dvc" / "cache", "")
    with pytest.raises(DataError, match="not sent") as caught:
        dvc.push(workspace)
    assert caught.value.hint.endswith(": tiltyard fetch --force sine")
    fetch.fetch(workspace, task, force=True)
    assert files.sha256(workspace.raw("sine")) == before
    assert sorted(remote_files(workspace).values()) == [True, True]


def test_push_skips_files_of_the_remote(fetched: Workspace) -> None:
    """Damage in the cache does not prevent a push if the remote has the file."""
    flip(fetched.root / ".dvc" / "cache", "")
    assert dvc.push(fetched) == 0
    assert all(remote_files(fetched).values())


def test_push_stores_a_damaged_output_again(small: Workspace) -> None:
    """The next push stores a damaged output again from the project, without running a stage."""
    dvc.run_stage(small, "validate", "a")
    package = small.package("b", "1")
    package.mkdir(parents=True)
    (package / "model.onnx").write_text("model")
    dvc.add(small, package)
    assert flip(small.root / ".dvc" / "cache", "") > 2
    named = r"not sent to the remote: out/a/resolve, out/a/validate/result, serving/packages/b/1/model\.onnx"
    with pytest.raises(DataError, match=named) as error:
        dvc.push(small)
    assert error.value.hint.endswith(": tiltyard run a")
    assert all(remote_files(small).values())
    assert dvc.status(small, "validate@a") == {}
    assert dvc.run_stage(small, "validate", "a") == "skipped"
    assert dvc.push(small) > 2
    assert all(remote_files(small).values())


def test_truncated_lock_file_has_no_outputs(tmp_path: Path) -> None:
    """A truncated dvc.lock has no outputs."""
    for text in ("stages: [", "", "stages: {a: 3}", "[]"):
        files.write_text(tmp_path / "dvc.lock", text)
        assert integrity.outputs(tmp_path / "dvc.lock", "a") == []
    assert integrity.outputs(tmp_path / "absent", "a") == []
