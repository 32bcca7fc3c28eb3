"""The layers of a network as data: types, shapes, numbers of parameters, and which layer reads from which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.files import Json

if TYPE_CHECKING:
    import keras

FILE = "network.json"  # beside model.keras
# The settings that a person names when speaking of a layer, in this order.
SETTINGS = ("units", "filters", "output_dim", "num_heads", "kernel_size", "pool_size", "strides", "rate", "activation")
MAX_LAYERS = 2000  # an unrolled decoder has a layer for each step and operation
PLAIN = ("linear", None, 1, (1, 1), [1, 1])  # not worth a word


def layer_graph(model: keras.Model) -> list[Json]:
    """Return a record for each layer and operation, inputs first; a model inside the model is one record.

    The list is empty if there are too many for a diagram.
    """
    configs, operations = model.get_config()["layers"], {operation.name: operation for operation in model.operations}
    return [_record(operations[one["name"]], one) for one in configs] if len(configs) <= MAX_LAYERS else []


def _record(operation: Any, config: Json) -> Json:
    name = config["name"]
    count = getattr(operation, "count_params", None)
    trainable = sum(int(np.prod(weight.shape)) for weight in getattr(operation, "trainable_weights", ()))
    layers = getattr(operation, "layers", None)
    return {
        "name": name,
        "type": type(operation).__name__,
        "settings": _settings(config["config"]),
        "shape": _shape(operation),
        "parameters": int(count()) if count else 0,
        "trainable": trainable,
        "inputs": [*dict.fromkeys(_sources(config["inbound_nodes"]))],
        **({"layers": len(layers)} if layers is not None else {}),
    }


def _settings(config: Json) -> str:
    """Return the important settings of a layer as words."""
    words = []
    for name in SETTINGS:
        value = config.get(name)
        if value in PLAIN or isinstance(value, dict) or (name == "strides" and value == config.get("pool_size")):
            continue
        words.append("x".join(map(str, value)) if isinstance(value, list | tuple) else f"{value}")
    return ", ".join(words)


def _shape(operation: Any) -> list[int | None]:
    """Return the shape of the first output without the number of rows."""
    outputs = operation.output
    first = outputs[0] if isinstance(outputs, list | tuple) else outputs
    return [None if side is None else int(side) for side in first.shape[1:]]


def _sources(part: Any) -> Iterator[str]:
    """Yield the names of the layers whose outputs are arguments of a layer, from its configuration."""
    if isinstance(part, dict):
        if part.get("class_name") == "__keras_tensor__":
            yield part["config"]["keras_history"][0]
            return
        part = [*part.values()]
    if isinstance(part, list | tuple):
        for one in part:
            yield from _sources(one)
