"""Reading the Keras graph of every model family: outputs stay equal, and gradients exist."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_families import SHAPES, model_and_data
from workspaces import run_in_process

from tiltyard import plugins

SMALL: dict[str, dict[str, Any]] = {
    "alexnet": {"small": True, "width": 0.05, "units": [16]},
    "inception": {"small": True, "width": 0.1},
    "inception_resnet_v2": {"small": True, "width": 0.02, "blocks": [1, 1, 2]},
    "inception_v3": {"small": True, "width": 0.02},
    "inception_v4": {"small": True, "width": 0.02, "blocks": [1, 1, 1]},
    "pretrained": {"base": {"family": "transformer", "pool": "none"}},
    "python": {"path": "own_model.py:build"},
    "resnet": {"small": True, "blocks": [1, 1], "filters": 4},
    "transfer": {"base": {"family": "cnn", "filters": [4, 8], "units": []}, "units": [16]},
    "vgg": {"width": 0.05, "units": [16]},
    "xception": {"small": True, "width": 0.05, "blocks": 1},
}
TEXT_GENERATORS = ("seq2seq", "captioner")  # they generate text, for which there are no explanations by gradients
WITHOUT_HIDDEN_LAYERS = ("perceptron", "linear", "rosenblatt", "histograms", "ngrams", "reference", "kmeans")
WITHOUT_GRADIENTS = ("mcculloch_pitts", "two_tower")  # steps, ids
OF_EACH_PLACE = ("detector", "unet")  # labels of places in a picture, of which no gradient is shown
WITHOUT_ROWS = ("gan",)  # it reads random numbers
WITHOUT_MAPS = ("rbm",)
OTHERS = (*TEXT_GENERATORS, *WITHOUT_HIDDEN_LAYERS, *WITHOUT_GRADIENTS, *OF_EACH_PLACE, *WITHOUT_ROWS)
FAMILIES = [name for name in plugins.names("models") if name not in OTHERS]
LARGE = (32, 32, 1)


def _read_graph(content: dict[str, Any], shape: tuple[int, ...], modality: str) -> dict[str, Any]:
    """Open a model of a family; return its properties."""
    from tiltyard.explain.math.network_view import open_network

    model, rows, _ = model_and_data(content, shape, modality)
    rows = rows[:4]
    labels = model.output_shape[-1] > 1
    network = open_network(model, labels=labels)
    (output,), indices = network.activations(rows, [network.output]), network.top_outputs(rows)
    result = {"difference": float(np.abs(output - np.asarray(model(rows, training=False))).max())}
    if network.embedding:
        (vectors,) = network.activations(rows, [network.embedding[1]])
        gradients = network.embedding_gradients(vectors, rows, indices)[1]
    else:
        gradients = network.gradients(rows, indices)[1]
    if network.feature_maps:
        (maps,) = network.activations(rows, [network.feature_maps[1]])
        result["maps"] = float(np.abs(network.feature_map_gradients(maps, rows, indices)[1]).max())
    return {**result, "hidden": len(network.hidden), "gradient": float(np.abs(gradients).max()), "form": modality}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_graph_of_each_family_is_read(name: str) -> None:
    """Outputs equal the model's; there are hidden layers; gradients by inputs and feature maps are finite."""
    modality = plugins.load("models", name).modalities[0]
    shape = LARGE if name in {*SMALL, "lenet5"} - {"transfer", "pretrained", "python"} else SHAPES[modality]
    result = run_in_process(_read_graph, {"family": name, **SMALL.get(name, {})}, shape, modality)
    assert result["difference"] < 1e-5
    assert result["hidden"] > 0
    assert 0 < result["gradient"] < np.inf
    assert modality != "image" or name in WITHOUT_MAPS or 0 < result["maps"] < np.inf


@pytest.mark.slow
def test_graph_of_the_published_lenet_is_read() -> None:
    """Its output layer is called twice, once for its own weights."""
    result = run_in_process(_read_graph, {"family": "lenet5", "form": "paper"}, LARGE, "image")
    assert result["difference"] < 1e-5
    assert result["hidden"] > 10


def test_every_family_is_covered() -> None:
    """Each family is tested here, or listed as one that gradients do not explain."""
    assert sorted([*FAMILIES, *OTHERS]) == plugins.names("models")
