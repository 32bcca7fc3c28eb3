"""The commands that compare many trainings: which settings are best, and which differ beyond luck."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from tiltyard.cli.commands._common import JSON, TASK, find, one_reading, print_json

JOBS = click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Trainings at once.")


@click.command()
@TASK
@click.option(
    "--trials", default=20, show_default=True, type=click.IntRange(1), help="In all, also over several calls."
)
@JOBS
@click.option("--apply", is_flag=True, help="Write the best values into the task file.")
@JSON
def search(task: str, trials: int, jobs: int, apply: bool, as_json: bool) -> None:
    r"""Try values from the ranges under `search:` of the task file; what is best on the validation rows is printed.

    \b
    tiltyard search digits --trials 20 --jobs 2    killed and started again, it goes on where it was
    tiltyard search digits --trials 40 --apply     twenty more, then the best into tasks/digits.yaml
    """
    from tiltyard.cli.output import experiments
    from tiltyard.config import edit
    from tiltyard.experiments.search import search as verb

    result = one_reading(task, lambda w, t: verb(w, t, trials, jobs, lambda text: click.echo(text, err=True)))
    if as_json:
        print_json(result)
    else:
        experiments.search(result)
    if apply:
        path = edit.set_values(find(), task, result["best"]["values"])
        click.echo(f"written: tasks/{path.name}; next: tiltyard run {task}", err=True)


@click.command()
@click.argument("task", metavar="TASK|FILE")
@click.option("--vary", multiple=True, metavar="KEY=VALUE,...", help="Try these values; several keys make a grid.")
@click.option("--set", "fixed", multiple=True, metavar="KEY=VALUE", help="The same in all variants.")
@click.option("--repeat", type=click.IntRange(2), help="Seeds a variant; 5 if a file says nothing else.")
@click.option("--rows", type=click.IntRange(10), help="Training rows to use; of validation rows, their share or 1,000.")
@JOBS
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), help="Copy table and pictures there.")
@JSON
def study(task: str, jobs: int, into: Path | None, as_json: bool, **wish: Any) -> None:
    r"""Train variants of a task with several seeds, and say which differ on validation rows beyond luck.

    \b
    tiltyard study iris --vary train.optimizer=sgd,adam,rmsprop --repeat 5
    tiltyard study studies/optimizers.yaml --jobs 2 --into docs/studies
    """
    from tiltyard.cli.output import experiments
    from tiltyard.experiments import study as verb
    from tiltyard.experiments import study_plan

    name, planned = study_plan.from_cli(task, **wish)
    tell = functools.partial(click.echo, err=True)
    result = one_reading(planned.task, lambda w, _: verb.study(w, name, planned, jobs, tell))
    if into:
        verb.copy(find(), result, into)
    if as_json:
        print_json(result)
    else:
        experiments.study(result)


COMMANDS = [search, study]
