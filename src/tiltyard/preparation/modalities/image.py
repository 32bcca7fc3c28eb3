"""Pictures: one zip file that holds CLASS/NAME.png (or .jpg); it is read in place and never unpacked."""

from __future__ import annotations

import hashlib
import io
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.data.images import zip_archive
from tiltyard.errors import DataError
from tiltyard.modeling.columns.image import LARGEST
from tiltyard.modeling.columns.image import Image as ImageColumn
from tiltyard.preparation.modalities.base import Modality, parse_target
from tiltyard.preparation.split import PART

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 4096  # pictures that are decoded at a time


class Image(Modality):
    """images.zip."""

    file: ClassVar = "images.zip"

    def facts(self, task: Task, folder: Path) -> pd.DataFrame:
        """One row a picture: path, label, size, whether it decodes, range of brightness, digest of its file."""
        import pandas as pd

        facts = [_facts(path, content, task.target.column) for path, content in self._files(folder)]
        frame = pd.DataFrame(facts)
        frame.attrs["repairs"] = self.notes(folder)
        return frame

    def rows(self, task: Task, folder: Path) -> tuple[Rows, Array]:
        """One row a picture, in the order of their paths."""
        rows, truth = zip(*self.parts(task, folder), strict=True)
        ((name, _),) = task.columns.items()
        return {name: np.concatenate([some[name] for some in rows])}, np.concatenate(truth)

    def parts(self, task: Task, folder: Path) -> Iterator[tuple[Rows, Array]]:
        """Some pictures at a time."""
        ((name, column),) = task.columns.items()
        assert isinstance(column, ImageColumn)  # noqa: S101 - for the type checker: a task's form is its column's
        left = self._files(folder)
        while files := [*itertools.islice(left, AT_ONCE)]:
            pictures = np.stack([_opened(column, path, content) for path, content in files])
            yield {name: pictures}, parse_target(task, [_label(path) for path, _ in files])

    def cells(self, task: Task, folder: Path, name: str) -> pd.Series[Any]:
        """Return the part that each picture belongs to by its name, as a split that is given asks for it."""
        import pandas as pd

        with zipfile.ZipFile(self.open(folder)) as archive:
            names = sorted(entry for entry in archive.namelist() if not entry.endswith("/"))
        return pd.Series([_part(entry) for entry in names], name=name)

    def _files(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        path = self.open(folder)
        try:
            with zipfile.ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if not name.endswith("/"))
                if not names:
                    raise DataError(f"{path.name}: expected CLASS/NAME.png files; it holds none")
                for name in names:
                    yield name, archive.read(name)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{path.name}: expected a whole zip file: {error}") from None

    def notes(self, folder: Path) -> list[str]:
        """What the archive's comment holds."""
        with zipfile.ZipFile(self.open(folder)) as archive:
            return zip_archive.notes(archive)


def _opened(column: ImageColumn, path: str, content: bytes) -> Array:
    """Decode a file; a complaint names it."""
    try:
        return column.open(content)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _label(path: str) -> str:
    return path.split("/")[-2] if "/" in path else ""


def _part(path: str) -> str:
    """Return what stands in front of the name, as folders above the classes do: train-0001.png."""
    return path.rsplit("/", maxsplit=1)[-1].partition("-")[0]


def _facts(path: str, content: bytes, target: str) -> dict[str, Any]:
    from PIL import Image as Pillow

    facts: dict[str, Any] = {
        "path": path,
        PART: _part(path),
        target: _label(path),
        "digest": hashlib.sha256(content).hexdigest(),
        "decodes": False,
    }
    try:
        picture = Pillow.open(io.BytesIO(content), formats=["PNG", "JPEG"])
        facts |= {"width": picture.width, "height": picture.height, "channels": len(picture.getbands())}
        if picture.width * picture.height <= LARGEST:
            pixels = np.asarray(picture)
            facts |= {"decodes": True, "darkest": int(pixels.min()), "brightest": int(pixels.max())}
    except (OSError, SyntaxError, ValueError):
        pass  # `decodes` stays False: an expectation reports it with all others
    return facts
