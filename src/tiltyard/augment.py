"""Augmentation: changes that leave the label true, as a model of its own in front of the one that is exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltyard.task import Augment

if TYPE_CHECKING:
    import keras

FLIPS = {"horizontal": "horizontal", "vertical": "vertical", "both": "horizontal_and_vertical"}


def augmentation(settings: Augment, seed: int) -> keras.Sequential:
    """Stack the asked-for layers; they act in training only. What moves in from outside is black."""
    from keras import Sequential, layers

    stack = []
    if settings.flip != "none":
        stack.append(layers.RandomFlip(FLIPS[settings.flip], seed=seed))
    if settings.rotation:
        stack.append(layers.RandomRotation(settings.rotation / 360, fill_mode="constant", seed=seed + 1))
    if settings.shift:
        shift = settings.shift
        stack.append(layers.RandomTranslation(shift, shift, fill_mode="constant", seed=seed + 2))
    if settings.zoom:
        zoom = (-settings.zoom, settings.zoom)
        stack.append(layers.RandomZoom(zoom, zoom, fill_mode="constant", seed=seed + 3))
    return Sequential(stack, name="augmentation")
