"""Model families: YAML settings that give exactly the parameter counts of the literature."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from model_families import build_model, train_and_export
from workspaces import run_in_process

pytestmark = pytest.mark.slow

WORDS = 10_000
# settings; shape of a row; output units; parameters; trainable parameters
COUNTS: dict[str, tuple[str, tuple[int, ...], int, int, int]] = {
    # 784 x 300 + 300, 300 x 100 + 100, 100 x 10 + 10
    "mnist_mlp": ("{family: mlp, units: [300, 100]}", (28, 28, 1), 10, 266_610, 266_610),
    # batch norm has 4 numbers per unit, of which mean and variance are not trainable
    "mnist_batchnorm": ("{family: mlp, units: [300, 100], batch_norm: true}", (28, 28, 1), 10, 268_210, 267_410),
    "fashion_mnist": ("{family: mlp, units: [512]}", (28, 28, 1), 10, 407_050, 407_050),
    # 28 -> 26 -> 24 -> 12: 9 x 32 + 32, 9 x 32 x 64 + 64, 144 x 64 x 128 + 128, 128 x 10 + 10
    "mnist_cnn": (
        "{family: cnn, padding: valid, blocks: [{filters: 32, pool: none}, {filters: 64}], units: [128]}",
        (28, 28, 1),
        10,
        1_199_882,
        1_199_882,
    ),
    # 32 -> 30 -> 15 -> 13 -> 6 -> 4: 896, 18,496, 36,928, 16 x 64 x 64 + 64, 650
    "cifar10_cnn": (
        "{family: cnn, padding: valid, blocks: [{filters: 32}, {filters: 64}, {filters: 64, pool: none}]}",
        (32, 32, 3),
        10,
        122_570,
        122_570,
    ),
    # 25 x 3 x 6 + 6, 25 x 6 x 16 + 16, 400 x 120 + 120, 120 x 84 + 84, 850
    "lenet5": ("{family: lenet5}", (32, 32, 3), 10, 62_006, 62_006),
    # 156, 12, 25 x (6 x 3 + 9 x 4 + 6) + 16 = 1,516, 32, 48,120, 10,164 are trainable; the codes, 84 x 10, are not
    "lenet5_paper": ("{family: lenet5, form: paper}", (32, 32, 1), 10, 60_840, 60_000),
    "lenet5_pictures": ("{family: lenet5, form: paper, codes: bitmap}", (32, 32, 1), 10, 60_840, 60_000),
    "lenet5_codes": ("{family: lenet5, form: paper, codes: trainable}", (32, 32, 1), 10, 60_840, 60_840),
    # in halves: 34,944, 307,456, 885,120, 663,936, 442,624, 9216 x 4096 + 4096, 16,781,312, 4,097,000
    "alexnet": ("{family: alexnet}", (227, 227, 3), 1000, 60_965_224, 60_965_224),
    "vgg16": ("{family: vgg}", (224, 224, 3), 1000, 138_357_544, 138_357_544),
    "vgg19": ("{family: vgg, depth: 19}", (224, 224, 3), 1000, 143_667_240, 143_667_240),
    "inception": ("{family: inception}", (224, 224, 3), 1000, 6_998_552, 6_998_552),
    "inception_v3": ("{family: inception_v3}", (299, 299, 3), 1000, 23_851_784, 23_817_352),
    # without the statistics of batch norm, 42.68 million
    "inception_v4": ("{family: inception_v4}", (299, 299, 3), 1000, 42_742_984, 42_679_816),
    "inception_resnet_v2": ("{family: inception_resnet_v2}", (299, 299, 3), 1000, 55_873_736, 55_813_192),
    "mobilenet": ("{family: mobilenet}", (224, 224, 3), 1000, 4_253_864, 4_231_976),
    "mobilenet_0.75": ("{family: mobilenet, width: 0.75}", (224, 224, 3), 1000, 2_601_976, 2_585_560),
    "mobilenet_0.5": ("{family: mobilenet, width: 0.5}", (224, 224, 3), 1000, 1_342_536, 1_331_592),
    "mobilenet_0.25": ("{family: mobilenet, width: 0.25}", (224, 224, 3), 1000, 475_544, 470_072),
    "resnet50": ("{family: resnet}", (224, 224, 3), 1000, 25_636_712, 25_583_592),
    # ResNet-20 has 269,722 in the paper; here also biases, batch statistics and two short cuts with weights
    "resnet20": (
        "{family: resnet, small: true, blocks: [3, 3, 3], filters: 16, bottleneck: false}",
        (32, 32, 3),
        10,
        274_826,
        273_258,
    ),
    "xception": ("{family: xception}", (299, 299, 3), 1000, 22_910_480, 22_855_952),
    # the base's 14,714,688, and 7 x 7 x 512 x 512 + 512, 512 x 10 + 10: images of 224 x 224
    "transfer": ("{family: transfer, base: {family: vgg, units: []}}", (224, 224, 3), 10, 27_565_386, 12_850_698),
    # the last block has three convolutions of 9 x 512 x 512 + 512
    "fine_tuning": (
        "{family: transfer, base: {family: vgg, units: []}, unfreeze: 1}",
        (224, 224, 3),
        10,
        27_565_386,
        12_850_698 + 3 * 2_359_808,
    ),
    # all four values are one step: 4 x 32 + 32 x 32 + 32, 32 x 8 + 8, 9
    "sine_rnn": ("{family: rnn, cell: simple, units: [32], dense: [8], frame: 4}", (4, 1), 1, 1_457, 1_457),
    # 4 x (28 + 128 + 1) x 128, 4 x (128 + 128 + 1) x 128, 128 x 32 + 32, 330
    "mnist_lstm": (
        "{family: rnn, units: [128, 128], dense: [32], dropout: [0.2, 0.1, 0.2]}",
        (28, 28, 1),
        10,
        216_426,
        216_426,
    ),
    # as an LSTM, 4 x (1 + 50 + 1) x 50, and three weights for each unit
    "peephole": ("{family: rnn, cell: peephole, units: [50]}", (50, 1), 1, 10_601, 10_601),
    # 10,000 x 32, 4 x (32 + 64 + 1) x 64, 64 x 64 + 64, 65; bidirectional cells need a dense layer of 128 x 64 + 64
    "imdb_lstm": ("{family: rnn, units: [64], dense: [64]}", (120,), 1, 349_057, 349_057),
    "imdb_bilstm": ("{family: rnn, units: [64], bidirectional: true, dense: [64]}", (120,), 1, 377_985, 377_985),
    "imdb_stacked": ("{family: rnn, units: [64, 64], bidirectional: true, dense: [64]}", (120,), 1, 476_801, 476_801),
    # 4 x (1 + 50 + 1) x 50, 4 x (50 + 100 + 1) x 100, 101
    "sp500_lstm": ("{family: rnn, units: [50, 100]}", (50, 1), 1, 70_901, 70_901),
}


def _counts() -> dict[str, list[int]]:
    """Count all parameters and the trainable ones."""
    import keras

    found = {}
    for name, (text, shape, units, *_) in COUNTS.items():
        settings: dict[str, Any] = yaml.safe_load(text)
        for part in (settings, settings.get("base", {})):
            part["initializer"] = "zeros"  # the fastest initializer, without additional memory
        words = WORDS if len(shape) == 1 else 0
        model = build_model(settings, shape, units, "softmax" if units > 1 else "linear", words)
        trainable = sum(int(keras.ops.size(weight)) for weight in model.trainable_weights)
        found[name] = [model.count_params(), trainable]
        keras.utils.clear_session()
    return found


@pytest.mark.catalogue
def test_parameter_counts_of_the_catalogue() -> None:
    """All settings have exactly the listed number of parameters and of trainable ones."""
    assert run_in_process(_counts) == {name: [total, trainable] for name, (*_, total, trainable) in COUNTS.items()}


# Networks that Keras has, too: family, its function in keras.applications, and the side of the images.
ORACLES = [
    ("mobilenet", "MobileNet", 224),
    ("inception_v3", "InceptionV3", 299),
    ("inception_resnet_v2", "InceptionResNetV2", 299),
]


def _shapes_of_weights(family: str, oracle: str, side: int) -> list[list[list[int]]]:
    """Return the shapes of all kernels, biases and norms but those of the output layer, ours and Keras', sorted."""
    import keras

    shape = (side, side, 3)
    ours = build_model({"family": family, "initializer": "zeros"}, shape, 1000, "softmax")
    theirs = getattr(keras.applications, oracle)(weights=None, include_top=False, input_shape=shape)
    kept = [weight for layer in ours.layers if layer.name != "output" for weight in layer.weights]
    return [sorted([*weight.shape] for weight in weights) for weights in (kept, theirs.weights)]


