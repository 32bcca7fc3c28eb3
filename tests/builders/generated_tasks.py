"""Small prepared tasks on generated data: tables with all column types, exponential growth, texts, label sets."""

from __future__ import annotations

import base64
import csv
import io
import math
import random
from datetime import date, timedelta
from typing import Any

import movies
import numpy as np
import yaml

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.preparation.prepare import prepare
from tiltyard.workspace import Workspace

TABLE: dict[str, Any] = {
    "title": "What people pay",
    "problem": "regression",
    "source": {"kind": "sine"},  # not used: the raw file is written here
    "rows": [100, 400],
    "columns": {
        "age": {"type": "number", "bounds": [0, 120], "missing": "median"},
        "income": {"type": "number", "clip": [0.05, 0.95], "log": True},
        "town": {"type": "category", "unseen": "bucket", "missing": "bucket", "top": 3},
        "plan": {"type": "category", "values": [1, 2]},
        "member": {"type": "boolean", "missing": "bucket"},
        "since": {"type": "date", "format": "%d.%m.%Y %H:%M", "missing": "median"},
    },
    "target": {"column": "paid"},
    "split": {"kind": "random"},
    "model": {"family": "mlp", "units": [8]},
    "train": {"epochs": 2},
    "gate": {"metric": "rmse"},
    "serve": {
        "example": {"age": 40, "income": 2e4, "town": "Ulm", "plan": 1, "member": True, "since": "24.12.2024 18:00"}
    },
}
TEXTS: dict[str, Any] = {
    "title": "Whether a message is friendly",
    "problem": "classification",
    "source": {"kind": "sine"},
    "rows": [100, 400],
    "columns": {"message": {"type": "text", "length": 8}},
    "target": {"column": "mood", "classes": ["kind", "rude"]},
    "split": {"kind": "stratified"},
    "model": {"family": "bow", "embedding": 8, "units": []},
    "train": {"epochs": 3, "learning_rate": 0.05},
    "gate": {"metric": "accuracy"},
    "serve": {"example": "thank you , dear friend !"},
}


MOVIES: dict[str, Any] = {
    "title": "Genres of films",
    "problem": "multilabel",
    "source": {"kind": "sine"},
    "rows": [100, 400],
    "columns": {
        "budget": {"type": "number"},
        "minutes": {"type": "number"},
        "studio": {"type": "category", "values": movies.STUDIOS},
    },
    "target": {"column": "genres", "separator": "|", "classes": movies.GENRES},
    "split": {"kind": "random"},
    "model": {"family": "mlp", "units": [8]},
    "train": {"epochs": 3},
    "gate": {"metric": "average_precision"},
    "serve": {"example": {"budget": 30.5, "minutes": 92, "studio": "Kestrel"}},
}


PARCELS: dict[str, Any] = {
    "title": "Whether a parcel comes back",
    "problem": "classification",
    "source": {"kind": "sine"},
    "rows": [100, 400],
    "columns": {
        "review": {"type": "text", "length": 8, "missing": "empty"},
        "price": {"type": "number", "bounds": [0, 100], "missing": "median"},
        "photo": {"type": "image", "height": 4, "width": 4},
        "size": {"type": "category", "values": ["large", "small"]},
    },
    "target": {"column": "fate", "classes": ["kept", "returned"]},
    "split": {"kind": "stratified"},
    "model": {
        "family": "mixed",
        "text": {"family": "bow", "embedding": 4, "units": []},
        "image": {"family": "cnn", "filters": [4], "units": [4]},
        "table": {"family": "mlp", "units": [4]},
        "units": [8],
    },
    "train": {"epochs": 3, "learning_rate": 0.05},
    "gate": {"metric": "accuracy"},
    "serve": {
        "example": {"review": "good as it is", "price": 9.5, "photo": [[0, 9, 9, 0]] * 4, "size": "small"},
        "max_instances": 64,
    },
}


