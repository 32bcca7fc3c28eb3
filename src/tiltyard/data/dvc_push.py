"""What is to be sent to DVC's remote, looked at before: what has changed in the cache must not reach those who pull."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiltyard.data import dvc_cache
from tiltyard.errors import DataError, listed

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo

    Damaged = dict[str, tuple[Output, Path]]


def drop_damaged(repo: Repo, paths: Sequence[Path]) -> Damaged:
    """Remove from the cache what is damaged and not in the remote yet; return it by hash, with the file it was of."""
    found: Damaged = {}
    for outs in _outputs(repo, paths):  # the remote is asked once for all
        place = outs[0].cache.oid_to_path
        folders = dvc_cache.drop_damaged(place, [out.hash_info.value for out in outs], inside=False)
        objects = {digest: (out, path) for out in outs for digest, path in _objects(out).items()}
        unsent = objects.keys() - _held(repo, outs[0], objects)
        files = dvc_cache.drop_damaged(place, unsent, inside=False)
        found |= {digest: objects[digest] for digest in [*folders, *files] if digest in unsent}
    return found


def _outputs(repo: Repo, paths: Sequence[Path]) -> list[list[Output]]:
    """Return what DVC would send, all that it stores or what lies at some paths, by where it would be sent."""
    groups: dict[tuple[str, str], list[Output]] = {}
    for out in repo.index.outs:
        sent = out.use_cache and out.can_push and out.hash_info and not out.stage.is_repo_import
        if sent and (not paths or Path(out.fs_path) in paths):
            groups.setdefault((out.remote or "", out.hash_name), []).append(out)
    return [*groups.values()]


def _objects(out: Output) -> dict[str, Path]:
    """Return the hashes of an output and of all that is inside, each with its path in the project."""
    digest, path = str(out.hash_info.value), Path(out.fs_path)
    return {digest: path, **dvc_cache.contents(out.cache.oid_to_path, digest, path)}


def _held(repo: Repo, out: Output, digests: Iterable[str]) -> set[str]:
    """Return what the remote has, asked as DVC asks it; one that counts versions by itself is sent everything."""
    from dvc_data.hashfile.db import get_index
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.status import status

    remote = repo.cloud.get_remote(out.remote)
    if remote.worktree or remote.fs.version_aware:
        return set()
    odb = repo.cloud.get_remote_odb(out.remote, hash_name=out.hash_name)
    with contextlib.closing(get_index(odb)) as index:
        asked = status(odb, [HashInfo(out.hash_name, digest) for digest in digests], index=index)
    return {str(info.value) for info in asked.exists}


def restore(damaged: Damaged) -> None:
    """Store anew what lies whole in the project, so that nothing has to be made again."""
    from dvc.exceptions import DvcException

    for out in {id(out): out for out, _ in damaged.values()}.values():
        with contextlib.suppress(DvcException, OSError):
            if out.exists and not out.changed_checksum():
                out.commit(relink=False)
                dvc_cache.drop_damaged(out.cache.oid_to_path, damaged)  # where project and cache share one file


def refused(root: Path, damaged: Damaged) -> DataError:
    """Return what is told of files that were not sent, with the command that stores and sends them anew."""
    lost = [path for digest, (out, path) in damaged.items() if not Path(out.cache.oid_to_path(digest)).is_file()]
    paths = sorted(path.relative_to(root) for _, path in damaged.values())
    told = f"damaged in DVC's cache, and so not sent to the remote: {listed(paths)}"
    return DataError(told, f"look at the disk: a bit has flipped; then store and send anew: {_cure(root, paths, lost)}")


def _cure(root: Path, paths: list[Path], lost: list[Path]) -> str:
    """Name the command for the first of them; raw data that are nowhere whole have to be fetched again."""
    parts = paths[0].parts
    if parts[:2] == ("data", "raw"):
        return f"tiltyard fetch {'--force ' if root / paths[0] in lost else ''}{parts[2]}"
    return f"tiltyard run {parts[2] if parts[0] == 'serving' else parts[1]}"
