"""DVC, in this process: versions of data and the stages of dvc.yaml. Besides, dvc_push and dvc_lock_file import DVC."""

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

from tiltyard import files
from tiltyard.data import dvc_lock_file, dvc_push, integrity, remote_listing, stage_code
from tiltyard.errors import DataError, TaskError, TiltyardError, WorkspaceError, from_os_error
from tiltyard.runtime import processes as stages
from tiltyard.runtime import progress
from tiltyard.runtime.task_lock import LOCK_SECONDS, PAUSE
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from dvc.repo import Repo

STAGES = ("validate", "prepare", "train", "evaluate")  # as in dvc.yaml, in order
RESOLVE = "resolve"  # the stage before them, which reads the task file
LOCK_HOLDER = re.compile(r"\(PID (\d+)\): (.*)")  # in DVC's error message
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
    """Make the folder a DVC project if it is not one yet; its remote is the folder .dvcstore."""
    folder = workspace.root / ".dvc"
    folder.mkdir(exist_ok=True)
    git = any((parent / ".git").exists() for parent in (workspace.root, *workspace.root.parents))
    for name, content, needed in (
        ("config", CONFIG, True),
        (".gitignore", "/config.local\n/tmp\n/cache\n", git),
        ("config.local", "[core]\n    no_scm = true\n", not git),  # so that it also works without git
    ):
        if needed and not (folder / name).exists():
            files.write_text(folder / name, content)


def add(workspace: Workspace, path: Path) -> None:
    """Store the files at `path` as a version; its pointer is `path` with the suffix .dvc."""
    with _repo(workspace) as repo:
        store = functools.partial(_retry_while_locked, workspace, functools.partial(repo.add, str(path)))
        store()
        if integrity.drop_damaged(repo.cache.local.oid_to_path, [pointer(path).md5]):
            store()  # DVC does not replace a damaged file in its cache
        _require_stored(repo, [pointer(path).md5])


def _require_stored(repo: Repo, digests: list[str]) -> None:
    """Raise if the cache lacks some of these hashes: if the disk is full, DVC only logs the error."""
    if lost := integrity.missing(repo.cache.local.oid_to_path, digests):
        raise dvc_push.transfer_error(lost, "its cache", hint="ask DVC for its state: dvc status")


class Pointer(Settings):
    """What DVC records of a version of a folder: enough to restore it."""

    md5: str = Field(pattern="^[0-9a-f]{32}[.]dir$")
    size: int
    nfiles: int


def pointer(path: Path) -> Pointer:
    """Read the pointer of the files at `path`."""
    (out,) = yaml.safe_load(path.with_name(f"{path.name}.dvc").read_text(encoding="utf-8"))["outs"]
    return Pointer(md5=out["md5"], size=out["size"], nfiles=out["nfiles"])


def checkout(workspace: Workspace, path: Path, version: Pointer) -> None:
    """Replace the files at `path`, and their pointer, by those of another version."""
    with _repo(workspace) as repo:
        remote_listing.refuse_links(path, [parts for parts, _ in _cached_files(repo, version)])
        out = {**version.model_dump(), "hash": "md5", "path": path.name}
        files.write_text(path.with_name(f"{path.name}.dvc"), yaml.safe_dump({"outs": [out]}, sort_keys=False))
        _retry_while_locked(workspace, functools.partial(repo.checkout, [f"{path}.dvc"], force=True))


def copy_version(workspace: Workspace, version: Pointer, folder: Path) -> None:
    """Copy the files of a version into a folder."""
    with _repo(workspace) as repo:
        for parts, md5 in _cached_files(repo, version):
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(repo.cache.local.oid_to_path(md5), target)


