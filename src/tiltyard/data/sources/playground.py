"""Generated points of two coordinates in known shapes, as in introductions to neural networks.

Of the shapes with two labels, a line separates only `gaussian`, two clouds side by side. `plane` has a number for each
point.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace

LABELS = ("negative", "positive")
RADIUS = 5.0  # of each shape
INNER, OUTER = 0.5, 0.7  # shares of the radius: end of the inner disc and start of the ring of the circle
GAP = 0.3  # distance of each point of xor from both axes
CENTRE = 2.0  # of the clouds, along both axes
TURNS = 1.75  # of each arm of the spiral
Points = tuple[Array, Array]  # coordinates (rows, 2), and the label or number of each point


class Playground(Source):
    """Points of a shape; `noise` is the standard deviation of what is added to each coordinate."""

    kind: Literal["playground"]
    shape: Literal["circle", "xor", "gaussian", "spiral", "plane"] = Field(
        description="The shape of the points; the values of `plane` are numbers, the others have labels."
    )
    rows: int = Field(500, ge=20, description="How many rows to make.")
    noise: float = Field(0.0, ge=0, description="Standard deviation of what is added to each coordinate.")
    seed: int = Field(0, description="Seed of the pseudo-random numbers.")

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.csv with x1, x2, and label or value, in random order."""
        rng = np.random.default_rng(self.seed)
        points, targets = SHAPES[self.shape](self.rows, rng)
        points = points + rng.normal(0, self.noise, points.shape)
        numbers = self.shape == "plane"
        cells = [f"{target:.9g}" if numbers else LABELS[int(target)] for target in targets]
        order = rng.permutation(self.rows)
        lines = [f"{points[row, 0]:.9g},{points[row, 1]:.9g},{cells[row]}" for row in order]
        header = f"x1,x2,{'value' if numbers else 'label'}"
        files.write_text(folder / "table.csv", "\n".join([header, *lines]) + "\n")


def _circle(rows: int, rng: np.random.Generator) -> Points:
    """Return a disc of positive points inside a ring of negative ones."""
    positive = np.arange(rows) % 2
    distance = RADIUS * np.where(positive, rng.uniform(0, INNER, rows), rng.uniform(OUTER, 1, rows))
    return _at(distance, rng.uniform(0, 2 * np.pi, rows)), positive


def _xor(rows: int, rng: np.random.Generator) -> Points:
    """Return points of a square: positive where both coordinates have the same sign."""
    points = rng.uniform(-RADIUS, RADIUS, (rows, 2))
    points += np.copysign(GAP, points)
    return points, (points.prod(axis=1) > 0).astype(np.int64)


def _gaussian(rows: int, rng: np.random.Generator) -> Points:
    """Return two normal clouds: positive above and to the right."""
    positive = np.arange(rows) % 2
    return rng.normal(0, 1, (rows, 2)) + CENTRE * (2 * positive - 1)[:, None], positive


def _spiral(rows: int, _: np.random.Generator) -> Points:
    """Return two arms around each other."""
    positive = np.arange(rows) % 2
    along = (np.arange(rows) // 2) / (rows / 2)
    return _at(RADIUS * along, 2 * np.pi * TURNS * along + np.pi * positive), positive


def _plane(rows: int, rng: np.random.Generator) -> Points:
    """Return points of a square with a tenth of the sum of their coordinates."""
    points = rng.uniform(-RADIUS, RADIUS, (rows, 2))
    return points, points.sum(axis=1) / 10


def _at(distance: Array, angle: Array) -> Array:
    return np.stack([distance * np.sin(angle), distance * np.cos(angle)], axis=1)


SHAPES: dict[str, Callable[[int, np.random.Generator], Points]] = {
    "circle": _circle,
    "xor": _xor,
    "gaussian": _gaussian,
    "spiral": _spiral,
    "plane": _plane,
}
