"""Generated table with 20 columns of all types and any number of rows, and its task file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

SEED = 0
BLOCK = 250_000  # rows generated at a time
COUNTRIES = ["AT", "BE", "CH", "CZ", "DE", "DK", "ES", "FR", "IT", "NL", "PL", "SE"]
DEVICES = ["phone", "tablet", "desktop", "other"]
CITIES = [f"city {i}" for i in range(1000)]
CODES = [f"P-{i:05}" for i in range(10_000)]
COLUMNS: dict[str, dict[str, Any]] = {
    "age": {"type": "number", "bounds": [18, 90]},
    "income": {"type": "number", "log": True, "clip": [0.01, 0.99]},
    "balance": {"type": "number", "missing": "median"},
    "score": {"type": "number", "bounds": [0, 1]},
    "visits": {"type": "number", "bounds": [0, 1000]},
    "height": {"type": "number"},
    "distance": {"type": "number", "missing": "median", "bounds": [0, 100]},
    "heat": {"type": "number", "bounds": [-60, 60]},
    "country": {"type": "category", "values": COUNTRIES},
    "plan": {"type": "category", "values": [1, 2, 3]},
    "device": {"type": "category", "values": DEVICES, "missing": "bucket"},
    "city": {"type": "category", "unseen": "bucket", "top": 20},
    "code": {"type": "category", "unseen": "bucket", "top": 20},
    "born": {"type": "date"},
    "joined": {"type": "date", "missing": "median"},
    "seen": {"type": "date", "format": "%Y-%m-%d %H:%M:%S"},
    "member": {"type": "boolean"},
    "active": {"type": "boolean"},
    "mobile": {"type": "boolean", "missing": "bucket"},
}


def task(table: Path, rows: int) -> dict[str, Any]:
    """Return the task file."""
    example: dict[str, Any] = {
        "age": 40,
        "income": 2e4,
        "balance": None,
        "score": 0.5,
        "visits": 3,
        "height": 1.8,
        "distance": 7,
    }
    example |= {"heat": 20, "country": "AT", "plan": 1, "device": "phone", "city": "city 1", "code": "P-00001"}
    example |= {"born": "1980-01-01", "joined": "2020-01-01", "seen": "2024-12-24 18:00:00"}
    example |= {"member": True, "active": True, "mobile": None}
    mean = {"column": "heat", "min_value": 5, "max_value": 25}
    return {
        "title": "A wide table",
        "problem": "classification",
        "source": {"kind": "file", "path": str(table)},
        "rows": [rows, rows],
        "columns": COLUMNS,
        "target": {"column": "left", "classes": ["no", "yes"]},
        "expect": [{"expectation": "expect_column_mean_to_be_between", "arguments": mean}],
        "split": {"kind": "stratified"},
        "model": {"family": "mlp", "units": [32, 16]},
        "train": {"epochs": 1, "batch_size": 1024},
        "gate": {"metric": "roc_auc"},
        "serve": {"example": example},
    }


def write(path: Path, rows: int) -> None:
    """Write a table block by block; without quotes, as in most CSV files."""
    blocks = _blocks(rows)
    first = next(blocks)
    with path.open("wb") as file, _writer(path.suffix, file, first.schema) as writer:
        for block in itertools.chain([first], blocks):
            writer.write_table(block)


def _writer(suffix: str, file: IO[bytes], schema: pa.Schema) -> Any:
    if suffix == ".parquet":
        return parquet.ParquetWriter(file, schema)
    file.write((",".join(schema.names) + "\n").encode())
    return csv.CSVWriter(file, schema, write_options=csv.WriteOptions(include_header=False, quoting_style="none"))


def _blocks(rows: int) -> Iterator[pa.Table]:
    for start in range(0, rows, BLOCK):
        rng = np.random.default_rng([SEED, start])
        yield _block(rng, min(BLOCK, rows - start))


def _block(rng: np.random.Generator, n: int) -> pa.Table:
    age, score = rng.integers(18, 91, n), rng.random(n).round(4)
    visits = rng.poisson(4, n)
    left = rng.random(n) < 1 / (1 + np.exp(2 + 0.5 * visits - 4 * score - 0.01 * age))
    return pa.table(
        {
            "age": age,
            "income": rng.lognormal(10, 1, n).round(2),
            "balance": _missing(rng, rng.normal(500, 900, n).round(2)),
            "score": score,
            "visits": visits,
            "height": rng.normal(1.7, 0.1, n).round(3),
            "distance": _missing(rng, (100 * rng.random(n)).round(1)),
            "heat": rng.normal(15, 8, n).clip(-60, 60).round(1),
            "country": _choices(rng, COUNTRIES, n),
            "plan": rng.integers(1, 4, n),
            "device": _missing(rng, _choices(rng, DEVICES, n)),
            "city": _choices(rng, CITIES, n),
            "code": _choices(rng, CODES, n),
            "born": _days(rng, "1934-01-01", 27_000, n),
            "joined": _missing(rng, _days(rng, "2010-01-01", 5_000, n)),
            "seen": _timestamps(rng, n),
            "member": _choices(rng, ["true", "false"], n),
            "active": _choices(rng, ["yes", "no"], n),
            "mobile": _missing(rng, _choices(rng, ["Y", "N"], n)),
            "left": np.where(left, "yes", "no"),
        }
    )


def _choices(rng: np.random.Generator, names: list[str], n: int) -> pa.Array:
    return pa.array(names).take(pa.array(rng.integers(0, len(names), n)))


def _days(rng: np.random.Generator, first: str, days: int, n: int) -> pa.Array:
    return pa.array(np.datetime64(first) + rng.integers(0, days, n)).cast("string")


def _timestamps(rng: np.random.Generator, n: int) -> pa.Array:
    timestamps = np.datetime64("2024-01-01T00:00:00", "s") + rng.integers(0, 366 * 86_400, n)
    return pa.array(timestamps).cast("string")


def _missing(rng: np.random.Generator, values: Any) -> pa.Array:
    """Remove some values."""
    return pc.if_else(pa.array(rng.random(len(values)) < 0.02), None, pa.array(values))
