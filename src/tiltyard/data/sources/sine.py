"""Generated series of known difficulty: a slow sine with uniform noise, so that the best possible error is known."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace


class Sine(Source):
    """The series sin(0.02 t) + noise * u with u uniform in 0..1; the smallest squared error is noise**2 / 12."""

    kind: Literal["sine"]
    rows: int = Field(1000, ge=10, description="How many rows to make.")
    noise: float = Field(2.0, ge=0, description="The largest noise: each step adds a random number from 0 to this.")
    seed: int = Field(0, description="Seed of the pseudo-random numbers.")

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write series.csv with the columns step and value."""
        step = np.arange(self.rows)
        value = np.sin(0.02 * step) + self.noise * np.random.default_rng(self.seed).random(self.rows)
        lines = [f"{t},{x:.12g}" for t, x in zip(step, value, strict=True)]
        (folder / "series.csv").write_text("\n".join(["step,value", *lines]) + "\n", encoding="utf-8")
