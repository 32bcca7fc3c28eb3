"""Contract of sources: the same settings give the same bytes, in the file that a modality reads."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from tiltyard import files, plugins
from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace


def matches_name(name: str) -> None:
    """The class is a source, and its kind is the name of the plug-in."""
    source = plugins.load("sources", name)
    assert issubclass(source, Source)
    assert get_args(source.model_fields["kind"].annotation) == (name,), f"expected kind: Literal[{name!r}]"


def is_reproducible(source: Source, workspace: Workspace, folder: Path) -> list[Path]:
    """Two fetches write the same bytes; return the files of the second."""
    digests = []
    for number in ("1", "2"):
        place = folder / number / "raw"
        place.mkdir(parents=True)
        source.fetch(place, workspace)
        digests.append(files.sha256(place))
    assert digests[0] == digests[1], "expected the same bytes from the same settings; they differ"
    return sorted(place.iterdir())


def can_be_read(written: list[Path]) -> None:
    """The one file that was written is the raw file of a modality."""
    folder = written[0].parent if written else Path()
    readable = []
    for name in plugins.names("modalities"):
        try:
            readable.append(plugins.load("modalities", name)().raw_file(folder))
        except Exception:  # noqa: BLE001, S112 - that of another modality
            continue
    assert written, "expected a file; nothing was written"
    assert [*written] in ([one] for one in readable), (
        f"expected one file of a name that a modality reads; received {', '.join(path.name for path in written)}"
    )
