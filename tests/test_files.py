"""Files and folders that are whole or not there, and what a kill in the middle leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiltyard import files

WRITE = """
import sys, pathlib
from tiltyard import files
with getattr(files, sys.argv[1])(pathlib.Path(sys.argv[2])) as made:
    (made / "half.txt" if made.is_dir() else made).write_text("half")
    print(made, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def writing(way: str, target: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start a process that has written half of a target, and waits; give it and what it has made so far."""
    command = [sys.executable, "-c", WRITE, way, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def write(way: str, target: Path) -> None:
    """Write a target whole."""
    with getattr(files, way)(target) as made:
        (made / "whole.txt" if made.is_dir() else made).write_text("whole")


@pytest.mark.parametrize(("way", "name"), [("replacing", "docs [1].json"), ("replacing_folder", "docs")])
def test_what_a_kill_left_goes_at_the_next_write(tmp_path: Path, way: str, name: str) -> None:
    """Of the same target alone; what a process that lives is writing stays, and so do other hidden files."""
    target, others = tmp_path / name, {".docs-mine", ".docs", f".other-{32 * 'a'}"}
    for other in others:
        (tmp_path / other).mkdir()
    with writing(way, target) as (killed, left), writing(way, target) as (alive, kept):
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
    write("replacing_folder", tmp_path / "docs")
    assert (precious / "file.txt").read_text() == "mine"


def test_writers_at_once_do_not_remove_what_others_write(tmp_path: Path) -> None:
    """A temporary file that is just made and not yet locked is no leftover."""
    target, failures = tmp_path / "one.json", list[BaseException]()

    def often() -> None:
        try:
            for _ in range(60):
                write("replacing", target)
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
    write("replacing_folder", target)
    with pytest.raises(ValueError, match="no"), files.replacing_folder(target):
        raise ValueError("no")
    assert [path.name for path in tmp_path.rglob("*")] == ["docs", "whole.txt"]
