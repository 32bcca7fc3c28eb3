"""The file listing of a data version from a DVC remote (a .dir object), validated before any file is written.

Anyone with write access to the remote can put any listing there. So its hash must be that of the version, each path
must stay inside the folder on every operating system, and no two paths may differ only in case.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

from tiltyard.errors import DataError, format_value

MAX_ENTRY_BYTES = 5000  # a path of 4096 and a hash
IGNORED = {"Cf", "Cn", "Mn"}  # Unicode categories: format characters, unassigned ones, and combining marks
MAX_NAME_BYTES = 255
HASH = re.compile(r"[0-9a-f]{32}")
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)
# Git, DVC and the like may run commands that these folders configure; Windows also has short names for them
CONTROL = re.compile(r"\.(git|dvc|hg|svn|bzr)|(git|dvc|hg|svn|bzr)~\d+")
FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
HINT = "nothing was written; check who can write to the remote: dvc remote list"


def read(path: Path, md5: str, count: int) -> list[tuple[tuple[str, ...], str]]:
    """Return the path (in parts) and hash of each file; `md5` and `count` come from the pointer."""
    subject = f"version {md5[:12]} of the data"
    if path.stat().st_size > MAX_ENTRY_BYTES * (count + 1):
        raise DataError(f"{subject}: expected a listing of {count} files; received {path.stat().st_size:,} bytes", HINT)
    content = path.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
        raise DataError(f"{subject}: expected a listing with that hash; received another", HINT)
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError):
        raise DataError(f"{subject}: expected a listing in JSON; received something else", HINT) from None
    if not isinstance(entries, list) or len(entries) != count:
        received = f"{len(entries)}" if isinstance(entries, list) else type(entries).__name__
        raise DataError(f"{subject}: expected a list of {count} files; received {received}", HINT)
    files = [_entry(entry, subject) for entry in entries]
    _refuse_collisions([parts for parts, _ in files], subject)
    return files


def refuse_links(folder: Path, paths: list[tuple[str, ...]]) -> None:
    """Raise if a link stands where the version has a folder: its files would be written elsewhere."""
    folders = {folder} | {folder.joinpath(*parts[:depth]) for parts in paths for depth in range(1, len(parts))}
    if link := next((path for path in sorted(folders) if path.is_symlink()), None):
        text = f"{link} is a link to {link.readlink()}: files of the version would be written there"
        raise DataError(text, hint=f"remove it: rm {link}")


def _entry(entry: Any, subject: str) -> tuple[tuple[str, ...], str]:
    if not isinstance(entry, dict) or not {"md5", "relpath"} <= entry.keys():
        raise DataError(f"{subject}: expected md5 and relpath of each file; received {format_value(entry)}", HINT)
    path, md5 = entry["relpath"], entry["md5"]
    if not isinstance(md5, str) or not HASH.fullmatch(md5):
        raise DataError(f"{subject}: expected a hash of 32 digits; received {format_value(md5)}", HINT)
    if not isinstance(path, str) or not all(map(_is_safe, path.split("/"))):
        raise DataError(f"{subject}: expected paths inside of the folder; received {format_value(path)}", HINT)
    return tuple(path.split("/")), md5


def _is_safe(part: str) -> bool:
    """Return whether a part of a path is a plain name on every operating system."""
    if part in ("", ".", "..") or FORBIDDEN.search(part) or part != part.rstrip(". "):
        return False
    if CONTROL.fullmatch(_normalized(part)):
        return False
    try:
        return len(part.encode()) <= MAX_NAME_BYTES and not DEVICES.fullmatch(part.split(".", maxsplit=1)[0].rstrip())
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _normalized(part: str) -> str:
    """Return a name as file systems may compare it: without case, invisible characters, and trailing dots."""
    visible = "".join(
        character for character in unicodedata.normalize("NFKC", part) if unicodedata.category(character) not in IGNORED
    )
    return unicodedata.normalize("NFKC", visible.casefold()).rstrip(". ")


def _refuse_collisions(paths: list[tuple[str, ...]], subject: str) -> None:
    """Raise if two files have the same path, or one is a folder of another, ignoring case."""
    folded: dict[tuple[str, ...], tuple[str, ...]] = {}
    for parts in paths:
        key = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        if key in folded:
            raise DataError(f"{subject}: expected each path once; received {format_value('/'.join(parts))} again", HINT)
        folded[key] = parts
    for parts in folded:
        for depth in range(1, len(parts)):
            if parts[:depth] in folded:
                path = "/".join(folded[parts[:depth]])
                raise DataError(f"{subject}: expected a file or a folder; received {format_value(path)} as both", HINT)
