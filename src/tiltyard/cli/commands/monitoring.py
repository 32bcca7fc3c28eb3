"""The commands `tiltyard traffic` (shadow and canary), `monitor` (live quality, feedback, drift) and `watch`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from tiltyard.cli.commands._common import (
    JSON,
    TASK,
    TASKS,
    complete_versions,
    end_by,
    find_workspace,
    print_json,
    run_task,
)

if TYPE_CHECKING:
    from tiltyard.operations.watcher import Look
    from tiltyard.workspace import Workspace

VERSION: Any = {"metavar": "VERSION", "shell_complete": complete_versions}


@click.command()
@TASK
@click.option(
    "--shadow",
    **VERSION,
    help="Send it a copy of requests; its predictions are only recorded.",
)
@click.option(
    "--canary",
    **VERSION,
    help="Let it respond to a share of clients, always the same ones.",
)
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), help="Share of clients; default for a shadow: 1.")
@click.option("--off", is_flag=True, help="Send all requests to the champion only.")
@JSON
def traffic(task: str, share: float | None, off: bool, as_json: bool, **modes: str | None) -> None:
    r"""Run a packaged challenger as shadow or canary. Without options, show results.

    \b
    tiltyard traffic iris --shadow 0123456789ab
    tiltyard traffic iris --canary 0123456789ab --share 0.1
    tiltyard traffic iris                          current routing, and results of both versions
    tiltyard traffic iris --off
    """
    from tiltyard.cli.output import monitoring
    from tiltyard.monitoring import traffic as action

    chosen = [(version, mode) for mode, version in modes.items() if version]
    if len(chosen) + off > 1:
        raise click.UsageError("expected one of --shadow, --canary and --off")
    if modes["canary"] and share is None:
        raise click.UsageError("--canary: expected also --share, such as --share 0.1")
    if share is not None and not chosen:
        raise click.UsageError("--share: expected also --shadow or --canary")
    if off:
        run_task(task, action.end_rollout)
    if chosen:
        run_task(task, lambda w, t: action.start_rollout(w, t, chosen[0], share or 1.0))
    status = run_task(task, action.traffic)
    if as_json:
        print_json(status)
    else:
        monitoring.print_traffic(status)


@click.command()
@TASK
@JSON
def monitor(task: str, as_json: bool) -> None:
    r"""Report drift and live quality from recorded requests.

    The requests are collected into Parquet files; live quality needs ground truth, which clients send as feedback.

    \b
    tiltyard serve --record 0.1     record a tenth of the requests
    curl localhost:3000/v1/models/iris:feedback -H 'Content-Type: application/json' \
      -d '{"feedback": [{"id": "<x-request-id>", "token": "<x-feedback-token>", "truth": "setosa"}]}'
    """
    from tiltyard.cli.output import monitoring
    from tiltyard.monitoring.monitor import monitor as action

    status = run_task(task, action)
    if as_json:
        print_json(status)
    else:
        monitoring.print_monitoring(status)


@click.command()
@TASKS
@click.option("--once", is_flag=True, help="Look once, finish what that starts, and end: for cron and CI.")
@click.option(
    "--every", type=click.FloatRange(0.01, 10_080), metavar="MINUTES", help="In place of the tasks' interval."
)
@click.option("--cron", metavar="CRON", help="Look as a Prefect deployment at these times (UTC): '*/15 * * * *'.")
@JSON
def watch(tasks: tuple[str, ...], once: bool, every: float | None, cron: str | None, as_json: bool) -> None:
    r"""Operate champions by the rules of their tasks, under operate: in the task file. Without TASK, all such tasks.

    Each look collects the records, measures drift, live quality, freshness and errors, and does at most one thing:
    retrain, start or widen the trial of a challenger, promote it, end its trial, or roll back.
    Each step is in the ledger.

    \b
    tiltyard watch                 look at each task at its interval, until Ctrl-C
    tiltyard watch iris --once     one look, for cron and CI; exits with 1 on an error
    tiltyard history iris          what was done, and why

    A process that was killed is resumed by the next look. One process watches a project.
    """
    from tiltyard.cli.output import operations as output
    from tiltyard.operations import watch as action

    if sum((once, every is not None, cron is not None)) > 1:
        raise click.UsageError("expected one of --once, --every and --cron")
    workspace = find_workspace()
    names = action.operated(workspace, tasks)
    if cron is not None:
        _serve_deployment(workspace, names, cron)
    if not once:
        action.watch(workspace, names, every, _print_line if as_json else output.print_look)
    looks = action.look_once(workspace, names)
    if as_json:
        print_json([one.to_json() for one in looks])
    else:
        for one in looks:
            output.print_look(one)
    sys.exit(any(one.error for one in looks))


def _serve_deployment(workspace: Workspace, names: list[str], cron: str) -> None:
    """Serve the watch as a Prefect deployment until a signal ends it."""
    from tiltyard.pipelines.start import prefect_module

    served = f"{', '.join(names)}: watched at {cron} UTC; Ctrl-C ends the watch, and a look in progress"
    with prefect_module("operate", scheduling=True) as module:
        number = module.operate(workspace, names, (cron, "UTC"), lambda: click.echo(served))
    end_by(number)


def _print_line(look: Look) -> None:
    """Print one line of JSON at once, for a program that reads along."""
    click.echo(json.dumps(look.to_json(), ensure_ascii=False))
    sys.stdout.flush()


COMMANDS = [traffic, monitor, watch]
