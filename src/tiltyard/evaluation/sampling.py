"""Evaluation of generative models on sealed rows: bounds of their log-likelihood, samples, and the baseline of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import RegistryError
from tiltyard.modeling.evaluators.sampling import NEIGHBOURS
from tiltyard.modeling.inference import codes
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.feature_network import FeatureNetwork
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.bernoulli_mixture import COMPONENTS, BernoulliMixture
from tiltyard.modeling.metrics.neighbour_manifolds import neighbourhoods
from tiltyard.modeling.problems.sampling import Facts, parts
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.training_rows import sample_rows

LIKELIHOOD = ("log_likelihood",)  # the measures of a family whose score is the negative log-likelihood
BATCH = 1024  # rows at a time
LEAST = 2.0**-24  # probability of a pixel: smaller ones are lost in 32 bits beside 1
NEIGHBOURS_BATCH = 2500  # rows and samples whose neighbourhoods are compared: the cost is quadratic


@dataclass(frozen=True)
class Samples:
    """What models of a task are measured by: its training rows, the feature network, and the seed of all draws."""

    task: Task
    encoder: Encoder  # of the task's prepared rows
    train: tuple[Features, Array]
    network: FeatureNetwork

    @classmethod
    def of(cls, task: Task, encoder: Encoder, train: tuple[Features, Array], folder: Path) -> Samples:
        """Read the feature network beside the trained model."""
        return cls(task, encoder, train, FeatureNetwork.load(folder))

    def train_sample(self, predictor: Predictor, rows: int) -> tuple[Array, Array]:
        """Return truth and outputs of so many training rows, evenly spaced."""
        features, truth = sample_rows(self.train, rows)
        return truth, self.outputs(predictor, features, truth)

    @property
    def seed(self) -> int:
        """The seed of binary rows, codes and samples: the same for every model."""
        return self.task.split.seed

    @property
    def measures(self) -> tuple[str, ...]:
        """What is measured of each row."""
        return self.task.model.measures

    def outputs(self, predictor: Predictor, features: Array, truth: Array) -> Array:
        """Return the outputs of a model for rows, as evaluators/sampling.py describes them."""
        facts = Facts.of(predictor.encoder)
        labels = truth if facts.conditional else None
        scores = np.concatenate([predictor.run(features[part])[:, -1:] for part in _slices(len(features))])
        measured = [np.empty((len(features), 0))]
        if self.measures == LIKELIHOOD:
            binary = self.binary(features)
            measured = [-predictor.run(binary[part])[:, -1:] for part in _slices(len(features))]
            measured = [np.concatenate(measured)]
        elif self.measures:
            bound = lower_bound(predictor, self.binary(features), labels, self.seed)
            measured = [bound[name][:, None] for name in self.measures]
        drawn = draw(predictor, len(features), self.seed, labels)
        return np.concatenate([*measured, *self._compared(drawn, features, labels), scores], axis=1)

    def baseline(self, features: Array, truth: Array) -> Array:
        """Return the outputs of the baseline for rows."""
        likelihood, drawn = np.empty(len(features)), np.empty((len(features), scaled(self.encoder, features).shape[1]))
        binary = scaled(self.encoder, self.binary(features))
        for label, mixture in self._mixtures.items():
            places = np.flatnonzero(truth == label) if label is not None else np.arange(len(features))
            likelihood[places] = mixture.log_likelihood(binary[places])
            drawn[places] = mixture.draw(len(places), self.seed)
        known = dict.fromkeys(("log_likelihood", "elbo", "reconstruction"), likelihood) | {
            "kl": np.zeros(len(features))
        }
        measured = [known[name][:, None] for name in self.measures]
        labels = truth if getattr(self.task.model, "conditional", False) else None
        compared = self._compared(drawn, features, labels)
        return np.concatenate([*measured, *compared, np.zeros((len(features), 1))], axis=1)

    @cached_property
    def _mixtures(self) -> dict[int | None, BernoulliMixture]:
        """One mixture for all rows, or one for each class if the model is conditional."""
        pixels, truth = scaled(self.encoder, self.train[0][:]), self.train[1]
        if not getattr(self.task.model, "conditional", False):
            return {None: BernoulliMixture.of(pixels, COMPONENTS, self.seed)}
        classes = np.unique(truth).tolist()
        count = max(1, COMPONENTS // len(classes))
        return {label: BernoulliMixture.of(pixels[truth == label], count, self.seed) for label in classes}

    def binary(self, features: Array) -> Array:
        """Return features whose pixels are drawn as 0 or the brightest, once for each seed."""
        share = scaled(self.encoder, features).reshape(features.shape)
        drawn = np.random.default_rng([self.seed, 1]).random(features.shape, dtype=np.float32) < share
        return drawn * np.float32(brightest(self.encoder))

    def real_rows(self, features: Array, truth: Array) -> dict[str, float]:
        """Return the metrics of training rows in place of samples: those of no generator can be much better."""
        known, _ = sample_rows(self.train, len(features))
        repeated = np.resize(scaled(self.encoder, known), (len(features), known[0].size))  # if there are fewer
        compared = self._compared(repeated, features, None)
        outputs = np.concatenate([*compared, np.zeros((len(features), 1))], axis=1)
        return self.task.evaluator.with_measures((), conditional=False).scores(truth, outputs, {})

    def _compared(self, drawn: Array, features: Array, labels: Array | None) -> list[Array]:
        """Return for each row and its sample what evaluators/sampling.py says; with labels that were asked for."""
        of_samples, of_rows = (self.network.describe(pixels) for pixels in (drawn, scaled(self.encoder, features)))
        samples, real = (part.features.astype(np.float64) for part in (of_samples, of_rows))
        compared = np.empty((len(real), len(NEIGHBOURS)))
        for part in _spread_parts(len(real)):
            found = neighbourhoods(real[part], samples[part])
            compared[part] = np.stack([found.precise, found.recalled, found.density, found.covered], axis=1)
        agreed = [] if labels is None else [(of_samples.labels == labels)[:, None]]
        return [compared, *agreed, samples, real]


def brightest(encoder: Encoder) -> float:
    """Return the value by which pixels are divided."""
    return float(encoder.scaling()[1][0])


def scaled(encoder: Encoder, features: Array) -> Array:
    """Return the pixels of rows from 0 to 1, flat."""
    return (features.reshape(len(features), -1) / brightest(encoder)).astype(np.float32)


def draw(predictor: Predictor, count: int, seed: int, labels: Array | None) -> Array:
    """Return the pixels of samples, from 0 to 1, flat: the sample of a seed is the one that the service draws."""
    facts = Facts.of(predictor.encoder)
    drawn = codes.draw(facts.prior, facts.code, seed, count)
    return predictor.decode_codes(codes.with_flags(drawn, labels, len(predictor.encoder.target.get("labels", ()))))


def lower_bound(
    predictor: Predictor, binary: Array, labels: Array | None, seed: int, samples: int = 1
) -> dict[str, Array]:
    """Return for each binary row the bound, its two terms, and the tighter bound of several importance samples."""
    facts = Facts.of(predictor.encoder)
    if not facts.posterior:
        raise RegistryError(
            f"{predictor.encoder.task}: expected a model with a posterior of codes, for elbo; received one without",
            hint="compare families by gate.metric: frechet",
        )
    found, generator = list[dict[str, Array]](), np.random.default_rng([seed, 2])
    for part in _slices(len(binary)):
        own = None if labels is None else labels[part]
        found.append(_bound_of_part(predictor, binary[part], own, generator, samples))
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _bound_of_part(
    predictor: Predictor, binary: Array, labels: Array | None, generator: np.random.Generator, samples: int
) -> dict[str, Array]:
    _, mean, spread = (part.astype(np.float64) for part in parts(predictor.encoder, predictor.run(binary)))
    pixels = scaled(predictor.encoder, binary)
    kl = (np.exp(spread) + mean**2 - 1 - spread).sum(axis=1) / 2
    weights, terms = np.empty((samples, len(binary))), np.zeros(len(binary))
    classes = len(predictor.encoder.target.get("labels", ()))
    for place in range(samples):
        noise = generator.standard_normal(mean.shape)
        code = mean + np.exp(spread / 2) * noise
        flagged = codes.with_flags(code.astype(np.float32), labels, classes)
        likelihood = _log_likelihood(pixels, predictor.decode_codes(flagged, BATCH))
        # log p(code) - log q(code): the constants of both normal distributions are equal
        weights[place] = likelihood + ((noise**2 + spread - code**2) / 2).sum(axis=1)
        terms += likelihood / samples
    largest = weights.max(axis=0)
    importance = np.log(np.exp(weights - largest).mean(axis=0)) + largest
    return {"elbo": terms - kl, "reconstruction": terms, "kl": kl, "importance": importance}


def _log_likelihood(pixels: Array, probabilities: Array) -> Array:
    """Return the log-likelihood of each binary row, in nats."""
    of_pixel = np.where(pixels > 0.5, probabilities, 1 - probabilities)
    return np.asarray(np.log(np.maximum(of_pixel, LEAST)).sum(axis=1, dtype=np.float64))


def _spread_parts(rows: int) -> list[Array]:
    """Return the places of rows in parts of equal size, each spread over all rows, which may be in order of labels."""
    count = -(-rows // NEIGHBOURS_BATCH)
    return [np.arange(start, rows, count) for start in range(count)]


def _slices(rows: int) -> Iterator[slice]:
    return (slice(start, start + BATCH) for start in range(0, rows, BATCH))
