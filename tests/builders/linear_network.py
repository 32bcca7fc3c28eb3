"""A Keras network of one dense layer, whose gradients are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array

if TYPE_CHECKING:
    import keras

    from tiltyard.explain.math.network_view import NetworkView


def dense_network(weights: Array, activation: str = "softmax") -> keras.Model:
    """Build a network of one dense layer on flattened features."""
    import keras

    features = keras.Input(weights.shape[:-1])
    output = keras.layers.Dense(weights.shape[-1], activation=activation, name="output")
    model = keras.Model(features, output(keras.layers.Flatten()(features)))
    output.set_weights([weights.reshape(-1, weights.shape[-1]), np.zeros(weights.shape[-1])])
    return model


def view_of(network: keras.Model, *, labels: bool = True) -> NetworkView:
    """Return the view of a network's layers."""
    from tiltyard.explain.math.network_view import open_network

    return open_network(network, labels=labels)
