"""Mixed: layers for each text and image of a row and for all other columns, joined by dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator

from tiltyard.modeling.models._layers import DenseLayers
from tiltyard.modeling.models.base import Branch, Model
from tiltyard.modeling.models.bow import Bow
from tiltyard.modeling.models.cnn import Cnn
from tiltyard.modeling.models.inception import Inception
from tiltyard.modeling.models.mlp import Mlp
from tiltyard.modeling.models.resnet import Resnet
from tiltyard.modeling.models.rnn import Rnn
from tiltyard.modeling.models.transformer import Transformer
from tiltyard.modeling.models.vgg import Vgg
from tiltyard.modeling.models.xception import Xception

if TYPE_CHECKING:
    import keras

TextLayers = Annotated[Bow | Rnn | Transformer, Field(discriminator="family")]
ImageLayers = Annotated[Cnn | Resnet | Vgg | Inception | Xception, Field(discriminator="family")]
WHOLE_MODEL = ("output", "blend_references")  # settings that concern the model, not the layers of a branch


class Mixed(DenseLayers):
    """A branch for each text and image, one for all other columns, and dense layers on all of them together."""

    modalities: ClassVar = ("mixed",)

    family: Literal["mixed"]
    text: TextLayers = Field(Bow(family="bow", units=[]), description="Layers of each text: bow, rnn or transformer.")
    image: ImageLayers = Field(
        Cnn(family="cnn", filters=[16, 32], units=[32]),
        description="Layers of each image: cnn, resnet, vgg, inception or xception.",
    )
    table: Mlp = Field(Mlp(family="mlp", units=[32]), description="Layers of all other columns together.")
    units: list[int] = Field([64], description="Width of each dense layer after the branches are joined.")

    _branches: Sequence[Branch] = PrivateAttr(default_factory=list)
    _others: Sequence[int] | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check_branches(self) -> Mixed:
        for kind in ("text", "image", "table"):
            layers = self.reader(kind)
            if named := [name for name in WHOLE_MODEL if name in layers.model_fields_set]:
                raise ValueError(f"{kind}.{named[0]}: expected in the model itself, not in one of its branches")
            if layers.steps:
                raise ValueError(f"{kind}: expected one vector for each text; received layers that keep all steps")
        return self

    def reader(self, kind: str) -> Model:
        """Return the model whose layers read columns of a kind."""
        readers: dict[str, Model] = {"text": self.text, "image": self.image}
        return readers.get(kind, self.table)

    def lay_out(self, branches: Sequence[Branch], others: Sequence[int]) -> None:
        """Receive where texts and images are in a row, and the places of all other features."""
        self._branches, self._others = branches, others

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the branches, join their outputs, and add dense layers."""
        from keras import layers, ops

        others = range(features.shape[1]) if self._others is None else self._others
        parts = [self._branch(features, branch) for branch in self._branches]
        if others:
            parts.append(self.table.build(ops.take(features, [*others], axis=1)))
        x = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
        return self.add_dense_layers(x, self.units)

    def _branch(self, features: keras.KerasTensor, branch: Branch) -> keras.KerasTensor:
        from keras import layers

        values = layers.Reshape(branch.shape)(features[:, branch.start : branch.stop])
        x = self.reader(branch.kind).build(values, branch.vocabulary_size)
        if len(x.shape) != 2:
            raise ValueError(f"{branch.kind}: expected one vector for {branch.name}; received {x.shape[1:]}")
        return x
