"""Transfer learning: the frozen or fine-tuned convolutions of another network under new dense layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr, SerializeAsAny, field_validator, model_validator

from tiltyard.errors import TrainingError
from tiltyard.modeling.models._base_task import network_part, trained_base, validated_base
from tiltyard.modeling.models._layers import DenseLayers
from tiltyard.modeling.models.base import Model, load_network

if TYPE_CHECKING:
    import keras

    from tiltyard.workspace import Workspace

# Networks for `weights_of: imagenet`: modules of keras.applications and their functions.
NETWORKS = {"vgg16": "VGG16", "vgg19": "VGG19", "resnet50": "ResNet50", "xception": "Xception"}
MEANS = np.array([103.939, 116.779, 123.68], dtype=np.float32)  # of blue, green, red, subtracted for all but xception


class Transfer(DenseLayers):
    """The convolutions of a base network, frozen except for the last blocks, then dense layers."""

    modalities: ClassVar = ("image",)

    family: Literal["transfer"]
    base: str | SerializeAsAny[Model] = Field(
        description="A trained task, for its weights; or the settings of a family, for random weights."
    )
    weights_of: Literal["task", "imagenet"] = Field(
        "task", description="imagenet: weights of keras.applications; base is then vgg16, resnet50, ..."
    )
    unfreeze: int = Field(0, ge=0, description="How many of the last blocks are trained: layers of one size.")
    ending: Literal["flatten", "average"] = Field("flatten", description="Flatten the maps, or pool them globally.")
    units: list[int] = Field([512], description="Width of each dense layer after the base.")

    _base_path: Path | None = PrivateAttr(None)

    @field_validator("base", mode="before")
    @classmethod
    def _validate_base(cls, base: Any) -> Any:
        """Validate settings by the family that they name."""
        return validated_base(base, "image", "transfer")

    @model_validator(mode="after")
    def _check_base(self) -> Transfer:
        if self.weights_of == "imagenet" and self.base not in NETWORKS:
            raise ValueError(f"base: expected {' or '.join(NETWORKS)} with imagenet; received {self.base}")
        if isinstance(self.base, Model) and self.base.blend_references:
            raise ValueError("base.blend_references: expected false; set model.blend_references, for the whole model")
        return self

    @property
    def base_task(self) -> str:
        """The base task; empty if the base is not a task."""
        return self.base if isinstance(self.base, str) and self.weights_of == "task" else ""

    def inherit(self, workspace: Workspace) -> dict[str, Any]:
        """Find the trained base; return its name and version for the record of the training."""
        if not self.base_task:
            return {"base": {"imagenet": self.base}} if isinstance(self.base, str) else {}
        self._base_path, provenance = trained_base(workspace, self.base_task)
        return provenance

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the base up to its last feature maps, then the dense layers."""
        from keras import layers

        x, base_model = self._base_model(features)
        freeze_all_but(base_model, self.unfreeze)
        x = base_model(x)
        x = layers.Flatten()(x) if self.ending == "flatten" else layers.GlobalAveragePooling2D()(x)
        return self.add_dense_layers(x, self.units)

    def _base_model(self, features: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.Model]:
        """Return the features as the base expects them, and the base."""
        import keras

        if isinstance(self.base, Model):
            inputs = keras.Input(features.shape[1:])
            return features, feature_extractor(keras.Model(inputs, self.base.build(inputs)), inputs)
        if self.weights_of == "imagenet":
            return _imagenet(self.base, features)
        if self._base_path is None:
            raise TrainingError(f"model.base: call inherit before build: it finds the weights of {self.base}")
        base_model = network_part(load_network(self._base_path), str(self.base))
        if base_model.input_shape != features.shape:
            expected, received = base_model.input_shape[1:], features.shape[1:]
            raise ValueError(f"base: expected images of {expected}, as in {self.base}; received {received}")
        return features, feature_extractor(base_model, base_model.get_layer("standard").output)


def feature_extractor(model: keras.Model, start: keras.KerasTensor) -> keras.Model:
    """Return the part of a model from `start` to its last feature maps."""
    import keras

    maps = [layer for layer in model.layers if len(layer.output.shape) == 4]
    if not any(layer.weights for layer in maps):
        raise ValueError("base: expected convolutions; it has none")
    return keras.Model(start, maps[-1].output, name="base")


def freeze_all_but(base_model: keras.Model, blocks: int) -> None:
    """Make only the last blocks trainable; batch norm keeps its statistics, and dropout is switched off."""
    from keras import layers

    weighted_layers = [layer for layer in base_model.layers if layer.weights]
    sizes = list(dict.fromkeys(layer.output.shape[1:3] for layer in reversed(weighted_layers)))
    for layer in base_model.layers:
        trainable = layer.output.shape[1:3] in sizes[:blocks]
        layer.trainable = trainable and not isinstance(layer, layers.BatchNormalization)
        if isinstance(layer, layers.Dropout | layers.SpatialDropout2D):
            layer.rate = 0.0


def _imagenet(name: str, features: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.Model]:
    """Return features scaled as in ImageNet training, and a network of keras.applications with its weights."""
    import keras

    module = getattr(keras.applications, name)
    x = keras.layers.Concatenate()([features] * 3) if features.shape[-1] == 1 else features
    try:
        base_model = getattr(module, NETWORKS[name])(include_top=False, weights="imagenet", input_shape=x.shape[1:])
    except Exception as error:
        if isinstance(error, ValueError):  # the image is too small for the network
            raise
        raise TrainingError(
            f"model.weights_of: the imagenet weights of {name} cannot be loaded: {' '.join(str(error).split())[:200]}",
            hint="try again with access to the internet, or use a trained task of this project: model.base: TASK",
        ) from None
    if name == "xception":
        return x * 2.0 - 1.0, base_model
    return keras.ops.take(x, [2, 1, 0], axis=-1) * 255.0 - MEANS, base_model
