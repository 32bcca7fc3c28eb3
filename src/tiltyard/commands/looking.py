"""The commands that look at what is in production, and go back."""

from __future__ import annotations

import click

from tiltyard.command import JSON, TASK, find, one, print_json


@click.command()
@JSON
def status(as_json: bool) -> None:
    """Show each task's champion and the last verdict about it."""
    from tiltyard import show
    from tiltyard.status import status as verb

    rows = verb(find())
    if as_json:
        print_json(rows)
    else:
        names = ("task", "version", "metric", "value", "since", "verdict", "decided")
        show.table(names, [[row[name] for name in names] for row in rows])


@click.command()
@TASK
@JSON
def history(task: str, as_json: bool) -> None:
    """Show every verdict about a task, with its reasons."""
    from tiltyard import show
    from tiltyard.history import history as verb

    decisions = one(task, verb)
    if as_json:
        print_json(decisions)
    else:
        names = ("time", "verdict", "version", "champion", "who")
        show.table(
            [*names, "value", "why"],
            [[*(d[name] for name in names), d["metrics"].get(d["metric"]), "; ".join(d["reasons"])] for d in decisions],
        )


@click.command()
@TASK
@JSON
def rollback(task: str, as_json: bool) -> None:
    """Let the champion before this one serve again."""
    from tiltyard.rollback import rollback as verb

    decision = one(task, verb)
    if as_json:
        print_json(decision.model_dump(mode="json"))
    else:
        click.echo(f"{task}: {decision.version} serves again, {decision.champion} no longer")


COMMANDS = [status, history, rollback]
