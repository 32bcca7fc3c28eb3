"""Source `canvases`: pictures with several digits or clothes each at random places, from a data set of Keras.

The labels of a canvas are those of all its pictures, such as 3|7. Each picture is on at most one canvas. Pictures of
the test part are on test canvases only, so none of them is known from training.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array
from tiltyard.data.images import image_files
from tiltyard.data.sources.base import Source
from tiltyard.data.sources.keras import DATASETS, PARTS, ImageSet, Keras
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

SIDE = 28  # of a picture
MARGIN = 4  # black pixels around a picture, which may lie over another one
SEPARATOR = "|"
MAX_TRIES = 1000  # to find places that do not meet


class Canvases(Source):
    """Canvases of digits or clothes, several on each, for several labels of an image."""

    kind: Literal["canvases"]
    dataset: Literal["mnist", "fashion_mnist"] = Field("mnist", description="The data set of the pictures.")
    pictures: int = Field(2, ge=1, le=4, description="How many there are on each canvas; two of one class are allowed.")
    height: int = Field(40, ge=SIDE, le=256, description="Height of a canvas in pixels.")
    width: int = Field(56, ge=SIDE, le=256, description="Width of a canvas in pixels.")
    train: int = Field(20_000, ge=10, le=60_000, description="Canvases of training pictures.")
    test: int = Field(4_000, ge=10, le=10_000, description="Canvases of test pictures.")
    seed: int = Field(0, description="Seed of the pseudo-random numbers.")
    rows: int | None = Field(None, ge=20, description="Make only so many of these canvases, of both parts alike.")
    stand_in: bool = Field(
        default=False,
        description="Use made-up pictures if no local file is found; outputs say so, and the gate holds the model.",
    )

    @model_validator(mode="after")
    def _has_room(self) -> Canvases:
        drawn = SIDE - 2 * MARGIN
        room = (self.height // drawn) * (self.width // drawn)
        if room < self.pictures:
            size = f"a canvas with room for {self.pictures} pictures of {drawn}x{drawn}"
            raise ValueError(f"height, width: expected {size}; received {self.height}x{self.width}")
        return self

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write images.zip with LABELS/train-NUMBER.png and LABELS/test-NUMBER.png."""
        dataset = DATASETS[self.dataset]
        assert isinstance(dataset, ImageSet)  # noqa: S101 - for the type checker: these two are sets of images
        source = Keras(kind="keras", dataset=self.dataset, stand_in=self.stand_in)
        arrays = source.images(dataset, folder, workspace)
        image_files.write(folder / "images.zip", self._files(dataset.classes, arrays))

    def _files(self, classes: tuple[str, ...], arrays: dict[str, Array]) -> Iterator[tuple[str, bytes]]:
        """Yield names and PNG files, sorted."""
        entries: list[tuple[str, bytes]] = []
        for number, (part, count) in enumerate(zip(PARTS, self._counts(), strict=True)):
            images, codes = arrays[f"x_{part}"], arrays[f"y_{part}"].ravel()
            if count * self.pictures > len(images):
                expected = f"at most {len(images) // self.pictures:,}, as there are {len(images):,} pictures"
                raise SourceError(f"source.{part}: expected {expected}; received {count:,}")
            generator = np.random.default_rng([self.seed, number])
            chosen = generator.permutation(len(images))[: count * self.pictures].reshape(count, self.pictures)
            for place, indices in enumerate(chosen):
                labels = SEPARATOR.join(sorted({classes[int(code)] for code in codes[indices]}))
                canvas = self._canvas(images[indices], generator)
                entries.append((f"{labels}/{part}-{place:05}.png", _png(canvas)))
        yield from sorted(entries)

    def _counts(self) -> tuple[int, int]:
        """Return how many canvases of each part are made."""
        if self.rows is None or self.rows >= self.train + self.test:
            return self.train, self.test
        test = max(10, round(self.rows * self.test / (self.train + self.test)))
        return self.rows - test, test

    def _canvas(self, images: Array, generator: np.random.Generator) -> Array:
        """Draw pictures at random places; only their black margins may meet."""
        canvas = np.zeros((self.height, self.width), dtype=np.uint8)
        for (top, left), image in zip(self._places(generator), images, strict=True):
            part = canvas[top : top + SIDE, left : left + SIDE]
            np.maximum(part, image, out=part)
        return canvas

    def _places(self, generator: np.random.Generator) -> Array:
        """Return the upper left corner of each picture."""
        highest = [self.height - SIDE + 1, self.width - SIDE + 1]
        for _ in range(MAX_TRIES):
            places = generator.integers(0, highest, (self.pictures, 2))
            apart = np.abs(places[:, None] - places[None]).max(axis=2)
            if (apart[np.triu_indices(self.pictures, 1)] >= SIDE - 2 * MARGIN).all():
                return places
        raise SourceError(
            f"source: found no places for {self.pictures} pictures on {self.height}x{self.width} pixels",
            hint="make source.height or source.width larger, or source.pictures smaller",
        )


def _png(canvas: Array) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(canvas).save(content, "PNG")
    return content.getvalue()
