"""Base class of data sources: a source writes raw files into a folder."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from tiltyard.data.tables.dialect import Dialect
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace


class Source(Settings):
    """The `source:` section of a task file; each plug-in in sources/ implements one kind."""

    kind: str

    @abstractmethod
    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write the raw files into an empty folder; the same settings give the same bytes.

        Paths in the settings are relative to the workspace, not to the working directory.
        """

    def version(self) -> str:
        """Return what the data depend on besides the settings, if it is known without fetching them; else nothing."""
        return ""

    @property
    def dialect(self) -> Dialect:
        """The dialect of its table; unset options are guessed."""
        return Dialect()