@pytest.mark.catalogue
@pytest.mark.parametrize(("family", "oracle", "side"), ORACLES)
def test_layers_have_the_shapes_of_the_published_network(family: str, oracle: str, side: int) -> None:
    """Without the output layer, the weights are those of keras.applications, layer by layer."""
    ours, theirs = run_in_process(_shapes_of_weights, family, oracle, side)
    assert ours == theirs


SMALLEST = [
    (family, small, side)
    for family in ("inception_v3", "inception_v4", "inception_resnet_v2")
    for small, side in ((False, 75), (True, 21))
]


def _smallest() -> list[str]:
    """Build each network for its smallest image and for one that is smaller; return the messages."""
    messages = []
    for family, small, side in SMALLEST:
        settings = {"family": family, "small": small, "width": 0.02, "initializer": "zeros"}
        build_model(settings, (side, side + 1, 1))
        try:
            build_model(settings, (side + 1, side - 1, 1))
        except ValueError as error:
            messages.append(str(error))
    build_model({"family": "mobilenet", "width": 0.02}, (1, 1, 1))
    return messages


def test_images_that_are_too_small_are_refused() -> None:
    """The message names the smallest size, and the option for small images; MobileNet reads all sizes."""
    messages = run_in_process(_smallest)
    large, small = messages[:2]
    way = "expected images of at least 75x75 pixels, or small: true, which takes 21x21 or more; received 76x74"
    assert large == way
    assert small == "expected images of at least 21x21 pixels; received 22x20"
    assert len(messages) == len(SMALLEST)


