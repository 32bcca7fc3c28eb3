"""Histograms of colours and edges with a linear model, for images."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.models._histograms import histograms
from tiltyard.modeling.references.base import Reference
from tiltyard.modeling.references.linear import fit_linear

PIXELS = 4_000_000  # whose histograms are computed at once
STRENGTH = 1.0


class ImageHistograms(Reference):
    """Scores are `histograms(pixels) @ weights + bias`."""

    title: ClassVar = "colour and edge histograms with a linear model"
    modalities: ClassVar = ("image",)
    max_rows: ClassVar = 5_000
    max_cells: ClassVar = 50_000_000  # pixels
    max_width: ClassVar = 1_000_000
    refits: ClassVar = True
    places: ClassVar = False  # whether edges and colours are counted by cell of a grid, too

    weights: Array
    bias: Array

    def derived(self, features: Array) -> Array:
        """Return the histograms of images as they are encoded."""
        (_, (std,)) = self.subject.encoder.scaling()
        step = max(1, PIXELS // int(np.prod(features.shape[1:])))
        parts = (features[i : i + step].astype(np.float32) / np.float32(std) for i in range(0, len(features), step))
        return np.concatenate([histograms(part, places=self.places) for part in parts])

    def fit(self, features: Array, truth: Array) -> None:
        """Fit it to training rows; the scaling of the histograms becomes part of the weights."""
        derived = self.derived(features).astype(np.float64)
        mean, std = derived.mean(axis=0), derived.std(axis=0)
        std[std < 1e-4] = 1.0
        subject = self.subject
        scaled = (derived - mean) / std
        weights, bias = fit_linear(scaled, subject.targets(truth), subject.units, subject.weights(truth), STRENGTH)
        self.weights = weights / std[:, None]
        self.bias = bias - mean @ self.weights

    def scores(self, features: Array) -> Array:
        """Return a logit for each label, or standardised numbers."""
        return np.asarray(self.derived(features) @ self.weights + self.bias)
