"""The commands that compare many trainings: which settings are best, and which differ beyond luck."""

from __future__ import annotations

from typing import Any

import click

from tiltyard.command import JSON, TASK, find, one, print_json

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
    tiltyard search iris --trials 20 --jobs 2    killed and started again, it goes on where it was
    tiltyard search iris --trials 40 --apply     twenty more, then the best into tasks/iris.yaml
    """
    from tiltyard import amend, show_compared
    from tiltyard.search import search as verb

    result = one(task, lambda w, t: verb(w, t, trials, jobs, lambda text: click.echo(text, err=True)))
    if as_json:
        print_json(result)
    else:
        show_compared.search(result)
    if apply:
        path = amend.amend(find(), task, result["best"]["values"])
        click.echo(f"written: tasks/{path.name}; next: tiltyard run {task}", err=True)


COMMANDS: list[Any] = [search]
