"""Layers with the settings that all families share: initialisation, regularisation, batch norm, dropout."""

from __future__ import annotations

from operator import not_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras

_Rectifier = Literal["relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus"]
Activation = Literal[_Rectifier, "tanh", "sigmoid", "hard_sigmoid", "softsign", "linear"]
_VarianceScaling = Literal[
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"
]
Initializer = Literal[
    _VarianceScaling, "orthogonal", "random_uniform", "random_normal", "truncated_normal", "zeros", "ones"
]
Share = Annotated[float, Field(ge=0, lt=1)]


class WeightSettings(Model):
    """Initialisation, regularisation and norm constraint of weights."""

    initializer: Initializer | None = Field(
        None, description="Initializer of the weights of hidden layers; Keras' default if unset."
    )
    l1: float = Field(0.0, ge=0, description="Penalty on the sum of absolute weights.")
    l2: float = Field(0.0, ge=0, description="Penalty on the sum of squared weights.")
    max_norm: float | None = Field(None, gt=0, description="Maximum norm of the weights of a unit.")

    def weights(self, *parts: str, incoming: int = 1) -> dict[str, Any]:
        """Return keyword arguments for the weights of a layer; the first `incoming` axes are inputs of a unit."""
        from keras import constraints, regularizers

        options: dict[str, Any] = {}
        for part in parts or ("kernel",):
            axes = [*range(incoming - 1 if part == "depthwise" else incoming)]  # one filter for each input map
            if self.initializer:
                options[f"{part}_initializer"] = self.initializer
            if self.l1 or self.l2:
                options[f"{part}_regularizer"] = regularizers.L1L2(self.l1, self.l2)
            if self.max_norm:
                options[f"{part}_constraint"] = constraints.MaxNorm(self.max_norm, axes)
        return options


