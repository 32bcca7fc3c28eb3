"""Source `sklearn`: data sets bundled with scikit-learn, tables as CSV, images as a zip of PNG files by class."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from tiltyard.data.images import image_files
from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace


class Sklearn(Source):
    """A bundled data set by name."""

    kind: Literal["sklearn"]
    dataset: Literal["diabetes", "iris", "digits"]

    def version(self) -> str:
        """Return the versions of the libraries that contain and write the data."""
        return " ".join(f"{name} {metadata.version(name)}" for name in ("scikit-learn", "pandas", "pillow"))

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.csv, or images.zip with CLASS/NUMBER.png."""
        if self.dataset == "digits":
            image_files.write(folder / "images.zip", _digits())
        else:
            _table(self.dataset).to_csv(folder / "table.csv", index=False, lineterminator="\n")


def _table(dataset: str) -> Any:
    from sklearn import datasets

    if dataset == "diabetes":
        bunch = datasets.load_diabetes(as_frame=True, scaled=False)
        return bunch.frame.rename(columns={"target": "progression"}).astype({"sex": int})
    bunch = datasets.load_iris(as_frame=True)
    names = {name: name.removesuffix(" (cm)").replace(" ", "_") for name in bunch.feature_names}
    frame = bunch.frame.rename(columns=names)
    frame["species"] = [bunch.target_names[code] for code in frame.pop("target")]
    return frame


def _digits() -> Iterator[tuple[str, bytes]]:
    from PIL import Image
    from sklearn import datasets

    bunch = datasets.load_digits()
    for number, (pixels, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        content = io.BytesIO()
        Image.fromarray((pixels * 15).astype("uint8"), "L").save(content, "PNG")  # 0..16 becomes 0..240
        yield f"{label}/{number:04}.png", content.getvalue()
