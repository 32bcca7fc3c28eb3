"""File listings from a remote: no file is written outside the folder, or over another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tiltyard import files
from tiltyard.config import loader
from tiltyard.data import dvc, fetch, remote_listing, versions
from tiltyard.errors import DataError
from tiltyard.preparation.modalities.base import version_reader
from tiltyard.workspace import Workspace

MD5 = "0" * 32


def written(folder: Path, content: bytes) -> tuple[Path, str]:
    """Write a listing; return its path and its hash."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir"
    path = folder / md5
    path.write_bytes(content)
    return path, md5


def entries(*paths: object) -> list[Any]:
    """Return a listing of these paths."""
    return [{"md5": MD5, "relpath": path} for path in paths]


@pytest.mark.parametrize(
    "path",
    [
        *("../evil", "a/../../evil", "/etc/evil", "a//b", "", ".", "a/.", "a/", "..", "a/..", "C:/evil", "c:evil"),
        *("..\\evil", "a\\b", "a\0b", "a\nb", "NUL", "con.csv", "a/COM1.txt", "aux ", "a.", "a ", "x" * 256, "a:b"),
        *(7, None, ["a"], "\ud800"),
    ],
)
def test_paths_outside_the_folder_are_rejected(tmp_path: Path, path: object) -> None:
    """Absolute paths, .., backslashes, empty parts, devices and control characters are refused."""
    listing, md5 = written(tmp_path, json.dumps(entries("table.csv", path)).encode())
    with pytest.raises(DataError, match="expected paths inside of the folder") as caught:
        remote_listing.read(listing, md5, 2)
    assert "nothing was written" in caught.value.hint


@pytest.mark.parametrize(
    "part",
    [
        *(
            ".git",
            ".dvc",
            ".hg",
            ".svn",
            ".Git",
            ".GIT",
            "git~1",
            "GIT~2",
            "dvc~1",
            "hg~1",
            ".git.",
            ".git ",
            ".dvc. .",
        ),
        *(".g\u200cit", "\ufeff.git", ".gi\u200dt", ".\u202egit", ".gi\u00adt", ".d\u2060vc", ".git\u200b"),
        *("\uff0egit", ".\uff47it", ".\U0001d420it", ".git\u206a", ".git\ufe0f"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "{}/config", "a/{}/hooks/post-checkout"])
def test_tool_folders_are_rejected(tmp_path: Path, part: str, form: str) -> None:
    """Folders of Git, DVC and the like are refused in every notation that a file system accepts."""
    listing, md5 = written(tmp_path, json.dumps(entries("table.csv", form.format(part))).encode())
    with pytest.raises(DataError, match="expected paths inside of the folder"):
        remote_listing.read(listing, md5, 2)


def test_similar_names_are_accepted(tmp_path: Path) -> None:
    """Names that merely resemble such folders, and names in any script, are accepted."""
    names = [
        "git",
        "a.git",
        ".github",
        ".gitkeep",
        "dvc",
        "git~",
        "digit~1",
        "na\u00efve.csv",
        "\u0e01\u0e33.csv",
        "e\u0301",
    ]
    listing, md5 = written(tmp_path, json.dumps(entries(*names)).encode())
    assert len(remote_listing.read(listing, md5, len(names))) == len(names)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("a.csv", "A.csv"), "each path once"),
        (("a", "a"), "each path once"),
        (("\u00e9", "e\u0301"), "each path once"),
        (("stra\u00dfe", "STRASSE"), "each path once"),
        (("a", "a/b"), "a file or a folder"),
        (("b/c/d", "B/C"), "a file or a folder"),
    ],
)
def test_colliding_paths_are_rejected(tmp_path: Path, paths: tuple[str, ...], message: str) -> None:
    """Paths that differ only in case or Unicode form are refused."""
    listing, md5 = written(tmp_path, json.dumps(entries(*paths)).encode())
    with pytest.raises(DataError, match=message):
        remote_listing.read(listing, md5, len(paths))