class DenseLayers(WeightSettings):
    """Dense layers, each with its activation, batch norm and dropout."""

    normal_dense: ClassVar[bool] = True  # whether `batch_norm` applies to dense layers

    activation: Activation = Field("relu", description="Activation of the hidden layers.")
    slope: float | None = Field(None, ge=0, description="Slope of leaky_relu below 0; 0.2, as in Keras, if unset.")
    batch_norm: bool = Field(
        default=False, description="Batch normalisation after each hidden layer; for images, after each convolution."
    )
    dropout: Share | list[Share] = Field(
        0.0, description="Dropout rate after each hidden layer, or a list with one rate for each."
    )
    regularize_output: bool = Field(
        default=False,
        exclude_if=not_,
        description="Apply initializer, l1, l2 and max_norm to the output layer, too.",
    )

    @model_validator(mode="after")
    def _has_regularizer(self) -> DenseLayers:
        if self.regularize_output and not (self.initializer or self.l1 or self.l2 or self.max_norm):
            raise ValueError("regularize_output: expected with initializer, l1, l2 or max_norm; received none of them")
        return self

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the output layer, with the settings of the hidden layers' weights if asked for."""
        from keras import layers

        if not self.regularize_output:
            return super().head(x, units, activation)
        return layers.Dense(units, activation=activation, dtype="float32", name="output", **self.weights())(x)

    def add_dense_layers(self, x: keras.KerasTensor, widths: list[int], first: int = 0) -> keras.KerasTensor:
        """Add one dense layer for each width; the first one is hidden layer number `first`, from 0."""
        from keras import layers

        for index, width in enumerate(widths, start=first):
            fused_activation = None if self._is_separate_layer else self.activation
            x = layers.Dense(width, activation=fused_activation, **self.weights())(x)
            x = self.apply_activation(x) if self._is_separate_layer else x
            x = layers.BatchNormalization()(x) if self.batch_norm and self.normal_dense else x
            x = self.apply_dropout(x, index, first + len(widths))
        return x

    def apply_activation(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Apply the activation as a separate layer; the positions of a feature map share a learned slope."""
        from keras import layers, ops

        if self.activation == "prelu":
            return layers.PReLU(shared_axes=[*range(1, len(x.shape) - 1)] or None)(x)
        if self.activation == "gelu":  # the tanh approximation: the exact one cannot be exported to ONNX
            return ops.gelu(x, approximate=True)
        if self._is_separate_layer:
            return layers.LeakyReLU(self.slope)(x)
        return layers.Activation(self.activation)(x)

    def apply_dropout(self, x: keras.KerasTensor, index: int, count: int) -> keras.KerasTensor:
        """Apply the dropout of the hidden layer `index`, of `count` layers."""
        from keras import layers

        if isinstance(self.dropout, list) and len(self.dropout) != count:
            raise ValueError(f"dropout: expected one share, or a list of {count}; received {self.dropout}")
        rate = self.dropout[index] if isinstance(self.dropout, list) else self.dropout
        return layers.Dropout(rate)(x) if rate else x

    @property
    def _is_separate_layer(self) -> bool:
        """Whether the activation needs a layer of its own, not only a name."""
        return self.activation in ("prelu", "gelu") or (self.activation == "leaky_relu" and self.slope is not None)


class DroppedLayers(DenseLayers):
    """Dense layers of which weights may be dropped in training, and features before the first layer."""

    input_dropout: Share = Field(
        0.0, exclude_if=not_, description="Share of the features (of an image, values of pixels) dropped in training."
    )
    drop_connect: Share = Field(
        0.0,
        exclude_if=not_,
        description="Share of the weights of hidden dense layers dropped in training, others in each batch.",
    )

    @model_validator(mode="after")
    def _check_units(self) -> DroppedLayers:
        if self.drop_connect and not getattr(self, "units", None):
            raise ValueError("drop_connect: expected hidden dense layers (units); received none")
        return self

    def drop_inputs(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Drop features, which are then their mean in training rows."""
        from keras import layers

        return layers.Dropout(self.input_dropout)(features) if self.input_dropout else features

    @property
    def random_in_training(self) -> bool:
        """Whether layers are replaced in training."""
        return self.drop_connect > 0

    def training_layer(self, layer: Any, seed: int) -> Any:
        """Return a dense layer that drops weights in place of a hidden one."""
        from keras import layers

        from tiltyard.modeling.models._random_layers import DropConnect

        if self.drop_connect and isinstance(layer, layers.Dense) and layer.name != "output":
            return DropConnect(layer, self.drop_connect, seed)
        return layer


class ConvLayers(DenseLayers):
    """Convolutions of images, each with batch norm, activation and spatial dropout."""

    normal_dense: ClassVar = False
    norm_scale: ClassVar[bool] = True  # whether batch norm learns a scale

    dropout: Share | list[Share] = Field(
        0.0, description="Dropout rate after each dense layer, or a list with one rate for each."
    )
    spatial_dropout: Share = Field(0.0, description="Share of feature maps dropped after each convolution.")

    def convolution(
        self,
        x: keras.KerasTensor,
        filters: int,
        kernel: int | tuple[int, int],
        *,
        activate: bool = True,
        **options: Any,
    ) -> keras.KerasTensor:
        """Add a convolution, by default with `same` padding; it has no bias if batch norm follows, which has one."""
        from keras import layers

        options = {"padding": "same", "use_bias": not self.batch_norm, **options}
        x = layers.Conv2D(filters, kernel, **options, **self.weights(incoming=3))(x)
        return self.finish_convolution(x, activate=activate)

    def finish_convolution(self, x: keras.KerasTensor, *, activate: bool = True) -> keras.KerasTensor:
        """Add batch norm, activation and spatial dropout after a convolution."""
        from keras import layers

        x = layers.BatchNormalization(scale=self.norm_scale)(x) if self.batch_norm else x
        x = self.apply_activation(x) if activate else x
        return layers.SpatialDropout2D(self.spatial_dropout)(x) if self.spatial_dropout else x


class WidthScaled(ConvLayers):
    """A published large network, with options for fewer filters and for small images."""

    width: float = Field(1.0, gt=0, le=4, description="Number of filters relative to the original.")
    small: bool = Field(
        default=False, description="For images of about 32x32: the first layers do not reduce the size."
    )

    def scaled(self, filters: int) -> int:
        """Return the scaled number of filters; it is even, since some networks split them into halves."""
        return max(2, 2 * round(filters * self.width / 2))
