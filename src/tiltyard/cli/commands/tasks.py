"""Commands to start with: `tiltyard init`, `check`, `remove`, `doctor` and `schema`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tiltyard.cli.commands._common import JSON, TASK, TASKS, confirmed, find_workspace, print_json, run_tasks
from tiltyard.errors import WorkspaceError
from tiltyard.workspace import Workspace

READ = ("delimiter", "decimal", "encoding", "sheet", "skip_rows", "skip_last", "skip_bad_rows")
PROBLEMS = ["regression", "classification", "multilabel", "forecasting", "recommendation", "anomaly", "clustering"]


@click.command()
@TASK
@click.option(
    "--data", required=True, metavar="FILE", help="A table, compressed or not; or a folder or zip file of images."
)
@click.option(
    "--target", multiple=True, metavar="COLUMN", help="The column to predict; repeatable for numbers; images need none."
)
@click.option("--problem", type=click.Choice(PROBLEMS), help="The kind of problem, if it would be guessed wrong.")
@click.option("--time", metavar="COLUMN", help="Order rows by this column: forecast it, or test on the latest rows.")
@click.option(
    "--group",
    metavar="COLUMN",
    help="Keep rows of one group in the same part of the split; in a forecast each group is a series.",
)
@click.option("--normal", multiple=True, metavar="LABEL", help="The label of normal rows, for anomalies; repeatable.")
@click.option("--separator", metavar="TEXT", help="What stands between labels, if a cell of the target holds several.")
@click.option("--user", metavar="COLUMN", help="Recommendation: who rates; the target is the rating.")
@click.option("--item", metavar="COLUMN", help="Recommendation: what is rated.")
@click.option("--join", "joined", multiple=True, metavar="FILE", help="A table whose columns are joined; repeatable.")
@click.option(
    "--on",
    multiple=True,
    metavar="KEY",
    help="The key of each --join: KEY, KEY=NAME_THERE, several with commas; latest:TIME takes the latest row before.",
)
@click.option("--drop", multiple=True, metavar="COLUMN", help="Leave a column out; repeatable.")
@click.option("--na", multiple=True, metavar="TEXT", help="A text that means a missing value, such as ?; repeatable.")
@click.option("--delimiter", metavar="CHARACTER", help="The character between two cells; \\t for a tab.")
@click.option("--decimal", type=click.Choice([".", ","]), help="The decimal separator.")
@click.option("--encoding", metavar="NAME", help="The encoding of the file, such as cp1252.")
@click.option("--sheet", metavar="NAME", help="The sheet of an Excel file.")
@click.option("--skip-rows", type=click.IntRange(1), metavar="N", help="Leave out lines above the header.")
@click.option("--skip-last", type=click.IntRange(1), metavar="N", help="Leave out rows at the end, such as totals.")
@click.option("--skip-bad-rows", is_flag=True, help="Leave out rows with too many or too few cells, and list them.")
@click.option("--force", is_flag=True, help="Overwrite an existing task file.")
@JSON
def init(task: str, force: bool, as_json: bool, target: tuple[str, ...], na: tuple[str, ...], **options: Any) -> None:
    r"""Draft a task file from a table or images.

    It names columns, types, bounds, model and gate, and says which columns are left out and why, and how cells were
    read: currencies, dates, texts and numbers that mean a missing value, titles and totals. Correct it in the file.

    \b
    tiltyard init churn --data customers.csv --target Exited
    tiltyard init boxes --data boxes.csv --target width --target height     several numbers at once
    tiltyard init sales --data sales.csv --target sold --join shops.csv --on shop=number
    tiltyard init films --data ratings.csv --target stars --user user --item film      recommendations
    tiltyard init faults --data machines.csv --problem anomaly --target state --normal ok
    tiltyard init groups --data customers.csv --problem clustering      without a target, or with labels to evaluate by
    tiltyard init pets --data pets.zip          a folder for each class, or a table of labels beside the images
    """
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.config.draft.draft import draft_task as action
    from tiltyard.config.draft.joins import requests
    from tiltyard.config.draft.reading import dialect_of
    from tiltyard.config.draft.request import DraftRequest

    read_options = {key: options.pop(key) for key in READ}
    options |= {"target": target[0] if target else "", "more_targets": target[1:]}
    joins = requests(options.pop("joined"), options.pop("on"))
    request = DraftRequest(**options, joins=joins, dialect=dialect_of(na, **read_options))
    drafted = action(_find_or_make_workspace(), task, request, force=force)
    if as_json:
        print_json(asdict(drafted))
        return
    tables.print_draft(drafted, task)


def _find_or_make_workspace() -> Workspace:
    """Return the project; if there is none, and a person can be asked, offer to make one of the working directory."""
    try:
        return find_workspace()
    except WorkspaceError:
        here = Path.cwd()
        if not (sys.stdin.isatty() and click.confirm(f"no project here: make one in {here}?", err=True)):
            raise
    from tiltyard.project.new import new

    new(here, example=False)
    return find_workspace()


@click.command()
@TASK
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--all", "everything", is_flag=True, help="Remove also its ledger, packages, seal and raw data.")
@JSON
def remove(task: str, yes: bool, everything: bool, as_json: bool) -> None:
    r"""Remove a task, but keep its ledger, packages and data.

    Removed are its file, its entry in params.yaml, its outputs and its champion pointer. The evidence for earlier
    metrics is kept unless --all is given: the ledger, packages, the seal of the test rows, raw data and their versions.
    A task whose file was deleted by hand can be removed, too.

    \b
    tiltyard remove churn           list what is removed and what is kept, then ask
    tiltyard remove churn --yes     do not ask
    """
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.registry.remove import plan
    from tiltyard.registry.remove import remove as action

    workspace = find_workspace()
    planned = plan(workspace, task, everything=everything)
    if not yes:
        tables.print_removal(planned, err=True)
        if not confirmed(f"remove {task}?"):
            click.echo("nothing was removed", err=True)
            sys.exit(1)
    removal = action(workspace, task, everything=everything)
    if as_json:
        print_json(asdict(removal))
    else:
        click.echo(f"{task}: removed")


@click.command()
@TASKS
@click.option("--against", metavar="FILE", type=click.Path(), help="New data for one task; the target may be missing.")
@JSON
def check(tasks: tuple[str, ...], against: str | None, as_json: bool) -> None:
    r"""Look for problems in raw data before training, worst first.

    It finds leakage, ids, duplicates, skew and others.

    \b
    tiltyard check churn                        raw data as fetched; exits with 1 on a critical finding
    tiltyard check churn --against march.csv    compare new rows with the training rows
    """
    from tiltyard.cli.output import tables
    from tiltyard.validation.check import check as action

    if against and len(tasks) != 1:
        raise click.UsageError("expected one task with --against")
    results = dict(run_tasks(tasks, lambda w, t: action(w, t, Path(against) if against else None)))
    if as_json:
        print_json({name: checked.to_json() for name, checked in results.items()})
    for checked in [] if as_json else results.values():
        tables.print_findings(checked)
    if any(checked.critical for checked in results.values()):
        sys.exit(1)


@click.command()
@JSON
def doctor(as_json: bool) -> None:
    """Check whether this machine has what Tiltyard needs. Print how to fix what is missing."""
    from dataclasses import asdict

    from tiltyard.cli.commands._doctor import doctor as action
    from tiltyard.cli.output import tables

    requirements = action(find_workspace())
    if as_json:
        print_json([asdict(requirement) for requirement in requirements])
    else:
        rows = [(f.name, "ok" if f.ok else "missing", f.found, f.hint) for f in requirements]
        tables.print_table(["what", "", "found", "to do"], rows)


@click.command()
def schema() -> None:
    r"""Print the JSON Schema of a task file.

    \b
    tiltyard schema > tasks/schema.json     the first line of every task file refers to it
    """
    from tiltyard.config import loader

    print_json(loader.json_schema())


COMMANDS = [init, check, remove, doctor, schema]
