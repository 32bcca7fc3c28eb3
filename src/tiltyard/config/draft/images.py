"""Pictures that are a task: where their labels are, how large they are, and what a task should make of them."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from tiltyard.config.draft import yaml_text
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.data.images import zip_archive
from tiltyard.data.images.files import ImageFiles
from tiltyard.data.images.labels import PARTS, guess
from tiltyard.data.sources.images import Images, Picture
from tiltyard.errors import DataError, listed
from tiltyard.modeling.columns.image import Image
from tiltyard.workspace import Workspace

COLUMN = "image"
GREY = {"1", "L", "LA", "I", "I;16"}  # modes without colour
LONGEST = 96  # pixels of a side that a small model answers in a few milliseconds
EVEN = 1.5  # times the smallest class: up to here classes are of similar size
TINY = 100  # numbers that a task file can show as they are


@dataclass(frozen=True)
class Gallery:
    """What was seen of a folder or zip of pictures."""

    source: dict[str, Any]
    target: str
    labels: list[str]
    notes: list[str]
    fronts: Counter[str] = field(default_factory=Counter)  # pictures by the folder in front of all
    sizes: Counter[tuple[int, int, int]] = field(default_factory=Counter)  # width, height, bands
    modes: set[str] = field(default_factory=set)
    first: list[bytes] = field(default_factory=list)  # a picture that can be opened
    bytes: list[int] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """Pictures by class."""
        return Counter(self.labels)

    @property
    def column(self) -> dict[str, Any]:
        """The column: the size that all have, or else a common one to which they are brought."""
        channels = 1 if self.modes <= GREY else 3
        width, height = (_median([size[side] for size in self.sizes.elements()]) for side in (0, 1))
        settings: dict[str, Any] = {"type": "image", "height": height, "width": width, "channels": channels}
        spans = {size[:2] for size in self.sizes}
        scale = min(1.0, LONGEST / max(width, height))
        if len(spans) == 1 and scale == 1:
            return settings | ({} if {size[2] for size in self.sizes} == {channels} else {"resize": True})
        sides = {name: max(4, round(settings[name] * scale / 4) * 4) for name in ("height", "width")}
        return {**settings, **sides, "resize": True}


def find(workspace: Workspace, data: str, target: str) -> Gallery | None:
    """Look at a folder or zip; None if it is neither, or a zip without pictures: it may hold a table."""
    source = Images(kind="images", path=data)
    if not data.lower().endswith(".zip") and not any(place.is_dir() for place in source.places(workspace)):
        return None
    with source.opened(workspace) as tree:
        pictures = [name for name in tree.sizes() if name.lower().endswith(zip_archive.SUFFIXES)]
        if not pictures and not tree.path.is_dir():
            return None
        labels = guess(tree, pictures, target) if pictures else {}
        source = Images.model_validate({"kind": "images", "path": data, **labels})
        chosen, notes = source.chosen(tree, workspace)
        settings = source.model_dump(mode="json", exclude_defaults=True)
        found = Gallery(settings, target or labels.get("label_column", "label"), [p.label for p in chosen], notes)
        _look(found, tree, chosen)
    return found


def _look(found: Gallery, tree: ImageFiles, chosen: Sequence[Picture]) -> None:
    """Open each picture as far as its size, and note what cannot be opened."""
    from PIL import Image as Pillow

    broken = []
    for picture in chosen:
        content = tree.read(picture.name)
        found.fronts[PurePosixPath(picture.name).parts[0]] += 1
        try:
            with Pillow.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as opened:
                found.sizes[(opened.width, opened.height, len(opened.getbands()))] += 1
                found.modes.add(opened.mode)
        except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError, Pillow.DecompressionBombWarning):
            broken.append(picture.name)
            continue
        found.first[:] = found.first or [content]
        found.bytes[:] = [max([len(content), *found.bytes])]
    if not found.sizes:
        raise DataError(f"{tree.path.name}: expected whole PNG or JPEG files; none can be opened: {listed(broken)}")
    if broken:
        found.notes.append(f"{len(broken):,} pictures cannot be opened and will stop the road: {listed(broken)}")


def traits(found: Gallery) -> list[ColumnProfile]:
    """Return what was seen of pictures and of labels."""
    rows = len(found.labels)
    colour = "grey" if found.column["channels"] == 1 else "in colour"
    sizes = [f"{width}x{height}" for width, height, _ in sorted(found.sizes, key=lambda size: size[0] * size[1])]
    seen = f"{sizes[0]}, {colour}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}, {colour}"
    counts = ", ".join(f"{label} {count:,}" for label, count in found.counts.most_common(6))
    more = ", ..." if len(found.counts) > 6 else ""
    return [
        ColumnProfile(COLUMN, "image", rows, 0, rows, seen, found.column),
        ColumnProfile(found.target, "category", rows, 0, len(found.counts), counts + more, {}),
    ]


def sections(found: Gallery) -> dict[str, Any]:
    """Return the sections of the task file that pictures have in their own way."""
    column, rows = found.column, len(found.labels)
    depth = min(4, max(1, int(math.log2(min(column["height"], column["width"]) / 3))))
    sizes: dict[str, Any] = {}
    if len({size[:2] for size in found.sizes}) > 1:
        sizes = {name: [size[side] for size in found.sizes] for side, name in enumerate(("width", "height"))}
    train: dict[str, Any] = {"epochs": 60 if rows < 5000 else 30, "learning_rate": 0.001, "patience": 8}
    train |= {"class_weights": "balanced"} if _torn(found) else {}
    most = 2 * max(found.bytes)
    return {
        "source": found.source,
        "columns": {COLUMN: column},
        "target": {},
        "expect": [_range("brightest", 1, 255), *(_range(n, min(v) // 2, max(v) * 2) for n, v in sizes.items())],
        "split": {"kind": "stratified"},
        "model": {
            "family": "cnn",
            "filters": [32, 64, 128, 128][:depth],
            "units": [64],
            "batch_norm": True,
            "dropout": 0.3,
        },
        "train": {**train, "augment": {"shift": 0.1, "zoom": 0.1}},
        "serve": {**({"max_body_bytes": most} if most > 4_000_000 else {}), "example": _example(found)},
    }


def comments(found: Gallery) -> dict[str, str]:
    """Return comments for some keys: what led to their values."""
    said = {
        "target": traits(found)[1].seen,
        "augment": "no flip: add flip: horizontal if a mirrored picture is of the same class",
        "class_weights": "classes differ much in size",
    }
    parts = [f"{front} ({count:,})" for front, count in sorted(found.fronts.items()) if front.lower() in PARTS]
    return said | ({"source": f"of {', '.join(parts)}; to take one: under: [train]"} if len(parts) > 1 else {})


def _range(fact: str, low: int, high: int) -> dict[str, Any]:
    arguments = {"column": fact, "min_value": low, "max_value": high}
    return {"expectation": "expect_column_values_to_be_between", "severity": "warning", "arguments": arguments}


def _torn(found: Gallery) -> bool:
    return max(found.counts.values()) > EVEN * min(found.counts.values())


def _median(sides: list[int]) -> int:
    return sorted(sides)[len(sides) // 2]


def _example(found: Gallery) -> Any:
    """Return a picture as a client would send it: as numbers if they are few, else as a small file."""
    from PIL import Image as Pillow

    column = yaml_text.column(traits(found)[0])
    assert isinstance(column, Image)  # noqa: S101 - for the type checker
    pixels = column.open(found.first[0])
    if pixels.size <= TINY:
        return column.to_json(pixels[None].astype(int))[0]
    file = io.BytesIO()
    Pillow.fromarray(pixels.astype("uint8").squeeze()).save(file, "JPEG")
    return {"b64": base64.b64encode(file.getvalue()).decode()}
