"""What is to be sent to DVC's remote, looked at before: what has changed in the cache must not reach those who pull."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiltyard import dvc_cache
from tiltyard.errors import DataError, listed

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo


def drop_damaged(repo: Repo, paths: Sequence[Path]) -> dict[str, tuple[Output, Path]]:
    """Remove from the cache what is damaged and not in the remote yet; return it by hash, with the file it was of."""
    found: dict[str, tuple[Output, Path]] = {}
    for out in _outputs(repo, paths):
        place = out.cache.oid_to_path
        head = out.hash_info.value
        damaged = dvc_cache.drop_damaged(place, [head], inside=False)
        objects = {head: Path(out.fs_path), **dvc_cache.contents(place, head, Path(out.fs_path))}
        unsent = objects.keys() - _held(repo, out, objects)
        damaged += dvc_cache.drop_damaged(place, [digest for digest in unsent if digest != head], inside=False)
        found |= {digest: (out, objects[digest]) for digest in damaged if digest in unsent}
    return found


def _outputs(repo: Repo, paths: Sequence[Path]) -> Iterator[Output]:
    """Give what DVC would send: all that it stores, or what lies at some paths."""
    for out in repo.index.outs:
        sent = out.use_cache and out.can_push and out.hash_info and not out.stage.is_repo_import
        if sent and (not paths or Path(out.fs_path) in paths):
            yield out


def _held(repo: Repo, out: Output, digests: Sequence[str] | dict[str, Path]) -> set[str]:
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


def restore(damaged: dict[str, tuple[Output, Path]]) -> None:
    """Store anew what lies whole in the project, so that nothing has to be made again."""
    from dvc.exceptions import DvcException

    for out in {id(out): out for out, _ in damaged.values()}.values():
        with contextlib.suppress(DvcException, OSError):
            if out.exists and not out.changed_checksum():
                out.commit(relink=False)
                dvc_cache.drop_damaged(out.cache.oid_to_path, damaged)  # where project and cache share one file


def refused(root: Path, damaged: dict[str, tuple[Output, Path]]) -> DataError:
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
