"""The commands that answer: over REST, or without a server."""

from __future__ import annotations

from pathlib import Path

import click

from tiltyard.cli.commands._common import TASK, TASKS, find, print_json, run_one


@click.command()
@TASKS
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes that answer.")
@click.option("--concurrency", default=512, show_default=True, type=click.IntRange(1), help="Requests at a time.")
@click.option("--timeout", default=30.0, show_default=True, type=click.FloatRange(0.1), help="Seconds for a request.")
@click.option("--record", default=0.0, type=click.FloatRange(0, 1), help="Share of requests that are recorded.")
@click.option("--log", is_flag=True, help="Print a line of JSON for each request.")
@click.option("--plain", is_flag=True, help="Answer every request by the ordinary routes, none by the fast path.")
@click.option(
    "--trace", is_flag=True, help="Send a span for each request by OTLP; OTEL_EXPORTER_OTLP_ENDPOINT asks, too."
)
@click.option("--keys", type=click.Path(path_type=Path), help="A file of `tiltyard key`: ask every client for one.")
def serve(tasks: tuple[str, ...], host: str, port: int, keys: Path | None, **limits: float) -> None:
    r"""Serve the champions of all tasks, or of the named ones, over REST, and follow them as they change.

    \b
    tiltyard serve iris --port 3001
    tiltyard serve --host 0.0.0.0 --workers 4 --keys serving/keys
    tiltyard serve --record 0.1                 keep a tenth of what is asked and answered; see tiltyard monitor
    """
    from tiltyard.serving.http import tracing
    from tiltyard.serving.http.api_keys import read
    from tiltyard.serving.serve import serve as verb

    if limits["trace"] or tracing.is_enabled():
        tracing.create_exporter()  # says what to install before anything is served
    given = {name.upper(): str(value) for name, value in limits.items() if value is not False}
    if keys and read(keys):
        given["KEYS"] = str(keys.absolute())
    verb(find(), tasks, (host, port), given, click.echo)


@click.command()
@click.argument("name")
@click.option("--file", "path", default="serving/keys", show_default=True, type=click.Path(path_type=Path))
@click.option("--sign", is_flag=True, help="A key that signs decisions instead: its private half stays with you.")
def key(name: str, path: Path, sign: bool) -> None:
    r"""Make a key for someone who may ask the service, and print it: the file holds its hash alone.

    \b
    tiltyard key robot && tiltyard serve --keys serving/keys
    curl -H "Authorization: Bearer KEY" localhost:3000/v1/models
    tiltyard key anna --sign        from now on what anna decides on this machine is signed
    """
    if sign:
        from tiltyard.registry.signing import create_key

        workspace = find()
        private, public = create_key(workspace, name)
        click.echo(f"{name} signs decisions with {private}, which nobody else may have; others verify them with")
        click.echo(f"{public.relative_to(workspace.root)}, which belongs in git: git add serving/signers")
        return
    from tiltyard.serving.http.api_keys import add

    click.echo(add(path, name))


@click.command()
@TASK
@click.option("--json", "text", metavar="TEXT", help="An instance, or a list of them, as REST takes it.")
@click.option("--csv", "path", type=click.Path(), help="A file with a row an instance; a series with its last values.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the rows with their predictions: .csv, .parquet, .jsonl."
)
def predict(task: str, text: str | None, path: str | None, out: Path | None) -> None:
    r"""Ask a task's champion without a server; the answers are printed as JSON.

    \b
    tiltyard predict iris --csv new.csv
    tiltyard predict iris --csv new.parquet --out answered.parquet    any number of rows, in memory that stays flat

    Rows that cannot be answered are null, or left out of --out; NAME.rejected.csv, or that beside --out, says why.
    In .csv, text that a spreadsheet would take for a formula gets a leading apostrophe; other formats keep it as it is.
    """
    from tiltyard.serving import predict as verb

    if (text is None) == (path is None):
        raise click.UsageError("expected either --json or --csv")
    if out is not None and path is None:
        raise click.UsageError("--out: expected --csv, too")
    if path is not None and out is not None:
        from tiltyard.serving.predict_file import predict_file

        done = run_one(task, lambda w, t: predict_file(w, t, Path(path), out))
        print_json(done)
        _tell(done.get("rejected", 0), done.get("rejected_rows"))
    elif path is not None:
        rejected = Path(f"{Path(path).stem}.rejected.csv")
        answers = run_one(task, lambda w, t: verb.predict_csv(w, t, Path(path), rejected))
        print_json(answers)
        _tell(answers.count(None), rejected)
    else:
        print_json(run_one(task, lambda w, t: verb.predict(w, t, text or "")))


def _tell(rejected: int, path: object) -> None:
    """Print that some rows have no answer, and where the reasons are."""
    if rejected:
        click.echo(f"rows without an answer: {rejected:,}; {path} says why", err=True)


COMMANDS = [serve, key, predict]
