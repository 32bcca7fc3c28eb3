"""A folder or a zip of pictures: each class a folder, wherever it lies, or labels in a table beside the pictures."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from tiltyard.data.images import files as tree
from tiltyard.data.images import zip_archive
from tiltyard.data.images.files import ImageFiles
from tiltyard.data.images.labels import ImageLabels
from tiltyard.data.sources._location import FileLocation
from tiltyard.data.sources.base import Source
from tiltyard.errors import DataError, SourceError, listed
from tiltyard.workspace import Workspace

NAMED = 5  # kinds of files named in a sentence
LONGEST = 100  # characters of a label


@dataclass(frozen=True)
class Picture:
    """A file, its label, and what it is called in images.zip."""

    name: str
    label: str
    entry: str


class Images(FileLocation, Source):
    """Pictures, PNG or JPEG, each under a folder that is its class, or named in a table of labels."""

    kind: Literal["images"]
    path: str = Field(min_length=1, description="A folder or zip: of the project or elsewhere, a URL, or a name.")
    under: list[str] = Field([], description="Folders to take, such as [train]; all if none is named.")
    labels: str | None = Field(None, description="A table of labels, inside or in the project; else folders are.")
    file_column: str = Field("file", description="The column of that table that names pictures.")
    label_column: str = Field("label", description="The column of that table that holds their labels.")
    rows: int | None = Field(None, ge=2, description="How many to take, as many of each class as there are; or all.")

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write images.zip with CLASS/NAME, sorted; what lies between `path` and the class goes into the name."""
        with self.opened(workspace) as files:
            pictures, notes = self.chosen(files, workspace)
            content = ((picture.entry, files.read(picture.name)) for picture in pictures)
            zip_archive.write(folder / "images.zip", content, notes)

    @contextlib.contextmanager
    def opened(self, workspace: Workspace) -> Iterator[ImageFiles]:
        """Return the files, of a folder where they lie, of a zip from wherever it is."""
        folder = next((place for place in self.places(workspace) if place.is_dir()), None)
        if folder and self.sha256:
            raise SourceError(f"source.sha256: expected a zip file; {self.path} is a folder")
        with contextlib.ExitStack() as stack:
            if not folder:
                name = Path(urlsplit(self.path).path if "://" in self.path else self.path).name or "images.zip"
                path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / name
                self.bring(path, workspace)
                self.insist(path)
            yield stack.enter_context(tree.opened(folder or path))

    def chosen(self, files: ImageFiles, workspace: Workspace) -> tuple[list[Picture], list[str]]:
        """Return the pictures to take, sorted by what they will be called, and notes of what is left out."""
        names = [*files.sizes()]
        every = [name for name in names if name.lower().endswith(zip_archive.SUFFIXES)]
        some = [name for name in every if self._is_under(name)]
        known = {*every, self.labels}
        notes = _skipped([name for name in names if name not in known and self._is_under(name)])
        if not some:
            where = f" under {', '.join(self.under)}" if self.under else ""
            text = f"expected PNG or JPEG files{where}; received {notes[0] if notes else 'none'}"
            hint = f"source.under: expected some of {', '.join(_folders(every))}" if every else "see source.path"
            raise DataError(f"{files.path.name}: {text}", hint=hint)
        if self.labels:
            columns = self.file_column, self.label_column
            labels = ImageLabels.read(self.labels, files, workspace.root, columns).of(every)
        else:
            labels = {name: PurePosixPath(name).parent.name for name in some}
        self._insist(files, [name for name in some if not labels.get(name)])
        pictures = self._named(some, labels)
        _refuse_odd(pictures)
        return [
            pictures[place] for place in zip_archive.sample_per_class([p.label for p in pictures], self.rows)
        ], notes

    def _insist(self, files: ImageFiles, bare: list[str]) -> None:
        """Refuse pictures without a label."""
        if bare and self.labels:
            text = f"{len(bare):,} without: {listed(bare)}"
            raise DataError(f"{self.labels}: expected a label for each picture; {text}", "add rows, or drop the files")
        if bare:
            text = f"{len(bare):,} in none: {listed(bare)}"
            hint = "put them into folders named after their classes, or name a table: source.labels"
            raise DataError(f"{files.path.name}: expected each picture in the folder of its class; {text}", hint=hint)

    def _named(self, names: list[str], labels: dict[str, str]) -> list[Picture]:
        """Call pictures by class and file; the folders in front of it, if not the same for all, keep names apart."""
        fronts = [PurePosixPath(name).parts[: -1 if self.labels else -2] for name in names]
        common = _shared(fronts)
        pictures = []
        for name, front in zip(names, fronts, strict=True):
            file = "-".join([*front[common:], PurePosixPath(name).name])
            pictures.append(Picture(name, labels[name], f"{labels[name]}/{file}"))
        return sorted(pictures, key=lambda picture: picture.entry)

    def _is_under(self, name: str) -> bool:
        return not self.under or any(name.startswith(f"{folder.strip('/')}/") for folder in self.under)


def _skipped(names: Sequence[str]) -> list[str]:
    """Return which files are no pictures that can be read."""
    if not names:
        return []
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in names)
    told = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common(NAMED))
    return [f"{len(names):,} files left out that are no PNG or JPEG: {told}, such as {names[0]}"]


def _folders(names: Sequence[str]) -> list[str]:
    return sorted({PurePosixPath(name).parts[0] for name in names if "/" in name})[:NAMED]


def _shared(fronts: Sequence[tuple[str, ...]]) -> int:
    """Return how many folders all have in front: as many as the first and the last in order have."""
    first, last = min(fronts), max(fronts)
    return next((i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))


def _refuse_odd(pictures: Sequence[Picture]) -> None:
    """Refuse labels that no folder can have, and two pictures of one name."""
    for picture in pictures:
        odd = {"/", "\\"} & {*picture.label} or picture.label in {".", ".."}
        if odd or not picture.entry.isprintable() or len(picture.label) > LONGEST:
            text = f"expected a label that can name a folder; received {picture.label[:LONGEST]!a}"
            raise DataError(f"{picture.name!a}: {text}")
    for one, other in pairwise(pictures):
        if one.entry == other.entry:
            raise DataError(f"expected names that differ; {one.name} and {other.name} would both be {one.entry}")
