"""Tables for the comparison of networks with boosted trees: scikit-learn's, those of the mirror, generated ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

Kind = Literal["classification", "regression", "skewed"]  # skewed: a positive target over orders of magnitude
Array = np.ndarray[Any, np.dtype[Any]]
MIRROR = Path(os.environ.get("TILTYARD_MIRROR", ""))


@dataclass(frozen=True)
class Table:
    """Features and target of a table."""

    features: pd.DataFrame
    target: Array
    kind: Kind


def _numbers(values: Array, digits: int = 4) -> pd.DataFrame:
    return pd.DataFrame(values.round(digits), columns=[f"x{i}" for i in range(values.shape[1])])


def _labels(rng: np.random.Generator, score: Array, noise: float = 0.5) -> Array:
    """Return labels of a noisy score, split at its median."""
    noisy = score + rng.normal(size=len(score)) * noise * score.std()
    return np.asarray(noisy > np.median(score)).astype(int)


def from_scikit_learn(name: str, _seed: int) -> Table:
    """Return a table that scikit-learn ships."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    kind: Kind = "regression" if name == "diabetes" else "classification"
    return Table(bunch.data.astype(float), bunch.target.to_numpy(), kind)


def from_mirror(file: str, target: str, drop: str, kind: Kind, _seed: int) -> Table:
    """Return a table of the mirror."""
    frame = pd.read_csv(MIRROR / file)
    frame = frame.drop(columns=[target, *drop.split()]).assign(**{target: frame[target]}).dropna(subset=[target])
    return Table(frame.drop(columns=target), frame[target].to_numpy(), kind)


def wide(rows: int, columns: int, kind: Kind, seed: int) -> Table:
    """Return many columns of which six matter, by products, steps and waves."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns))
    score = 1.5 * x[:, 0] * x[:, 1] + 2.4 * np.abs(x[:, 2]) + 1.5 * (x[:, 3] > 0.3) + 1.2 * np.sin(2 * x[:, 4])
    score = score + 0.5 * x[:, 5]
    return Table(_numbers(x), _labels(rng, score, 0.2) if kind == "classification" else score, kind)


def linear(rows: int, columns: int, kind: Kind, seed: int) -> Table:
    """Return a linear relation, for which trees need many splits."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns))
    score = x @ rng.normal(size=columns)
    return Table(_numbers(x), _labels(rng, score, 0.5) if kind == "classification" else score, kind)


def friedman(rows: int, columns: int, seed: int) -> Table:
    """Return Friedman's first function, with columns that do not matter."""
    rng = np.random.default_rng(seed)
    x = rng.random((rows, columns))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return Table(_numbers(x), y + rng.normal(size=rows), "regression")


def xor(rows: int, bits: int, seed: int) -> Table:
    """Return the parity of some columns of twelve; none of them tells anything alone."""
    rng = np.random.default_rng(seed)
    x = rng.random((rows, 12))
    truth = (x[:, :bits] > 0.5).sum(axis=1) % 2
    return Table(_numbers(x), np.where(rng.random(rows) < 0.05, 1 - truth, truth), "classification")


def boxes(rows: int, columns: int, seed: int) -> Table:
    """Return a sum of boxes with straight edges: what trees are made for."""
    rng = np.random.default_rng(seed)
    x, y = rng.random((rows, columns)), np.zeros(rows)
    for _ in range(25):
        (first, second), (low, high) = rng.integers(0, columns, 2), rng.random(2)
        y += 3 * rng.normal() * (x[:, first] > low) * (x[:, second] < high)
    return Table(_numbers(x), y + 0.5 * rng.normal(size=rows), "regression")


def heavy_tails(rows: int, kind: Kind, seed: int) -> Table:
    """Return features with Cauchy and lognormal values."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.standard_cauchy((rows, 4)), rng.lognormal(0, 2, (rows, 4))])
    score = np.tanh(x[:, 0]) + np.log(x[:, 4]) / 2 + np.sin(np.log(x[:, 5])) + (x[:, 1] > 1) * np.log(x[:, 6])
    return Table(_numbers(x), _labels(rng, score) if kind == "classification" else score, kind)


def lognormal(rows: int, noise: float, seed: int) -> Table:
    """Return a positive target over orders of magnitude, such as a price."""
    rng = np.random.default_rng(seed)
    area, rooms = rng.lognormal(3, 1, rows).round(2), rng.integers(0, 10, rows)
    place, age = rng.integers(0, 8, rows), rng.normal(size=rows).round(3)
    effect = np.random.default_rng(99).normal(size=8)[place]
    y = np.exp(
        4 + 0.7 * np.log(area) + 0.1 * rooms + 0.6 * effect + 0.4 * np.sin(2 * age) + noise * rng.normal(size=rows)
    )
    features = pd.DataFrame({"area": area, "rooms": rooms, "place": [f"p{i}" for i in place], "age": age})
    return Table(features, y.round(2), "skewed")


def rare(rows: int, share: float, seed: int) -> Table:
    """Return two classes, of which one is rare."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 12))
    score = 1.5 * x[:, 0] + x[:, 1] * x[:, 2] + np.abs(x[:, 3]) + 0.7 * rng.normal(size=rows)
    return Table(_numbers(x), (score > np.quantile(score, 1 - share)).astype(int), "classification")


