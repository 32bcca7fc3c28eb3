"""Source `digit_sums`: pictures of handwritten digits, each with a number beside it, and the sum of both."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tiltyard import files
from tiltyard.data.sources.base import Source
from tiltyard.data.sources.sklearn import Sklearn, digits
from tiltyard.workspace import Workspace


class DigitSums(Source):
    """The 1,797 digits of scikit-learn; the number beside a digit is drawn at random."""

    kind: Literal["digit_sums"]
    largest: int = Field(9, ge=1, description="The largest number beside a digit; the smallest is 0.")
    seed: int = Field(0, description="Seed of the pseudo-random numbers.")

    def version(self) -> str:
        """Return the versions of the libraries that contain and write the pictures."""
        return Sklearn(kind="sklearn", dataset="digits").version()

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.csv with the columns image, as Base64 of a PNG file, added and sum."""
        rng, text, pictures = np.random.default_rng(self.seed), io.StringIO(), [*digits()]
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "added", "sum"])
        added = rng.integers(0, self.largest + 1, len(pictures)).tolist()
        for (name, content), number in zip(pictures, added, strict=True):
            digit = int(name.partition("/")[0])
            writer.writerow([base64.b64encode(content).decode(), number, digit + number])
        files.write_text(folder / "table.csv", text.getvalue())
