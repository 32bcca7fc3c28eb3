"""Output of `tiltyard watch`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from tiltyard.cli.commands._common import print_error
from tiltyard.errors import TiltyardError
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
