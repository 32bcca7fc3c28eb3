"""Unwritable folders and full disks: an error with the path and a hint, and no traceback."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from linear_challengers import prepared_project, write_challenger
from workspaces import ROOT, fetch_raw, new_workspace

from tiltyard.data import dvc
from tiltyard.workspace import Workspace

DROP, OVERRIDE, SEARCH = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
TILTYARD = str(Path(sys.executable).with_name("tiltyard"))
CASES = [  # commands, and the folders that they write to
    ("fetch iris", "data"),
    ("validate iris", "out"),
    ("prepare iris", "data/seals"),
    pytest.param("promote iris", "serving/ledger", marks=pytest.mark.smoke),
]


def _project_for(root: Path, words: str) -> Workspace:
    """Create a project with everything that a command needs."""
    if words.startswith("promote"):
        workspace, task = prepared_project(root, "iris")
        write_challenger(workspace, task, slice(1))
    else:
        workspace = new_workspace(root)
        if not words.startswith("fetch"):
            fetch_raw(workspace, "iris")
    (root / "src").symlink_to(ROOT / "src")
    return workspace


def _drop_root_capabilities() -> None:
    """Drop, in a child process, the capabilities by which root ignores permissions."""
    for capability in (OVERRIDE, SEARCH):
        ctypes.CDLL(None).prctl(DROP, capability, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="root ignores permissions on other systems")
@pytest.mark.parametrize(("words", "folder"), CASES)
def test_unwritable_folder_is_reported(words: str, folder: str, tmp_path: Path) -> None:
    """The error names the folder, and the hint has a command that shows its owner."""
    workspace = _project_for(tmp_path, words)
    path = workspace.root / folder
    path.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode
    path.chmod(0o555)
    try:
        done = subprocess.run(
            [TILTYARD, *words.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=_drop_root_capabilities,
        )
    finally:
        path.chmod(mode)
    assert done.returncode == 1, done.stdout
    assert f"error: {path} cannot be used: Permission denied" in done.stderr
    assert f"next:  see who may write there: ls -ld {path};" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def _disks() -> None:
    """Small disks are mounted in a separate namespace, which not every system allows."""
    try:
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system does not allow mounting a small disk")


@pytest.mark.slow
@pytest.mark.usefixtures("_disks")
@pytest.mark.parametrize(
    ("words", "folder", "reported_folder"),
    [
        ("fetch iris", "data/raw", "data/raw"),
        ("prepare iris", "out", "out/iris"),
        pytest.param("promote iris", "serving/ledger", "serving/ledger", marks=pytest.mark.smoke),
        pytest.param("promote iris", ".tiltyard", ".tiltyard/state/iris", marks=pytest.mark.smoke),
    ],
)
def test_full_disk_is_reported(words: str, folder: str, reported_folder: str, tmp_path: Path) -> None:
    """On a disk of 4 KiB, the error names the folder even if the system's error names no file."""
    path = _project_for(tmp_path, words).root / folder
    path.mkdir(parents=True, exist_ok=True)
    script = f'mount -t tmpfs -o size=4k tmpfs "$1" && exec "$2" {words}'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(path), TILTYARD]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert f"error: no room left on the disk of {tmp_path / reported_folder}" in done.stderr
    assert "next:  see what uses the space: du -sh" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("_disks")
@pytest.mark.parametrize(
    "folder", [".dvc/cache", *(pytest.param(one, marks=pytest.mark.smoke) for one in (".dvcstore", ".dvc"))]
)
def test_full_disk_while_storing_a_version(folder: str, tmp_path: Path) -> None:
    """DVC only logs this error; after the disk was enlarged, a fetch stores everything."""
    workspace = _project_for(tmp_path, "fetch iris")
    path = tmp_path / folder
    path.mkdir(parents=True)
    script = (
        'mount -t tmpfs -o size=4k tmpfs "$1" && "$2" fetch iris; echo "ended with $?"; find "$1" -name "*.tmp"; '
        'mount -o remount,size=1m "$1" && "$2" fetch iris && echo stored && "$2" fetch iris && '
        'cp -r "$1" "$3"'
    )
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(path), TILTYARD, str(tmp_path / "kept")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    first, _, after = done.stdout.partition("stored\n")
    assert first.splitlines()[0] == "ended with 1", done
    assert f"error: no room left on the disk of {path}" in done.stderr
    assert "next:  see what uses the space: du -sh" in done.stderr
    assert "Traceback" not in done.stderr
    assert ".tmp" not in first
    assert done.returncode == 0, done.stderr
    assert after.count("iris: raw data") == 1
    stored = {path.name for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    assert dvc.pointer(workspace.raw("iris")).md5[2:] in stored


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_full_disk_for_standard_output(workspace: Workspace) -> None:
    """If the system's error names no file, the message names none."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [TILTYARD, "status"], cwd=workspace.root, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no room left on the disk\nnext:  ")
