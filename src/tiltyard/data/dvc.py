"""Versions of data and the stages of dvc.yaml, through DVC in this process; beside dvc_push nothing else imports it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import yaml
from pydantic import Field

from tiltyard import files, progress
from tiltyard import processes as stages
from tiltyard.data import dvc_cache, dvc_push, dvc_transfer, remote_listing
from tiltyard.errors import DataError, TaskError, TiltyardError, WorkspaceError, of_disk
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from dvc.repo import Repo

STAGES = ("validate", "prepare", "train", "evaluate")  # as in dvc.yaml, in their order
RESOLVE = "resolve"  # the stage before them, which reads the task file for all
HOLDER = re.compile(r"\(PID (\d+)\): (.*)")  # in a complaint of DVC's
T = TypeVar("T")
CONFIG = """\
[core]
    analytics = false
    check_update = false
    remote = local
['remote "local"']
    url = ../.dvcstore
"""


def init(workspace: Workspace) -> None:
    """Make the folder a DVC project, if it is none: with a remote that is a folder beside the data."""
    folder = workspace.root / ".dvc"
    folder.mkdir(exist_ok=True)
    git = any((parent / ".git").exists() for parent in (workspace.root, *workspace.root.parents))
    for name, content, wanted in (
        ("config", CONFIG, True),
        (".gitignore", "/config.local\n/tmp\n/cache\n", git),
        ("config.local", "[core]\n    no_scm = true\n", not git),  # an unpacked archive works, too
    ):
        if wanted and not (folder / name).exists():
            files.write_text(folder / name, content)


def add(workspace: Workspace, path: Path) -> None:
    """Make what lies at `path` a version: its pointer is `path` with .dvc."""
    with _repo(workspace) as repo:
        store = functools.partial(_patiently, workspace, functools.partial(repo.add, str(path)))
        store()
        if dvc_cache.drop_damaged(repo.cache.local.oid_to_path, [pointer(path).md5]):
            store()  # DVC had left a damaged file of that hash where it was
        _insist_stored(repo, [pointer(path).md5])


def _insist_stored(repo: Repo, digests: list[str]) -> None:
    """Raise if DVC could not store what it was to store, as on a full disk: it only logs that."""
    if lost := dvc_cache.missing(repo.cache.local.oid_to_path, digests):
        raise dvc_transfer.error(lost, "its cache", hint="see what DVC says: dvc status")


class Pointer(Settings):
    """What DVC knows of a version of a folder: enough to bring it back."""

    md5: str = Field(pattern="^[0-9a-f]{32}[.]dir$")
    size: int
    nfiles: int


def pointer(path: Path) -> Pointer:
    """Read the pointer of what lies at `path`."""
    (out,) = yaml.safe_load(path.with_name(f"{path.name}.dvc").read_text(encoding="utf-8"))["outs"]
    return Pointer(md5=out["md5"], size=out["size"], nfiles=out["nfiles"])


def checkout(workspace: Workspace, path: Path, version: Pointer) -> None:
    """Let the pointer name another version, and put its files at `path`."""
    with _repo(workspace) as repo:
        remote_listing.refuse_links(path, [parts for parts, _ in _have(repo, version)])
        out = {**version.model_dump(), "hash": "md5", "path": path.name}
        files.write_text(path.with_name(f"{path.name}.dvc"), yaml.safe_dump({"outs": [out]}, sort_keys=False))
        _patiently(workspace, functools.partial(repo.checkout, [f"{path}.dvc"], force=True))


def copy_version(workspace: Workspace, version: Pointer, folder: Path) -> None:
    """Copy the files of a version into a folder."""
    with _repo(workspace) as repo:
        for parts, md5 in _have(repo, version):
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(repo.cache.local.oid_to_path(md5), target)


def _have(repo: Repo, version: Pointer) -> list[tuple[tuple[str, ...], str]]:
    """Have a version in the cache, from the remote if need be, and return its files, checked: paths and hashes."""
    from dvc_data.hashfile.hash_info import HashInfo

    wanted, place = HashInfo("md5", version.md5), Path(repo.cache.local.oid_to_path(version.md5))
    found: list[tuple[tuple[str, ...], str]] = []
    dvc_cache.drop_damaged(repo.cache.local.oid_to_path, [version.md5])
    try:
        if not place.is_file():
            repo.cloud.pull([wanted])
        found = remote_listing.read(place, version.md5, version.nfiles)
        repo.cloud.pull([HashInfo("md5", md5) for _, md5 in found])
        dvc_cache.drop_damaged(repo.cache.local.oid_to_path, [md5 for _, md5 in found])
        lost = [md5 for _, md5 in found if not repo.cache.local.exists(md5)]
    except FileNotFoundError:
        lost = [version.md5]
    except DataError:
        place.unlink(missing_ok=True)  # so that a remote that was mended is asked again
        raise
    if isinstance(cause := dvc_transfer.FAILURES.take(lost), OSError) and of_disk(cause):
        raise cause  # there was no room for it here
    if lost:
        raise DataError(
            f"version {version.md5[:12]} of the data is neither in DVC's cache nor in the remote",
            hint="see where the remote points: dvc remote list; or get the data anew: tiltyard fetch --force TASK",
        )
    return found


def changed(workspace: Workspace, path: Path) -> bool:
    """Return whether what lies at `path` is another version than its pointer names."""
    pointer = path.with_name(f"{path.name}.dvc")
    if not pointer.exists():
        return True
    with _repo(workspace) as repo:
        return bool(_patiently(workspace, functools.partial(repo.status, [str(pointer)])))


def push(workspace: Workspace, *paths: Path) -> int:
    """Send versions to the default remote, all of them if none is named; give the number of files sent.

    What is damaged in the cache is not sent: raise an error that names it, when all else is sent.
    """
    from dvc.exceptions import UploadError

    with _repo(workspace) as repo:
        damaged = dvc_push.drop_damaged(repo, paths)
        try:
            sent: int = repo.push([f"{path}.dvc" for path in paths] or None)
        except UploadError:
            hint = "see whether the remote can be reached: dvc remote list, dvc push"
            raise dvc_transfer.error([*dvc_transfer.FAILURES.errors], "the remote", hint) from None
        if damaged:
            dvc_push.restore(damaged)
            raise dvc_push.refused(workspace.root, damaged)
        return sent


def status(workspace: Workspace, *targets: str) -> dict[str, Any]:
    """Return which pointers and stages are out of date, and why: nothing if all is as recorded."""
    with _repo(workspace) as repo:
        found: dict[str, Any] = _patiently(workspace, functools.partial(repo.status, list(targets) or None))
        return found


def current(workspace: Workspace, task: str) -> bool:
    """Return whether every stage of a task is as recorded, in one look instead of five."""
    return not status(workspace, *(f"{verb}@{task}" for verb in (RESOLVE, *STAGES)))


def remote(workspace: Workspace) -> str:
    """Return the address of the default remote; raise if it cannot be reached."""
    with _repo(workspace) as repo:
        found = repo.cloud.get_remote()
        try:
            found.fs.makedirs(found.path, exist_ok=True)
            found.fs.ls(found.path)
        except Exception as error:  # noqa: BLE001 - each kind of remote has errors of its own
            hint = "see where it points: dvc remote list"
            raise WorkspaceError(f"cannot reach {found.path}: {type(error).__name__}: {error}", hint) from None
        return f"{found.name}: {found.path}"


def repair(workspace: Workspace) -> None:
    """Put aside what a kill left torn: DVC writes these two files in place. The stages come back from its cache."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException
    from dvc.repo import lock_repo

    lock = workspace.root / "dvc.lock"
    with _repo(workspace) as repo, lock_repo(repo):  # another run may be writing it
        _release_dead(workspace)
        try:
            Lockfile(repo, str(lock)).load()
        except DvcException:
            aside = workspace.root / ".tiltyard" / "dvc.lock.torn"
            aside.parent.mkdir(exist_ok=True)
            lock.replace(aside)


