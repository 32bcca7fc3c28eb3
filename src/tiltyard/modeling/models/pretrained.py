"""Pre-trained: the encoder of a task of masked words, frozen or fine-tuned, then the mean of its steps and a head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, SerializeAsAny, field_validator, model_validator

from tiltyard.errors import TrainingError
from tiltyard.modeling.models._base_task import network_part, trained_base, validated_base
from tiltyard.modeling.models._layers import DenseLayers
from tiltyard.modeling.models.base import ENCODED, Model, load_network

if TYPE_CHECKING:
    import keras

    from tiltyard.workspace import Workspace


class Pretrained(DenseLayers):
    """The words of a text as a base encodes them, averaged, then dense layers; the base's vocabulary is used."""

    modalities: ClassVar = ("text",)

    family: Literal["pretrained"]
    base: str | SerializeAsAny[Model] = Field(
        description="A trained task of masked words, for its weights and vocabulary; or the settings of a family, for "
        "random weights."
    )
    from_scratch: bool = Field(
        default=False,
        description="Begin with random weights, but with the network and the vocabulary of the base: what "
        "pre-training is compared with.",
    )
    unfreeze: int | Literal["all"] = Field(
        "all",
        description="How many of the last blocks are trained; all: word vectors, too. With train.then, the base is "
        "frozen in the first phase, and `then` sets a lower learning rate.",
    )
    units: list[int] = Field([], description="Width of each dense layer after the mean.")

    _base_path: Path | None = PrivateAttr(None)

    @field_validator("base", mode="before")
    @classmethod
    def _validate_base(cls, base: Any) -> Any:
        """Validate settings by the family that they name."""
        return validated_base(base, "text", "pretrained")

    @model_validator(mode="after")
    def _check_base(self) -> Pretrained:
        if isinstance(self.unfreeze, int) and self.unfreeze < 0:
            raise ValueError(f"unfreeze: expected all, or 0 or more blocks; received {self.unfreeze}")
        if isinstance(self.base, Model):
            if not self.base.keeps_steps:
                raise ValueError("base: expected transformer with pool: none, or rnn with whole and bidirectional")
            if self.from_scratch or self.unfreeze != "all":
                raise ValueError("base: expected a task with from_scratch or unfreeze; received settings of a family")
        return self

    @property
    def base_task(self) -> str:
        """The base task; empty if the base has random weights."""
        return self.base if isinstance(self.base, str) else ""

    @property
    def vocabulary_task(self) -> str:
        """The task whose vocabulary is used."""
        return self.base_task

    def inherit(self, workspace: Workspace) -> dict[str, Any]:
        """Find the trained base; return its name and version for the record of the training."""
        if not self.base_task:
            return {}
        self._base_path, provenance = trained_base(workspace, self.base_task)
        return provenance

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the base up to its encoded words, their mean without padding, then the dense layers."""
        from keras import layers, ops

        base_model = self._base_model(features, vocabulary_size)
        x = layers.GlobalAveragePooling1D()(base_model(features), mask=ops.not_equal(features, 0.0))
        x = self.apply_dropout(x, 0, 1 + len(self.units))
        return self.add_dense_layers(x, self.units, first=1)

    def _base_model(self, features: keras.KerasTensor, vocabulary_size: int) -> keras.Model:
        import keras

        if isinstance(self.base, Model):
            inputs = keras.Input(features.shape[1:])
            return keras.Model(inputs, self.base.build(inputs, vocabulary_size), name="base")
        if self._base_path is None:
            raise TrainingError(f"model.base: call inherit before build: it finds the weights of {self.base}")
        model = network_part(load_network(self._base_path), str(self.base))
        if ENCODED not in [layer.name for layer in model.layers]:
            raise ValueError(f"base: expected a task of masked words; {self.base} is none")
        start, end = (model.get_layer(name).output for name in ("standard", ENCODED))
        if start.shape != features.shape:
            raise ValueError(f"base: expected {start.shape[1]} words, as in {self.base}; received {features.shape[1]}")
        encoder = keras.Model(start, end, name="base")
        return keras.models.clone_model(encoder) if self.from_scratch else encoder

    def begin_phase(self, body: keras.Model, number: int, last: int) -> None:
        """Freeze the base before the first of several phases; else train as many blocks as the task says."""
        if not self.base_task or self.from_scratch:
            return
        unfrozen = 0 if number < last else self.unfreeze
        base_model = body.get_layer("base")
        base_model.trainable = True
        frozen = base_model.layers[: _first_layer(base_model, unfrozen)] if unfrozen != "all" else []
        for layer in frozen:
            layer.trainable = False


def _first_layer(base_model: keras.Model, blocks: int) -> int:
    """Return the index of the first layer of the last blocks, which begin with attention or a recurrent layer."""
    from keras import layers

    begins = [
        index
        for index, layer in enumerate(base_model.layers)
        if isinstance(layer, layers.MultiHeadAttention | layers.RNN | layers.Bidirectional)
    ]
    return begins[-blocks] if 0 < blocks <= len(begins) else len(base_model.layers) * (blocks == 0)