def _cached_files(repo: Repo, version: Pointer) -> list[tuple[tuple[str, ...], str]]:
    """Pull a version into the cache if it is not there; return the path and the hash of each of its files, checked."""
    from dvc_data.hashfile.hash_info import HashInfo

    folder_hash, place = HashInfo("md5", version.md5), Path(repo.cache.local.oid_to_path(version.md5))
    listed: list[tuple[tuple[str, ...], str]] = []
    integrity.drop_damaged(repo.cache.local.oid_to_path, [version.md5])
    try:
        if not place.is_file():
            repo.cloud.pull([folder_hash])
        listed = remote_listing.read(place, version.md5, version.nfiles)
        repo.cloud.pull([HashInfo("md5", md5) for _, md5 in listed])
        integrity.drop_damaged(repo.cache.local.oid_to_path, [md5 for _, md5 in listed])
        lost = [md5 for _, md5 in listed if not repo.cache.local.exists(md5)]
    except FileNotFoundError:
        lost = [version.md5]
    except DataError:
        place.unlink(missing_ok=True)  # so that the next try reads the listing from the remote again
        raise
    if isinstance(cause := dvc_push.FAILURES.take(lost), OSError) and from_os_error(cause):
        raise cause  # the disk is full
    if lost:
        raise DataError(
            f"version {version.md5[:12]} of the data is neither in DVC's cache nor in the remote",
            hint="see where the remote points: dvc remote list; or get the data again: tiltyard fetch --force TASK",
        )
    return listed


def changed(workspace: Workspace, path: Path) -> bool:
    """Return whether the files at `path` differ from the version that the pointer names."""
    pointer = path.with_name(f"{path.name}.dvc")
    if not pointer.exists():
        return True
    with _repo(workspace) as repo:
        return bool(_retry_while_locked(workspace, functools.partial(repo.status, [str(pointer)])))


def push(workspace: Workspace, *paths: Path) -> int:
    """Send versions to the default remote, all of them if no path is given; return the number of files sent.

    Files that are damaged in the cache are not sent: raise an error that names them after all others are sent.
    """
    from dvc.exceptions import UploadError

    with _repo(workspace) as repo:
        damaged = dvc_push.drop_damaged(repo, paths)
        try:
            sent: int = repo.push([f"{path}.dvc" for path in paths] or None)
        except UploadError:
            hint = "check that the remote can be reached: dvc remote list, dvc push"
            raise dvc_push.transfer_error([*dvc_push.FAILURES.errors], "the remote", hint) from None
        if damaged:
            dvc_push.restore(damaged)
            raise dvc_push.damage_error(workspace.root, damaged)
        if not paths:
            dvc_push.record(workspace)
        return sent


def status(workspace: Workspace, *targets: str) -> dict[str, Any]:
    """Return which pointers and stages are out of date, and why; empty if none is."""
    with _repo(workspace) as repo:
        changes: dict[str, Any] = _retry_while_locked(workspace, functools.partial(repo.status, list(targets) or None))
        return changes


def is_current(workspace: Workspace, *tasks: str) -> bool:
    """Return whether every stage of some tasks is up to date, by one call of DVC.

    DVC reads dvc.yaml and dvc.lock once for each target, so for many targets the whole project is faster.
    """
    targets = {f"{verb}@{task}" for task in tasks for verb in (RESOLVE, *STAGES)}
    changes = status(workspace, *sorted(targets) if len(tasks) == 1 else ())
    return not targets & {name.rpartition(":")[2] for name in changes}


def remote_address(workspace: Workspace) -> str:
    """Return the address of the default remote; raise if it cannot be reached."""
    with _repo(workspace) as repo:
        remote = repo.cloud.get_remote()
        try:
            remote.fs.makedirs(remote.path, exist_ok=True)
            remote.fs.ls(remote.path)
        except Exception as error:  # noqa: BLE001 - each kind of remote raises its own errors
            hint = "see where it points: dvc remote list"
            raise WorkspaceError(f"cannot reach {remote.path}: {type(error).__name__}: {error}", hint) from None
        return f"{remote.name}: {remote.path}"


