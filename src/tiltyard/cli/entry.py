"""Entry point of the command `tiltyard`: a stage of a run is passed to a fork server before anything else is loaded."""

from __future__ import annotations

import sys

from tiltyard.errors import WINDOWS
from tiltyard.pipelines.fork_client import run_in_fork


def main() -> None:
    """Run the command in a fork of a server if there is one for it, else in this process."""
    if sys.platform == "win32":  # before modules are imported that Windows does not have
        sys.exit(f"error: {WINDOWS}")
    if (status := run_in_fork(sys.argv)) is not None:
        sys.exit(status)
    from tiltyard.cli.main import main as run_command

    run_command()
