"""What a study found, written down: a table, a sentence a variant, and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiltyard import markdown
from tiltyard.config.overrides import yaml_value

Result = Mapping[str, Any]


def page(result: Result, values: str, curves: str) -> str:
    """Write the study down, for people."""
    plan, metric = result["plan"], result["metric"]
    rows = f"{plan['rows']:,} training rows" if plan["rows"] else "all training rows"
    fixed = "".join(f", {markdown.text(f'{key}: {yaml_value(value)}')}" for key, value in plan["set"].items())
    return "\n".join(
        [
            f"### {markdown.text(result['title'])}",
            "",
            f"Task `{result['task']}`, {rows}, {plan['repeat']} seeds{fixed}. The {metric} is that of{_judged(result)}",
            "validation rows at the epoch that was best on them; no test row was looked at. Intervals are over seeds.",
            "",
            *table(result),
            "",
            *(f"- {markdown.text(variant['sentence'])}." for variant in result["variants"][1:]),
            *(f"- {markdown.text(text)}." for text in troubles(result)),
            *_warning(result),
            "",
            f"![{metric} by variant]({values})",
            f"![Loss by epoch]({curves})",
            "",
        ]
    )


def _judged(result: Result) -> str:
    """Return how many validation rows there were; studies that were written down earlier do not know."""
    return f" {result['validation_rows']:,}" if "validation_rows" in result else ""


def table(result: Result) -> list[str]:
    """Return the lines of the table."""
    share = f"{result['confidence']:.0%} interval"
    lines = [f"| variant | {result['metric']} | {share} | kept epoch | seconds |", "|---|---|---|---|---|"]
    for one in result["variants"]:
        mean = "-" if one["mean"] is None else f"**{one['mean']:.4g}**"
        ends = "{:.4g} to {:.4g}".format(*one["interval"]) if one["interval"] else "-"
        epoch = "-" if one["epochs"] is None else f"{one['epochs']:.1f}"
        lines.append(f"| {markdown.text(one['name'])} | {mean} | {ends} | {epoch} | {one['seconds']:.1f} |")
    return lines


def troubles(result: Result) -> list[str]:
    """Return of which variants some seeds could not be trained."""
    count = result["plan"]["repeat"]
    return [
        f"{one['name']}: {len(one['trouble'])} of {count} seeds could not be trained: {one['trouble'][0]}"
        for one in result["variants"]
        if one["trouble"]
    ]


def _warning(result: Result) -> list[str]:
    """Return what many comparisons do."""
    wrong, count = 1 - result["confidence"], len(result["variants"]) - 1
    if count < 3:
        return []
    return [
        "",
        f"Each of the {count} intervals misses with a chance of {wrong:.0%} by itself; so one of them may well.",
    ]
