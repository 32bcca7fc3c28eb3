"""Metrics of samples beside real rows, by features and labels of both: at once, and for rows that are drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.distances.class_histogram import histogram_distance
from tiltyard.modeling.distances.frechet_distance import frechet_distance
from tiltyard.modeling.metrics.kernel_distance import KernelBlocks
from tiltyard.modeling.metrics.neighbour_manifolds import Neighbourhoods, evenly, neighbourhoods

BIAS_DRAWS, BIAS_SEED = 20, 0  # draws by which the bias of a drawn Frechet distance is estimated


@dataclass(frozen=True)
class Pairs:
    """A sample beside each real row: features (rows, width), and the labels that the classifier gives to both.

    `condition` has the class that each sample was to be of, if the model is conditional.
    """

    samples: Array
    rows: Array
    sample_labels: Array
    row_labels: Array
    condition: Array | None = None

    def take(self, places: Array) -> Pairs:
        """Return some of the pairs."""
        parts = (self.samples, self.rows, self.sample_labels, self.row_labels, self.condition)
        return Pairs(*(None if part is None else part[places] for part in parts))

    @property
    def frechet(self) -> float:
        """The squared Frechet distance."""
        return frechet_distance(self.samples, self.rows)

    @property
    def class_distance(self) -> float:
        """The share of samples that would have to be of another class."""
        classes = int(max(self.sample_labels.max(), self.row_labels.max())) + 1
        return histogram_distance(self.sample_labels, self.row_labels, classes)

    @property
    def agreement(self) -> float:
        """The share of samples that the classifier takes for the class that was asked for."""
        return float(np.mean(self.sample_labels == self.condition))

    @cached_property
    def kernels(self) -> KernelBlocks:
        """The kernels of blocks of both."""
        return KernelBlocks.of(self.samples, self.rows)

    @cached_property
    def neighbours(self) -> Neighbourhoods:
        """Which samples are near to rows, and which rows to samples."""
        return neighbourhoods(self.rows, self.samples)

    def scores(self) -> dict[str, float]:
        """Return the value of every metric."""
        known = {
            "frechet": self.frechet,
            "kernel": self.kernels.distance().value,
            **self.neighbours.scores,
            "class_distance": self.class_distance,
        }
        return known if self.condition is None else {**known, "agreement": self.agreement}

    def scores_of_draws(self) -> Callable[[Array], dict[str, float]]:
        """Return a function from places, which may be drawn repeatedly, to every metric.

        Neighbourhoods and kernels are computed once: of a repeated row they would tell nothing new. A drawn Frechet
        distance is larger on average, since fewer different rows vary less; the mean of that is subtracted.
        """
        count, generator = len(self.rows), np.random.default_rng(BIAS_SEED)
        trials = [self.take(generator.integers(0, count, count)).frechet for _ in range(BIAS_DRAWS)]
        bias, chosen = float(np.mean(trials)) - self.frechet, evenly(count)

        def scores(places: Array) -> dict[str, float]:
            drawn, times = self.take(places), np.bincount(places, minlength=count)
            weights = times[chosen] / max(times[chosen].sum(), 1)
            known = {
                "frechet": drawn.frechet - bias,
                "kernel": self.kernels.weighted(times, times),
                **{name: float(weights @ part) for name, part in self.neighbours.parts.items()},
                "class_distance": drawn.class_distance,
            }
            return known if self.condition is None else {**known, "agreement": drawn.agreement}

        return scores
