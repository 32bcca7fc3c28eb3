"""The CSV files that `dvc plots show` draws: learning curves, and the plots of the evaluator."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_plots(folder: Path, plots: Mapping[str, dict[str, list[Any]]], history: dict[str, list[Any]]) -> None:
    """Write the CSV files that `dvc plots show` draws."""
    folder.mkdir()
    epochs = list(range(1, len(history.get("loss", ())) + 1))
    for name, columns in {**plots, "learning": {"epoch": epochs, **history}}.items():
        _write_csv(folder / f"{name}.csv", columns)


def _write_csv(path: Path, columns: Mapping[str, list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
