"""Source `sklearn`: the ratios of California's block groups from counts, and a clear error without the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from tiltyard import files
from tiltyard.data.sources import sklearn
from tiltyard.data.sources._location import MIRROR, FileLocation
from tiltyard.data.sources.sklearn import Sklearn
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

COUNTS = """longitude,latitude,housing_median_age,total_rooms,total_bedrooms,population,households,median_income,\
median_house_value,ocean_proximity
-122.5,37.5,41.0,900.0,150.0,300.0,100.0,8.25,452600.0,NEAR BAY
-121.0,38.0,10.0,900.0,,300.0,100.0,2.0,100000.0,INLAND
"""
SOURCE = Sklearn(kind="sklearn", dataset="california_housing")


def test_features_are_ratios_of_counts(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rooms, bedrooms and people are divided by households, values by 100,000; rows without bedrooms are left out."""
    path = tmp_path / "mirror" / sklearn.COUNTS.path
    path.parent.mkdir()
    path.write_bytes(gzip.compress(COUNTS.encode()))
    location = FileLocation(path=path.name, sha256=files.file_digest(path).hex())
    monkeypatch.setattr(sklearn, "COUNTS", location)
    monkeypatch.setenv(MIRROR, str(path.parent))
    (tmp_path / "raw").mkdir()
    SOURCE.fetch(tmp_path / "raw", workspace)
    assert pd.read_csv(tmp_path / "raw" / "table.csv").to_dict("records") == [
        {
            "MedInc": 8.25,
            "HouseAge": 41.0,
            "AveRooms": 9.0,
            "AveBedrms": 1.5,
            "Population": 300.0,
            "AveOccup": 3.0,
            "Latitude": 37.5,
            "Longitude": -122.5,
            "MedHouseVal": 4.526,
        }
    ]


def test_missing_file_is_reported(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the file, where it was searched, and how to supply it."""
    monkeypatch.setenv(MIRROR, str(tmp_path))
    (tmp_path / "raw").mkdir()
    with pytest.raises(SourceError, match=r"no file california_housing\.csv\.gz: looked in") as caught:
        SOURCE.fetch(tmp_path / "raw", workspace)
    assert MIRROR in str(caught.value.hint)