def categories(rows: int, sizes: str, kind: Kind, seed: int) -> Table:
    """Return columns of names, with effects of their own and of pairs, and three numbers."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(1)
    counts = [int(size) for size in sizes.split()]
    places = [rng.choice(count, rows, p=fixed.dirichlet(np.ones(count))) for count in counts]
    score = sum((fixed.normal(size=count)[place] for count, place in zip(counts, places, strict=True)), np.zeros(rows))
    for first, second in ((0, 1), (1, 2)):
        score += fixed.normal(size=(counts[first], counts[second]))[places[first], places[second]]
    age, hours = (
        rng.normal(40, 12, rows).round(),
        np.where(rng.random(rows) < 0.5, 40, rng.normal(40, 12, rows).round()),
    )
    gain = np.where(rng.random(rows) < 0.9, 0, rng.lognormal(8, 1, rows).round())
    score += -(((age - 50) / 15) ** 2) + 1.5 * (hours > 40) + 2 * (gain > 3000)
    names = {f"c{i}": [f"v{value}" for value in place] for i, place in enumerate(places)}
    features = pd.DataFrame({**names, "age": age, "hours": hours, "gain": gain})
    return Table(features, _labels(rng, score, 0.6) if kind == "classification" else score, kind)


def missing(rows: int, share: float, seed: int) -> Table:
    """Return numbers that are missing by chance, and more often if they are large."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 10))
    score = 2 * x[:, 0] + 1.5 * (x[:, 1] > 0.5) - 1.5 * np.abs(x[:, 2]) + x[:, 3] * x[:, 0]
    gone = (rng.random(x.shape) < share) | ((x > 0.8) & (rng.random(x.shape) < 0.5))
    features = _numbers(np.where(gone, np.nan, x))
    return Table(
        features.assign(kind=[f"k{i}" for i in rng.integers(0, 4, rows)]), _labels(rng, score, 0.3), "classification"
    )


def clusters(rows: int, classes: int, seed: int) -> Table:
    """Return clusters, several for each class."""
    from sklearn.datasets import make_classification

    x, y = make_classification(rows, 16, n_informative=8, n_classes=classes, n_clusters_per_class=2, random_state=seed)
    return Table(_numbers(x), y, "classification")


MIRRORED: dict[str, tuple[str, str, str, Kind]] = {
    "churn": ("churn.csv", "Exited", "RowNumber CustomerId Surname", "classification"),
    "california": ("california_housing.csv.gz", "median_house_value", "", "regression"),
    "wine_quality": ("wine_quality_red.csv", "quality", "", "regression"),
    "forest_fires": ("forest_fires.csv", "size_category", "area month day", "classification"),
    "house_sales": ("house_sales.csv.gz", "SalePrice", "AdjSalePrice DocumentID PropertyID ym", "skewed"),
    "prosper": ("prosper_loans.csv.gz", "LoanStatus", "", "classification"),
    "admissions": ("admissions.csv", "admit", "", "classification"),
}
TABLES: dict[str, Callable[[int], Table]] = {
    "missing_300": partial(missing, 300, 0.1),
    "wide_300_columns": partial(wide, 3_000, 300, "classification"),
    "lognormal_4000": partial(lognormal, 4_000, 0.4),
    "categories_32000": partial(categories, 32_000, "9 16 7 15 6 5 2 42", "classification"),
    **{name: partial(from_scikit_learn, name) for name in ("breast_cancer", "wine", "digits", "diabetes", "iris")},
    **{name: partial(from_mirror, *parts) for name, parts in MIRRORED.items()},
    "xor_2": partial(xor, 2_000, 2),
    "xor_3": partial(xor, 8_000, 3),
    "friedman_10": partial(friedman, 1_000, 10),
    "friedman_100": partial(friedman, 3_000, 100),
    "boxes_6": partial(boxes, 5_000, 6),
    "boxes_20": partial(boxes, 10_000, 20),
    "tails_classes": partial(heavy_tails, 3_000, "classification"),
    "tails_numbers": partial(heavy_tails, 3_000, "regression"),
    "lognormal_500": partial(lognormal, 500, 0.3),
    "lognormal_noisy": partial(lognormal, 4_000, 1.0),
    "rare_half_percent": partial(rare, 40_000, 0.005),
    "rare_two_percent": partial(rare, 10_000, 0.02),
    "linear_200": partial(linear, 200, 60, "classification"),
    "linear_2000": partial(linear, 2_000, 20, "regression"),
    "missing_200": partial(missing, 200, 0.05),
    "missing_5000": partial(missing, 5_000, 0.2),
    "wide_250_columns": partial(wide, 600, 250, "classification"),
    "wide_100_columns": partial(wide, 1_000, 100, "classification"),
    "wide_numbers": partial(wide, 4_000, 200, "regression"),
    "categories_2000": partial(categories, 2_000, "5 8 4 12 3", "classification"),
    "cardinality_500": partial(categories, 10_000, "4 6 500 200", "classification"),
    "cardinality_2000": partial(categories, 30_000, "4 6 2000 8", "regression"),
    "categories_numbers": partial(categories, 5_000, "9 16 7 15", "regression"),
    "clusters_3": partial(clusters, 1_500, 3),
    "clusters_10": partial(clusters, 10_000, 10),
    "interactions_50000": partial(wide, 50_000, 20, "classification"),
    "boxes_100000": partial(boxes, 100_000, 10),
    "categories_200000": partial(categories, 200_000, "9 16 7 15 6 5 2 42", "classification"),
    "friedman_200000": partial(friedman, 200_000, 10),
}
