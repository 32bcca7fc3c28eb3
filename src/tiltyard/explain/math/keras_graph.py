"""Traverse the graph of a Keras network call by call, through nested models, and record each layer's tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import keras

LAYER_NAMES = {"Conv2D": "convolution", "SeparableConv2D": "convolution", "DepthwiseConv2D": "convolution by map"}
# Counted as part of the layer before.
ATTACHED_LAYERS = (
    "BatchNormalization",
    "Activation",
    "ReLU",
    "LeakyReLU",
    "PReLU",
    "ELU",
)
PASS_THROUGH_LAYERS = ("Dropout", "SpatialDropout2D", "MaxPooling2D", "AveragePooling2D", "ZeroPadding2D", "Rescaling")
SPLIT_LAYERS = ("Conv2D", "Dense")  # their activation becomes a call of its own

CallOutput = tuple[int, keras.KerasTensor]  # number of the call, its output


@dataclass(frozen=True)
class HiddenLayer:
    """A layer with weights, together with the normalization and activation that follow it."""

    layer: keras.layers.Layer
    preactivation: keras.KerasTensor  # before the activation
    output: keras.KerasTensor


class GraphWalker:
    """One traversal of all calls of a network, in the order in which they are made."""

    def __init__(self, perturbed_call: int) -> None:
        self.perturbed_call = perturbed_call
        self.perturbations: list[keras.KerasTensor] = []
        self.calls = -1
        self.operations_by_name: dict[str, Any] = {}
        self.hidden: dict[int, HiddenLayer] = {}
        self.preactivations: dict[int, keras.KerasTensor] = {}  # by id of a softmax's or sigmoid's output: its input
        self.alive_tensors: list[keras.KerasTensor] = []  # keeps tensors alive, so that no id is used twice
        self.feature_maps: CallOutput | None = None
        self.embedding: CallOutput | None = None

    def run(self, network: keras.Model, *inputs: Any) -> Any:
        """Repeat each call of a network on other inputs; Keras has no public way to do this call by call."""
        graph = keras.Model(network.inputs, network.outputs) if isinstance(network, keras.Sequential) else network
        outputs = graph._run_through_graph(inputs, call_fn=self._call)  # noqa: SLF001
        return outputs[0] if isinstance(outputs, list | tuple) and len(outputs) == 1 else outputs

    @property
    def layers(self) -> dict[str, HiddenLayer]:
        """Return the hidden layers with weights, without the output layer, named by kind and number."""
        inner = [*self.hidden.values()][:-1]
        return _number_by_kind([hidden for hidden in inner if hidden.layer.name != "output"])

    def _call(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.Model):
            return self.run(operation, *args)
        if self.operations_by_name.setdefault(operation.name, operation) is not operation:
            operation.name = f"{operation.name}_{self.calls}"  # ensemble members share layer names
        kind = type(operation).__name__
        if kind in SPLIT_LAYERS and operation.activation is not keras.activations.linear:
            linear = _without_activation(operation, args[0], f"separate_linear_{self.calls}")
            preactivation = self._record(operation, linear)
            activation = keras.layers.Activation(operation.activation, name=f"separate_activation_{self.calls}")
            return self._record(activation, None, preactivation)
        return self._record(operation, None, *args, **kwargs)

    def _record(self, operation: Any, output_given: Any, *args: Any, **kwargs: Any) -> Any:
        output = operation(*args, **kwargs) if output_given is None else output_given
        self.calls += 1
        if not isinstance(output, keras.KerasTensor):
            return output
        if self.calls == self.perturbed_call:
            self.perturbations.append(keras.Input(output.shape[1:], dtype=output.dtype, name="perturbation"))
            output = AddPerturbation()(output, self.perturbations[0])
        self.alive_tensors.append(output)
        self._classify(operation, args, output)
        return output

    def _classify(self, operation: Any, args: Any, output: keras.KerasTensor) -> None:
        kind, place = type(operation).__name__, (self.calls, output)
        if kind == "Embedding":
            self.embedding = self.embedding or place
        elif _has_weights(operation):
            self.hidden.setdefault(id(operation), HiddenLayer(operation, output, output))
        elif kind in ATTACHED_LAYERS or kind in ("Gelu", "Relu", "Tanh"):
            self._attach(kind, args, output)
        if kind == "Activation" and operation.activation in (keras.activations.softmax, keras.activations.sigmoid):
            self.preactivations[id(output)] = args[0]
        if is_spatial(output) and kind not in PASS_THROUGH_LAYERS:
            self.feature_maps = place

    def _attach(self, kind: str, args: Any, output: keras.KerasTensor) -> None:
        """Add an activation or normalization to the hidden layer whose output it takes."""
        for name, hidden_layer in self.hidden.items():
            if args and args[0] is hidden_layer.output:
                normalized = kind == "BatchNormalization" and hidden_layer.preactivation is hidden_layer.output
                preactivation = output if normalized else hidden_layer.preactivation
                self.hidden[name] = HiddenLayer(hidden_layer.layer, preactivation, output)


class AddPerturbation(keras.layers.Layer):  # type: ignore[misc]
    """Add a perturbation to a tensor and keep the mask of padded steps."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def call(self, x: keras.KerasTensor, perturbation: keras.KerasTensor) -> keras.KerasTensor:
        """Return the sum."""
        return x + perturbation

    def compute_output_spec(self, x: keras.KerasTensor, perturbation: keras.KerasTensor) -> keras.KerasTensor:
        """Return a dense spec; Keras takes some dense tensors for sparse ones, and would not add to them."""
        return keras.KerasTensor(perturbation.shape, perturbation.dtype)


def _without_activation(layer: Any, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Call a copy of the layer without its activation."""
    copy = type(layer).from_config({**layer.get_config(), "activation": "linear", "name": name})
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    return copy(x)


def _has_weights(operation: Any) -> bool:
    return any(len(weight.shape) > 1 for weight in getattr(operation, "weights", []))


def is_spatial(tensor: keras.KerasTensor) -> bool:
    """Return whether a tensor is feature maps of more than one position."""
    return len(tensor.shape) == 4 and min(tensor.shape[1:3]) > 1


def _number_by_kind(hidden: list[HiddenLayer]) -> dict[str, HiddenLayer]:
    """Name layers by their kind and number, such as convolution 2."""
    counts: Counter[str] = Counter()
    layers = {}
    for hidden_layer in hidden:
        kind = LAYER_NAMES.get(type(hidden_layer.layer).__name__, type(hidden_layer.layer).__name__.lower())
        counts[kind] += 1
        layers[f"{kind} {counts[kind]}"] = hidden_layer
    return layers
