"""Source `pulses`: a generated signal of pulses whose rate and height drift, with labelled spikes and level shifts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tiltyard import files
from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace

SHARPNESS = 4.0  # of a pulse
DRIFT = 0.03  # standard deviation of a step of rate and height, which return to their means
SHIFT_STEPS = (10, 40)  # how long a level shift lasts
SPACE = 100  # steps between the beginnings of two faults at least, so that most windows are normal


class Pulses(Source):
    """A pulse about every `period` steps; spikes stay within the range of the signal, so that only their place is odd.

    The column fault holds none, spike or shift.
    """

    kind: Literal["pulses"]
    rows: int = Field(12_000, ge=1000)
    period: float = Field(20.0, ge=4)
    noise: float = Field(0.03, ge=0)
    spike: float = Field(0.3, gt=0, description="Smallest size of a spike; the largest is twice as much.")
    shift: float = Field(0.15, gt=0, description="Size of a level shift.")
    faults: int = Field(60, ge=1, description="How many spikes, and how many level shifts.")
    seed: int = 0

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write series.csv with the columns step, value and fault."""
        rng = np.random.default_rng(self.seed)
        value = _signal(self, rng)
        label = np.full(self.rows, "none", dtype=object)
        slots = rng.permutation(np.arange(1, self.rows // SPACE - 1))[: 2 * self.faults] * SPACE
        for place, start in enumerate(slots):
            if place % 2:
                end = start + rng.integers(*SHIFT_STEPS)
                value[start:end] += self.shift * rng.choice([-1, 1])
                label[start:end] = "shift"
            else:
                size = self.spike * rng.uniform(1, 2)
                value[start] += size if value[start] < 1 / 2 else -size
                label[start] = "spike"
        lines = [f"{step},{x:.6g},{name}" for step, (x, name) in enumerate(zip(value, label, strict=True))]
        files.write_text(folder / "series.csv", "\n".join(["step,value,fault", *lines]) + "\n")


def _signal(source: Pulses, rng: np.random.Generator) -> np.ndarray:
    """Return pulses of drifting rate and height with noise."""
    rate, height = (_drifting(source.rows, rng) for _ in range(2))
    phase = np.cumsum(2 * np.pi / source.period * rate)
    pulses: np.ndarray = height * np.exp(SHARPNESS * (np.cos(phase) - 1))
    return pulses + source.noise * rng.normal(size=source.rows)


def _drifting(steps: int, rng: np.random.Generator) -> np.ndarray:
    """Return a value that wanders around 1."""
    value, values = 1.0, np.empty(steps)
    for step, move in enumerate(rng.normal(0, DRIFT, steps)):
        value += 0.05 * (1 - value) + move
        values[step] = value
    return np.clip(values, 0.6, 1.4)
