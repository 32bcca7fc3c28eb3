"""Output of `tiltyard search` and `tiltyard study`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tiltyard.cli.output import tables
from tiltyard.config.overrides import yaml_value

MAX_TRIALS = 5  # the best trials of a search that are printed


def print_search(result: Mapping[str, Any]) -> None:
    """Print the best trials, the importance of each setting, and the values for the task file."""
    task, metric, best = result["task"], result["metric"], result["best"]
    keys = list(best["values"])
    rows = [
        [
            row["trial"],
            row["value"],
            row["val_loss"],
            row["epochs"],
            row["seconds"],
            *map(yaml_value, row["values"].values()),
        ]
        for row in result["ranked"][:MAX_TRIALS]
    ]
    tables.print_table(
        ["trial", metric, "val_loss", "epochs", "seconds", *(key.partition(".")[2] for key in keys)], rows
    )
    counts = f"{len(result['trials'])} trials, {result['pruned']} pruned"
    click.echo(counts + (f", {result['impossible']} invalid" if result["impossible"] else ""))
    if result["importance"]:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in result["importance"].items())
        click.echo(f"importance for the metric: {shares}")
    click.echo(
        f"\n{metric} {best['value']:.4g} is the best of {len(result['ranked'])} trials on the same validation rows:"
        "\nexpect a worse value on new rows. The sealed test rows were not used."
        f"\n\nfor tasks/{task}.yaml (or add --apply):"
    )
    for key, value in best["values"].items():
        click.echo(f"  {key}: {yaml_value(value)}")
    click.echo(f"see out/{task}/search/search.png")


def print_study(result: Mapping[str, Any]) -> None:
    """Print the table of a study, then a conclusion for each variant."""
    from tiltyard.experiments.study_markdown import failures

    folds = bool(result["plan"].get("folds"))
    rows = [
        [
            variant["name"],
            variant["mean"],
            *([variant["deviation"]] if folds else []),
            *(variant["interval"] or (None, None)),
            variant["epochs"],
            variant["seconds"],
        ]
        for variant in result["variants"]
    ]
    spread = ["deviation"] if folds else []
    tables.print_table(["variant", result["metric"], *spread, "low", "high", "kept epoch", "seconds"], rows)
    for text in [*(variant["sentence"] for variant in result["variants"][1:]), *failures(result)]:
        click.echo(text)
    if chosen := result.get("chosen"):
        click.echo(chosen["sentence"])
    rows_measured = "the held-out rows of each fold" if folds else "validation rows, which also chose the epoch"
    click.echo(f"Measured on {rows_measured}; test rows were not used.\nsee out/studies/{result['study']}/study.md")
