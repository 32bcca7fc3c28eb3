"""Registry commands: `tiltyard status`, `history`, `why`, `comment`, `compare`, `verify`, `approve` and `rollback`."""

from __future__ import annotations

import sys

import click

from tiltyard.cli.commands._common import (
    JSON,
    TASK,
    TASKS,
    complete_versions,
    find_workspace,
    print_error,
    print_json,
    run_task,
    run_tasks,
)
from tiltyard.errors import TiltyardError


@click.command()
@click.option("--all", "everything", is_flag=True, help="Show what needs attention: drift, held models, failed runs.")
@JSON
def status(everything: bool, as_json: bool) -> None:
    r"""Show each task's champion and last verdict.

    \b
    tiltyard status          champions and verdicts
    tiltyard status --all    what needs attention, with the command to type; budgets, trials, and the service
    """
    from tiltyard.cli.output import tables

    if everything:
        _show_attention(as_json=as_json)
        return
    from tiltyard.registry.queries import status as action

    rows = action(find_workspace())
    if as_json:
        print_json(rows)
    else:
        names = ("task", "version", "metric", "value", "since", "verdict", "decided")
        heads = ("task", "champion", "metric", "value", "since", "last verdict", "decided")
        tables.print_table(heads, [[row[name] for name in names] for row in rows])
        for row in rows:
            if word := row["override"]:
                click.echo(
                    f"{row['task']}: {row['version']} is champion by override of {word['who']}: {word['reason']}"
                )
            if row["consists_of"]:
                click.echo(f"{row['task']}: {row['version']} consists of {row['consists_of']}")
            if row["stand_in"]:
                click.echo(f"{row['task']}:{tables.stand_in_note(row['stand_in'])}")
            if row["mistake"]:
                print_error(TiltyardError(row["mistake"], row["hint"]))


def _show_attention(*, as_json: bool) -> None:
    from tiltyard.cli.output import operations as output
    from tiltyard.operations import attention as action

    workspace = find_workspace()
    rows = action.attention(workspace)
    if as_json:
        print_json({"watched": action.is_watched(workspace), "tasks": [row.to_json() for row in rows]})
    else:
        output.print_attention(rows, watched=action.is_watched(workspace))


@click.command()
@TASK
@JSON
def history(task: str, as_json: bool) -> None:
    """Show all verdicts on a task, with reasons."""
    from tiltyard.cli.output import tables
    from tiltyard.registry.queries import history as action

    decisions = run_task(task, action)
    if as_json:
        print_json(decisions)
    else:
        names = ("time", "verdict", "version", "champion", "who")
        tables.print_table(
            [*names, "value", "reasons"],
            [[*(d[name] for name in names), d["metrics"].get(d["metric"]), "; ".join(d["reasons"])] for d in decisions],
        )


@click.command()
@TASK
@JSON
def rollback(task: str, as_json: bool) -> None:
    """Make the previous champion the champion again."""
    from tiltyard.registry.rollback import rollback as action

    decision = run_task(task, action)
    if as_json:
        print_json(decision.model_dump(mode="json"))
    else:
        click.echo(f"{task}: {decision.version} is champion again in place of {decision.champion}")


@click.command()
@TASK
@click.argument("version", required=False, shell_complete=complete_versions)
@JSON
def why(task: str, version: str | None, as_json: bool) -> None:
    r"""Explain a decision check by check. Without VERSION, it is the last decision.

    \b
    tiltyard why iris               the last decision
    tiltyard why iris champion      or previous, challenger, or the first characters of a version
    """
    from tiltyard.cli.output import tables
    from tiltyard.registry.queries import why as action

    decision = run_task(task, lambda w, t: action(w, t, version))
    if as_json:
        print_json(decision)
        return
    against = f" against {decision['champion']}" if decision["champion"] else ""
    click.echo(
        f"{task}: {decision['verdict']} {decision['version']}{against}, by {decision['who']} on {decision['time']}"
    )
    for reason in decision["reasons"]:
        click.echo(f"  {reason}")
    if decision["checks"]:
        tables.print_checks(decision["checks"])


