"""A walk through the graph of a Keras network, call by call and into nested models; each value is kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import keras

WORDS = {"Conv2D": "convolution", "SeparableConv2D": "convolution", "DepthwiseConv2D": "convolution by map"}
BENDING = ("BatchNormalization", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU")  # belong to the layer before them
KEEPING = ("Dropout", "SpatialDropout2D", "MaxPooling2D", "AveragePooling2D", "ZeroPadding2D", "Rescaling")
PARTED = ("Conv2D", "Dense")  # whose activation is taken apart

Place = tuple[int, keras.KerasTensor]  # which call made a tensor


@dataclass(frozen=True)
class Hidden:
    """A layer with weights, together with what normalises and bends it."""

    layer: keras.layers.Layer
    drive: keras.KerasTensor  # before it is bent
    output: keras.KerasTensor


class GraphWalker:
    """One walk through all calls of a network, in the order in which they are made."""

    def __init__(self, nudged: int) -> None:
        self.nudged = nudged
        self.nudges: list[keras.KerasTensor] = []
        self.calls = -1
        self.named: dict[str, Any] = {}
        self.hidden: dict[int, Hidden] = {}
        self.before: dict[int, keras.KerasTensor] = {}  # what a softmax or sigmoid was made of
        self.kept: list[keras.KerasTensor] = []  # so that no id is given twice
        self.maps: Place | None = None
        self.embedded: Place | None = None

    def through(self, network: keras.Model, *inputs: Any) -> Any:
        """Repeat each call of a network on other inputs; Keras has no public way to do it call by call."""
        graph = keras.Model(network.inputs, network.outputs) if isinstance(network, keras.Sequential) else network
        found = graph._run_through_graph(inputs, call_fn=self._call)  # noqa: SLF001
        return found[0] if isinstance(found, list | tuple) and len(found) == 1 else found

    @property
    def layers(self) -> dict[str, Hidden]:
        """Return the layers with weights but the last, which answers; by names that count layers of a kind."""
        inner = [*self.hidden.values()][:-1]
        return _renamed([one for one in inner if one.layer.name != "output"])

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
            output = AddPerturbation()(output, self.nudges[0])
        self.kept.append(output)
        self._remember(operation, args, output)
        return output

    def _remember(self, operation: Any, args: Any, output: keras.KerasTensor) -> None:
        kind, place = type(operation).__name__, (self.calls, output)
        if kind == "Embedding":
            self.embedded = self.embedded or place
        elif _weighty(operation):
            self.hidden.setdefault(id(operation), Hidden(operation, output, output))
        elif kind in BENDING or kind in ("Gelu", "Relu", "Tanh"):
            self._bent(kind, args, output)
        if kind == "Activation" and operation.activation in (keras.activations.softmax, keras.activations.sigmoid):
            self.before[id(output)] = args[0]
        if spatial(output) and kind not in KEEPING:
            self.maps = place

    def _bent(self, kind: str, args: Any, output: keras.KerasTensor) -> None:
        """Count it to the layer whose output it takes."""
        for name, one in self.hidden.items():
            if args and args[0] is one.output:
                drive = output if kind == "BatchNormalization" and one.drive is one.output else one.drive
                self.hidden[name] = Hidden(one.layer, drive, output)


class AddPerturbation(keras.layers.Layer):  # type: ignore[misc]
    """Adds what is varied; which steps are padding stays known."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def call(self, x: keras.KerasTensor, by: keras.KerasTensor) -> keras.KerasTensor:
        """Add."""
        return x + by

    def compute_output_spec(self, x: keras.KerasTensor, by: keras.KerasTensor) -> keras.KerasTensor:
        """Return what comes out; Keras takes some dense maps for sparse ones, and would not add to them."""
        return keras.KerasTensor(by.shape, by.dtype)


def _linear(layer: Any, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Call the layer without its activation."""
    twin = type(layer).from_config({**layer.get_config(), "activation": "linear", "name": name})
    twin.build(x.shape)
    twin.set_weights(layer.get_weights())
    return twin(x)


def _weighty(operation: Any) -> bool:
    return any(len(weight.shape) > 1 for weight in getattr(operation, "weights", []))


def spatial(tensor: keras.KerasTensor) -> bool:
    """Return whether it is maps of more than one place."""
    return len(tensor.shape) == 4 and min(tensor.shape[1:3]) > 1


def _renamed(hidden: list[Hidden]) -> dict[str, Hidden]:
    """Count layers of a kind."""
    seen: Counter[str] = Counter()
    named = {}
    for one in hidden:
        kind = WORDS.get(type(one.layer).__name__, type(one.layer).__name__.lower())
        seen[kind] += 1
        named[f"{kind} {seen[kind]}"] = one
    return named
