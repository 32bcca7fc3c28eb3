"""Explanations by layers: PCA, t-SNE, SVCCA and network dissection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspaces import run_in_process

from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.explain.math.svcca import chance_level, mean_pool, svcca
from tiltyard.explain.math.synthetic_concepts import IMAGES_PER_CONCEPT, SHAPES, draw_concepts
from tiltyard.explain.methods.activations import neighbours, principal
from tiltyard.explain.methods.dissection import MIN_OVERLAP, overlaps
from tiltyard.workspace import Workspace

DICE = np.random.default_rng(0)
SIZE = (16, 16, 1)


def test_pca_of_planar_points_is_exact() -> None:
    """Points in a plane keep their distances, the variance is fully explained, and further axes change nothing."""
    flat = DICE.normal(size=(50, 2)) * [3.0, 1.0]
    rotation, _ = np.linalg.qr(DICE.normal(size=(10, 10)))
    projected, shares = principal(np.hstack([flat, np.zeros((50, 8))]) @ rotation + 5)
    assert shares.sum() == pytest.approx(1)
    before, after = (np.linalg.norm(points[:, None] - points[None], axis=-1) for points in (flat, projected))
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_pca_of_one_unit_is_a_line() -> None:
    """One unit gives points on a line."""
    projected, shares = principal(np.arange(5.0)[:, None])
    assert projected.shape == (5, 2)
    assert not projected[:, 1].any()
    assert shares.tolist() == [1.0]


def test_tsne_keeps_clusters_apart() -> None:
    """Two clusters stay separate under t-SNE, and the same rows give the same points."""
    rows = np.vstack([DICE.normal(size=(30, 6)), DICE.normal(size=(30, 6)) + 12])
    embedded = neighbours(rows, 0)
    first, second = embedded[:30], embedded[30:]
    gap = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert gap > 3 * max(first.std(), second.std()) / 2
    distances = np.linalg.norm(embedded[:, None] - embedded[None], axis=-1) + np.diag(np.full(60, np.inf))
    assert all((i < 30) == (near < 30) for i, near in enumerate(distances.argmin(axis=1)))
    np.testing.assert_array_equal(embedded, neighbours(rows, 0))


def test_svcca_is_invariant_to_linear_maps() -> None:
    """It is 1 after rotation, scale and shift, and for any invertible linear map; it is symmetric."""
    rows = DICE.normal(size=(500, 6))
    rotation, _ = np.linalg.qr(DICE.normal(size=(6, 6)))
    assert svcca(rows, rows @ rotation * 3 + 1) == pytest.approx(1)
    assert svcca(rows, rows @ (rotation + 0.3 * np.eye(6))) == pytest.approx(1)
    other = DICE.normal(size=(500, 9)) + np.hstack([rows, rows[:, :3]])
    assert svcca(rows, other) == pytest.approx(svcca(other, rows))
    assert 0.5 < svcca(rows, other) < 0.95


def test_svcca_of_noise_is_at_chance_level() -> None:
    """Independent noise is at chance level; constant activations give 0."""
    rows, noise = DICE.normal(size=(2000, 6)), DICE.normal(size=(2000, 6))
    assert svcca(rows, noise) < 0.1
    assert chance_level(rows, rows, np.random.default_rng(0)) < 0.1
    assert svcca(rows, np.ones((2000, 3))) == 0


def test_svcca_ignores_noise_below_the_retained_variance() -> None:
    """Faint noise beside a strong shared direction is ignored."""
    strong = DICE.normal(size=(500, 1)) * 100
    first, second = (np.hstack([strong, DICE.normal(size=(500, 1))]) for _ in range(2))
    assert svcca(first, second) > 0.99


def test_feature_maps_and_steps_are_averaged() -> None:
    """Feature maps and steps are averaged to one value for each row and unit."""
    assert mean_pool(np.arange(24.0).reshape(2, 2, 2, 3)).tolist() == [[4.5, 5.5, 6.5], [16.5, 17.5, 18.5]]
    assert mean_pool(np.ones((2, 5, 3))).shape == (2, 3)
    assert mean_pool(np.ones((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (16, 20, 3)])
def test_concepts_lie_within_their_masks(shape: tuple[int, int, int]) -> None:
    """Images have the model's size and range, masks are neither empty nor full, colours need three channels."""
    concepts = draw_concepts(shape, np.random.default_rng(0))
    assert ("red" in concepts) == (shape[-1] == 3)
    for name, (shown, mask) in concepts.items():
        assert shown.shape == (IMAGES_PER_CONCEPT, *shape)
        assert 0 <= shown.min() <= shown.max() <= 255
        assert 0 < mask.mean() < 0.6, name
        brightness = shown.max(axis=-1)
        assert brightness[mask].mean() > 3 * brightness[~mask].mean(), name


def _feature_maps(kernel: Array, images: Array) -> Array:
    """Return the feature maps of a convolution with given kernels."""
    import keras

    features = keras.Input(SIZE)
    layer = keras.layers.Conv2D(kernel.shape[-1], kernel.shape[:2], padding="same", activation="relu")
    model = keras.Model(features, layer(features))
    layer.set_weights([kernel, np.full(kernel.shape[-1], -1.0)])
    return np.asarray(model(images / 255))


def test_dissection_finds_a_stroke_detector() -> None:
    """A unit with a vertical kernel detects vertical strokes and nothing else."""
    upright = np.array([[-1, 0, 2, 0, -1]] * 5) / 4
    kernel = np.stack([upright, upright.T], axis=-1)[:, :, None]
    concepts = {
        name: overlap for name, overlap in draw_concepts(SIZE, np.random.default_rng(0)).items() if "stroke" in name
    }
    images = np.concatenate([shown for shown, _ in concepts.values()])
    overlap = overlaps(run_in_process(_feature_maps, kernel, images), np.stack([mask for _, mask in concepts.values()]))
    assert [[*concepts][i] for i in overlap.argmax(axis=1)] == ["vertical stroke", "horizontal stroke"]
    assert overlap.max(axis=1).min() > MIN_OVERLAP


