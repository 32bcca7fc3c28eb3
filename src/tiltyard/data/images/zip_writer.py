"""Images by class in one reproducible zip file: the same images give the same bytes, as no times are stored."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tiltyard import files

FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # a zip file stores times; a fixed one keeps the bytes the same
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")  # that the image modality reads


def write(path: Path, images: Iterable[tuple[str, bytes]], notes: Sequence[str] = ()) -> None:
    """Write images under names such as CLASS/NAME.png, in the given order; validation later reports the notes."""
    with files.atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in images:
            archive.writestr(zipfile.ZipInfo(name, FIXED_TIME), content)
        archive.comment = "\n".join(notes).encode()[:65_535]
        archive.close()  # before the file is synced and renamed


def notes(archive: zipfile.ZipFile) -> list[str]:
    """Return the notes that `write` stored."""
    return archive.comment.decode("utf-8", "replace").splitlines()


def sample_per_class(labels: Sequence[str], rows: int | None) -> list[int]:
    """Return the sorted positions of a balanced sample: `rows` in all, evenly spaced within each class; or all."""
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    turns = sorted((turn, where[turn]) for where in places.values() for turn in range(len(where)))
    shares = Counter(labels[place] for _, place in turns[:rows])
    return sorted(
        where[i * len(where) // n] for label, n in shares.items() for where in [places[label]] for i in range(n)
    )
