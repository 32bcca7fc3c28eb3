"""Tests of explanations by layers: what they hold, how alike they are, what their units find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspaces import run_in_process

from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.explain.math.svcca import chance, pooled, svcca
from tiltyard.explain.math.synthetic_concepts import SHAPES, TIMES, drawn
from tiltyard.explain.methods.activations import neighbours, principal
from tiltyard.explain.methods.dissection import FINDS, overlaps
from tiltyard.workspace import Workspace

DICE = np.random.default_rng(0)
SIZE = (16, 16, 1)


def test_the_principal_plane_is_exact() -> None:
    """Points in a plane keep their distances, all variance is told, and further axes add nothing."""
    flat = DICE.normal(size=(50, 2)) * [3.0, 1.0]
    turned, _ = np.linalg.qr(DICE.normal(size=(10, 10)))
    found, shares = principal(np.hstack([flat, np.zeros((50, 8))]) @ turned + 5)
    assert shares.sum() == pytest.approx(1)
    before, after = (np.linalg.norm(one[:, None] - one[None], axis=-1) for one in (flat, found))
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_a_single_direction_lies_in_the_plane_too() -> None:
    """One unit gives points on a line."""
    found, shares = principal(np.arange(5.0)[:, None])
    assert found.shape == (5, 2)
    assert not found[:, 1].any()
    assert shares.tolist() == [1.0]


def test_neighbours_stay_neighbours() -> None:
    """Two clusters stay apart under t-SNE, and the same rows give the same points."""
    rows = np.vstack([DICE.normal(size=(30, 6)), DICE.normal(size=(30, 6)) + 12])
    found = neighbours(rows, 0)
    first, second = found[:30], found[30:]
    gap = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert gap > 3 * max(first.std(), second.std()) / 2
    inside = np.linalg.norm(found[:, None] - found[None], axis=-1) + np.diag(np.full(60, np.inf))
    assert all((place < 30) == (near < 30) for place, near in enumerate(inside.argmin(axis=1)))
    np.testing.assert_array_equal(found, neighbours(rows, 0))


def test_svcca_sees_through_linear_maps() -> None:
    """It is 1 after a rotation, a scale and a shift, and for what is a linear map of what varies; and symmetric."""
    rows = DICE.normal(size=(500, 6))
    turned, _ = np.linalg.qr(DICE.normal(size=(6, 6)))
    assert svcca(rows, rows @ turned * 3 + 1) == pytest.approx(1)
    assert svcca(rows, rows @ (turned + 0.3 * np.eye(6))) == pytest.approx(1)
    other = DICE.normal(size=(500, 9)) + np.hstack([rows, rows[:, :3]])
    assert svcca(rows, other) == pytest.approx(svcca(other, rows))
    assert 0.5 < svcca(rows, other) < 0.95


def test_svcca_of_noise_is_low() -> None:
    """What has nothing in common correlates by chance alone; what never varies, with nothing."""
    rows, noise = DICE.normal(size=(2000, 6)), DICE.normal(size=(2000, 6))
    assert svcca(rows, noise) < 0.1
    assert chance(rows, rows, np.random.default_rng(0)) < 0.1
    assert svcca(rows, np.ones((2000, 3))) == 0


def test_noise_below_the_kept_variance_counts_nothing() -> None:
    """A faint direction of noise beside a strong one that both share is left out."""
    strong = DICE.normal(size=(500, 1)) * 100
    one, other = (np.hstack([strong, DICE.normal(size=(500, 1))]) for _ in range(2))
    assert svcca(one, other) > 0.99


def test_maps_and_steps_count_by_their_mean() -> None:
    """A row is a row, whatever its size."""
    assert pooled(np.arange(24.0).reshape(2, 2, 2, 3)).tolist() == [[4.5, 5.5, 6.5], [16.5, 17.5, 18.5]]
    assert pooled(np.ones((2, 5, 3))).shape == (2, 3)
    assert pooled(np.ones((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (16, 20, 3)])
def test_each_concept_is_where_its_mask_says(shape: tuple[int, int, int]) -> None:
    """Pictures have the model's size and range; masks are neither empty nor all; colours come with three channels."""
    found = drawn(shape, np.random.default_rng(0))
    assert ("red" in found) == (shape[-1] == 3)
    for name, (shown, mask) in found.items():
        assert shown.shape == (TIMES, *shape)
        assert 0 <= shown.min() <= shown.max() <= 255
        assert 0 < mask.mean() < 0.6, name
        inside = shown.max(axis=-1)
        assert inside[mask].mean() > 3 * inside[~mask].mean(), name


