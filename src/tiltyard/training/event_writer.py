"""TensorBoard's event file of a training: scalars, histograms and the graph of the network, without TensorFlow."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto import event_pb2, graph_pb2, summary_pb2
from tensorboard.plugins.scalar import metadata as scalar
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util import tensor_util

from tiltyard.arrays import Array

if TYPE_CHECKING:
    import keras

MAX_SETTINGS = 500  # characters of a layer's settings in the graph
MAX_NUMBERS = 1 << 20  # numbers of a histogram; of more, evenly spaced ones are counted


class EventWriter:
    """Writes one event file, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.file = EventFileWriter(str(folder))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Add a point of a curve."""
        summary = summary_pb2.Summary()
        metadata = scalar.create_summary_metadata(display_name="", description="")
        metadata.data_class = summary_pb2.DataClass.DATA_CLASS_SCALAR
        summary.value.add(tag=name, tensor=tensor_util.make_tensor_proto(np.float32(value)), metadata=metadata)
        self._add(step, summary=summary)

    def add_histogram(self, name: str, values: Array, step: int) -> None:
        """Add the histogram of an array; numbers that are not finite are left out."""
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        flat = values.ravel()
        flat = flat[:: max(1, -(-flat.size // MAX_NUMBERS))].astype(np.float64)
        summary = histogram_pb(name, flat[np.isfinite(flat)])
        for value in summary.value:
            value.metadata.data_class = summary_pb2.DataClass.DATA_CLASS_TENSOR
        self._add(step, summary=summary)

    def add_graph(self, model: keras.Model) -> None:
        """Add the layers of a network and their connections."""
        graph = graph_pb2.GraphDef()
        for name, kind, inputs, settings in layer_calls(model.get_config()):
            node = graph.node.add(name=name, op=kind, input=inputs)
            node.attr["settings"].s = json.dumps(settings, default=str)[:MAX_SETTINGS].encode()
        self._add(0, graph_def=graph.SerializeToString())

    def _add(self, step: int, **content: Any) -> None:
        self.file.add_event(event_pb2.Event(wall_time=time.time(), step=step, **content))

    def close(self) -> None:
        """Write what is left, and close the file."""
        self.file.close()


Call = tuple[str, str, list[str], Any]  # name, class, names of the inputs, settings


def layer_calls(config: dict[str, Any], scope: str = "", sources: tuple[str, ...] = ()) -> Iterator[Call]:
    """Yield the calls of all layers of a model, from its configuration; inner models are scopes.

    `sources` are the names of what an inner model receives.
    """
    inner: dict[str, str] = {}  # name of an inner model -> name of its output
    for layer in config["layers"]:
        calls = [[*_histories(node)] for node in layer["inbound_nodes"]] or [[]]
        for number, parents in enumerate(calls):
            name = f"{scope}{layer['name']}" + (f"_call_{number}" if number else "")
            inputs = [inner.get(parent) or f"{scope}{parent}" for parent in dict.fromkeys(map(_call_name, parents))]
            if "input_layers" in layer["config"]:
                yield from layer_calls(layer["config"], f"{name}/", tuple(inputs))
                ends = [*_histories(layer["config"]["output_layers"])]
                inner[name.removeprefix(scope)] = f"{name}/{_call_name(ends[0])}"
            else:
                yield name, layer["class_name"], inputs or [*sources], layer["config"]


def _call_name(history: tuple[str, int]) -> str:
    name, number = history
    return f"{name}_call_{number}" if number else name


def _histories(value: Any) -> Iterator[tuple[str, int]]:
    """Yield layer and number of the call of each tensor in a part of a configuration."""
    if isinstance(value, dict):
        if "keras_history" in value:
            yield value["keras_history"][0], value["keras_history"][1]
            return
        value = [*value.values()]
    if isinstance(value, list | tuple):
        if len(value) == 3 and isinstance(value[0], str) and all(isinstance(part, int) for part in value[1:]):
            yield value[0], value[1]
            return
        for part in value:
            yield from _histories(part)
