"""Measure the rows of docs/RESULTS.md, and write its tables.

TILTYARD_MIRROR=... python benchmarks/results.py [--page | --again | --missing] [TASK]...

Without names, all rows. What is measured is kept (see measured.py), so that an interrupted script resumes. --page only
writes the tables again; --again judges kept runs by today's gate; --missing prints the rows that need measuring.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from typing import Any

import judging
import measured
import page
import rules
from judging import number
from rows import ROWS, SECTIONS, Row

from tiltyard.config import loader
from tiltyard.experiments.seed_comparison import SeedComparison, interval
from tiltyard.workspace import Workspace

CONFIDENCE = 0.95
Json = dict[str, Any]
Runs = dict[int, Json]


def main() -> None:
    """Measure what is missing, and write the tables after each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--page", action="store_true", help="only write the tables again")
    parser.add_argument("--again", action="store_true", help="judge kept runs by today's gate")
    parser.add_argument("--missing", action="store_true", help="print the rows that are not measured or stale")
    options = parser.parse_args()
    if options.missing:
        print("\n".join(name for name, row in ROWS.items() if not _complete(name, row)))
        return
    for name in [] if options.page else options.tasks or ROWS:
        for net in _nets(name, ROWS[name]):
            for seed in range(ROWS[name].seeds):
                if not measured.measure(name, seed, net, again=options.again):
                    break
    for title, rows in SECTIONS.items():
        page.write(title, section(rows))


def section(rows: dict[str, Row]) -> str:
    """Return the table of a section, and what it shows in sentences."""
    found = {name: _found(name, row) for name, row in rows.items()}
    lines, sentences, missing = [], [], []
    for name, row in rows.items():
        if any(run.get("stand_in") for runs in found[name].values() for run in runs.values()):
            sentences.append(f"- No figure for `{name}`: there is only a stand-in of the real data.")
        elif any(found[name].values()):
            lines += [_line(name, one, found[name]) for one in _metrics(row)]
            sentences += [f"- {text}" for one in _metrics(row) for text in _sentences(name, one, found[name])]
            sentences += _rejections(name, found[name])
        if not _complete(name, row):
            missing.append(f"`{name}`")
    notes = [f"Not measured with all seeds, or judged by another gate: {', '.join(missing)}."] if missing else []
    return "\n\n".join(part for part in ("\n".join([*HEAD, *lines]), "\n".join(sentences), *notes) if part)


def _nets(name: str, row: Row) -> list[str]:
    """Return the nets to train on the rows of a task; empty for its own."""
    return ["" if net == name else net for net in (row.net, row.ours) if net]


def _found(name: str, row: Row) -> dict[str, Runs]:
    """Return the kept runs of the net of the notes and of ours."""
    sides = {"notes": row.net, "ours": row.ours}
    return {
        side: measured.found(name, row.seeds, "" if net == name else net) if net else {} for side, net in sides.items()
    }


def _complete(name: str, row: Row) -> bool:
    """Return whether all runs of a row are measured and judged by today's gate."""
    nets = _nets(name, row)
    runs = [run for net in nets for run in measured.found(name, row.seeds, net).values()]
    digest = judging.digest(measured.task_file(name))
    return len(runs) == row.seeds * len(nets) and all(run.get("judged_by") == digest for run in runs)


def _metrics(row: Row) -> list[Row]:
    """Return the row for each of its metrics; the figure of the notes is of the first one."""
    return [row, *(Row(metric, row.net, row.ours, seeds=row.seeds) for metric in row.also)]


def _line(name: str, row: Row, found: dict[str, Runs]) -> str:
    runs = [run for side in found.values() for run in side.values()]
    last = found["ours"] or found["notes"]
    first = next(iter(last.values()))
    figure = "-" if row.figure is None else number(row.figure)
    published = f"{figure} ({row.figure_note})" if row.figure_note else figure
    cells = [
        f"`{name}`",
        row.metric,
        published,
        *(_net_cell(row, side) for side in found.values()),
        number(statistics.fmean(run["baseline"][row.metric] for run in last.values())),
        judging.best_rival([*last.values()]) if row.metric == first["metric"] else "-",
        " + ".join(str(len(side)) for side in found.values() if side),
        "; ".join(judging.verdicts(measured.task_file(name), [*side.values()]) for side in found.values() if side),
        f"{statistics.median(run['seconds'] for run in runs):,.0f}",
        f"{first['machine']}, {_dates(runs)}",
        row.remark,
    ]
    return f"| {' | '.join(cells)} |"


def _dates(runs: list[Json]) -> str:
    dates = [run["date"] for run in runs]
    return " to ".join(sorted({min(dates), max(dates)}))


