"""Files and folders that are whole or not there, and what a kill in the middle leaves behind."""

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


def write(way: str, target: Path) -> None:
    """Write a target whole."""
    with getattr(files, way)(target) as made:
        (made / "whole.txt" if made.is_dir() else made).write_text("whole")


@pytest.mark.parametrize(("way", "name"), [("atomic_file", "docs [1].json"), ("atomic_folder", "docs")])
def test_what_a_kill_left_goes_at_the_next_write(tmp_path: Path, way: str, name: str) -> None:
    """Of the same target alone; what a process that lives is writing stays, and so do other hidden files."""
    target, others = tmp_path / name, {".docs-mine", ".docs", f".other-{32 * 'a'}"}
    for other in others:
        (tmp_path / other).mkdir()
    with half_written(way, target) as (killed, left), half_written(way, target) as (alive, kept):
        killed.kill()
        killed.wait()
        assert left.exists()
        write(way, target)
        assert {path.name for path in tmp_path.iterdir()} == {target.name, kept.name, *others}
        alive.communicate("")
        assert alive.returncode == 0
    assert (target / "half.txt" if target.is_dir() else target).read_text() == "half"
    assert {path.name for path in tmp_path.iterdir()} == {target.name, *others}


def test_a_link_that_is_named_like_a_temporary_is_not_followed(tmp_path: Path) -> None:
    """Nothing behind it is removed."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file.txt").write_text("mine")
    (tmp_path / f".docs-{32 * '0'}").symlink_to(precious)
    write("atomic_folder", tmp_path / "docs")
    assert (precious / "file.txt").read_text() == "mine"


def test_writers_at_once_do_not_remove_what_others_write(tmp_path: Path) -> None:
    """A temporary file that is just made and not yet locked is no leftover."""
    target, failures = tmp_path / "one.json", list[BaseException]()

    def often() -> None:
        try:
            for _ in range(60):
                write("atomic_file", target)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_a_temporary_that_is_removed_before_its_lock_holds_is_made_again(tmp_path: Path) -> None:
    """Another process may take what is just made for a leftover: it locks it first, and then removes it."""
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


def test_a_block_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    """The old content stays, and nothing temporary."""
    target = tmp_path / "docs"
    write("atomic_folder", target)
    with pytest.raises(ValueError, match="no"), files.atomic_folder(target):
        raise ValueError("no")
    assert [path.name for path in tmp_path.rglob("*")] == ["docs", "whole.txt"]


@pytest.mark.parametrize("way", ["atomic_file", "atomic_folder"])
def test_what_kills_left_goes_whatever_it_was_to_be(tmp_path: Path, way: str) -> None:
    """Of all targets in a folder; what a living process writes stays, and so does what is named otherwise."""
    others = {".gitignore", ".one-2.json", f"one-{32 * '0'}", f".one-{31 * '0'}"}
    for other in others:
        (tmp_path / other).touch()
    with (
        half_written(way, tmp_path / "one.json") as (killed, left),
        half_written(way, tmp_path / "two") as (alive, kept),
    ):
        killed.kill()
        killed.wait()
        assert left.exists()
        files.remove_abandoned(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {kept.name, *others}
        alive.communicate("")
        assert alive.returncode == 0
    files.remove_abandoned(tmp_path / "absent")


@pytest.mark.parametrize("replace", [True, False])
def test_a_private_file_is_its_owners_alone(tmp_path: Path, replace: bool) -> None:
    """Whatever the mask allows; one that is there is replaced or kept, as is asked, and nothing else is left."""
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
    assert [kept.name for kept in path.parent.iterdir()] == ["key"]


def test_of_many_private_files_at_once_one_stays(tmp_path: Path) -> None:
    """Where none may be replaced, the first one wins, and the others are told."""

    def written(number: int) -> bool:
        try:
            files.write_private_file(tmp_path / "key", b"%d" % number, replace=False)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [*pool.map(written, range(24))]
    assert won.count(True) == 1
    assert (tmp_path / "key").read_bytes() == b"%d" % won.index(True)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_lock_on_a_removed_file_keeps_nobody_out(tmp_path: Path) -> None:
    """Whoever waited for one that was removed takes the one that is there now: two never hold it at once."""
    path, inside, most = tmp_path / "locks" / "one.lock", list[int](), list[int]()

    def enter(number: int) -> None:
        with files.locked(path):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.002)
            inside.remove(number)
            path.unlink()  # from here on another may take the lock

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(enter, number) for number in range(40)]:
            done.result(60)
    assert most == [1] * 40
