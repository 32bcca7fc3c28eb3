"""The commands `tiltyard serve` (REST service), `tiltyard key` (API and signing keys), `predict` and `sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tiltyard.cli.commands._common import JSON, TASK, TASKS, find_workspace, print_json, run_task


@click.command()
@TASKS
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--grpc", type=click.IntRange(1, 65535), help="Also serve gRPC, at this port; needs tiltyard[grpc].")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Number of server processes.")
@click.option(
    "--concurrency",
    default=512,
    show_default=True,
    type=click.IntRange(1),
    help="Maximum number of requests at a time.",
)
@click.option(
    "--timeout", default=30.0, show_default=True, type=click.FloatRange(0.1), help="Seconds until a request times out."
)
@click.option("--record", default=0.0, type=click.FloatRange(0, 1), help="Share of requests to record.")
@click.option("--log", is_flag=True, help="Log each request as a line of JSON.")
@click.option("--plain", is_flag=True, help="Disable the fast path: use the ordinary routes for all requests.")
@click.option(
    "--trace",
    is_flag=True,
    help="Send an OpenTelemetry span for each request; also on if OTEL_EXPORTER_OTLP_ENDPOINT is set.",
)
@click.option("--keys", type=click.Path(path_type=Path), help="A file made by `tiltyard key`: require an API key.")
def serve(tasks: tuple[str, ...], host: str, port: int, grpc: int | None, keys: Path | None, **limits: float) -> None:
    r"""Serve champions over REST. New champions are loaded while it runs.

    \b
    tiltyard serve iris --port 3001
    tiltyard serve --host 0.0.0.0 --workers 4 --keys serving/keys
    tiltyard serve --grpc 8001                  the Open Inference Protocol over gRPC, too
    tiltyard serve --record 0.1                 record a tenth of requests; see tiltyard monitor
    """
    from tiltyard.serving.http import tracing
    from tiltyard.serving.http.api_keys import read
    from tiltyard.serving.serve import serve as action

    if limits["trace"] or tracing.is_enabled():
        tracing.create_exporter()  # raises at once if a package is missing
    variables = {name.upper(): str(value) for name, value in limits.items() if value is not False}
    if keys and read(keys):
        variables["KEYS"] = str(keys.absolute())
    if grpc:
        variables["GRPC"] = _grpc_address(host, grpc)
    action(find_workspace(), tasks, (host, port), variables, click.echo)


def _grpc_address(host: str, port: int) -> str:
    """Return the address for gRPC; raise PackageError if gRPC is not installed or the port is taken."""
    from tiltyard.serving.grpc.server import check

    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    check(address)
    click.echo(f"gRPC: {address}")
    return address


@click.command()
@click.argument("name")
@click.option("--file", "path", default="serving/keys", show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--sign", is_flag=True, help="Make a key that signs decisions instead; its private half stays on this machine."
)
def key(name: str, path: Path, sign: bool) -> None:
    r"""Make an API key for a client of the service. It is printed once; the file holds only its hash.

    \b
    tiltyard key robot && tiltyard serve --keys serving/keys
    curl -H "Authorization: Bearer KEY" localhost:3000/v1/models
    tiltyard key anna --sign        sign the decisions that anna makes on this machine from now on
    """
    if sign:
        from tiltyard.registry.signing import create_key

        workspace = find_workspace()
        private, public = create_key(workspace, name)
        click.echo(f"{name} signs decisions with {private}: keep it secret. Others verify them with")
        click.echo(f"{public.relative_to(workspace.root)}, which belongs in git: git add serving/signers")
        return
    from tiltyard.serving.http.api_keys import add

    click.echo(add(path, name))


@click.command()
@TASK
@click.option("--json", "text", metavar="TEXT", help="One instance or a list of instances, as in a REST request.")
@click.option(
    "--csv", "path", type=click.Path(), help="A file with a row for each instance; for a series, its last values."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the rows with their predictions: .csv, .parquet, .jsonl."
)
def predict(task: str, text: str | None, path: str | None, out: Path | None) -> None:
    r"""Predict with a task's champion, without a server. Predictions are printed as JSON.

    \b
    tiltyard predict iris --csv new.csv
    tiltyard predict iris --csv new.parquet --out predictions.parquet    any number of rows, in constant memory

    Rejected rows are null, or left out of --out; NAME.rejected.csv, or the one beside --out, gives the reasons.
    In .csv, text that a spreadsheet would take for a formula gets a leading apostrophe; other formats do not change it.
    """
    from tiltyard.serving import predict as action

    if (text is None) == (path is None):
        raise click.UsageError("expected either --json or --csv")
    if out is not None and path is None:
        raise click.UsageError("--out: expected also --csv")
    if path is not None and out is not None:
        from tiltyard.serving.predict_file import predict_file

        summary = run_task(task, lambda w, t: predict_file(w, t, Path(path), out))
        print_json(summary)
        _print_rejected(summary.get("rejected", 0), summary.get("rejected_rows"))
    elif path is not None:
        rejected = Path(f"{Path(path).stem}.rejected.csv")
        predictions = run_task(task, lambda w, t: action.predict_csv(w, t, Path(path), rejected))
        print_json(predictions)
        _print_rejected(predictions.count(None), rejected)
    else:
        print_json(run_task(task, lambda w, t: action.predict(w, t, text or "")))


@click.command()
@TASK
@click.option("--count", default=16, show_default=True, type=click.IntRange(1), help="Number of samples.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The same seed, the same samples.")
@click.option("--class", "label", help="Class of all samples; all classes in turn if unset. For conditional models.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write PNG files to.")
@JSON
def sample(task: str, out: Path | None, *, as_json: bool, **options: Any) -> None:
    r"""Draw samples of a task's champion, a generative model, without a server.

    \b
    tiltyard sample vae --count 64 --seed 1 --out samples
    tiltyard sample vae_conditional --class 3 --json
    """
    from tiltyard.serving import sample as action

    if out is None and not as_json:
        raise click.UsageError("expected --out FOLDER, --json, or both")
    names = {"count": "count", "seed": "seed", "label": "class"}
    request = {names[key]: value for key, value in options.items() if value is not None}
    drawn = run_task(task, lambda w, t: action.sample(w, t, request))
    if out is not None:
        files = action.write_pictures(drawn, out, request["seed"])
        click.echo(f"{len(files)} samples: {out}", err=as_json)
    if as_json:
        print_json(drawn)


def _print_rejected(rejected: int, path: object) -> None:
    """Print the number of rejected rows, if any, and the file that holds the reasons."""
    if rejected:
        click.echo(f"rows rejected: {rejected:,}; reasons: {path}", err=True)


COMMANDS = [serve, key, predict, sample]
