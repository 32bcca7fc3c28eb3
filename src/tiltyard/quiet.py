"""What keeps tools quiet: settings that they must see before they are imported, and a cover for native libraries.

No telemetry, and state kept inside the project.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tiltyard.workspace import Workspace


def silence(workspace: Workspace) -> None:
    """Set what is not already set; child processes inherit it."""
    settings = {
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "BENTOML_DO_NOT_TRACK": "True",  # the word: "1" does nothing
        "BENTOML_HOME": str(workspace.bentos),
        "OTEL_SDK_DISABLED": "true",  # a tenth of each request's time, even without an exporter
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # DO_NOT_TRACK alone does not stop Prefect
        "PREFECT_HOME": str(workspace.prefect),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # the default of 20 strikes on a busy machine
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # its log goes to its server all the same
        "GX_ANALYTICS_ENABLED": "false",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Drop what native libraries write to stderr as they are loaded; TensorFlow heeds no setting before it is."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
