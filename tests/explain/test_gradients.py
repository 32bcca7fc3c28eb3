"""Explanations by gradients, on networks small enough to know the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from linear_network import dense_network, view_of
from workspaces import run_in_process

from tiltyard.arrays import Array
from tiltyard.explain.math.heatmap import diverging, overlay, resize, to_colours

if TYPE_CHECKING:
    from tiltyard.explain.math.network_view import NetworkView

SIDE = 16


def _templates() -> Array:
    """Draw three smooth templates, each bright in one place and dark in another."""
    down, across = np.indices((SIDE, SIDE))
    indices = ((4, 4), (4, 11), (11, 8))
    spots = [np.exp(-((down - y) ** 2 + (across - x) ** 2) / 12) for y, x in indices]
    return np.stack([spot - 0.5 * spots[i - 1] for i, spot in enumerate(spots)], axis=-1)[:, :, None]


def _saliency_of_linear() -> tuple[Array, Array, Array]:
    weights = np.random.default_rng(0).normal(size=(5, 3))
    features = np.random.default_rng(1).normal(size=(7, 5))
    network = view_of(dense_network(weights))
    indices = network.top_outputs(features)
    return network.gradients(features, indices)[1], weights, indices


def test_gradient_of_a_linear_model_is_its_weights() -> None:
    """The gradient of the score before softmax is the weights of the label, for any row."""
    gradients, weights, indices = run_in_process(_saliency_of_linear)
    assert len(set(indices.tolist())) > 1
    np.testing.assert_allclose(gradients, weights.T[indices], rtol=1e-5)


def _saliency_of_sigmoid() -> tuple[Array, Array]:
    weights = np.array([[1.0], [-2.0]])
    features = np.array([[3.0, 0.0], [-3.0, 0.0]])
    network = view_of(dense_network(weights, "sigmoid"))
    return network.gradients(features, network.top_outputs(features))[1], network.activations(
        features, [network.scores]
    )[0]


def test_sigmoid_has_a_score_for_each_label() -> None:
    """The gradients of the two labels are opposite, and the softmax of the scores is the sigmoid."""
    gradients, scores = run_in_process(_saliency_of_sigmoid)
    np.testing.assert_allclose(gradients, [[0.5, -1.0], [-0.5, 1.0]], rtol=1e-5)
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], [3.0, -3.0], rtol=1e-5)


def _cam() -> tuple[Array, Array, Array]:
    """Return Grad-CAM and CAM of convolution, mean and dense layer, for an image with one bright patch."""
    import keras

    from tiltyard.explain.methods.grad_cam import heat_map

    keras.utils.set_random_seed(0)
    features = keras.Input((SIDE, SIDE, 1))
    maps = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(features)
    output = keras.layers.Dense(3, activation="softmax", name="output")
    model = keras.Model(features, output(keras.layers.GlobalAveragePooling2D()(maps)))
    model.layers[1].set_weights([np.abs(model.layers[1].get_weights()[0]), np.zeros(4)])
    weights = np.abs(output.get_weights()[0])
    output.set_weights([weights, np.zeros(3)])
    image = np.zeros((1, SIDE, SIDE, 1))
    image[0, 9:13, 2:6] = 255
    known = np.asarray(keras.Model(features, maps)(image))[0] @ weights[:, 1]
    return heat_map(cast("Any", _ModelWithNetwork(view_of(model))), image, 1), known, image[0, :, :, 0]


class _ModelWithNetwork:
    """The part of a model that Grad-CAM uses."""

    def __init__(self, network: NetworkView) -> None:
        self.network_view = network


def test_grad_cam_with_average_pooling_equals_cam() -> None:
    """It equals CAM up to the number of positions, and lies where the patch is."""
    heatmap, known, image = run_in_process(_cam)
    np.testing.assert_allclose(heatmap * SIDE * SIDE, known, rtol=1e-4, atol=1e-4)
    assert image[np.unravel_index(heatmap.argmax(), heatmap.shape)] == 255
    assert heatmap[:6, 8:].max() < 1e-6


def _maximized_correlations() -> list[float]:
    from tiltyard.explain.math.activation_maximization import PIXELS, maximize

    templates = _templates()
    network, indices = view_of(dense_network(templates)), np.arange(3, dtype=np.int32)
    images = maximize((3, SIDE, SIDE, 1), lambda x: network.gradients(x, indices)[1], PIXELS, np.random.default_rng(0))
    assert 0 <= images.min() <= images.max() <= 255
    return [float(np.corrcoef(images[k].ravel(), templates[..., k].ravel())[0, 1]) for k in indices]


def test_maximizing_a_linear_score_gives_its_template() -> None:
    """The image of each class looks like the weights of its score."""
    assert min(run_in_process(_maximized_correlations)) > 0.95


def _edges() -> tuple[float, float, bool]:
    """Return the mean difference of neighbours, down and across, in the image for a vertical edge detector."""
    import keras

    from tiltyard.explain.math.activation_maximization import PIXELS, maximize
    from tiltyard.explain.math.gradients import value_and_gradient
    from tiltyard.explain.math.network_view import mean_activation

    features = keras.Input((SIDE, SIDE, 1))
    layer = keras.layers.Conv2D(1, 3, activation="relu")
    model = keras.Model(features, keras.layers.Dense(2)(keras.layers.Flatten()(layer(features))))
    layer.set_weights([np.tile([1.0, 0.0, -1.0], (3, 1))[:, :, None, None], np.zeros(1)])
    network = view_of(model)
    gradients, unit = (
        value_and_gradient(mean_activation(network.submodel(network.hidden["convolution 1"].preactivation))),
        np.zeros(1, dtype=np.int32),
    )

    def maximize_once() -> Array:
        shape, dice = (1, SIDE, SIDE, 1), np.random.default_rng(0)
        return maximize(shape, lambda x: gradients(x, unit)[1], PIXELS, dice)

    image = maximize_once()[0, 2:-2, 2:-2, 0]
    down, across = (float(np.abs(np.diff(image, axis=axis)).mean()) for axis in (0, 1))
    return down, across, bool(np.array_equal(image, maximize_once()[0, 2:-2, 2:-2, 0]))


def test_maximizing_an_edge_detector_gives_an_edge() -> None:
    """The image of a vertical edge detector changes across and not down; it is the same each time."""
    down, across, same = run_in_process(_edges)
    assert across > 4 * down
    assert same


def _padding() -> tuple[Array, float]:
    """Return gradients by word, the last ones padding, and the difference between the perturbed and the plain score."""
    import keras

    keras.utils.set_random_seed(0)
    ids = keras.Input((5,))
    words = keras.layers.Embedding(9, 4, mask_zero=True)(ids)
    model = keras.Model(ids, keras.layers.Dense(3, activation="softmax", name="output")(keras.layers.LSTM(4)(words)))
    network, features = view_of(model), np.array([[3.0, 1.0, 4.0, 0.0, 0.0]], dtype=np.float32)
    assert network.embedding
    (vectors,) = network.activations(features, [network.embedding[1]])
    score, gradients = network.embedding_gradients(vectors, features, network.top_outputs(features))
    return gradients, float(score[0] - network.activations(features, [network.scores])[0].max())


def test_padding_has_no_gradient() -> None:
    """Padded steps have no gradient: the mask is kept when embeddings are perturbed."""
    gradients, difference = run_in_process(_padding)
    assert np.abs(gradients[0, :3]).max(axis=-1).min() > 0
    assert not gradients[0, 3:].any()
    assert abs(difference) < 1e-5


@pytest.mark.parametrize("size", [(8, 8), (5, 9)])
def test_enlarging_keeps_constants_and_the_maximum(size: tuple[int, int]) -> None:
    """A constant map stays constant, and the brightest position stays where it was."""
    assert np.allclose(resize(np.full((2, 3, 3), 7.0), size), 7)
    maps = np.zeros((1, 2, 2))
    maps[0, 1, 0] = 1
    enlarged = resize(maps, size)[0]
    assert enlarged.shape == size
    assert enlarged[-1, 0] == enlarged.max() == 1


def test_colour_maps() -> None:
    """Zero is dark, the largest value yellow; no change is grey; an image without heat stays as it is."""
    low, high = to_colours(np.array([[0.0, 1.0]]))[0]
    assert low.sum() < 10
    assert high.tolist() == [253, 231, 37]
    assert diverging(np.array([0.0, 2.0, -2.0])).tolist() == [127.5, 255, 0]
    assert np.allclose(overlay(np.full((8, 8, 1), 9.0), np.zeros((4, 4))), 9)
