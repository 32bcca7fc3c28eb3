"""Augmentation: random changes of images that keep the label, as layers in front of the exported model.

MixUp, which mixes two rows with their labels, is in batches.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tiltyard.config.train_section import Augment

if TYPE_CHECKING:
    import keras

FLIPS = {"horizontal": "horizontal", "vertical": "vertical", "both": "horizontal_and_vertical"}


def augmentation(settings: Augment, seed: int) -> keras.Sequential:
    """Stack the configured layers, which are active in training only. Areas outside of the image become black."""
    from keras import Sequential

    stack = [
        make(getattr(settings, name), seed + place)
        for place, (name, make) in enumerate(_layers().items())
        if name in settings.image_changes
    ]
    return Sequential(stack, name="augmentation")


def _layers() -> dict[str, Callable[[Any, int], keras.layers.Layer]]:
    """Return the layer of each setting. A seed depends on the position, so append new settings at the end."""
    from keras import layers

    from tiltyard.training.image_layers import (
        HIGHEST,
        Blur,
        ChannelShift,
        Crop,
        Noise,
        Overlay,
        Saturation,
        Sharpen,
        Shear,
    )

    black = {"fill_mode": "constant"}
    full = {"value_range": (0, HIGHEST)}
    return {
        "flip": lambda flip, seed: layers.RandomFlip(FLIPS[flip], seed=seed),
        "rotation": lambda degrees, seed: layers.RandomRotation(degrees / 360, **black, seed=seed),
        "shift": lambda share, seed: layers.RandomTranslation(share, share, **black, seed=seed),
        "zoom": lambda share, seed: layers.RandomZoom((-share, share), (-share, share), **black, seed=seed),
        "crop": Crop,
        "brightness": lambda share, seed: layers.RandomBrightness(share, **full, seed=seed),
        "contrast": lambda share, seed: layers.RandomContrast(share, **full, seed=seed),
        "saturation": Saturation,
        "hue": lambda share, seed: layers.RandomHue(share, **full, seed=seed),
        "noise": Noise,
        # half of the images stay unchanged
        "erasing": lambda share, seed: layers.RandomErasing(
            (0.5, 0.5), scale=(min(0.02, share), share), fill_value=0, **full, seed=seed
        ),
        "shear": Shear,
        "channel_shift": ChannelShift,
        "blur": Blur,
        "sharpen": Sharpen,
        "overlay": Overlay,
    }