def prepare_table(space: Workspace) -> Task:
    """Write the task `people` and its raw table, and prepare it."""
    chance = random.Random(0)  # noqa: S311 - no secret
    rows = [["age", "income", "town", "plan", "member", "since", "paid"]]
    for _ in range(200):
        age, income = chance.randint(18, 90), math.exp(chance.gauss(10, 1))
        row = [age, round(income), chance.choice(["Ulm", "Ulm", "Bonn", "Köln", "Kiel"]), chance.randint(1, 2)]
        day = date(2022, 1, 1) + timedelta(days=chance.randrange(700))
        row += [chance.choice(["yes", "no"]), f"{day:%d.%m.%Y} 07:30"]
        row = ["" if place in (0, 2, 4, 5) and chance.random() < 0.1 else cell for place, cell in enumerate(row)]
        rows.append([*map(str, row), str(round(income / 100 + age))])
    return _prepare(space, "people", TABLE, rows)


def prepare_exponential(space: Workspace, *, log: bool) -> Task:
    """Write the task `growth`, whose target is an exponential of its feature, and prepare it."""
    rows = [["age", "size"], *([f"{age / 20}", f"{math.exp(age / 40):.6f}"] for age in range(400))]
    train = {"epochs": 40, "batch_size": 16, "learning_rate": 0.01}
    columns = {"age": {"type": "number", "bounds": [0, 20]}}
    more = {
        "columns": columns,
        "target": {"column": "size", "log": log},
        "train": train,
        "serve": {"example": {"age": 3}},
    }
    return _prepare(space, "growth", {**TABLE, **more}, rows)


def prepare_texts(space: Workspace) -> Task:
    """Write the task `moods` and its raw table, and prepare it."""
    chance = random.Random(0)  # noqa: S311 - no secret
    words = {"kind": ["thank", "dear", "friend", "love"], "rude": ["fool", "shut", "hate", "out"]}
    rows = [["message", "mood"]]
    for place in range(200):
        mood = ("kind", "rude")[place % 2]
        spoken = chance.choices([*words[mood], "you", "the", "!", f"x{place}"], k=chance.randint(3, 12))
        rows.append([" ".join([*spoken, chance.choice(words[mood])][::-1]), mood])
    return _prepare(space, "moods", TEXTS, rows)


def prepare_label_sets(space: Workspace) -> Task:
    """Write the task `movies`, whose rows have any number of genres, and prepare it."""
    table = movies.movies(300)[["budget", "minutes", "studio", "genres"]]
    return _prepare(space, "movies", MOVIES, [[*table.columns], *table.astype(str).to_numpy().tolist()])


def prepare_mixed(space: Workspace, *, photos: bool = True) -> Task:
    """Write the task `parcels` with a text, a number, a category and a picture, of which some cells are empty."""
    chance = random.Random(0)  # noqa: S311 - no secret
    rows = [["review", "price", "photo", "size", "fate"]]
    for place in range(200):
        happy, dark = chance.random() < 0.5, chance.random() < 0.5
        words = chance.choices(["good", "fine", "nice"] if happy else ["torn", "late", "wrong"], k=2)
        review = " ".join([*words, chance.choice(["box", "shirt", "one"])]) if place % 17 else ""
        price = round(chance.uniform(1, 99), 2)
        score = (2 if happy else -2) - price / 30 + (1 if dark else 0)
        row = [review, str(price) if place % 13 else "", photo(chance, dark=dark), chance.choice(["large", "small"])]
        rows.append([*row, "kept" if score + chance.gauss(0, 0.5) > -1 else "returned"])
    if photos:
        return _prepare(space, "parcels", PARCELS, rows)
    columns, example = ({k: v for k, v in part.items() if k != "photo"} for part in (PARCELS["columns"], _EXAMPLE))
    return _prepare(space, "parcels", {**PARCELS, "columns": columns, "serve": {"example": example}}, rows)


_EXAMPLE: dict[str, Any] = PARCELS["serve"]["example"]


def photo(chance: random.Random, *, dark: bool) -> str:
    """Return a picture as Base64 of a PNG file, as in a cell of a table."""
    from PIL import Image

    pixels = np.array([chance.randrange(100) + (0 if dark else 150) for _ in range(16)], dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels.reshape(4, 4)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def _prepare(space: Workspace, name: str, content: dict[str, Any], rows: list[list[str]]) -> Task:
    files.write_text(space.task_file(name), yaml.safe_dump(content, sort_keys=False))
    space.raw(name).mkdir(parents=True, exist_ok=True)
    with (space.raw(name) / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    task = loader.load(space, name)
    prepare(space, task)
    return task
