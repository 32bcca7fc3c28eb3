"""Pictures with bright shapes of two labels, as users have them: files, boxes in a table, masks, or clips of frames."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from tiltyard.arrays import Array
from tiltyard.workspace import Workspace

SIDE = 32
LABELS = ["block", "frame"]
COLUMN = {"type": "image", "height": SIDE, "width": SIDE, "channels": 1}
DETECTOR = {"family": "detector", "filters": [8, 16, 16], "blocks": 1}
TRAIN = {"epochs": 24, "batch_size": 8, "learning_rate": 0.01, "schedule": "cosine"}
EXAMPLE = [[200 if 6 <= x < 18 and 8 <= y < 20 else 0 for x in range(SIDE)] for y in range(SIDE)]
TASKS: dict[str, dict[str, Any]] = {
    "detection": {
        "source": {"kind": "images", "path": "shapes", "under": ["pictures"], "boxes": "boxes.csv"},
        "target": {"column": "objects", "classes": LABELS, "max_objects": 4},
        "split": {"kind": "random"},
        "model": DETECTOR,
        "gate": {"metric": "ap50"},
    },
    "segmentation": {
        "source": {"kind": "images", "path": "shapes", "under": ["pictures"], "masks": "masks"},
        "target": {"column": "mask", "classes": ["none", *LABELS]},
        "split": {"kind": "random"},
        "model": {"family": "unet", "filters": [8, 16, 16]},
        "gate": {"metric": "mean_iou"},
    },
    "tracking": {
        "source": {"kind": "images", "path": "clips", "boxes": "boxes.csv"},
        "target": {"column": "objects", "classes": LABELS, "max_objects": 4},
        "split": {"kind": "given"},
        "model": DETECTOR,
        "gate": {"metric": "idf1"},
    },
}


def write_shapes(workspace: Workspace, problem: str, name: str = "shapes", **changes: Any) -> None:
    """Write pictures or clips with their boxes and masks, and a task, with changes of whole sections."""
    if problem == "tracking":
        _write_clips(workspace.root / "clips")
    else:
        _write_pictures(workspace.root / "shapes")
    content = {
        "title": "Shapes in pictures",
        "problem": problem,
        "rows": [50, 1000],
        "columns": {"picture": COLUMN},
        "train": TRAIN,
        "serve": {"max_instances": 32, "example": EXAMPLE},
        **TASKS[problem],
        **changes,
    }
    workspace.task_file(name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _write_pictures(folder: Path, count: int = 240) -> None:
    generator, boxes = np.random.default_rng(0), []
    for number in range(count):
        shapes = [_shape(generator, top) for top in (1, 17)[: 1 + number % 2]]
        picture, mask = _drawn(shapes, generator)
        _save(folder / "pictures" / f"{number:03}.png", picture)
        _save(folder / "masks" / f"{number:03}.png", mask)
        boxes += [[f"{number:03}.png", LABELS[label], *box] for label, box in shapes]
    _write_table(folder / "boxes.csv", ["file", "label", "left", "top", "right", "bottom"], boxes)


def _write_clips(folder: Path, count: int = 40, frames: int = 6) -> None:
    """Write clips in which one shape moves to the right above another that moves to the left."""
    generator, boxes = np.random.default_rng(0), []
    for clip in range(count):
        part = ("train", "train", "train", "validation", "test")[clip % 5]
        shapes = [_shape(generator, top) for top in (1, 17)]
        for frame in range(frames):
            steps = (frame, -frame)
            moved = [
                (label, (left + s, top, right + s, bottom))
                for s, (label, (left, top, right, bottom)) in zip(steps, shapes, strict=True)
            ]
            picture, _ = _drawn(moved, generator)
            name = f"{part}/{clip:02}/{frame}.png"
            _save(folder / name, picture)
            boxes += [[name, LABELS[label], *box, place] for place, (label, box) in enumerate(moved, start=1)]
    _write_table(folder / "boxes.csv", ["file", "label", "left", "top", "right", "bottom", "track"], boxes)


def _shape(generator: np.random.Generator, top: int) -> tuple[int, tuple[int, int, int, int]]:
    """Return a label and a box in the upper or the lower half, which has room to move."""
    width, height = generator.integers(8, 13, 2).tolist()
    left, top = int(generator.integers(6, 14)), top + int(generator.integers(0, 3))
    return int(generator.integers(2)), (left, top, left + width, top + height)


def _drawn(shapes: list[tuple[int, tuple[int, int, int, int]]], generator: np.random.Generator) -> tuple[Array, Array]:
    """Return a picture and its mask: blocks are filled, frames are not."""
    picture, mask = generator.integers(0, 30, (SIDE, SIDE), dtype=np.uint8), np.zeros((SIDE, SIDE), dtype=np.uint8)
    for label, (left, top, right, bottom) in shapes:
        ink = np.ones((bottom - top, right - left), dtype=bool)
        ink[2:-2, 2:-2] = label == 0
        picture[top:bottom, left:right][ink], mask[top:bottom, left:right][ink] = 200, label + 1
    return picture, mask


def _save(path: Path, pixels: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _write_table(path: Path, names: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
