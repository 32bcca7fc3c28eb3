"""The base class of references, the rows they are fitted to, and the choice of the best one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.problems.regression import original, standardised

MAX_CLASSES = 1000
ABSENT = -30.0  # the logit of a label without training rows


class Features(Protocol):
    """Encoded features in memory or in a file, which is read by slices."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return rows, and the shape of a row."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, rows: slice, /) -> Array:
        """Return rows."""


Part = tuple[Features, Array]  # encoded features, and the truth


@dataclass(frozen=True)
class Subject:
    """What references are fitted to: the modality of a task, its encoder, and the weights of its labels."""

    modality: str
    encoder: Encoder
    horizon: int = 1  # steps of a forecast, or numbers that are predicted at once
    class_weights: str | dict[str, float] = "none"
    followed: int | None = None  # the place of the series whose last value a forecast starts from

    @property
    def classes(self) -> int:
        """The number of labels, of which a row has exactly one; 0 for other targets."""
        return 0 if self.several else len(self.encoder.classes)

    @property
    def several(self) -> bool:
        """Whether a row may have several labels."""
        return self.encoder.problem.targets == "labels"

    @property
    def units(self) -> int:
        """The number of scores for a row: one for each label, for each step of a forecast, or for each number."""
        return len(self.encoder.classes) or self.horizon

    def targets(self, truth: Array) -> Array:
        """Return label indices; a flag for each label; or standardised numbers in one column for each step."""
        if self.several:
            return truth
        if self.classes:
            return truth.astype(np.int64)
        return standardised(truth, self.encoder.target).reshape(len(truth), -1)

    def outputs(self, scores: Array) -> Array:
        """Return what a network of the task would: probabilities, or numbers in the unit of the target."""
        if self.classes:
            return softmax(scores)
        if self.several:
            return sigmoid(scores)
        return original(scores, self.encoder.target)

    def loss(self, truth: Array, scores: Array) -> float:
        """Return the log loss, or the squared error of standardised numbers."""
        targets = self.targets(truth)
        if self.classes:
            likelihood = softmax(scores)[np.arange(len(targets)), targets]
            return float(-np.log(np.maximum(likelihood, 1e-12)).mean())
        if self.several:
            return float(np.logaddexp(0, np.where(truth, -scores, scores)).mean())
        return float(np.square(scores - targets).mean())

    def weights(self, truth: Array) -> Array | None:
        """Return the weight of each row, as the network is trained; None if all are equal."""
        if self.class_weights == "none" or not self.classes:
            return None
        if isinstance(self.class_weights, dict):
            named = [self.class_weights.get(label, 1.0) for label in self.encoder.classes]
            return np.array(named)[truth.astype(np.int64)]
        counts = np.bincount(truth.astype(np.int64), minlength=self.classes)
        return np.asarray((len(truth) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[truth.astype(np.int64)])


class Reference(ABC):
    """A kind of reference; each plug-in in references/ is one file."""

    title: ClassVar[str]
    modalities: ClassVar[tuple[str, ...]]
    max_rows: ClassVar[int] = 20_000  # that it is fitted to
    max_cells: ClassVar[int] = 8_000_000  # rows times features, which bounds memory and time
    max_width: ClassVar[int] = 4096  # features
    refits: ClassVar[bool] = False  # whether the served one is fitted again, to training and validation rows

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def last(self, features: Array) -> Array | float:
        """Return the last value of the series that is forecast, in standardised units; 0 for other tasks."""
        place, target = self.subject.followed, self.subject.encoder.target
        return 0.0 if place is None else (features[:, -1, place : place + 1] - target["mean"]) / target["std"]

    def applies(self, width: int) -> bool:
        """Whether it can be fitted to so many features."""
        return self.subject.modality in self.modalities and width <= self.max_width

    def derived_width(self, width: int) -> int:
        """Return how many features it fits for so many encoded ones, which bounds its rows."""
        return width

    @abstractmethod
    def fit(self, features: Array, truth: Array) -> None:
        """Fit it to training rows."""

    @abstractmethod
    def scores(self, features: Array) -> Array:
        """Return a logit for each label, or standardised numbers."""


@dataclass(frozen=True)
class FittedReference:
    """A fitted reference, and the rows that it was fitted to."""

    model: Reference
    rows: int
    of: int  # all of these rows
    kind: str = "training rows"

    @property
    def extent(self) -> str:
        """The rows that it was fitted to, in words."""
        return f"{self.rows:,} {self.kind}" if self.rows == self.of else f"{self.rows:,} of {self.of:,} {self.kind}"

    @property
    def name(self) -> str:
        """The name, with the number of rows."""
        return f"{self.model.title} fitted to {self.extent}"

    def scores(self, features: Features) -> Array:
        """Return the scores of many rows, in batches."""
        step = max(1, 4_000_000 // max(1, width(features)))
        widened = self.model.subject.encoder.widened
        parts = [self.model.scores(widened(features[i : i + step])) for i in range(0, len(features), step)]
        return np.concatenate(parts)

    def outputs(self, features: Features) -> Array:
        """Return what a network of the task would."""
        return self.model.subject.outputs(self.scores(features))


def candidates(subject: Subject, train: Part, without: Collection[str] = ()) -> Iterator[FittedReference]:
    """Fit every reference that applies, each to as many of the last rows as its bounds allow.

    The last rows are the latest of a chronological split, and a sample of any other.
    """
    if not 0 < subject.units <= MAX_CLASSES:
        return
    columns = width(train[0]) + len(subject.encoder.derived)
    for name in plugins.names("references"):
        model: Reference = plugins.load("references", name)(subject)
        if name not in without and model.applies(columns):
            rows = _fit(model, train)
            yield FittedReference(model, rows, len(train[1]))


def refitted(fitted: FittedReference, train: Part, validation: Part) -> FittedReference:
    """Return the reference fitted to training and validation rows, if its kind is; else unchanged."""
    if not fitted.model.refits:
        return fitted
    model = type(fitted.model)(fitted.model.subject)
    rows = _fit(model, train, validation)
    return FittedReference(model, rows, len(train[1]) + len(validation[1]), "training and validation rows")


def _fit(model: Reference, *parts: Part) -> int:
    """Fit it to as many of the last rows of the parts as its bounds allow; return how many."""
    total = sum(len(truth) for _, truth in parts)
    encoder = model.subject.encoder
    columns = model.derived_width(width(parts[0][0]) + len(encoder.derived))
    left = rows = max(1, min(total, model.max_rows, model.max_cells // max(1, columns)))
    chosen: list[tuple[Array, Array]] = []
    for features, truth in reversed(parts):
        if left:
            start = max(0, len(truth) - left)
            chosen.insert(0, (features[start : len(truth)].astype(np.float32), truth[start:]))
            left -= len(truth) - start
    features, truth = chosen[0] if len(chosen) == 1 else map(np.concatenate, zip(*chosen, strict=True))
    with one_thread():
        model.fit(encoder.widened(features), truth)
    return rows


def best(subject: Subject, train: Part, loss: Callable[[FittedReference], float]) -> FittedReference | None:
    """Return the reference with the lowest loss, which `loss` measures on validation rows; None if none applies."""
    return min(candidates(subject, train), key=loss, default=None)


def width(features: Features) -> int:
    """Return the number of features of a row."""
    return int(np.prod(features.shape[1:]))


def softmax(scores: Array) -> Array:
    """Return probabilities of logits."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(scores: Array) -> Array:
    """Return the probability of each logit."""
    return np.asarray(np.exp(-np.logaddexp(0, -scores)))


def one_thread() -> Any:
    """Limit scikit-learn to one thread: the result is the same on any machine, and threads only wait on a busy one."""
    import sklearn  # noqa: F401 - a limit holds only for libraries that are loaded
    import threadpoolctl

    return threadpoolctl.threadpool_limits(1)
