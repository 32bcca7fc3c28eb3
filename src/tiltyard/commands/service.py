"""The commands that answer: over REST, or without a server."""

from __future__ import annotations

from pathlib import Path

import click

from tiltyard.command import TASK, TASKS, find, one, print_json


@click.command()
@TASKS
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes that answer.")
def serve(tasks: tuple[str, ...], host: str, port: int, workers: int) -> None:
    r"""Serve the champions of all tasks, or of the named ones, over REST, and follow them as they change.

    \b
    tiltyard serve iris --port 3001
    """
    from tiltyard.serve import serve as verb

    verb(find(), tasks, (host, port), workers, click.echo)


@click.command()
@TASK
@click.option("--json", "text", metavar="TEXT", help="An instance, or a list of them, as REST takes it.")
@click.option("--csv", "path", type=click.Path(), help="A file with a row an instance; a series with its last values.")
def predict(task: str, text: str | None, path: str | None) -> None:
    r"""Ask a task's champion without a server; the answers are printed as JSON.

    \b
    tiltyard predict iris --csv new.csv
    """
    from tiltyard import predict as verb

    if (text is None) == (path is None):
        raise click.UsageError("expected either --json or --csv")
    if path is not None:
        print_json(one(task, lambda w, t: verb.predict_csv(w, t, Path(path))))
    else:
        print_json(one(task, lambda w, t: verb.predict(w, t, text or "")))


COMMANDS = [serve, predict]
