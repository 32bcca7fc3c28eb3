"""Source `keras`: data sets of keras.datasets, from their .npz files; pickles are refused, as they may run any code."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from operator import not_
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.data import stand_in
from tiltyard.data.images import image_files
from tiltyard.data.sources import _fashion_mnist
from tiltyard.data.sources._location import MIRROR, FileLocation
from tiltyard.data.sources.base import Source
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
DIGITS = tuple("0123456789")
CLOTHES = ("tshirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot")
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MAX_BYTES = 1 << 31  # of all arrays in a file


@dataclass(frozen=True)
class ImageSet:
    """A data set of images by class; it is downloaded only if Keras publishes its checksum."""

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    sha256: str | None = None


@dataclass(frozen=True)
class TableSet:
    """A data set of numbers, whose last column is the target."""

    columns: tuple[str, ...]
    sha256: str


# Addresses and checksums are those of keras.datasets, in keras 3.15.
DATASETS: dict[str, ImageSet | TableSet] = {
    "mnist": ImageSet(DIGITS, (28, 28), "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"),
    "fashion_mnist": ImageSet(CLOTHES, (28, 28)),
    "cifar10": ImageSet(OBJECTS, (32, 32, 3)),
    "cifar100": ImageSet(tuple(f"{number:02}" for number in range(100)), (32, 32, 3)),
    "boston_housing": TableSet(
        ("CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO", "B", "LSTAT", "MEDV"),
        "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5",
    ),
    "california_housing": TableSet(
        # the order of the columns is not documented in a place that could be checked, so they are numbered
        (*(f"x{number}" for number in range(1, 9)), "median_house_value"),
        "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f",
    ),
}
NAMES = Literal[
    "mnist", "fashion_mnist", "cifar10", "cifar100", "boston_housing", "california_housing", "imdb", "reuters"
]
PARTS = ("train", "test")
STAND_IN_ROWS = (6000, 1000)  # generated images of each part
SAVE_COMMAND = (
    "from keras.datasets import {0}; import numpy; (a, b), (c, d) = {0}.load_data(); "
    "numpy.savez_compressed('{0}.npz', x_train=a, y_train=b, x_test=c, y_test=d)"
)


class Keras(Source):
    """A data set of images or a table, by its name in keras.datasets."""

    kind: Literal["keras"]
    dataset: NAMES = Field(description="The name of the data set.")
    rows: int | None = Field(None, ge=2, description="How many to take, balanced over the classes; all if unset.")
    shift: int = Field(
        0,
        ge=0,
        le=100,
        exclude_if=not_,
        description="Move each image by up to so many pixels, at random along each side; what leaves it is lost, and "
        "what enters is black.",
    )
    stand_in: bool = Field(
        default=False,
        description="Generate similar images if no local file is found; outputs say so, and the gate holds the model.",
    )

    @model_validator(mode="after")
    def _check_shift(self) -> Keras:
        if self.shift and isinstance(DATASETS.get(self.dataset), TableSet):
            raise ValueError(f"shift: expected only for images; received {self.shift} for {self.dataset}, a table")
        return self

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write images.zip with CLASS/train-NUMBER.png and CLASS/test-NUMBER.png, or table.csv."""
        dataset = DATASETS.get(self.dataset)
        if not dataset:
            raise SourceError(
                f"source.dataset: Keras stores {self.dataset} as a pickle, which may run any code: it is not read",
                hint="save its texts as a table with a column of text and one of labels, and use source.kind: file",
            )
        if isinstance(dataset, TableSet):
            files.write_text(folder / "table.csv", _table(dataset, self._arrays(dataset, workspace), self.rows))
        else:
            arrays = self.images(dataset, folder, workspace)
            image_files.write(folder / "images.zip", _png_files(dataset, arrays, self.rows, self.shift))

    def images(self, dataset: ImageSet, folder: Path, workspace: Workspace) -> dict[str, Array]:
        """Return the arrays of images and class numbers; if they are made up, a file in the folder says so."""
        if not self.stand_in or self._is_local(workspace):
            return self._arrays(dataset, workspace)
        reason = f"made-up pictures stand in for {self.dataset}, which is neither in the project nor in {MIRROR}"
        stand_in.mark(folder, reason)
        return _stand_in_arrays(dataset)

    def _arrays(self, dataset: ImageSet | TableSet, workspace: Workspace) -> dict[str, Array]:
        """Read the file from the project, the downloads, the mirror, or else from Keras's server."""
        name = f"{self.dataset}.npz"
        url = ADDRESS + name if dataset.sha256 else None
        location = FileLocation(path=name, url=url, sha256=dataset.sha256)
        try:
            if self.dataset == "fashion_mnist" and not _is_file(name, workspace):
                return _fashion_mnist.read(workspace, ADDRESS)
            with tempfile.TemporaryDirectory() as temporary:
                path = Path(temporary) / name
                # a local copy may be compressed again, so its checksum is not required
                location.copy_to(path, workspace)
                arrays = _read(path)
        except SourceError as error:
            raise SourceError(error.message, self._hint(location, workspace)) from None
        if mismatch := _mismatch(dataset, arrays):
            raise SourceError(f"{name}: {mismatch}", hint="compare it with the file that keras.datasets uses")
        return arrays

    def _is_local(self, workspace: Workspace) -> bool:
        """Return whether the file, or the first of several, is in the project or in the mirror."""
        parts = [_fashion_mnist.FILES["x_train"][0]] if self.dataset == "fashion_mnist" else []
        return any(_is_file(name, workspace) for name in (f"{self.dataset}.npz", *parts))

    def _hint(self, location: FileLocation, workspace: Workspace) -> str:
        """Return a hint with the ways to supply the file, and a command that makes it if Keras has another format."""
        place = location.local_paths(workspace)[0]
        ways = f"place {location.path} at {place}; or put it into a folder and set {MIRROR} to that"
        if self.dataset == "fashion_mnist":
            first = _fashion_mnist.FILES["x_train"][0]
            ways = f"{ways}, or its four files, such as {first}, from {ADDRESS}"
        if not location.url:
            ways = f'{ways}; to make it: python -c "{SAVE_COMMAND.format(self.dataset)}"'
        if not self.stand_in and isinstance(DATASETS[self.dataset], ImageSet):
            ways = f"{ways}; or, for made-up images, which prove nothing: source.stand_in: true"
        return ways


