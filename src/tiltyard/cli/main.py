"""The command line: one command a verb; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import sys

import click

from tiltyard import progress
from tiltyard.cli.commands import data, experiments, explain, monitoring, pipeline, registry, serving, tasks
from tiltyard.cli.commands._common import complain, end
from tiltyard.errors import TiltyardError, of_disk
from tiltyard.processes import as_stage


def main() -> None:
    """Run a command; a user's mistake ends in a sentence and a hint, never in a traceback."""
    try:
        with as_stage():
            _run()
    except TiltyardError as error:
        complain(error)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)


def _run() -> None:
    """Run a command; a disk that is full or must not be written is no fault of the program."""
    try:
        cli(standalone_mode=False, color=False if progress.plain() else None)
    except OSError as error:
        if told := of_disk(error):
            raise told from None
        raise


class Ordered(click.Group):
    """Commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names as they were added."""
        return list(self.commands)


@click.group(cls=Ordered, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tiltyard")
def cli() -> None:
    r"""Tiltyard takes data to a served Keras model; a challenger replaces the champion only when it wins.

    \b
    tiltyard run                  all tasks, from source to packaged champion
    tiltyard serve                the champions, on http://localhost:3000
    tiltyard predict iris --json '[{"sepal_length": 5.1, ...}]'
    tiltyard history iris         every verdict about a task, with its reasons

    \b
    Exit status: 0 done, 1 an error, 2 a command that cannot be meant, 3 HOLD, 4 REJECT (run and promote),
    130 interrupted.
    """


@cli.result_callback()
def _finish(_: object) -> None:
    """End with 1 if one task among several failed, which was said when it did."""
    end(0)


GROUPS = (tasks, pipeline, experiments, serving, monitoring, registry, explain, data)
for command in [cli, *(command for group in GROUPS for command in group.COMMANDS)]:
    command.help = (command.help or "").replace(r"\b", "\b")  # click's mark of lines that stay as they are
    if command is not cli:
        cli.add_command(command)
