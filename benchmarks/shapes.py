"""Benchmark of other shapes than tables: many long series, pictures in a zip file, and texts.

`python benchmarks/shapes.py [--share SHARE] [SHAPE]...` writes benchmarks/SHAPES.md; lines of shapes that are not named
stay. Each stage runs in a separate process, in a temporary project, as in benchmarks/scale.py.

The sizes are 10,000 series of 1,000 steps, of which a window of 24 forecasts the next; 100,000 pictures of 32x32x3 as
JPEG; 1,000,000 texts of 20 to 60 words out of 20,000. All are generated with a seed. The networks are small and trained
for one epoch.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import page
import pyarrow as pa
import scale
import yaml
from pyarrow import parquet

from tiltyard import files

TARGET = page.ROOT / "benchmarks" / "SHAPES.md"
SEED = 0
SERIES, STEPS, WINDOW = 10_000, 1_000, 24
PICTURES, CLASSES = 100_000, ["circle", "cross", "square", "wave"]
TEXTS, WORDS = 1_000_000, 20_000
BLOCK = 50_000  # texts generated at a time


@dataclass(frozen=True)
class Shape:
    """A kind of data: its full size, what writes it, and its task file."""

    title: str
    size: int
    write: Callable[[Path, int], int]  # writes about so many items, and returns the rows
    task: Callable[[Path, int], dict[str, Any]]
    suffix: str


def write_series(path: Path, series: int) -> int:
    """Write a long table: the steps of one series after those of another."""
    rng = np.random.default_rng(SEED)
    steps = np.arange(STEPS)
    level, phase = rng.normal(10, 2, (series, 1)), rng.random((series, 1)) * 24
    values = level + np.sin((steps + phase) / 24 * 2 * np.pi) + rng.normal(0, 0.2, (series, STEPS))
    names = pa.array([f"shop {number}" for number in range(series)]).take(pa.array(np.repeat(np.arange(series), STEPS)))
    hours = np.datetime64("2024-01-01T00", "s") + steps.astype("timedelta64[h]")
    columns = {"shop": names, "hour": pa.array(np.tile(hours, series)), "sold": values.ravel().round(3)}
    parquet.write_table(pa.table(columns), path)
    return series * STEPS


def series_task(path: Path, rows: int) -> dict[str, Any]:
    """Return the task of a forecast one step ahead, for all series by one network."""
    return {
        "title": "Sales of the next hour",
        "problem": "forecasting",
        "source": {"kind": "file", "path": str(path)},
        "rows": [rows, rows],
        "columns": {"sold": {"type": "series", "window": WINDOW, "order": "hour", "group": "shop"}},
        "target": {"column": "sold"},
        "split": {"kind": "chronological", "test": 0.1, "validation": 0.1},
        "model": {"family": "mlp", "units": [16]},
        "train": {"epochs": 1, "batch_size": 4096},
        "gate": {"metric": "rmse"},
        "serve": {"example": [10.0] * WINDOW},
    }


def write_pictures(path: Path, pictures: int) -> int:
    """Write pictures into folders by their class; pixels are random around a mean of the class."""
    from PIL import Image

    with zipfile.ZipFile(path, "w") as archive:
        for number in range(pictures):
            rng, place = np.random.default_rng([SEED, number]), number % len(CLASSES)
            small = (40 * place + 100 * rng.random((8, 8, 3))).astype(np.uint8)
            content = io.BytesIO()
            Image.fromarray(small.repeat(4, 0).repeat(4, 1)).save(content, "JPEG", quality=85)
            archive.writestr(f"{CLASSES[place]}/{number:06}.jpg", content.getvalue())
    return pictures


def pictures_task(path: Path, rows: int) -> dict[str, Any]:
    """Return the task of a small convolutional network."""
    return {
        "title": "Shapes",
        "problem": "classification",
        "source": {"kind": "images", "path": str(path)},
        "rows": [rows, rows],
        "columns": {"image": {"type": "image", "height": 32, "width": 32, "channels": 3}},
        "target": {"column": "label", "classes": CLASSES},
        "split": {"kind": "stratified", "test": 0.1, "validation": 0.1},
        "model": {"family": "cnn", "filters": [4], "units": [8]},
        "train": {"epochs": 1, "batch_size": 1024},
        "gate": {"metric": "accuracy"},
        "serve": {"example": [[[0, 0, 0]] * 32] * 32},
    }


def write_texts(path: Path, texts: int) -> int:
    """Write texts of words whose ranks follow Zipf's law; some words are more frequent in one class."""
    words = np.array([f"w{number}" for number in range(WORDS)])
    weights = 1 / np.arange(1, WORDS + 1)
    schema = pa.schema({"text": pa.string(), "label": pa.string()})
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, texts, BLOCK):
            rng, count = np.random.default_rng([SEED, start]), min(BLOCK, texts - start)
            lengths, labels = rng.integers(20, 61, count), rng.integers(0, 2, count)
            places = rng.choice(WORDS, int(lengths.sum()), p=weights / weights.sum())
            places = (places + np.repeat(labels, lengths) * (rng.random(len(places)) < 0.1) * 7) % WORDS
            parts = np.split(words[places], np.cumsum(lengths)[:-1])
            content = {"text": [" ".join(part) for part in parts], "label": np.array(["no", "yes"])[labels]}
            writer.write_table(pa.table(content, schema=schema))
    return texts


