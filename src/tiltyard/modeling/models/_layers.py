"""Layers with the settings that all families share: initialisation, regularisation, batch norm, dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras

_Bent = Literal["relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus"]
Activation = Literal[_Bent, "tanh", "sigmoid", "hard_sigmoid", "softsign", "linear"]
_Scaled = Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"]
Initializer = Literal[_Scaled, "orthogonal", "random_uniform", "random_normal", "truncated_normal", "zeros", "ones"]
Share = Annotated[float, Field(ge=0, lt=1)]


class Weighted(Model):
    """How weights begin, and what keeps them small."""

    initializer: Initializer | None = Field(None, description="Of the weights of hidden layers; Keras' own if unset.")
    l1: float = Field(0.0, ge=0, description="Penalty on the sum of absolute weights.")
    l2: float = Field(0.0, ge=0, description="Penalty on the sum of squared weights.")
    max_norm: float | None = Field(None, gt=0, description="Longest vector of weights into a unit.")

    def weights(self, *parts: str, incoming: int = 1) -> dict[str, Any]:
        """Return the keyword arguments of a layer for its weights, whose first `incoming` axes lead into a unit."""
        from keras import constraints, regularizers

        options: dict[str, Any] = {}
        for part in parts or ("kernel",):
            axes = [*range(incoming - 1 if part == "depthwise" else incoming)]  # a map of its own for each map
            if self.initializer:
                options[f"{part}_initializer"] = self.initializer
            if self.l1 or self.l2:
                options[f"{part}_regularizer"] = regularizers.L1L2(self.l1, self.l2)
            if self.max_norm:
                options[f"{part}_constraint"] = constraints.MaxNorm(self.max_norm, axes)
        return options


class DenseLayers(Weighted):
    """Dense layers, each with its activation, batch norm and dropout."""

    normal_dense: ClassVar[bool] = True  # whether `batch_norm` is meant for dense layers

    activation: Activation = "relu"
    slope: float | None = Field(None, ge=0, description="Of leaky_relu below 0; Keras' own, 0.2, if unset.")
    batch_norm: bool = Field(default=False, description="Behind each hidden layer; of pictures, each convolution.")
    dropout: Share | list[Share] = Field(0.0, description="Behind each hidden layer; or a list with one for each.")

    def stacked(self, x: keras.KerasTensor, widths: list[int], before: int = 0) -> keras.KerasTensor:
        """Stack one dense layer a width; `before` of the listed dropouts belong to layers before them."""
        from keras import layers

        for place, width in enumerate(widths, start=before):
            inline = None if self._is_layer else self.activation
            x = layers.Dense(width, activation=inline, **self.weights())(x)
            x = self.activated(x) if self._is_layer else x
            x = layers.BatchNormalization()(x) if self.batch_norm and self.normal_dense else x
            x = self.dropped(x, place, before + len(widths))
        return x

    def activated(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Apply the activation as a layer of its own; of maps, all places share a learned slope."""
        from keras import layers, ops

        if self.activation == "prelu":
            return layers.PReLU(shared_axes=[*range(1, len(x.shape) - 1)] or None)(x)
        if self.activation == "gelu":  # by tanh: the exact one does not survive the export to ONNX
            return ops.gelu(x, approximate=True)
        if self._is_layer:
            return layers.LeakyReLU(self.slope)(x)
        return layers.Activation(self.activation)(x)

    def dropped(self, x: keras.KerasTensor, place: int, places: int) -> keras.KerasTensor:
        """Drop units behind one of so many hidden layers."""
        from keras import layers

        if isinstance(self.dropout, list) and len(self.dropout) != places:
            raise ValueError(f"dropout: expected one share, or a list of {places}; received {self.dropout}")
        rate = self.dropout[place] if isinstance(self.dropout, list) else self.dropout
        return layers.Dropout(rate)(x) if rate else x

    @property
    def _is_layer(self) -> bool:
        """Whether the activation is more than a name that another layer may hold."""
        return self.activation in ("prelu", "gelu") or (self.activation == "leaky_relu" and self.slope is not None)


class ConvLayers(DenseLayers):
    """Convolutions over pictures, each with batch norm, activation and spatial dropout."""

    normal_dense: ClassVar = False

    dropout: Share | list[Share] = Field(0.0, description="Behind each dense layer; or a list with one for each.")
    spatial_dropout: Share = Field(0.0, description="Share of whole maps that is dropped behind each convolution.")

    def convolution(
        self, x: keras.KerasTensor, filters: int, kernel: int, *, active: bool = True, **options: Any
    ) -> keras.KerasTensor:
        """Convolve, keeping the size unless told otherwise; batch norm has a bias, so that none other is needed."""
        from keras import layers

        options = {"padding": "same", "use_bias": not self.batch_norm, **options}
        x = layers.Conv2D(filters, kernel, **options, **self.weights(incoming=3))(x)
        return self.finished(x, active=active)

    def finished(self, x: keras.KerasTensor, *, active: bool = True) -> keras.KerasTensor:
        """Put behind a convolution what belongs there."""
        from keras import layers

        x = layers.BatchNormalization()(x) if self.batch_norm else x
        x = self.activated(x) if active else x
        return layers.SpatialDropout2D(self.spatial_dropout)(x) if self.spatial_dropout else x


class WidthScaled(ConvLayers):
    """A large network of the literature, which can be made thinner, and ready for small pictures."""

    width: float = Field(1.0, gt=0, le=4, description="Share of the original's filters.")
    small: bool = Field(default=False, description="Let the first layers keep the size: for pictures of 32x32 or so.")

    def scaled(self, filters: int) -> int:
        """Return the number of filters; an even one, since some networks go in two halves."""
        return max(2, 2 * round(filters * self.width / 2))
