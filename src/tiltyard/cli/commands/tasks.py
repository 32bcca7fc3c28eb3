"""The commands that begin: a task from a table, what its data hold, and what this machine and a task file need."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tiltyard.cli.commands._common import JSON, TASK, TASKS, find, print_json, run_named

PROBLEMS = ["regression", "classification", "forecasting"]


@click.command()
@TASK
@click.option("--data", required=True, metavar="FILE", help="A table, packed or not; or a folder or zip of pictures.")
@click.option("--target", default="", metavar="COLUMN", help="What is to be predicted; pictures need none.")
@click.option("--problem", type=click.Choice(PROBLEMS), help="If the guess would be wrong.")
@click.option(
    "--time", metavar="COLUMN", help="Rows follow each other by this column: forecast, or test on the latest."
)
@click.option("--group", metavar="COLUMN", help="Rows of one group stay together; in a forecast they are one series.")
@click.option("--drop", multiple=True, metavar="COLUMN", help="Leave a column out; may be repeated.")
@click.option("--force", is_flag=True, help="Overwrite a task file that is there.")
@JSON
def init(task: str, force: bool, as_json: bool, **wish: Any) -> None:
    r"""Look at a table or pictures and draft a task file: columns, bounds, what to leave out and why, model, gate.

    \b
    tiltyard init churn --data customers.csv --target Exited
    tiltyard init pets --data pets.zip          class folders, or a table of labels beside the pictures
    """
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.config.draft.draft import DraftRequest
    from tiltyard.config.draft.draft import draft_task as verb

    drafted = verb(find(), task, DraftRequest(**wish), force=force)
    if as_json:
        print_json(asdict(drafted))
        return
    tables.drafted(drafted, task)


@click.command()
@TASK
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--all", "everything", is_flag=True, help="Also its ledger, packages, seal and raw data.")
@JSON
def remove(task: str, yes: bool, everything: bool, as_json: bool) -> None:
    r"""Remove a task: its file, its entry in params.yaml, its outputs, and that it is served.

    What proves earlier figures stays, unless --all is given: the ledger, packages, the seal of the test rows, raw data
    and their versions. A task whose file was deleted by hand is removed in the same way.

    \b
    tiltyard remove churn           says what goes and what stays, and asks
    tiltyard remove churn --yes     does not ask
    """
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.registry.remove import plan
    from tiltyard.registry.remove import remove as verb

    workspace = find()
    planned = plan(workspace, task, everything=everything)
    if not yes:
        tables.removal(planned, err=True)
        if not _confirmed(f"remove {task}?"):
            click.echo("nothing was removed", err=True)
            sys.exit(1)
    done = verb(workspace, task, everything=everything)
    if as_json:
        print_json(asdict(done))
    else:
        click.echo(f"{task}: removed")


def _confirmed(question: str) -> bool:
    """Ask; where nobody can answer, an option has to."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("--yes: expected where nobody can be asked") from None


@click.command()
@TASKS
@click.option("--against", metavar="FILE", type=click.Path(), help="New data for one task; they need no target.")
@JSON
def check(tasks: tuple[str, ...], against: str | None, as_json: bool) -> None:
    r"""Look for leaks, ids, duplicates, skew and other trouble in raw data, before any training; worst first.

    \b
    tiltyard check churn                        raw data as fetched; exits with 1 if something is critical
    tiltyard check churn --against march.csv    new rows, held against the training rows
    """
    from tiltyard.cli.output import tables
    from tiltyard.validation.check import check as verb

    if against and len(tasks) != 1:
        raise click.UsageError("expected one task with --against")
    results = dict(run_named(tasks, lambda w, t: verb(w, t, Path(against) if against else None)))
    if as_json:
        print_json({name: checked.to_json() for name, checked in results.items()})
    for checked in [] if as_json else results.values():
        tables.checked(checked)
    if any(checked.critical for checked in results.values()):
        sys.exit(1)


@click.command()
@JSON
def doctor(as_json: bool) -> None:
    """Report what this machine has, what it lacks, and what to do about it."""
    from dataclasses import asdict

    from tiltyard.cli.commands._doctor import doctor as verb
    from tiltyard.cli.output import tables

    findings = verb(find())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [(f.name, "ok" if f.ok else "missing", f.found, f.hint) for f in findings]
        tables.table(["what", "", "found", "to do"], rows)


@click.command()
def schema() -> None:
    r"""Print the JSON Schema of a task file.

    \b
    tiltyard schema > tasks/schema.json     what the first line of every task file points to
    """
    from tiltyard.config import loader

    print_json(loader.json_schema())


COMMANDS = [init, check, remove, doctor, schema]
