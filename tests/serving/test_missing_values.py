"""Missing values and texts over REST."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import generated_tasks
import random_models
from starlette_client import TestClient

from tiltyard.config.task import Task
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.predict import predict, predict_csv
from tiltyard.workspace import Workspace


@contextmanager
def serving(space: Workspace, make: Callable[[Workspace], Task]) -> Iterator[tuple[LoadedModel, TestClient]]:
    """Serve a small random model of a task."""
    served = LoadedModel.load(
        random_models.write_champion(space, random_models.write_evaluated(space, make(space).name))
    )
    app = create_app()
    install(app, [served])
    with TestClient(app) as client:
        yield served, client


def test_null_is_accepted_for_columns_with_missing_values(workspace: Workspace) -> None:
    """Null is accepted by columns with missing values, and refused by name in others; NaN is invalid."""
    with serving(workspace, generated_tasks.prepare_table) as (served, client):
        unknown = {**served.schema["example"], "age": None, "since": None}
        body = json.dumps({"instances": [{**unknown, "age": float("nan")}]})
        no_number = client.post("/v1/models/people:predict", content=body)
        refused = client.post("/v1/models/people:predict", json={"instances": [{**unknown, "income": None}]})
        response = client.post("/v1/models/people:predict", json={"instances": [unknown]}).json()
        properties = client.get("/v1/models/people/schema").json()["instance"]["properties"]
    assert response["predictions"] == served.predict([unknown])
    assert no_number.json()["error"]["code"] == "not_finite"
    assert refused.json()["error"]["field"] == "instances[0].income"
    assert (properties["age"]["type"], properties["income"]["type"]) == (["number", "null"], "number")


def test_text_is_an_instance(workspace: Workspace) -> None:
    """A text is an instance, in any script; other types are refused with their index."""
    with serving(workspace, generated_tasks.prepare_texts) as (served, client):
        texts = ["dear 友達", "shut up"]
        response = client.post("/v1/models/moods:predict", json={"instances": texts}).json()
        invalid = client.post("/v1/models/moods:predict", json={"instances": ["dear", {"message": "dear"}]})
    assert response["predictions"] == served.predict(texts)
    assert invalid.json()["error"] == {
        "code": "wrong_type",
        "field": "instances[1]",
        "message": "expected text; received {'message': 'dear'}",
    }


def test_csv_files_are_predicted_like_requests(workspace: Workspace, tmp_path: Path) -> None:
    """In CSV files, empty cells are null, words for booleans are parsed, and numeric texts stay texts."""
    people, moods = generated_tasks.prepare_table(workspace), generated_tasks.prepare_texts(workspace)
    for task in (people, moods):
        random_models.write_champion(workspace, random_models.write_evaluated(workspace, task.name))
    example = people.serve.example
    cells = {**example, "age": "", "member": "YES"}
    (tmp_path / "people.csv").write_text(",".join(cells) + "\n" + ",".join(map(str, cells.values())))
    instance = json.dumps({**example, "age": None, "member": True})
    assert predict_csv(workspace, people, tmp_path / "people.csv") == predict(workspace, people, instance)
    (tmp_path / "moods.csv").write_text("message\n123\n")
    assert predict_csv(workspace, moods, tmp_path / "moods.csv") == predict(workspace, moods, '"123"')
