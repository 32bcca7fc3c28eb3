"""The type of a source: it writes raw files into a folder, and is asked for nothing else."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from tiltyard.data.tables.dialect import Dialect
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace


class Source(Settings):
    """The `source:` section of a task file; plug-ins in sources/ say what each kind means."""

    kind: str

    @abstractmethod
    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write the raw files into an empty folder; the same settings give the same bytes.

        Paths in the settings are relative to the workspace, wherever the working directory is.
        """

    @property
    def dialect(self) -> Dialect:
        """How its table is laid out, where the file does not say; guessed unless the source knows."""
        return Dialect()