def repair_lock_file(workspace: Workspace) -> None:
    """Move a damaged dvc.lock aside, and drop the locks of dead processes: DVC then restores the stages from its cache.

    DVC writes dvc.lock and its list of locks in place, so a killed process may leave half of a file.
    """
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException
    from dvc.repo import lock_repo

    lock = workspace.root / "dvc.lock"
    with _repo(workspace) as repo, lock_repo(repo):  # another run may be writing it
        _drop_stale_locks(workspace)
        try:
            Lockfile(repo, str(lock)).load()
        except DvcException:
            aside = workspace.root / ".tiltyard" / "dvc.lock.torn"
            aside.parent.mkdir(exist_ok=True)
            lock.replace(aside)


def remove_stages(workspace: Workspace, task: str) -> None:
    """Remove the stages of a task from dvc.lock."""
    from dvc.dvcfile import Lockfile

    lock = workspace.root / "dvc.lock"
    if not lock.is_file():
        return
    from dvc.repo import lock_repo

    with _repo(workspace) as repo, lock_repo(repo):
        file = Lockfile(repo, str(lock))
        for verb in (RESOLVE, *STAGES):
            file.remove_stage(SimpleNamespace(name=f"{verb}@{task}"))


def run_stage(workspace: Workspace, verb: str, task: str, *, force: bool = False) -> Literal["ran", "skipped"]:
    """Run one stage of dvc.yaml if a dependency changed, or always with `force`; raise the error that it ended with.

    The stage `resolve` runs first if the task file changed: the other stages depend on its output.
    """
    from dvc.exceptions import ReproductionError
    from dvc.stage.exceptions import StageCmdFailedError, StageNotFound

    with _repo(workspace) as repo, stages.supervised(workspace, verb, task) as environment:
        _drop_stale_locks(workspace)  # before DVC rewrites its list of locks: the file's time tells how old an entry is
        outputs = integrity.outputs(workspace.root / "dvc.lock", f"{verb}@{task}")
        integrity.drop_damaged(repo.cache.local.oid_to_path, outputs)  # before DVC restores it
        try:
            # both at once, since DVC reads the whole project for each call
            calls = [[RESOLVE], [verb]] if force else [[RESOLVE, verb]]
            for verbs in calls:
                targets = [f"{name}@{task}" for name in verbs]
                call = functools.partial(repo.reproduce, targets, single_item=True, run_env=environment)
                executed = _retry_while_locked(workspace, functools.partial(call, force=force and verbs == [verb]))
                names = [stage.addressing for stage in executed]
                for name in names:
                    _require_stored(repo, integrity.outputs(workspace.root / "dvc.lock", name))
        except StageNotFound:
            raise _unknown_stage(repo, verb, task) from None
        except ReproductionError as error:
            if isinstance(error.__cause__, StageCmdFailedError):
                raise stages.stage_error(workspace, verb, task) from None
            raise _as_tiltyard_error(error.__cause__ or error) from None
    return "ran" if f"{verb}@{task}" in names else "skipped"


def _unknown_stage(repo: Repo, verb: str, task: str) -> TaskError:
    """Return the error for a stage that is not in dvc.yaml, with the tasks that have one."""
    from dvc.repo import lock_repo

    with lock_repo(repo):  # the index reads dvc.lock, which other processes write in place
        stages_of_verb = [stage.addressing for stage in repo.index.stages if stage.addressing.startswith(f"{verb}@")]
    task_names = ", ".join(sorted(name.partition("@")[2] for name in stages_of_verb))
    return TaskError(
        f"no stage {verb}@{task}: expected one of {task_names or 'none yet'}",
        hint=f"add {task} to the list `tasks` of params.yaml",
    )


@contextlib.contextmanager
def _repo(workspace: Workspace) -> Iterator[Repo]:
    """Open the DVC project, waiting for locks of other processes; raise DVC's errors as TiltyardError.

    DVC records paths relative to the working directory, so change to the root; threads share that directory.
    """
    init(workspace)
    if stage_code.is_used(workspace):
        stage_code.write(workspace)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    _silence_loggers()
    dvc_lock_file.install()
    try:
        with contextlib.chdir(workspace.root), Repo(str(workspace.root)) as repo:
            repo.lock.lock = functools.partial(_retry_while_locked, workspace, repo.lock.lock)
            yield repo
    except (DvcException, OSError) as error:
        raise _as_tiltyard_error(error) from None


