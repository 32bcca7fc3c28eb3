"""The command line: one command a verb; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tiltyard.errors import TiltyardError
from tiltyard.quiet import silence
from tiltyard.stage import inside
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from tiltyard.task import Task

TASKS = click.argument("tasks", nargs=-1, metavar="[TASK]...")
TASK = click.argument("task")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def main() -> None:
    """Run a command; a user's mistake ends in a sentence and a hint, never in a traceback."""
    try:
        with inside():
            cli(standalone_mode=False)
    except TiltyardError as error:
        _complain(error)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)


def _complain(error: TiltyardError) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True)
    if error.hint:
        click.echo(click.style("next:  ", fg="cyan", bold=True) + error.hint, err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tiltyard")
def cli() -> None:
    r"""Tiltyard takes data to a served Keras model; a challenger replaces the champion only when it wins.

    \b
    tiltyard run                  all tasks, from source to packaged champion
    tiltyard serve                the champions, on http://localhost:3000
    tiltyard predict iris --json '[{"sepal_length": 5.1, ...}]'
    tiltyard history iris         every verdict about a task, with its reasons
    """


def _workspace() -> Workspace:
    workspace = Workspace.find()
    silence(workspace)
    return workspace


def _each(tasks: tuple[str, ...], verb: Callable[[Workspace, Task], Any]) -> list[Any]:
    """Run a verb for the named tasks, or for all; every task file is read before anything runs."""
    from tiltyard import task_file

    workspace = _workspace()
    loaded = [task_file.load(workspace, name) for name in tasks or workspace.tasks()]
    return [verb(workspace, task) for task in loaded]


def _print_json(content: Any) -> None:
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


@cli.command()
@TASKS
@click.option("--force", is_flag=True, help="Overwrite raw data that was edited by hand.")
def fetch(tasks: tuple[str, ...], force: bool) -> None:
    """Get raw data into data/raw, version it with DVC and push it to the default remote."""
    from tiltyard.fetch import fetch as verb

    for name, fetched in zip(
        tasks or Workspace.find().tasks(), _each(tasks, lambda w, t: verb(w, t, force=force)), strict=True
    ):
        kept = "; edited by hand, and kept: --force fetches it again" if fetched.state == "edited" else ""
        click.echo(f"{name}: raw data {fetched.data[:12]} ({fetched.state}{kept})")


@cli.command()
@TASKS
def validate(tasks: tuple[str, ...]) -> None:
    """Hold raw data against its expectations; a critical failure stops the road."""
    from tiltyard.validate import validate as verb

    _each(tasks, verb)


@cli.command()
@TASKS
@click.option("--reseal", is_flag=True, help="Accept another test part for the same data; earlier figures end here.")
def prepare(tasks: tuple[str, ...], reseal: bool) -> None:
    """Split the rows, seal the test part, fit the encoder on the training rows."""
    from tiltyard.prepare import prepare as verb

    for name, facts in zip(
        tasks or Workspace.find().tasks(), _each(tasks, lambda w, t: verb(w, t, reseal=reseal)), strict=True
    ):
        click.echo(f"{name}: " + ", ".join(f"{count} {part}" for part, count in facts["rows"].items()) + " rows")


@cli.command()
@TASKS
def train(tasks: tuple[str, ...]) -> None:
    """Train the Keras model and export it to ONNX; killed and started again, it goes on where it was."""
    from tiltyard.train import train as verb

    for record in _each(tasks, verb):
        click.echo(
            f"{record['epochs']} epochs, best {record['best_epoch']}, {record['parameters']} parameters, "
            f"ONNX within {record['parity']:.1e} of Keras"
        )


@cli.command()
@TASKS
@JSON
def evaluate(tasks: tuple[str, ...], as_json: bool) -> None:
    """Measure the exported model on the sealed test rows, beside an honest baseline."""
    from tiltyard.evaluate import evaluate as verb

    reports = _each(tasks, verb)
    if as_json:
        _print_json(reports)
    for report in [] if as_json else reports:
        name = report["metric"]
        click.echo(
            f"{report['task']}: {name} {report['metrics'][name]:.4g}, baseline {report['baseline'][name]:.4g}; "
            f"read out/{report['task']}/evaluate/report.html"
        )


@cli.command()
def schema() -> None:
    r"""Print the JSON Schema of a task file.

    \b
    tiltyard schema > tasks/schema.json     what the first line of every task file points to
    """
    from tiltyard import task_file

    _print_json(task_file.json_schema())
