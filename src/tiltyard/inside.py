"""What is inside a network: its hidden layers one after the other, however it is nested, and scores before softmax."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from tiltyard.column import Array
from tiltyard.gradients import Sloped, sloped

AT_ONCE = 1 << 17  # numbers of rows that go through together
WORDS = {"Conv2D": "convolution", "SeparableConv2D": "convolution", "DepthwiseConv2D": "convolution by map"}
BENDING = ("BatchNormalization", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU")  # belong to the layer before them
KEEPING = ("Dropout", "SpatialDropout2D", "MaxPooling2D", "AveragePooling2D", "ZeroPadding2D", "Rescaling")
PARTED = ("Conv2D", "Dense")  # whose activation is taken apart
TINY = 1e-9  # of a probability


@dataclass(frozen=True)
class Hidden:
    """A layer with weights, together with what normalises and bends it."""

    layer: keras.layers.Layer
    drive: keras.KerasTensor  # before it is bent
    output: keras.KerasTensor


@dataclass(frozen=True)
class Inside:
    """A network without nesting, with the weights of the one that it was made of."""

    network: keras.Model
    labels: bool
    inputs: list[keras.KerasTensor]  # features; and what is added to the tensor of the call that is nudged
    output: keras.KerasTensor
    scores: keras.KerasTensor  # (rows, labels) before softmax, or (rows, 1), the number
    hidden: dict[str, Hidden]
    maps: tuple[int, keras.KerasTensor] | None  # the last maps, and which call made them
    embedded: tuple[int, keras.KerasTensor] | None  # the vectors of words

    def part(self, *tensors: keras.KerasTensor) -> keras.Model:
        """Give the network up to some tensors."""
        return keras.Model(self.inputs if len(self.inputs) > 1 else self.inputs[0], [*tensors])

    def see(self, features: Array, tensors: Sequence[keras.KerasTensor]) -> list[Array]:
        """Give what rows become on their way: an array for each tensor."""
        part, some = self.part(*tensors), max(1, AT_ONCE // int(np.prod(features.shape[1:])))
        starts = range(0, len(features), some)
        seen = [keras.tree.flatten(part(features[i : i + some].astype(np.float32), training=False)) for i in starts]
        return [np.concatenate([np.asarray(one) for one in of]) for of in zip(*seen, strict=True)]

    def answers(self, features: Array) -> Array:
        """Give the place of the largest score of each row."""
        places: Array = self.see(features, [self.scores])[0].argmax(axis=-1)
        return places.astype(np.int32)

    @cached_property
    def slopes(self) -> Sloped:
        """Give, for features and places, the scores there and their slopes by the features."""
        return sloped(self.chosen)

    @cached_property
    def slopes_of_maps(self) -> Sloped:
        """Give, for maps, features and places, the same by the last maps."""
        return self._nudged(self.maps)

    @cached_property
    def slopes_of_words(self) -> Sloped:
        """Give, for vectors of words, features and places, the same by the vectors."""
        return self._nudged(self.embedded)

    def _nudged(self, at: tuple[int, keras.KerasTensor] | None) -> Sloped:
        """Vary a tensor by adding zeros to it: all that follows is then as it was, however it branches."""
        assert at  # noqa: S101 - for the type checker: who asks has looked whether there is one
        score = opened(self.network, labels=self.labels, nudged=at[0]).chosen
        found = sloped(lambda nudge, features, places: score(features, nudge, places))
        return lambda tensor, features, places: found(np.zeros_like(tensor), features, places)

    @property
    def chosen(self) -> Callable[..., Any]:
        """Give the function that gives the score at a place for what goes in: inputs in their order, then places."""
        part = self.part(self.scores)

        def score(*given: Any) -> Any:
            *inputs, places = given
            (scores,) = keras.tree.flatten(part(inputs if len(inputs) > 1 else inputs[0], training=False))
            return keras.ops.take_along_axis(scores, places[:, None], axis=1)[:, 0]

        return score

    @property
    def convolutions(self) -> dict[str, Hidden]:
        """The hidden layers that make maps."""
        return {name: one for name, one in self.hidden.items() if _spatial(one.output)}


def opened(network: keras.Model, *, labels: bool, nudged: int = -1) -> Inside:
    """Walk through a network; `nudged` is the number of a call to whose tensor a second input is added."""
    walk = _Walk(nudged)
    features = keras.Input(network.input_shape[1:], name="features")
    output = walk.through(network, features)
    inner = walk.before.get(id(output))
    scores = _scores(output, inner, labels=labels)
    last = list(walk.hidden)[-1:] if walk.hidden else []
    hidden = {name: one for name, one in walk.hidden.items() if name not in last and one.layer.name != "output"}
    inputs = [features, *walk.nudges]
    return Inside(network, labels, inputs, output, scores, _renamed(hidden), walk.maps, walk.embedded)


class _Walk:
    """One walk through all calls of a network, in the order in which they are made."""

    def __init__(self, nudged: int) -> None:
        self.nudged = nudged
        self.nudges: list[keras.KerasTensor] = []
        self.calls = -1
        self.named: dict[str, Any] = {}
        self.hidden: dict[str, Hidden] = {}
        self.before: dict[int, keras.KerasTensor] = {}  # what a softmax or sigmoid was made of
        self.kept: list[keras.KerasTensor] = []  # so that no id is given twice
        self.maps: tuple[int, keras.KerasTensor] | None = None
        self.embedded: tuple[int, keras.KerasTensor] | None = None

    def through(self, network: keras.Model, *inputs: Any) -> Any:
        """Repeat each call of a network on other inputs; Keras has no public way to do it call by call."""
        graph = keras.Model(network.inputs, network.outputs) if isinstance(network, keras.Sequential) else network
        found = graph._run_through_graph(inputs, call_fn=self._call)  # noqa: SLF001
        return found[0] if isinstance(found, list | tuple) and len(found) == 1 else found

    def _call(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.Model):
            return self.through(operation, *args)
        if self.named.setdefault(operation.name, operation) is not operation:
            operation.name = f"{operation.name}_{self.calls}"  # members of an ensemble share names, a graph must not
        kind = type(operation).__name__
        if kind in PARTED and operation.activation is not keras.activations.linear:
            drive = self._noted(operation, _linear(operation, args[0], f"linear_{self.calls}"))
            return self._noted(keras.layers.Activation(operation.activation, name=f"bent_{self.calls}"), None, drive)
        return self._noted(operation, None, *args, **kwargs)

    def _noted(self, operation: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
        output = operation(*args, **kwargs) if given is None else given
        self.calls += 1
        if not isinstance(output, keras.KerasTensor):
            return output
        if self.calls == self.nudged:
            self.nudges.append(keras.Input(output.shape[1:], dtype=output.dtype, name="varied"))
            output = Nudge()(output, self.nudges[0])
        self.kept.append(output)
        self._remember(operation, args, output)
        return output

    def _remember(self, operation: Any, args: Any, output: keras.KerasTensor) -> None:
        kind, place = type(operation).__name__, (self.calls, output)
        if kind == "Embedding":
            self.embedded = self.embedded or place
        elif _weighty(operation):
            name = f"{id(operation)}"
            self.hidden.setdefault(name, Hidden(operation, output, output))
        elif kind in BENDING or kind in ("Gelu", "Relu", "Tanh"):
            self._bent(kind, args, output)
        if kind == "Activation" and operation.activation in (keras.activations.softmax, keras.activations.sigmoid):
            self.before[id(output)] = args[0]
        if _spatial(output) and kind not in KEEPING:
            self.maps = place

    def _bent(self, kind: str, args: Any, output: keras.KerasTensor) -> None:
        """Count it to the layer whose output it takes."""
        for name, one in self.hidden.items():
            if args and args[0] is one.output:
                drive = output if kind == "BatchNormalization" and one.drive is one.output else one.drive
                self.hidden[name] = Hidden(one.layer, drive, output)


class Nudge(keras.layers.Layer):  # type: ignore[misc]
    """Adds what is varied; which steps are padding stays known."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def call(self, x: keras.KerasTensor, by: keras.KerasTensor) -> keras.KerasTensor:
        """Add."""
        return x + by

    def compute_output_spec(self, x: keras.KerasTensor, by: keras.KerasTensor) -> keras.KerasTensor:
        """Say what comes out; Keras takes some dense maps for sparse ones, and would not add to them."""
        return keras.KerasTensor(by.shape, by.dtype)


