"""Compressed files: one table is read without unpacking, and archives with anything else are refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiltyard.data import table_reader
from tiltyard.data.tables import archive
from tiltyard.errors import DataError

PLAIN = "x,y\n1,a\n2,b\n"


def zipped(path: Path, **members: str | bytes) -> Path:
    """Write a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def columns(path: Path) -> dict[str, list[Any]]:
    """Read all columns as lists."""
    return {str(name): cells.tolist() for name, cells in table_reader.read(path).frame.items()}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_compression_is_detected_by_the_first_bytes(
    table: Callable[..., Path], pack: Callable[[bytes], bytes], name: str
) -> None:
    """The first bytes decide, since a server may have compressed or decompressed a file without renaming it."""
    assert columns(table(pack(PLAIN.encode()), name)) == {"x": [1, 2], "y": ["a", "b"]}


def test_zip_with_one_file_is_read(tmp_path: Path) -> None:
    """Files that macOS adds to a zip are ignored."""
    members: dict[str, Any] = {"in/a.csv": PLAIN, "__MACOSX/in/._a.csv": b"\0", "in/.DS_Store": b"\0"}
    assert columns(zipped(tmp_path / "t.zip", **members)) == {"x": [1, 2], "y": ["a", "b"]}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.csv": PLAIN, "b.csv": PLAIN}, "expected one file inside; received 2: a.csv, b.csv"),
        ({}, "expected one file inside; received 0: none"),
        ({"../a.csv": PLAIN}, r"expected a file inside the archive; received the path \.\./a\.csv"),
        ({"/etc/a.csv": PLAIN}, "received the path /etc/a.csv"),
        ({"C:\\a.csv": PLAIN}, "received the path C:"),
        ({"a.csv.gz": gzip.compress(PLAIN.encode())}, "an archive in an archive: a.csv.gz"),
        ({"a.exe": "x"}, r"expected a table in one of .*; received '\.exe'"),
    ],
)
def test_invalid_zip_is_rejected(tmp_path: Path, members: dict[str, Any], message: str) -> None:
    """A zip with no file, two files, or a path that leads out is refused by name, and nothing is unpacked."""
    with pytest.raises(DataError, match=message):
        table_reader.read(zipped(tmp_path / "t.zip", **members))
    assert [path.name for path in tmp_path.iterdir()] == ["t.zip"]


def test_link_inside_a_zip_is_rejected(tmp_path: Path) -> None:
    """A link in a zip could lead to a local file, so it is refused."""
    link = zipfile.ZipInfo("a.csv")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=r"a\.csv is a link"):
        table_reader.read(tmp_path / "t.zip")


def test_encrypted_zip_is_rejected(tmp_path: Path) -> None:
    """An encrypted zip is refused without asking for a password."""
    path = zipped(tmp_path / "t.zip", **{"a.csv": PLAIN})
    content = path.read_bytes()
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag is at the file and in the listing
        at = content.index(start) + offset
        content = content[:at] + b"\x01" + content[at + 1 :]
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"expected an ordinary zip file: .*password"):
        table_reader.read(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_truncated_archive_is_rejected(table: Callable[..., Path], pack: Callable[[bytes], bytes]) -> None:
    """A truncated download is not read as a shorter table."""
    chance = random.Random(0)  # noqa: S311 - no secret
    complete = pack(b"x\n" + b"".join(b"%d\n" % chance.randrange(10**9) for _ in range(1000)))
    with pytest.raises(DataError, match=r"table.csv: (expected a whole file|cannot be read)"):
        table_reader.read(table(complete[: len(complete) // 2]))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, None])
def test_decompression_bomb_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes] | None
) -> None:
    """Decompression stops at the limit."""
    monkeypatch.setattr(archive, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    bomb = b"x\n" + b"1\n" * 2_000_000
    path = tmp_path / "table.csv.gz"
    if pack is None:
        zipped(path, **{"a.csv": bomb})
    else:
        path.write_bytes(pack(bomb))
    with pytest.raises(DataError, match="like a zip bomb") as caught:
        table_reader.read(path)
    assert int(caught.value.message.rpartition("more than ")[2].split(",")[0]) < 4 << 20
    monkeypatch.setattr(archive, "ALWAYS_ALLOWED_BYTES", 1 << 30)
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
    with pytest.raises(DataError, match="like a zip bomb"):
        table_reader.read(path)
