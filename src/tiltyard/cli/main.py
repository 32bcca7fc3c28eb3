"""The command line interface, built with click: the command group, error messages and exit statuses.

Commands import heavy libraries themselves when they run, so that `tiltyard --help` is fast.
"""

from __future__ import annotations

import os
import sys

import click

from tiltyard.cli.commands import (
    data,
    experiments,
    explain,
    guide,
    maintenance,
    monitoring,
    pipeline,
    project,
    recommending,
    registry,
    serving,
    tasks,
)
from tiltyard.cli.commands._common import JSON_ASKED, exit_with, print_error
from tiltyard.cli.sections import SectionedGroup
from tiltyard.errors import TiltyardError, from_os_error
from tiltyard.pipelines.fork_client import run_in_fork
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


@click.group(cls=SectionedGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tiltyard")
@click.option("--root", metavar="FOLDER", type=click.Path(file_okay=False), help="The project, if not where you are.")
@click.option("--no-color", is_flag=True, help="Print without colours, as NO_COLOR=1 does.")
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors only, no progress.")
@click.option("-v", "--verbose", is_flag=True, help="Print also versions, logs of stages and libraries, and durations.")
@click.pass_context
def cli(context: click.Context, root: str | None, no_color: bool, quiet: bool, verbose: bool) -> None:
    r"""Tiltyard trains, evaluates and serves Keras models. A challenger replaces the champion only if it wins.

    \b
    tiltyard run                  run the pipeline for all tasks, from source to packaged champion
    tiltyard serve                serve the champions on http://localhost:3000
    tiltyard predict iris --json '[{"sepal_length": 5.1, ...}]'
    tiltyard history iris         every verdict on a task, with reasons

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage, 3 HOLD or REJECT (run, promote, quantize), 130 interrupted.
    With --json an error is JSON, too, on stderr.
    """
    JSON_ASKED.set(False)
    if quiet and verbose:
        raise click.UsageError("expected one of --quiet and --verbose; received both")
    flags = {"NO_COLOR": no_color, progress.QUIET: quiet, progress.VERBOSE: verbose}
    os.environ.update({name: "1" for name, asked in flags.items() if asked})
    if root:
        os.environ["TILTYARD_ROOT"] = root
    if verbose:
        from tiltyard.cli.verbose import begin

        begin(context)


@cli.result_callback()
def _finish(_: object, **_options: object) -> None:
    """Exit with 1 if one of several tasks failed; its error was printed when it did."""
    exit_with(0)


GROUPS = (
    project,
    tasks,
    guide,
    pipeline,
    experiments,
    serving,
    recommending,
    monitoring,
    registry,
    explain,
    data,
    maintenance,
)
for command in [cli, *(command for group in GROUPS for command in group.COMMANDS)]:
    command.help = (command.help or "").replace(r"\b", "\b")  # tells click not to rewrap the paragraph
    if command is not cli:
        cli.add_command(command)
