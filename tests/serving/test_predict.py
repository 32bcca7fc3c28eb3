"""The command predict: predictions for JSON and CSV without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import RegistryError, RequestError
from tiltyard.registry.registry import Registry
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.predict import predict, predict_csv
from tiltyard.workspace import Workspace

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def load_served_model(space: Workspace, name: str) -> LoadedModel:
    """Load a champion like the service."""
    champion = Registry(space).champion(name)
    assert champion is not None
    return LoadedModel.load(space.package(name, champion.version))


@pytest.mark.parametrize("wrap", [lambda i: i, lambda i: [i], lambda i: {"instances": [i]}])
@pytest.mark.parametrize("name", ["iris", "sine"])
def test_single_instance_needs_no_list(champions_project: Workspace, name: str, wrap: Any) -> None:
    """An instance, a list of instances and a REST body get the same predictions."""
    task = loader.load(champions_project, name)
    prediction = predict(champions_project, task, json.dumps(wrap(task.serve.example)))
    assert prediction == load_served_model(champions_project, name).predict([task.serve.example])


def test_invalid_requests_are_refused_as_by_the_service(champions_project: Workspace) -> None:
    """Malformed JSON and invalid instances raise RequestError, as over REST."""
    task = loader.load(champions_project, "iris")
    for text, code in (("{", "malformed_json"), ("[]", "no_instances"), ('{"a": 1}', "missing_field")):
        with pytest.raises(RequestError) as caught:
            predict(champions_project, task, text)
        assert caught.value.code == code


def test_missing_champion_hint_names_the_command(champions_project: Workspace) -> None:
    """Without a champion, the hint is the command that makes one."""
    with pytest.raises(RegistryError, match="no champion yet of digits") as caught:
        predict(champions_project, loader.load(champions_project, "digits"), "[]")
    assert caught.value.hint == "make one: tiltyard run digits"


def test_csv_rows_are_instances(champions_project: Workspace) -> None:
    """Raw data can be predicted: the target column is ignored, and categories keep their names."""
    task = loader.load(champions_project, "diabetes")
    predictions = predict_csv(champions_project, task, champions_project.raw("diabetes") / "table.csv")
    assert len(predictions) == 442
    assert predictions[0] == pytest.approx(
        load_served_model(champions_project, "diabetes").predict([first_row(champions_project)])[0], rel=1e-5
    )


def first_row(space: Workspace) -> dict[str, Any]:
    """Read the first row of the raw data with the csv module."""
    head, row = (space.raw("diabetes") / "table.csv").read_text().splitlines()[:2]
    values = dict(zip(head.split(","), row.split(","), strict=True))
    values.pop("progression")
    return {name: value if name == "sex" else float(value) for name, value in values.items()}


def test_csv_file_may_be_longer_than_a_request(champions_project: Workspace, tmp_path: Path) -> None:
    """Long files are predicted in parts, and errors name the row of the file."""
    task = loader.load(champions_project, "iris")
    path = tmp_path / "many.csv"
    lines = [",".join(IRIS), *[",".join(map(str, IRIS.values()))] * 2500]
    path.write_text("\n".join(lines))
    assert len(predict_csv(champions_project, task, path)) == 2500
    lines[2001] = "5.1,3.5,?,0.2"
    path.write_text("\n".join(lines))
    with pytest.raises(RequestError, match=r"row 2001\.petal_length: expected a number; received '\?'"):
        predict_csv(champions_project, task, path)


def test_invalid_rows_are_null_and_written_to_a_second_file(champions_project: Workspace, tmp_path: Path) -> None:
    """Invalid rows are null, and are written to a second file with number and reason."""
    task, path, rejected = loader.load(champions_project, "iris"), tmp_path / "some.csv", tmp_path / "some.rejected.csv"
    lines = [",".join(IRIS), *[",".join(map(str, IRIS.values()))] * 1500]
    lines[2], lines[1401] = "5.1,3.5,?,0.2", "5.1,,1.4,0.2"
    path.write_text("\n".join(lines))
    predictions = predict_csv(champions_project, task, path, rejected)
    assert [row for row, prediction in enumerate(predictions) if prediction is None] == [1, 1400]
    assert rejected.read_text(encoding="utf-8").splitlines() == [
        "rejected_row,rejected_because,sepal_length,sepal_width,petal_length,petal_width",
        "2,petal_length: expected a number; received '?',5.1,3.5,?,0.2",
        "1401,sepal_width: expected a number; received null,5.1,,1.4,0.2",
    ]


def test_csv_of_a_series_predicts_the_next_value(champions_project: Workspace) -> None:
    """For a series, the last window is predicted."""
    task = loader.load(champions_project, "sine")
    (prediction,) = predict_csv(champions_project, task, champions_project.raw("sine") / "series.csv")
    lines = (champions_project.raw("sine") / "series.csv").read_text().splitlines()
    column_index = lines[0].split(",").index("value")
    window = [float(line.split(",")[column_index]) for line in lines[-32:]]
    assert prediction == load_served_model(champions_project, "sine").predict([window])[0]


@pytest.mark.parametrize(
    ("content", "text"),
    [("a,b\n1,2\n", "expected the columns sepal_length"), ("", "the file is empty"), (b"\xff\xfe", "cannot read")],
)
def test_invalid_csv_files_are_refused(
    champions_project: Workspace, tmp_path: Path, content: str | bytes, text: str
) -> None:
    """Missing columns and files that are not text are reported."""
    path = tmp_path / "bad.csv"
    files.write_bytes(path, content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RequestError, match=text):
        predict_csv(champions_project, loader.load(champions_project, "iris"), path)
    with pytest.raises(RequestError, match="cannot read"):
        predict_csv(champions_project, loader.load(champions_project, "iris"), tmp_path / "none.csv")


def test_csv_file_without_rows_is_refused(champions_project: Workspace, tmp_path: Path) -> None:
    """A file without rows is an error."""
    (tmp_path / "empty.csv").write_text(",".join(IRIS) + "\n")
    with pytest.raises(RequestError, match="received a header alone"):
        predict_csv(champions_project, loader.load(champions_project, "iris"), tmp_path / "empty.csv")
