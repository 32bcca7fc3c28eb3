"""Activations and gradients of any Keras network: hidden layers, feature maps, embeddings, scores before softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.gradients import ValueAndGradient, value_and_gradient
from tiltyard.explain.math.keras_graph import CallOutput, GraphWalker, HiddenLayer, is_spatial

MAX_BATCH_VALUES = 1 << 17  # feature values of the rows of one batch
TINY = 1e-9  # added to a probability before its logarithm


@dataclass(frozen=True)
class NetworkView:
    """A flat view of a network, nested or not, that shares its weights."""

    network: keras.Model
    labels: bool
    inputs: list[keras.KerasTensor]  # features, and the perturbation if a call is perturbed
    output: keras.KerasTensor
    scores: keras.KerasTensor  # (rows, labels) before softmax, or (rows, 1) for numbers
    hidden: dict[str, HiddenLayer]
    feature_maps: CallOutput | None  # the last feature maps, and the number of the call that made them
    embedding: CallOutput | None  # the word vectors

    def submodel(self, *tensors: keras.KerasTensor) -> keras.Model:
        """Return the network up to some tensors."""
        return keras.Model(self.inputs if len(self.inputs) > 1 else self.inputs[0], [*tensors])

    def activations(self, features: Array, tensors: Sequence[keras.KerasTensor]) -> list[Array]:
        """Return the activations of rows: one array for each tensor."""
        model, size = self.submodel(*tensors), max(1, MAX_BATCH_VALUES // int(np.prod(features.shape[1:])))
        starts = range(0, len(features), size)
        batched = [keras.tree.flatten(model(features[i : i + size].astype(np.float32), training=False)) for i in starts]
        return [np.concatenate([np.asarray(values) for values in batches]) for batches in zip(*batched, strict=True)]

    def top_outputs(self, features: Array) -> Array:
        """Return the index of the largest score of each row."""
        indices: Array = self.activations(features, [self.scores])[0].argmax(axis=-1)
        return indices.astype(np.int32)

    @cached_property
    def gradients(self) -> ValueAndGradient:
        """Return scores and their gradients with respect to the features, for features and output indices."""
        return value_and_gradient(self.score_function)

    @cached_property
    def feature_map_gradients(self) -> ValueAndGradient:
        """Return the same with respect to the last feature maps, for maps, features and output indices."""
        return self._perturbed(self.feature_maps)

    @cached_property
    def embedding_gradients(self) -> ValueAndGradient:
        """Return the same with respect to the word embeddings, for vectors, features and output indices."""
        return self._perturbed(self.embedding)

    def _perturbed(self, call: CallOutput | None) -> ValueAndGradient:
        """Differentiate by an added input of zeros, which leaves everything after the tensor as it was."""
        assert call  # noqa: S101 - for the type checker: callers check first whether there is one
        score = open_network(self.network, labels=self.labels, perturbed_call=call[0]).score_function
        function = value_and_gradient(lambda perturbation, features, indices: score(features, perturbation, indices))
        return lambda tensor, features, indices: function(np.zeros_like(tensor), features, indices)

    @property
    def score_function(self) -> Callable[..., Any]:
        """Return the function that computes the scores at output indices: inputs in their order, then indices."""
        part = self.submodel(self.scores)

        def score(*arguments: Any) -> Any:
            *inputs, indices = arguments
            (scores,) = keras.tree.flatten(part(inputs if len(inputs) > 1 else inputs[0], training=False))
            return keras.ops.take_along_axis(scores, indices[:, None], axis=1)[:, 0]

        return score

    @property
    def convolutions(self) -> dict[str, HiddenLayer]:
        """The hidden layers whose output is feature maps."""
        return {name: layer for name, layer in self.hidden.items() if is_spatial(layer.output)}


def open_network(network: keras.Model, *, labels: bool, perturbed_call: int = -1) -> NetworkView:
    """Walk through a network; at the call numbered `perturbed_call` a second input is added to the tensor."""
    walker = GraphWalker(perturbed_call)
    features = keras.Input(network.input_shape[1:], name="features")
    output = walker.run(network, features)
    before_softmax = walker.preactivations.get(id(output))
    known = labels and before_softmax is not None
    scores = _Scores(labels=labels, before_softmax=known)(before_softmax if known else output)
    inputs = [features, *walker.perturbations]
    return NetworkView(network, labels, inputs, output, scores, walker.layers, walker.feature_maps, walker.embedding)


class _Scores(keras.layers.Layer):  # type: ignore[misc]
    """The scores before softmax, or the log of its probabilities where the graph does not show them.

    One layer with a name of its own: separate operations would get names that a loaded network may have already.
    """

    def __init__(self, *, labels: bool, before_softmax: bool) -> None:
        super().__init__(name="scores_of_labels", dtype="float32")
        self.labels = labels
        self.before_softmax = before_softmax

    def call(self, output: keras.KerasTensor) -> keras.KerasTensor:
        """Return (rows, labels), or (rows, 1) for numbers; `output` is that of the network, or before its softmax."""
        from keras import ops

        if not self.labels:
            mean_output = output[:, 0] if len(output.shape) == 3 else output
            return ops.mean(mean_output, axis=-1, keepdims=True)
        if output.shape[-1] > 1:
            return output if self.before_softmax else ops.log(output + TINY)
        log_odds = output if self.before_softmax else ops.log(output + TINY) - ops.log(1 + TINY - output)
        return ops.concatenate([-log_odds / 2, log_odds / 2], axis=-1)  # their softmax is the sigmoid


def mean_activation(part: keras.Model) -> Callable[..., Any]:
    """Return the function that computes the mean activation of a unit, with a small slope below zero."""

    def mean(features: Any, units: Any) -> Any:
        (feature_maps,) = keras.tree.flatten(part(features, training=False))
        of_unit = keras.ops.take_along_axis(feature_maps, units[:, None, None, None], axis=-1)
        return keras.ops.mean(keras.ops.leaky_relu(of_unit, 0.01), axis=(1, 2, 3))

    return mean


def loss_function(view: NetworkView) -> Callable[..., Any]:
    """Return the function that computes the loss of each row: cross-entropy for labels, absolute error for numbers."""
    from keras import ops

    part = view.submodel(view.scores)

    def loss(features: Any, truth: Any) -> Any:
        (scores,) = keras.tree.flatten(part(features, training=False))
        if not view.labels:
            return ops.abs(scores[:, 0] - truth)
        right = ops.take_along_axis(scores, truth[:, None], axis=1)[:, 0]
        return ops.logsumexp(scores, axis=1) - right

    return loss
