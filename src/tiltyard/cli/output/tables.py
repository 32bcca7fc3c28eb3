"""Tables and messages that commands print: coloured on a terminal, plain text elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tiltyard.runtime import progress

COLOURS = {
    "PROMOTE": "bold green",
    "HOLD": "yellow",
    "REJECT": "red",
    "ROLLBACK": "magenta",
    "APPROVE": "cyan",
    "CHALLENGE": "cyan",
    "END": "dim",
    "OPERATE": "cyan",
    "stopped": "bold red",
    "ok": "green",
    "missing": "yellow",
    "critical": "bold red",
    "warning": "yellow",
    "note": "dim",
}
FULL_WIDTH = 110  # characters that all columns of a run's results need
NOT_RECORDED = "its values were not recorded"
FILE_WIDTH = 200  # characters of a line in a file or a pipe, which has no width of its own


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table: numbers are aligned to the right, None is a dash."""
    console = _console()
    rows = [list(row) for row in rows]
    content = Table(box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        number = any(isinstance(row[index], int | float) for row in rows)
        content.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        content.add_row(*map(_cell, row))
    console.print(content)


def _console() -> Console:
    console = progress.console()
    return console if console.is_terminal else progress.console(width=FILE_WIDTH)


def print_checks(outcomes: Sequence[dict[str, Any]]) -> None:
    """Print the result of each check; nothing if none ran. Old ledgers hold no text for a check that passed."""
    if not outcomes:
        return
    names = ("observed", "limit", "rows")
    print_table(
        ["check", "outcome", *names, "why"],
        [
            [
                check["code"],
                check["state"],
                *(check.get(name) for name in names),
                check["text"] or f"{check['title']}; {NOT_RECORDED}",
            ]
            for check in outcomes
        ],
    )


def print_outcomes(rows: Sequence[Any], *, smoke: bool = False) -> None:
    """Print the results of a run by task, then the next commands; a smoke run leaves no outputs to look at."""
    names = ["task", "problem", "metric", "baseline", "value", "verdict", "version", "seconds"]
    if _console().width < FULL_WIDTH:
        names = [name for name in names if name not in ("problem", "version")]
    print_table(names, [[getattr(row, name) for name in names] for row in rows])
    for row in rows:
        for reason in [row.error] if row.error else row.reasons if row.verdict != "PROMOTE" else []:
            click.echo(f"{row.task}: {reason}")
        if row.stand_in:
            click.echo(f"{row.task}: {stand_in_note(row.stand_in).strip()}")
        for line in row.log:
            click.echo(click.style(f"  | {line}", dim=True))
        for line in row.next.fit:
            click.echo(f"{row.task}: {line}")
        print_next_steps(row.next.commands)
        if row.hint:
            print_next_steps({row.hint: ""})
    good = [row.task for row in rows if row.ok]
    if good and smoke:
        print_next_steps({f"tiltyard run {good[0]}": "the real run: values of a smoke run mean nothing"})
    elif good:
        click.echo()
        print_next_steps(
            {
                **_activation(),
                "tiltyard serve": "serve predictions on http://localhost:3000",
                f"tiltyard history {good[0]}": "all verdicts and their reasons",
                "tiltyard report --open": "metrics and plots in the browser",
            }
        )


def stand_in_note(reason: str | None) -> str:
    """Return the warning that data are generated, as a line of its own; empty for real data."""
    text = f"stand-in: {reason}; figures on it prove nothing about the real data"
    return "\n  " + click.style(text, fg="yellow") if reason else ""


def training_summary(record: Any) -> str:
    """Return a summary of a training and the diagnosis of its fit."""
    summary = (
        f"{record['epochs']} epochs, best {record['best_epoch']}, {record['parameters']} parameters, "
        f"ONNX within {record['parity']:.1e} of Keras"
    )
    if not (diagnosis := record.get("diagnosis")):  # samples are compared with no target
        return summary
    return "\n  ".join([summary, f"{diagnosis['verdict']}: {diagnosis['reason']}", *diagnosis["findings"]])


def print_learning_rates(task: str, result: Any) -> None:
    """Print the loss for every tenth learning rate, then the suggested learning rate."""
    rows = result["rows"]
    print_table(["learning rate", "loss"], [(f"{row['rate']:.1e}", f"{row['loss']:.4g}") for row in rows[::10]])
    click.echo(
        f"{task}: the loss falls fastest at {result['suggested']:g}; train.learning_rate is {result['set']:g}; "
        f"plot: out/{task}/range_test/range_test.png"
    )


def print_draft(draft: Any, task: str) -> None:
    """Print the profile of each column of a drafted task, and the next commands."""
    for repair in draft.repairs:
        click.echo(click.style("repaired: ", fg="yellow") + repair)
    for note in draft.notes:
        click.echo(click.style("note: ", fg="cyan") + note)
    names = ("name", "kind", "missing", "unique", "examples", "reason")
    rows = [[getattr(trait, name) for name in names] for trait in draft.traits]
    print_table(["column", "kind", "missing", "unique", "examples", "left out because"], rows)
    click.echo(f"\n{draft.rows:,} rows, {draft.problem}; written: {draft.path}")
    print_next_steps(
        {
            f"read {draft.path}": "correct what was guessed wrong",
            f"tiltyard fetch {task}; tiltyard check {task}": "look for problems in the data",
            f"tiltyard run {task}": "train, evaluate and judge a model",
        }
    )


def print_removal(planned: Any, *, err: bool = False) -> None:
    """Print which paths are removed and which are kept."""
    for word, paths in (("removes", planned.removed), ("keeps", planned.kept)):
        for index, path in enumerate(paths):
            click.echo(f"{'' if index else word:<8} {path}", err=err)


def print_data_versions(rows: list[dict[str, Any]]) -> None:
    """Print the versions of raw data; an arrow marks the one in data/raw."""
    joined = any("changed" in row for row in rows)
    names = ["", "version", "fetched (UTC)", "rows", "bytes", "git commit", *(["changed files"] if joined else [])]
    print_table(names, [[*_version(row), ", ".join(row.get("changed", ()))][: len(names)] for row in rows])
    if not any(row["here"] for row in rows):
        click.echo("data/raw holds none of these versions" if rows else "no version yet; next: tiltyard fetch")


def print_diff(diff: Any) -> None:
    """Print the differences between two versions of raw data."""
    old, new = diff.versions
    click.echo(f"{diff.task}: {old} → {new}: {diff.rows[0]:,} → {diff.rows[1]:,} rows", nl=False)
    click.echo(f", matched by {diff.key}" if diff.key else ", matched by content")
    if diff.files:
        click.echo(f"  files changed: {', '.join(diff.files)}")
    for word, names in (("added", diff.columns_added), ("removed", diff.columns_removed)):
        if names:
            click.echo(f"  columns {word}: {', '.join(names)}")
    for word in ("added", "removed", "changed"):
        if count := getattr(diff, word):
            first = ", ".join(str(value) for value in diff.examples[word])
            more = ", ..." if count > len(diff.examples[word]) else ""
            click.echo(f"  {count:,} rows {word}: {diff.key or 'row'} {first}{more}")
    for name, count in diff.cells.items():
        click.echo(f"    {name}: {count:,} cells")
    if diff.spread:
        names = list(dict.fromkeys(name for row in diff.spread for name in row))
        click.echo("  distributions that differ significantly:")
        print_table(names, [[row.get(name) for name in names] for row in diff.spread])
    if not (diff.added or diff.removed or diff.changed or diff.columns_added or diff.columns_removed):
        click.echo("  same content in another file" if old != new else "  no change")


def _version(row: dict[str, Any]) -> list[Any]:
    time = row["time"][:19].replace("T", " ")
    return [
        "▶" if row["here"] else " ",
        row["data"][:12],
        time,
        _format_count(row["rows"]),
        _format_count(row["bytes"]),
        row["commit"],
    ]


def _format_count(count: int | None) -> str | None:
    return None if count is None else f"{count:,}"


def print_findings(result: Any) -> None:
    """Print the findings of `tiltyard check`, each with a hint."""
    sample = f", {result.rows_checked:,} of them sampled" if result.rows_checked < result.rows else ""
    counts = {
        word: sum(finding.severity == word for finding in result.findings) for word in ("critical", "warning", "note")
    }
    summary = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "no findings"
    click.echo(f"{result.task}: {result.rows:,} rows{sample}: {summary}")
    console = _console()
    for finding in result.findings:
        head = Text.assemble((f"  {finding.severity:<9}", COLOURS[finding.severity]), (f"{finding.code} ", "bold"))
        console.print(head.append(f"{finding.column}: {finding.text}" if finding.column else finding.text))
        console.print(Text(f"{'':11}next: {finding.hint}", style="dim"))


def print_next_steps(commands: dict[str, str]) -> None:
    """Print the next commands to type, each with its purpose."""
    width = max(map(len, commands), default=0)
    for index, (command, purpose) in enumerate(commands.items()):
        head = "      " if index else click.style("next: ", fg="cyan", bold=True)
        click.echo(f"{head}{command:<{width}}  {purpose}".rstrip())


def _activation() -> dict[str, str]:
    """Return the command that activates the virtual environment, unless it is active: `make` works without."""
    if sys.prefix == sys.base_prefix or "VIRTUAL_ENV" in os.environ:
        return {}
    return {f". {os.path.relpath(Path(sys.prefix) / 'bin' / 'activate')}": "once in each shell"}


def _cell(value: Any) -> Text:
    if value is None or value == "":
        return Text("-", style="dim")
    if isinstance(value, float):
        return Text(f"{value:.4g}")
    text = str(value)
    return Text(text, style=COLOURS.get(text.split(" ", maxsplit=1)[0], ""))
