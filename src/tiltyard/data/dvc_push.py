"""Push to the DVC remote: check files of the cache, report failed transfers, and record what was pushed."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiltyard import files
from tiltyard.data import integrity
from tiltyard.errors import DataError, WorkspaceError, join_first
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo

    Damaged = dict[str, tuple[Output, Path]]

CODE_ENTRY = re.compile(rb"^  code:\n(?:    .*\n)*", re.MULTILINE)  # of dvc.lock


def drop_damaged(repo: Repo, paths: Sequence[Path]) -> Damaged:
    """Remove damaged files that the remote lacks from the cache; return output and path of each by its hash."""
    damaged: Damaged = {}
    for outs in _outputs(repo, paths):  # one query of the remote for all outputs
        path_of = outs[0].cache.oid_to_path
        folders = integrity.drop_damaged(path_of, [out.hash_info.value for out in outs], recursive=False)
        objects = {digest: (out, path) for out in outs for digest, path in _objects(out).items()}
        unsent = objects.keys() - _in_remote(repo, outs[0], objects)
        single = integrity.drop_damaged(path_of, unsent, recursive=False)
        damaged |= {digest: objects[digest] for digest in [*folders, *single] if digest in unsent}
    return damaged


def _outputs(repo: Repo, paths: Sequence[Path]) -> list[list[Output]]:
    """Return the outputs that DVC would send, all or those at some paths, grouped by remote."""
    groups: dict[tuple[str, str], list[Output]] = {}
    for out in repo.index.outs:
        sent = out.use_cache and out.can_push and out.hash_info and not out.stage.is_repo_import
        if sent and (not paths or Path(out.fs_path) in paths):
            groups.setdefault((out.remote or "", out.hash_name), []).append(out)
    return [*groups.values()]


def _objects(out: Output) -> dict[str, Path]:
    """Return the hashes of an output and of the files inside, each with its path in the project."""
    digest, path = str(out.hash_info.value), Path(out.fs_path)
    return {digest: path, **integrity.contents(out.cache.oid_to_path, digest, path)}


def _in_remote(repo: Repo, out: Output, digests: Iterable[str]) -> set[str]:
    """Return the hashes that the remote has; empty for a version-aware remote, to which DVC sends everything."""
    from dvc_data.hashfile.db import get_index
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.status import status

    remote = repo.cloud.get_remote(out.remote)
    if remote.worktree or remote.fs.version_aware:
        return set()
    odb = repo.cloud.get_remote_odb(out.remote, hash_name=out.hash_name)
    with contextlib.closing(get_index(odb)) as index:
        remote_status = status(odb, [HashInfo(out.hash_name, digest) for digest in digests], index=index)
    return {str(info.value) for info in remote_status.exists}


def restore(damaged: Damaged) -> None:
    """Store damaged outputs again where the project still has them whole, so that no stage has to run again."""
    from dvc.exceptions import DvcException

    for out in {id(out): out for out, _ in damaged.values()}.values():
        with contextlib.suppress(DvcException, OSError):
            if out.exists and not out.changed_checksum():
                out.commit(relink=False)
                integrity.drop_damaged(out.cache.oid_to_path, damaged)  # if project and cache share one file


def damage_error(root: Path, damaged: Damaged) -> DataError:
    """Return the error for files that were not sent, with the command that stores and sends them again."""
    lost = [path for digest, (out, path) in damaged.items() if not Path(out.cache.oid_to_path(digest)).is_file()]
    paths = sorted(path.relative_to(root) for _, path in damaged.values())
    text = f"damaged in DVC's cache, so not sent to the remote: {join_first(paths)}"
    return DataError(
        text, f"check the disk: a file changed; then store and send it again: {_repair_command(root, paths, lost)}"
    )


def _repair_command(root: Path, paths: list[Path], lost: list[Path]) -> str:
    """Return the command for the first file; raw data without an undamaged copy must be fetched again."""
    parts = paths[0].parts
    if parts[:2] == ("data", "raw"):
        return f"tiltyard fetch {'--force ' if root / paths[0] in lost else ''}{parts[2]}"
    return f"tiltyard run {parts[2] if parts[0] == 'serving' else parts[1]}"


class Failures(logging.Handler):
    """The errors that DVC has logged, by the hash of the file; they are not printed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: dict[str, BaseException] = {}

    def listen(self) -> None:
        """Attach to the logger of DVC's transfers, which run in several threads."""
        logger = logging.getLogger("dvc_data.hashfile.transfer")
        logger.propagate = False
        if self not in logger.handlers:
            logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an error, and remove the partial file that DVC leaves."""
        error = record.exc_info[1] if record.exc_info else None
        if error and isinstance(record.args, tuple) and record.args:
            self.errors[str(record.args[0])] = error
            partial = getattr(error, "filename2", None)
            if isinstance(partial, str) and partial.endswith(".tmp"):
                with contextlib.suppress(OSError):
                    Path(partial).unlink()

    def take(self, digests: Iterable[str]) -> BaseException | None:
        """Return the error of the first of these hashes that has one, and forget their errors."""
        errors = [self.errors.pop(digest) for digest in digests if digest in self.errors]
        return errors[0] if errors else None


FAILURES = Failures()


def transfer_error(lost: list[str], where: str, hint: str) -> Exception:
    """Return the exception for files that were not copied: the operating system's own error if there is one."""
    cause = FAILURES.take(lost)
    if isinstance(cause, OSError):
        return cause
    why = f": {cause}" if cause else ""
    return WorkspaceError(f"DVC could not copy {join_first([digest[:12] for digest in lost])} to {where}{why}", hint)


def record(workspace: Workspace) -> None:
    """Record that all versions of now are in the remote."""
    files.write_text(workspace.pushed, _digest(workspace))


def is_pushed(workspace: Workspace) -> bool:
    """Return whether all versions of now were pushed to the remote of now."""
    return workspace.pushed.is_file() and workspace.pushed.read_text(encoding="utf-8") == _digest(workspace)


def _digest(workspace: Workspace) -> str:
    """Hash DVC's settings and everything that names a version: the lock file and the pointers.

    The stage `code` has no version: its output is not cached, and only `dvc repro` records it.
    """
    named = [workspace.root / ".dvc" / "config", workspace.root / ".dvc" / "config.local", workspace.root / "dvc.lock"]
    named += [*workspace.root.glob("data/**/*.dvc"), *workspace.root.glob("serving/**/*.dvc")]
    digest = hashlib.sha256()
    for path in sorted(named):
        content = CODE_ENTRY.sub(b"", path.read_bytes()) if path.is_file() else b""
        digest.update(str(path.relative_to(workspace.root)).encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()