@click.command()
@TASKS
@JSON
def comment(tasks: tuple[str, ...], as_json: bool) -> None:
    r"""Print the last verdicts as Markdown, for a pull request.

    \b
    tiltyard comment > comment.md
    gh pr comment --body-file comment.md --edit-last --create-if-none
    """
    from tiltyard.registry.comment import comment as action

    named = [task for _, task in run_tasks(tasks, lambda _, task: task)]
    text = action(find_workspace(), named)
    if as_json:
        print_json({"tasks": [task.name for task in named], "markdown": text})
    else:
        click.echo(text, nl=False)


@click.command()
@TASK
@click.argument("first", shell_complete=complete_versions)
@click.argument("second", shell_complete=complete_versions)
@JSON
def compare(task: str, first: str, second: str, as_json: bool) -> None:
    r"""Compare two versions on the sealed test rows, metric by metric.

    \b
    tiltyard compare iris challenger champion    the version that was trained last against the champion
    tiltyard compare iris 4113c5 9a0e12          two versions by their first characters
    """
    from tiltyard.cli.output import tables
    from tiltyard.registry.queries import compare as action

    comparison = run_task(task, lambda w, t: action(w, t, first, second))
    if as_json:
        print_json(comparison)
        return
    click.echo(f"{task}: {comparison['first']} against {comparison['second']} on {comparison['rows']} sealed test rows")
    if comparison["first"] == comparison["second"]:
        click.echo(f"{first} and {second} are the same version: nothing to compare")
    tables.print_table(
        ["metric", "first", "second", "gain", "low", "high", "first is"],
        [list(row.values()) for row in comparison["metrics"]],
    )


@click.command()
@TASKS
@click.option(
    "--against", metavar="REF", help="A commit, branch or tag of git: everything in its ledger must still be there."
)
@JSON
def verify(tasks: tuple[str, ...], against: str | None, as_json: bool) -> None:
    r"""Verify that champions and ledgers are unchanged.

    It hashes the files and measures the metrics again, and exits with 1 if anything has changed.

    \b
    tiltyard verify iris                       ledger, signatures, package, rollout, data, code, metrics
    tiltyard verify --against origin/main      all tasks, compared also with the ledgers in git
    """
    from tiltyard.cli.output import tables
    from tiltyard.registry.verify import merge_lines, verify_tasks
    from tiltyard.registry.verify import verify as action

    if len(tasks) == 1 and not against:
        rows = [{"task": tasks[0], **row} for row in run_task(tasks[0], action)]
    else:
        rows = [*verify_tasks(find_workspace(), tasks, against)]
    if as_json:
        print_json(rows)
    else:
        names = ["what", "state", "text"] if len(tasks) == 1 else ["task", "what", "state", "text"]
        tables.print_table([*names[:-1], "found"], [[row[name] for name in names] for row in merge_lines(rows)])
    sys.exit(any(row["fault"] for row in rows))


@click.command()
@TASK
@click.argument("version", default="challenger", shell_complete=complete_versions)
@JSON
def approve(task: str, version: str, as_json: bool) -> None:
    r"""Approve a version for promotion. A task requires it by gate.approval; all other checks still apply.

    \b
    tiltyard approve iris           the version that was trained last; then: tiltyard promote iris
    tiltyard approve iris 4113c5    a version by its first characters
    """
    from tiltyard.registry.approve import approve as action

    decision = run_task(task, lambda w, t: action(w, t, version))
    if as_json:
        print_json(decision.model_dump(mode="json"))
    else:
        click.echo(f"{task}: {decision.version} {decision.reasons[0]} on {decision.time}")


COMMANDS = [status, history, why, comment, compare, verify, approve, rollback]