def _retry_while_locked(workspace: Workspace, call: Callable[[], T]) -> T:
    """Call, and repeat while another process holds a DVC lock; report the process meanwhile."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    end = time.monotonic() + LOCK_SECONDS
    with progress.show_waiting() as wait:
        while True:
            try:
                return call()
            except DvcException as error:
                cause = error if isinstance(error, LockError) else error.__cause__
                if not isinstance(cause, LockError) or time.monotonic() > end:
                    raise
                _drop_stale_locks(workspace)
                wait(_lock_holder(workspace, str(cause)))
                time.sleep(PAUSE)


def _lock_holder(workspace: Workspace, message: str) -> str:
    """Return which process holds a lock: DVC names it in the error message, or in the lock file."""
    import psutil

    if named := LOCK_HOLDER.search(message):
        return f"{named[2]} (process {named[1]})"
    try:
        number = int((workspace.root / ".dvc" / "tmp" / "lock").read_text(encoding="utf-8"))
        return f"{' '.join(psutil.Process(number).cmdline()[-3:])} (process {number})"
    except (OSError, ValueError, psutil.Error):
        return "another process of DVC"


def _drop_stale_locks(workspace: Workspace) -> None:
    """Drop the entries of killed processes from DVC's list of locks, also if their process id is in use again."""
    from dvc.lock import make_lock

    folder = workspace.root / ".dvc" / "tmp"
    path = folder / "rwlock"
    if not path.is_file():
        return
    with make_lock(str(folder / "rwlock.lock")):  # otherwise the list may be half written
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
            when = path.stat().st_mtime
            write = {name: holder for name, holder in listed.get("write", {}).items() if _is_alive(holder, when)}
            read = {
                name: [holder for holder in holders if _is_alive(holder, when)]
                for name, holders in listed.get("read", {}).items()
            }
            remaining = {"write": write, "read": {name: holders for name, holders in read.items() if holders}}
        except (ValueError, AttributeError, TypeError, KeyError):
            path.unlink()
        else:
            if remaining != {"write": {}, "read": {}, **listed}:
                files.write_json(path, remaining)


def _is_alive(holder: dict[str, Any], written: float) -> bool:
    """Return whether a process is alive and may have written a lock: it started before, and runs Python or DVC."""
    import psutil

    try:
        process = psutil.Process(int(holder["pid"]))
        words = " ".join([process.name(), *process.cmdline()]).lower()
        return process.create_time() <= written + 1 and any(word in words for word in ("python", "dvc", "tiltyard"))
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def _silence_loggers() -> None:
    """Keep DVC and its libraries from writing to the terminal."""
    import colorama.initialise

    atexit.unregister(colorama.initialise.reset_all)  # it writes an escape code at exit
    dvc_push.FAILURES.listen()
    for name in ("dvc", "dvc_objects", "dvc_data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("dvc.progress", "dvc_data.callbacks"):  # at this level they draw no bars
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _as_tiltyard_error(error: BaseException) -> TiltyardError:
    """Return an error of DVC as a TiltyardError, with a hint."""
    for cause in (error, error.__cause__):
        if isinstance(cause, OSError) and (disk_error := from_os_error(cause)):
            return disk_error
    text = " ".join(str(error).split())
    hint = "ask DVC for its state: dvc status"
    if "missing data 'source'" in text:
        return WorkspaceError(f"raw data is missing: {text}", hint="get it: tiltyard fetch TASK")
    if "dvc.lock" in text and "corrupted" in text:
        hint = "tiltyard run TASK moves it aside; DVC's cache still has the results"
    if "upload" in text:
        hint = "check that the remote can be reached: dvc remote list, dvc push"
    return WorkspaceError(f"DVC: {text}", hint=hint)