def test_overlap_of_a_mask_with_itself_is_one() -> None:
    """A unit that fires exactly on the mask has overlap 1; a constant unit has 0."""
    masks = np.zeros((2, 5, 8, 8), dtype=bool)
    masks[0, :, 3, 3] = True  # fewer pixels than the top share of a unit
    masks[1, :, :, :4] = True
    maps = np.stack([masks[0], np.zeros_like(masks[0])], axis=-1).astype(float)
    shown = np.concatenate([maps, np.zeros_like(maps)])
    assert overlaps(shown, masks).tolist() == [[1.0, 0.0], [0.0, 0.0]]


def _save_sums(path: str) -> None:
    """Save a network for labels and one for numbers that use the names of Keras' operations."""
    import keras

    for name, activation in (("labels", "softmax"), ("one_label", "sigmoid"), ("numbers", "linear")):
        features = keras.Input((4,), name="features")
        hidden = keras.layers.Dense(4)(features) + features
        hidden = keras.ops.concatenate([keras.ops.log(keras.ops.square(hidden) + 1.0), -hidden], axis=-1)
        units = 3 if name == "labels" else 1
        halves = [keras.layers.Dense(units, activation)(hidden) for _ in range(2)]
        keras.Model(features, keras.ops.mean(keras.ops.stack(halves), axis=0)).save(f"{path}/{name}.keras")


def _score_sums(path: str) -> dict[str, list[Any]]:
    """Load them as a new process does, and return outputs and scores."""
    import keras

    from tiltyard.explain.math.network_view import open_network

    rows, found = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32), {}
    for name in ("labels", "one_label", "numbers"):
        loaded = keras.saving.load_model(f"{path}/{name}.keras", compile=False)
        view = open_network(loaded, labels=name != "numbers")
        found[name] = [np.asarray(loaded(rows)), view.activations(rows, [view.scores])[0]]
    return found


def test_scores_of_a_loaded_network_whose_operations_have_usual_names(tmp_path: Path) -> None:
    """Scores are operations, too: their names may not be those that the network has from another process."""
    run_in_process(_save_sums, str(tmp_path))
    found = run_in_process(_score_sums, str(tmp_path))
    outputs, scores = found["labels"]
    assert np.allclose(scores, np.log(outputs), atol=1e-5)
    outputs, scores = found["one_label"]
    assert np.allclose(scores[:, 1] - scores[:, 0], np.log(outputs / (1 - outputs))[:, 0], atol=1e-4)
    outputs, scores = found["numbers"]
    assert np.allclose(scores, outputs, atol=1e-6)


def _read_ensemble() -> tuple[list[str], list[float], Any]:
    """Read the graph of an ensemble whose members share names, with batch normalization and fused activations."""
    import keras

    from tiltyard.explain.math.network_view import open_network
    from tiltyard.training.ensemble import join

    def member(seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        features = keras.Input((8, 8, 1), name="features")
        x = keras.layers.Rescaling(1 / 255, name="standard")(features)
        x = keras.layers.Conv2D(3, 3, activation="relu")(x)
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, use_bias=False)(x))
        x = keras.layers.Flatten()(keras.layers.Activation("relu")(x))
        return keras.Model(features, keras.layers.Dense(3, activation="softmax", name="output")(x))

    joined = join([member(0), member(1)], [0.5, 0.5])
    network, rows = open_network(joined, labels=True), np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1))
    output, scores = network.activations(rows, [network.output, network.scores])
    before = np.asarray(joined(rows))
    return (
        [*network.hidden],
        [float(np.abs(output - before).max()), float(np.abs(scores - np.log(before)).max())],
        [layer.output.shape for layer in network.hidden.values()],
    )


def test_graph_of_an_ensemble_is_read() -> None:
    """Members' layers are hidden layers, output layers are not, and the output stays the same."""
    names, differences, shapes = run_in_process(_read_ensemble)
    assert names == [f"convolution {number}" for number in (1, 2, 3, 4)]
    assert max(differences) < 1e-5
    assert sorted({shape[-1] for shape in shapes}) == [3, 4]


def _retrain(root: str) -> tuple[str, dict[str, Any], float]:
    """Run svcca_epochs; return also the difference between the retrained layer and that of the stored model."""
    import os

    from tiltyard.explain.explain import load_model
    from tiltyard.explain.methods.svcca_epochs import SvccaEpochs, _train_again

    os.chdir(root)
    model = load_model(workspace := Workspace(Path(root)), loader.load(workspace, "iris"))
    (figure,) = SvccaEpochs().of_model(model)
    features = model.validation[0]
    (stored,) = model.network_view.activations(features, [model.network_view.hidden["dense 1"].output])
    _, retrained = _train_again(model, features)
    return figure.kind, figure.data, float(np.abs(retrained["dense 1"] - stored).max())


def test_retraining_gives_the_same_model(trained_project: Workspace) -> None:
    """Each layer ends as in the explained model, and the recorded epochs are powers of two and the last."""
    kind, data, difference = run_in_process(_retrain, str(trained_project.root))
    assert kind == "lines"
    assert difference < 1e-6
    layer, floor = data["lines"]
    assert layer["x"] == [1, 2, 3]
    assert layer["y"][-1] > 0.9
    assert floor["dashed"]


def test_concept_shapes_include_strokes() -> None:
    """There are strokes in four directions, and shapes made of them."""
    assert len(SHAPES) >= 10
    assert sum("stroke" in name for name in SHAPES) == 4
