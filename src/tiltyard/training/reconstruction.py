"""Training of autoencoders: noise on the input alone, penalties of the code, and the model that is exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from tiltyard.arrays import Array
from tiltyard.modeling.models.autoencoder import CODE, Autoencoder, Sparsity

STANDARD = "standard"  # name of the layer that standardises the features
LEAST_MEAN = 1e-6  # activation for which the divergence is computed
FLOOR, CODE_FLOOR, ERROR_FLOOR = 1e-2, 1e-1, 1e-4  # of features, codes and errors
ROWS = 2000  # validation rows of which codes are measured
SLOPES: dict[str, Callable[[Any], Any]] = {  # the derivative of an activation, from its value
    "linear": ops.ones_like,
    "relu": lambda code: ops.cast(code > 0, code.dtype),
    "sigmoid": lambda code: code * (1 - code),
    "tanh": lambda code: 1 - ops.square(code),
}


class InputNoise(keras.layers.Layer):  # type: ignore[misc]
    """Gaussian noise in training only, in shares of the scale of each feature; pixels stay within their range."""

    def __init__(self, size: float, scale: Array, *, pixels: bool, seed: int) -> None:
        super().__init__()
        self.deviation = (size * scale).astype(np.float32)
        self.highest = float(scale.max()) if pixels else None
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, features: Any, training: bool = False) -> Any:  # noqa: D102 - Keras' own
        if not training:
            return features
        noisy = features + self.deviation * keras.random.normal(ops.shape(features), seed=self.generator)
        return noisy if self.highest is None else ops.clip(noisy, 0.0, self.highest)


class ReconstructionTrainer(keras.Model):  # type: ignore[misc]
    """A model whose outputs are reconstruction and code, side by side; penalties of the code count in training only."""

    penalty: Callable[[Any], Any] | None = None

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss of the reconstruction, in training with the penalty."""
        width = y.shape[-1]
        loss = super().compute_loss(x, y, y_pred[:, :width], sample_weight, training)
        return loss + self.penalty(y_pred[:, width:]) if training and self.penalty else loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Compute the metrics of the reconstruction."""
        return super().compute_metrics(x, y, y_pred[:, : y.shape[-1]], sample_weight)


def build_trainer(model: Autoencoder, body: keras.Model, augmentation: keras.Sequential | None, seed: int) -> Any:
    """Put augmentation and noise in front of the body, and the code beside its output."""
    features = x = keras.Input(body.input_shape[1:], name="features")
    x = augmentation(x) if augmentation else x
    if model.noise:
        scale, pixels = 1 / np.asarray(body.get_layer(STANDARD).scale), len(body.input_shape) == 4
        x = InputNoise(model.noise, scale, pixels=pixels, seed=seed)(x)
    both = keras.Model(body.input, [body.output, body.get_layer(CODE).output])
    trainer = ReconstructionTrainer(features, ops.concatenate(both(x), axis=-1))
    trainer.penalty = _penalty(model, body)
    return trainer


def _penalty(model: Autoencoder, body: keras.Model) -> Callable[[Any], Any] | None:
    """Return the penalty of a batch of codes; None if there is none."""
    sparsity, contraction = model.sparsity, model.contraction
    if not (sparsity or contraction):
        return None
    layer, slope = body.get_layer(CODE), SLOPES[model.activation_of_code]

    def penalty(code: Any) -> Any:
        total = divergence(sparsity, code) if sparsity else 0.0
        return total + contraction * ops.mean(squared_norms(slope(code), layer.kernel)) if contraction else total

    return penalty


def divergence(sparsity: Sparsity, code: Any) -> Any:
    """Return the weighted sum of the Kullback-Leibler divergences of mean activations from rho."""
    rho, mean = sparsity.rho, ops.clip(ops.mean(code, axis=0), LEAST_MEAN, 1 - LEAST_MEAN)
    parts = rho * ops.log(rho / mean) + (1 - rho) * ops.log((1 - rho) / (1 - mean))
    return sparsity.weight * ops.sum(parts)


def squared_norms(slopes: Any, kernel: Any) -> Any:
    """Return the squared Frobenius norm of the code's derivatives by the features, for each row.

    The derivative of number j by feature i is its slope times the weight between both, since one layer is between them.
    """
    return ops.matmul(ops.square(slopes), ops.sum(ops.square(kernel), axis=0))


def build_inference(body: keras.Model) -> keras.Model:
    """Return the model that is exported: reconstruction, code and error, side by side."""
    features = keras.layers.Flatten(dtype="float32")(body.get_layer(STANDARD).output)
    output, code = (keras.layers.Activation("linear", dtype="float32")(part) for part in _parts(body))
    error = ops.mean(ops.square(output - features), axis=-1, keepdims=True)
    return keras.Model(body.input, ops.concatenate([output, code, error], axis=-1))


def _parts(body: keras.Model) -> tuple[Any, Any]:
    return body.output, body.get_layer(CODE).output


def floors(outputs: int, code: int) -> Array:
    """Return for each output the size below which a difference of ONNX and Keras is relative to it.

    A number of a code near 0 is a sum of many larger ones, whose rounding it keeps.
    """
    sizes = [FLOOR] * (outputs - code - 1) + [CODE_FLOOR] * code + [ERROR_FLOOR]
    return np.array(sizes)


def facts(model: Autoencoder, body: keras.Model, features: Array) -> dict[str, Any]:
    """Return what is known of the codes of some rows: their mean, and the mean squared norm of their derivatives."""
    encoder = keras.Model(body.input, body.get_layer(CODE).output)
    code = ops.convert_to_tensor(np.asarray(encoder(features.astype(np.float32), training=False)))
    found: dict[str, Any] = {"numbers": model.code_size, "mean_activation": float(ops.mean(code))}
    if model.kind == "dense" and not model.units:
        norms = squared_norms(SLOPES[model.activation_of_code](code), body.get_layer(CODE).kernel)
        found["squared_derivatives"] = float(ops.mean(norms))
    return found
