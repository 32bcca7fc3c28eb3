"""Feature network: a fixed function from pixels to some numbers, in which distances of samples from rows are measured.

It is a small classifier of the training rows' labels, up to its last hidden layer; principal components without labels.
Its weights are plain arrays, computed by NumPy, so that every backend and every model is measured by the same features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics.principal_components import PrincipalComponents

FEATURES = 32


@dataclass(frozen=True)
class FeatureNetwork:
    """Layers with rectified outputs up to the features, and a layer to the classes; one linear layer without labels."""

    kernels: list[Array]
    biases: list[Array]
    labels: int = 0  # units of the last layer; 0 if there is none

    @classmethod
    def principal(cls, pixels: Array) -> FeatureNetwork:
        """Return principal components as the features."""
        components = PrincipalComponents.of(pixels, min(FEATURES, *pixels.shape))
        kernel = components.directions.T
        return cls([kernel], [-components.mean @ kernel])

    def features(self, pixels: Array) -> Array:
        """Return the features of rows of pixels from 0 to 1."""
        values = pixels.reshape(len(pixels), -1).astype(np.float32)
        hidden = len(self.kernels) - 1 if self.labels else len(self.kernels)
        for kernel, bias in zip(self.kernels[:hidden], self.biases[:hidden], strict=True):
            values = values @ kernel + bias
            values = np.maximum(values, 0) if self.labels else values
        return values

    def classes(self, features: Array) -> Array:
        """Return the index of the most probable class for features."""
        return np.asarray((features @ self.kernels[-1] + self.biases[-1]).argmax(axis=1))

    def save(self, path: Path) -> None:
        """Write the weights."""
        arrays = {f"kernel_{place}": kernel for place, kernel in enumerate(self.kernels)}
        arrays |= {f"bias_{place}": bias for place, bias in enumerate(self.biases)}
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, labels=np.array(self.labels), **arrays)

    @classmethod
    def load(cls, path: Path) -> FeatureNetwork:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            count = (len(arrays.files) - 1) // 2
            kernels, biases = ([arrays[f"{part}_{place}"] for place in range(count)] for part in ("kernel", "bias"))
            return cls(kernels, biases, int(arrays["labels"]))
