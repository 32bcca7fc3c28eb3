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
    """Return what was noted when it was written."""
    return archive.comment.decode("utf-8", "replace").splitlines()


def sample_per_class(labels: Sequence[str], rows: int | None) -> list[int]:
    """Choose as many places of each class as there are, spread over it, until there are enough rows; in order."""
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    turns = sorted((turn, where[turn]) for where in places.values() for turn in range(len(where)))
    shares = Counter(labels[place] for _, place in turns[:rows])
    return sorted(
        where[i * len(where) // n] for label, n in shares.items() for where in [places[label]] for i in range(n)
    )
