"""Source `sklearn`: data sets of scikit-learn, tables as CSV, images as a zip of PNG files by class."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tiltyard.data.images import image_files
from tiltyard.data.sources._location import FileLocation
from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace

# scikit-learn downloads these counts from elsewhere and computes ratios; this file has no bedrooms in 207 rows.
COUNTS = FileLocation(
    path="california_housing.csv.gz", sha256="613ae86108fb557d870964f12d2d84ad260a835c465cab596976465649a48cff"
)


class Sklearn(Source):
    """A data set by name; california_housing needs a file from the mirror, the others are bundled."""

    kind: Literal["sklearn"]
    dataset: Literal["diabetes", "iris", "digits", "california_housing"] = Field(
        description="The name of the data set."
    )

    def version(self) -> str:
        """Return the versions of the libraries that contain and write the data."""
        return " ".join(f"{name} {metadata.version(name)}" for name in ("scikit-learn", "pandas", "pillow"))

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.csv, or images.zip with CLASS/NUMBER.png."""
        if self.dataset == "digits":
            image_files.write(folder / "images.zip", digits())
            return
        table = _table(self.dataset) if self.dataset != "california_housing" else _housing(workspace)
        table.to_csv(folder / "table.csv", index=False, lineterminator="\n")


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


def _housing(workspace: Workspace) -> Any:
    """Return the eight features of scikit-learn's data set and its target, without rows whose bedrooms are missing."""
    import pandas as pd

    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / COUNTS.path
        COUNTS.copy_to(path, workspace)
        COUNTS.verify(path)
        counts = pd.read_csv(path).dropna(subset="total_bedrooms")
    return pd.DataFrame(
        {
            "MedInc": counts["median_income"],
            "HouseAge": counts["housing_median_age"],
            "AveRooms": counts["total_rooms"] / counts["households"],
            "AveBedrms": counts["total_bedrooms"] / counts["households"],
            "Population": counts["population"],
            "AveOccup": counts["population"] / counts["households"],
            "Latitude": counts["latitude"],
            "Longitude": counts["longitude"],
            "MedHouseVal": counts["median_house_value"] / 100_000,
        }
    )


def digits() -> Iterator[tuple[str, bytes]]:
    """Yield each handwritten digit as a PNG file under CLASS/NUMBER.png."""
    from PIL import Image
    from sklearn import datasets

    bunch = datasets.load_digits()
    for number, (pixels, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        content = io.BytesIO()
        Image.fromarray((pixels * 15).astype("uint8"), "L").save(content, "PNG")  # 0..16 becomes 0..240
        yield f"{label}/{number:04}.png", content.getvalue()