def texts_task(path: Path, rows: int) -> dict[str, Any]:
    """Return the task of a bag of words."""
    return {
        "title": "Texts",
        "problem": "classification",
        "source": {"kind": "file", "path": str(path)},
        "rows": [rows, rows],
        "columns": {"text": {"type": "text"}},
        "target": {"column": "label", "classes": ["no", "yes"]},
        "split": {"kind": "random", "test": 0.1, "validation": 0.1},
        "model": {"family": "bow", "embedding": 8, "units": [8]},
        "train": {"epochs": 1, "batch_size": 1024},
        "gate": {"metric": "roc_auc"},
        "serve": {"example": "w1 w2 w3"},
    }


SHAPES = {
    "series": Shape(f"series of {STEPS:,} steps", SERIES, write_series, series_task, ".parquet"),
    "pictures": Shape("pictures of 32x32x3", PICTURES, write_pictures, pictures_task, ".zip"),
    "texts": Shape("texts", TEXTS, write_texts, texts_task, ".parquet"),
}


def main() -> None:
    """Measure some shapes, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", choices=[*SHAPES, []], metavar="SHAPE")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size (default: 1)")
    parser.add_argument("--verbs", default=",".join(scale.VERBS), help="what to measure, in order; no page without all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as compiled:
        scale.ENVIRONMENT["PYTHONPYCACHEPREFIX"] = compiled
        for name in options.shapes or SHAPES:
            verbs = tuple(options.verbs.split(","))
            measured = _measure(SHAPES[name], max(1, int(SHAPES[name].size * options.share)), verbs)
            if verbs == scale.VERBS:
                files.write_text(TARGET, _page({name: measured}))


def _measure(shape: Shape, size: int, verbs: tuple[str, ...]) -> str:
    """Run stages in a temporary project; return the line of the page."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = root / f"source{shape.suffix}"
        task = shape.task(source, shape.write(source, size))
        for name in ("dvc.yaml", ".dvcignore"):
            files.write_bytes(root / name, (page.ROOT / name).read_bytes())
        files.write_text(root / "params.yaml", yaml.safe_dump({"tasks": ["shape"]}))
        files.write_text(root / "tasks" / "shape.yaml", yaml.safe_dump(task, sort_keys=False))
        cells = []
        for verb in verbs:
            seconds, processor, peak, _ = scale._run(root, ["tiltyard", verb, "shape"])  # noqa: SLF001 - the same way
            cells.append(f"{seconds:.1f} s ({processor:.1f}), {peak:.0f} MiB")
            print(f"{size:,} {shape.title}: {verb}: {cells[-1]}", flush=True)
    load = f"{os.getloadavg()[0]:.0f}"
    return f"| {size:,} {shape.title} | {' | '.join(cells)} | {load} | {datetime.now(UTC):%Y-%m-%d} |"


def _page(new: dict[str, str]) -> str:
    existing = TARGET.read_text(encoding="utf-8").splitlines() if TARGET.is_file() else []
    lines = [
        new.get(name) or next((line for line in existing if line.endswith("|") and shape.title in line), "")
        for name, shape in SHAPES.items()
    ]
    why = (__doc__ or "").split("\n\n")[2].replace("\n", " ").strip()
    intro = (
        f"Measured by `benchmarks/shapes.py`: {page.machine()}. {why} Seconds, processor seconds in brackets, and the "
        "maximum sum of resident memory over the processes of a stage. Where the load average at the end (`load`) is "
        "above 2, other work was running, and processor seconds say more."
    )
    head = [f"| | {' | '.join(scale.VERBS)} | load | date |", "|---|" + "--:|" * (len(scale.VERBS) + 1) + "---|"]
    return "\n".join(["# Other shapes", "", intro, "", *head, *filter(None, lines), ""])


if __name__ == "__main__":
    main()
