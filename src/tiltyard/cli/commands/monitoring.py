"""The commands about what is served: a challenger beside the champion, and how both do on what clients send."""

from __future__ import annotations

import click

from tiltyard.cli.commands._common import JSON, TASK, print_json, run_one


@click.command()
@TASK
@click.option("--shadow", metavar="VERSION", help="Give it a copy of requests; its answers are recorded alone.")
@click.option("--canary", metavar="VERSION", help="Let it answer a share of requests, the same clients each time.")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), help="Of clients: 1 for a shadow, if unset.")
@click.option("--off", is_flag=True, help="Let the champion answer alone.")
@JSON
def traffic(task: str, share: float | None, off: bool, as_json: bool, **ways: str | None) -> None:
    r"""Let a packaged challenger have a copy or a share of a task's requests; without options, say how it does.

    \b
    tiltyard traffic iris --shadow 0123456789ab
    tiltyard traffic iris --canary 0123456789ab --share 0.1
    tiltyard traffic iris                          who gets what, and how both do
    tiltyard traffic iris --off
    """
    from tiltyard.cli.output import monitoring
    from tiltyard.monitoring import traffic as verb

    wanted = [(version, way) for way, version in ways.items() if version]
    if len(wanted) + off > 1:
        raise click.UsageError("expected one of --shadow, --canary and --off")
    if ways["canary"] and share is None:
        raise click.UsageError("--canary: expected --share, too, such as --share 0.1")
    if share is not None and not wanted:
        raise click.UsageError("--share: expected --shadow or --canary, too")
    if off:
        run_one(task, verb.end_rollout)
    if wanted:
        run_one(task, lambda w, t: verb.start_rollout(w, t, wanted[0], share or 1.0))
    found = run_one(task, verb.traffic)
    if as_json:
        print_json(found)
    else:
        monitoring.traffic(found)


@click.command()
@TASK
@JSON
def monitor(task: str, as_json: bool) -> None:
    r"""Gather what the service recorded into Parquet, and say how good its answers were by the truths that came.

    \b
    tiltyard serve --record 0.1     records a tenth of the requests
    curl localhost:3000/v1/models/iris:feedback -H 'Content-Type: application/json' \
      -d '{"feedback": [{"id": "<x-request-id>", "token": "<x-feedback-token>", "truth": "setosa"}]}'
    """
    from tiltyard.cli.output import monitoring
    from tiltyard.monitoring.monitor import monitor as verb

    found = run_one(task, verb)
    if as_json:
        print_json(found)
    else:
        monitoring.monitored(found)


COMMANDS = [traffic, monitor]
