"""Rows with a text, a picture and other columns in the service: predictions by every way, and bounds of each part."""

from __future__ import annotations

import base64
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import generated_tasks
import msgspec
import numpy as np
import pandas as pd
import pytest
import random_models
from hostile_bodies import BODIES, LENGTH, Model
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette_client import TestClient
from workspaces import new_workspace

from tiltyard.config.task import Task
from tiltyard.errors import RequestError
from tiltyard.modeling.inference.drift_reference import from_instances
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.predict import predict_csv
from tiltyard.serving.predict_file import predict_file
from tiltyard.serving.requests import predict_request, v2_codec
from tiltyard.serving.requests.message import RequestMessage
from tiltyard.workspace import Workspace

ROW: dict[str, Any] = generated_tasks.PARCELS["serve"]["example"]
PREDICT = "/v1/models/parcels:predict"
UNUSUAL = ("NaN", "1e999", "-1", "true", "null", '"5"', "[]", "[1]", "{}", "9" * 400, '"\\ud800"', '{"b64": "x"}')


@dataclass(frozen=True)
class Project:
    """A project with a champion that has random weights."""

    workspace: Workspace
    task: Task
    model: LoadedModel


def _project(folder: Path, *, photos: bool) -> Project:
    workspace = new_workspace(folder)
    task = generated_tasks.prepare_mixed(workspace, photos=photos)
    champion = random_models.write_champion(workspace, random_models.write_evaluated(workspace, task.name))
    return Project(workspace, task, LoadedModel.load(champion))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A text, a number, a picture and a category."""
    return _project(tmp_path_factory.mktemp("parcels"), photos=True)


@pytest.fixture(scope="module")
def without_photos(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A text, a number and a category."""
    return _project(tmp_path_factory.mktemp("plain"), photos=False)


def ask(project: Project, body: Any, status: int = 200, path: str = PREDICT, **options: Any) -> Any:
    """Send a body; return the content of the response."""
    app = create_app()
    install(app, [project.model])
    options = options or {"json": body}
    with TestClient(app) as client:
        response = client.post(path, **options)
    assert response.status_code == status, response.text
    return response.json()


def general_response(model: LoadedModel, body: bytes) -> bytes | None:
    """Return the response of the general path; None if it is an error."""
    request = RequestMessage("v1", body)
    try:
        return predict_request.respond(model, predict_request.parse(model, request), record=False).content
    except RequestError:
        return None


def as_file(rows: list[list[int]]) -> dict[str, str]:
    """Return a picture as a PNG file in Base64."""
    content = io.BytesIO()
    Image.fromarray(np.array(rows, dtype=np.uint8)).save(content, "PNG")
    return {"b64": base64.b64encode(content.getvalue()).decode()}


def test_compiled_requests_have_the_response_of_the_general_path(project: Project) -> None:
    """Nested lists, a missing text and a missing price are taken by the fast path, with equal bytes."""
    rows = [ROW, {**ROW, "price": None}, {**ROW, "review": ""}, {**ROW, "size": "large"}]
    for part in (rows[:1], rows):
        body = msgspec.json.encode({"instances": part})
        assert project.model.compiled_request
        found = project.model.compiled_request.respond(body)
        assert found
        assert found[0] == general_response(project.model, body)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_values_get_the_same_response_from_both_paths(project: Project, data: st.DataObject) -> None:
    """Whatever is in a part, the fast path answers as the general one, or leaves it to that."""
    example = {name: json.dumps(value) for name, value in ROW.items()}
    row = {name: data.draw(st.just(good) | st.sampled_from(UNUSUAL)) for name, good in example.items()}
    body = f'{{"instances": [{{{", ".join(f"{json.dumps(name)}: {cell}" for name, cell in row.items())}}}]}}'.encode()
    assert project.model.compiled_request
    if found := project.model.compiled_request.respond(body):
        assert found[0] == general_response(project.model, body)


def test_a_file_predicts_as_its_pixels(project: Project) -> None:
    """A picture may be sent as nested lists or as a file beside the other columns."""
    rows = [ROW, {**ROW, "photo": as_file(ROW["photo"])}]
    first, second = ask(project, {"instances": rows})["predictions"]
    assert first == second


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"review": 5}, "instances[1].review", "wrong_type"),
        ({"price": 101}, "instances[1].price", "out_of_bounds"),
        ({"price": "x"}, "instances[1].price", "wrong_type"),
        ({"photo": [[0, 9], [9, 0]]}, "instances[1].photo", "wrong_shape"),
        ({"photo": [[0, 9, 9, 256]] * 4}, "instances[1].photo", "out_of_bounds"),
        ({"photo": {"b64": "!"}}, "instances[1].photo", "bad_base64"),
        ({"photo": as_file([[1, 2], [3, 4]])}, "instances[1].photo", "bad_image"),
        ({"photo": None}, "instances[1].photo", "wrong_shape"),
        ({"size": "huge"}, "instances[1].size", "unseen"),
        ({"more": 1}, "instances[1].more", "unknown_field"),
    ],
)
def test_an_invalid_part_is_named(project: Project, change: dict[str, Any], field: str, code: str) -> None:
    """The error names the instance and the column."""
    error = ask(project, {"instances": [ROW, {**ROW, **change}]}, 400)["error"]
    assert (error["field"], error["code"]) == (field, code)


def test_bounds_of_instances_and_of_texts_hold(project: Project) -> None:
    """Too many instances are refused; of a long text only the first words count."""
    assert ask(project, {"instances": [ROW] * 65}, 413)["error"]["code"] == "too_many"
    cut, long = ({**ROW, "review": " ".join(["good"] * count)} for count in (8, 50_000))
    first, second = ask(project, {"instances": [cut, long]})["predictions"]
    assert first == second