def _is_file(name: str, workspace: Workspace) -> bool:
    return any(path.is_file() for path in FileLocation(path=name, url=None, sha256=None).local_paths(workspace))


def _read(path: Path) -> dict[str, Array]:
    """Read the arrays of an .npz file without pickles, after checking their size."""
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > MAX_BYTES:
            raise SourceError(f"{path.name}: expected at most {MAX_BYTES:,} bytes of arrays; received {size:,}")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, *image_files.ZIP_ERRORS) as error:
        raise SourceError(f"{path.name}: expected a whole file of numbers: {error}") from None


def _mismatch(dataset: ImageSet | TableSet, arrays: dict[str, Array]) -> str:
    """Return how the arrays differ from what the data set should be; empty if they match."""
    pairs = [("x_train", "y_train"), ("x_test", "y_test")] if isinstance(dataset, ImageSet) else [("x", "y")]
    names = [name for pair in pairs for name in pair]
    if missing := [name for name in names if name not in arrays]:
        return f"expected the arrays {', '.join(names)}; {', '.join(missing)} is missing"
    shape = dataset.shape if isinstance(dataset, ImageSet) else (len(dataset.columns) - 1,)
    for x, y in pairs:
        features, truth = arrays[x], arrays[y]
        if features.shape[1:] != shape or truth.size != len(features) or not len(features):
            text = f"expected rows shaped {shape} in {x} and as many in {y}"
            return f"{text}; received {features.shape} and {truth.shape}"
        if isinstance(dataset, ImageSet):
            if features.dtype != np.uint8 or truth.dtype.kind not in "ui":
                return f"expected bytes in {x} and whole numbers in {y}; received {features.dtype} and {truth.dtype}"
            if truth.min() < 0 or truth.max() >= len(dataset.classes):
                return f"expected 0 to {len(dataset.classes) - 1} in {y}; received {truth.min()} to {truth.max()}"
        elif not {features.dtype.kind, truth.dtype.kind} <= {*"uif"}:
            return f"expected numbers; received {features.dtype} and {truth.dtype}"
    return ""


def _stand_in_arrays(dataset: ImageSet) -> dict[str, Array]:
    """Generate noisy images of the same shape; each class has a bright bar at another position."""
    rng, kinds = np.random.default_rng(0), len(dataset.classes)
    arrays: dict[str, Array] = {}
    for part, rows in zip(PARTS, STAND_IN_ROWS, strict=True):
        truth = np.arange(rows) % kinds
        pixels = rng.integers(0, 120, (rows, *dataset.shape), dtype=np.uint8)
        side = dataset.shape[0]
        for place in range(kinds):
            first = place * side // kinds
            pixels[truth == place, first : first + max(2, side // kinds)] += 100
        arrays |= {f"x_{part}": pixels, f"y_{part}": truth}
    return arrays


def _png_files(
    dataset: ImageSet, arrays: dict[str, Array], rows: int | None, shift: int
) -> Iterator[tuple[str, bytes]]:
    """Yield names and PNG files; positions count the training images first."""
    from PIL import Image

    labels = [dataset.classes[int(code)] for part in PARTS for code in arrays[f"y_{part}"].ravel()]
    first = len(arrays["x_train"])
    for place in image_files.sample_per_class(labels, rows):
        pixels = arrays["x_train"][place] if place < first else arrays["x_test"][place - first]
        pixels = _shifted(pixels, shift, place) if shift else pixels
        content = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(content, "PNG")
        part = PARTS[place >= first]
        yield f"{labels[place]}/{part}-{place:05}.png", content.getvalue()


def _shifted(pixels: Array, most: int, place: int) -> Array:
    """Return an image moved by at most so many pixels along each side; the position of the image is the seed."""
    down, right = np.random.default_rng(place).integers(0, 2 * most, 2, endpoint=True)
    margins = [(most, most), (most, most), *[(0, 0)] * (pixels.ndim - 2)]
    return np.pad(pixels, margins)[down : down + pixels.shape[0], right : right + pixels.shape[1]]


def _table(dataset: TableSet, arrays: dict[str, Array], rows: int | None) -> str:
    """Return the rows as CSV that is read back as the same numbers."""
    cells = np.column_stack([arrays["x"], arrays["y"].ravel()])[:rows]
    lines = (",".join(map(repr, row)) for row in cells.tolist())
    return "\n".join([",".join(dataset.columns), *lines]) + "\n"