def forget(workspace: Workspace, task: str) -> None:
    """Take the stages of a task out of dvc.lock."""
    from dvc.dvcfile import Lockfile

    lock = workspace.root / "dvc.lock"
    if not lock.is_file():
        return
    from dvc.repo import lock_repo

    with _repo(workspace) as repo, lock_repo(repo):
        file = Lockfile(repo, str(lock))
        for verb in (RESOLVE, *STAGES):
            file.remove_stage(SimpleNamespace(name=f"{verb}@{task}"))


def stage(workspace: Workspace, verb: str, task: str, *, anew: bool = False) -> Literal["ran", "skipped"]:
    """Run one stage of dvc.yaml if anything it depends on changed, or anew; raise the error it ended with.

    The task file is resolved before, if it changed: the other stages depend on what was read of it.
    """
    from dvc.exceptions import ReproductionError
    from dvc.stage.exceptions import StageCmdFailedError

    with _repo(workspace) as repo, stages.supervised(workspace, verb, task) as environment:
        _known(repo, verb, task)
        _release_dead(workspace)  # now: once DVC writes its list anew, nobody knows how old an entry is
        made = dvc_cache.outputs(workspace.root / "dvc.lock", f"{verb}@{task}")
        dvc_cache.drop_damaged(repo.cache.local.oid_to_path, made)  # before DVC brings it back
        try:
            for name in (RESOLVE, verb):
                call = functools.partial(repo.reproduce, [f"{name}@{task}"], single_item=True, run_env=environment)
                if done := _patiently(workspace, functools.partial(call, force=anew and name == verb)):
                    _insist_stored(repo, dvc_cache.outputs(workspace.root / "dvc.lock", f"{name}@{task}"))
        except ReproductionError as error:
            if isinstance(error.__cause__, StageCmdFailedError):
                raise stages.error(workspace, verb, task) from None
            raise _translated(error.__cause__ or error) from None
    return "ran" if done else "skipped"


