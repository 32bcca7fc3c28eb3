"""Histograms of colours and edges by cell of a grid with a linear model, for images of centred objects."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.modeling.references.image_histograms import ImageHistograms


class ImageGrids(ImageHistograms):
    """The same with histograms by place."""

    title: ClassVar = "colours and edges by place with a linear model"
    places: ClassVar = True
