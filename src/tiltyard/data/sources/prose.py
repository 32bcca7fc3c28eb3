"""Source `prose`: one long UTF-8 text for text generation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tiltyard.data.sources._location import FileLocation
from tiltyard.data.sources.base import Source
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace


class Prose(FileLocation, Source):
    """A text file in the project, at a URL, or by name in a mirror."""

    kind: Literal["prose"]

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write prose.txt, its bytes unchanged."""
        target = folder / "prose.txt"
        self.copy_to(target, workspace)
        self.verify(target)
        try:
            with target.open(encoding="utf-8") as file:
                has_text = any(line.strip() for line in file)
        except UnicodeDecodeError as error:
            raise SourceError(f"{self.safe_path}: expected a text in UTF-8: {error}", hint="save it as UTF-8") from None
        if not has_text:
            raise SourceError(f"{self.safe_path}: expected a text; received an empty file")
