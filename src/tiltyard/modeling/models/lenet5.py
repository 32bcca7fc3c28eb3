"""LeNet-5: the simplified form that is usual with Keras, or that of LeCun, Bottou, Bengio and Haffner (1998)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from tiltyard.arrays import Array
from tiltyard.modeling.models._digit_bitmaps import digit_codes
from tiltyard.modeling.models._layers import Activation, ConvLayers

if TYPE_CHECKING:
    import keras

SIDE = 32  # pixels; smaller images are padded with black
# The maps among the 6 of the layer before that each of the 16 maps of the third layer reads (table I of the paper).
INPUT_MAPS = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)


class Lenet5(ConvLayers):
    """Two convolutions with pooling, then dense layers of 120 and 84."""

    modalities: ClassVar = ("image",)

    family: Literal["lenet5"]
    form: Literal["keras", "paper"] = Field(
        "keras", description="paper: as published, with a sparse third layer, learned pooling and output codes."
    )
    codes: Literal["fixed", "trainable", "bitmap"] = Field(
        "fixed",
        description="The paper's output code of each class, of +1 and -1: drawn at random, and learned if trainable; "
        "bitmap: the digits 0 to 9 as pictures of 7x12 pixels, for ten classes in this order.",
    )
    activation: Activation = "tanh"

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the hidden layers; both forms have layers of the same sizes."""
        from keras import layers

        x = self._padded(features)
        x = self._pooled(self.convolution(x, 6, 5, padding="valid", activate=not self._paper))
        if self._paper:
            parts = [self._convolve_maps(x, maps) for maps in INPUT_MAPS]
            x = layers.Concatenate()(parts)
        else:
            x = self.convolution(x, 16, 5, padding="valid")
        x = layers.Flatten()(self._pooled(x))
        if not self._paper:
            return self.add_dense_layers(x, [120, 84])
        for index, width in enumerate((120, 84)):
            x = self.apply_dropout(_scaled_tanh(layers.Dense(width, **self.weights())(x)), index, 2)
        return x

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the output layer: a softmax of the negative distances from the codes of the classes (RBF units)."""
        from keras import initializers, layers, ops

        if not self._paper:
            return super().head(x, units, activation)
        if self.regularize_output:
            raise ValueError("regularize_output: expected false for the paper's form, whose output layer has codes")
        if activation != "softmax":
            raise ValueError(f"output: expected softmax for the paper's form; received {activation}")
        signs = self._signs(x.shape[-1], units)
        codes = layers.Dense(
            units,
            use_bias=False,
            kernel_initializer=initializers.Constant(signs.tolist()),
            trainable=self.codes == "trainable",
            dtype="float32",
            name="codes",
        )
        # |x - code|^2 = |x|^2 - 2 x code + |code|^2; the outputs of the layer for unit vectors are the codes
        unit_vectors = ops.sum(ops.zeros_like(x), axis=0, keepdims=True) + np.eye(x.shape[-1], dtype=np.float32)
        squared_norms = ops.sum(ops.square(codes(unit_vectors)), axis=0)
        distances = ops.sum(ops.square(x), axis=1, keepdims=True) - 2.0 * codes(x) + squared_norms
        return layers.Activation("softmax", dtype="float32", name="output")(-distances)

    def _signs(self, length: int, classes: int) -> Array:
        """Return a column of +1 and -1 for each class."""
        if self.codes != "bitmap":
            return np.random.default_rng(0).choice([-1.0, 1.0], (length, classes))
        if classes != (known := digit_codes()).shape[1]:
            raise ValueError(f"codes: expected {known.shape[1]} classes, the digits, for bitmap; received {classes}")
        return known

    @property
    def _paper(self) -> bool:
        return self.form == "paper"

    def _padded(self, x: keras.KerasTensor) -> keras.KerasTensor:
        from keras import layers

        missing = [max(0, SIDE - size) for size in x.shape[1:3]]
        padding = [(size // 2, size - size // 2) for size in missing]
        return layers.ZeroPadding2D(padding)(x) if any(missing) else x

    def _pooled(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Pool by 2; in the paper's form each map also has a gain, a bias and an activation."""
        from keras import layers

        x = layers.AveragePooling2D(2)(x)
        return _scaled_tanh(layers.DepthwiseConv2D(1, depthwise_initializer="ones")(x)) if self._paper else x

    def _convolve_maps(self, x: keras.KerasTensor, maps: tuple[int, ...]) -> keras.KerasTensor:
        """Convolve some of the maps to one map; grouped convolutions cannot be exported to ONNX."""
        from keras import ops

        return self.convolution(ops.take(x, list(maps), axis=-1), 1, 5, padding="valid", activate=False)


def _scaled_tanh(x: keras.KerasTensor) -> keras.KerasTensor:
    """Apply the paper's scaled tanh, which is 1 at 1 and -1 at -1."""
    from keras import ops

    return 1.7159 * ops.tanh(x * (2 / 3))
