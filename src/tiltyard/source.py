"""The type of a source: it writes raw files into a folder, and is asked for nothing else."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from tiltyard.strict import Strict


class Source(Strict):
    """The `source:` section of a task file; plug-ins in sources/ say what each kind means."""

    kind: str

    @abstractmethod
    def fetch(self, folder: Path) -> None:
        """Write the raw files into an empty folder; the same settings give the same bytes."""
