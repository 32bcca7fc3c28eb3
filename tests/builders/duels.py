"""Duels on real data between models of scikit-learn, with any settings of the gate."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from workspaces import ROOT

from tiltyard import plugins
from tiltyard.arrays import Array, Rows
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.data.sources.base import Source
from tiltyard.evaluation.reference import Reference
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.duel import Duel
from tiltyard.gate.verdict import Word, decide
from tiltyard.modeling.evaluators.base import TRUTH
from tiltyard.modeling.evaluators.recommendation import CODES, HIDDEN
from tiltyard.modeling.metrics.dependence import Dependence
from tiltyard.modeling.metrics.rating_baselines import ItemNeighbours, Ratings
from tiltyard.workspace import Workspace

ORIGIN = {"data": "d", "test": "t", "version": "v", "seed": 0, "parameters": 9, "commit": "c"}
FACTS = {"size_mb": 0.1, "memory_mb": 80.0, "parity": 1e-6, "empty": [], "dirty": False, "origin": ORIGIN}


@dataclasses.dataclass(frozen=True)
class Data:
    """Rows by column with targets; every third row is sealed for testing."""

    rows: Rows
    truth: Array
    classes: list[str]

    @property
    def sealed(self) -> Array:
        """Return the mask of the sealed test rows."""
        found: Array = np.arange(len(self.truth)) % 3 == 0
        return found

    def matrix(self, rows: Rows) -> Array:
        """Return the rows as a matrix; a column of names becomes 1 for its first name and 0 for others."""
        known = {name: np.unique(values)[0] for name, values in self.rows.items() if values.dtype.kind == "U"}
        return np.column_stack([rows[n] == known[n] if n in known else rows[n] for n in self.rows]).astype(float)


@cache
def cancer() -> Data:
    """Return the breast cancer data: six measurements and a category of 569 tumours, malignant or benign."""
    found = datasets.load_breast_cancer()
    names = ("mean_texture", "mean_smoothness", "mean_concavity", "worst_area", "worst_symmetry", "mean_perimeter")
    rows = {name: found.data[:, list(found.feature_names).index(name.replace("_", " "))] for name in names}
    rows["side"] = np.where(found.data[:, 0] > np.median(found.data[:, 0]), "large", "small")
    return Data(rows, found.target, [*map(str, found.target_names)])


@cache
def diabetes() -> Data:
    """Return the diabetes data: ten measurements of 442 patients and the progression after a year."""
    found = datasets.load_diabetes(scaled=False)
    rows = dict(zip(found.feature_names, found.data.T, strict=True))
    rows["sex"] = np.where(rows["sex"] == 1, "one", "two")
    return Data(rows, found.target, [])


def duel_task(data: Data, **terms: Any) -> Task:
    """Return a task for the data, with settings of the gate."""
    named = {name: sorted({*map(str, values)}) for name, values in data.rows.items() if values.dtype.kind == "U"}
    columns = {n: {"type": "category", "values": named[n]} if n in named else {"type": "number"} for n in data.rows}
    content: dict[str, Any] = {
        "name": "duel",
        "title": "Real rows",
        "problem": "classification" if data.classes else "regression",
        "source": {"kind": "sklearn", "dataset": "iris"},
        "rows": [100, 1000],
        "columns": columns,
        "target": {"column": "answer", **({"classes": data.classes} if data.classes else {})},
        "split": {"kind": "random"},
        "model": {"family": "mlp"},
        "train": {"epochs": 1},
        "gate": {"metric": "log_loss" if data.classes else "rmse", **terms},
        "serve": {"example": {name: values[0].item() for name, values in data.rows.items()}},
    }
    return Task.model_validate(content)


def linear_model(data: Data) -> Any:
    """Return a linear model, which fits these data well."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000) if data.classes else Ridge())


def baseline_model(data: Data) -> Any:
    """Return the baseline model."""
    return DummyClassifier() if data.classes else DummyRegressor()


def build_duel(
    data: Data, challenger: Any, champion: Any = None, more: dict[str, Any] | None = None, **terms: Any
) -> Duel:
    """Train the models on the other rows, and build the duel from their predictions on the sealed rows."""
    seen, sealed = ~data.sealed, data.sealed
    rows = {name: values[sealed] for name, values in data.rows.items()}

    def answers(model: Any, asked: Rows) -> Array:
        features = data.matrix(asked)
        found: Array = model.predict_proba(features) if data.classes else model.predict(features)[:, None]
        return found

    learned = {name: values[seen] for name, values in data.rows.items()}
    models = {
        "challenger": challenger,
        "baseline": baseline_model(data),
        "reference": linear_model(data),
        "champion": champion,
    }
    for model in models.values():
        if model is not None:
            model.fit(data.matrix(learned), data.truth[seen])
    made, truth = duel_task(data, **terms), data.truth[sealed]
    given: dict[str, Any] = {
        "task": made,
        "truth": truth,
        "challenger": answers(challenger, rows),
        "baseline": answers(models["baseline"], rows),
        "champion": None if champion is None else answers(champion, rows),
        "context": {},
        "train": made.metric.score(data.truth[seen], answers(challenger, learned), {}),
        "latency_ms": 0.1,
        "reference": Reference("a linear model", answers(models["reference"], rows), "9 training rows"),
        "rows": rows,
        "ask": lambda asked: answers(challenger, asked),
        "facts": FACTS,
    }
    return Duel(**{**given, **(more or {})})


def verdicts_without_and_with(duel: Duel, without: str) -> tuple[Word, Word, Outcome]:
    """Return the verdict without one check, the verdict with it, and the outcome of that check."""
    outcomes = {name: plugins.load("checks", name)().outcome(duel) for name in plugins.names("checks")}
    others = [outcome for name, outcome in outcomes.items() if name != without]
    return decide(others), decide([*outcomes.values()]), outcomes[without]


def duel_of_ratings(source: Source, folder: Path) -> Duel:
    """Build the duel of neighbours of items, which rate books well, and rank them as the baseline does."""
    source.fetch(folder, Workspace(folder))
    table = pd.read_csv(folder / "table.csv")
    coded = np.column_stack([pd.factorize(table[name])[0] + 1 for name in ("reader", "book")])
    truth, sealed = table["rating"].to_numpy(np.float64), np.arange(len(table)) % 5 == 0
    task = loader.load(Workspace(ROOT), "recommendation_books")
    task = task.model_copy(update={"gate": task.gate.model_copy(update={"require": {}, "slices": []})})
    sizes = int(coded[:, 0].max()) + 1, int(coded[:, 1].max()) + 1
    known = Ratings.of(coded[~sealed], truth[~sealed], 4.0, sizes)
    rows = {CODES: coded[sealed], HIDDEN: coded[~sealed], TRUTH: truth[sealed]}
    baseline = task.evaluator.baseline(np.column_stack([coded[~sealed], truth[~sealed]]), rows, "rmse")
    rating = ItemNeighbours(known).predicted(*coded[sealed].T)
    given: dict[str, Any] = {
        "task": task,
        "truth": truth[sealed],
        "challenger": np.column_stack([rating, baseline[:, 1:]]),
        "baseline": baseline,
        "champion": None,
        "context": {},
        "train": 0.4,
        "latency_ms": 0.1,
        "facts": FACTS,
        "dependence": Dependence(coded[sealed, 0], ordered=False),
    }
    return Duel(**given)
