"""Dropped inputs and weights, stochastic and L2 pooling: values worked by hand, in training and in predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_families import build_model, draw_features, model_settings
from pydantic import ValidationError
from workspaces import run_in_process

from tiltyard.arrays import Array
from tiltyard.config.train_section import Train

pytestmark = pytest.mark.slow

# Windows of 2x2, each an image: shares and values of the paper's example are .4 and .6 of 1.6 and 2.4.
WINDOWS = np.array([[1.6, 0, 2.4, 0], [1, 2, 3, 2], [-1, 1, 0, 2], [0, 0, 0, 0]], dtype=np.float32)
EXPECTED = [0.4 * 1.6 + 0.6 * 2.4, (1 + 4 + 9 + 4) / 8, (-1 + 1 + 4) / 4, 0]
ROOTS = [np.sqrt((2.56 + 5.76) / 4), np.sqrt(18 / 4), np.sqrt(6 / 4), 0]


def _pooled() -> dict[str, Any]:
    """Pool the windows: by expectation, at random many times, and by the root of the mean square."""
    import keras

    from tiltyard.modeling.models._random_layers import StochasticPooling, expected_pooling, l2_pooling

    images = WINDOWS.reshape(-1, 2, 2, 1)
    inputs = keras.Input((2, 2, 1))
    model, roots = keras.Model(inputs, expected_pooling(inputs, 2, 0)), keras.Model(inputs, l2_pooling(inputs, 2))

    def draws(seed: int) -> Array:
        layer = StochasticPooling(model.get_layer("stochastic_pooling_0"), seed)
        return np.array([keras.ops.convert_to_numpy(layer(images, training=True)).ravel() for _ in range(400)])

    drawn = draws(1)
    return {
        "expected": np.array(model(images)).ravel().tolist(),
        "roots": np.array(roots(images)).ravel().tolist(),
        "values": [sorted({round(float(value), 3) for value in column}) for column in drawn.T],
        "share of 2.4": float((drawn[:, 0] > 2).mean()),
        "share of 3": float((drawn[:, 1] == 3).mean()),
        "again": bool((drawn == draws(1)).all()),
        "other seed": bool((drawn == draws(2)).all()),
    }


def test_pooling_has_the_values_of_its_formulas() -> None:
    """Training draws in proportion to magnitudes, by its seed; predictions are the mean weighted by them."""
    found = run_in_process(_pooled)
    assert found["expected"] == pytest.approx(EXPECTED, abs=1e-5)
    assert found["roots"] == pytest.approx(ROOTS, abs=1e-5)
    assert found["values"] == [[1.6, 2.4], [1, 2, 3], [-1, 1, 2], [0]]
    assert found["share of 2.4"] == pytest.approx(0.6, abs=0.08)
    assert found["share of 3"] == pytest.approx(3 / 8, abs=0.08)
    assert found["again"]
    assert not found["other seed"]


def _windows_of_maps() -> list[list[float]]:
    """Draw from an image of 5x4 with two maps, whose values are all alike within a window."""
    import keras

    from tiltyard.modeling.models._random_layers import StochasticPooling, expected_pooling

    image = np.kron(np.array([[1, 2], [3, 4]]), np.ones((2, 2)))
    image = np.concatenate([image, np.full((1, 4), 9)]).astype(np.float32)  # the last row fills no window
    maps = np.stack([image, -10 * image], axis=-1)[None]
    inputs = keras.Input((5, 4, 2))
    model = keras.Model(inputs, expected_pooling(inputs, 2, 3))
    drawn = StochasticPooling(model.get_layer("stochastic_pooling_3"), 0)(maps, training=True)
    return [np.array(result)[0].reshape(4, 2).T.tolist() for result in (drawn, model(maps))]


def test_stochastic_pooling_keeps_the_place_and_the_map() -> None:
    """Windows are those of other pooling: rows and columns that fill none are left out."""
    for maps in run_in_process(_windows_of_maps):
        assert maps[0] == pytest.approx([1, 2, 3, 4])
        assert maps[1] == pytest.approx([-10, -20, -30, -40])


def _connected() -> dict[str, Any]:
    """Call a dense layer with and without dropped weights; a row asks for one weight of each unit."""
    import keras

    from tiltyard.modeling.models._random_layers import DropConnect

    dense = keras.layers.Dense(50, activation="relu", bias_initializer="ones", kernel_initializer="ones")
    rows = 2 * np.eye(40, dtype=np.float32)
    plain = np.array(dense(rows))
    layer = DropConnect(dense, 0.25, 3)
    first, second = (np.array(layer(rows, training=True)) for _ in range(2))
    again = np.array(DropConnect(dense, 0.25, 3)(rows, training=True))
    many = np.mean([np.array(layer(rows, training=True)) for _ in range(200)])
    return {
        "plain": np.unique(plain).tolist(),
        "without training": bool((np.array(layer(rows)) == plain).all()),
        "values": np.unique(first.round(4)).tolist(),
        "dropped": float((first == 1).mean()),
        "mean": float(many),
        "same": [bool((first == second).all()), bool((first == again).all())],
        "weights": len(layer.trainable_weights),
    }


def test_dropped_weights_keep_their_expectation() -> None:
    """Inputs of 2, weights of 1 and biases of 1: 1 if the weight is dropped, else 2 / .75 + 1; 3 on the average."""
    found = run_in_process(_connected)
    assert found["plain"] == [3]
    assert found["without training"]
    assert found["values"] == pytest.approx([1, 2 / 0.75 + 1], abs=1e-3)
    assert found["dropped"] == pytest.approx(0.25, abs=0.04)
    assert found["mean"] == pytest.approx(3, abs=0.02)
    assert found["same"] == [False, True], "each batch drops others, and a seed gives the same again"
    assert found["weights"] == 2


CASES: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "weights": ({"family": "mlp", "units": [16, 16], "drop_connect": 0.5, "activation": "prelu"}, (6,)),
    "inputs": ({"family": "mlp", "units": [16], "input_dropout": 0.5}, (6,)),
    "pooling": (
        {"family": "cnn", "filters": [4, 4], "units": [8], "pooling": "stochastic", "batch_norm": True},
        (8, 8, 1),
    ),
    "roots": ({"family": "cnn", "filters": [4], "units": [8], "pooling": "l2"}, (8, 8, 1)),
    "all": (
        {
            "family": "cnn",
            "filters": [4],
            "units": [8],
            "pooling": "stochastic",
            "drop_connect": 0.3,
            "input_dropout": 0.2,
            "dropout": 0.1,
            "l2": 0.001,
            "max_norm": 3.0,
        },
        (8, 8, 1),
    ),
}


def _trained(name: str, folder: str) -> dict[str, Any]:
    """Train by the trainer; compare its core before and after, in Keras and in ONNX."""
    import keras
    import onnx
    import onnxruntime

    from tiltyard.training.network import build_trainer

    content, shape = CASES[name]
    x = draw_features(shape, "image")
    y = x.reshape(len(x), -1).mean(axis=1) + 1
    body = build_model(content, shape)
    trainer = build_trainer(Train.model_validate({"epochs": 1}), body, model_settings(content))
    trainer.compile("adam", "mse")
    before = np.array(body(x))
    random = [np.array(trainer(x, training=True)) for _ in range(2)]
    losses = trainer.fit(x, y, epochs=6, batch_size=8, verbose=0).history["loss"]
    after = np.array(body(x))
    keras.saving.load_model(_saved(body, folder), safe_mode=True)  # no class of ours is in the file
    body.export(f"{folder}/model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
    operations = {node.op_type for node in onnx.load(f"{folder}/model.onnx").graph.node}
    return {
        "random": float(np.abs(random[0] - random[1]).max()),
        "losses": losses,
        "same in predictions": float(np.abs(np.array(trainer(x, training=False)) - after).max()),
        "learned": float(np.abs(after - before).max()),
        "parity": float(np.abs(session.run(None, {"features": x})[0] - after).max()),
        "random operations": sorted(kind for kind in operations if "Random" in kind or kind in ("Dropout", "ArgMax")),
    }


def _saved(body: Any, folder: str) -> str:
    body.save(f"{folder}/model.keras")
    return f"{folder}/model.keras"


@pytest.mark.parametrize("name", CASES)
def test_random_layers_are_in_the_training_only(name: str, tmp_path: Path) -> None:
    """The trainer shares all weights with the network that is saved and exported, and which has nothing random."""
    found = run_in_process(_trained, name, str(tmp_path))
    assert (found["random"] > 1e-4) == (name != "roots")
    assert found["losses"][-1] < found["losses"][0]
    assert found["same in predictions"] < 1e-6
    assert found["learned"] > 1e-3
    assert found["parity"] < 1e-5
    assert found["random operations"] == []


def _base_that_pools() -> list[int]:
    """Use a network with each kind of pooling as the base of transfer learning."""
    base = {"family": "cnn", "filters": [4, 8], "units": []}
    shapes = []
    for pooling in ("stochastic", "l2", "max"):
        model = build_model({"family": "transfer", "base": {**base, "pooling": pooling}, "units": [4]}, (8, 8, 1))
        shapes.append(model.count_params())
    return shapes


def test_pooling_networks_are_bases_of_transfer_learning() -> None:
    """The base ends after the pooling of the last block, whatever its kind."""
    assert len({*run_in_process(_base_that_pools)}) == 1


def test_rates_are_shares() -> None:
    """A rate of 1 would drop everything."""
    for key in ("input_dropout", "drop_connect"):
        with pytest.raises(ValidationError, match="less than 1"):
            model_settings({"family": "mlp", key: 1.0})


def test_dropped_weights_need_hidden_layers() -> None:
    """Without a hidden dense layer there is nothing to drop."""
    with pytest.raises(ValidationError, match=r"drop_connect: expected hidden dense layers \(units\); received none"):
        model_settings({"family": "mlp", "units": [], "drop_connect": 0.5})
