"""Draft a task from images: find their labels and sizes, and choose settings by a quick comparison on a few."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft import yaml_text
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.data.images.image_files import SUFFIXES, ImageFiles
from tiltyard.data.images.labels import SPLIT_FOLDERS, ImageLabels, guess, read
from tiltyard.data.sources.images import Images, LabelledImage
from tiltyard.errors import DataError, join_first
from tiltyard.modeling.columns import _image_sanitizer
from tiltyard.modeling.columns.image import FORMATS, Image, decode_errors
from tiltyard.modeling.models._histograms import counts, counts_by_place
from tiltyard.modeling.references.base import one_thread
from tiltyard.modeling.references.linear import fit_linear
from tiltyard.runtime.progress import progress_bar
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

COLUMN = "image"
GREY = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F"}  # Pillow modes without colour
MAX_SIDE = 96  # pixels: a small model predicts such an image in a few milliseconds
MAX_IMBALANCE = 1.5  # largest to smallest class, for classes of similar size
FEW_IMAGES = 150  # of each label on average: fewer do not suffice for convolutions, but for histograms
FEW_TRAIN: dict[str, Any] = {"epochs": 300, "learning_rate": 0.01, "patience": 30}
MAX_EXAMPLE_NUMBERS = 100  # a larger image is a file in `serve.example`

MAX_BROKEN = 0.1  # share of the images that cannot be opened and are left out
MAX_DECODED = 400_000_000  # pixels, some seconds
MAX_IMAGES = 400
GAIN = 0.03  # of the accuracy, which pays for so many more features
BRIGHTEST = 255.0


@dataclass(frozen=True)
class ImageProfile:
    """The profile of a folder or zip of images."""

    source: dict[str, Any]
    target: str
    labels: list[str]
    notes: list[str]
    folders: Counter[str] = field(default_factory=Counter)  # images by first folder
    sizes: Counter[tuple[int, int, int]] = field(default_factory=Counter)  # width, height, bands
    modes: set[str] = field(default_factory=set)
    first: list[bytes] = field(default_factory=list)  # the first image that can be opened, or empty
    bytes: list[int] = field(default_factory=list)
    beside: pd.DataFrame | None = None  # the other columns of the table of labels, as text, a row for each image
    places: list[bool] = field(default_factory=list)  # whether the place of edges matters, if there are few images

    @property
    def counts(self) -> Counter[str]:
        """The number of images of each class."""
        return Counter(self.labels)

    @property
    def column(self) -> dict[str, Any]:
        """The settings of the column: the common size of all images, or one to which they are resized."""
        channels = 1 if self.modes <= GREY else 3
        width, height = (_median([size[side] for size in self.sizes.elements()]) for side in (0, 1))
        settings: dict[str, Any] = {"type": "image", "height": height, "width": width, "channels": channels}
        spans = {size[:2] for size in self.sizes}
        scale = min(1.0, MAX_SIDE / max(width, height))
        if len(spans) == 1 and scale == 1:
            return settings | ({} if {size[2] for size in self.sizes} == {channels} else {"resize": True})
        sides = {name: max(4, round(settings[name] * scale / 4) * 4) for name in ("height", "width")}
        return {**settings, **sides, "resize": True}


def profile_images(workspace: Workspace, data: str, target: str) -> ImageProfile | None:
    """Profile a folder or zip; return None if it is neither, or a zip without images, which may hold a table."""
    source = Images(kind="images", path=data)
    if not data.lower().endswith(".zip") and not any(place.is_dir() for place in source.local_paths(workspace)):
        return None
    with source.open_files(workspace) as image_files:
        names = [name for name in image_files.sizes() if name.lower().endswith(SUFFIXES)]
        if not names and not image_files.path.is_dir():
            return None
        labels = guess(image_files, names, target) if names else {}
        source = Images.model_validate({"kind": "images", "path": data, **labels})
        selected, notes = source.select(image_files, workspace)
        settings = source.model_dump(mode="json", exclude_defaults=True)
        profile = ImageProfile(
            settings, target or labels.get("label_column", "label"), [p.label for p in selected], notes
        )
        broken = _read_sizes(profile, image_files, selected)
        if broken:
            selected = _without(profile, broken, selected)
            profile = replace(profile, labels=[image.label for image in selected])
        if labels:
            profile = replace(profile, beside=_beside(labels, image_files, names, selected))
        if _are_few(profile) and len(profile.counts) * 2 <= len(selected):  # else labels are numbers
            column = Image.model_validate({**profile.column, "resize": True})
            profile.places[:] = [places_matter(column, profile.labels, lambda i: image_files.read(selected[i].name))]
    return profile


def _without(profile: ImageProfile, broken: Sequence[str], selected: Sequence[LabelledImage]) -> list[LabelledImage]:
    """Leave out a few images that cannot be opened, and say so; many are refused, as they may be of another format."""
    if len(broken) > MAX_BROKEN * len(selected):
        text = f"expected images that can be opened; {len(broken):,} of {len(selected):,} cannot"
        raise DataError(f"{profile.source['path']}: {text}: {join_first(broken)}", hint="replace or remove these files")
    profile.source["leave_out"] = sorted(broken)
    profile.notes.append(
        f"{len(broken):,} images cannot be opened: left out, by source.leave_out: {join_first(broken)}"
    )
    return [image for image in selected if image.name not in {*broken}]


def _beside(
    labels: dict[str, str], image_files: ImageFiles, names: list[str], selected: Sequence[LabelledImage]
) -> pd.DataFrame | None:
    """Return the columns of the table of labels that are neither names nor labels; None if there are none."""
    frame = read(labels["labels"], image_files, image_files.path)
    rows = [(str(cell).strip(), str(place)) for place, cell in enumerate(frame[labels["file_column"]])]
    places = ImageLabels(labels["labels"], rows).match(names)
    others = frame.drop(columns=[labels["file_column"], labels["label_column"]])
    if not len(others.columns) or any(image.name not in places for image in selected):
        return None
    return others.iloc[[int(places[image.name]) for image in selected]].reset_index(drop=True)


def _read_sizes(profile: ImageProfile, image_files: ImageFiles, selected: Sequence[LabelledImage]) -> list[str]:
    """Read the size of each image; return the names of files that cannot be opened, or decoded while that is fast."""
    from PIL import Image as Pillow

    broken, pixels = [], 0
    with progress_bar("looking at images", len(selected), 0, "images") as show:
        for place, image in enumerate(selected, start=1):
            content = image_files.read(image.name)
            profile.folders[PurePosixPath(image.name).parts[0]] += 1
            try:
                file = _image_sanitizer.stripped(content)
                with Pillow.open(io.BytesIO(file.content), formats=FORMATS) as opened:
                    width, height = (opened.height, opened.width) if file.orientation > 4 else opened.size
                    pixels += width * height
                    if pixels < MAX_DECODED:
                        opened.load()
                    profile.sizes[(width, height, len(opened.getbands()))] += 1
                    profile.modes.add(opened.mode)
            except decode_errors(ValueError):
                broken.append(image.name)
                continue
            profile.first[:] = profile.first or [content]
            profile.bytes[:] = [max([len(content), *profile.bytes])]
            show(place)
    if not profile.sizes:
        raise DataError(
            f"{image_files.path.name}: expected whole image files; none can be opened: {join_first(broken)}",
            hint="replace them by files that a picture viewer opens",
        )
    return broken


def profiles(profile: ImageProfile) -> list[ColumnProfile]:
    """Return the profiles of the images and of their labels."""
    rows = len(profile.labels)
    colour = "grey" if profile.column["channels"] == 1 else "in colour"
    sizes = [f"{width}x{height}" for width, height, _ in sorted(profile.sizes, key=lambda size: size[0] * size[1])]
    examples = f"{sizes[0]}, {colour}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}, {colour}"
    counts = ", ".join(f"{label} {count:,}" for label, count in profile.counts.most_common(6))
    more = ", ..." if len(profile.counts) > 6 else ""
    return [
        ColumnProfile(COLUMN, "image", rows, 0, rows, examples, profile.column),
        ColumnProfile(profile.target, "category", rows, 0, len(profile.counts), counts + more, {}),
    ]


def sections(profile: ImageProfile, several: Sequence[str] = ()) -> dict[str, Any]:
    """Return the sections of the task file that are specific to images; `several` are labels of which each has any."""
    column, rows = profile.column, len(profile.labels)
    depth = min(4, max(1, int(math.log2(min(column["height"], column["width"]) / 3))))
    sizes: dict[str, Any] = {}
    if len({size[:2] for size in profile.sizes}) > 1:
        sizes = {name: [size[side] for size in profile.sizes] for side, name in enumerate(("width", "height"))}
    is_small = len(profile.labels) < FEW_IMAGES * len(several) if several else _are_few(profile)
    patience = 12 if rows < 5000 else 8  # batch norm's averages take hundreds of steps
    train = (
        {**FEW_TRAIN}
        if is_small
        else {"epochs": 60 if rows < 5000 else 30, "learning_rate": 0.001, "patience": patience}
    )
    train |= {"class_weights": "balanced"} if _is_imbalanced(profile) and not several else {}
    max_bytes = 2 * max(profile.bytes)
    return {
        "source": profile.source,
        "columns": {COLUMN: column},
        "target": {},
        "expect": [_range("brightest", 1, 255), *(_range(n, min(v) // 2, max(v) * 2) for n, v in sizes.items())],
        "split": {"kind": "random" if several else "stratified"},
        "model": _histograms(profile) if is_small else _cnn(depth),
        "train": train if is_small else {**train, "augment": {"shift": 0.1, "zoom": 0.1}},
        "serve": {**({"max_body_bytes": max_bytes} if max_bytes > 4_000_000 else {}), "example": _example(profile)},
    }


def _are_few(profile: ImageProfile) -> bool:
    return len(profile.labels) < FEW_IMAGES * len(profile.counts)


def _histograms(profile: ImageProfile) -> dict[str, Any]:
    """Return a network of counts of colours and edges; few images leave to references what it does not learn."""
    return {"family": "histograms", "places": profile.places == [True], "blend_references": True}


def _cnn(depth: int) -> dict[str, Any]:
    """Return a convolutional network."""
    filters = [32, 64, 128, 128][:depth]
    return {"family": "cnn", "filters": filters, "units": [64], "batch_norm": True, "dropout": 0.3}


def comments(profile: ImageProfile) -> dict[str, str]:
    """Return comments that explain the values of some keys."""
    texts = {
        "target": profiles(profile)[1].examples,
        "augment": "no flip; add flip: horizontal if a mirrored image has the same class",
        "class_weights": "sizes of classes differ much",
    }
    parts = [
        f"{folder} ({count:,})" for folder, count in sorted(profile.folders.items()) if folder.lower() in SPLIT_FOLDERS
    ]
    texts |= {"model": "counts of colours and edges, since there are few images"} if _are_few(profile) else {}
    return texts | ({"source": f"{', '.join(parts)}; to use one only: under: [train]"} if len(parts) > 1 else {})


def _range(fact: str, low: int, high: int) -> dict[str, Any]:
    arguments = {"column": fact, "min_value": low, "max_value": high}
    return {"expectation": "expect_column_values_to_be_between", "severity": "warning", "arguments": arguments}


def _is_imbalanced(profile: ImageProfile) -> bool:
    return max(profile.counts.values()) > MAX_IMBALANCE * min(profile.counts.values())


def _median(sides: list[int]) -> int:
    return sorted(sides)[len(sides) // 2]


def _example(profile: ImageProfile) -> Any:
    """Return an example image as a client would send it: as numbers if they are few, else as a file."""
    from PIL import Image as Pillow

    column = yaml_text.build_column(profiles(profile)[0])
    assert isinstance(column, Image)  # noqa: S101 - for the type checker
    pixels = column.open(profile.first[0])
    if pixels.size <= MAX_EXAMPLE_NUMBERS:
        return column.to_json(pixels[None].astype(int))[0]
    file = io.BytesIO()
    Pillow.fromarray(pixels.astype("uint8").squeeze()).save(file, "JPEG")
    return {"b64": base64.b64encode(file.getvalue()).decode()}


def places_matter(column: Image, labels: Sequence[str], read: Callable[[int], bytes]) -> bool:
    """Return whether counts by place predict the labels of a second half better than counts of whole images."""
    chosen = np.random.default_rng(0).permutation(len(labels))[:MAX_IMAGES]
    opened = [(place, pixels) for place in chosen if (pixels := _open(column, read(int(place)))) is not None]
    names = [labels[place] for place, _ in opened]
    classes = sorted(set(names))
    truth = np.array([classes.index(name) for name in names])
    if len(classes) < 2:
        return False
    images = np.stack([pixels for _, pixels in opened]) / np.float32(BRIGHTEST)
    overall = counts(images, np)
    with one_thread():
        without_places, with_places = (
            _accuracy(features, truth)
            for features in (overall, np.concatenate([overall, counts_by_place(images, np)], axis=1))
        )
    return with_places > without_places + GAIN


def _open(column: Image, content: bytes) -> Array | None:
    try:
        return column.open(content)
    except ValueError:
        return None


def _accuracy(features: Array, truth: Array) -> float:
    """Return the share of the second half that a linear model of the first predicts."""
    middle = len(truth) // 2
    scaled = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-3)
    weights, bias = fit_linear(scaled[:middle].astype(np.float64), truth[:middle], int(truth.max()) + 1, None)
    return float(np.mean((scaled[middle:] @ weights + bias).argmax(axis=1) == truth[middle:]))
