"""The commands that look at what is in production and at what was decided, prove it, and go back."""

from __future__ import annotations

import sys

import click

from tiltyard.cli.commands._common import JSON, TASK, complain, find, print_json, run_one
from tiltyard.errors import TiltyardError


@click.command()
@JSON
def status(as_json: bool) -> None:
    """Show each task's champion and the last verdict about it."""
    from tiltyard.cli.output import tables
    from tiltyard.registry.queries import status as verb

    rows = verb(find())
    if as_json:
        print_json(rows)
    else:
        names = ("task", "version", "metric", "value", "since", "verdict", "decided")
        tables.table(names, [[row[name] for name in names] for row in rows])
        for row in rows:
            if row["mistake"]:
                complain(TiltyardError(row["mistake"], row["hint"]))


@click.command()
@TASK
@JSON
def history(task: str, as_json: bool) -> None:
    """Show every verdict about a task, with its reasons."""
    from tiltyard.cli.output import tables
    from tiltyard.registry.queries import history as verb

    decisions = run_one(task, verb)
    if as_json:
        print_json(decisions)
    else:
        names = ("time", "verdict", "version", "champion", "who")
        tables.table(
            [*names, "value", "why"],
            [[*(d[name] for name in names), d["metrics"].get(d["metric"]), "; ".join(d["reasons"])] for d in decisions],
        )


@click.command()
@TASK
@JSON
def rollback(task: str, as_json: bool) -> None:
    """Let the champion before this one serve again."""
    from tiltyard.registry.rollback import rollback as verb

    decision = run_one(task, verb)
    if as_json:
        print_json(decision.model_dump(mode="json"))
    else:
        click.echo(f"{task}: {decision.version} serves again, {decision.champion} no longer")


@click.command()
@TASK
@click.argument("version", required=False)
@JSON
def why(task: str, version: str | None, as_json: bool) -> None:
    r"""Show the decision about VERSION check by check; about the last one if none is named.

    \b
    tiltyard why iris               the last decision
    tiltyard why iris champion      or previous, challenger, or the beginning of a version
    """
    from tiltyard.cli.output import tables
    from tiltyard.registry.queries import why as verb

    found = run_one(task, lambda w, t: verb(w, t, version))
    if as_json:
        print_json(found)
        return
    against = f" against {found['champion']}" if found["champion"] else ""
    click.echo(f"{task}: {found['verdict']} {found['version']}{against}, by {found['who']} on {found['time']}")
    for reason in found["reasons"]:
        click.echo(f"  {reason}")
    if found["checks"]:
        tables.checks(found["checks"])


@click.command()
@TASK
@click.argument("first")
@click.argument("second")
@JSON
def compare(task: str, first: str, second: str, as_json: bool) -> None:
    r"""Let two versions answer the sealed rows, and say which is better by what.

    \b
    tiltyard compare iris challenger champion    what was trained last against what serves
    tiltyard compare iris 4113c5 9a0e12          by the beginnings of two versions
    """
    from tiltyard.cli.output import tables
    from tiltyard.registry.compare import compare as verb

    found = run_one(task, lambda w, t: verb(w, t, first, second))
    if as_json:
        print_json(found)
        return
    click.echo(f"{task}: {found['first']} against {found['second']} on {found['rows']} sealed rows")
    if found["first"] == found["second"]:
        click.echo(f"{first} and {second} are the same version, so that nothing differs")
    tables.table(
        ["metric", "first", "second", "gain", "low", "high", "the first is"],
        [list(row.values()) for row in found["metrics"]],
    )


@click.command()
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option("--against", metavar="REF", help="A commit, branch or tag of git: all that it holds must still be there.")
@JSON
def verify(tasks: tuple[str, ...], against: str | None, as_json: bool) -> None:
    r"""Hash and measure champions and all they were made of again; ends with 1 if anything is not as it was.

    \b
    tiltyard verify iris                       ledger, signatures, package, challenge, data, code, figures
    tiltyard verify --against origin/main      all tasks, also against what git held
    """
    from tiltyard.cli.output import tables
    from tiltyard.registry.verify import merge_lines, verify_tasks
    from tiltyard.registry.verify import verify as verb

    if len(tasks) == 1 and not against:
        rows = [{"task": tasks[0], **row} for row in run_one(tasks[0], verb)]
    else:
        rows = [*verify_tasks(find(), tasks, against)]
    if as_json:
        print_json(rows)
    else:
        names = ["what", "state", "text"] if len(tasks) == 1 else ["task", "what", "state", "text"]
        tables.table([*names[:-1], "found"], [[row[name] for name in names] for row in merge_lines(rows)])
    sys.exit(any(row["fault"] for row in rows))


@click.command()
@TASK
@click.argument("version", default="challenger")
@JSON
def approve(task: str, version: str, as_json: bool) -> None:
    r"""Approve VERSION for promotion, where gate.approval asks for it. All other checks still apply.

    \b
    tiltyard approve iris           what was trained last; then: tiltyard promote iris
    tiltyard approve iris 4113c5    the beginning of a version will do
    """
    from tiltyard.registry.approve import approve as verb

    decision = run_one(task, lambda w, t: verb(w, t, version))
    if as_json:
        print_json(decision.model_dump(mode="json"))
    else:
        click.echo(f"{task}: {decision.version} {decision.reasons[0]} on {decision.time}")


COMMANDS = [status, history, why, compare, verify, approve, rollback]
