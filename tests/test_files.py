"""Atomic files and folders: complete or absent, and cleanup after kills."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from workspaces import half_written

from tiltyard import files


def write(method: str, target: Path) -> None:
    """Write a complete target."""
    with getattr(files, method)(target) as temporary:
        (temporary / "whole.txt" if temporary.is_dir() else temporary).write_text("whole")


@pytest.mark.parametrize(("method", "name"), [("atomic_file", "docs [1].json"), ("atomic_folder", "docs")])
def test_next_write_removes_abandoned_files_of_its_target(tmp_path: Path, method: str, name: str) -> None:
    """Files that a running process writes stay, as do other hidden files."""
    target, others = tmp_path / name, {".docs-mine", ".docs", f".other-{32 * 'a'}"}
    for other in others:
        (tmp_path / other).mkdir()
    with half_written(method, target) as (killed, abandoned), half_written(method, target) as (alive, partial):
        killed.kill()
        killed.wait()
        assert abandoned.exists()
        write(method, target)
        assert {path.name for path in tmp_path.iterdir()} == {target.name, partial.name, *others}
        alive.communicate("")
        assert alive.returncode == 0
    assert (target / "half.txt" if target.is_dir() else target).read_text() == "half"
    assert {path.name for path in tmp_path.iterdir()} == {target.name, *others}


def test_link_named_like_a_temporary_is_not_followed(tmp_path: Path) -> None:
    """The target of the link stays."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file.txt").write_text("mine")
    (tmp_path / f".docs-{32 * '0'}").symlink_to(precious)
    write("atomic_folder", tmp_path / "docs")
    assert (precious / "file.txt").read_text() == "mine"


def test_concurrent_writers_keep_each_others_files(tmp_path: Path) -> None:
    """A new temporary file that is not locked yet does not count as abandoned."""
    target, failures = tmp_path / "one.json", list[BaseException]()

    def write_repeatedly() -> None:
        try:
            for _ in range(60):
                write("atomic_file", target)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write_repeatedly) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_temporary_removed_before_its_lock_is_created_again(tmp_path: Path) -> None:
    """Another process may take a new file for abandoned: it locks the file first, and then removes it."""
    made, removers = list[Path](), list[threading.Thread]()

    def remove(path: Path, lock: int) -> None:
        time.sleep(0.2)
        path.unlink()
        os.close(lock)

    def make(path: Path) -> None:
        path.touch()
        made.append(path)
        if len(made) == 1:
            lock = os.open(path, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            removers.append(threading.Thread(target=remove, args=(path, lock)))
            removers[0].start()

    with files._temporary(tmp_path, ".one-", "", make) as path:
        assert made[0] != made[1] == path
        assert path.exists()
    removers[0].join()


def test_failed_block_leaves_the_old_content(tmp_path: Path) -> None:
    """No temporary folder is left."""
    target = tmp_path / "docs"
    write("atomic_folder", target)
    with pytest.raises(ValueError, match="no"), files.atomic_folder(target):
        raise ValueError("no")
    assert [path.name for path in tmp_path.rglob("*")] == ["docs", "whole.txt"]


@pytest.mark.parametrize("method", ["atomic_file", "atomic_folder"])
def test_abandoned_files_of_all_targets_are_removed(tmp_path: Path, method: str) -> None:
    """Files that a running process writes stay, as do files with other names."""
    others = {".gitignore", ".one-2.json", f"one-{32 * '0'}", f".one-{31 * '0'}"}
    for other in others:
        (tmp_path / other).touch()
    with (
        half_written(method, tmp_path / "one.json") as (killed, abandoned),
        half_written(method, tmp_path / "two") as (alive, partial),
    ):
        killed.kill()
        killed.wait()
        assert abandoned.exists()
        files.remove_abandoned(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {partial.name, *others}
        alive.communicate("")
        assert alive.returncode == 0
    files.remove_abandoned(tmp_path / "absent")


@pytest.mark.parametrize("replace", [True, False])
def test_private_file_is_readable_only_by_its_owner(tmp_path: Path, replace: bool) -> None:
    """The umask has no effect; an existing file is replaced or kept as requested, and no other file is left."""
    path, mask = tmp_path / "new" / "key", os.umask(0)
    try:
        files.write_private_file(path, b"one", replace=replace)
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    if replace:
        files.write_private_file(path, b"two", replace=True)
    else:
        with pytest.raises(FileExistsError):
            files.write_private_file(path, b"two", replace=False)
    assert path.read_bytes() == (b"two" if replace else b"one")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [partial.name for partial in path.parent.iterdir()] == ["key"]


def test_concurrent_private_writes_keep_exactly_one(tmp_path: Path) -> None:
    """Without replacement the first write wins, and the others raise an error."""

    def try_write(number: int) -> bool:
        try:
            files.write_private_file(tmp_path / "key", b"%d" % number, replace=False)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [*pool.map(try_write, range(24))]
    assert won.count(True) == 1
    assert (tmp_path / "key").read_bytes() == b"%d" % won.index(True)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_lock_on_a_removed_file_is_not_exclusive_forever(tmp_path: Path) -> None:
    """A process that waited for a removed lock file takes the current one: two never hold the lock at once."""
    path, inside, holders = tmp_path / "locks" / "one.lock", list[int](), list[int]()

    def hold_lock(number: int) -> None:
        with files.locked(path):
            inside.append(number)
            holders.append(len(inside))
            time.sleep(0.002)
            inside.remove(number)
            path.unlink()  # from here on another thread may take the lock

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(hold_lock, number) for number in range(40)]:
            done.result(60)
    assert holders == [1] * 40