@pytest.mark.parametrize(
    ("content", "count", "message"),
    [
        (b"{}", 1, "expected a list of 1 files; received dict"),
        (b"[", 1, "expected a listing in JSON"),
        (b"[" * 4_000, 1, "expected a listing in JSON"),
        (b"[]", 1, "expected a list of 1 files; received 0"),
        (b" " * 20_000 + b"[]", 1, "expected a listing of 1 files; received 20,002 bytes"),
        (b"[7]", 1, "expected md5 and relpath"),
        (b'[{"relpath": "a", "md5": "../../../etc/passwd"}]', 1, "expected a hash of 32 digits"),
    ],
)
def test_invalid_listing_is_rejected(tmp_path: Path, content: bytes, count: int, message: str) -> None:
    """Wrong sizes, forms and numbers of files are refused."""
    listing, md5 = written(tmp_path, content)
    with pytest.raises(DataError, match=message):
        remote_listing.read(listing, md5, count)


def test_listing_must_match_its_hash(tmp_path: Path) -> None:
    """Content that does not match the hash is refused."""
    listing, md5 = written(tmp_path, json.dumps(entries("table.csv", "more/b.csv")).encode())
    assert remote_listing.read(listing, md5, 2) == [(("table.csv",), MD5), (("more", "b.csv"), MD5)]
    with pytest.raises(DataError, match="expected a listing with that hash"):
        remote_listing.read(listing, "1" * 32 + ".dir", 2)


def poisoned(workspace: Workspace, path: str) -> str:
    """Add a version of iris whose listing has a valid hash and a malicious path; return its name."""
    task = loader.load(workspace, "iris")
    fetch.get(workspace, task)
    (known,) = versions.recorded(workspace, "iris")
    cache = workspace.root / ".dvc" / "cache" / "files" / "md5"
    old = json.loads((cache / known.pointer.md5[:2] / known.pointer.md5[2:]).read_bytes())
    content = json.dumps([*old, {**old[0], "relpath": path}]).encode()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir"
    remote = workspace.root / ".dvcstore" / "files" / "md5" / md5[:2]
    remote.mkdir(parents=True, exist_ok=True)
    (remote / md5[2:]).write_bytes(content)
    pointer = dvc.Pointer(md5=md5, size=1, nfiles=len(old) + 1)
    versions.record(workspace, "iris", "e" * 64, pointer)
    return "e" * 12


@pytest.mark.parametrize("path", ["../evil.csv", "../../../evil.csv", "{root}/evil.csv", "more/../../evil.csv"])
def test_malicious_listing_writes_nothing_outside(workspace: Workspace, path: str) -> None:
    """Neither comparison nor checkout writes to such a path, and the raw data do not change."""
    name = poisoned(workspace, path.format(root=workspace.root))
    task = loader.load(workspace, "iris")
    before, pointer = files.sha256(workspace.raw("iris")), workspace.raw("iris").with_name("iris.dvc").read_bytes()
    for act in (
        lambda: versions.diff(workspace, task.name, version_reader(task), name),
        lambda: versions.checkout(workspace, task.name, name),
    ):
        with pytest.raises(DataError, match="expected paths inside of the folder"):
            act()
    assert not list(workspace.root.rglob("evil.csv"))
    assert not list(workspace.root.parent.glob("evil.csv"))
    assert files.sha256(workspace.raw("iris")) == before
    assert workspace.raw("iris").with_name("iris.dvc").read_bytes() == pointer


def test_link_in_place_of_a_folder_is_rejected(workspace: Workspace, tmp_path: Path) -> None:
    """A link in place of a folder of the version is refused."""
    name, elsewhere = poisoned(workspace, "more/b.csv"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (workspace.raw("iris") / "more").symlink_to(elsewhere)
    with pytest.raises(DataError, match=r"more is a link to .*elsewhere"):
        dvc.checkout(workspace, workspace.raw("iris"), versions.find(workspace, "iris", name).pointer)
    assert not list(elsewhere.iterdir())
    (workspace.raw("iris") / "more").unlink()
    versions.checkout(workspace, "iris", name)
    assert (workspace.raw("iris") / "more" / "b.csv").is_file()
