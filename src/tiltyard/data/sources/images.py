"""Source `images`: a folder or zip of images, with labels by folder or by a table, or with boxes or masks.

Of images with several labels, the folder or the cell of the table holds all of them, such as 3|7.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import not_
from pathlib import Path, PurePosixPath
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from tiltyard import files as written_files
from tiltyard.data.images import boxes, image_files, objects
from tiltyard.data.images.image_files import ImageFiles
from tiltyard.data.images.labels import ImageLabels
from tiltyard.data.sources._location import FileLocation
from tiltyard.data.sources.base import Source
from tiltyard.errors import DataError, SourceError, join_first
from tiltyard.workspace import Workspace

MAX_NAMED = 5  # in one sentence
MAX_LABEL_LENGTH = 1000  # characters; several labels of an image are in one name
MAX_CELL_BYTES = 3 << 20  # of an image in a cell of a table, whose rows may have 4 MiB with Base64
IMAGE_COLUMN = "image"


@dataclass(frozen=True)
class LabelledImage:
    """An image file, its label, and its name in images.zip."""

    name: str
    label: str
    entry: str


MAX_LEFT_OUT = 1000
CONVERT = "convert them, such as with: magick mogrify -format jpg *.heic; or name another folder or zip file"


class Images(FileLocation, Source):
    """PNG, JPEG, WebP or TIFF images, each in a folder that names its class, or named in a table of labels."""

    kind: Literal["images"]
    path: str = Field(min_length=1, description="A folder or zip file: a path, a URL, or a name that is searched.")
    under: list[str] = Field([], description="Folders to take, such as [train]; all if none is named.")
    labels: str | None = Field(
        None, description="A table of labels, in the archive or in the project; if unset, folders name the classes."
    )
    file_column: str = Field("file", description="The column of that table with the images' names.")
    label_column: str = Field("label", description="The column of that table with their labels.")
    unlabelled: bool = Field(
        default=False,
        exclude_if=not_,
        description="Also take images without a label, for images that may have several labels; refused if unset.",
    )
    boxes: str | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Detection: a table with the objects of each image, in the archive or in the project: a row for "
        "each box (columns left, top, right, bottom, or x, y, width, height, and for clips track), or a column "
        "`objects` of JSON; or a .json file as COCO has it.",
    )
    masks: str | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Segmentation: the folder of the archive with a PNG for each image, of its name, whose pixels are "
        "the numbers of target.classes.",
    )
    beside: list[str] = Field(
        [],
        exclude_if=not_,
        description="Columns of that table to take beside the images: each image becomes a row of table.csv with the "
        "columns image, these, and the label.",
    )
    leave_out: list[str] = Field(
        [], max_length=MAX_LEFT_OUT, exclude_if=not_, description="Files to leave out, such as broken images."
    )
    rows: int | None = Field(None, ge=2, description="How many to take, balanced over the classes; all if unset.")

    @model_validator(mode="after")
    def _check_beside(self) -> Self:
        if self.beside and not self.labels:
            raise ValueError("beside: expected a table of labels in `labels`, which has these columns; received none")
        names = [*self.beside, self.label_column, IMAGE_COLUMN]
        if (self.boxes or self.masks) and (self.labels or self.beside):
            raise ValueError("labels: expected none with boxes or masks, which name what is in an image; received both")
        if self.beside and len({*names}) < len(names):
            raise ValueError(f"beside: expected names other than the label and {IMAGE_COLUMN}; received {self.beside}")
        return self

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write images.zip with CLASS/NAME, sorted; folders between `path` and the class become part of the name."""
        with self.open_files(workspace) as files:
            selected, notes = self.select(files, workspace)
            if self.boxes:
                self._write_boxes(folder, files, workspace, selected)
            if self.masks:
                _write_masks(folder, files, self.masks.strip("/"), selected)
            if self.beside:
                self._write_table(folder / "table.csv", files, workspace, selected)
                return
            content = ((image.entry, files.read(image.name)) for image in selected)
            image_files.write(folder / "images.zip", content, notes)

    def _write_boxes(
        self, folder: Path, files: ImageFiles, workspace: Workspace, selected: Sequence[LabelledImage]
    ) -> None:
        """Write the objects of each image beside images.zip."""
        table, columns = self.boxes or "", (self.file_column, self.label_column)
        read, every = boxes.read(table, files, workspace.root, columns), self._pictures(files)
        under = [name for name in every if self._is_under(name)]
        found = boxes.matched(table, read, under, [name for name in every if not self._is_under(name)])
        objects.write(folder, {image.entry: found[image.name] for image in selected})

    def _pictures(self, files: ImageFiles) -> list[str]:
        """Return the names of all images; masks are none."""
        masks = f"{self.masks.strip('/')}/" if self.masks else None
        names = [name for name in files.sizes() if name.lower().endswith(image_files.SUFFIXES)]
        left_out = {*self.leave_out}
        return [name for name in names if name not in left_out and (masks is None or not name.startswith(masks))]

    def _write_table(
        self, path: Path, files: ImageFiles, workspace: Workspace, selected: Sequence[LabelledImage]
    ) -> None:
        """Write a row for each image: the file as Base64, the columns beside it, and its label."""
        every = self._pictures(files)
        tables = [
            ImageLabels.read(self.labels or "", files, workspace.root, (self.file_column, column))
            for column in self.beside
        ]
        columns = [table.match(every) for table in tables]
        with written_files.atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([IMAGE_COLUMN, *self.beside, self.label_column])
            for image in selected:
                content = files.read(image.name)
                if len(content) > MAX_CELL_BYTES:
                    text = f"expected images of at most {MAX_CELL_BYTES >> 20} MiB beside other columns"
                    raise DataError(f"{image.name}: {text}; received {len(content):,} bytes", hint="make it smaller")
                cells = [column.get(image.name, "") for column in columns]
                writer.writerow([base64.b64encode(content).decode(), *cells, image.label])

    @contextlib.contextmanager
    def open_files(self, workspace: Workspace) -> Iterator[ImageFiles]:
        """Open the folder, or a temporary copy of the zip; return its files."""
        folder = next((place for place in self.local_paths(workspace) if place.is_dir()), None)
        if folder and self.sha256:
            raise SourceError(f"source.sha256: expected a zip file; {self.path} is a folder")
        with contextlib.ExitStack() as stack:
            if not folder:
                name = Path(urlsplit(self.path).path if "://" in self.path else self.path).name or "images.zip"
                path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / name
                self.copy_to(path, workspace)
                self.verify(path)
            yield stack.enter_context(image_files.open_files(folder or path))

    def select(self, files: ImageFiles, workspace: Workspace) -> tuple[list[LabelledImage], list[str]]:
        """Return the images to take, sorted by their names in images.zip, and notes on files that are left out."""
        names = [*files.sizes()]
        every = self._pictures(files)
        selected_names = [name for name in every if self._is_under(name)]
        expected_names = {*every, *self.leave_out, self.labels, self.boxes}
        masks = f"{self.masks.strip('/')}/" if self.masks else "/"  # no name begins with /
        others = [name for name in names if name not in expected_names and not name.startswith(masks)]
        notes = _note_skipped([name for name in others if self._is_under(name)])
        if left_out := [name for name in self.leave_out if name in {*names}]:
            notes.append(f"{len(left_out):,} images left out by source.leave_out: {join_first(left_out)}")
        if not selected_names:
            where = f" under {', '.join(self.under)}" if self.under else ""
            text = f"expected PNG, JPEG, WebP or TIFF files{where}; received {notes[0] if notes else 'none'}"
            hint = f"source.under: expected folders out of {', '.join(_folders(every))}" if every else CONVERT
            raise DataError(f"{files.path.name}: {text}", hint=hint)
        if self.labels:
            columns = self.file_column, self.label_column
            labels = ImageLabels.read(self.labels, files, workspace.root, columns).match(every)
        elif self.boxes or self.masks:
            labels = {}
        else:
            labels = {name: PurePosixPath(name).parent.name for name in selected_names}
        if not (self.unlabelled or self.boxes or self.masks):
            self._require_labels(files, [name for name in selected_names if not labels.get(name)])
        selected = self._name_entries(selected_names, labels)
        _refuse_bad_names(selected)
        return [
            selected[place] for place in image_files.sample_per_class([p.label for p in selected], self.rows)
        ], notes

    def _require_labels(self, files: ImageFiles, unlabelled: list[str]) -> None:
        """Raise if images have no label."""
        if unlabelled and self.labels:
            text = f"{len(unlabelled):,} without one: {join_first(unlabelled)}"
            raise DataError(f"{self.labels}: expected a label for each image; {text}", "add rows, or drop the files")
        if unlabelled:
            text = f"{len(unlabelled):,} in none: {join_first(unlabelled)}"
            hint = "put them into folders named after their classes, or name a table: source.labels"
            raise DataError(f"{files.path.name}: expected each image in the folder of its class; {text}", hint=hint)

    def _name_entries(self, names: list[str], labels: dict[str, str]) -> list[LabelledImage]:
        """Name images CLASS/FILE; folders before that become part of FILE, unless all images have them in common."""
        in_folders = not (self.labels or self.boxes or self.masks)
        parents = [PurePosixPath(name).parts[: -2 if in_folders else -1] for name in names]
        common = _common_depth(parents)
        selected = []
        for name, parent in zip(names, parents, strict=True):
            file = "-".join([*parent[common:], PurePosixPath(name).name])
            label = labels.get(name, "")
            selected.append(LabelledImage(name, label, f"{label}/{file}" if label else file))
        return sorted(selected, key=lambda image: image.entry)

    def _is_under(self, name: str) -> bool:
        return not self.under or any(name.startswith(f"{folder.strip('/')}/") for folder in self.under)


