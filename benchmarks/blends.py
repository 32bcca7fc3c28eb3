"""Benchmark of blends: the drafted network, the best reference and their weighted mean on the same sealed rows.

uv pip install scikit-image; TILTYARD_MIRROR=... python benchmarks/blends.py

Writes benchmarks/BLENDS.md. Each task is drafted as `tiltyard init` does, with `blend_references: true`, and trained
once. The reference is the one with the least loss on validation rows. The seed is that of generated data and of the
training. The interval is that of the gain of the blend over the reference, by a bootstrap of the sealed rows, or of
blocks of a series; it is positive where the blend is better.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import drafted
import numpy as np
import pandas as pd
import raw_data
import yaml
from blend_parts import best_reference, keeping_network, network_outputs
from photo_crops import COLOUR, TEXTURES, write_crops
from table_data import MIRROR, TABLES
from text_sets import SETS as TEXTS

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.draft.request import DraftRequest
from tiltyard.config.task import Task
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.bootstrap import Bootstrap
from tiltyard.preparation import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import train
from tiltyard.workspace import Workspace

SEEDS = 2
MOST = 2_000  # rows of a table; larger ones are sampled
SHOPS, DAYS = 6, 400
HEAD = "| task | metric | network | reference | blend | interval of the gain over the reference | weights |"
Make = Callable[[Path, int], DraftRequest]


def _table(name: str, folder: Path, seed: int) -> DraftRequest:
    table = TABLES[name](seed)
    frame = table.features.assign(target_=table.target)
    frame = frame.sample(min(MOST, len(frame)), random_state=seed)
    frame.to_csv(folder / "table.csv", index=False)
    return DraftRequest("table.csv", "target_", "classification" if table.kind == "classification" else "regression")


def _shops(folder: Path, seed: int) -> DraftRequest:
    """Write daily sales of shops of different sizes, with a week of their own, a trend and noise that persists."""
    rng, days = np.random.default_rng(seed), np.arange(DAYS)
    parts = []
    for shop in range(SHOPS):
        level, week = rng.uniform(20, 120), rng.normal(0, 0.15, 7)
        noise, shocks = np.zeros(DAYS), rng.normal(0, 0.05, DAYS)
        for day in range(1, DAYS):
            noise[day] = 0.6 * noise[day - 1] + shocks[day]
        sales = level * (1 + week[days % 7] + rng.uniform(-0.3, 0.6) * days / DAYS + noise)
        dates = pd.date_range("2024-01-01", periods=DAYS).strftime("%Y-%m-%d")
        parts.append(pd.DataFrame({"date": dates, "shop": f"shop {shop}", "sales": sales.round(2)}))
    pd.concat(parts).sort_values(["date", "shop"]).to_csv(folder / "shops.csv", index=False)
    return DraftRequest("shops.csv", "sales", "forecasting", time="date", group="shop")


def _series(file: str, target: str, time: str, folder: Path, _seed: int) -> DraftRequest:
    (folder / file).write_bytes((MIRROR / file).read_bytes())
    return DraftRequest(file, target, "forecasting", time=time)


def _text(name: str, folder: Path, _seed: int) -> DraftRequest:
    TEXTS[name]().drop_duplicates("text").to_csv(folder / "texts.csv", index=False)
    return DraftRequest("texts.csv", "label")


def _photos(names: tuple[str, ...], count: int, folder: Path, seed: int) -> DraftRequest:
    counts = {"train": round(0.75 * count), "validation": round(0.25 * count), "test": 40}
    write_crops(folder / "crops", names, counts, 32, seed)
    return DraftRequest("crops")


SETS: dict[str, Make] = {
    "table: 600 rows, 250 numbers": partial(_table, "wide_250_columns"),
    "table: linear, 200 rows, 60 numbers": partial(_table, "linear_200"),
    "table: wine quality": partial(_table, "wine_quality"),
    "table: boxes": partial(_table, "boxes_6"),
    "table: categories": partial(_table, "categories_2000"),
    "series: six shops": _shops,
    "series: airline passengers": partial(_series, "airline-passengers.csv", "Passengers", "Month"),
    "series: sunspots": partial(_series, "monthly-sunspots.csv", "Sunspots", "Month"),
    "text: SMS, spam or not": partial(_text, "SMS, spam or not"),
    "text: film reviews": partial(_text, "film reviews, good or bad"),
    "images: photos in colour": partial(_photos, COLOUR, 60),
    "images: textures in grey": partial(_photos, TEXTURES, 60),
}


def main() -> None:
    """Measure all sets, and write the table."""
    about = " ".join((__doc__ or "").split("\n\n")[2].split(". ", 1)[1].split())
    rows = {f"{title}, seed {seed}": partial(_row, title, seed) for seed in range(SEEDS) for title in SETS}
    drafted.write_table("BLENDS", "Network, reference and blend", about, HEAD, rows)


def _row(title: str, seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        space = drafted.project(Path(folder))
        task = _drafted(space, SETS[title](Path(folder), seed), seed)
        raw_data.fetch(space, task)
        prepare.prepare(space, task)
        with keeping_network() as networks:
            record = train.train(space, task)
        cells = _scored(space, task, networks[0])
    weights = ", ".join(
        f"{part['model'].split(' fitted')[0]} {part['weight']:.2f}"
        for part in record["blend"]["parts"]
        if part["weight"]
    )
    print(title, seed, cells, weights, flush=True)
    return f"| {title}, seed {seed} | {task.gate.metric} | {cells} | {weights} |"


def _drafted(space: Workspace, request: DraftRequest, seed: int) -> Task:
    """Draft the task, with references; photos keep their own split, so that no region is in two parts."""
    drafted.draft(space, request, {"split": {"kind": "given"}} if request.data == "crops" else {})
    path = space.task_file(drafted.NAME)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["model"]["blend_references"] = True
    content["train"] |= {"seed": seed, "watch": False}
    files.write_text(path, yaml.safe_dump(content, sort_keys=False))
    return loader.load(space, drafted.NAME)


def _scored(space: Workspace, task: Task, body: object) -> str:
    """Return the metric of the gate of network, reference and blend, and the interval of the gain."""
    test = read_test(space, task.name, task.columns)
    predictor = Predictor.load(space.out(task.name, "train"))
    features, reference = predictor.encoder.encode(test.rows), best_reference(space, task)
    context = task.evaluator.context(TrainingRows.load(space.out(task.name, "prepare")).train[1])
    network = network_outputs(space, task, body, features)
    outputs = [network, reference.outputs(features.astype(np.float32)), predictor.run(features)]
    scores = [f"{task.metric.score(test.truth, found, context):.4g}" for found in outputs]
    scores[1] += f" ({reference.model.title})"

    def gain(rows: Array) -> dict[str, float]:
        new, old = (task.metric.score(test.truth[rows], found[rows], context) for found in (outputs[2], outputs[1]))
        return {"gain": task.metric.gain(new, old)}

    bootstrap = Bootstrap(len(test.truth), 0, 0.95, task.dependence(test.unit, len(test.truth)))
    low, high = bootstrap.intervals(gain)["gain"]
    return f"{' | '.join(scores)} | {low:+.3g} to {high:+.3g}"


if __name__ == "__main__":
    main()
