"""Reference: the best of boosted trees, a linear model, TF-IDF and histograms, served like a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras


class Reference(Model):
    """The model with which the gate compares networks; scikit-learn fits it, without epochs."""

    modalities: ClassVar = ("table", "series", "image", "text", "mixed")
    reads_ngrams: ClassVar = True
    trained_by_epochs: ClassVar = False
    has_gradients: ClassVar = False

    family: Literal["reference"]

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Refuse: it has no layers to train."""
        raise ValueError("it is fitted without epochs: searches and studies need another family")
