"""What the commands about living traffic print."""

from __future__ import annotations

from typing import Any

import click

from tiltyard.cli.output.tables import table


def monitored(found: dict[str, Any]) -> None:
    """Print what was recorded, how good it was, and what to do."""
    task = found["task"]
    if not found["recorded"]:
        click.echo(f"{task}: nothing is recorded yet")
        click.echo(f"next: tiltyard serve {task} --record 0.1")
        return
    click.echo(f"{task}: {found['gathered']} files gathered into {found['records']}")
    arms(found["recorded"])
    _drift(found)
    feedback = found["feedback"]
    click.echo(
        f"\n{feedback['truths']} truths came: {feedback['repeated']} of them again, {feedback['unknown']} for answers "
        f"that are not recorded; {feedback['waiting']} answers wait for theirs"
    )
    names = ("version", "truths", "value", "low", "high", "evaluated")
    if feedback["truths"]:
        rows = [[row[name] for name in names] for row in found["quality"]]
        table(["version", "truths", f"live {found['quality'][0]['metric']}", "from", "to", "as evaluated"], rows)
    else:
        click.echo(
            f"next: send them to /v1/models/{task}:feedback with the x-request-id and x-feedback-token of the answer"
        )


def _drift(found: dict[str, Any]) -> None:
    """Print each feature, and what to do about one that is far from the training rows."""
    if found.get("refused"):
        click.echo(f"\n{found['refused']:,} recorded instances would be refused today; drift is that of the others")
    if not (rows := found["drift"]):
        click.echo(f"\ndrift is not measured: {found['undrifted']}")
        return
    click.echo(f"\nthe latest {rows[0]['rows']} instances beside the training rows of {found['champion']}:")
    heads = ("feature", "PSI", "at most", "by chance", "")
    names = ("feature", "psi", "limit", "chance")
    table(heads, [[*(row[name] for name in names), "drifted" if row["drifted"] else "as trained"] for row in rows])
    if any(row["drifted"] for row in rows):
        command = f"tiltyard check {found['task']} --against {found['records']}/answers/FILE.parquet"
        click.echo(f"next: {command}; find out what changed, and train again if it is to stay")


def traffic(found: dict[str, Any]) -> None:
    """Print who gets what, and how both arms do."""
    click.echo(f"{found['task']}: {found['told']}")
    if not (report := found["report"]):
        return
    if not report["arms"]:
        click.echo("  nothing is recorded yet: it is as soon as `tiltyard serve` is asked")
        return
    arms(report["arms"])
    if alike := report["agreement"]:
        told = f"{alike['equal']:.1%} equal labels" if "equal" in alike else f"numbers {alike['apart']:.4g} apart"
        click.echo(f"  to the same {alike['answers']} instances: {told}")
    click.echo(f"  {report['told']}")


def arms(rows: list[dict[str, Any]]) -> None:
    """Print a row a version and arm."""
    names = ("version", "arm", "requests", "instances", "p50_ms", "p99_ms", "first", "last")
    heads = ("version", "arm", "requests", "instances", "p50 ms", "p99 ms", "first (UTC)", "last (UTC)")
    table(heads, [[_short(row[name]) for name in names] for row in rows])


def _short(value: Any) -> Any:
    return value[:19].replace("T", " ") if isinstance(value, str) and value[10:11] == "T" else value