def _write_masks(folder: Path, files: ImageFiles, masks: str, selected: Sequence[LabelledImage]) -> None:
    """Write the mask of each image under the name of the image; refuse images without one."""
    names = {name.removeprefix(f"{masks}/"): name for name in files.sizes() if name.startswith(f"{masks}/")}
    by_stem = {PurePosixPath(short).with_suffix("").as_posix(): name for short, name in names.items()}
    stems = Counter(PurePosixPath(short).stem for short in names)
    by_file = {stem: name for short, name in names.items() if stems[stem := PurePosixPath(short).stem] == 1}
    found: dict[str, str] = {}
    for image in selected:
        path = PurePosixPath(image.name)
        known = names.get(image.name) or by_stem.get(path.with_suffix("").as_posix()) or by_file.get(path.stem)
        if not known:
            text = f"a mask for each image in {masks}; none has the name of {image.name}"
            raise DataError(f"{files.path.name}: expected {text}", hint="add it, or leave the image out: source.under")
        found[image.entry] = known
    content = ((entry, files.read(name)) for entry, name in sorted(found.items()))
    image_files.write(folder / objects.MASKS, content)


def _note_skipped(names: Sequence[str]) -> list[str]:
    """Return a note on files that are not images that can be read."""
    if not names:
        return []
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in names)
    counts = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common(MAX_NAMED))
    return [f"{len(names):,} files left out that are no PNG, JPEG, WebP or TIFF: {counts}, such as {names[0]}"]


def _folders(names: Sequence[str]) -> list[str]:
    return sorted({PurePosixPath(name).parts[0] for name in names if "/" in name})[:MAX_NAMED]


def _common_depth(parents: Sequence[tuple[str, ...]]) -> int:
    """Return how many leading folders all paths have in common: those of the first and the last in order."""
    first, last = min(parents), max(parents)
    return next((i for i, (part, other) in enumerate(zip(first, last, strict=False)) if part != other), len(first))


def _refuse_bad_names(selected: Sequence[LabelledImage]) -> None:
    """Raise for labels that cannot be names of folders, one in another if they have slashes, and for equal names."""
    for image in selected:
        odd = "\\" in image.label or (image.label and not {"", ".", ".."}.isdisjoint(image.label.split("/")))
        if odd or not image.entry.isprintable() or len(image.label) > MAX_LABEL_LENGTH:
            text = f"expected a label that can name a folder; received {image.label[:MAX_LABEL_LENGTH]!a}"
            raise DataError(f"{image.name!a}: {text}")
    for previous, current in pairwise(selected):
        if previous.entry == current.entry:
            raise DataError(
                f"expected names that differ; {previous.name} and {current.name} would both be {previous.entry}"
            )
