"""Output of `tiltyard watch` and `tiltyard status --all`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from tiltyard.cli.commands._common import print_error
from tiltyard.cli.output.tables import print_table
from tiltyard.errors import TiltyardError
from tiltyard.operations.attention import TaskAttention
from tiltyard.operations.watcher import Look


def print_look(look: Look) -> None:
    """Print what a look at a task did, or why it did nothing, and what was told."""
    time = datetime.now(UTC).isoformat(timespec="seconds")[:19].replace("T", " ")
    if look.reason:
        blocked = f", but {look.blocked}" if look.blocked else ""
        click.echo(f"{time} {look.task}: {_shown(look.action)}: {look.reason}{blocked}")
    if look.result:
        click.echo(f"  {look.result}")
    for message in look.messages:
        click.echo(f"  {message.event}: {message.sentence}; type: {message.command}")
    for failure in look.undelivered:
        click.echo(f"  not told, tried again at the next look: {failure}", err=True)
    if look.error:
        print_error(TiltyardError(look.error, look.hint))


def _shown(action: str) -> str:
    return {"none": "nothing to do", "forget": "left to a person", "end": "end of the trial"}.get(action, action)


def print_attention(rows: list[TaskAttention], *, watched: bool) -> None:
    """Print what needs attention, first of all; then a line for each task."""
    found = [message for row in rows for message in row.messages]
    click.echo(f"{len(found)} to look at" if found else "nothing needs attention")
    for message in found:
        click.echo(f"  {click.style(message.event, bold=True)} {message.task}: {message.sentence}")
        click.echo(f"    type: {message.command}")
    click.echo()
    heads = ("task", "champion", "now", "budget spent")
    print_table(heads, [[row.task, row.champion or None, row.doing, row.budget] for row in rows])
    if any(row.budget for row in rows) and not watched:
        click.echo("no process watches this project; next: tiltyard watch")
