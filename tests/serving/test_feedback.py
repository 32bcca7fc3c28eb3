"""Feedback: clients can send the ground truth of their own predictions only, within rate limits."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import random_models
from starlette.applications import Starlette
from starlette_client import TestClient

from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.monitoring import records
from tiltyard.monitoring.live_quality import LiveQuality, load_live_quality
from tiltyard.serving import serve
from tiltyard.serving.http import api_keys, feedback
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.http.middleware import request_id
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.serving.requests.json_body import decode
from tiltyard.serving.traffic.append_log import AppendLog, list_files
from tiltyard.serving.traffic.feedback_limits import SENDER_LIMITS, TASK_LIMIT, FeedbackLimits
from tiltyard.serving.traffic.feedback_token import TOKEN
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

PREDICT, FEEDBACK = "/v1/models/iris:predict", "/v1/models/iris:feedback"
BODY = {"instances": [random_models.IRIS]}
Served = tuple[Workspace, list[str], Starlette, ChampionWatcher]


@pytest.fixture
def client(served_project: Served, recorder: Recorder) -> Iterator[TestClient]:
    """Return a client of a service without API keys that records everything."""
    assert recorder.share == 1
    with TestClient(served_project[2]) as client:
        yield client


@pytest.fixture
def task(served_project: Served) -> Task:
    """Return the task iris."""
    return loader.load(served_project[0], "iris")


def send_request(client: TestClient, name: str = "", *, count: int = 1, key: str = "") -> dict[str, Any]:
    """Send a request, with a given id if there is one; return the fields of a truth except its value."""
    headers = {name: value for name, value in (("x-request-id", name), ("x-api-key", key)) if value}
    response = client.post(PREDICT, json={"instances": [random_models.IRIS] * count}, headers=headers)
    assert response.status_code == 200
    return {"id": response.headers["x-request-id"], "token": response.headers["x-feedback-token"]}


def send_truth(client: TestClient, truth: str, **item: Any) -> httpx.Response:
    """Send a truth."""
    response: httpx.Response = client.post(FEEDBACK, json={"feedback": [{**item, "truth": truth}]})
    return response


def live_quality(project: Served, recorder: Recorder) -> LiveQuality:
    """Join truths with predictions."""
    recorder.sender.finish()
    return load_live_quality(project[0], loader.load(project[0], "iris"))


def truths_by_prediction(project: Served, recorder: Recorder) -> list[str | None]:
    """Return the truth of each prediction, in the order of the requests."""
    rows = live_quality(project, recorder).predictions
    return [json.loads(one) if isinstance(one, str) else None for one in rows["truth"]]


def test_request_ids_do_not_depend_on_the_random_seed() -> None:
    """Request ids do not depend on the seed of the random module."""
    drawn = set()
    for _ in range(500):
        random.seed(1)
        drawn.add(request_id([]))
    assert len(drawn) == 500


def test_equal_request_ids_have_separate_truths(client: TestClient, served_project: Served, recorder: Recorder) -> None:
    """With equal ids, each truth belongs to the prediction of its token, in any order."""
    own, other = send_request(client, "order-1"), send_request(client, "order-1")
    assert own["id"] == other["id"] == "order-1"
    for item, truth in ((other, "virginica"), (own, "setosa"), (other, "versicolor")):
        assert send_truth(client, truth, **item).status_code == 200
    assert truths_by_prediction(served_project, recorder) == ["setosa", "versicolor"]
    assert live_quality(served_project, recorder).feedback == {"truths": 3, "repeated": 1, "unknown": 0, "waiting": 0}


def test_truths_can_be_corrected_a_few_times(client: TestClient, served_project: Served, recorder: Recorder) -> None:
    """The last correction counts, and at most three of each instance are accepted."""
    item = send_request(client, count=2)
    for truth in ("virginica", "setosa", "versicolor", "virginica"):
        for index in (0, 1):
            assert send_truth(client, truth, instance=index, **item).status_code == 200
    refusal = send_truth(client, "setosa", **item)
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (429, "too_many_corrections")
    assert refusal.json()["error"]["field"] == "feedback[0].token"
    assert truths_by_prediction(served_project, recorder) == ["virginica", "virginica"]
    assert send_truth(client, "setosa", **send_request(client)).status_code == 200


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"token": None}, (400, "wrong_type", "token")),
        ({"token": 7}, (400, "wrong_type", "token")),
        ({"token": ""}, (400, "wrong_type", "token")),
        ({"token": "\n"}, (400, "wrong_type", "token")),
        ({"token": f"{'0' * 32}.1.{'0' * 32}"}, (403, "unknown_token", "token")),
        ({"id": "other"}, (403, "unknown_token", "token")),
        ({"instance": 1}, (400, "out_of_bounds", "instance")),
    ],
)
def test_invalid_token_is_refused(
    client: TestClient, recorder: Recorder, change: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    """A missing, invalid or foreign token, or an instance that does not exist, is refused."""
    good = send_request(client)
    refusal = client.post(
        FEEDBACK, json={"feedback": [{**good, "truth": "setosa"}, {**good, "truth": "setosa", **change}]}
    )
    error = refusal.json()["error"]
    assert (refusal.status_code, error["code"], error["field"].removeprefix("feedback[1].")) == expected
    assert not (recorder.folder / "iris/truths").exists()


def test_truth_without_a_token_is_refused(client: TestClient, recorder: Recorder) -> None:
    """Without API keys, the request id alone is refused."""
    refusal = send_truth(client, "setosa", id=send_request(client)["id"])
    assert (refusal.status_code, refusal.json()["error"]["field"]) == (400, "feedback[0].token")
    assert not (recorder.folder / "iris/truths").exists()


def test_unreadable_secret_does_not_fail_predictions(
    client: TestClient, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """If the secret cannot be read, predictions are recorded without token, and the reason is logged once."""
    recorder.folder.mkdir(parents=True)
    (recorder.folder / ".secret").write_bytes(b"short")
    for _ in range(2):
        response = client.post(PREDICT, json=BODY)
        assert response.status_code == 200
        assert "x-feedback-token" not in response.headers
    recorder.sender.finish()
    assert recorder.sender.counts == {("champion", "written"): 2}
    assert caplog.text.count("carry no feedback token") == 1


def test_only_recorded_responses_have_a_token(served_project: Served, recorder: Recorder) -> None:
    """Responses have a token if and only if they are recorded, in both protocols."""
    app = served_project[2]
    with TestClient(app) as client:
        tensors = [
            {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
            for name, value in random_models.IRIS.items()
        ]
        for path, body in ((PREDICT, BODY), ("/v2/models/iris/infer", {"inputs": tensors})):
            assert TOKEN.fullmatch(client.post(path, json=body).headers["x-feedback-token"])
        assert "x-feedback-token" not in client.post(PREDICT, json={"instances": []}).headers
        recorder.sender.max_bytes = 0
        assert "x-feedback-token" not in client.post(PREDICT, json=BODY).headers
        app.state.recorder = Recorder(served_project[0].records)
        assert "x-feedback-token" not in client.post(PREDICT, json=BODY).headers


def test_feedback_is_refused_without_records(served_project: Served, tmp_path: Path) -> None:
    """Feedback is refused if nothing is recorded, but accepted for earlier records."""
    app = served_project[2]
    with TestClient(app) as client:
        for recorder in (None, Recorder(tmp_path / "none")):
            app.state.recorder = recorder
            refusal = send_truth(client, "setosa", id="a")
            assert (refusal.status_code, refusal.json()["error"]["code"]) == (404, "no_records")
        assert not (tmp_path / "none").exists()
        app.state.recorder = Recorder(tmp_path / "some", 1.0)
        item = send_request(client)
        app.state.recorder.sender.finish()
        app.state.recorder = Recorder(tmp_path / "some")
        assert send_truth(client, "setosa", **item).status_code == 200


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "application/jsonx"],
)
def test_feedback_requires_a_json_content_type(client: TestClient, recorder: Recorder, kind: str) -> None:
    """Content types that a web form can send without CORS preflight are refused."""
    text = json.dumps({"feedback": [{**send_request(client), "truth": "setosa"}]})
    refusal = client.post(FEEDBACK, content=text, headers={"content-type": kind})
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (415, "unsupported_type")
    assert not (recorder.folder / "iris/truths").exists()
    assert client.post(FEEDBACK, content=text, headers={"content-type": "Application/JSON; charset=utf-8"}).is_success


def test_feedback_needs_a_request_slot(client: TestClient, served_project: Served) -> None:
    """Feedback needs a request slot and receives 429 if all are taken."""
    admission, item = served_project[2].state.admission, send_request(client)
    admission.active = admission.limits.concurrency
    assert send_truth(client, "setosa", **item).json()["error"]["code"] == "too_many_requests"
    admission.active = 0
    assert send_truth(client, "setosa", **item).status_code == 200
    assert admission.active == 0


@pytest.fixture
def service_with_keys(
    served_project: Served, recorder: Recorder, tmp_path: Path
) -> Iterator[tuple[TestClient, list[str]]]:
    """Return a client of a service that requires API keys, and two keys."""
    own = [api_keys.add(tmp_path / "keys", name) for name in ("mary", "robot")]
    app = create_app(Limits(keys=api_keys.read(tmp_path / "keys")))
    install(app, served_project[2].state.models.values())
    app.state.recorder = recorder
    with TestClient(app) as client:
        yield client, own


def test_with_api_keys_a_truth_belongs_to_the_senders_prediction(
    service_with_keys: tuple[TestClient, list[str]], served_project: Served, recorder: Recorder
) -> None:
    """With an API key no token is needed, and a truth belongs to the sender's own prediction."""
    client, (mary, robot) = service_with_keys
    item = send_request(client, "order-1", key=mary)

    def truth_status(key: str, truth: str, **more: str) -> int:
        body = {"feedback": [{"id": "order-1", "truth": truth, **more}]}
        response = client.post(FEEDBACK, json=body, headers={"x-api-key": key})
        return int(response.status_code)

    assert [truth_status(robot, "virginica"), truth_status(mary, "setosa"), truth_status(robot, "virginica")] == [
        200
    ] * 3
    assert truths_by_prediction(served_project, recorder) == ["setosa"]
    assert live_quality(served_project, recorder).feedback["unknown"] == 1
    assert truth_status(robot, "versicolor", token=item["token"]) == 200
    assert truths_by_prediction(served_project, recorder) == ["versicolor"]
    text = "".join(path.read_text() for path, _ in list_files(recorder.folder / "iris/answers"))
    assert "mary" not in text


