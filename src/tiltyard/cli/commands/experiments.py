"""The commands `tiltyard search` (hyperparameters) and `tiltyard study` (comparison of variants over seeds)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from tiltyard.cli.commands._common import JSON, TASK, find_workspace, print_json, run_task_read_locked

JOBS = click.option(
    "--jobs", default=1, show_default=True, type=click.IntRange(1), help="Trainings that run in parallel."
)


@click.command()
@TASK
@click.option(
    "--trials",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Total number of trials, earlier calls included.",
)
@JOBS
@click.option("--apply", is_flag=True, help="Write the best values into the task file.")
@JSON
def search(task: str, trials: int, jobs: int, apply: bool, as_json: bool) -> None:
    r"""Search hyperparameters over the ranges in the task file.

    The ranges are under `search:`; trials are compared on validation rows.

    \b
    tiltyard search digits --trials 20 --jobs 2    an interrupted search resumes
    tiltyard search digits --trials 40 --apply     20 more trials, then write the best into tasks/digits.yaml
    """
    from tiltyard.cli.output import experiments
    from tiltyard.config import edit
    from tiltyard.experiments.search import search as action

    result = run_task_read_locked(
        task, lambda w, t: action(w, t, trials, jobs, lambda text: click.echo(text, err=True))
    )
    if as_json:
        print_json(result)
    else:
        experiments.print_search(result)
    if apply:
        path = edit.set_values(find_workspace(), task, result["best"]["values"])
        click.echo(f"written: tasks/{path.name}; next: tiltyard run {task}", err=True)


@click.command()
@click.argument("task", metavar="TASK|FILE")
@click.option("--vary", multiple=True, metavar="KEY=VALUE,...", help="Values to try; several keys make a grid.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting for all variants.")
@click.option("--repeat", type=click.IntRange(2), help="Seeds for each variant; 5 if the file names no number.")
@click.option("--folds", type=click.IntRange(2, 50), help="Folds instead of seeds; chooses by mean and spread.")
@click.option(
    "--rows",
    type=click.IntRange(10),
    help="Training rows to use; validation rows are reduced in proportion, but not below 1,000.",
)
@JOBS
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), help="Copy the table and plots to this folder."
)
@JSON
def study(task: str, jobs: int, into: Path | None, as_json: bool, **options: Any) -> None:
    r"""Train variants of a task with several seeds and compare them.

    It tests which variants differ significantly on validation rows.

    \b
    tiltyard study iris --vary train.optimizer=sgd,adam,rmsprop --repeat 5
    tiltyard study studies/optimizers.yaml --jobs 2 --into docs/studies
    """
    from tiltyard.cli.output import experiments
    from tiltyard.experiments import study as action
    from tiltyard.experiments import study_plan

    name, planned = study_plan.from_cli(task, **options)
    print_progress = functools.partial(click.echo, err=True)
    result = run_task_read_locked(planned.task, lambda w, _: action.study(w, name, planned, jobs, print_progress))
    if into:
        action.copy(find_workspace(), result, into)
    if as_json:
        print_json(result)
    else:
        experiments.print_study(result)


COMMANDS = [search, study]
