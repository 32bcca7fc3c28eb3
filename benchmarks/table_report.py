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
of that table and seed. Seconds are processor seconds of training on one core; ours include the export to ONNX. Scores
and seconds of a table are means over the seeds, which draw rows and split. A table is clearly lost with a seed if the
95 % interval of the difference, by a bootstrap of the test rows, is below zero.
"""
# Why trees may be better, by the beginning of a table's name. What was not examined is not said.
REASONS = {
    "boxes": "the target is a sum of steps along the columns, which trees fit exactly",
    "cardinality": "columns of 200 to 2,000 names: CatBoost learns from their mean targets, the network from flags",
    "categories": "pairs of names have effects; CatBoost learns from the mean target of pairs of columns",
    "wide": "few rows and many columns: the scales of the inputs are learned from these rows",
    "wine_quality": "240 rows are in the file twice, which trees can know by heart; whether it is this was not tested",
}


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


Cells = dict[tuple[str, int], list[dict[str, Any]]]


def _grouped(cells: list[dict[str, Any]]) -> Cells:
    """Return the results by table and number of rows."""
    grouped: Cells = defaultdict(list)
    for one in sorted(cells, key=lambda one: (one["table"], one["rows"], one["seed"])):
        grouped[one["table"], one["rows"]].append(one)
    return grouped


def _mean(cells: list[dict[str, Any]], model: str, figure: str) -> float | None:
    values = [one["models"][model][figure] for one in cells if model in one["models"]]
    return fmean(values) if values else None


def _rows(cells: list[dict[str, Any]]) -> list[str]:
    names = [*NAMES.values(), *ALONE.values()]
    lines = [f"| table | rows | columns | seeds | {' | '.join(names)} | ours, s | CatBoost, s |"]
    lines.append("|" + "---|" * (len(names) + 6))
    for (table, rows), group in _grouped(cells).items():
        scores = [_mean(group, name, "score") for name in (*NAMES, *ALONE)]
        best = max(score for score in scores[: len(NAMES)] if score is not None)
        shown = ["" if v is None else f"**{v:.4f}**" if v == best else f"{v:.4f}" for v in scores]
        seconds = [f"{_mean(group, name, 'seconds'):.1f}" for name in ("tiltyard", "catboost")]
        facts = [table, f"{rows:,}", str(group[0]["columns"]), str(len(group))]
        lines.append("| " + " | ".join([*facts, *shown, *seconds]) + " |")
    return lines


def _lost(cells: list[dict[str, Any]]) -> list[str]:
    """Count what is clearly lost and won; say why for tables that are lost with half of their seeds."""
    lines = ["## Clearly lost, clearly won", ""]
    for peer in ("trees", "catboost"):
        intervals = [one["models"][peer]["interval"] for one in cells]
        lost, won = sum(high < 0 for _, high in intervals), sum(low > 0 for low, _ in intervals)
        lines += [f"Against {NAMES[peer]}: {won} of {len(cells)} clearly won, {lost} clearly lost.", ""]
        for (table, rows), group in _grouped(cells).items():
            times = sum(one["models"][peer]["interval"][1] < 0 for one in group)
            if 2 * times >= len(group):
                reason = next((text for name, text in REASONS.items() if table.startswith(name)), "not examined")
                lines.append(f"- {table}, {rows:,} rows, with {times} of {len(group)} seeds: {reason}.")
        lines.append("")
    return lines[:-1]
