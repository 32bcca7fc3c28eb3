"""The type of an explanation: what is looked at, and what each plug-in in explanations/ shows of it."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tiltyard import environment
from tiltyard.arrays import Array, Rows, take
from tiltyard.config.task import Task
from tiltyard.figures import Figure
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.base import Context
from tiltyard.preparation.sealed_test import TestPart
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras

    from tiltyard.explain.math.network_view import NetworkView

ROWS = 500  # validation rows that a model is explained by


@dataclass(frozen=True)
class Row:
    """One of the sealed rows: its number in the raw data, its values as a client would send them, and the truth."""

    number: int
    values: Rows
    truth: Array


@dataclass(frozen=True)
class Explained:
    """A trained model and what it may be asked; as a whole it is explained by validation rows, never by sealed ones."""

    workspace: Workspace
    task: Task
    parts: TrainingRows
    predictor: Predictor
    test: TestPart

    @cached_property
    def known(self) -> tuple[Array, Array]:
        """Some validation rows, encoded, and their truth."""
        return sample_rows(self.parts.validation, ROWS)

    @cached_property
    def network(self) -> keras.Model:
        """The same model as Keras holds it: it alone has layers and gradients."""
        with environment.suppress_native_output():
            import keras

            return keras.saving.load_model(self.workspace.out(self.task.name, "train") / "model.keras", compile=False)

    @cached_property
    def inside(self) -> NetworkView:
        """Its layers, one after the other."""
        from tiltyard.explain.math.network_view import opened

        return opened(self.network, labels=bool(self.task.classes))

    def score(self, features: Array, truth: Array) -> float:
        """Return the gate's metric for encoded features."""
        return self.task.metric.score(truth, self.predictor.condense(truth, [features]), self.context)

    @cached_property
    def context(self) -> Context:
        """What the metric must know of the training rows."""
        return self.task.evaluator.context(self.parts.train[1])

    @property
    def generator(self) -> np.random.Generator:
        """Dice that fall alike each time."""
        return np.random.default_rng(self.task.train.seed)

    def row(self, place: int) -> Row:
        """Return the sealed row at a place."""
        index = np.array([place])
        return Row(int(self.test.number[place]), take(self.test.rows, index), self.test.truth[index])

    def encoded(self, row: Row) -> Array:
        """Return what the model reads of a row: (1, ...)."""
        return self.predictor.encoder.encode(row.values)


class Explanation(ABC):
    """One way of looking at a model; each gives exhibits about the whole of it, or about a row, or both."""

    title: ClassVar[str]
    slow: ClassVar[bool] = False  # takes minutes: left out unless it is asked for
    inward: ClassVar[bool] = False  # looks into the Keras file, and not only at answers

    def reason(self, model: Explained) -> str:
        """Return why it cannot be done with this model; nothing if it can."""
        return ""

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """Show what holds for the model as a whole."""
        yield from ()

    def of_row(self, model: Explained, row: Row) -> Iterator[Figure]:
        """Show why this row is answered as it is."""
        yield from ()


class OfMaps(Explanation):
    """A way that needs pictures, and convolutions that make maps of them."""

    inward: ClassVar = True

    def reason(self, model: Explained) -> str:
        """Want both."""
        if model.task.form != "image":
            return f"{model.task.name} has no pictures"
        return "" if model.inside.convolutions else "the model has no convolutions, so no maps of the picture"
