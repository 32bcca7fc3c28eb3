"""Pictures by class in one zip, its bytes made by nothing but the pictures: sorted by who writes, and without times."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tiltyard import files

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # a zip file keeps times; a fixed one keeps the bytes the same
SUFFIXES = (".png", ".jpg", ".jpeg")  # what the image form reads


def write(path: Path, pictures: Iterable[tuple[str, bytes]], notes: Sequence[str] = ()) -> None:
    """Write CLASS/NAME.png and the like with their content, in the order given; notes are told with each validation."""
    with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in pictures:
            archive.writestr(zipfile.ZipInfo(name, LONG_AGO), content)
        archive.comment = "\n".join(notes).encode()[:65_535]
        archive.close()  # before the file is synced and gets its name


def notes(archive: zipfile.ZipFile) -> list[str]:
    """Give what was noted when it was written."""
    return archive.comment.decode("utf-8", "replace").splitlines()


def evenly(labels: Sequence[str], rows: int | None) -> list[int]:
    """Choose the first places of each class, as many of each as there are, until there are enough rows; in order."""
    seen: Counter[str] = Counter()
    turns = []
    for place, label in enumerate(labels):
        turns.append((seen[label], place))
        seen[label] += 1
    return sorted(place for _, place in sorted(turns)[:rows])
