"""The source `scenes`: captions that a program reads off the pictures again, and parts without common pictures."""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tiltyard.arrays import Array
from tiltyard.data.sources.scenes import COLOURS, Scenes
from tiltyard.workspace import Workspace

SETTINGS: dict[str, Any] = {"kind": "scenes", "side": 32, "train": 150, "validation": 20, "test": 40}
NOVEL: dict[str, Any] = {"novel": 30, "held_out": ["yellow triangle", "green square"]}
GROUP = re.compile(r"(a|two|three) (small|large) (\w+) (circle|square|triangle)s?")
COUNTS = {"a": 1, "two": 2, "three": 3}


def fetched(workspace: Workspace, folder: Path, **settings: Any) -> dict[str, Array]:
    """Fetch; return the pixels of each picture by its name in the archive."""
    folder.mkdir()
    Scenes.model_validate(SETTINGS | settings).fetch(folder, workspace)
    with zipfile.ZipFile(folder / "images.zip") as archive:
        assert archive.namelist() == sorted(archive.namelist())
        return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}


def seen_groups(picture: Array) -> list[tuple[str, list[tuple[int, ...]]]]:
    """Return the colour, and the bounds and number of pixels of each shape, for each colour in a picture."""
    groups = []
    for colour in {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}:
        if max(colour) - min(colour) < 30:  # the grey background
            continue
        name = min(COLOURS, key=lambda known: float(np.abs(np.subtract(COLOURS[known], colour)).sum()))
        groups.append((name, _shapes((picture == colour).all(axis=2))))
    return groups


def _shapes(mask: Array) -> list[tuple[int, ...]]:
    """Return top, left, bottom, right and area of each connected shape."""
    left, shapes = {*map(tuple, np.argwhere(mask).tolist())}, list[tuple[int, ...]]()
    while left:
        stack, shape = [left.pop()], list[tuple[int, int]]()
        while stack:
            down, across = stack.pop()
            shape.append((down, across))
            near = {(down + y, across + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left
            left -= near
            stack += near
        rows, columns = zip(*shape, strict=True)
        shapes.append((min(rows), min(columns), max(rows), max(columns), len(shape)))
    return shapes


def test_captions_say_what_the_pictures_show(workspace: Workspace, tmp_path: Path) -> None:
    """Colours, counts, sizes, shapes and the relation are those that are seen in the pixels."""
    relations = Counter[str]()
    for name, picture in fetched(workspace, tmp_path / "raw").items():
        caption = name.partition("/")[0]
        said, seen = GROUP.findall(caption), seen_groups(picture)
        assert len(seen) == len(said)
        for count, size, colour, shape in said:
            shapes = next(shapes for _, shapes in seen if _fits(shapes, count, size, shape) and _ == colour)
            assert len(shapes) == COUNTS[count]
        relation = "above" if "above" in caption else "left of" if "left of" in caption else ""
        relations[relation] += 1
        if relation:
            axis = ("above", "left of").index(relation)
            ends = {max(s[2 + axis] for s in shapes) for _, shapes in seen}
            starts = {min(s[axis] for s in shapes) for _, shapes in seen}
            assert min(ends) < max(starts)
    assert all(relations[kind] > 20 for kind in ("", "above", "left of"))


def _fits(shapes: list[tuple[int, ...]], count: str, size: str, shape: str) -> bool:
    """Return whether shapes have the number, the size and the area of what is said: pi/4, all or half of a square."""
    sides = {max(bottom - top, right - left) + 1 for top, left, bottom, right, _ in shapes}
    areas = [area / side**2 for side in sides for *_, area in shapes]
    bounds = {"square": (0.99, 1.01), "circle": (0.6, 0.95), "triangle": (0.3, 0.6)}[shape]
    right_size = sides == ({5} if size == "small" else {9})
    return len(shapes) == COUNTS[count] and right_size and all(bounds[0] <= area <= bounds[1] for area in areas)


def test_no_picture_is_in_two_parts_and_held_out_ones_are_test_pictures(workspace: Workspace, tmp_path: Path) -> None:
    """All pictures differ; yellow triangles and green squares are on the last test pictures, on each of them."""
    pictures = fetched(workspace, tmp_path / "raw", **NOVEL)
    assert len({picture.tobytes() for picture in pictures.values()}) == len(pictures) == 240
    parts = Counter(name.partition("/")[2].partition("-")[0] for name in pictures)
    assert parts == {"train": 150, "validation": 20, "test": 70}
    novel = {name for name in pictures if "yellow triangle" in name or "green square" in name}
    assert novel == {name for name in pictures if (n := name.partition("/test-")[2]) and int(n[:5]) >= 40}


def test_the_same_seed_gives_the_same_pictures(workspace: Workspace, tmp_path: Path) -> None:
    """Bytes depend on the seed alone."""
    digests = []
    for place, seed in enumerate((0, 0, 1)):
        fetched(workspace, tmp_path / str(place), seed=seed)
        digests.append((tmp_path / str(place) / "images.zip").read_bytes())
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"held_out": ["pink circle"], "novel": 5}, "expected some of red circle.*received pink circle"),
        ({"novel": 5}, "expected scenes if, and only if, held_out names combinations; received 5"),
        ({"held_out": ["red circle"]}, "received 0"),
        (
            {"held_out": [f"{c} {s}" for c in COLOURS for s in ("circle", "square")], "novel": 5},
            "at most half of all combinations; received 8",
        ),
    ],
)
def test_wrong_combinations_are_refused(settings: dict[str, Any], message: str) -> None:
    """The message names the setting, what is expected and what was received."""
    with pytest.raises(ValueError, match=message):
        Scenes.model_validate(SETTINGS | settings)
