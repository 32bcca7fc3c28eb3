"""Benchmark of images in small numbers: the draft of `tiltyard init` beside a colour histogram and convolutions.

uv pip install scikit-image; python benchmarks/photos.py

Writes benchmarks/PHOTOS.md. Images are crops of 32x32 pixels of photos that scikit-image and scikit-learn ship,
mirrored or not, lighter or darker. Each photo is a label; its 16 blocks are divided between training, validation and
test, so that no region is in two parts. The colour histogram has 64 bins and a logistic regression of scikit-learn,
which is fitted to training and validation rows.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import drafted
import numpy as np
from photo_crops import COLOUR, TEXTURES, write_crops
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tiltyard.arrays import Array
from tiltyard.config.draft.request import DraftRequest

SIDE, TEST = 32, 40
SETS = {
    "7 photos in colour": (COLOUR, 60),
    "7 photos in colour, fewer crops": (COLOUR, 25),
    "7 textures and photos in grey": (TEXTURES, 60),
}
CNN = {
    "model": {"family": "cnn", "filters": [32, 64, 128], "units": [64], "batch_norm": True, "dropout": 0.3},
    "train": {"epochs": 60, "batch_size": 16, "learning_rate": 0.001, "patience": 8, "schedule": "plateau"},
}
HEAD = "| images | known crops of each label | draft | reference | 64 colours | convolutions (the draft before) |"


def main() -> None:
    """Measure all sets, and write the table."""
    about = " ".join((__doc__ or "").split("\n\n")[2].split(". ", 1)[1].split())
    accuracy = f"Accuracy on {TEST} sealed crops of each label, one seed."
    rows = {title: partial(_row, title) for title in SETS}
    drafted.write_table("PHOTOS", "Images in small numbers", f"{accuracy} {about}", HEAD, rows)


def _row(title: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return _line(title, Path(folder), *SETS[title])


def _line(title: str, folder: Path, names: tuple[str, ...], count: int) -> str:
    space = drafted.project(folder)
    write_crops(
        folder / "crops", names, {"train": round(0.75 * count), "validation": round(0.25 * count), "test": TEST}, SIDE
    )
    drafted.draft(space, DraftRequest("crops"), {"split": {"kind": "given"}})
    family, value = drafted.measure(space)
    _, reference = drafted.measure(space, {"model": {"family": "reference"}})
    _, before = drafted.measure(space, CNN)
    cells = [f"{family} {value:.3f}", *(f"{score:.3f}" for score in (reference, _colours(folder / "crops"), before))]
    return f"| {title} | {count} | {' | '.join(cells)} |"


def _colours(folder: Path) -> float:
    """Return the accuracy of a plain colour histogram with a logistic regression."""
    train, labels = _read(folder, "train", "validation")
    test, truth = _read(folder, "test")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(train, labels)
    return float(model.score(test, truth))


def _read(folder: Path, *parts: str) -> tuple[Array, list[str]]:
    paths = [path for part in parts for path in sorted((folder / part).glob("*/*.png"))]
    return np.stack([_histogram(path) for path in paths]), [path.parent.name for path in paths]


def _histogram(path: Path) -> Array:
    levels = np.asarray(Image.open(path).convert("RGB"), dtype=np.int64) // 64
    return np.bincount((levels @ [16, 4, 1]).ravel(), minlength=64) / levels[..., 0].size


if __name__ == "__main__":
    main()
