"""The page of benchmarks/gate.py, from the measurements in benchmarks/gate.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

Part = dict[str, Any]


def page(parts: dict[str, Part], challengers: int, better: float) -> str:
    """Return the page with a section for each part."""
    texts = []
    if "independent" in parts:
        texts.append(_independent(parts["independent"], challengers))
    if "dependent" in parts:
        texts.append(_dependent(parts["dependent"], better))
    if "refresh" in parts:
        texts.append(_refresh(parts["refresh"]))
    return "# Error rate and power of the gate\n\n" + "\n".join(texts)


def _command(name: str, part: Part) -> str:
    settings = f"--pairs {part['pairs']} --rows {part['rows']} --seed {part['seed']} --only {name}"
    return f"Measured by `benchmarks/gate.py {settings}` on\n{part['date']}."


def _margin(pairs: float) -> float:
    return NormalDist().inv_cdf(0.975) * math.sqrt(0.05 * 0.95 / pairs)


def _table(heads: Sequence[str], rows: list[Part], cells: Callable[[Part], list[str]]) -> str:
    align = "|---|" + "--:|" * (len(heads) - 1)
    return "\n".join([f"| {' | '.join(heads)} |", align, *(f"| {' | '.join(cells(row))} |" for row in rows)]) + "\n"


def _independent(part: Part, challengers: int) -> str:
    def cells(row: Part) -> list[str]:
        shares = [f"{row[name]:.1%}" for name in ("equal", "peeking", "uncorrected", "power", "last")]
        return [row["metric"], f"{row['least']:.3g}", *shares]

    heads = ("metric", "minimum gain", "equal", "peeking", "uncorrected", "power", "power, 10th")
    half = _margin(part["pairs"])
    return f"""## Independent rows

{_command("independent", part)} Pairs of models with a known difference are judged by the checks that the gate makes
against the champion, at a confidence of 95 %, on {part["rows"]:,} sealed rows. Shares are of {part["pairs"]} pairs or
sequences, so the margin of error is ± {half:.1%} at 5 % and ± {1.84 * half:.1%} at 80 %; `uncorrected` and
`power, 10th` are shares of {part["pairs"] // 4}.

- **equal**: how often a challenger that is as good as the champion wins (goal: at most 5 %).
- **peeking**: how often any of {challengers} such challengers, judged on the same rows, wins (goal: at most 5 %).
- **uncorrected**: the same without the gate's correction for repeated use of the rows.
- **minimum gain**: `gate.minimum_gain` of this simulation: the gain that so many rows detect in four of five cases.
- **power**: how often a challenger that is better by exactly this gain wins (goal: 80 %).
- **power, 10th**: the same if nine others were judged on these rows before.

{_table(heads, part["rows_of_table"], cells)}"""


def _dependent(part: Part, better: float) -> str:
    def cells(row: Part) -> list[str]:
        by_rows = "" if row["by_rows"] is None else f"{row['by_rows']:.1%}"
        pairs = f"{row['pairs']:.0f}"
        return [row["design"], row["metric"], pairs, f"{row['equal']:.1%}", by_rows, f"{row['power']:.0%}"]

    heads = ("rows", "metric", "pairs", "equal", "equal, by rows", "power")
    return f"""## Rows that depend on one another

{_command("dependent", part)} The same for series, groups and panels of 400 rows (the panel has 800), of
which the gate draws blocks of time steps or whole groups. Errors of both models and the truth depend on one another in
the same way; half of the variance is common to a group, or to the series of a panel. The margin of error is
± {_margin(part["pairs"]):.1%} at 5 % for {part["pairs"]} pairs.

- **equal**: how often a challenger that is as good as the champion wins (goal: at most 5 %).
- **equal, by rows**: the same if rows were drawn one by one, on a quarter of the pairs.
- **power**: how often a challenger wins whose errors are {better:.0%} smaller, on a quarter of the pairs.

{_table(heads, part["rows_of_table"], cells)}"""


def _refresh(part: Part) -> str:
    def cells(row: Part) -> list[str]:
        return [row["metric"], f"{row['margin']:.3g}", f"{row['worse']:.1%}", f"{row['equal']:.0%}"]

    return f"""## Refresh

{_command("refresh", part)} Challengers on newer data (`gate.refresh: true`)
are judged on {part["rows"]:,} independent rows. Shares are of {part["pairs"]} pairs; the margin of error is
± {_margin(part["pairs"]):.1%} at 5 %.

- **margin**: how much worse such a challenger may be: 10 % of the champion's gain over the baseline.
- **worse**: how often a challenger is promoted that is worse by exactly the margin (goal: at most 5 %).
- **equal**: how often a challenger is promoted that is as good as the champion.

{_table(("metric", "margin", "worse", "equal"), part["rows_of_table"], cells)}"""
