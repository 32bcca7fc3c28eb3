"""Facts of a generative model beside its metrics: units in use, classes, variety, and copies of training rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.evaluation.sampling import Samples, draw, lower_bound, scaled
from tiltyard.modeling.distances.class_histogram import class_shares, histogram_distance
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.kernel_distance import LEAST_ROWS, kernel_distance
from tiltyard.modeling.metrics.neighbour_manifolds import nearest
from tiltyard.modeling.problems.sampling import Facts, parts
from tiltyard.preparation.sealed_test import TestRows

PICTURES_FILE = "samples.npz"
PICTURES = 64  # evenly spaced, in the report
ROWS = 1000  # evenly spaced, of which distances to all training rows, and bounds with many samples, are measured
IMPORTANCE_SAMPLES = 100
ACTIVE = 0.01  # variance of the mean of a number of the code over rows, from which it is in use (Burda et al., 2016)
CLOSE = 0.5  # a copy is nearer to a training row than this share of the distance of the closest rows
CLOSEST = 0.01  # share of test rows that are the closest


@dataclass(frozen=True)
class Pictures:
    """Samples, the training row next to each, and their distance; pixels are bytes."""

    samples: Array
    nearest: Array
    distances: Array

    def save(self, path: Path) -> None:
        """Write the arrays."""
        with path.open("wb") as file:
            np.savez_compressed(
                file, allow_pickle=False, samples=self.samples, nearest=self.nearest, distances=self.distances
            )

    @classmethod
    def load(cls, path: Path) -> Pictures:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["samples"], arrays["nearest"], arrays["distances"])


def examine(samples: Samples, predictor: Predictor, test: TestRows) -> tuple[dict[str, Any], Pictures]:
    """Return what the report says of samples and of the code, and the first samples."""
    features = predictor.encoder.encode(test.rows)
    conditional = Facts.of(predictor.encoder).conditional
    drawn = draw(predictor, len(features), samples.seed, test.truth if conditional else None)
    real = scaled(samples.encoder, features)
    copies, pictures = _copies(samples, drawn, real)
    facts = {
        "real_rows": samples.real_rows(features, test.truth),
        **copies,
        **_variety(samples, drawn, real),
        **_code(samples, predictor, features, test.truth if conditional else None),
    }
    return {"samples": facts}, pictures


def _copies(samples: Samples, drawn: Array, real: Array) -> tuple[dict[str, Any], Pictures]:
    """Compare the distances of samples and of test rows to the nearest training row, in pixels from 0 to 1."""
    known, chosen = scaled(samples.encoder, samples.train[0][:]), _spread(len(drawn), ROWS)
    (distances, places), (usual, _) = (nearest(rows[chosen], known) for rows in (drawn, real))
    limit = CLOSE * float(np.quantile(usual, CLOSEST))
    shown, shape = _spread(len(chosen), PICTURES), samples.train[0].shape[1:]
    first, beside = (
        np.rint(255 * np.clip(rows, 0, 1)).astype(np.uint8).reshape(-1, *shape)
        for rows in (drawn[chosen[shown]], known[places[shown]])
    )
    facts = {
        "nearest": {"samples": float(np.median(distances)), "rows": float(np.median(usual))},
        "copies": {"share": float(np.mean(distances < limit)), "limit": limit, "rows": len(distances)},
    }
    return facts, Pictures(first, beside, distances[shown])


def _variety(samples: Samples, drawn: Array, real: Array) -> dict[str, Any]:
    """Compare how samples and test rows differ among themselves, and how they are spread over the classes."""
    of_samples, of_rows = described = [samples.network.describe(pixels) for pixels in (drawn, real)]
    spread = [float(each.features.var(axis=0, dtype=np.float64).sum()) for each in described]
    facts: dict[str, Any] = {"variety": spread[0] / spread[1] if spread[1] else 0.0}
    if len(drawn) >= LEAST_ROWS:
        found = kernel_distance(of_samples.features, of_rows.features)
        facts["kernel_distance"] = {"value": found.value, "standard_error": found.standard_error}
    if names := samples.encoder.target.get("labels"):
        shares = [class_shares(each.labels, len(names)).tolist() for each in described]
        facts["classes"] = {
            "names": names,
            "samples": shares[0],
            "rows": shares[1],
            "distance": histogram_distance(of_samples.labels, of_rows.labels, len(names)),
        }
    return facts


def _code(samples: Samples, predictor: Predictor, features: Array, labels: Array | None) -> dict[str, Any]:
    """Return which numbers of the code are in use, and the bound of many importance samples."""
    facts = Facts.of(predictor.encoder)
    if not facts.posterior:
        return {}
    binary = samples.binary(features)
    means = np.concatenate(
        [parts(predictor.encoder, predictor.run(binary[at : at + ROWS]))[1] for at in range(0, len(binary), ROWS)]
    )
    active = means.var(axis=0, dtype=np.float64) > ACTIVE
    chosen = _spread(len(binary), ROWS)
    own = None if labels is None else labels[chosen]
    bound = lower_bound(predictor, binary[chosen], own, samples.seed, IMPORTANCE_SAMPLES)
    return {
        "active_units": {"active": int(active.sum()), "of": facts.code},
        "importance": {
            "samples": IMPORTANCE_SAMPLES,
            "rows": len(bound["importance"]),
            "bound": float(bound["importance"].mean()),
            "elbo": float(bound["elbo"].mean()),
        },
    }


def _spread(total: int, count: int) -> Array:
    """Return so many places, evenly spaced: rows may be in order of their labels."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(np.int64))
