"""Boxes of a user's pictures: a table with a row for each box, or for each picture, or a JSON file as COCO has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tiltyard.arrays import is_missing
from tiltyard.data.images import labels, objects
from tiltyard.data.images.image_files import MAX_FILE_BYTES, ImageFiles
from tiltyard.data.images.labels import ImageLabels
from tiltyard.data.images.objects import PictureObject
from tiltyard.errors import DataError, format_value

if TYPE_CHECKING:
    import pandas as pd

CORNERS = (  # names of columns: left, top, right, bottom
    ("left", "top", "right", "bottom"),
    ("x0", "y0", "x1", "y1"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
)
SIDES = ("x", "y", "width", "height")
OBJECTS, TRACK = "objects", "track"  # a column of JSON, and one of numbers
MAX_BOXES = 2_000_000
Found = list[tuple[str, PictureObject]]  # the name of a picture as written, and an object in it


def read(table: str, tree: ImageFiles, root: Path, columns: tuple[str, str]) -> dict[str, list[PictureObject]]:
    """Return the objects by the name of the picture as it is written; one without objects may be left out."""
    if table.lower().endswith(".json"):
        return _by_name(_of_coco(table, tree, root))
    frame = labels.read(table, tree, root)
    file_column, label_column = columns
    if file_column not in frame.columns:
        raise _missing(table, [file_column], frame)
    names = ["" if is_missing(cell) else str(cell).strip() for cell in frame[file_column]]
    if OBJECTS in frame.columns:
        return _by_name(_of_json(table, names, frame[OBJECTS].tolist()), names)
    return _by_name(_of_rows(table, names, frame, label_column))


def matched(
    table: str, found: Mapping[str, list[PictureObject]], pictures: Sequence[str], others: Sequence[str] = ()
) -> dict[str, list[PictureObject]]:
    """Return the objects of each picture, which may be none; refuse names that are no picture's, or several ones'.

    Names of `others` alone, which are not taken, are left out.
    """
    taken, left_out = ({form for path in paths for form in _forms(path)} for paths in (pictures, others))
    names = [name for name in found if name in taken or name not in left_out]
    paths = ImageLabels(table, [(name, name) for name in names]).match(pictures)
    return {picture: found[paths[picture]] if picture in paths else [] for picture in pictures}


def _forms(path: str) -> tuple[str, str, str]:
    """Return the ways to write the name of a picture."""
    return path, PurePosixPath(path).name, PurePosixPath(path).stem


def _by_name(found: Found, names: Iterable[str] = ()) -> dict[str, list[PictureObject]]:
    if len(found) > MAX_BOXES:
        raise DataError(f"expected at most {MAX_BOXES:,} boxes; received {len(found):,}")
    by_name: dict[str, list[PictureObject]] = {name: [] for name in names}
    for name, one in found:
        by_name.setdefault(name, []).append(one)
    return by_name


def _missing(table: str, names: Sequence[str], frame: pd.DataFrame) -> DataError:
    text = f"expected the columns {', '.join(names)}; received {', '.join(map(str, frame.columns))}"
    return DataError(
        f"{table}: {text}",
        hint=f"boxes are columns left, top, right, bottom (or x, y, width, height), or one column {OBJECTS} with JSON; "
        "name the others: source.file_column and source.label_column",
    )


def _of_json(table: str, names: Sequence[str], cells: Sequence[object]) -> Found:
    """Return the objects of a column of JSON, one cell for each picture."""
    found = Found()
    for row, (name, cell) in enumerate(zip(names, cells, strict=True)):
        try:
            content = [] if is_missing(cell) else json.loads(str(cell))
        except (ValueError, RecursionError):
            raise DataError(f"{table}: row {row}: expected a list in JSON; received {format_value(cell)}") from None
        found += [(name, one) for one in objects.parse(content, f"{table}: row {row}")]
    return found


def _of_rows(table: str, names: Sequence[str], frame: pd.DataFrame, label_column: str) -> Found:
    """Return the objects of a table with a row for each."""
    sides = next((of for of in (*CORNERS, SIDES) if {*of} <= {*frame.columns}), None)
    if sides is None or label_column not in frame.columns:
        raise _missing(table, [label_column, *(sides or CORNERS[0])], frame)
    to_box: Callable[[list[float]], list[float]] = _corners if sides == SIDES else list
    tracks = frame[TRACK].tolist() if TRACK in frame.columns else [0] * len(frame)
    rows = zip(names, frame[label_column].tolist(), tracks, *(frame[side].tolist() for side in sides), strict=True)
    found = Found()
    for row, (name, label, track, *cells) in enumerate(rows):
        where = f"{table}: row {row}"
        box = objects.parse_box(to_box([_number(cell, where) for cell in cells]), where)
        number = _number(track, where)
        if is_missing(label) or number != int(number) or number < 0:
            what = "a label" if is_missing(label) else f"a whole number from 0 as {TRACK}"
            raise DataError(f"{where}: expected {what}; received {format_value(label if is_missing(label) else track)}")
        found.append((name, PictureObject(str(label).strip(), box, int(number))))
    return found


def _number(cell: object, where: str) -> float:
    try:
        number = float(str(cell))
    except ValueError:
        number = float("nan")
    if not abs(number) < 1 << 20:  # not a number, or too large
        raise DataError(f"{where}: expected a number of pixels; received {format_value(cell)}")
    return number


def _corners(sides: Sequence[float]) -> list[float]:
    left, top, width, height = sides
    return [left, top, left + width, top + height]


def _of_coco(table: str, tree: ImageFiles, root: Path) -> Found:
    """Return the boxes of a file in the form of COCO; its polygons are not read."""
    content = _load(table, tree, root)
    expected = f'{table}: expected {{"images": [...], "annotations": [...], "categories": [...]}}, as COCO has them'
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise DataError(expected)
    try:
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        kinds = {kind["id"]: str(kind["name"]) for kind in content["categories"]}
    except (KeyError, TypeError) as error:
        raise DataError(f"{expected}; an image or a category lacks {error}") from None
    found = Found()
    for place, one in enumerate(content["annotations"]):
        where = f"{table}: annotation {place}"
        picture, kind = (_known(one, key, known, where) for key, known in (("image_id", names), ("category_id", kinds)))
        sides = one.get("bbox")
        if not isinstance(sides, list) or len(sides) != 4:
            raise DataError(f"{where}: expected bbox, [x, y, width, height]; received {format_value(sides)}")
        box = objects.parse_box(_corners([_number(side, where) for side in sides]), where)
        found.append((picture, PictureObject(kind, box, int(_number(one.get("track_id", 0), where)))))
    return found


def _known(one: Any, key: str, known: Mapping[Any, str], where: str) -> str:
    try:
        return known[one[key]]
    except (KeyError, TypeError):
        received = format_value(one.get(key) if isinstance(one, dict) else one)
        raise DataError(f"{where}: expected {key} of the file; received {received}") from None


def _load(table: str, tree: ImageFiles, root: Path) -> Any:
    path = root / table
    if table in tree.sizes():
        content = tree.read(table)
    elif path.is_file() and path.stat().st_size <= MAX_FILE_BYTES:
        content = path.read_bytes()
    else:
        text = f"looked in {tree.path.name} and at {path}, for at most {MAX_FILE_BYTES >> 20} MiB"
        raise DataError(f"no file of boxes {table}: {text}", hint="see source.boxes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise DataError(f"{table}: expected JSON") from None
