"""The section about recommendations: rivals, what lists hold, neighbours of well-known items, and a map of items."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.evaluation.evaluated import Evaluated
from tiltyard.figures import Figure, points, table
from tiltyard.files import Json
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.inference.recommender import Recommender
from tiltyard.modeling.inference.vector_index import VectorIndex, codes
from tiltyard.preparation.array_file import open_part
from tiltyard.report.html_elements import Section, render_figures

WELL_KNOWN, NEIGHBOURS = 8, 5  # items whose neighbours are listed, and how many of each
MAPPED = 400  # items of the map: the most rated ones
MAX_COLOURS = 8  # groups of the map; all other items are one more
OTHER = "others"


def recommendation_section(task: Task, evaluated: Evaluated, prepared: Path) -> Section:
    """Return the section; empty for other problems."""
    facts = evaluated.report.get("recommendation")
    if facts is None or not (evaluated.train / "index.npz").is_file():
        return Section("Recommendations", "")
    predictor = evaluated.predictor
    if predictor.index is None:
        return Section("Recommendations", "")
    figures = [
        _rivals(task, evaluated.report),
        _lists(facts),
        _neighbours(predictor.index),
        _map(predictor, prepared),
        *(_errors(side, rows) for side, rows in facts["errors"].items()),
    ]
    return Section("Recommendations", render_figures(figures))


def _rivals(task: Task, report: Json) -> Figure:
    """Return the metrics of the model beside those of simple models."""
    rows = {"model": report["metrics"], "means and popularity": report["baseline"]}
    rows |= report["recommendation"]["rivals"]
    names = {name: name.replace("_at_", "@") for name in task.evaluator.metrics}
    records = [
        {"": who, **{shown: values[name] for name, shown in names.items() if name in values}}
        for who, values in rows.items()
    ]
    text = (
        "On the sealed test rows. A list leaves out what the user has rated in training and validation rows. Unknown "
        "users: their vectors are those that fit their training ratings, as the service finds them for ratings in a "
        "request."
    )
    return table("Model and simple rivals", text, records)


def _lists(facts: Json) -> Figure:
    """Return how much of the catalogue is recommended, how unequally, and how popular it is."""
    records = [
        {
            "lists of": name,
            "items recommended to anybody": f"{held['coverage']:.0%}",
            "Gini": held["gini"],
            "ratings of a recommended item": held["ratings"],
        }
        for name, held in facts["lists"].items()
    ]
    text = (
        f"The {facts['top']} items of each user, out of {facts['items']:,}. Gini is 0 if all items are recommended "
        "equally often, and near 1 if few items have all recommendations."
    )
    return table("Coverage and popularity of recommendations", text, records)


def _neighbours(index: VectorIndex) -> Figure:
    """Return the items that are most like the best-known ones."""
    engine, records = Recommender(index), []
    for code in np.argsort(-index.item_rows, kind="stable")[:WELL_KNOWN].tolist():
        if code:
            near = engine.like_item(code, NEIGHBOURS, np.empty(0, dtype=np.int64))
            shown = "; ".join(f"{one['title']} ({one['cosine']:.2f})" for one in near)
            records.append(
                {"item": str(index.titles[code]), "ratings": int(index.item_rows[code]), "most similar": shown}
            )
    text = (
        "The items whose vectors have the largest cosines with that of an item, out of those with five ratings or more."
    )
    return table("Items like well-known ones", text, records)


def _map(predictor: Predictor, prepared: Path) -> Figure:
    """Return the vectors of the most rated items in two dimensions, coloured by a feature."""
    index = predictor.index
    assert index is not None  # noqa: S101 - for the type checker
    chosen = np.argsort(-index.item_rows, kind="stable")
    chosen = chosen[chosen > 0][:MAPPED]
    plane, share = principal_plane(index.item_vectors[chosen][:, index.layout.ranking])
    labels = _labels(predictor.encoder, prepared, len(index.items))[chosen]
    names, counts = np.unique(labels, return_counts=True)
    largest = names[np.argsort(-counts, kind="stable")][:MAX_COLOURS].tolist()
    shown = np.where(np.isin(labels, largest), labels, OTHER)
    groups = {
        name: (plane[shown == name, 0], plane[shown == name, 1]) for name in (*largest, OTHER) if (shown == name).any()
    }
    text = (
        f"The vectors of the {len(chosen)} most rated items along their two principal components, which hold "
        f"{share:.0%} of the variance. Items that are near each other are recommended to the same users."
    )
    return points("Map of the items", text, ("First component", "Second component"), groups)


def principal_plane(vectors: Array) -> tuple[Array, float]:
    """Return vectors along their first two principal components, and the share of the variance that these hold."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.where(axes[:2].sum(axis=1) < 0, -1, 1)[:, None]  # the sign of a component is arbitrary
    plane = centred @ axes.T
    if plane.shape[1] < 2:
        plane = np.column_stack([plane, np.zeros(len(plane))])
    total = float((sizes**2).sum())
    return plane, float((sizes[:2] ** 2).sum()) / total if total else 0.0


def _labels(encoder: Encoder, prepared: Path, items: int) -> Array:
    """Return for each item the name that colours it: of a category, or of the first flag that is set."""
    between, spans = encoder.target["interaction"], encoder.spans
    features = open_part(prepared / "train.npz")[0][:]
    code = codes(encoder, features)[:, 1]
    known, first = np.unique(code, return_index=True)
    labels = np.full(items, OTHER, dtype=object)
    own = [
        name for name in encoder.columns if name not in (between["user"], between["item"], *between["user_features"])
    ]
    flags = [name for name in own if encoder.columns[name].type == "boolean"]
    names = [name for name in own if encoder.columns[name].type == "category"]
    if names:
        values = features[first][:, spans[names[0]]].argmax(axis=1)
        width = spans[names[0]].stop - spans[names[0]].start
        called = encoder.columns[names[0]].restore(np.eye(width), encoder.fitted[names[0]])
        labels[known] = np.array([str(called[value]) for value in values.tolist()], dtype=object)
    elif flags:
        table_of_flags = np.column_stack([features[first][:, spans[name].start] > 0 for name in flags])
        chosen = np.where(table_of_flags.any(axis=1), table_of_flags.argmax(axis=1), len(flags))
        labels[known] = np.array([*flags, OTHER], dtype=object)[chosen]
    return labels.astype(str)


def _errors(side: str, rows: list[Json]) -> Figure:
    """Return the error by number of ratings."""
    text = f"The error of ratings by how many training rows the {side} of a test row has."
    return table(f"Errors by number of ratings of the {side}", text, rows)