def _dissected(kernel: Array, pictures: Array) -> Array:
    """Return the maps of a convolution that was made by hand."""
    import keras

    features = keras.Input(SIZE)
    layer = keras.layers.Conv2D(kernel.shape[-1], kernel.shape[:2], padding="same", activation="relu")
    model = keras.Model(features, layer(features))
    layer.set_weights([kernel, np.full(kernel.shape[-1], -1.0)])
    return np.asarray(model(pictures / 255))


def test_a_stroke_detector_is_found() -> None:
    """A unit that adds up five pixels of a column and takes off those beside them finds vertical strokes alone."""
    upright = np.array([[-1, 0, 2, 0, -1]] * 5) / 4
    kernel = np.stack([upright, upright.T], axis=-1)[:, :, None]
    concepts = {name: found for name, found in drawn(SIZE, np.random.default_rng(0)).items() if "stroke" in name}
    pictures = np.concatenate([shown for shown, _ in concepts.values()])
    found = overlaps(run_in_process(_dissected, kernel, pictures), np.stack([mask for _, mask in concepts.values()]))
    assert [[*concepts][place] for place in found.argmax(axis=1)] == ["vertical stroke", "horizontal stroke"]
    assert found.max(axis=1).min() > FINDS


def test_a_mask_overlaps_with_itself_wholly() -> None:
    """A unit that fires just where the concept is has 1; one that is the same everywhere finds nothing."""
    masks = np.zeros((2, 5, 8, 8), dtype=bool)
    masks[0, :, 3, 3] = True  # fewer places than a unit's top share
    masks[1, :, :, :4] = True
    maps = np.stack([masks[0], np.zeros_like(masks[0])], axis=-1).astype(float)
    shown = np.concatenate([maps, np.zeros_like(maps)])
    assert overlaps(shown, masks).tolist() == [[1.0, 0.0], [0.0, 0.0]]


def _walked() -> tuple[list[str], list[float], Any]:
    """Walk through an ensemble whose members have the same names, with batch norm and activations fused or not."""
    import keras

    from tiltyard.explain.math.network_view import opened
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
    inside, rows = opened(joined, labels=True), np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1))
    output, scores = inside.see(rows, [inside.output, inside.scores])
    before = np.asarray(joined(rows))
    return (
        [*inside.hidden],
        [float(np.abs(output - before).max()), float(np.abs(scores - np.log(before)).max())],
        [one.output.shape for one in inside.hidden.values()],
    )


def test_an_ensemble_is_walked_through() -> None:
    """Members' layers are hidden layers, heads are not, and what comes out is what came out before."""
    names, differences, shapes = run_in_process(_walked)
    assert names == [f"convolution {number}" for number in (1, 2, 3, 4)]
    assert max(differences) < 1e-5
    assert sorted({shape[-1] for shape in shapes}) == [3, 4]


def _once_more(root: str) -> tuple[str, dict[str, Any], float]:
    """Follow a training by epochs; give also how far the kept layer is from that of the model which is there."""
    import os

    from tiltyard.explain.explain import opened
    from tiltyard.explain.methods.svcca_epochs import SvccaEpochs, _trained

    os.chdir(root)
    model = opened(workspace := Workspace(Path(root)), loader.load(workspace, "iris"))
    (found,) = SvccaEpochs().of_model(model)
    features = model.known[0]
    (there,) = model.inside.see(features, [model.inside.hidden["dense 1"].output])
    _, kept = _trained(model, features)
    return found.kind, found.data, float(np.abs(kept["dense 1"] - there).max())


def test_training_once_more_gives_the_same_model(trained_project: Workspace) -> None:
    """Each layer comes to what it is in the model that is explained, and the epochs between are powers of two."""
    kind, data, difference = run_in_process(_once_more, str(trained_project.root))
    assert kind == "lines"
    assert difference < 1e-6
    layer, floor = data["lines"]
    assert layer["x"] == [1, 2, 3]
    assert layer["y"][-1] > 0.9
    assert floor["dashed"]


def test_shapes_have_names() -> None:
    """Strokes in four directions and what is made of them."""
    assert len(SHAPES) >= 10
    assert sum("stroke" in name for name in SHAPES) == 4
