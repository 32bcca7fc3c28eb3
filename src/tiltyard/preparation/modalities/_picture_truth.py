"""The truth of pictures: objects with boxes from objects.jsonl, or masks from masks.zip, in the order of images.zip."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.data.images import image_files, objects
from tiltyard.data.images.objects import PictureObject, clip_name
from tiltyard.errors import DataError, join_first
from tiltyard.modeling.columns._image_sanitizer import stripped
from tiltyard.modeling.columns.image import FORMATS, LARGEST, Image, decode_errors

NO_MASK = "no mask"
NONE = "no object"


def matched(found: dict[str, list[PictureObject]], names: Sequence[str]) -> list[list[PictureObject]]:
    """Return the objects of each picture; refuse pictures without a line, and lines without a picture."""
    if missing := [name for name in names if name not in found]:
        text = f"{len(missing):,} pictures without one: {join_first(missing)}"
        raise DataError(
            f"{objects.FILE}: expected a line for each picture; {text}",
            hint='a picture without objects has "objects": []',
        )
    if lost := sorted(found.keys() - {*names}):
        raise DataError(f"{objects.FILE}: expected a picture for each line; {len(lost):,} without: {join_first(lost)}")
    return [found[name] for name in names]


def one_label(task: Task, found: Sequence[PictureObject]) -> str | None:
    """Return one label of a picture: the first that the task does not name, if there is any; missing if it has none."""
    labels = sorted((one.label for one in found), key={*task.labels}.__contains__)
    return labels[0] if labels else None


def of_objects(task: Task, names: Sequence[str], found: Sequence[Sequence[PictureObject]], sizes: Array) -> Array:
    """Return label, box, track and clip of each object; boxes are scaled with their picture.

    The label is -1 after the last object of a picture; the clip is in all places.
    """
    codes = {label: code for code, label in enumerate(task.labels)}
    (column,) = task.columns.values()
    assert isinstance(column, Image)  # noqa: S101 - for the type checker: a task is refused otherwise
    truth = np.zeros((len(names), task.target.max_objects, 7), dtype=np.float32)
    truth[:, :, 0] = -1
    for row, (name, own, (height, width)) in enumerate(zip(names, found, sizes.tolist(), strict=True)):
        if len(own) > task.target.max_objects:
            text = f"at most {task.target.max_objects} objects of a picture; {name} has {len(own):,}"
            raise DataError(f"target.max_objects: expected {text}", hint="make it larger, at most 100")
        if unknown := sorted({one.label for one in own} - codes.keys()):
            text = f"expected {', '.join(task.labels)}; {name} also holds {', '.join(unknown[:10])}"
            raise DataError(f"target.classes: {text}", hint="add them to target.classes, or remove these objects")
        for place, one in enumerate(own):
            box = objects.within(one, width, height, name).box
            scale = np.array([column.width / width, column.height / height] * 2)
            truth[row, place, :6] = [codes[one.label], *(np.array(box) * scale), one.track]
    if task.problem == "tracking":
        _refuse_untracked(names, truth)
    return truth


def _refuse_untracked(names: Sequence[str], truth: Array) -> None:
    """Refuse objects of a clip that have no number, or the same one in a frame."""
    for name, own in zip(names, truth, strict=True):
        tracks = own[own[:, 0] >= 0, 5]
        if (tracks < 1).any() or len(np.unique(tracks)) < len(tracks):
            raise DataError(
                f"{objects.FILE}: {name}: expected for each object a track, a number from 1 that no other one of the "
                f"frame has; received {', '.join(f'{track:g}' for track in tracks)}"
            )


def clips(names: Sequence[str]) -> Array:
    """Return the number of the clip of each frame, by sorted names such as CLIP-FRAME.png."""
    numbers: dict[str, int] = {}
    for name in names:
        numbers.setdefault(clip_name(name), len(numbers))
    return np.array([numbers[clip_name(name)] for name in names], dtype=np.int64)


class Masks:
    """The masks of pictures: a picture of the same name whose pixels are the numbers of labels."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / objects.MASKS
        if not self.path.is_file():
            raise DataError(
                f"no masks: expected {folder.name}/{objects.MASKS} beside the pictures",
                hint=f"name a source with masks, such as kind: images with masks, then: tiltyard fetch {folder.name}",
            )
        try:
            self.archive = zipfile.ZipFile(self.path)  # stays open: its table of contents is read once
            self.names = {name for name in self.archive.namelist() if not name.endswith("/")}
        except image_files.ZIP_ERRORS as error:
            raise DataError(f"{self.path.name}: expected a whole zip file: {error}") from None

    def read(self, names: Sequence[str]) -> list[Array]:
        """Return the masks of pictures as they are stored; raise a DataError that names the file."""
        if missing := [name for name in names if name not in self.names]:
            text = f"{len(missing):,} pictures without one: {join_first(missing)}"
            raise DataError(f"{self.path.name}: expected a mask for each picture, of the same name; {text}")
        return [_decoded(self.archive, name) for name in names]

    def fact(self, task: Task, name: str, size: tuple[int, int] | None) -> str:
        """Return a label of the mask, or what is wrong with it, which is no label."""
        try:
            (mask,) = self.read([name])
        except DataError as error:
            return NO_MASK if name not in self.names else error.message
        if size and mask.shape != size:
            return f"a mask of {mask.shape[1]}x{mask.shape[0]}"
        largest = int(mask.max())
        return task.labels[largest] if largest < len(task.labels) else f"pixels of {largest}"


