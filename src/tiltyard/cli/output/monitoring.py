"""Output of `tiltyard monitor` and `tiltyard traffic`."""

from __future__ import annotations

from typing import Any

import click

from tiltyard.cli.output.tables import print_table


def print_monitoring(status: dict[str, Any]) -> None:
    """Print recorded requests, drift and live quality, and the next command."""
    task = status["task"]
    if not status["recorded"]:
        click.echo(f"{task}: nothing has been recorded yet")
        click.echo(f"next: tiltyard serve {task} --record 0.1")
        return
    click.echo(f"{task}: {status['gathered']} files collected into {status['records']}")
    print_arms(status["recorded"])
    _print_drift(status)
    _print_estimate(status)
    feedback = status["feedback"]
    click.echo(
        f"\nfeedback (ground truth): {feedback['truths']} received, {feedback['repeated']} repeated, "
        f"{feedback['unknown']} for predictions that were not recorded; "
        f"{feedback['waiting']} recorded predictions have none yet"
    )
    names = ("version", "truths", "value", "low", "high", "evaluated")
    if feedback["truths"]:
        rows = [[row[name] for name in names] for row in status["quality"]]
        print_table(
            ["version", "ground truth", f"live {status['quality'][0]['metric']}", "low", "high", "at evaluation"], rows
        )
    else:
        click.echo(f"next: send ground truth to /v1/models/{task}:feedback with its x-request-id and x-feedback-token")


def _print_drift(status: dict[str, Any]) -> None:
    """Print the drift of each feature, and the next command if one has drifted."""
    if status.get("refused"):
        click.echo(f"\n{status['refused']:,} recorded instances would be refused today; drift is measured without them")
    if not (rows := status["drift"]):
        click.echo(f"\ndrift was not measured: {status['undrifted']}")
        return
    click.echo(f"\nthe latest {rows[0]['rows']} instances compared with the training rows of {status['champion']}:")
    heads = ("feature", "PSI", "limit", "by chance", "")
    names = ("feature", "psi", "limit", "chance")
    print_table(heads, [[*(row[name] for name in names), "drift" if row["drifted"] else "no drift"] for row in rows])
    if any(row["drifted"] for row in rows):
        command = f"tiltyard check {status['task']} --against {status['records']}/answers/FILE.parquet"
        click.echo(f"next: {command}; find the cause, and retrain if the change is permanent")


def _print_estimate(status: dict[str, Any]) -> None:
    """Print the quality estimated without ground truth, and its error where ground truth has come."""
    if not (found := status["estimated"]):
        return
    if found["value"] is None:
        click.echo(f"\n{found['metric']} was not estimated: {found['reason']}")
        return
    interval = f"{found['low']:.4g} to {found['high']:.4g}, {found['rows']} predictions"
    click.echo(f"\nestimated {found['metric']} without ground truth: {found['value']:.4g} ({interval})")
    if checked := found["checked"]:
        compared = f"estimated {checked['estimated']:.4g}, live {checked['live']:.4g}"
        click.echo(f"  where ground truth has come ({checked['rows']}): {compared}, an error of {checked['error']:.2g}")


def print_traffic(status: dict[str, Any]) -> None:
    """Print how requests are routed, and the results of both arms."""
    click.echo(f"{status['task']}: {status['told']}")
    if not (report := status["report"]):
        return
    if not report["arms"]:
        click.echo("  nothing has been recorded yet: `tiltyard serve` records requests as they arrive")
        return
    print_arms(report["arms"])
    if agreement := report["agreement"]:
        text = (
            f"{agreement['equal']:.1%} of labels are equal"
            if "equal" in agreement
            else f"predictions differ by {agreement['apart']:.4g} on average"
        )
        click.echo(f"  on the same {agreement['answers']} instances: {text}")
    click.echo(f"  {report['told']}")


def print_arms(rows: list[dict[str, Any]]) -> None:
    """Print a table with a row for each version and arm."""
    names = ("version", "arm", "requests", "instances", "p50_ms", "p99_ms", "first", "last")
    heads = ("version", "arm", "requests", "instances", "p50 ms", "p99 ms", "first (UTC)", "last (UTC)")
    print_table(heads, [[_short_time(row[name]) for name in names] for row in rows])


def _short_time(value: Any) -> Any:
    return value[:19].replace("T", " ") if isinstance(value, str) and value[10:11] == "T" else value
