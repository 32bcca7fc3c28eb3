"""Source `digit_scenes`: pictures or clips with digits of different sizes among clutter, with boxes and masks.

Digits of training, validation and test scenes are different pictures of MNIST: each is in one scene or clip at most,
and those of test scenes are from its test part. With `frames` above 1, digits move and turn at the edges.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array
from tiltyard.data.images import image_files, objects
from tiltyard.data.images.objects import PictureObject
from tiltyard.data.sources import _digit_scene
from tiltyard.data.sources.base import Source
from tiltyard.data.sources.keras import DATASETS, ImageSet, Keras
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

MAX_FRAMES = 100_000  # of all parts
MOST_DIGITS, LEAST_SIDE = 8, 8
PARTS = {"train": ("train", 0.0, 0.85), "validation": ("train", 0.85, 0.95), "test": ("test", 0.0, 0.95)}
PIECES = 0.95  # the pictures after this share of each part are not used as digits, but for pieces of digits


class DigitScenes(Source):
    """Digits of MNIST among clutter, with boxes and masks."""

    kind: Literal["digit_scenes"]
    height: int = Field(64, ge=32, le=256, description="Height of a picture in pixels.")
    width: int = Field(64, ge=32, le=256, description="Width of a picture in pixels.")
    digits: tuple[int, int] = Field((1, 4), strict=False, description="Fewest and most digits of a scene, up to 8.")
    sizes: tuple[int, int] = Field((16, 32), strict=False, description="Smallest and largest longer side of a digit.")
    clutter: int = Field(4, ge=0, le=50, description="Strokes, and pieces of other digits, of each so many at most.")
    train: int = Field(6000, ge=2, le=50_000, description="Scenes, or clips, to learn from.")
    validation: int = Field(600, ge=2, le=10_000, description="How many validation pictures are made.")
    test: int = Field(1000, ge=2, le=10_000, description="How many test pictures are made.")
    frames: int = Field(1, ge=1, le=100, description="Frames of a clip, in which digits move; 1 for single pictures.")
    speed: float = Field(3.0, gt=0, le=20, description="Clips: largest step of a digit in pixels, per frame and axis.")
    seed: int = Field(0, description="Seed of the pseudo-random numbers.")
    rows: int | None = Field(None, ge=20, description="Make only so many pictures, of all parts alike.")
    stand_in: bool = Field(
        default=False,
        description="Use made-up digits if no local file is found; outputs say so, and the gate holds the model.",
    )

    @model_validator(mode="after")
    def _check(self) -> DigitScenes:
        bounds = {
            "digits": (self.digits, 1, MOST_DIGITS),
            "sizes": (self.sizes, LEAST_SIDE, min(self.height, self.width)),
        }
        for name, ((low, high), least, most) in bounds.items():
            if not least <= low <= high <= most:
                text = f"the smaller, then the larger number, {least} to {most}; received {low}, {high}"
                raise ValueError(f"{name}: expected {text}")
        if (made := (self.train + self.validation + self.test) * self.frames) > MAX_FRAMES:
            raise ValueError(f"train, validation, test: expected at most {MAX_FRAMES:,} frames; received {made:,}")
        return self

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write images.zip, masks.zip and objects.jsonl, with the names PART-SCENE.png or PART-CLIP-FRAME.png."""
        dataset = DATASETS["mnist"]
        assert isinstance(dataset, ImageSet)  # noqa: S101 - for the type checker: it is a set of images
        arrays = Keras(kind="keras", dataset="mnist", stand_in=self.stand_in).images(dataset, folder, workspace)
        entries = (entry for part, count in self._counts().items() for entry in self._part(part, count, arrays))
        made = dict(sorted(entries, key=itemgetter(0)))
        image_files.write(folder / "images.zip", ((name, picture) for name, (picture, _, _) in made.items()))
        image_files.write(folder / objects.MASKS, ((name, mask) for name, (_, mask, _) in made.items()))
        objects.write(folder, {name: found for name, (_, _, found) in made.items()})

    def _counts(self) -> dict[str, int]:
        """Return how many scenes or clips of each part are made."""
        counts = {"train": self.train, "validation": self.validation, "test": self.test}
        share = (self.rows or MAX_FRAMES) / (sum(counts.values()) * self.frames)
        return counts if share >= 1 else {part: max(2, round(count * share)) for part, count in counts.items()}

    def _part(
        self, part: str, count: int, arrays: dict[str, Array]
    ) -> Iterator[tuple[str, tuple[bytes, bytes, list[PictureObject]]]]:
        """Yield the frames of a part: name, picture, mask and objects."""
        generator = np.random.default_rng([self.seed, [*PARTS].index(part)])
        (images, codes), others = self._pool(part, arrays)
        ends = np.cumsum(generator.integers(self.digits[0], self.digits[1] + 1, count))
        if ends[-1] > len(images):
            text = f"scenes with at most {len(images):,} digits, since each picture of MNIST is used once"
            raise SourceError(f"source.{part}: expected {text}; received {ends[-1]:,}", hint="make fewer")
        for scene, chosen in enumerate(np.split(np.arange(ends[-1]), ends[:-1])):
            digits = [self._digit(images[place], int(codes[place]), generator) for place in chosen]
            size = self.height, self.width
            _digit_scene.place_digits(digits, size, generator)
            canvas = _digit_scene.background(size, self.clutter, others, generator)
            for frame, (picture, mask, found) in enumerate(_digit_scene.frames(digits, canvas, self.frames, generator)):
                suffix = f"-{frame:03}" if self.frames > 1 else ""
                yield f"{part}-{scene:05}{suffix}.png", (_png(picture), _png(mask), found)

    def _pool(self, part: str, arrays: dict[str, Array]) -> tuple[tuple[Array, Array], Array]:
        """Return the pictures and classes that a part may use, in random order, and those for pieces."""
        held, start, stop = PARTS[part]
        images, codes = arrays[f"x_{held}"], arrays[f"y_{held}"].ravel()
        order = np.random.default_rng(self.seed).permutation(len(images))
        used = order[int(start * len(order)) : int(stop * len(order))]
        return (images[used], codes[used]), images[order[int(PIECES * len(order)) :]]

    def _digit(self, image: Array, code: int, generator: np.random.Generator) -> _digit_scene.Digit:
        side = int(generator.integers(self.sizes[0], self.sizes[1] + 1))
        step = generator.uniform(-self.speed, self.speed, 2)
        return _digit_scene.Digit(_digit_scene.cropped(image, side), str(code), code, np.zeros(2), step)


def _png(pixels: Array) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()
