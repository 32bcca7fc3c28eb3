"""Files for TensorBoard's projector: the vectors of words, or of validation rows before the output layer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.modeling.columns._vocabulary import END
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.models._tables import MEMBERS
from tiltyard.preparation.training_rows import TrainingRows, sample_rows

if TYPE_CHECKING:
    import keras

MAX_VECTORS = 10_000  # the most frequent words come first
MAX_ROWS = 1_000
CONFIG = "projector_config.pbtxt"


@dataclass(frozen=True)
class Vectors:
    """Named points of the projector, with one line of text each; several columns have a heading."""

    name: str
    values: Array
    labels: list[str]


def write(folder: Path, body: keras.Model, rows: TrainingRows) -> None:
    """Write tensors, their labels and the configuration into the folder of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    config = ""
    for vectors in [*_embeddings(body, rows.encoder)] or [*_hidden(body, rows)]:
        tensors, metadata = f"{vectors.name}_tensors.tsv", f"{vectors.name}_metadata.tsv"
        text = io.StringIO()
        np.savetxt(text, vectors.values, fmt="%.6g", delimiter="\t")
        files.write_text(folder / tensors, text.getvalue())
        files.write_text(folder / metadata, "\n".join(vectors.labels) + "\n")
        places = f'tensor_name: "{vectors.name}" tensor_path: "{tensors}" metadata_path: "{metadata}"'
        config += f"embeddings {{ {places} }}\n"
    if config:
        files.write_text(folder / CONFIG, config)


def _embeddings(body: keras.Model, encoder: Encoder) -> Iterator[Vectors]:
    """Yield the vectors of each embedding layer, with the tokens that they stand for."""
    import keras

    layers = [layer for layer in body.layers if isinstance(layer, keras.layers.Embedding)]
    for number, layer in enumerate(layers, start=1):
        tokens = _tokens(layer.input_dim, encoder)
        values = np.asarray(layer.embeddings)[:MAX_VECTORS]
        labels = [tokens.get(place, str(place)) for place in range(len(values))]
        yield Vectors("embedding" if len(layers) == 1 else f"embedding_{number}", values, labels)


def _tokens(size: int, encoder: Encoder) -> dict[int, str]:
    """Return the token of each id, of the column or the target that has so many; empty for positions in a text."""
    fitted = [part["ids"] for part in encoder.fitted.values() if isinstance(part, dict) and "ids" in part]
    for ids in fitted:
        if size == encoder.vocabulary_size:
            return {0: "(padding)", 1: "(unknown)", **{place: _one_line(token) for token, place in ids.items()}}
    if "ids" in encoder.target and size == len(encoder.target["ids"]) + END + 1:
        return {0: "(padding)", 1: "(start)", 2: "(end)"} | {
            place: _one_line(token) for token, place in encoder.target["ids"].items()
        }
    return {}


def _one_line(token: str) -> str:
    """Return a token as one cell of a table: blanks and line ends would be lost."""
    return token if token.isprintable() and token.strip() else repr(token)


def _hidden(body: keras.Model, rows: TrainingRows) -> Iterator[Vectors]:
    """Yield what the output layer receives for some validation rows, with their targets."""
    import keras

    from tiltyard.training import network

    if "output" not in {layer.name for layer in body.layers}:
        return
    features, truth = sample_rows(rows.validation, MAX_ROWS)
    values = network.outputs(keras.Model(body.input, body.get_layer("output").input), features)
    if values.ndim > 2 and any(layer.name == MEMBERS for layer in body.layers):
        values = values.reshape(len(values), -1)
    values = values[:, -1] if values.ndim == 3 else values  # the last step of a text or series
    if values.ndim == 2 and values.shape[1] > 1:
        yield Vectors("hidden", values, [_truth(rows.encoder, value) for value in truth])


def _truth(encoder: Encoder, value: Array) -> str:
    """Return the target of a row as text."""
    targets = encoder.problem.targets
    if targets == "label":
        return _one_line(encoder.classes[int(value)])
    if targets == "labels":
        return ", ".join(name for name, flag in zip(encoder.classes, value, strict=True) if flag) or "(none)"
    return " ".join(f"{number:.6g}" for number in np.atleast_1d(value)) if targets == "number" else ""
