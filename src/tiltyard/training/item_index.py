"""Build the vector index: the exported model gives the vector of each user and item, the rows say who rated what."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import DataError, join_first
from tiltyard.modeling.inference import vector_index
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.inference.vector_index import VectorIndex
from tiltyard.modeling.models.two_tower import TwoTower
from tiltyard.modeling.problems._interaction import Interaction
from tiltyard.preparation import item_titles
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.training_rows import TrainingRows

USER, ITEM = 0, 1  # columns of codes


def write(folder: Path, prepared: Path, model: TwoTower, parts: TrainingRows) -> None:
    """Write index.npz beside the exported model."""
    predictor, encoder = Predictor.load(folder), parts.encoder
    between = Interaction(**encoder.target["interaction"])
    (features, truth), (later, _) = (_in_memory(part) for part in (parts.train, parts.validation))
    code = vector_index.codes(encoder, features)
    item_features = between.item_features([*encoder.columns])
    users = _one_row_each(encoder, features, code[:, USER], between.user, between.user_features)
    items = _one_row_each(encoder, features, code[:, ITEM], between.item, item_features)
    outputs = predictor.run(features)
    residual = float(np.std(truth - encoder.problem.condense(encoder, truth, outputs)[:, 0]))
    rated = np.concatenate([code, vector_index.codes(encoder, later)])
    starts, known = _by_user(rated, len(users))
    target, width = encoder.target, model.width
    names = ["", *encoder.fitted[between.item]["values"]]
    VectorIndex(
        users=np.array(["", *encoder.fitted[between.user]["values"]]),
        user_vectors=predictor.run(users)[:, 1 : 1 + width],
        user_rows=np.bincount(code[:, USER], minlength=len(users)),
        items=np.array(names),
        titles=np.array(item_titles.read(prepared, names)),
        item_vectors=predictor.run(items)[:, 1 + width :],
        item_rows=np.bincount(code[:, ITEM], minlength=len(items)),
        starts=starts,
        rated=known,
        scale=np.array([target["mean"], target["std"], between.relevant, residual]),
        layout_=np.array([model.factors, int(model.ranking > 0)]),
    ).save(folder / vector_index.FILE)


def _in_memory(part: tuple[Features, Array]) -> tuple[Array, Array]:
    return part[0][:], part[1]


def _by_user(rated: Array, users: int) -> tuple[Array, Array]:
    """Return where the items of each user begin, and the items, each once; unknown users and items are left out."""
    pairs = np.unique(rated[(rated > 0).all(axis=1)], axis=0)
    return np.searchsorted(pairs[:, USER], np.arange(users + 1)), pairs[:, ITEM].astype(np.int32)


def _one_row_each(encoder: Encoder, features: Array, code: Array, name: str, describing: list[str]) -> Array:
    """Return a row for each identifier with the features that describe it; the unknown one has their means.

    Rows of one identifier must agree, since it has one vector.
    """
    spans, size = encoder.spans, len(encoder.fitted[name]["values"]) + 1
    known, first = np.unique(code, return_index=True)
    rows = np.zeros((size, features.shape[1]), dtype=np.float32)
    places = [place for other in describing for place in range(spans[other].start, spans[other].stop)]
    if places:
        rows[:, places] = features[:, places].mean(axis=0)
        rows[known[known > 0][:, None], places] = features[first[known > 0][:, None], places]
        _refuse_different(encoder, name, (features, rows[code]), describing, code)
    rows[:, spans[name].start] = np.arange(size)
    return rows


def _refuse_different(
    encoder: Encoder, name: str, rows: tuple[Array, Array], describing: list[str], code: Array
) -> None:
    """Raise if the rows of one identifier have different values."""
    (features, expected), spans = rows, encoder.spans
    for other in describing:
        differs = (features[:, spans[other]] != expected[:, spans[other]]).any(axis=1) & (code > 0)
        if differs.any():
            values = encoder.fitted[name]["values"]
            received = join_first(sorted({values[place - 1] for place in code[differs].tolist()}))
            raise DataError(
                f"columns.{other}: expected one value for each {name}, which it describes; it changes for {received}",
                hint=f"leave {other} out, or list it in target.interaction.user_features if it describes the user",
            )