# Variants of families: settings, and modality and shape of the input.
VARIANTS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "gru of images": ("{family: rnn, cell: gru, dense: [4]}", "image", (8, 8, 2)),
    "rnn of framed series": ("{family: rnn, cell: simple, frame: 4}", "series", (12, 2)),
    "lstm of texts": ("{family: rnn, units: [8], bidirectional: true, attention: true}", "text", (12,)),
    "peepholes": ("{family: rnn, cell: peephole, units: [8, 4], bidirectional: true}", "text", (12,)),
    "relu cells": ("{family: rnn, cell_activation: relu, units: [8, 4]}", "series", (6, 2)),
    "last step": (
        "{family: transformer, causal: true, pool: last, positions: sinusoidal, blocks: 2, units: [4], dropout: 0.1}",
        "text",
        (12,),
    ),
    "published": ("{family: lenet5, form: paper, codes: trainable}", "image", (28, 28, 1)),
    "everything": (
        "{family: cnn, activation: prelu, batch_norm: true, spatial_dropout: 0.2, ending: average, pooling: average}",
        "image",
        (8, 8, 1),
    ),
    "blocks": (
        "{family: cnn, blocks: [{filters: 4, convolutions: 2, dropout: 0.1}, {filters: 4, pool: none}], max_norm: 1.0}",
        "image",
        (8, 8, 1),
    ),
    "crossed": ("{family: perceptron, powers: 3, crossed: true}", "table", (6,)),
    "unfrozen": (
        "{family: transfer, base: {family: resnet, small: true, blocks: [1, 1], filters: 4}, unfreeze: 1}",
        "image",
        (16, 16, 1),
    ),
}


def _export_variants(folder: str) -> dict[str, float]:
    found = {}
    for name, (text, modality, shape) in VARIANTS.items():
        result = train_and_export(yaml.safe_load(text), shape, modality, folder)
        found[name] = max(result["parity"], result["reloaded"])
    return found


@pytest.mark.catalogue
def test_family_variants_are_saved_and_exported(tmp_path: Path) -> None:
    """Outputs of cells, masks, pooling and codes are equal in Keras, after loading and in ONNX."""
    assert {
        name: worst for name, worst in run_in_process(_export_variants, str(tmp_path)).items() if worst > 1e-5
    } == {}


def _drawn_codes() -> list[list[str]]:
    """Return the codes in the output layer of the published LeNet-5 as pictures, and the message for other classes."""
    import numpy as np

    settings = {"family": "lenet5", "form": "paper", "codes": "bitmap"}
    model = build_model(settings, (32, 32, 1), 10, "softmax")
    assert not model.get_layer("codes").trainable
    codes = np.asarray(model.get_layer("codes").weights[0]).T.reshape(10, 12, 7)
    pictures = [["".join(".#"[int(pixel > 0)] for pixel in row) for row in code] for code in codes]
    try:
        build_model(settings, (32, 32, 1), 4, "softmax")
    except ValueError as error:
        return [*pictures, [str(error)]]
    return pictures