def _net_cell(row: Row, runs: Runs) -> str:
    """Return the mean over seeds with its interval, and the number of parameters."""
    if not runs:
        return "-"
    values = [run["metrics"][row.metric] for run in runs.values()]
    ends = interval(values, CONFIDENCE) if len(values) > 1 else None
    alone = "one seed" if len(values) == 1 else "all equal"
    text = f"{number(ends[0])} to {number(ends[1])}" if ends else alone
    return f"**{number(statistics.fmean(values))}** ({text}), {next(iter(runs.values()))['parameters']:,}"


def _sentences(name: str, row: Row, found: dict[str, Runs]) -> list[str]:
    """Compare both nets, each net with the published figure, and our net with the best simple rival."""
    metric = loader.load(Workspace(page.ROOT), name).evaluator.metrics[row.metric]
    values = {
        side: {seed: run["metrics"][row.metric] for seed, run in runs.items()} for side, runs in found.items() if runs
    }
    texts = []
    if len(values) == 2 and (seeds := sorted({*values["notes"]} & {*values["ours"]})):
        gains = [metric.gain(values["ours"][seed], values["notes"][seed]) for seed in seeds]
        texts.append(f"{row.metric}: {SeedComparison(f'`{row.ours}`', f'`{row.net}`', gains, CONFIDENCE).sentence}.")
    if row.figure is not None:
        nets = {"notes": f"`{row.net}`", "ours": f"`{row.ours}` on these rows"}
        for side, measured_values in values.items():
            gains = [metric.gain(value, row.figure) for value in measured_values.values()]
            published = f"the published {number(row.figure)}"
            texts.append(f"{row.metric}: {SeedComparison(nets[side], published, gains, CONFIDENCE).sentence}.")
    return [*texts, *_against_rule(name, row, found), *_beaten(name, row, found), *_further(name, row, found)]


def _against_rule(name: str, row: Row, found: dict[str, Runs]) -> list[str]:
    """Return a sentence on the rule written by hand for this task, if there is one."""
    values = [run["rule"][row.metric] for run in found["ours"].values() if row.metric in run.get("rule", {})]
    return [f"{row.metric} of a rule, {rules.NAMES[name]}: {number(statistics.fmean(values))}."] if values else []


def _further(name: str, row: Row, found: dict[str, Runs]) -> list[str]:
    """Return sentences on walk-forward evaluations and roll-outs, means over the runs that have them."""
    runs = [run for side in found.values() for run in side.values() if run["net"] == name]
    texts = []
    if walks := [run["walk_forward"] for run in runs if "walk_forward" in run]:
        value = number(statistics.fmean(walk["metrics"][row.metric] for walk in walks))
        better = sum((walk["over_baseline"] or {"low": 0})["low"] > 0 for walk in walks)
        text = f"`{name}`, walk-forward: {row.metric} {value} ({walks[0]['trainings']} trainings in each run)"
        texts.append(f"{text}, surely better than the baseline in {better} of {len(walks)} runs.")
    if rolled := [run["rollout"]["by_step"] for run in runs if "rollout" in run]:
        own, naive = (number(statistics.fmean(steps[-1][side] for steps in rolled)) for side in ("rmse", "baseline"))
        better, worse = (
            sum((step[f"gain_{end}"] or 0) * sign > 0 for steps in rolled for step in steps)
            for end, sign in (("low", 1), ("high", -1))
        )
        text = f"`{name}`, rolled out {len(rolled[0])} steps: rmse {own} at the last, the naive forecast {naive}"
        texts.append(
            f"{text}; of {sum(map(len, rolled))} steps of all runs {better} are surely better, {worse} surely worse."
        )
    return texts


def _beaten(name: str, row: Row, found: dict[str, Runs]) -> list[str]:
    """Return a sentence if a simple model is better than our net beyond chance on the test rows of most runs."""
    runs = [*(found["ours"] or found["notes"]).values()]
    wins = [run["reference"] for run in runs if (run.get("reference") or {}).get("high", 0) < 0]
    if runs and row.metric == runs[0]["metric"] and len(wins) * 2 > len(runs):
        models = Counter(reference["model"] for reference in wins).most_common(1)[0][0]
        return [f"`{name}`: a simple rival ({models}) is better beyond chance in {len(wins)} of {len(runs)} runs."]
    return []


def _rejections(name: str, found: dict[str, Runs]) -> list[str]:
    """Return the reasons of the first run of each net that was not promoted."""
    lines = []
    for runs in found.values():
        held = [run for run in runs.values() if run["verdict"] != "PROMOTE"]
        if held:
            net = f", net of `{held[0]['net']}`" if held[0]["net"] != name else ""
            reasons = "; ".join(held[0]["reasons"])
            lines.append(f"- `{name}`{net}, {len(held)} of {len(runs)} runs not promoted; the first: {reasons}.")
    return lines


COLUMNS = "task | metric | published | net of the notes | our net | baseline | best simple rival | seeds | gate"
HEAD = (f"| {COLUMNS} | seconds | measured | |", "|---|---|--:|--:|--:|--:|---|--:|---|--:|---|---|")

if __name__ == "__main__":
    main()
