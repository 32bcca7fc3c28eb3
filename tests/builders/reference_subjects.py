"""Small data on which references can be fitted: for each, the subject, encoded rows and the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.problems.base import Problem, Target
from tiltyard.modeling.problems.classification import Classification
from tiltyard.modeling.problems.forecasting import Forecasting
from tiltyard.modeling.problems.multilabel import Multilabel
from tiltyard.modeling.problems.regression import Regression
from tiltyard.modeling.references.base import Subject

ROWS = 240
LABELS = ["a", "b", "c"]
Case = tuple[Subject, Array, Array]


def case(name: str) -> Case:
    """Return the data of a name in CASES."""
    return CASES[name]()


def _case(columns: dict[str, Column], rows: Rows, truth: Array, problem: Problem, modality: str, **more: Any) -> Case:
    classes = LABELS if problem.targets in ("label", "labels") else []
    target = Target(column="y", classes=classes or None)
    encoder = Encoder("t", problem, columns, {}, {}, classes, modality not in ("table", "mixed"), 10).fit(
        target, rows, truth
    )
    return Subject(modality, encoder, **more), encoder.encode(rows), truth


def _numbers() -> tuple[dict[str, Column], Rows]:
    generator = np.random.default_rng(0)
    rows = {f"x{place}": generator.normal(size=ROWS) for place in range(4)}
    return {name: Number() for name in rows}, rows


def _labels() -> Case:
    columns, rows = _numbers()
    truth = (rows["x0"] * rows["x1"] > 0).astype(int) + (rows["x2"] > 1)
    return _case(columns, rows, truth, Classification(), "table")


def _absent_label() -> Case:
    columns, rows = _numbers()
    return _case(columns, rows, 2 * (rows["x0"] * rows["x1"] > 0).astype(int), Classification(), "table")


def _only_label() -> Case:
    columns, rows = _numbers()
    return _case(columns, rows, np.ones(ROWS, dtype=int), Classification(), "table")


def _label_sets() -> Case:
    columns, rows = _numbers()
    flags = [rows["x0"] * rows["x1"] > 0, rows["x2"] > 0.5, rows["x3"] + rows["x0"] > 0]
    return _case(columns, rows, np.stack(flags, axis=1), Multilabel(), "table")


def _constant_labels() -> Case:
    columns, rows = _numbers()
    flags = [rows["x0"] * rows["x1"] > 0, np.zeros(ROWS, dtype=bool), np.ones(ROWS, dtype=bool)]
    return _case(columns, rows, np.stack(flags, axis=1), Multilabel(), "table")


def _texts_with_sets() -> Case:
    column, (rows, truth) = Text.model_validate({"by": "ngrams"}), texts(ROWS)
    flags = np.stack([truth == 0, truth == 1, truth != 0], axis=1)
    return _case({"text": column}, {"text": column.parse(rows, "text")}, flags, Multilabel(), "text")


def _values() -> Case:
    columns, rows = _numbers()
    return _case(columns, rows, 1e4 * rows["x0"] * rows["x1"] + 5e4, Regression(), "table")


def _names() -> Case:
    """Return 60 names with a mean of their own, kinds, and a number."""
    generator = np.random.default_rng(0)
    place, kind = generator.integers(0, 60, ROWS), generator.integers(0, 3, ROWS)
    rows = {
        "name": np.array([f"n{number}" for number in place]),
        "kind": np.array([f"k{number}" for number in kind]),
        "x": generator.normal(size=ROWS),
    }
    columns: dict[str, Column] = {
        "name": Category(unseen="bucket", top=100),
        "kind": Category(values=["k0", "k1", "k2"]),
        "x": Number(),
    }
    truth = 3 * generator.normal(size=60)[place] + kind + rows["x"] + 0.3 * generator.normal(size=ROWS)
    return _case(columns, rows, truth, Regression(), "table")


def _walk() -> Case:
    walk = np.cumsum(np.random.default_rng(0).normal(size=ROWS + 20))
    windows, ahead = (np.lib.stride_tricks.sliding_window_view(walk, size)[:ROWS] for size in (12, 14))
    columns: dict[str, Column] = {"y": Series(window=12)}
    return _case(columns, {"y": windows}, ahead[:, 12:], Forecasting(), "series", horizon=2, followed=0)


def lagging(rows: int) -> Case:
    """Return windows of two prices that learn logarithms: the second follows the first by a step; it rises or not."""
    generator, window = np.random.default_rng(0), 20
    first = generator.normal(0, 0.001, rows + window)
    second = 0.35 * np.roll(first, 1) + generator.normal(0, 0.0006, rows + window)
    prices = {"a": 30_000 * np.exp(np.cumsum(first)), "b": 2_000 * np.exp(np.cumsum(second))}
    windows = {name: np.lib.stride_tricks.sliding_window_view(price, window)[:rows] for name, price in prices.items()}
    columns: dict[str, Column] = {name: Series(window=window, log=True, relative=True) for name in prices}
    truth = (prices["b"][window:] > prices["b"][window - 1 : -1]).astype(int)
    return _case(columns, windows, truth, Classification(), "series")


def _images() -> Case:
    generator, truth = np.random.default_rng(0), np.arange(90) % 3
    pixels = generator.integers(0, 200, size=(90, 16, 16, 3)).astype(np.float32)
    pixels[np.arange(90), :, :, truth] += 50
    columns: dict[str, Column] = {"image": Image(height=16, width=16, channels=3)}
    return _case(columns, {"image": pixels}, truth, Classification(), "image")


def texts(count: int) -> tuple[list[str], Array]:
    """Return short texts, and their labels by a stem that occurs in several words."""
    generator, stems = np.random.default_rng(0), ["win", "meet", "cook"]
    truth = generator.integers(0, 3, size=count)
    words = ["the", "cat", "dog", "sat", "on", "a", "mat", "with", "many", "of", "them", "today"]
    ends = ["ing", "er", "ers", "s", "ings", ""]
    built = [
        " ".join([*generator.choice(words, 6), stems[label] + str(generator.choice(ends)), *generator.choice(words, 3)])
        for label in truth
    ]
    return built, truth


def _texts(by: str) -> Case:
    column, (rows, truth) = Text.model_validate({"by": by}), texts(ROWS)
    return _case({"text": column}, {"text": column.parse(rows, "text")}, truth, Classification(), "text")


def _mixed(by: str) -> Case:
    """Return texts, images and numbers of which the label needs all."""
    column, (written, stem) = Text.model_validate({"by": by}), texts(ROWS)
    generator = np.random.default_rng(1)
    bright, x = generator.integers(0, 2, ROWS), generator.normal(size=ROWS)
    pixels = generator.integers(0, 200, size=(ROWS, 8, 8, 1)) + 50.0 * bright[:, None, None, None]
    columns: dict[str, Column] = {
        "text": column,
        "x": Number(),
        "image": Image(height=8, width=8),
        "kind": Category(values=["k0", "k1"]),
    }
    rows = {
        "text": column.parse(written, "text"),
        "x": x,
        "image": pixels.astype(np.float32),
        "kind": np.array(["k0", "k1"])[generator.integers(0, 2, ROWS)],
    }
    truth = np.clip((stem == 0).astype(int) + bright + (x > 0), 1, 3) - 1
    return _case(columns, rows, truth, Classification(), "mixed")


def _mixed_numbers() -> Case:
    """Return two texts and a number."""
    column, (written, _) = Text.model_validate({"by": "ngrams"}), texts(ROWS)
    other = [text[::-1] for text in reversed(written)]
    x = np.random.default_rng(2).normal(size=ROWS)
    rows = {"one": column.parse(written, "one"), "two": column.parse(other, "two"), "x": x}
    truth = 10.0 * texts(ROWS)[1] + 3 * x + 100
    return _case({"one": column, "two": column, "x": Number()}, rows, truth, Regression(), "mixed")


CASES: dict[str, Callable[[], Case]] = {
    "labels": _labels,
    "absent label": _absent_label,
    "only label": _only_label,
    "label sets": _label_sets,
    "constant labels": _constant_labels,
    "texts with label sets": _texts_with_sets,
    "values": _values,
    "names": _names,
    "walk": _walk,
    "images": _images,
    "n-grams": lambda: _texts("ngrams"),
    "words": lambda: _texts("words"),
    "characters": lambda: _texts("characters"),
    "mixed": lambda: _mixed("ngrams"),
    "mixed with words": lambda: _mixed("words"),
    "mixed numbers": _mixed_numbers,
}
