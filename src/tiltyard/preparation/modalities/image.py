"""Images: one zip file with CLASS/NAME.png (or .jpg), read without unpacking.

Of an image with several labels, CLASS is a cell with all of them, such as 3|7; an image without labels is in no folder.
Objects with boxes are in objects.jsonl beside it, masks in masks.zip under the same names.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, ParsedRows, Rows, decoded
from tiltyard.config.task import Task
from tiltyard.data.images import image_files, objects
from tiltyard.errors import DataError
from tiltyard.modeling.columns import _image_sanitizer
from tiltyard.modeling.columns.image import FORMATS, LARGEST, decode_errors
from tiltyard.modeling.columns.image import Image as ImageColumn
from tiltyard.preparation.modalities import _picture_truth
from tiltyard.preparation.modalities.base import Modality, RawTable, one_label, parse_target
from tiltyard.preparation.split import PART_COLUMN

if TYPE_CHECKING:
    import pandas as pd

CHUNK_IMAGES = 4096


class Image(Modality):
    """images.zip."""

    file: ClassVar = "images.zip"

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """Return one row for each image: path, label, size, brightness, file hash, and whether it decodes."""
        import pandas as pd

        facts = [_facts(path, content, task.target.column) for path, content in self._files(folder)]
        frame = pd.DataFrame(facts)
        if task.problem_type.targets == "objects":
            found = _picture_truth.matched(objects.read(folder), frame["path"].tolist())
            frame[task.target.column] = [_picture_truth.one_label(task, own) for own in found]
        if task.problem_type.targets == "mask":
            frame[task.target.column] = _mask_facts(task, folder, frame)
        frame.attrs["repairs"] = self.notes(folder)
        return frame

    def raw_table(self, task: Task, folder: Path) -> RawTable:
        """Return the facts; of several labels one, which expectations compare with those that the task names."""
        frame = self.facts(task, folder)
        if task.problem == "multilabel":
            frame[task.target.column] = one_label(task, frame[task.target.column])
        return RawTable([*frame.columns], frame.attrs["repairs"], lambda names: iter([frame[[*names]]]))

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """Return one row for each image, sorted by path."""
        rows, truth = zip(*self.chunks(task, folder), strict=True)
        ((name, _),) = task.columns.items()
        return {name: np.concatenate([decoded(chunk[name]) for chunk in rows])}, np.concatenate(truth)

    def chunks(self, task: Task, folder: Path) -> Iterator[tuple[ParsedRows, Array]]:
        """Yield images in chunks."""
        ((name, column),) = task.columns.items()
        assert isinstance(column, ImageColumn)  # noqa: S101 - for the type checker: a task's modality is its column's
        remaining, truth_of = self._files(folder), self._truth(task, folder)
        while files := [*itertools.islice(remaining, CHUNK_IMAGES)]:
            images = np.stack([_decode(column, path, content) for path, content in files])
            yield {name: images}, truth_of(files)

    def _truth(self, task: Task, folder: Path) -> Callable[[list[tuple[str, bytes]]], Array]:
        """Return a function from image files to their truth."""
        if task.problem_type.targets == "mask":
            masks = _picture_truth.Masks(folder)
            return lambda files: _picture_truth.of_masks(
                task, [path for path, _ in files], masks, _picture_truth.sizes_of(files)
            )
        if task.problem_type.targets != "objects":
            return lambda files: parse_target(task, [_label(path) for path, _ in files])
        names = self._names(folder)
        found = dict(zip(names, _picture_truth.matched(objects.read(folder), names), strict=True))
        clips = dict(zip(names, _picture_truth.clips(names).tolist(), strict=True))
        if task.problem == "tracking":
            self.times = np.array([*clips.values()])

        def of_objects(files: list[tuple[str, bytes]]) -> Array:
            paths = [path for path, _ in files]
            own, sizes = [found[path] for path in paths], _picture_truth.sizes_of(files)
            truth = _picture_truth.of_objects(task, paths, own, sizes)
            truth[:, :, 6] = np.array([clips[path] for path in paths])[:, None]
            return truth

        return of_objects

    def _names(self, folder: Path) -> list[str]:
        with zipfile.ZipFile(self.raw_file(folder)) as archive:
            return sorted(entry for entry in archive.namelist() if not entry.endswith("/"))

    def raw_column(self, task: Task, folder: Path, name: str) -> pd.Series[Any]:
        """Return the part that each image's file name holds, for `split.kind: given`."""
        import pandas as pd

        return pd.Series([_part_name(entry) for entry in self._names(folder)], name=name)

    def _files(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        path = self.raw_file(folder)
        try:
            with zipfile.ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if not name.endswith("/"))
                if not names:
                    raise DataError(f"{path.name}: expected CLASS/NAME.png files; it holds none")
                for name in names:
                    yield name, archive.read(name)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{path.name}: expected a whole zip file: {error}") from None

    def notes(self, folder: Path) -> list[str]:
        """Return the notes in the archive's comment."""
        with zipfile.ZipFile(self.raw_file(folder)) as archive:
            return image_files.notes(archive)


def _decode(column: ImageColumn, path: str, content: bytes) -> Array:
    """Decode an image; errors name the file."""
    try:
        return column.open(content)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _label(path: str) -> str:
    """Return what is before the name of the file; a label, such as a caption, may have slashes itself."""
    return path.rpartition("/")[0]


def _mask_facts(task: Task, folder: Path, frame: pd.DataFrame) -> list[str]:
    """Return for each picture a label of its mask, or what is wrong with it."""
    masks, columns = _picture_truth.Masks(folder), ("path", "height", "width", "decodes")
    return [
        masks.fact(task, path, (int(height), int(width)) if decodes else None)
        for path, height, width, decodes in zip(*(frame[name] for name in columns), strict=True)
    ]


def _part_name(path: str) -> str:
    """Return the prefix of the file name, which is the folder above the classes: train-0001.png."""
    return path.rsplit("/", maxsplit=1)[-1].partition("-")[0]


def _facts(path: str, content: bytes, target: str) -> dict[str, Any]:
    from PIL import Image as Pillow

    facts: dict[str, Any] = {
        "path": path,
        PART_COLUMN: _part_name(path),
        target or "folder": _label(path),
        "digest": hashlib.sha256(content).hexdigest(),
        "decodes": False,
    }
    try:
        file = _image_sanitizer.stripped(content, LARGEST)
        image = Pillow.open(io.BytesIO(file.content), formats=FORMATS)
        width, height = (image.height, image.width) if file.orientation > 4 else image.size
        facts |= {"width": width, "height": height, "channels": len(image.getbands())}
        if image.width * image.height <= LARGEST:
            pixels = np.asarray(image)
            facts |= {"decodes": True, "darkest": int(pixels.min()), "brightest": int(pixels.max())}
    except decode_errors(ValueError):
        pass  # `decodes` stays False, and an expectation reports all such images
    return facts
