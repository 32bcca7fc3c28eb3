"""The Markdown page of a study: a table, a sentence for each variant, and caveats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiltyard.config.overrides import yaml_value
from tiltyard.data import markdown

Result = Mapping[str, Any]


def to_markdown(result: Result, values: str, curves: str) -> str:
    """Return the page."""
    plan, metric = result["plan"], result["metric"]
    rows = f"{plan['rows']:,} training rows" if plan["rows"] else "all training rows"
    fixed = "".join(f", {markdown.escape(f'{key}: {yaml_value(value)}')}" for key, value in plan["set"].items())
    return "\n".join(
        [
            f"### {markdown.escape(result['title'])}",
            "",
            f"Task `{result['task']}`, {rows}, {_count(plan)}{fixed}. The {metric} is that of{_measured_rows(result)}",
            "",
            *table(result),
            "",
            *(f"- {markdown.escape(variant['sentence'])}." for variant in result["variants"][1:]),
            *(f"- {markdown.escape(text)}." for text in failures(result)),
            *([f"- {markdown.escape(result['chosen']['sentence'])}."] if result.get("chosen") else []),
            *_multiple_comparisons_warning(result),
            "",
            f"![{metric} by variant]({values})",
            f"![Loss by epoch]({curves})",
            "",
        ]
    )


def _count(plan: Result) -> str:
    """Return how many trainings each variant has; plans of old studies have no folds."""
    return f"{plan['folds']} folds" if plan.get("folds") else f"{plan['repeat']} seeds"


def _measured_rows(result: Result) -> str:
    """Return which rows are measured, and what intervals are over; old studies have no number of rows."""
    if result["plan"].get("folds"):
        return (
            " the rows that each fold holds out,\nwhich neither train nor stop; test rows were not used. Intervals are "
            "over folds, whose training rows overlap: they are too narrow."
        )
    rows = f" {result['validation_rows']:,}" if "validation_rows" in result else ""
    text = "validation rows at the epoch that was best on them; test rows were not used. Intervals are over seeds."
    return f"{rows}\n{text}"


def table(result: Result) -> list[str]:
    """Return the lines of the table."""
    share = f"{result['confidence']:.0%} interval"
    folds = bool(result["plan"].get("folds"))
    deviation = " deviation |" if folds else ""
    lines = [f"| variant | {result['metric']} |{deviation} {share} | kept epoch | seconds |"]
    lines.append("|---|---|---|---|---|" + ("---|" if folds else ""))
    for variant in result["variants"]:
        mean = "-" if variant["mean"] is None else f"**{variant['mean']:.4g}**"
        bounds = "{:.4g} to {:.4g}".format(*variant["interval"]) if variant["interval"] else "-"
        epoch = "-" if variant["epochs"] is None else f"{variant['epochs']:.1f}"
        spread = "-" if variant.get("deviation") is None else f"{variant['deviation']:.2g}"
        mean += f" | {spread}" if folds else ""
        lines.append(f"| {markdown.escape(variant['name'])} | {mean} | {bounds} | {epoch} | {variant['seconds']:.1f} |")
    return lines


def failures(result: Result) -> list[str]:
    """Return sentences about variants whose training failed for some seeds."""
    count = _count(result["plan"])
    return [
        f"{variant['name']}: {len(variant['trouble'])} of {count} could not be trained: {variant['trouble'][0]}"
        for variant in result["variants"]
        if variant["trouble"]
    ]


def _multiple_comparisons_warning(result: Result) -> list[str]:
    """Return a warning about multiple comparisons."""
    error_rate, count = 1 - result["confidence"], len(result["variants"]) - 1
    if count < 3:
        return []
    return [
        "",
        (
            f"Each of the {count} intervals misses the true value with probability {error_rate:.0%}: "
            "one of them may be wrong."
        ),
    ]
