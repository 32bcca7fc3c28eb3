"""The rows that training may see: what `prepare` made, without the test part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.errors import DataError
from tiltyard.modeling.columns._vocabulary import START
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation.array_file import Features, open_part


@dataclass(frozen=True)
class TrainingRows:
    """What training may see: never a test row."""

    encoder: Encoder
    train: tuple[Features, Array]
    validation: tuple[Features, Array]
    digest: str
    inherited: dict[str, Any]  # what the model takes from other trainings

    @classmethod
    def load(cls, folder: Path, inherited: dict[str, Any] | None = None) -> TrainingRows:
        """Read what `prepare` made."""
        names = ("encoder.json", "train.npz", "validation.npz")
        for name in names:
            if not (folder / name).is_file():
                task = folder.parent.name
                raise DataError(f"no {name} for {task}: it is not prepared", hint=f"type: tiltyard prepare {task}")
        train, validation = (open_part(folder / name) for name in names[1:])
        digest = files.sha256(*(folder / name for name in names))
        return cls(Encoder.load(folder / names[0]), train, validation, digest, inherited or {})

    def taught(self) -> TrainingRows:
        """Return them for a model that writes: along with each row, the right answer one step behind."""
        train, validation = (
            (_taught(self.encoder, features, truth), truth) for features, truth in (self.train, self.validation)
        )
        return replace(self, train=train, validation=validation)


def sample_rows(part: tuple[Features, Array], most: int) -> tuple[Array, Array]:
    """Return at most so many rows of a part, from all over it: they may lie in an order that means something."""
    features, truth = part
    places = np.unique(np.linspace(0, len(truth) - 1, min(most, len(truth))).astype(int))
    found = features[places] if isinstance(features, np.ndarray) else features.take(places)
    return found.astype(np.float32, copy=False), truth[places]  # pixels are kept as bytes


def _taught(encoder: Encoder, features: Features, truth: Array) -> Features:
    """Put beside each text what a writer is told while it learns: the right answer, one step behind."""
    ids = encoder.problem.ids(encoder, truth)
    before = np.concatenate([np.full((len(ids), 1), START), ids[:, :-1]], axis=1)
    return np.concatenate([features[:], before.astype(np.float32)], axis=1)
