"""Draft the network for a table, TabM, and its training: settings by the number of rows and of features."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tiltyard.config.draft.column_profile import ColumnProfile


class Size(NamedTuple):
    """Settings for tables of up to so many rows."""

    rows: float
    units: int  # of each of two hidden layers
    dropout: float
    batch: int
    epochs: int
    patience: int


# More rows: wider layers, larger batches and fewer epochs, so that the number of steps grows more slowly than the rows.
SIZES = [
    Size(1_000, 64, 0.2, 32, 100, 15),
    Size(5_000, 96, 0.1, 64, 80, 12),
    Size(20_000, 128, 0.1, 128, 50, 8),
    Size(100_000, 128, 0.0, 256, 30, 5),
    Size(math.inf, 128, 0.0, 512, 20, 3),
]
BLEND = (
    "the model averages a network with the references of the gate, weighted by validation rows; "
    "for the network alone, remove model.blend_references"
)
WIDE = 50  # numbers; of more, most matter little: learned input scales select, and embeddings are shorter
INPUT_RATE = 32.0


def sections(rows: int, features: list[ColumnProfile]) -> dict[str, Any]:
    """Return the sections `model` and `train` of a task file."""
    size = next(size for size in SIZES if rows <= size.rows)
    numbers = sum(profile.kind in ("number", "date") for profile in features)
    model = {
        "family": "tabm",
        "units": [size.units, size.units],
        "members": 16 if rows <= SIZES[1].rows else 8,
        "dropout": size.dropout,
        "embedding_size": 4 if numbers > WIDE else 8,
        **({"input_rate": INPUT_RATE} if numbers > WIDE else {}),
        "bins": 8 if rows <= SIZES[0].rows or numbers > WIDE else 16,
        "blend_references": True,
    }
    # a quarter of the rows at most: several steps in each epoch
    batch = min(size.batch, max(1, 2 ** int(math.log2(max(1, rows * 0.25)))))
    train = {
        "epochs": size.epochs,
        "batch_size": batch,
        "learning_rate": 0.003,
        "weight_decay": 0.0003,
        "patience": size.patience,
        "schedule": "plateau",
    }
    return {"model": model, "train": train}
