"""What is inside a network: its hidden layers one after the other, however it is nested, and scores before softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.gradients import Sloped, value_and_gradient
from tiltyard.explain.math.keras_graph import GraphWalker, Hidden, Place, spatial

AT_ONCE = 1 << 17  # numbers of rows that go through together
TINY = 1e-9  # of a probability


@dataclass(frozen=True)
class NetworkView:
    """A network without nesting, with the weights of the one that it was made of."""

    network: keras.Model
    labels: bool
    inputs: list[keras.KerasTensor]  # features; and what is added to the tensor of the call that is nudged
    output: keras.KerasTensor
    scores: keras.KerasTensor  # (rows, labels) before softmax, or (rows, 1), the number
    hidden: dict[str, Hidden]
    maps: Place | None  # the last maps, and which call made them
    embedded: Place | None  # the vectors of words

    def part(self, *tensors: keras.KerasTensor) -> keras.Model:
        """Return the network up to some tensors."""
        return keras.Model(self.inputs if len(self.inputs) > 1 else self.inputs[0], [*tensors])

    def see(self, features: Array, tensors: Sequence[keras.KerasTensor]) -> list[Array]:
        """Return what rows become on their way: an array for each tensor."""
        part, some = self.part(*tensors), max(1, AT_ONCE // int(np.prod(features.shape[1:])))
        starts = range(0, len(features), some)
        seen = [keras.tree.flatten(part(features[i : i + some].astype(np.float32), training=False)) for i in starts]
        return [np.concatenate([np.asarray(one) for one in of]) for of in zip(*seen, strict=True)]

    def answers(self, features: Array) -> Array:
        """Return the place of the largest score of each row."""
        places: Array = self.see(features, [self.scores])[0].argmax(axis=-1)
        return places.astype(np.int32)

    @cached_property
    def slopes(self) -> Sloped:
        """Return , for features and places, the scores there and their slopes by the features."""
        return value_and_gradient(self.chosen)

    @cached_property
    def slopes_of_maps(self) -> Sloped:
        """Return , for maps, features and places, the same by the last maps."""
        return self._nudged(self.maps)

    @cached_property
    def slopes_of_words(self) -> Sloped:
        """Return , for vectors of words, features and places, the same by the vectors."""
        return self._nudged(self.embedded)

    def _nudged(self, at: Place | None) -> Sloped:
        """Vary a tensor by adding zeros to it: all that follows is then as it was, however it branches."""
        assert at  # noqa: S101 - for the type checker: who asks has looked whether there is one
        score = opened(self.network, labels=self.labels, nudged=at[0]).chosen
        found = value_and_gradient(lambda nudge, features, places: score(features, nudge, places))
        return lambda tensor, features, places: found(np.zeros_like(tensor), features, places)

    @property
    def chosen(self) -> Callable[..., Any]:
        """Return the function that gives the score at a place for what goes in: inputs in their order, then places."""
        part = self.part(self.scores)

        def score(*given: Any) -> Any:
            *inputs, places = given
            (scores,) = keras.tree.flatten(part(inputs if len(inputs) > 1 else inputs[0], training=False))
            return keras.ops.take_along_axis(scores, places[:, None], axis=1)[:, 0]

        return score

    @property
    def convolutions(self) -> dict[str, Hidden]:
        """The hidden layers that make maps."""
        return {name: one for name, one in self.hidden.items() if spatial(one.output)}


def opened(network: keras.Model, *, labels: bool, nudged: int = -1) -> NetworkView:
    """Walk through a network; `nudged` is the number of a call to whose tensor a second input is added."""
    walk = GraphWalker(nudged)
    features = keras.Input(network.input_shape[1:], name="features")
    output = walk.through(network, features)
    inner = walk.before.get(id(output))
    scores = _scores(output, inner, labels=labels)
    inputs = [features, *walk.nudges]
    return NetworkView(network, labels, inputs, output, scores, walk.layers, walk.maps, walk.embedded)


def _scores(output: keras.KerasTensor, inner: keras.KerasTensor | None, *, labels: bool) -> keras.KerasTensor:
    """Return what is largest for the answer; where there is nothing before the softmax, logarithms of its shares."""
    from keras import ops

    if not labels:
        middle = output[:, 0] if len(output.shape) == 3 else output
        return ops.mean(middle, axis=-1, keepdims=True)
    if output.shape[-1] > 1:
        return ops.log(output + TINY) if inner is None else inner
    odds = ops.log(output + TINY) - ops.log(1 + TINY - output) if inner is None else inner
    return ops.concatenate([-odds / 2, odds / 2], axis=-1)  # of which the softmax is the sigmoid again


def fired(part: keras.Model) -> Callable[..., Any]:
    """Return the function of how much a unit of maps fires: mostly where it does, a little where it does not."""

    def mean(features: Any, units: Any) -> Any:
        (maps,) = keras.tree.flatten(part(features, training=False))
        of_unit = keras.ops.take_along_axis(maps, units[:, None, None, None], axis=-1)
        return keras.ops.mean(keras.ops.leaky_relu(of_unit, 0.01), axis=(1, 2, 3))

    return mean


def missed(inside: NetworkView) -> Callable[..., Any]:
    """Return the function that says by how much truths are missed: the loss of a label, the error of a number."""
    from keras import ops

    part = inside.part(inside.scores)

    def of(features: Any, truth: Any) -> Any:
        (scores,) = keras.tree.flatten(part(features, training=False))
        if not inside.labels:
            return ops.abs(scores[:, 0] - truth)
        right = ops.take_along_axis(scores, truth[:, None], axis=1)[:, 0]
        return ops.logsumexp(scores, axis=1) - right

    return of
