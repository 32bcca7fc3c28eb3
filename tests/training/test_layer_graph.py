"""The record of a network's layers: shapes, parameters and connections of real Keras models."""

from __future__ import annotations

from typing import Any

import pytest
from workspaces import run_in_process


def _graphs() -> dict[str, Any]:
    """Return the records of three models, and their numbers of parameters."""
    import keras

    from tiltyard.training import layer_graph

    features = keras.Input((8, 8, 3), name="features")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(features)
    y = keras.layers.BatchNormalization(name="norm")(x)
    z = keras.layers.MaxPooling2D(2, name="pool")(keras.layers.Add(name="sum")([x, y]) * 2.0)
    body = keras.Model(features, keras.layers.Dense(2, name="output")(keras.layers.Flatten()(z)), name="inside")
    outer_input = keras.Input((8, 8, 3))
    outer = keras.Model(outer_input, body(outer_input))
    largest, layer_graph.MAX_LAYERS = layer_graph.MAX_LAYERS, 3
    too_large = layer_graph.layer_graph(body)
    layer_graph.MAX_LAYERS = largest
    graphs = {"body": layer_graph.layer_graph(body), "outer": layer_graph.layer_graph(outer), "large": too_large}
    return {**graphs, "parameters": body.count_params()}


@pytest.mark.slow
def test_record_has_shapes_parameters_and_connections() -> None:
    """Parameters add up to those of the model; operations and models inside the model are records, too."""
    graphs = run_in_process(_graphs)
    body = {record["name"]: record for record in graphs["body"]}
    assert sum(record["parameters"] for record in graphs["body"]) == graphs["parameters"]
    assert (body["conv"]["settings"], body["conv"]["shape"], body["conv"]["parameters"]) == (
        "4, 3x3, relu",
        [8, 8, 4],
        112,
    )
    assert body["sum"]["inputs"] == ["conv", "norm"]
    assert (body["norm"]["parameters"], body["norm"]["trainable"]) == (16, 8)
    assert (body["pool"]["shape"], body["pool"]["settings"]) == ([4, 4, 4], "2x2")
    assert [record["type"] for record in graphs["body"]].count("Multiply") == 1
    inside = graphs["outer"][1]
    assert (inside["layers"], inside["parameters"]) == (len(graphs["body"]) - 1, graphs["parameters"])
    assert graphs["large"] == []
