"""Folders that cannot be written to, and full disks: a sentence with the place and what to do, and no traceback."""

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
CASES = [  # what is typed, and the folder that it would write to
    ("fetch iris", "data"),
    ("validate iris", "out"),
    ("prepare iris", "data/seals"),
    pytest.param("promote iris", "serving/ledger", marks=pytest.mark.smoke),
]


def _ready(root: Path, words: str) -> Workspace:
    """Make a project that is as far as a command needs it."""
    if words.startswith("promote"):
        workspace, task = prepared_project(root, "iris")
        write_challenger(workspace, task, slice(1))
    else:
        workspace = new_workspace(root)
        if not words.startswith("fetch"):
            fetch_raw(workspace, "iris")
    (root / "src").symlink_to(ROOT / "src")
    return workspace


def _bound_by_permissions() -> None:
    """Drop, in a child, the capabilities by which root writes everywhere; other users have none."""
    for capability in (OVERRIDE, SEARCH):
        ctypes.CDLL(None).prctl(DROP, capability, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="root is bound by no permissions elsewhere")
@pytest.mark.parametrize(("words", "folder"), CASES)
def test_a_folder_that_cannot_be_written_to(words: str, folder: str, tmp_path: Path) -> None:
    """The folder that is there is named, and the command in the hint shows whose it is."""
    workspace = _ready(tmp_path, words)
    place = workspace.root / folder
    place.mkdir(parents=True, exist_ok=True)
    mode = place.stat().st_mode
    place.chmod(0o555)
    try:
        done = subprocess.run(
            [TILTYARD, *words.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=_bound_by_permissions,
        )
    finally:
        place.chmod(mode)
    assert done.returncode == 1, done.stdout
    assert f"error: {place} cannot be used: Permission denied" in done.stderr
    assert f"next:  see who may write there: ls -ld {place};" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def _disks() -> None:
    """Small disks are mounted in a namespace of their own, which not every system allows."""
    try:
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets nobody mount a small disk")


@pytest.mark.slow
@pytest.mark.usefixtures("_disks")
@pytest.mark.parametrize(
    ("words", "folder", "named"),
    [
        ("fetch iris", "data/raw", "data/raw"),
        ("prepare iris", "out", "out/iris"),
        pytest.param("promote iris", "serving/ledger", "serving/ledger", marks=pytest.mark.smoke),
        pytest.param("promote iris", ".tiltyard", ".tiltyard/state/iris/package", marks=pytest.mark.smoke),
    ],
)
def test_a_disk_that_is_full(words: str, folder: str, named: str, tmp_path: Path) -> None:
    """One that holds 4 KiB: the folder is named, also where the system's own error names no file."""
    place = _ready(tmp_path, words).root / folder
    place.mkdir(parents=True, exist_ok=True)
    mounted = f'mount -t tmpfs -o size=4k tmpfs "$1" && exec "$2" {words}'
    command = ["unshare", "-rm", "sh", "-c", mounted, "sh", str(place), TILTYARD]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert f"error: no room left on the disk of {tmp_path / named}" in done.stderr
    assert "next:  see what uses the space: du -sh" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("_disks")
@pytest.mark.parametrize(
    "folder", [".dvc/cache", *(pytest.param(one, marks=pytest.mark.smoke) for one in (".dvcstore", ".dvc"))]
)
def test_no_room_for_a_version(folder: str, tmp_path: Path) -> None:
    """Where DVC stores and sends it, and only logs that it could not; when there is room again, a fetch does all."""
    workspace = _ready(tmp_path, "fetch iris")
    place = tmp_path / folder
    place.mkdir(parents=True)
    script = (
        'mount -t tmpfs -o size=4k tmpfs "$1" && "$2" fetch iris; echo "ended with $?"; find "$1" -name "*.tmp"; '
        'mount -o remount,size=1m "$1" && "$2" fetch iris && echo stored && "$2" fetch iris && '
        'cp -r "$1" "$3"'
    )
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(place), TILTYARD, str(tmp_path / "kept")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    first, _, then = done.stdout.partition("stored\n")
    assert first.splitlines()[0] == "ended with 1", done
    assert f"error: no room left on the disk of {place}" in done.stderr
    assert "next:  see what uses the space: du -sh" in done.stderr
    assert "Traceback" not in done.stderr
    assert ".tmp" not in first
    assert done.returncode == 0, done.stderr
    assert then.count("iris: raw data") == 1
    stored = {path.name for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    assert dvc.pointer(workspace.raw("iris")).md5[2:] in stored


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_no_room_for_what_is_printed(workspace: Workspace) -> None:
    """Where the system names no file, none is made up."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [TILTYARD, "status"], cwd=workspace.root, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no room left on the disk\nnext:  ")
