"""One epoch of alternating steps, and the samples that are drawn after it."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.distances.class_histogram import class_shares, missing_classes
from tiltyard.modeling.distances.frechet_distance import Gaussian
from tiltyard.modeling.inference.feature_network import FeatureNetwork
from tiltyard.training.adversarial.trainer import AdversarialTrainer
from tiltyard.training.batches import Batches
from tiltyard.training.samplers.gan import Gan

SAMPLES = 2000  # at most, drawn after each epoch
DRAWN = 256  # samples per call
OF_NOISE, OF_SAMPLES = 0, 1  # streams of random numbers


def compiled_step(trainer: AdversarialTrainer) -> Any:
    """Return a compiled step for the backend that Keras has loaded."""
    if keras.backend.backend() == "jax":
        from tiltyard.training.adversarial import jax_step

        return jax_step.compiled(trainer)
    from tiltyard.training.adversarial import tensorflow_step

    return tensorflow_step.compiled(trainer)


class AdversarialEpoch:
    """The steps of an epoch. Random numbers depend on seed, epoch and step alone, so a resumed run is the same.

    Batches have rows of a training: pixels, and flags of classes.
    """

    def __init__(self, trainer: AdversarialTrainer, sampler: Gan, batches: Batches) -> None:
        self.trainer, self.sampler, self.batches = trainer, sampler, batches
        self.step = compiled_step(trainer)

    @property
    def steps(self) -> int:
        """How many whole batches there are."""
        return max(1, len(self.batches.order) // self.batches.size)

    def run(self, epoch: int) -> dict[str, float]:
        """Make all steps, or those until a loss is not finite; return the mean of each figure."""
        self.batches.deal(epoch)
        seen: list[dict[str, float]] = []
        for place in range(self.steps):
            pixels, flags = self.sampler.pictures(self.batches[place][0])
            noise = np.random.default_rng([self.batches.seed or 0, OF_NOISE, epoch, place]).standard_normal(
                (2, len(pixels), self.trainer.family.latent), dtype=np.float32
            )
            batch = pixels, flags if flags.shape[1] else None
            seen.append({name: float(value) for name, value in self.step(batch, noise).items()})
            if not np.isfinite([*seen[-1].values()]).all():
                return {**seen[-1], "loss": np.nan}
        return {name: float(np.mean([figures[name] for figures in seen])) for name in seen[0]}


class SampleMonitor:
    """Draws the same codes after each epoch, and compares what becomes of them with validation rows by features."""

    def __init__(self, network: FeatureNetwork, sampler: Gan, validation: Array, seed: int) -> None:
        self.network = network
        chosen = np.unique(np.linspace(0, len(validation) - 1, min(SAMPLES, len(validation))).astype(int))
        pixels, flags = sampler.pictures(validation[chosen])
        known = network.describe(pixels)
        self.real, self.shares = Gaussian.of(known.features), class_shares(known.labels, known.classes)
        generator = np.random.default_rng([seed, OF_SAMPLES])
        noise = generator.standard_normal((len(chosen), sampler.family.latent), dtype=np.float32)
        self.codes = np.concatenate([noise, flags], axis=1)

    def figures(self, generator: keras.Model) -> dict[str, float]:
        """Return the Frechet distance, the variety relative to real rows, and how many classes are seen."""
        pixels = drawn(generator, self.codes)
        if not np.isfinite(pixels).all():
            return dict.fromkeys(("variety", "classes", "val_loss"), math.nan)
        described = self.network.describe(pixels)
        samples = Gaussian.of(described.features)
        return {
            "variety": samples.variance / max(self.real.variance, 1e-12),
            "classes": float(len(self.shares) - len(missing_classes(described.labels, self.shares))),
            "val_loss": samples.distance(self.real),
        }


def drawn(generator: keras.Model, codes: Array) -> Array:
    """Return the pixels of a generator, from 0 to 1."""
    parts = [codes[start : start + DRAWN] for start in range(0, len(codes), DRAWN)]
    return np.concatenate([np.asarray(generator(part, training=False)) for part in parts])