def test_output_codes_may_be_pictures_of_digits() -> None:
    """The codes are pictures of 7x12 pixels, all different, fixed, and only for ten classes."""
    *pictures, (message,) = run_in_process(_drawn_codes)
    assert pictures[4] == [
        *("....##.", "...###.", "...###.", "..####.", "..#.##.", ".##.##.", "##..##."),
        *("##..##.", "#######", "....##.", "....##.", "....##."),
    ]
    differences = [
        sum(a != b for a, b in zip("".join(one), "".join(other), strict=True))
        for one, other in combinations(pictures, 2)
    ]
    assert min(differences) == 8  # 0 and 6
    assert message == "codes: expected 10 classes, the digits, for bitmap; received 4"


def _connections() -> list[int]:
    """Count the connections of each layer: a bias is one, and a pooling unit has four and a bias."""
    import keras

    found = []
    for layer in build_model({"family": "lenet5", "form": "paper"}, (32, 32, 1), 10, "softmax").layers:
        height, width = (*layer.output.shape[1:3], 1, 1)[:2] if len(layer.output.shape) == 4 else (1, 1)
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            found.append(height * width * layer.output.shape[-1] * (4 + 1))
        elif layer.weights:
            found.append(height * width * layer.count_params())
    return found


def test_published_lenet_has_the_connections_of_its_paper() -> None:
    """340,908 in all: the paper names 122,304, 5,880, 151,600, 2,000, 48,120, 10,164, and 84 for each class."""
    first, pooled, *sparse, second, wide, narrow, codes = run_in_process(_connections)
    assert [first, pooled, sum(sparse), second, wide, narrow, codes] == [
        *(122_304, 5_880, 151_600, 2_000),
        *(48_120, 10_164, 840),
    ]
    assert len(sparse) == 16
    assert first + pooled + sum(sparse) + second + wide + narrow + codes == 340_908


def _causal_differences() -> list[float]:
    """Change the last word, and a padding word; return how much the earlier steps change."""
    import keras
    import numpy as np

    settings = {"family": "transformer", "causal": True, "pool": "none", "blocks": 2}
    model = build_model(settings, (6,), 20, "softmax", 20)
    ids = np.array([[3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7, 9]], dtype=np.float32)
    steps = keras.ops.convert_to_numpy(model(ids))
    unmasked = build_model(settings | {"causal": False}, (6,), 20, "softmax", 20)
    mixed = keras.ops.convert_to_numpy(unmasked(ids))
    mean = build_model({"family": "transformer", "positions": "none"}, (6,), 1, "linear", 20)
    padded = keras.ops.convert_to_numpy(mean(np.array([[3, 4, 0, 0, 0, 0], [0, 0, 4, 3, 0, 0]], dtype=np.float32)))
    return [
        float(np.abs(steps[0, :5] - steps[1, :5]).max()),
        float(np.abs(mixed[0, :5] - mixed[1, :5]).max()),
        float(np.abs(padded[0] - padded[1]).max()),
    ]


def test_causal_transformer_ignores_later_words() -> None:
    """A changed last word affects earlier steps only without `causal`; padding does not affect means."""
    causal, unmasked, padded = run_in_process(_causal_differences)
    assert causal < 1e-6
    assert unmasked > 1e-4
    assert padded < 1e-6


def _peephole_steps() -> list[list[float]]:
    """Return the output of a cell with peepholes after three steps, and the same by NumPy."""
    import keras
    import numpy as np

    model = build_model({"family": "rnn", "cell": "peephole", "units": [2]}, (3, 1))
    chance, values = np.random.default_rng(0), [0.5, -1.0, 2.0]
    cell = next(layer.cell for layer in model.layers if isinstance(layer, keras.layers.RNN))
    cell.set_weights([chance.normal(size=weight.shape) for weight in cell.weights])
    kernel, recurrent, bias, peepholes = (np.array(weight, dtype=np.float64) for weight in cell.weights)
    output = state = np.zeros(2)
    for value in values:
        admit, keep, candidate, release = np.split(value * kernel[0] + output @ recurrent + bias, 4)
        admit, keep = (
            1 / (1 + np.exp(-gate - hole * state)) for gate, hole in ((admit, peepholes[0]), (keep, peepholes[1]))
        )
        state = keep * state + admit * np.tanh(candidate)
        output = np.tanh(state) / (1 + np.exp(-release - peepholes[2] * state))
    recurrent_layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.RNN))
    inputs = np.array(values, dtype=np.float32).reshape(1, 3, 1)
    return [keras.ops.convert_to_numpy(recurrent_layer(inputs))[0].tolist(), output.tolist()]


def test_peepholes_read_the_state_of_the_cell() -> None:
    """Input and forget gate read the state before a step, the output gate the state after it."""
    received, expected = run_in_process(_peephole_steps)
    assert received == pytest.approx(expected, abs=1e-6)
