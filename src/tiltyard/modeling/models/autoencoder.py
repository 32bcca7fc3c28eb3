"""Autoencoder: an encoder that returns a code of few numbers, and a decoder that returns the row from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator

from tiltyard.modeling.models._layers import ConvLayers
from tiltyard.settings import Settings

if TYPE_CHECKING:
    import keras

CODE = "code"  # name of the layer that returns the code
DISTRIBUTION = "distribution"  # name of the layer after which a variational code is drawn in training
STRIDE = 2  # of a convolution: each halves height and width
BOUNDED = ("sigmoid",)  # activations of a code with a target for its mean
SMOOTH = ("linear", "relu", "sigmoid", "tanh")  # activations whose slope follows from their value


class Sparsity(Settings):
    """A penalty on codes whose mean activation differs from a small number."""

    rho: float = Field(0.05, gt=0, lt=1, description="The mean activation that each number of the code shall have.")
    weight: float = Field(
        gt=0, description="Weight of the penalty: the sum of the Kullback-Leibler divergences from rho, over the code."
    )


class Autoencoder(ConvLayers):
    """Dense or convolutional layers to the code, and the same in reverse order to the reconstruction."""

    modalities: ClassVar = ("table", "image", "series")
    reconstructs: ClassVar = True

    family: Literal["autoencoder"]
    kind: Literal["dense", "conv"] = Field("dense", description="Layers before and after the code; conv for images.")
    units: list[int] = Field([128], description="dense: width of each layer before the code; reversed after it.")
    filters: list[int] = Field(
        [16, 32], min_length=1, max_length=6, description="conv: filters of each convolution, with stride 2."
    )
    code: int = Field(32, ge=1, le=4096, description="How many numbers the code has.")
    code_activation: Literal["linear", "relu", "sigmoid", "tanh"] | None = Field(
        None, description="Activation of the code; linear if unset, sigmoid with sparsity or contraction."
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Denoising: standard deviation of noise that is added to the input in training, in shares of the "
        "brightest pixel or in standard deviations of a number; the target stays clean.",
    )
    sparsity: Sparsity | None = Field(None, description="A pull of the code towards a small activation; none if unset.")
    contraction: float = Field(
        0.0, ge=0, description="Weight of the squared norm of the code's derivatives by the input; needs units: []."
    )
    variational: float = Field(
        0.0,
        ge=0,
        description="Variational: weight of the divergence (nats) of the code's distribution from a standard normal "
        "one. Codes are drawn from it in training, and are its mean elsewhere. With binary_crossentropy, 1 divided by "
        "the number of features gives the bound of the likelihood (ELBO).",
    )

    _shape: tuple[int, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _check_layers(self) -> Autoencoder:
        if self.kind == "conv" and "units" in self.model_fields_set:
            raise ValueError("units: expected for kind: dense; received them for conv, which has filters")
        if self.kind == "dense" and "filters" in self.model_fields_set:
            raise ValueError("filters: expected for kind: conv; received them for dense, which has units")
        if self.sparsity and self.activation_of_code not in BOUNDED:
            raise ValueError(f"sparsity: expected code_activation: sigmoid; received {self.code_activation}")
        if self.contraction and (self.kind != "dense" or self.units):
            received = "convolutions" if self.kind == "conv" else f"units: {self.units}"
            raise ValueError(f"contraction: expected one layer before the decoder, units: []; received {received}")
        if self.variational and (self.sparsity or self.contraction or self.activation_of_code != "linear"):
            raise ValueError("variational: expected a linear code without sparsity and contraction; received others")
        return self

    @property
    def activation_of_code(self) -> str:
        """The activation of the code."""
        return self.code_activation or ("sigmoid" if self.sparsity or self.contraction else "linear")

    @property
    def code_size(self) -> int:
        """The number of numbers of the code."""
        return self.code

    @property
    def random_in_training(self) -> bool:
        """Whether layers are replaced in training."""
        return self.variational > 0 or super().random_in_training

    def training_layer(self, layer: Any, seed: int) -> Any:
        """Draw the code from its distribution."""
        from tiltyard.modeling.models._random_layers import DrawnCode

        if layer.name == DISTRIBUTION:
            return DrawnCode(self.variational, seed)
        return super().training_layer(layer, seed)

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build encoder, code and the decoder up to its last hidden layer."""
        self._shape = features.shape[1:]
        if self.kind == "conv" and len(self._shape) != 3:
            raise ValueError("kind: conv needs images; use dense")
        return self._convolutional(features) if self.kind == "conv" else self._dense(features)

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the output layer: one output for each feature, flat."""
        from keras import layers

        if self.kind == "dense":
            return super().head(x, units, activation)
        height, width, channels = self._shape
        excess = [(0, size - limit) for size, limit in zip(x.shape[1:3], (height, width), strict=True)]
        x = layers.Cropping2D(excess)(x) if any(end for _, end in excess) else x
        x = layers.Conv2D(channels, 3, padding="same", activation=activation, dtype="float32")(x)
        return layers.Flatten(dtype="float32", name="output")(x)

    def _dense(self, features: keras.KerasTensor) -> keras.KerasTensor:
        from keras import layers

        x = self.add_dense_layers(layers.Flatten()(features), self.units)
        return self.add_dense_layers(self._code(x), self.units[::-1])

    def _convolutional(self, features: keras.KerasTensor) -> keras.KerasTensor:
        from keras import layers

        x = features
        for filters in self.filters:
            x = self.convolution(x, filters, 3, strides=STRIDE)
        maps = x.shape[1:]
        x = self._code(layers.Flatten()(x))
        x = self.apply_activation(layers.Dense(math.prod(maps), **self.weights())(x))
        x = layers.Reshape(maps)(x)
        for filters in self.filters[::-1]:
            x = layers.Conv2DTranspose(filters, 3, strides=STRIDE, padding="same", **self.weights(incoming=3))(x)
            x = self.finish_convolution(x)
        return x

    def _code(self, x: keras.KerasTensor) -> keras.KerasTensor:
        from keras import layers

        if self.variational:
            both = layers.Dense(2 * self.code, dtype="float32", name="mean_and_log_variance", **self.weights())(x)
            drawn = layers.Identity(dtype="float32", name=DISTRIBUTION)(both)
            return layers.Identity(dtype="float32", name=CODE)(drawn[:, : self.code])
        return layers.Dense(
            self.code, activation=self.activation_of_code, dtype="float32", name=CODE, **self.weights()
        )(x)
