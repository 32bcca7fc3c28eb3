"""Environment of other tools: variables that they read when they are imported, and redirection of their output.

Telemetry is off, and their state is kept inside the project.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from tiltyard.runtime.progress import VERBOSE
from tiltyard.workspace import Workspace


def configure_tools(workspace: Workspace) -> None:
    """Set the variables that are not set yet; child processes inherit them."""
    settings = {
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "BENTOML_DO_NOT_TRACK": "True",  # "1" has no effect
        "BENTOML_HOME": str(workspace.bentos),
        "OTEL_SDK_DISABLED": "true",  # tracing takes a tenth of each request's time, even without an exporter
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # DO_NOT_TRACK alone does not stop Prefect
        "PREFECT_HOME": str(workspace.prefect),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # the default of 20 is too short on a busy machine
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # its server receives the log nevertheless
        "GX_ANALYTICS_ENABLED": "false",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def suppress_native_output() -> Iterator[None]:
    """Discard what native libraries write to stderr while they are loaded: TensorFlow reads its settings too late."""
    if VERBOSE in os.environ:
        yield
        return
    original, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)


LONG_LOG = 1 << 20  # bytes: a longer log is overwritten


@contextlib.contextmanager
def redirect_output(log: Path, only: Sequence[int] = (1, 2)) -> Iterator[TextIO]:
    """Redirect the output of this process, its children and native libraries to a file; yield the original stderr."""
    log.parent.mkdir(parents=True, exist_ok=True)
    long = log.is_file() and log.stat().st_size > LONG_LOG
    _flush()
    originals = [os.dup(descriptor) for descriptor in only]
    with log.open("wb" if long else "ab", buffering=0) as file, _stream(originals[-1]) as stream:
        for descriptor in only:
            os.dup2(file.fileno(), descriptor)
        try:
            yield stream
        finally:
            stream.flush()
            _flush()
            for descriptor, original in zip(only, originals, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


@contextlib.contextmanager
def redirect_native_output(log: Path) -> Iterator[None]:
    """Redirect what native libraries write to stderr to a file; Python still writes to the original stderr."""
    with redirect_output(log, only=(2,)) as stream, contextlib.redirect_stderr(stream):
        yield


def _stream(descriptor: int) -> contextlib.AbstractContextManager[TextIO]:
    """Open the original stderr; a test or an embedding program may have replaced sys.stderr by another object."""
    try:
        if sys.stderr.fileno() == 2:
            return open(descriptor, "w", 1, encoding=sys.stderr.encoding, errors="replace", closefd=False)
    except OSError:
        pass
    return contextlib.nullcontext(sys.stderr)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
