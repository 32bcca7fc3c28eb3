"""A bare Polars script that parses, hashes, splits and standardizes the rows of benchmarks/scale.py, to compare with.

It does less than `tiltyard prepare`: it checks no cell, makes one feature of each column instead of one for each
category, learns no vocabulary, and seals no test rows. `python benchmarks/polars_rows.py PROJECT` prints its version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from wide import COLUMNS

PARTS = {"test": (0.0, 0.2), "validation": (0.2, 0.4), "train": (0.4, 1.0)}


def main(root: Path) -> None:
    """Write one array for each part."""
    rows = _parse(next((root / "data" / "raw" / "wide").glob("table.*")))
    keys = rows.select([*COLUMNS]).hash_rows(seed=0)
    place = keys.rank("ordinal") / len(keys)
    features = rows.select([_feature(name, settings["type"]) for name, settings in COLUMNS.items()])
    train = features.filter(place > PARTS["train"][0])
    scaled = features.with_columns([(pl.col(n) - train[n].mean()) / (train[n].std() or 1.0) for n in features.columns])
    for part, (low, high) in PARTS.items():
        chosen = (place > low) & (place <= high)
        np.save(root / f"{part}.npy", scaled.filter(chosen).cast(pl.Float32).to_numpy())
        np.save(root / f"{part}_truth.npy", (rows["left"].filter(chosen) == "yes").to_numpy())
    print(json.dumps({"version": pl.__version__, "rows": len(rows)}))


def _parse(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        rows = pl.read_parquet(path)
    else:
        rows = pl.read_csv(path, schema_overrides={n: pl.String for n, s in COLUMNS.items() if s["type"] == "boolean"})
    dates = {
        name: settings.get("format", "%Y-%m-%d") for name, settings in COLUMNS.items() if settings["type"] == "date"
    }
    return rows.with_columns([pl.col(name).str.to_datetime(format_) for name, format_ in dates.items()])


def _feature(name: str, kind: str) -> Any:
    """Return one number for each row, the median for a missing one."""
    column = pl.col(name)
    if kind == "date":
        column = column.dt.timestamp("ms") / 86_400_000
    elif kind == "boolean":
        column = column.str.to_lowercase().is_in(["true", "yes", "y"]).cast(pl.Float64)
    elif kind == "category":
        column = column.cast(pl.String).cast(pl.Categorical).to_physical()
    return column.cast(pl.Float64).fill_null(column.cast(pl.Float64).median())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
