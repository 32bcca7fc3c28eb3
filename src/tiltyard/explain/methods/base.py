"""The base class of explanation methods, and the model and rows that they explain."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array, Rows, take_rows
from tiltyard.config.task import Task
from tiltyard.figures import Figure
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.base import Context, Metric, with_threshold
from tiltyard.modeling.models.base import NETWORK, load_network
from tiltyard.preparation.sealed_test import TestRows
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.runtime import environment
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras

    from tiltyard.explain.math.network_view import NetworkView

RATINGS = "rmse"  # the metric of a model that recommends: ratings are explained
MAX_ROWS = 500  # validation rows for explanations of the whole model


@dataclass(frozen=True)
class Row:
    """One test row: its number in the raw data, its values as a client sends them, and the truth."""

    number: int
    values: Rows
    truth: Array


@dataclass(frozen=True)
class ExplainedModel:
    """A trained model with its data. Global explanations use validation rows, never test rows."""

    workspace: Workspace
    task: Task
    data: TrainingRows
    predictor: Predictor
    test: TestRows

    @cached_property
    def validation(self) -> tuple[Array, Array]:
        """Encoded validation rows, at most MAX_ROWS, and their truth."""
        return sample_rows(self.data.validation, MAX_ROWS)

    @cached_property
    def network(self) -> keras.Model:
        """The model as a Keras network, which has layers and gradients; of a blend with references, the network."""
        with environment.suppress_native_output():
            from tiltyard.training.network import build_inference

            model = load_network(self.workspace.out(self.task.name, "train") / "model.keras")
            if self.network_weight == 1:
                return model
            return build_inference(self.task.model, model.get_layer(NETWORK), self.predictor.encoder)

    @cached_property
    def network_weight(self) -> float:
        """The weight of the network in the model: less than 1 if it is averaged with references."""
        if not self.task.model.has_gradients:
            return 0.0
        path = self.workspace.out(self.task.name, "train") / "training.json"
        parts = files.read_json(path).get("blend", {}).get("parts", []) if path.is_file() else []
        return next((float(part["weight"]) for part in parts if part["model"] == NETWORK), 1.0)

    @cached_property
    def network_view(self) -> NetworkView:
        """The network's layers and gradients."""
        from tiltyard.explain.math.network_view import open_network

        return open_network(self.network, labels=bool(self.task.labels))

    def score(self, features: Array, truth: Array) -> float:
        """Return the metric for encoded features."""
        return self.metric.score(truth, self.predictor.condense(truth, features), self.context)

    @property
    def metric(self) -> Metric:
        """The metric of the gate; that of ratings if the model recommends, since a ranking is about many rows."""
        return self.task.evaluator.metrics[RATINGS] if self.task.problem_type.recommends else self.task.metric

    @cached_property
    def context(self) -> Context:
        """Values from the training rows that the metric needs, and the thresholds of the model."""
        threshold = self.predictor.encoder.problem.threshold
        return with_threshold(self.task.evaluator.context(self.data.train[1]), threshold)

    @property
    def generator(self) -> np.random.Generator:
        """A new random generator with the task's seed."""
        return np.random.default_rng(self.task.train.seed)

    def row(self, place: int) -> Row:
        """Return the test row at an index."""
        index = np.array([place])
        return Row(int(self.test.number[place]), take_rows(self.test.rows, index), self.test.truth[index])

    def encode(self, row: Row) -> Array:
        """Return the encoded features of a row: (1, ...)."""
        return self.predictor.encoder.encode(row.values)


class ExplanationMethod(ABC):
    """A method that yields figures about the model as a whole, about single rows, or both."""

    title: ClassVar[str]
    slow: ClassVar[bool] = False  # takes minutes: runs only on request
    explains_objects: ClassVar[bool] = False  # whether it explains the score of an object in a picture
    explains_rows: ClassVar[bool] = False  # explains a reconstruction, too: its error
    explains_samples: ClassVar[bool] = False  # explains a generative model
    needs_keras: ClassVar[bool] = False  # needs the Keras file, not only predictions

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Return why the method does not fit this model, or an empty string."""
        return ""

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield figures about the model as a whole."""
        yield from ()

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield figures about the prediction of one row."""
        yield from ()


class ConvolutionMethod(ExplanationMethod):
    """A method that needs images, and convolutions with feature maps."""

    needs_keras: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require both."""
        if model.task.problem_type.targets == "text":
            return f"it explains labels and numbers; {model.task.name} predicts texts: see attention"
        if model.task.modality == "mixed":
            return f"it needs images alone; those of {model.task.name} are beside other columns: see occlusion"
        if model.task.modality != "image":
            return f"{model.task.name} has no images"
        return "" if model.network_view.convolutions else "the model has no convolutions"
