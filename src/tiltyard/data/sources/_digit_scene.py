"""Draw a scene or the frames of a clip: digits at random places among strokes, pieces of digits and noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array
from tiltyard.data.images.objects import PictureObject

INK = 0.4  # of the brightest pixel: from there on, a pixel belongs to the digit
MAX_OVERLAP = 0.1  # of the smaller of two boxes, where digits begin
MAX_TRIES = 50  # to find such places; then a digit may lie over another
FRAGMENT = 9  # pixels of a side of a piece of another digit
NOISE = 16.0  # standard deviation
DIMMEST, BRIGHTEST = 60, 200  # of strokes

Frame = tuple[Array, Array, list[PictureObject]]  # picture, mask (0, or class number + 1), objects


@dataclass
class Digit:
    """A digit without its black margin, its class, and where it is."""

    pixels: Array
    name: str
    code: int
    place: Array  # top, left
    step: Array  # from frame to frame

    @property
    def ink(self) -> Array:
        """Which pixels belong to the digit."""
        return np.asarray(self.pixels >= INK * self.pixels.max())

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """The box around it: left, top, right, bottom."""
        top, left = np.rint(self.place).astype(int).tolist()
        return left, top, left + self.pixels.shape[1], top + self.pixels.shape[0]

    def move(self, size: tuple[int, int]) -> None:
        """Take a step; turn at the edges of the picture."""
        highest = np.array(size) - self.pixels.shape
        place = self.place + self.step
        outside = (place < 0) | (place > highest)
        self.step = np.where(outside, -self.step, self.step)
        turned = np.where(place < 0, -place, np.where(place > highest, 2 * highest - place, place))
        self.place = np.clip(turned, 0, highest)


def cropped(picture: Array, side: int) -> Array:
    """Return a digit whose longer side has so many pixels, without rows and columns that have no ink."""
    from PIL import Image

    picture = _inside(picture, picture >= 1)
    height, width = picture.shape
    share = side / max(height, width)
    size = max(3, round(width * share)), max(3, round(height * share))
    resized = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    return _inside(resized, resized >= INK * resized.max())


def _inside(picture: Array, ink: Array) -> Array:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return picture
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def place_digits(digits: list[Digit], size: tuple[int, int], generator: np.random.Generator) -> None:
    """Give each digit a random place where it covers little of the others, if one is found."""
    placed = list[Digit]()
    for digit in digits:
        highest = np.array(size) - digit.pixels.shape
        for _ in range(MAX_TRIES):
            digit.place = generator.integers(0, highest + 1).astype(np.float64)
            if all(_shared(digit.corners, other.corners) <= MAX_OVERLAP for other in placed):
                break
        placed.append(digit)


def _shared(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Return the common area as a share of the smaller box."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (first, second)]
    return max(width, 0) * max(height, 0) / min(areas)


def background(size: tuple[int, int], clutter: int, others: Array, generator: np.random.Generator) -> Array:
    """Draw strokes, and pieces of other digits, of each at most so many."""
    from PIL import Image, ImageDraw

    image = Image.new("L", size[::-1])
    draw = ImageDraw.Draw(image)
    for _ in range(generator.integers(0, clutter + 1)):
        ends = (generator.random((2, 2)) * size[::-1]).ravel().tolist()
        draw.line(ends, int(generator.integers(DIMMEST, BRIGHTEST)), int(generator.integers(1, 3)))
    canvas = np.array(image)
    for _ in range(generator.integers(0, clutter + 1)):
        other = others[generator.integers(len(others))]
        top, left = generator.integers(4, 24 - FRAGMENT, 2)
        piece = np.rot90(other[top : top + FRAGMENT, left : left + FRAGMENT], int(generator.integers(4)))
        top, left = (int(generator.integers(0, side - FRAGMENT + 1)) for side in size)
        part = canvas[top : top + FRAGMENT, left : left + FRAGMENT]
        np.maximum(part, piece, out=part)
    return canvas


def frames(digits: list[Digit], canvas: Array, count: int, generator: np.random.Generator) -> Iterator[Frame]:
    """Yield the frames: digits over the background, then noise."""
    size = canvas.shape[0], canvas.shape[1]
    for _ in range(count):
        picture, mask, objects = canvas.copy(), np.zeros(size, dtype=np.uint8), list[PictureObject]()
        for number, digit in enumerate(digits, start=1):
            left, top, right, bottom = digit.corners
            part = picture[top:bottom, left:right]
            np.maximum(part, digit.pixels, out=part)
            mask[top:bottom, left:right][digit.ink] = digit.code + 1
            box = float(left), float(top), float(right), float(bottom)
            objects.append(PictureObject(digit.name, box, number if count > 1 else 0))
        noisy = picture + NOISE * generator.standard_normal(size)
        yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8), mask, objects
        for digit in digits:
            digit.move(size)
