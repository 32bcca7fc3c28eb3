"""What `tiltyard explain` prints: what can be read in a terminal; the rest is in the report."""

from __future__ import annotations

from typing import Any

import click

WIDE = 24  # cells of the longest bar
MOST = 12  # bars of one exhibit


def explained(result: dict[str, Any]) -> None:
    """Print each exhibit with its sentence, and bars where it has some."""
    for one in result["exhibits"]:
        place = "" if one["row"] is None else f"row {one['row']}: "
        click.echo(click.style(f"\n{place}{one['title']}", bold=True))
        click.echo(f"  {one['text']}")
        if one["kind"] == "bars":
            _bars(one["data"]["bars"])
        elif one["kind"] == "words":
            _bars([{"name": word["word"], "value": word["weight"]} for word in one["data"]["words"]])
    for name, reason in result["left_out"].items():
        click.echo(click.style(f"{name}: not shown: {reason}", dim=True), err=True)
    task = result["task"]
    click.echo(f"\nwritten: out/{task}/explain/explain.json; pictures and curves: tiltyard report {task}", err=True)


def _bars(told: list[dict[str, Any]]) -> None:
    """Draw the longest ones; those below zero in another colour."""
    shown = sorted(told, key=lambda bar: -abs(bar["value"]))[:MOST]
    most = max((abs(bar["value"]) for bar in shown), default=0) or 1
    width = max((len(bar["name"]) for bar in shown), default=0)
    for bar in shown:
        drawn = "█" * max(round(WIDE * (abs(bar["value"]) / most)), 0)
        colour = "red" if bar["value"] < 0 else "green"
        click.echo(f"  {bar['name']:<{width}} {bar['value']:>+10.4g} {click.style(drawn, fg=colour)}")
    if len(told) > len(shown):
        click.echo(f"  and {len(told) - len(shown)} more")
