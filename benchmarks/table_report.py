"""Write benchmarks/TABLES.md from the results of tables.py."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import fmean, median
from typing import Any

from table_data import TABLES

from tiltyard import files

FOLDER = Path(__file__).parent
RESULTS, PAGE = FOLDER / "tables.json", FOLDER / "TABLES.md"
NAMES = {"tiltyard": "Tiltyard", "trees": "HistGradientBoosting", "catboost": "CatBoost", "linear": "linear"}
ALONE = {"network": "its network alone", "reference": "its best reference alone"}  # not measured in older results
HEAD = """# Drafted models of tables, compared with boosted trees

`python benchmarks/tables.py` drafts a task for each table as `tiltyard init` does, prepares and trains it (TabM, early
stopping on the validation rows, averaged with references), and scores the ONNX model on the test rows. Two columns have
its network alone, and alone the reference with the least loss on validation rows. HistGradientBoosting, CatBoost and a
linear model (logistic or ridge regression) have their defaults, the same training rows (60 %) and the same test rows
(20 %); they do not use the validation rows. Larger tables are sampled to the number of rows shown.
Scores: AUC for two classes, accuracy for more, R² for numbers, and D² of absolute errors for skewed positive targets,
for which the draft chooses `log: true`. The normalised score is 0 for a constant prediction and 1 for the best model
of that table and seed. Seconds are processor seconds of training on one core; ours include the export to ONNX.
Intervals of differences are 95 %, by a bootstrap of the test rows.
"""


def write_report(results: dict[str, Any]) -> None:
    """Write the page."""
    cells = [*results.values()]
    files.write_text(PAGE, "\n".join([HEAD, *_summary(cells), "", *_rows(cells), "", *_lost(cells)]) + "\n")


def normalised(models: dict[str, Any], chance: float) -> dict[str, float]:
    """Return the scores between a constant prediction and the best model."""
    best = max(models[name]["score"] for name in NAMES)
    span = max(best - chance, 1e-9)
    return {name: max(0.0, (one["score"] - chance) / span) for name, one in models.items()}


def _summary(cells: list[dict[str, Any]]) -> list[str]:
    scores, seconds = defaultdict(list), defaultdict(list)
    for one in cells:
        for name, value in normalised(one["models"], one["chance"]).items():
            if name not in NAMES:
                continue
            scores[name].append(value)
            seconds[name].append(one["models"]["tiltyard"]["seconds"] / max(one["models"][name]["seconds"], 1e-3))
    tables, seeds = len({one["table"] for one in cells}), len({one["seed"] for one in cells})
    lines = [
        f"Run so far: {tables} of {len(TABLES)} tables, {seeds} seed(s), {len(cells)} trainings each.",
        "",
    ]
    lines += [
        "| model | mean normalised score | median | our training time, as a multiple of its (median) |",
        "|---|---|---|---|",
    ]
    for name, values in scores.items():
        lines.append(f"| {NAMES[name]} | {fmean(values):.4f} | {median(values):.4f} | {median(seconds[name]):.1f} |")
    return lines


def _rows(cells: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| table | rows | columns | seed | "
        + " | ".join([*NAMES.values(), *ALONE.values()])
        + " | ours - CatBoost | ours, s | CatBoost, s |"
    ]
    lines.append("|" + "---|" * (len(NAMES) + len(ALONE) + 7))
    for one in sorted(cells, key=lambda one: (one["table"], one["rows"], one["seed"])):
        models = one["models"]
        best = max(models[name]["score"] for name in NAMES)
        shown = [f"**{v:.4f}**" if (v := models[name]["score"]) == best else f"{v:.4f}" for name in NAMES]
        shown += [f"{models[name]['score']:.4f}" if name in models else "" for name in ALONE]
        low, high = models["catboost"]["interval"]
        seconds = [f"{models[name]['seconds']:.1f}" for name in ("tiltyard", "catboost")]
        facts = [one["table"], f"{one['rows']:,}", str(one["columns"]), str(one["seed"])]
        lines.append("| " + " | ".join([*facts, *shown, f"{low:+.4f} to {high:+.4f}", *seconds]) + " |")
    return lines


def _lost(cells: list[dict[str, Any]]) -> list[str]:
    """List the tables where the interval of the difference to a kind of trees is below zero."""
    lines = ["## Clearly lost", ""]
    for peer in ("trees", "catboost"):
        lost = [f"{one['table']} ({one['rows']:,} rows)" for one in cells if one["models"][peer]["interval"][1] < 0]
        won = sum(one["models"][peer]["interval"][0] > 0 for one in cells)
        counts = f"clearly better on {len(lost)} of {len(cells)}, clearly worse on {won}."
        lines.append(f"- {NAMES[peer]}: {counts} {'; '.join(lost)}".rstrip())
    return lines
