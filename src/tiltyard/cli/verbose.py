"""What `tiltyard -v` prints on stderr: versions at the start, durations at the end; stages add their logs."""

from __future__ import annotations

import platform
import time
from importlib import metadata

import click

LIBRARIES = ("tiltyard", "keras", "tensorflow", "tensorflow-cpu", "jax", "onnxruntime", "dvc", "prefect", "bentoml")


def begin(context: click.Context) -> None:
    """Print the versions that matter for a result, and the durations when the command ends."""
    click.echo(f"{platform.platform()}, Python {platform.python_version()}, {', '.join(_versions())}", err=True)
    started, processor_started = time.monotonic(), time.process_time()

    def end() -> None:
        seconds, processor = time.monotonic() - started, time.process_time() - processor_started
        click.echo(f"took {seconds:.1f} s, {processor:.1f} s of them on the processor in this process", err=True)

    context.call_on_close(end)


def _versions() -> list[str]:
    """Return the installed ones of the libraries, without importing them."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found
