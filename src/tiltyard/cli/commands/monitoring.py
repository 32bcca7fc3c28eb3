"""The commands `tiltyard traffic` (shadow and canary) and `tiltyard monitor` (live quality, feedback and drift)."""

from __future__ import annotations

from typing import Any

import click

from tiltyard.cli.commands._common import JSON, TASK, complete_versions, print_json, run_task

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


COMMANDS = [traffic, monitor]