def _known(repo: Repo, verb: str, task: str) -> None:
    from dvc.repo import lock_repo

    with lock_repo(repo):  # dvc.lock is among what is read, and others write it in place
        names = {name.addressing for name in repo.index.stages}
    if f"{verb}@{task}" not in names:
        known = ", ".join(sorted(name.partition("@")[2] for name in names if name.startswith(f"{verb}@")))
        raise TaskError(
            f"no stage {verb}@{task}: expected one of {known or 'none yet'}",
            hint=f"add {task} to the list `tasks` of params.yaml",
        )


@contextlib.contextmanager
def _repo(workspace: Workspace) -> Iterator[Repo]:
    """Open the project, waiting for the locks of others; DVC's own errors come out as ours.

    DVC writes down paths as it sees them from the working directory; threads at work on one project share it.
    """
    init(workspace)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    _silence()
    try:
        with contextlib.chdir(workspace.root), Repo(str(workspace.root)) as repo:
            repo.lock.lock = functools.partial(_patiently, workspace, repo.lock.lock)
            yield repo
    except (DvcException, OSError) as error:
        raise _translated(error) from None


def _patiently(workspace: Workspace, call: Callable[[], T]) -> T:
    """Call again while another process holds a lock of DVC's, and say who."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    end = time.monotonic() + stages.PATIENCE
    with progress.waiting() as wait:
        while True:
            try:
                return call()
            except DvcException as error:
                cause = error if isinstance(error, LockError) else error.__cause__
                if not isinstance(cause, LockError) or time.monotonic() > end:
                    raise
                _release_dead(workspace)
                wait(_holder(workspace, str(cause)))
                time.sleep(stages.PAUSE)


def _holder(workspace: Workspace, complaint: str) -> str:
    """Return who holds a lock: DVC names the process in its complaint, or in the file that it locks."""
    import psutil

    if named := HOLDER.search(complaint):
        return f"{named[2]} (process {named[1]})"
    try:
        number = int((workspace.root / ".dvc" / "tmp" / "lock").read_text(encoding="utf-8"))
        return f"{' '.join(psutil.Process(number).cmdline()[-3:])} (process {number})"
    except (OSError, ValueError, psutil.Error):
        return "another process of DVC"


def _release_dead(workspace: Workspace) -> None:
    """Drop what a killed process left in DVC's list of locks, also if another one has its number by now."""
    from dvc.lock import make_lock

    folder = workspace.root / ".dvc" / "tmp"
    path = folder / "rwlock"
    if not path.is_file():
        return
    with make_lock(str(folder / "rwlock.lock")):  # without it one may be half written
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
            when = path.stat().st_mtime
            write = {name: one for name, one in listed.get("write", {}).items() if _lives(one, when)}
            read = {name: [one for one in some if _lives(one, when)] for name, some in listed.get("read", {}).items()}
            kept = {"write": write, "read": {name: some for name, some in read.items() if some}}
        except (ValueError, AttributeError, TypeError, KeyError):
            path.unlink()
        else:
            if kept != {"write": {}, "read": {}, **listed}:
                files.write_json(path, kept)


def _lives(holder: dict[str, Any], written: float) -> bool:
    """Return whether a process lives and may have written a lock: it began before, and runs Python or DVC."""
    import psutil

    try:
        process = psutil.Process(int(holder["pid"]))
        words = " ".join([process.name(), *process.cmdline()]).lower()
        return process.create_time() <= written + 1 and any(word in words for word in ("python", "dvc", "tiltyard"))
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def _silence() -> None:
    """Keep DVC and its libraries from writing to the terminal."""
    import colorama.initialise

    atexit.unregister(colorama.initialise.reset_all)  # it writes an escape code at exit
    dvc_transfer.FAILURES.listen()
    for name in ("dvc", "dvc_objects", "dvc_data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("dvc.progress", "dvc_data.callbacks"):  # at this level they draw no bars
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _translated(error: BaseException) -> TiltyardError:
    """Return DVC's complaint as one of ours, with the next thing to type."""
    for one in (error, error.__cause__):
        if isinstance(one, OSError) and (told := of_disk(one)):
            return told
    text = " ".join(str(error).split())
    hint = "see what DVC says: dvc status"
    if "missing data 'source'" in text:
        return WorkspaceError(f"raw data is missing: {text}", hint="get it: tiltyard fetch TASK")
    if "dvc.lock" in text and "corrupted" in text:
        hint = "tiltyard run TASK puts it aside; DVC's cache still has the results"
    if "upload" in text:
        hint = "see whether the remote can be reached: dvc remote list, dvc push"
    return WorkspaceError(f"DVC: {text}", hint=hint)
