"""Source `scenes`: generated pictures of coloured shapes, each with a caption by a small grammar.

A scene has one or two groups of equal shapes, such as "two small red circles above a large blue square". The group
that is named first is the upper or the left one, so a picture has exactly one caption. Colours with shapes in
`held_out` are on test pictures only.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array
from tiltyard.data.images import image_files
from tiltyard.data.sources.base import Source
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

COUNTS = ("a", "two", "three")
SIZES = ("small", "large")
COLOURS = {"red": (200, 40, 40), "green": (40, 150, 60), "blue": (40, 70, 200), "yellow": (225, 190, 30)}
SHAPES = ("circle", "square", "triangle")
RELATIONS = ("above", "left of")
RADII = {"small": 1 / 16, "large": 1 / 8}  # of a shape, as a share of the picture's side
ONE_GROUP = 0.25  # share of the scenes with one group
SHADES = (205, 250)  # of the grey background
TINT = 20  # largest change of each colour channel
MAX_TRIES = 200  # to find places, or a picture that is not there yet


class Group(NamedTuple):
    """Equal shapes."""

    number: int
    size: str
    colour: str
    shape: str

    @property
    def text(self) -> str:
        """The words for it: a small red circle."""
        plural = "s" if self.number > 1 else ""
        return f"{COUNTS[self.number - 1]} {self.size} {self.colour} {self.shape}{plural}"


class Scene(NamedTuple):
    """One group, or two with the relation of the first to the second."""

    groups: list[Group]
    relation: str = ""

    @property
    def caption(self) -> str:
        """The caption."""
        return f" {self.relation} ".join(group.text for group in self.groups)


class Scenes(Source):
    """Pictures of shapes with captions; no picture is in two parts."""

    kind: Literal["scenes"]
    side: int = Field(48, ge=32, le=128, description="Pixels of a side.")
    train: int = Field(10_000, ge=10, le=100_000)
    validation: int = Field(1_000, ge=10, le=100_000)
    test: int = Field(2_000, ge=10, le=100_000, description="Test scenes of the same combinations as in training.")
    novel: int = Field(
        0, ge=0, le=100_000, description="Further test scenes, each with at least one combination of `held_out`."
    )
    held_out: list[str] = Field([], description="Colours with shapes that only those have, such as: yellow triangle.")
    seed: int = 0

    @model_validator(mode="after")
    def _check_held_out(self) -> Scenes:
        known = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
        if unknown := [name for name in self.held_out if name not in known]:
            raise ValueError(f"held_out: expected some of {', '.join(known)}; received {unknown[0]}")
        if bool(self.novel) != bool(self.held_out):
            raise ValueError(
                f"novel: expected scenes if, and only if, held_out names combinations; received {self.novel}"
            )
        if len({*self.held_out}) > len(known) // 2:
            raise ValueError(f"held_out: expected at most half of all combinations; received {len(self.held_out)}")
        return self

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write images.zip with CAPTION/PART-NUMBER.png."""
        image_files.write(folder / "images.zip", sorted(self._files()))

    def _files(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and PNG files of different pictures."""
        generator, known = np.random.default_rng(self.seed), set[bytes]()
        counts = {"train": self.train, "validation": self.validation, "test": self.test}
        parts = [(part, place, False) for part, count in counts.items() for place in range(count)]
        parts += [("test", self.test + place, True) for place in range(self.novel)]
        for part, place, is_novel in parts:
            caption, picture = self._new_picture(generator, known, is_novel=is_novel)
            yield f"{caption}/{part}-{place:05}.png", _png(picture)

    def _new_picture(self, generator: np.random.Generator, known: set[bytes], *, is_novel: bool) -> tuple[str, Array]:
        """Return a caption and a picture that is not there yet."""
        for _ in range(MAX_TRIES):
            scene = self._scene(generator, is_novel=is_novel)
            picture = draw(scene, self.side, generator)
            if picture is not None and picture.tobytes() not in known:
                known.add(picture.tobytes())
                return scene.caption, picture
        raise SourceError("source: found no further picture", hint="make source.side larger, or fewer scenes")

    def _scene(self, generator: np.random.Generator, *, is_novel: bool) -> Scene:
        """Draw a scene, with a combination that is held out or without any."""
        while True:
            groups = [_group(generator)] if generator.random() < ONE_GROUP else [_group(generator), _group(generator)]
            has_novel = any(f"{group.colour} {group.shape}" in self.held_out for group in groups)
            differ = len({group[1:] for group in groups}) == len(groups)  # else their shapes would be one group
            if has_novel == is_novel and differ:
                return Scene(groups, str(generator.choice(RELATIONS)) if len(groups) > 1 else "")


def _group(generator: np.random.Generator) -> Group:
    names = (SIZES, (*COLOURS,), SHAPES)
    count = int(generator.integers(1, len(COUNTS) + 1))
    return Group(count, *(str(generator.choice(values)) for values in names))


def draw(scene: Scene, side: int, generator: np.random.Generator) -> Array | None:
    """Draw a scene; None if its shapes found no places, or if both relations hold."""
    picture = np.full((side, side, 3), generator.integers(*SHADES), dtype=np.uint8)
    drawn = []
    for place, group in enumerate(scene.groups):
        radius = max(2, round(RADII[group.size] * side))
        centres = _centres(group.number, radius, _region(scene, place, side), generator)
        if centres is None:
            return None
        tint = np.clip(np.array(COLOURS[group.colour]) + generator.integers(-TINT, TINT + 1, 3), 0, 255)
        for centre in centres:
            picture[_mask(group.shape, centre, radius, side)] = tint
        drawn.append((centres.min(axis=0) - radius, centres.max(axis=0) + radius))
    return None if _is_ambiguous(scene, drawn) else picture


def _region(scene: Scene, place: int, side: int) -> tuple[Array, Array]:
    """Return the lowest and highest row and column of a group: the whole picture, or its half."""
    low, high = np.zeros(2, dtype=int), np.full(2, side)
    if scene.relation:
        axis = RELATIONS.index(scene.relation)
        (high if place == 0 else low)[axis] = side // 2
    return low, high


def _centres(count: int, radius: int, region: tuple[Array, Array], generator: np.random.Generator) -> Array | None:
    """Return random places of shapes that do not touch; None if none were found."""
    low, high = region[0] + radius, region[1] - radius
    for _ in range(MAX_TRIES):
        centres = generator.integers(low, high, (count, 2))
        apart = np.abs(centres[:, None] - centres[None]).max(axis=2)[np.triu_indices(count, 1)]
        if (apart > 2 * radius + 1).all():
            return centres
    return None


def _is_ambiguous(scene: Scene, drawn: list[tuple[Array, Array]]) -> bool:
    """Return whether one group is also beside the other, not only above it, or the other way round."""
    if not scene.relation:
        return False
    other = 1 - RELATIONS.index(scene.relation)
    (first_low, first_high), (second_low, second_high) = drawn
    return bool(first_high[other] < second_low[other] or second_high[other] < first_low[other])


def _mask(shape: str, centre: Array, radius: int, side: int) -> Array:
    """Return which pixels a shape covers; a triangle stands on its base."""
    down, across = np.meshgrid(*(np.arange(side) - middle for middle in centre), indexing="ij")
    inside = (np.abs(down) <= radius) & (np.abs(across) <= radius)
    if shape == "circle":
        return np.asarray(down**2 + across**2 <= (radius + 0.3) ** 2)
    return np.asarray(inside & (2 * np.abs(across) <= down + radius)) if shape == "triangle" else inside


def _png(picture: Array) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()