def test_rate_limit_of_a_sender_does_not_affect_others(
    service_with_keys: tuple[TestClient, list[str]], recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender above its rate limit receives 429, while others are accepted up to the task's limit."""
    client, (mary, robot) = service_with_keys
    clock, (at_once, (burst, per_second)) = [0.0], SENDER_LIMITS
    assert burst < 200 * at_once[0]  # what 200 floods, a minute each, exceed: an eighth is enough to see it
    monkeypatch.setattr(f"{FeedbackLimits.__module__}.SENDER_LIMITS", (at_once, (burst / 8, per_second / 8)))
    recorder.truths.limits = FeedbackLimits(clock=lambda: clock[0])
    many = {"feedback": [{"id": f"{number:064}", "truth": "setosa"} for number in range(1000)]}
    send_request(client, key=mary)
    recorder.sender.finish()

    def flood(key: str) -> int:
        for count in range(100):
            response = client.post(FEEDBACK, json=many, headers={"x-api-key": key})
            if response.status_code != 200:
                assert (response.status_code, response.headers["retry-after"]) == (429, "1")
                assert "send it again in " in response.json()["error"]["message"]
                return count
        return 100

    first, second = flood(mary), flood(robot)
    assert 0 < second <= first < 30
    size = sum(path.stat().st_size for path, _ in list_files(recorder.folder / "iris/truths"))
    assert size <= TASK_LIMIT[0]
    assert flood(mary) == 0
    clock[0] += 3600
    assert flood(mary) == first
    monkeypatch.setattr(AppendLog, "add", lambda *_, **__: True)
    for _ in range(200 // 8):
        clock[0] += 60
        if not flood(mary):
            break
    else:
        pytest.fail("no limit of a day")


def test_invalid_feedback_counts_against_the_rate_limit(
    client: TestClient, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invalid bodies count against the rate limit; above it, bodies are not read."""
    send_request(client)
    recorder.sender.finish()
    recorder.truths.limits = FeedbackLimits(clock=lambda: 0.0)
    invalid_body, reads = json.dumps({"feedback": [{"id": "?" * 200_000, "truth": "setosa"}]}), list[int]()

    def counting_decode(body: bytes) -> object:
        reads.append(len(body))
        return decode(body)

    monkeypatch.setattr("tiltyard.serving.http.feedback.decode", counting_decode)
    statuses = [
        client.post(FEEDBACK, content=invalid_body, headers={"content-type": "application/json"}).status_code
        for _ in range(20)
    ]
    assert statuses == [400] * len(reads) + [429] * (20 - len(reads))
    assert sum(reads) <= SENDER_LIMITS[0][0]


@pytest.mark.parametrize("value", [b"[]", b"{}", b"1", b'""', b"[1,2]", b'{"":0}', b"[[[]]]"])
def test_too_many_values_are_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch, value: bytes) -> None:
    """A body with too many values is refused before it is decoded."""
    monkeypatch.setattr("tiltyard.serving.http.feedback.decode", lambda _: pytest.fail("it was decoded"))
    many = (feedback.MAX_BODY_BYTES - 100) // (len(value) + 1)
    for body in (b'{"feedback":[%s]}', b'{"x":[%s]}', b"[%s]"):
        content = body % b",".join([value] * many)
        response = client.post(FEEDBACK, content=content, headers={"content-type": "application/json"})
        assert (response.status_code, response.json()["error"]["code"]) == (413, "too_many")


def test_maximum_number_of_truths_fits_into_a_body(client: TestClient, recorder: Recorder) -> None:
    """The maximum number of truths fits into a body, with long ids, tokens and labels."""
    token, label = f"{'0' * 32}.64.{'0' * 32}", "[a, {b}, c], "
    item = {"id": "i" * 64, "token": token, "instance": 63, "truth": label}
    content = json.dumps({"feedback": [item] * feedback.MAX_TRUTHS}).encode()
    assert len(content) < feedback.MAX_BODY_BYTES
    response = client.post(FEEDBACK, content=content, headers={"content-type": "application/json"})
    assert response.json()["error"]["code"] == "unknown_label"
    assert not recorder.truths.used


def test_full_disk_is_reported(client: TestClient, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a full disk, the client receives 503 and may send the truth again."""
    item = send_request(client)
    with monkeypatch.context() as patch:
        patch.setattr(
            AppendLog, "_append", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        refusal = send_truth(client, "setosa", **item)
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (503, "not_kept")
    assert send_truth(client, "setosa", **item).status_code == 200
    assert recorder.truths.used == {item["token"]: 1}


def test_first_truth_counts_in_records_without_owners(served_project: Served, task: Task) -> None:
    """In records of an earlier release without owners, the first truth counts."""
    space = served_project[0]
    prediction = {"label": "setosa", "probabilities": {name: float(name == "setosa") for name in task.classes}}
    line = {"id": "a", "time": 1.0, "ms": 1.0, "arm": "champion", "version": "0" * 12}
    spool = AppendLog(space.records / "iris/answers")
    spool.add(json.dumps({**line, "instances": [random_models.IRIS], "predictions": [prediction]}).encode())
    spool.close()
    truth_log = AppendLog(space.records / "iris/truths")
    for time, truth in enumerate(("versicolor", "setosa", "virginica")):
        items = [{"id": "a", "instance": 0, "truth": truth}]
        truth_log.add(json.dumps({"time": float(time), "truths": items}).encode())
    assert [*load_live_quality(space, task).predictions["truth"]] == ['"versicolor"']
    records.compact(space, task)
    assert [*load_live_quality(space, task).predictions["truth"]] == ['"versicolor"']


def test_parquet_of_an_earlier_release_is_read(served_project: Served, task: Task, recorder: Recorder) -> None:
    """Parquet files without owners are read together with newer ones."""
    import pyarrow.parquet as pq

    with TestClient(served_project[2]) as client:
        item = send_request(client)
        assert send_truth(client, "setosa", **item).status_code == 200
    recorder.sender.finish()
    recorder.sender.close()
    for spool in recorder.truths.logs.values():
        spool.close()
    assert records.compact(served_project[0], task) == 2
    for path in (served_project[0].records / "iris").glob("*/*.parquet"):
        old = path.with_name(f"0-{path.name}")
        pq.write_table(pq.read_table(path).drop_columns(["record.owner"]), old)
    feedback = load_live_quality(served_project[0], task).feedback
    assert feedback == {"truths": 2, "repeated": 0, "unknown": 0, "waiting": 0}


@pytest.mark.smoke
def test_tokens_are_valid_for_all_workers_and_after_a_restart(packages: dict[str, Path], tmp_path: Path) -> None:
    """A token of one worker is accepted by the others and after a restart."""
    given = {"PACKAGES": str(packages["iris"]), "RECORDS": str(tmp_path / "records"), "RECORD": "1", "WORKERS": "2"}
    schema = LoadedModel.load(packages["iris"]).schema
    items: list[dict[str, Any]] = []
    for turn in range(2):
        environment = serve.environment(given, tmp_path)
        with smoke_test.running(SERVER, environment, tmp_path / f"home{turn}") as server:
            for _ in range(10):
                response = httpx.post(server.url + PREDICT, json={"instances": [schema["example"]]})
                items.append({"id": response.headers["x-request-id"], "token": response.headers["x-feedback-token"]})
            for item in items:
                body = {"feedback": [{**item, "truth": "setosa"}]}
                assert httpx.post(server.url + FEEDBACK, json=body).status_code == 200
            forged = {"feedback": [{"id": items[0]["id"], "truth": "setosa"}]}
            assert httpx.post(server.url + FEEDBACK, json=forged).status_code == 400
