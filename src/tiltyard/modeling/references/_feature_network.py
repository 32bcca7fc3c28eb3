"""Fits the feature network: a multilayer perceptron that classifies training rows."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics.feature_network import FEATURES, FeatureNetwork

UNITS = 128  # of the first hidden layer
MAX_ROWS = 20_000  # evenly spaced
EPOCHS = 10


def fit_feature_network(pixels: Array, labels: Array | None) -> FeatureNetwork:
    """Fit to rows of pixels from 0 to 1: by their labels, or principal components without any."""
    places = np.unique(np.linspace(0, len(pixels) - 1, min(MAX_ROWS, len(pixels))).astype(int))
    rows = pixels[places].reshape(len(places), -1)
    if labels is None:
        return FeatureNetwork.principal(rows)
    from sklearn.neural_network import MLPClassifier

    every = np.arange(int(labels.max()) + 1)
    classifier = MLPClassifier((UNITS, FEATURES), batch_size=min(128, len(rows)), random_state=0)
    for _ in range(EPOCHS):
        classifier.partial_fit(rows, labels[places].astype(np.int64), classes=every)
    kernels = [kernel.astype(np.float32) for kernel in classifier.coefs_]
    biases = [bias.astype(np.float32) for bias in classifier.intercepts_]
    if len(every) == 2:  # one unit: the score of the second class
        kernels[-1], biases[-1] = (np.concatenate([-part, part], axis=-1) for part in (kernels[-1], biases[-1]))
    return FeatureNetwork(kernels, biases, len(every))
