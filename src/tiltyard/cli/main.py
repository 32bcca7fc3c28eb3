"""The command line interface, built with click: the command group, error messages and exit statuses.

Commands import heavy libraries themselves when they run, so that `tiltyard --help` is fast.
"""

from __future__ import annotations

import sys

import click

from pipelines.fork_client import run_in_fork
from tiltyard.cli.commands import (
    data,
    experiments,
    explain,
    monitoring,
    pipeline,
    recommending,
    registry,
    serving,
    tasks,
)
from tiltyard.cli.commands._common import exit_with, print_error
from tiltyard.errors import TiltyardError, from_os_error
from tiltyard.runtime import progress
from tiltyard.runtime.processes import as_stage


def main() -> None:
    """Run a command. Print errors of users as a message and a hint, without a traceback."""
    if (status := run_in_fork(sys.argv)) is not None:
        sys.exit(status)
    try:
        with as_stage():
            _run()
    except TiltyardError as error:
        print_error(error)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)


def _run() -> None:
    """Run a command. Report a full or read-only disk as an error of the user's, not as a bug."""
    try:
        cli(standalone_mode=False, color=False if progress.without_colour() else None)
    except OSError as error:
        if disk_error := from_os_error(error):
            raise disk_error from None
        raise


class OrderedGroup(click.Group):
    """A click group that lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in this order."""
        return list(self.commands)


@click.group(cls=OrderedGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tiltyard")
def cli() -> None:
    r"""Tiltyard trains, evaluates and serves Keras models. A challenger replaces the champion only if it wins.

    \b
    tiltyard run                  run the pipeline for all tasks, from source to packaged champion
    tiltyard serve                serve the champions on http://localhost:3000
    tiltyard predict iris --json '[{"sepal_length": 5.1, ...}]'
    tiltyard history iris         every verdict on a task, with reasons

    \b
    Exit status: 0 success, 1 error, 2 wrong usage, 3 HOLD, 4 REJECT (run and promote), 130 interrupted.
    """


@cli.result_callback()
def _finish(_: object) -> None:
    """Exit with 1 if one of several tasks failed; its error was printed when it did."""
    exit_with(0)


GROUPS = (tasks, pipeline, experiments, serving, recommending, monitoring, registry, explain, data)
for command in [cli, *(command for group in GROUPS for command in group.COMMANDS)]:
    command.help = (command.help or "").replace(r"\b", "\b")  # tells click not to rewrap the paragraph
    if command is not cli:
        cli.add_command(command)
