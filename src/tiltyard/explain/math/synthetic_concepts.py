"""Synthetic concepts for network dissection: drawn images of strokes, shapes, textures and colours, with masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from tiltyard.arrays import Array

IMAGES_PER_CONCEPT = 32
OVERSAMPLING = 4  # shapes are drawn this many times larger first, so that slanted edges are smooth
MAX_PIXEL = 255.0
COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0), "yellow": (1.0, 1.0, 0.0)}

Draw = Callable[[ImageDraw.ImageDraw, tuple[float, float], float, float], None]  # canvas, centre, radius, width


def _stroke(down: float, across: float) -> Draw:
    def draw(canvas: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, width: float) -> None:
        x, y = centre
        ends = (x - across * radius, y - down * radius, x + across * radius, y + down * radius)
        canvas.line(ends, fill=255, width=round(width))

    return draw


def _corner(canvas: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, width: float) -> None:
    x, y = centre
    canvas.line((x, y - radius, x, y, x + radius, y), fill=255, width=round(width), joint="curve")


def _cross(canvas: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, width: float) -> None:
    _stroke(1, 0)(canvas, centre, radius, width)
    _stroke(0, 1)(canvas, centre, radius, width)


def _ring(canvas: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, width: float) -> None:
    canvas.ellipse(_box(centre, radius), outline=255, width=round(width))


def _dot(canvas: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, width: float) -> None:
    canvas.ellipse(_box(centre, min(radius, width)), fill=255)


def _area(canvas: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, width: float) -> None:
    canvas.rectangle(_box(centre, max(radius, width)), fill=255)


SHAPES: dict[str, Draw] = {
    "vertical stroke": _stroke(1, 0),
    "horizontal stroke": _stroke(0, 1),
    "rising stroke": _stroke(-0.7, 0.7),
    "falling stroke": _stroke(0.7, 0.7),
    "ring": _ring,
    "corner": _corner,
    "cross": _cross,
    "dot": _dot,
    "filled area": _area,
    "checker": _area,
}


def draw_concepts(shape: tuple[int, ...], generator: np.random.Generator) -> dict[str, tuple[Array, Array]]:
    """Return by concept its images, (count, height, width, channels) from 0 to 255, and the masks of its pixels."""
    concepts = {}
    for name, draw in SHAPES.items():
        masks = [_coverage(draw, shape, generator) for _ in range(IMAGES_PER_CONCEPT)]
        shares = np.stack(masks)
        if name == "checker":
            concepts[name] = _paint(shares * _checker(shape), shape, generator), shares >= 0.5
        else:
            concepts[name] = _paint(shares, shape, generator), shares >= 0.5
    for name, colour in COLOURS.items() if shape[-1] == 3 else ():
        shares = np.stack([_coverage(_area, shape, generator) for _ in range(IMAGES_PER_CONCEPT)])
        concepts[name] = _paint(shares, shape, generator, np.array(colour)), shares >= 0.5
    return concepts


def _coverage(draw: Draw, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Draw the shape at a random position and size; return the share of each pixel that it covers."""
    height, width = shape[:2]
    side = OVERSAMPLING * min(height, width)
    radius = generator.uniform(0.2, 0.4) * side
    centre = tuple(generator.uniform(0.35, 0.65, 2) * (OVERSAMPLING * width, OVERSAMPLING * height))
    image = Image.new("L", (OVERSAMPLING * width, OVERSAMPLING * height))
    draw(ImageDraw.Draw(image), (float(centre[0]), float(centre[1])), float(radius), max(side / 8, OVERSAMPLING))
    fine = np.asarray(image, dtype=np.float64) / MAX_PIXEL
    return np.asarray(fine.reshape(height, OVERSAMPLING, width, OVERSAMPLING).mean(axis=(1, 3)))


def _paint(shares: Array, shape: tuple[int, ...], generator: np.random.Generator, colour: Array | None = None) -> Array:
    """Paint shapes brightly on a dark, slightly noisy background; in random colours unless one is given."""
    count, channels = len(shares), shape[-1]
    random_colours = generator.uniform(0.3, 1, (count, channels)) if channels == 3 else np.ones((count, channels))
    paint = np.tile(colour, (count, 1)) if colour is not None else random_colours
    bright = generator.uniform(170, MAX_PIXEL, (count, 1, 1, 1)) * paint[:, None, None, :]
    background = np.abs(generator.normal(0, 8, (count, *shape)))
    alpha = shares[..., None]
    return np.asarray(np.clip(alpha * bright + (1 - alpha) * background, 0, MAX_PIXEL), dtype=np.float32)


def _checker(shape: tuple[int, ...]) -> Array:
    size = max(1, min(shape[:2]) // 16)
    down, across = np.indices(shape[:2]) // size
    return np.asarray((down + across) % 2, dtype=np.float64)


def _box(centre: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    x, y = centre
    return x - radius, y - radius, x + radius, y + radius
