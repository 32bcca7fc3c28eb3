"""Objects in pictures: a label and a box for each, in objects.jsonl beside images.zip, in the same order.

A box is [left, top, right, bottom] in pixels; right and bottom are the first ones outside of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.errors import DataError, format_value

FILE = "objects.jsonl"
MASKS = "masks.zip"
MAX_LINE_BYTES = 1 << 18  # of the objects of one picture
MAX_OBJECTS = 1000  # of one picture that are read; a task allows fewer
KEYS = {"label", "box", "track"}


@dataclass(frozen=True)
class PictureObject:
    """An object: its label, its box, and in a clip its number, which it keeps from frame to frame."""

    label: str
    box: tuple[float, float, float, float]
    track: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as it is written."""
        track = {"track": self.track} if self.track else {}
        return {"label": self.label, "box": [round(number, 3) for number in self.box], **track}


def clip_name(name: str) -> str:
    """Return the clip of a frame by the name of its file: CLIP-FRAME.png."""
    return name.rsplit("-", maxsplit=1)[0] if "-" in name else name.rsplit("/", maxsplit=1)[0]


def write(folder: Path, objects: Mapping[str, Sequence[PictureObject]]) -> None:
    """Write the objects of each picture of images.zip, sorted by its name."""
    lines = (
        json.dumps({"file": name, "objects": [one.to_json() for one in objects[name]]}, ensure_ascii=False)
        for name in sorted(objects)
    )
    with files.atomic_file(folder / FILE) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read(folder: Path) -> dict[str, list[PictureObject]]:
    """Read the objects of each picture; raise a DataError that names the first invalid line."""
    path = folder / FILE
    if not path.is_file():
        raise DataError(
            f"no boxes: expected {folder.name}/{FILE} beside the pictures",
            hint=f"name a source with boxes, such as kind: images with boxes, then: tiltyard fetch {folder.name}",
        )
    found: dict[str, list[PictureObject]] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_BYTES + 1), b""), start=1):
            name, objects = _parse_line(line, f"{FILE}: line {number}")
            if name in found:
                raise DataError(f"{FILE}: line {number}: expected each picture once; received {name} again")
            found[name] = objects
    return found


def _parse_line(line: bytes, where: str) -> tuple[str, list[PictureObject]]:
    if len(line) > MAX_LINE_BYTES:
        raise DataError(f"{where}: expected at most {MAX_LINE_BYTES:,} bytes")
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f'{where}: expected {{"file": "NAME", "objects": [...]}}') from None
    if not isinstance(content, dict) or set(content) != {"file", "objects"} or not isinstance(content["file"], str):
        raise DataError(f'{where}: expected {{"file": "NAME", "objects": [...]}}; received {format_value(content)}')
    return content["file"], parse(content["objects"], where)


def parse(objects: object, where: str) -> list[PictureObject]:
    """Return objects from JSON; raise a DataError that says where they are."""
    if not isinstance(objects, list) or len(objects) > MAX_OBJECTS:
        received = f"{len(objects):,}" if isinstance(objects, list) else format_value(objects)
        raise DataError(f"{where}: expected a list of at most {MAX_OBJECTS:,} objects; received {received}")
    return [_parse_object(one, f"{where}: object {place}") for place, one in enumerate(objects)]


def _parse_object(one: object, where: str) -> PictureObject:
    if not isinstance(one, dict) or not {"label", "box"} <= set(one) <= KEYS:
        raise DataError(
            f'{where}: expected {{"label": ..., "box": [left, top, right, bottom]}}; received {format_value(one)}'
        )
    track = one.get("track", 0)
    if type(track) is not int or not 0 <= track < 1 << 20:
        raise DataError(f"{where}: expected a whole number from 0 as track; received {format_value(track)}")
    label = one["label"]
    if not isinstance(label, str | int) or isinstance(label, bool):
        raise DataError(f"{where}: expected a text as label; received {format_value(label)}")
    return PictureObject(str(label), parse_box(one["box"], where), track)


def parse_box(values: object, where: str) -> tuple[float, float, float, float]:
    """Return a box of positive width and height."""
    numbers = [*values] if isinstance(values, Iterable) and not isinstance(values, str) else []
    valid = len(numbers) == 4 and all(
        isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) for number in numbers
    )
    if not valid:
        raise DataError(f"{where}: expected a box of four numbers; received {format_value(values)}")
    left, top, right, bottom = map(float, numbers)
    if not (left < right and top < bottom):
        expected = "left below right and top below bottom"
        raise DataError(f"{where}: expected a box [left, top, right, bottom] with {expected}; received {numbers}")
    return left, top, right, bottom


def within(one: PictureObject, width: int, height: int, where: str) -> PictureObject:
    """Return an object whose box lies in the picture, cut off if it leaves it by at most a pixel; refuse others."""
    left, top, right, bottom = one.box
    if left < -1 or top < -1 or right > width + 1 or bottom > height + 1:
        raise DataError(
            f"{where}: expected boxes within the picture of {width}x{height} pixels; received {[*one.box]}",
            hint="boxes are [left, top, right, bottom] in pixels of the picture as it is stored",
        )
    box = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    return PictureObject(one.label, parse_box(box, where), one.track)
