"""The graph walker on every model family: outputs stay equal, and gradients exist."""

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
    "resnet": {"small": True, "blocks": [1, 1], "filters": 4},
    "transfer": {"base": {"family": "cnn", "filters": [4, 8], "units": []}, "units": [16]},
    "vgg": {"width": 0.05, "units": [16]},
    "xception": {"small": True, "width": 0.05, "blocks": 1},
}
FAMILIES = [name for name in plugins.names("models") if name not in ("seq2seq", "perceptron")]
WRITERS = ("seq2seq",)  # of a text, which no explanation by slopes is for
ALONE = ("perceptron",)  # without hidden layers
LARGE = (32, 32, 1)


def _walked(content: dict[str, Any], shape: tuple[int, ...], modality: str) -> dict[str, Any]:
    """Open a model of a family; return what was found."""
    from tiltyard.explain.math.network_view import open_network

    model, rows, _ = model_and_data(content, shape, modality)
    rows = rows[:4]
    labels = model.output_shape[-1] > 1
    inside = open_network(model, labels=labels)
    (output,), places = inside.activations(rows, [inside.output]), inside.top_outputs(rows)
    found = {"difference": float(np.abs(output - np.asarray(model(rows, training=False))).max())}
    if inside.embedding:
        (vectors,) = inside.activations(rows, [inside.embedding[1]])
        slopes = inside.embedding_gradients(vectors, rows, places)[1]
    else:
        slopes = inside.gradients(rows, places)[1]
    if inside.feature_maps:
        (maps,) = inside.activations(rows, [inside.feature_maps[1]])
        found["maps"] = float(np.abs(inside.feature_map_gradients(maps, rows, places)[1]).max())
    return {**found, "hidden": len(inside.hidden), "slope": float(np.abs(slopes).max()), "form": modality}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_can_be_walked_through(name: str) -> None:
    """Outputs equal the model's; there are hidden layers; gradients by inputs and feature maps are finite."""
    modality = plugins.load("models", name).modalities[0]
    shape = LARGE if name in {*SMALL, "lenet5"} - {"transfer"} else SHAPES[modality]
    found = run_in_process(_walked, {"family": name, **SMALL.get(name, {})}, shape, modality)
    assert found["difference"] < 1e-5
    assert found["hidden"] > 0
    assert 0 < found["slope"] < np.inf
    assert modality != "image" or 0 < found["maps"] < np.inf


@pytest.mark.slow
def test_the_paper_s_form_of_lenet_can_be_walked_through() -> None:
    """Its output layer is called twice, once for its own weights."""
    found = run_in_process(_walked, {"family": "lenet5", "form": "paper"}, LARGE, "image")
    assert found["difference"] < 1e-5
    assert found["hidden"] > 10


def test_families_are_all_spoken_of() -> None:
    """Each family is tested here, or listed as one without hidden layers or gradients."""
    assert sorted([*FAMILIES, *WRITERS, *ALONE]) == plugins.names("models")
