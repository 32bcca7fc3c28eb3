"""Contract of the nets of the course notes: layers, parameter counts and training of their task files, without data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from workspaces import ROOT, run_in_process

from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.workspace import Workspace

WORDS_PER_TEXT = 100
# Task: parameters, those that are trained, layers. Counts are computed by hand where the notes print none.
NETS: dict[str, tuple[int, int, str]] = {
    "house_sales_notes": (4_545, 4_545, "Dense 64 relu, Dense 64 relu, Dense 1 linear"),
    "california_notes": (641, 641, "Dense 30 relu, Dense 10 relu, Dense 5 relu, Dense 1 linear"),
    # 27 columns; with the target's leak as 28th, as in the notes, 10 weights more: 387
    "burned_area_notes": (377, 377, "Dense 10 relu, Dense 8 relu, Dense 1 linear"),
    "forest_fires_notes": (377, 377, "Dense 10 relu, Dense 8 relu, Dense 1 sigmoid"),
    "iris_notes": (67, 67, "Dense 8 relu, Dense 3 softmax"),
    "wine_quality_notes": (731, 731, "Dense 30 relu, Dense 10 relu, Dense 5 relu, Dense 1 sigmoid"),
    "churn_notes": (121, 121, "Dense 6 relu, Dense 6 relu, Dense 1 sigmoid"),
    "admissions_notes": (4, 4, "Dense 1 sigmoid"),
    "mnist_mlp_notes": (266_610, 266_610, "Dense 300 relu, Dense 100 relu, Dense 10 softmax"),
    "mnist_elu_notes": (266_610, 266_610, "Dense 300 elu, Dense 100 elu, Dense 10 softmax"),
    "mnist_batchnorm": (
        268_210,
        267_410,
        "Dense 300 relu, BatchNormalization, Dense 100 relu, BatchNormalization, Dense 10 softmax",
    ),
    "mnist_cnn_notes": (
        1_199_882,
        1_199_882,
        (
            "Conv2D 32 3x3 relu, Conv2D 64 3x3 relu, MaxPooling2D 2x2, Dropout 0.25, Dense 128 relu, Dropout 0.5, "
            "Dense 10 softmax"
        ),
    ),
    "mnist_lstm_notes": (
        216_426,
        216_426,
        "LSTM 128 relu, Dropout 0.2, LSTM 128 relu, Dropout 0.1, Dense 32 relu, Dropout 0.2, Dense 10 softmax",
    ),
    "fashion_mnist": (407_050, 407_050, "Dense 512 relu, Dense 10 softmax"),
    "lenet5_notes": (
        62_006,
        62_006,
        (
            "Conv2D 6 5x5 tanh, AveragePooling2D 2x2, Conv2D 16 5x5 tanh, AveragePooling2D 2x2, Dense 120 tanh, "
            "Dense 84 tanh, Dense 10 softmax"
        ),
    ),
    "cifar10_cnn_notes": (
        122_570,
        122_570,
        (
            "Conv2D 32 3x3 relu, MaxPooling2D 2x2, Conv2D 64 3x3 relu, MaxPooling2D 2x2, Conv2D 64 3x3 relu, "
            "Dense 64 relu, Dense 10 softmax"
        ),
    ),
    # with the layer that flattens: 10 layers; the notes do not say their widths
    "cats_dogs": (
        224_514,
        224_514,
        (
            "Conv2D 32 3x3 relu, MaxPooling2D 2x2, Conv2D 64 3x3 relu, MaxPooling2D 2x2, Conv2D 128 3x3 relu, "
            "MaxPooling2D 2x2, Dense 64 relu, Dropout 0.4, Dense 2 softmax"
        ),
    ),
    "sine_rnn": (1_457, 1_457, "SimpleRNN 32 tanh, Dense 8 relu, Dense 1 linear"),
    # 4 x (1 + 32 + 1) x 32, 32 x 8 + 8, 9; a GRU has 3 x (1 + 32 + 2) x 32
    "sine_lstm": (4_625, 4_625, "LSTM 32 tanh, Dense 8 relu, Dense 1 linear"),
    "sine_gru": (3_633, 3_633, "GRU 32 tanh, Dense 8 relu, Dense 1 linear"),
    # 4 x (1 + 50 + 1) x 50, 4 x (50 + 100 + 1) x 100, 101
    "sp500_lstm_notes": (70_901, 70_901, "LSTM 50 tanh, LSTM 100 tanh, Dense 1 linear"),
    "imdb_lstm": (349_057, 349_057, "Embedding 10000 x 32, LSTM 64 tanh, Dense 64 relu, Dense 1 sigmoid"),
    "imdb_bilstm": (
        377_985,
        377_985,
        "Embedding 10000 x 32, Bidirectional LSTM 64 tanh, Dense 64 relu, Dense 1 sigmoid",
    ),
    "imdb_stacked": (
        476_801,
        476_801,
        "Embedding 10000 x 32, Bidirectional LSTM 64 tanh, Bidirectional LSTM 64 tanh, Dense 64 relu, Dense 1 sigmoid",
    ),
}
# Of the published LeNet-5 the 840 numbers of the codes are not trained; test_families.py counts its connections.
CODES = {"lenet5_paper_notes": (60_840, 60_000)}
# Task: optimizer, rate, batch size, epochs of each phase, patience of the last one.
TRAINING: dict[str, tuple[str, float, int, list[int], int | None]] = {
    "house_sales_notes": ("rmsprop", 0.01, 32, [100], None),
    "california_notes": ("sgd", 0.01, 32, [20, 100], 5),
    "burned_area_notes": ("adam", 0.001, 10, [150], None),
    "forest_fires_notes": ("adam", 0.001, 10, [150], None),
    "iris_notes": ("adam", 0.001, 16, [100], None),
    "wine_quality_notes": ("adam", 0.001, 64, [40], 5),
    "churn_notes": ("adamax", 0.001, 10, [100], None),
    "mnist_mlp_notes": ("sgd", 0.01, 32, [30, 30], 5),
    "mnist_elu_notes": ("nadam", 0.001, 32, [10], None),
    "mnist_batchnorm": ("adam", 0.001, 64, [10], None),
    "mnist_cnn_notes": ("adadelta", 1.0, 128, [12], None),
    "mnist_lstm_notes": ("adam", 0.001, 32, [3], None),
    "lenet5_notes": ("adadelta", 1.0, 128, [2], None),
    "cifar10_cnn_notes": ("adam", 0.001, 32, [10], None),
    "sine_rnn": ("rmsprop", 0.001, 16, [100], 20),
}


def _load(name: str) -> Task:
    return loader.load(Workspace(ROOT), name)


def test_every_net_of_the_notes_is_listed() -> None:
    """A task named NAME_notes has its net in this file, and NAME is a task, except for a variant of mnist_mlp."""
    names = {name for name in Workspace(ROOT).tasks() if name.endswith("_notes")}
    assert names == {name for name in [*NETS, *CODES] if name.endswith("_notes")}
    assert {name for name in names if name.removesuffix("_notes") not in Workspace(ROOT).tasks()} == {"mnist_elu_notes"}


@pytest.mark.parametrize("name", TRAINING)
def test_training_is_that_of_the_notes(name: str) -> None:
    """Optimizer, learning rate, batch size, epochs and patience are those that the notes give."""
    train = _load(name).train
    epochs, last = [phase.epochs for phase in train.phases], train.phases[-1]
    assert (train.optimizer, train.rate, train.batch_size, epochs, last.patience) == TRAINING[name]


def test_details_that_no_count_shows() -> None:
    """Initialisers, losses and rates of a second phase, and both nets of reviews read as many words as the others."""
    assert _load("churn_notes").model.model_dump()["initializer"] == "he_uniform"
    assert _load("mnist_elu_notes").model.model_dump()["initializer"] == "he_normal"
    assert _load("house_sales_notes").loss == _load("california_notes").loss == "mse"
    assert [phase.rate for phase in _load("california_notes").train.phases] == [0.01, 0.001]
    assert _load("mnist_lstm_notes").train.schedule.model_dump()["decay"] == 1e-6
    lengths = {
        name: _load(name).columns["text"].model_dump()["length"]
        for name in ("imdb_lstm", "imdb_bilstm", "imdb_stacked", "imdb_transformer")
    }
    assert set(lengths.values()) == {120}


def _fitted(task: Task) -> tuple[Encoder, Array]:
    """Return an encoder that is fitted to the example of the task file, and the encoded example."""
    encoder, instances = task.encoder(), [task.serve.example]
    if task.modality == "text":  # so many different words, each in two rows
        words = [f"w{number}" for number in range(task.columns["text"].model_dump()["vocabulary"])]
        starts = range(0, len(words), WORDS_PER_TEXT)
        instances = [" ".join(words[start : start + WORDS_PER_TEXT]) for start in [*starts, *starts]]
    rows = encoder.parse(instances)
    truth = np.zeros(len(instances), dtype=np.int64) if task.labels else np.array([0.0, 1.0])
    encoder = encoder.fit(task.target, rows, truth)
    return encoder, encoder.encode(rows)


def _networks(names: list[str]) -> dict[str, tuple[int, int, str]]:
    """Build the network of each task as training does; count its parameters and describe its layers."""
    import keras

    from tiltyard.training.network import build_core

    found = {}
    for name in names:
        task = _load(name)
        network = build_core(task, *_fitted(task))
        trainable = sum(int(keras.ops.size(weight)) for weight in network.trainable_weights)
        found[name] = (network.count_params(), trainable, ", ".join(filter(None, map(_layer, network.layers))))
        keras.utils.clear_session()
    return found


def _layer(layer: Any) -> str:
    """Describe a layer; empty for those that only pass on, scale or reshape."""
    name, settings = type(layer).__name__, layer.get_config()
    if name == "Bidirectional":
        return f"{name} {_layer(layer.forward_layer)}"
    if name == "Activation":  # of the convolution before
        return f"({settings['activation']})"
    size = "x".join(map(str, settings.get("kernel_size", settings.get("pool_size", ()))))
    description = {
        **dict.fromkeys(("Dense", "SimpleRNN", "LSTM", "GRU"), "{units} {activation}"),
        "Conv2D": "{filters} {size}",
        **dict.fromkeys(("MaxPooling2D", "AveragePooling2D"), "{size}"),
        "Dropout": "{rate:g}",
        "Embedding": "{input_dim} x {output_dim}",
        "BatchNormalization": "",
    }.get(name)
    return "" if description is None else f"{name} {description.format(size=size, **settings)}".strip()


@pytest.mark.slow
def test_layers_and_parameters_are_those_of_the_notes() -> None:
    """Each task file gives exactly the layers of the notes, their number of parameters, and of trained ones."""
    found = run_in_process(_networks, [*NETS, *CODES])
    described = {name: (*found[name][:2], found[name][2].replace(", (", " ").replace(")", "")) for name in NETS}
    assert described == NETS
    assert {name: found[name][:2] for name in CODES} == CODES