def _linear(layer: Any, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Call the layer without its activation."""
    twin = type(layer).from_config({**layer.get_config(), "activation": "linear", "name": name})
    twin.build(x.shape)
    twin.set_weights(layer.get_weights())
    return twin(x)


def _weighty(operation: Any) -> bool:
    return any(len(weight.shape) > 1 for weight in getattr(operation, "weights", []))


def _spatial(tensor: keras.KerasTensor) -> bool:
    return len(tensor.shape) == 4 and min(tensor.shape[1:3]) > 1


def _scores(output: keras.KerasTensor, inner: keras.KerasTensor | None, *, labels: bool) -> keras.KerasTensor:
    """Give what is largest for the answer; where there is nothing before the softmax, logarithms of its shares."""
    from keras import ops

    if not labels:
        middle = output[:, 0] if len(output.shape) == 3 else output
        return ops.mean(middle, axis=-1, keepdims=True)
    if output.shape[-1] > 1:
        return ops.log(output + TINY) if inner is None else inner
    odds = ops.log(output + TINY) - ops.log(1 + TINY - output) if inner is None else inner
    return ops.concatenate([-odds / 2, odds / 2], axis=-1)  # of which the softmax is the sigmoid again


def _renamed(hidden: dict[str, Hidden]) -> dict[str, Hidden]:
    """Count layers of a kind."""
    seen: Counter[str] = Counter()
    named = {}
    for one in hidden.values():
        kind = WORDS.get(type(one.layer).__name__, type(one.layer).__name__.lower())
        seen[kind] += 1
        named[f"{kind} {seen[kind]}"] = one
    return named


def fired(part: keras.Model) -> Callable[..., Any]:
    """Give the function that gives how much a unit of maps fires: mostly where it does, a little where it does not."""

    def mean(features: Any, units: Any) -> Any:
        (maps,) = keras.tree.flatten(part(features, training=False))
        of_unit = keras.ops.take_along_axis(maps, units[:, None, None, None], axis=-1)
        return keras.ops.mean(keras.ops.leaky_relu(of_unit, 0.01), axis=(1, 2, 3))

    return mean


def missed(inside: Inside) -> Callable[..., Any]:
    """Give the function that says by how much truths are missed: the loss of a label, the error of a number."""
    from keras import ops

    part = inside.part(inside.scores)

    def of(features: Any, truth: Any) -> Any:
        (scores,) = keras.tree.flatten(part(features, training=False))
        if not inside.labels:
            return ops.abs(scores[:, 0] - truth)
        right = ops.take_along_axis(scores, truth[:, None], axis=1)[:, 0]
        return ops.logsumexp(scores, axis=1) - right

    return of
