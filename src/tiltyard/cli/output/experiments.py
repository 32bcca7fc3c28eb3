"""What the commands that compare print at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tiltyard.cli.output import tables
from tiltyard.config.overrides import yaml_value

LISTED = 5  # trials of a search


def search(result: Mapping[str, Any]) -> None:
    """Print the best trials, what mattered, and what to write into the task file."""
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
        for row in result["ranked"][:LISTED]
    ]
    tables.table(["trial", metric, "val_loss", "epochs", "seconds", *(key.partition(".")[2] for key in keys)], rows)
    counts = f"{len(result['trials'])} trials, {result['pruned']} of them pruned"
    click.echo(counts + (f", {result['impossible']} impossible" if result["impossible"] else ""))
    if result["importance"]:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in result["importance"].items())
        click.echo(f"of the differences are due to: {shares}")
    click.echo(
        f"\n{metric} {best['value']:.4g} is the best of {len(result['ranked'])} on the same validation rows: expect"
        "\nless on new rows, since luck is in it. The sealed test rows were not looked at; they judge later."
        f"\n\nfor tasks/{task}.yaml (or add --apply):"
    )
    for key, value in best["values"].items():
        click.echo(f"  {key}: {yaml_value(value)}")
    click.echo(f"see out/{task}/search/search.png")


def study(result: Mapping[str, Any]) -> None:
    """Print the table of a study, then what can be said of each variant."""
    from tiltyard.experiments.study_markdown import troubles

    rows = [
        [one["name"], one["mean"], *(one["interval"] or (None, None)), one["epochs"], one["seconds"]]
        for one in result["variants"]
    ]
    tables.table(["variant", result["metric"], "low", "high", "kept epoch", "seconds"], rows)
    for text in [*(one["sentence"] for one in result["variants"][1:]), *troubles(result)]:
        click.echo(text)
    click.echo(
        "on validation rows, which also chose the epoch; no test row was looked at\n"
        f"see out/studies/{result['study']}/study.md"
    )