@pytest.mark.parametrize("binary", [False, True])
def test_open_inference_protocol_has_an_input_for_each_column(project: Project, binary: bool) -> None:
    """Texts are BYTES, the picture a tensor of its shape; the prediction is that of V1."""
    kinds = {tensor.name: (tensor.datatype, tensor.shape) for tensor in project.model.inputs}
    assert kinds == {"review": ("BYTES", ()), "price": ("FP64", ()), "photo": ("FP64", (4, 4)), "size": ("BYTES", ())}
    inputs, blobs = list[dict[str, Any]](), list[bytes]()
    for name, (datatype, shape) in kinds.items():
        values = np.array([ROW[name], ROW[name]])
        one: dict[str, Any] = {"name": name, "shape": [2, *shape], "datatype": datatype}
        if not binary:
            inputs.append({**one, "data": values.ravel().tolist()})
            continue
        texts = datatype == "BYTES"
        blob = b"".join(v2_codec.packed(text.encode()) for text in values) if texts else values.astype("<f8").tobytes()
        inputs.append({**one, "parameters": {"binary_data_size": len(blob)}})
        blobs.append(blob)
    head = json.dumps({"inputs": inputs}).encode()
    request = RequestMessage("v2", b"".join([head, *blobs]), "", str(len(head)) if binary else None)
    parsed = predict_request.parse(project.model, request)
    content = json.loads(predict_request.respond(project.model, parsed, record=False).content)
    outputs = {one["name"]: one["data"] for one in content["outputs"]}
    (expected,) = project.model.predict([ROW])
    assert outputs["label"] == [expected["label"]] * 2
    assert np.allclose(outputs["probabilities"][:2], [*expected["probabilities"].values()])


@pytest.mark.parametrize("kind", BODIES)
def test_hostile_bodies_raise_no_other_error(project: Project, kind: Any) -> None:
    """Wrong values in every part, false lengths and bombs are refused with a RequestError, or predicted."""
    inputs = [{"name": one.name, "datatype": one.datatype, "shape": [-1, *one.shape]} for one in project.model.inputs]
    served = Model("parcels", project.model.schema, inputs)
    for seed in range(40):
        body = kind(Random(seed), served)  # noqa: S311 - no secret
        media_type = body.headers.get("Content-Type", "").partition(";")[0]
        request = RequestMessage(body.protocol.lower(), body.content, media_type, body.headers.get(LENGTH))
        try:
            parsed = predict_request.parse(project.model, request)
            predict_request.respond(project.model, parsed, record=True)
        except RequestError as error:
            assert error.code  # noqa: PT017 - any other error fails the test


def test_explanations_are_by_column(project: Project) -> None:
    """Shapley values of the columns add up to the probability that is explained."""
    body = ask(project, {"instances": [ROW], "explain": True})
    (explanation,), (prediction,) = body["explanations"], body["predictions"]
    assert explanation["contributions"].keys() == ROW.keys()
    total = explanation["base"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(prediction["probabilities"][prediction["label"]], abs=1e-5)


def test_tables_are_accepted_if_no_cell_is_a_picture(project: Project, without_photos: Project) -> None:
    """CSV has the prediction of JSON; a row with a picture is no row of a table."""
    row = {name: value for name, value in ROW.items() if name != "photo"}
    text = 'review,price,size\n"good as it is",9.5,small\n,,large\n'
    headers = {"Content-Type": "text/csv"}
    found = ask(without_photos, None, content=text.encode(), headers=headers)["predictions"]
    other = {"review": None, "price": None, "size": "large"}
    assert found == ask(without_photos, {"instances": [row, other]})["predictions"]
    assert ask(project, None, 415, content=text.encode(), headers=headers)["error"]["code"] == "unsupported_type"


def test_files_are_predicted(project: Project, tmp_path: Path) -> None:
    """Rows of a file, whose pictures are Base64 in cells, are predicted with and without an output file."""
    chance = random.Random(1)  # noqa: S311 - no secret
    pictures = [generated_tasks.photo(chance, dark=dark) for dark in (True, False)]
    frame = pd.DataFrame({"review": ["good", None], "price": [5.0, None], "photo": pictures, "size": ["small"] * 2})
    frame.to_csv(tmp_path / "new.csv", index=False)
    predictions = predict_csv(project.workspace, project.task, tmp_path / "new.csv")
    instances = [
        {"review": review, "price": price, "photo": {"b64": picture}, "size": "small"}
        for review, price, picture in zip(["good", ""], [5.0, None], pictures, strict=True)
    ]
    assert predictions == project.model.predict(instances)
    frame.loc[1, "photo"] = "no picture"
    frame.to_csv(tmp_path / "new.csv", index=False)
    summary = predict_file(project.workspace, project.task, tmp_path / "new.csv", tmp_path / "out.csv")
    assert (summary["rows"], summary["rejected"]) == (1, 1)
    rejected = pd.read_csv(summary["rejected_rows"])
    assert rejected["rejected_because"].tolist() == ["photo: expected Base64 in 'b64'"]


def test_drift_values_are_by_column(project: Project) -> None:
    """A text counts words, a picture has a mean, a missing number is NaN."""
    values = from_instances(project.model.predictor.encoder, [ROW, {**ROW, "review": "", "price": None}])
    assert values["review"].tolist() == [4, 1]
    assert values["photo"].tolist() == [4.5, 4.5]
    assert values["price"][0] == 9.5
    assert np.isnan(values["price"][1])
    assert project.model.reference.keys() == values.keys()
