"""Output of `tiltyard explain`: texts and bars; images and curves are in the report."""

from __future__ import annotations

from typing import Any

import click

BAR_WIDTH = 24  # characters of the longest bar
MAX_BARS = 12  # bars of one explanation


def print_explanations(result: dict[str, Any]) -> None:
    """Print the title and text of each explanation, and its bars if it has any."""
    for exhibit in result["exhibits"]:
        prefix = "" if exhibit["row"] is None else f"row {exhibit['row']}: "
        click.echo(click.style(f"\n{prefix}{exhibit['title']}", bold=True))
        click.echo(f"  {exhibit['text']}")
        if exhibit["kind"] == "bars":
            _print_bars(exhibit["data"]["bars"])
        elif exhibit["kind"] == "words":
            _print_bars([{"name": word["word"], "value": word["weight"]} for word in exhibit["data"]["words"]])
    for name, reason in result["left_out"].items():
        click.echo(click.style(f"{name}: not shown: {reason}", dim=True), err=True)
    task = result["task"]
    click.echo(f"\nwritten: out/{task}/explain/explain.json; images and curves: tiltyard report {task}", err=True)


def _print_bars(bars: list[dict[str, Any]]) -> None:
    """Print the longest bars: positive values in green, negative ones in red."""
    longest = sorted(bars, key=lambda bar: -abs(bar["value"]))[:MAX_BARS]
    maximum = max((abs(bar["value"]) for bar in longest), default=0) or 1
    width = max((len(bar["name"]) for bar in longest), default=0)
    for bar in longest:
        blocks = "█" * round(BAR_WIDTH * (abs(bar["value"]) / maximum))
        colour = "red" if bar["value"] < 0 else "green"
        click.echo(f"  {bar['name']:<{width}} {bar['value']:>+10.4g} {click.style(blocks, fg=colour)}")
    if len(bars) > len(longest):
        click.echo(f"  and {len(bars) - len(longest)} more")
