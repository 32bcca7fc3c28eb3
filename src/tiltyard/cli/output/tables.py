"""What commands print at the end: coloured where there is a terminal, plain text where there is none."""

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

from tiltyard import progress

COLOURS = {
    "PROMOTE": "bold green",
    "HOLD": "yellow",
    "REJECT": "red",
    "ROLLBACK": "magenta",
    "APPROVE": "cyan",
    "CHALLENGE": "cyan",
    "END": "dim",
    "stopped": "bold red",
    "ok": "green",
    "missing": "yellow",
    "critical": "bold red",
    "warning": "yellow",
    "note": "dim",
}
ROOMY = 110  # columns that all of an outcome needs
UNSAID = "what it saw was not recorded"
WIDE = 200  # where output is no terminal, nothing is folded for a width that nobody has


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under headings; numbers stand right, what is None is a dash."""
    console = _console()
    rows = [list(row) for row in rows]
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for place, column in enumerate(columns):
        number = any(isinstance(row[place], int | float) for row in rows)
        drawn.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*map(_cell, row))
    console.print(drawn)


def _console() -> Console:
    console = progress.console()
    return console if console.is_terminal else progress.console(width=WIDE)


def checks(outcomes: Sequence[dict[str, Any]]) -> None:
    """Print what each check saw; one of an old ledger that passed said nothing."""
    names = ("observed", "limit", "rows")
    table(
        ["check", "outcome", *names, "why"],
        [
            [one["code"], one["state"], *(one.get(name) for name in names), one["text"] or f"{one['title']}; {UNSAID}"]
            for one in outcomes
        ],
    )


def outcome(rows: Sequence[Any], *, smoke: bool = False) -> None:
    """Print what a run did, task by task, and what can be done next: a smoke run leaves nothing to look at."""
    names = ["task", "problem", "metric", "baseline", "value", "verdict", "version", "seconds"]
    if _console().width < ROOMY:
        names = [name for name in names if name not in ("problem", "version")]
    table(names, [[getattr(row, name) for name in names] for row in rows])
    for row in rows:
        for reason in [row.error] if row.error else row.reasons if row.verdict != "PROMOTE" else []:
            click.echo(f"{row.task}: {reason}")
        for line in row.log:
            click.echo(click.style(f"  | {line}", dim=True))
        for line in row.next.fit:
            click.echo(f"{row.task}: {line}")
        steps(row.next.commands)
        if row.hint:
            steps({row.hint: ""})
    good = [row.task for row in rows if row.ok]
    if good and smoke:
        steps({f"tiltyard run {good[0]}": "with all rows and epochs: the figures above mean nothing"})
    elif good:
        click.echo()
        steps(
            {
                **_activation(),
                "tiltyard serve": "answer on http://localhost:3000",
                f"tiltyard history {good[0]}": "what was decided, and why",
                "tiltyard report --open": "the figures behind it, as a site",
            }
        )


def training(record: Any) -> str:
    """Return how a training went, and how well the model fits."""
    found = record["diagnosis"]
    told = (
        f"{record['epochs']} epochs, best {record['best_epoch']}, {record['parameters']} parameters, "
        f"ONNX within {record['parity']:.1e} of Keras\n  {found['verdict']}: {found['reason']}"
    )
    return "\n  ".join([told, *found["findings"]])


def rates(task: str, result: Any) -> None:
    """Print the loss at one rate in ten, then the rate that is suggested."""
    rows = result["rows"]
    table(["rate", "loss"], [(f"{row['rate']:.1e}", f"{row['loss']:.4g}") for row in rows[::10]])
    click.echo(
        f"{task}: the loss falls fastest at {result['suggested']:g}; train.learning_rate is {result['set']:g}; "
        f"see out/{task}/range_test/range_test.png"
    )


def drafted(draft: Any, task: str) -> None:
    """Print what was seen in a table, and what became of each column."""
    for repair in draft.repairs:
        click.echo(click.style("read with a repair: ", fg="yellow") + repair)
    names = ("name", "kind", "missing", "unique", "seen", "reason")
    rows = [[getattr(trait, name) for name in names] for trait in draft.traits]
    table(["column", "kind", "missing", "unique", "seen", "left out because"], rows)
    click.echo(f"\n{draft.rows:,} rows, {draft.problem}; written: {draft.path}")
    steps(
        {
            f"read {draft.path}": "change what it got wrong",
            f"tiltyard fetch {task}; tiltyard check {task}": "see what is odd about the data",
            f"tiltyard run {task}": "take it down the road",
        }
    )


def removal(planned: Any, *, err: bool = False) -> None:
    """Print what would go and what would stay."""
    for word, paths in (("removes", planned.removed), ("keeps", planned.kept)):
        for place, path in enumerate(paths):
            click.echo(f"{'' if place else word:<8} {path}", err=err)


def versions(rows: list[dict[str, Any]]) -> None:
    """Print versions of data, a line each; an arrow points to the one that lies in data/raw."""
    table(["", "version", "fetched (UTC)", "rows", "bytes", "git commit"], [_version(row) for row in rows])
    if not any(row["here"] for row in rows):
        click.echo("what lies in data/raw is none of them" if rows else "none yet; next: tiltyard fetch")


def change(found: Any) -> None:
    """Print what changed between two versions of data."""
    old, new = found.versions
    click.echo(f"{found.task}: {old} → {new}: {found.rows[0]:,} → {found.rows[1]:,} rows", nl=False)
    click.echo(f", matched by {found.key}" if found.key else ", matched by their content")
    for word, names in (("added", found.columns_added), ("removed", found.columns_removed)):
        if names:
            click.echo(f"  columns {word}: {', '.join(names)}")
    for word in ("added", "removed", "changed"):
        if count := getattr(found, word):
            first = ", ".join(str(value) for value in found.examples[word])
            more = ", ..." if count > len(found.examples[word]) else ""
            click.echo(f"  {count:,} rows {word}: {found.key or 'row'} {first}{more}")
    for name, count in found.cells.items():
        click.echo(f"    {name}: {count:,} cells")
    if found.spread:
        names = list(dict.fromkeys(name for row in found.spread for name in row))
        click.echo("  spread otherwise, beyond chance:")
        table(names, [[row.get(name) for name in names] for row in found.spread])
    if not (found.added or found.removed or found.changed or found.columns_added or found.columns_removed):
        click.echo("  nothing changed but the file" if old != new else "  nothing changed")


def _version(row: dict[str, Any]) -> list[Any]:
    time = row["time"][:19].replace("T", " ")
    return ["▶" if row["here"] else " ", row["data"][:12], time, _many(row["rows"]), _many(row["bytes"]), row["commit"]]


def _many(count: int | None) -> str | None:
    return None if count is None else f"{count:,}"


def checked(result: Any) -> None:
    """Print findings a paragraph each: what was found, then what to do about it."""
    part = f", {result.looked_at:,} of them looked at" if result.looked_at < result.rows else ""
    counts = {
        word: sum(found.severity == word for found in result.findings) for word in ("critical", "warning", "note")
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing found"
    click.echo(f"{result.task}: {result.rows:,} rows{part}: {told}")
    console = _console()
    for found in result.findings:
        head = Text.assemble((f"  {found.severity:<9}", COLOURS[found.severity]), (f"{found.code} ", "bold"))
        console.print(head.append(f"{found.column}: {found.text}" if found.column else found.text))
        console.print(Text(f"{'':11}next: {found.hint}", style="dim"))


def steps(commands: dict[str, str]) -> None:
    """Print the next commands to type, each with what it is for."""
    width = max(map(len, commands), default=0)
    for place, (command, purpose) in enumerate(commands.items()):
        head = "      " if place else click.style("next: ", fg="cyan", bold=True)
        click.echo(f"{head}{command:<{width}}  {purpose}".rstrip())


def _activation() -> dict[str, str]:
    """Return the command that enters the environment, unless it is entered: `make` runs without."""
    if sys.prefix == sys.base_prefix or "VIRTUAL_ENV" in os.environ:
        return {}
    return {f". {os.path.relpath(Path(sys.prefix) / 'bin' / 'activate')}": "once a shell"}


def _cell(value: Any) -> Text:
    if value is None or value == "":
        return Text("-", style="dim")
    if isinstance(value, float):
        return Text(f"{value:.4g}")
    text = str(value)
    return Text(text, style=COLOURS.get(text.split(" ", maxsplit=1)[0], ""))