def of_masks(task: Task, names: Sequence[str], masks: Masks, sizes: Array) -> Array:
    """Return the label number of each pixel; masks are scaled with their picture, without new values."""
    from PIL import Image as Pillow

    (column,) = task.columns.values()
    assert isinstance(column, Image)  # noqa: S101 - for the type checker: a task is refused otherwise
    truth = np.zeros((len(names), column.height, column.width), dtype=np.uint8)
    for row, (name, mask, size) in enumerate(zip(names, masks.read(names), sizes.tolist(), strict=True)):
        if [*mask.shape] != size:
            text = f"the size of the picture, {size[1]}x{size[0]}; received {mask.shape[1]}x{mask.shape[0]}"
            raise DataError(f"{masks.path.name}: {name}: expected {text}")
        if (largest := int(mask.max())) >= len(task.labels):
            text = f"pixels from 0 to {len(task.labels) - 1}, the numbers of target.classes; received {largest}"
            raise DataError(f"{masks.path.name}: {name}: expected {text}")
        image = Pillow.fromarray(mask)
        truth[row] = np.asarray(image.resize((column.width, column.height), Pillow.Resampling.NEAREST))
    return truth


def _decoded(archive: zipfile.ZipFile, name: str) -> Array:
    """Decode a mask: the numbers of a palette or of 8-bit grey."""
    from PIL import Image as Pillow

    wrong = f"{objects.MASKS}: {name}: expected an 8-bit PNG, grey or with a palette, of at most {LARGEST:,} pixels"
    try:
        if archive.getinfo(name).file_size > image_files.MAX_FILE_BYTES:
            raise DataError(wrong)
        image = Pillow.open(io.BytesIO(stripped(archive.read(name), LARGEST).content), formats=FORMATS[:1])
        if image.mode not in ("L", "P", "1") or image.width * image.height > LARGEST:
            raise DataError(f"{wrong}; received {image.mode}, {image.width}x{image.height}")
        return np.asarray(image).astype(np.uint8)
    except decode_errors(ValueError, *image_files.ZIP_ERRORS):
        raise DataError(wrong) from None


def sizes_of(files: Sequence[tuple[str, bytes]]) -> Array:
    """Return height and width of pictures as a viewer shows them."""
    from PIL import Image as Pillow

    sizes = []
    for name, content in files:
        try:
            file = stripped(content, LARGEST)
            image = Pillow.open(io.BytesIO(file.content), formats=FORMATS)
            sizes.append((image.width, image.height) if file.orientation > 4 else (image.height, image.width))
        except decode_errors(ValueError) as error:
            raise DataError(f"{name}: expected a picture: {error}") from None
    return np.array(sizes, dtype=np.int64)
