"""Loaded models: changed packages are refused, and predictions are always valid JSON."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tiltyard import files
from tiltyard.errors import PackageError, RequestError
from tiltyard.modeling.inference.predictor import version
from tiltyard.serving.model.loaded_model import LoadedModel, find_packages


def test_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    """The error says what is missing and which command creates it."""
    with pytest.raises(PackageError, match=r"expected schema\.json") as caught:
        LoadedModel.load(tmp_path)
    assert caught.value.hint == "make one: tiltyard run TASK"


def test_changed_files_are_refused(packages: dict[str, Path], tmp_path: Path) -> None:
    """An edited encoder is refused, since its version differs from the schema's."""
    folder = tmp_path / "iris"
    shutil.copytree(packages["iris"], folder)
    text = (folder / "encoder.json").read_text()
    (folder / "encoder.json").write_text(text.replace("setosa", "rose"))
    with pytest.raises(PackageError, match="was changed: expected version"):
        LoadedModel.load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("fitted", {}), ("target", 1), ("columns", None), ("problem", {}), ("bare", 7), ("classes", [[]])],
)
def test_invalid_content_is_a_package_error(packages: dict[str, Path], tmp_path: Path, key: str, value: object) -> None:
    """Whatever a file holds whose hashes agree, the error names the package and what to do."""
    folder = tmp_path / "iris"
    shutil.copytree(packages["iris"], folder)
    files.write_json(folder / "encoder.json", {**files.read_json(folder / "encoder.json"), key: value})
    schema = files.read_json(folder / "schema.json")
    files.write_json(folder / "schema.json", {**schema, "version": version(folder)})
    with pytest.raises(PackageError, match="is no valid package") as caught:
        LoadedModel.load(folder)
    assert "dvc checkout" in caught.value.hint


def test_values_that_overflow_the_model_are_refused(packages: dict[str, Path], tmp_path: Path) -> None:
    """Values that overflow the model are refused, since JSON has no infinity."""
    folder = tmp_path / "diabetes"
    shutil.copytree(packages["diabetes"], folder)
    encoder = files.read_json(folder / "encoder.json")
    for column in encoder["columns"].values():
        column.pop("bounds", None)
    files.write_json(folder / "encoder.json", encoder)
    schema = files.read_json(folder / "schema.json")
    files.write_json(folder / "schema.json", {**schema, "version": version(folder)})
    valid = schema["example"]
    huge = {name: value if name == "sex" else 3.4e38 for name, value in valid.items()}
    with pytest.raises(RequestError, match="too large for the model") as caught:
        LoadedModel.load(folder).predict([valid, huge])
    assert (caught.value.code, caught.value.field) == ("out_of_bounds", "instances[1]")


def test_only_complete_packages_are_found(tmp_path: Path) -> None:
    """Incomplete folders are not found."""
    for name in ("iris/old", "iris/new", "sine/one", "iris/.new-half"):
        files.write_json(tmp_path / "packages" / name / "schema.json", {})
    assert [path.name for path in find_packages(tmp_path)] == ["new", "old", "one"]


def test_nothing_to_serve_is_an_error(tmp_path: Path) -> None:
    """An empty folder is refused with a hint."""
    with pytest.raises(PackageError, match="nothing to serve"):
        find_packages(tmp_path)
