"""Training and validation rows as `prepare` encoded them; test rows are not readable here."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.errors import DataError
from tiltyard.modeling.columns._vocabulary import START
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation.array_file import MAX_IN_MEMORY_BYTES, ArrayFile, Features, open_features, open_part

NAMES = ("encoder.json", "train.npz", "validation.npz")
UNLABELLED = "unlabelled.npz"


@dataclass(frozen=True)
class TrainingRows:
    """Encoder, training and validation rows; never a test row."""

    encoder: Encoder
    train: tuple[Features, Array]
    validation: tuple[Features, Array]
    digest: str
    inherited: dict[str, Any]  # what the model reuses from other trainings
    unlabelled: Features | None = None  # training rows and further ones, without labels, for pre-training
    features: Path | None = None  # folder of the network by whose features samples are compared

    @classmethod
    def load(cls, folder: Path, inherited: dict[str, Any] | None = None) -> TrainingRows:
        """Read the files of `prepare`."""
        for name in NAMES:
            if not (folder / name).is_file():
                task = folder.parent.name
                raise DataError(
                    f"no {name} for {task}: it is not prepared", hint=f"prepare it: tiltyard prepare {task}"
                )
        train, validation = (open_part(folder / name) for name in NAMES[1:])
        encoder, unlabelled = Encoder.load(folder / NAMES[0]), None
        if (path := folder / UNLABELLED).is_file():
            unlabelled = open_features(path)
        return cls(encoder, train, validation, rows_digest(folder), inherited or {}, unlabelled)

    @property
    def feature_folder(self) -> Path:
        """The folder of the network of features, which a generative model has."""
        assert self.features  # noqa: S101 - for the type checker: `training.train.opened` sets it
        return self.features

    def with_counts(self) -> TrainingRows:
        """Return them for an exponential output: the target is divided by its mean, and not shifted.

        The mean that minimises the loss of Poisson is the same in any unit that begins at zero.
        """
        lowest = min(float(truth.min()) for _, truth in (self.train, self.validation))
        mean = float(self.train[1].mean())
        if lowest < 0 or mean <= 0:
            received = f"{lowest:g}" if lowest < 0 else "only zeros"
            raise DataError(
                f"target: expected counts, 0 or more and not all 0, with an exponential output; received {received}",
                hint="remove model.output and train.loss, to learn any number",
            )
        return replace(self, encoder=self.encoder.with_scale(0.0, mean))

    def with_rows_as_truth(self) -> TrainingRows:
        """Return them for a network that reconstructs rows: the truth of a row is its features."""
        parts = (features for features, _ in (self.train, self.validation))
        if large := next((part for part in (self.train[0], self.validation[0]) if isinstance(part, ArrayFile)), None):
            raise DataError(
                f"expected at most {MAX_IN_MEMORY_BYTES >> 20} MiB of encoded rows for a reconstruction, whose targets "
                f"are the rows; received {large.nbytes >> 20} MiB",
                hint="use fewer rows: split.rows",
            )
        train, validation = ((features, np.asarray(features)) for features in parts)
        return replace(self, train=train, validation=validation)

    def with_decoder_inputs(self) -> TrainingRows:
        """Return them for a sequence-to-sequence model: features with the target shifted by one step."""
        train, validation = (
            (_add_decoder_inputs(self.encoder, features, truth), truth)
            for features, truth in (self.train, self.validation)
        )
        return replace(self, train=train, validation=validation)


def rows_digest(folder: Path) -> str:
    """Return the hash of the prepared rows and of the encoder."""
    further = [UNLABELLED] if (folder / UNLABELLED).is_file() else []
    return files.sha256(*(folder / name for name in [*NAMES, *further]))


def sample_rows(part: tuple[Features, Array], max_rows: int) -> tuple[Array, Array]:
    """Return at most `max_rows` rows of a part, evenly spaced, because rows may be ordered."""
    features, truth = part
    places = np.unique(np.linspace(0, len(truth) - 1, min(max_rows, len(truth))).astype(int))
    sample = features[places] if isinstance(features, np.ndarray) else features.take(places)
    return sample.astype(np.float32, copy=False), truth[places]  # pixels are stored as bytes


def _add_decoder_inputs(encoder: Encoder, features: Features, truth: Array) -> Features:
    """Append the decoder input of teacher forcing: the target, shifted by one step; an image becomes a row of pixels.

    Pixels are stored as bytes, and ids with as few bytes as hold them.
    """
    ids = encoder.problem.ids(encoder, truth)
    shifted = np.concatenate([np.full((len(ids), 1), START), ids[:, :-1]], axis=1)
    rows = features[:].reshape(len(features), -1)
    kind = np.float32 if rows.dtype.kind == "f" else np.min_scalar_type(int(shifted.max()))
    return np.concatenate([rows, shifted.astype(kind)], axis=1)


def without_decoder_inputs(features: Features, shape: tuple[int, ...]) -> Array:
    """Return rows as a client sends them, of a shape, without decoder inputs behind them."""
    rows = features[:].reshape(len(features), -1)
    return rows[:, : math.prod(shape)].reshape(len(features), *shape)
