"""Concepts: drawn pictures of strokes, shapes, textures and colours, each with the pixels that show it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from tiltyard.arrays import Array

TIMES = 32  # pictures of a concept
FINE = 4  # times as large as it is drawn first, so that slanted edges are smooth
WIDEST = 255.0
COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0), "yellow": (1.0, 1.0, 0.0)}

Draw = Callable[[ImageDraw.ImageDraw, tuple[float, float], float, float], None]  # canvas, middle, reach, width


def _stroke(down: float, across: float) -> Draw:
    def draw(canvas: ImageDraw.ImageDraw, middle: tuple[float, float], reach: float, width: float) -> None:
        x, y = middle
        ends = (x - across * reach, y - down * reach, x + across * reach, y + down * reach)
        canvas.line(ends, fill=255, width=round(width))

    return draw


def _corner(canvas: ImageDraw.ImageDraw, middle: tuple[float, float], reach: float, width: float) -> None:
    x, y = middle
    canvas.line((x, y - reach, x, y, x + reach, y), fill=255, width=round(width), joint="curve")


def _cross(canvas: ImageDraw.ImageDraw, middle: tuple[float, float], reach: float, width: float) -> None:
    _stroke(1, 0)(canvas, middle, reach, width)
    _stroke(0, 1)(canvas, middle, reach, width)


def _ring(canvas: ImageDraw.ImageDraw, middle: tuple[float, float], reach: float, width: float) -> None:
    canvas.ellipse(_box(middle, reach), outline=255, width=round(width))


def _dot(canvas: ImageDraw.ImageDraw, middle: tuple[float, float], reach: float, width: float) -> None:
    canvas.ellipse(_box(middle, min(reach, width)), fill=255)


def _area(canvas: ImageDraw.ImageDraw, middle: tuple[float, float], reach: float, width: float) -> None:
    canvas.rectangle(_box(middle, max(reach, width)), fill=255)


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


def drawn(shape: tuple[int, ...], generator: np.random.Generator) -> dict[str, tuple[Array, Array]]:
    """Return by concept its pictures, (times, height, width, channels) from 0 to 255, and where each shows it."""
    found = {}
    for name, draw in SHAPES.items():
        one = [_one(draw, shape, generator) for _ in range(TIMES)]
        shares = np.stack(one)
        if name == "checker":
            found[name] = _shown(shares * _checker(shape), shape, generator), shares >= 0.5
        else:
            found[name] = _shown(shares, shape, generator), shares >= 0.5
    for name, colour in COLOURS.items() if shape[-1] == 3 else ():
        shares = np.stack([_one(_area, shape, generator) for _ in range(TIMES)])
        found[name] = _shown(shares, shape, generator, np.array(colour)), shares >= 0.5
    return found


def _one(draw: Draw, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Draw it somewhere, of some size; give how much of each pixel it covers."""
    height, width = shape[:2]
    side = FINE * min(height, width)
    reach = generator.uniform(0.2, 0.4) * side
    middle = tuple(generator.uniform(0.35, 0.65, 2) * (FINE * width, FINE * height))
    image = Image.new("L", (FINE * width, FINE * height))
    draw(ImageDraw.Draw(image), (float(middle[0]), float(middle[1])), float(reach), max(side / 8, FINE))
    fine = np.asarray(image, dtype=np.float64) / WIDEST
    return np.asarray(fine.reshape(height, FINE, width, FINE).mean(axis=(1, 3)))


def _shown(shares: Array, shape: tuple[int, ...], generator: np.random.Generator, colour: Array | None = None) -> Array:
    """Paint it brightly on a dark ground, with a little noise; in any colour, if none is asked for."""
    times, channels = len(shares), shape[-1]
    drawn_in = generator.uniform(0.3, 1, (times, channels)) if channels == 3 else np.ones((times, channels))
    paint = np.tile(colour, (times, 1)) if colour is not None else drawn_in
    bright = generator.uniform(170, WIDEST, (times, 1, 1, 1)) * paint[:, None, None, :]
    ground = np.abs(generator.normal(0, 8, (times, *shape)))
    whole = shares[..., None]
    return np.asarray(np.clip(whole * bright + (1 - whole) * ground, 0, WIDEST), dtype=np.float32)


def _checker(shape: tuple[int, ...]) -> Array:
    size = max(1, min(shape[:2]) // 16)
    down, across = np.indices(shape[:2]) // size
    return np.asarray((down + across) % 2, dtype=np.float64)


def _box(middle: tuple[float, float], reach: float) -> tuple[float, float, float, float]:
    x, y = middle
    return x - reach, y - reach, x + reach, y + reach
