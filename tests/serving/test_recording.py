"""Recording process: order, bounds, and what happens when it or the service ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import random_models
from starlette.applications import Starlette
from starlette_client import TestClient

from tiltyard.config import loader
from tiltyard.monitoring import traffic
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.recording import sender
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.serving.requests import attributions, predict_request
from tiltyard.serving.requests.message import RequestMessage
from tiltyard.serving.traffic.append_log import list_files, read_lines
from tiltyard.serving.traffic.traffic_split import Assignment
from tiltyard.workspace import Workspace

BODY = json.dumps({"instances": [random_models.IRIS]}).encode()
START_PROCESS = sender.start_process  # tests of other modules use a thread instead
ServedProject = tuple[Workspace, list[str], Starlette, ChampionWatcher]
SERVICE = """\
import sys, time
from pathlib import Path
from tiltyard.serving.model.loaded_model import LoadedModel
sys.path.append({folder!r})
from test_recording import Recorder, record
recorder, model = Recorder(Path({records!r})), LoadedModel.load(Path({package!r}))
for number in range(20):
    record(recorder, model, str(number))
recorder.sender.finish()
print(recorder.sender.process.process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """A recorder with a process."""
    monkeypatch.setattr(sender, "start_process", START_PROCESS)
    monkeypatch.setattr(sender, "RESTART_SECONDS", 0.1)
    recorder = Recorder(tmp_path / "records")
    yield recorder
    recorder.sender.close()


@pytest.fixture
def iris(packages: dict[str, Path]) -> LoadedModel:
    """A model of iris."""
    return LoadedModel.load(packages["iris"])


def record(
    recorder: Recorder, model: LoadedModel, name: str, copy: LoadedModel | None = None, body: bytes = BODY
) -> bool:
    """Record a request; return whether its response has a token."""
    response, scope = predict_request.respond_compiled(model, BODY), {"id": name}
    assert response
    recorder.record(scope, Assignment(model, copy=copy), RequestMessage("v1", body), response)
    return "feedback_token" in scope


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Return all records of iris."""
    return [json.loads(line) for path, _ in list_files(folder / "iris/answers") for line in read_lines(path)]


def process_of(recorder: Recorder) -> psutil.Process:
    """Wait for the process of a recorder to start, and return it."""
    deadline = time.monotonic() + 60
    while not (process := recorder.sender.process) or process.ended:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return psutil.Process(process.process.pid)


def test_clean_stop_writes_all_records_in_order(recorder: Recorder, iris: LoadedModel) -> None:
    """All requests and copies that wait at a clean stop are written, in the order of the requests; nothing is left."""
    names = [str(number) for number in range(300)]
    assert all(record(recorder, iris, name, copy=iris) for name in names)
    process = process_of(recorder)
    recorder.sender.close()
    assert not process.is_running()
    for arm in ("champion", "shadow"):
        lines = [line for line in read_records(recorder.folder) if line["arm"] == arm]
        assert [line["id"] for line in lines] == names
        assert all(line["instances"] == [random_models.IRIS] and line["ms"] > 0 for line in lines)
        assert recorder.sender.counts[arm, "written"] == len(names)


def test_killed_process_is_replaced(recorder: Recorder, iris: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    """After the process was killed, what it had received is counted as failed, and later requests are written."""
    assert record(recorder, iris, "first")
    recorder.sender.finish()
    process, running_process = process_of(recorder), recorder.sender.process
    process.suspend()
    for number in range(5):
        assert record(recorder, iris, str(number))
    deadline = time.monotonic() + 20
    while recorder.sender.waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert running_process
    running_process.process.wait(20)  # psutil would take the status that the sender waits for
    recorder.sender.finish()
    assert record(recorder, iris, "last")
    recorder.sender.finish()
    assert recorder.sender.counts == {("champion", "written"): 2, ("champion", "failed"): 5}
    assert [line["id"] for line in read_records(recorder.folder)] == ["first", "last"]
    assert "the recording process has ended with status -9; another one is started" in caplog.text


def test_queue_of_a_process_that_hangs_is_bounded(recorder: Recorder, iris: LoadedModel) -> None:
    """While the process hangs, no request waits, and those that do not fit are dropped; later the rest is written."""
    recorder.sender.max_bytes = 500_000
    assert record(recorder, iris, "first")
    recorder.sender.finish()
    process, body = process_of(recorder), BODY + b" " * 10_000
    process.suspend()
    started_at = time.monotonic()
    sent = [record(recorder, iris, str(number), body=body) for number in range(500)]
    assert time.monotonic() - started_at < 5
    assert recorder.sender.held_bytes <= 500_000
    process.resume()
    recorder.sender.finish()
    assert 0 < sum(sent) < 500
    assert recorder.sender.counts == {
        ("champion", "written"): 1 + sum(sent),
        ("champion", "dropped"): 500 - sum(sent),
    }


def test_process_that_hangs_at_a_clean_stop_is_killed(
    recorder: Recorder, iris: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean stop does not wait for a process that hangs."""
    for module in (sender, sender):
        monkeypatch.setattr(module, "FLUSH_SECONDS", 0.5)
    record(recorder, iris, "first")
    process = process_of(recorder)
    process.suspend()
    started_at = time.monotonic()
    recorder.sender.close()
    assert time.monotonic() - started_at < 10
    assert not process.is_running()


def test_process_that_cannot_start_costs_no_request(
    recorder: Recorder, iris: LoadedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If no process can be started, requests are recorded once one can, and the reason is logged once."""

    def fail(*_: object) -> None:
        raise OSError("no more processes")

    with monkeypatch.context() as patch:
        patch.setattr(sender, "start_process", fail)
        assert record(recorder, iris, "first")
        time.sleep(0.5)
    recorder.sender.finish()
    assert recorder.sender.counts == {("champion", "written"): 1}
    assert caplog.text.count("recording: OSError: no more processes") == 1


def test_process_ends_when_the_service_is_killed(packages: dict[str, Path], tmp_path: Path) -> None:
    """After `kill -9` of the service, its recording process ends, and every record that it received is there."""
    script = SERVICE.format(folder=str(Path(__file__).parent), records=str(tmp_path), package=str(packages["iris"]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as service:
        assert service.stdout
        process = psutil.Process(int(service.stdout.readline()))
        os.kill(service.pid, signal.SIGKILL)
    with contextlib.suppress(psutil.NoSuchProcess):
        process.wait(20)
    assert len(read_records(tmp_path)) == 20


def test_both_paths_record_the_same(served_project: ServedProject, tmp_path: Path) -> None:
    """Records of a request and of its copy are equal, whether the fast path or the general path has answered it."""
    space, versions, app, watcher = served_project
    traffic.start_rollout(space, loader.load(space, "iris"), (versions[1], "shadow"), 1.0)
    watcher.poll()
    found = []
    for fast in (True, False):
        recorder = app.state.recorder = Recorder(tmp_path / str(fast))
        app.state.fast_path = fast
        with TestClient(app) as client:
            response = client.post("/v1/models/iris:predict", content=BODY, headers={"x-request-id": "one"})
        assert response.headers["x-feedback-token"]
        recorder.sender.close()
        lines = sorted(read_records(recorder.folder), key=lambda line: str(line["arm"]))
        found.append([{key: line[key] for key in line.keys() - {"time", "ms", "owner"}} for line in lines])
    assert found[0] == found[1]
    assert [line["version"] for line in found[0]] == versions[:2]


TABLE = ",".join(random_models.IRIS) + "\n" + ",".join(map(str, random_models.IRIS.values())) + "\n"
LONG_REQUESTS = {
    "CSV": (TABLE.encode(), "text/csv"),
    "explanations": (json.dumps({"instances": [random_models.IRIS], "explain": True}).encode(), "application/json"),
}


@pytest.mark.parametrize("kind", LONG_REQUESTS)
def test_copies_of_long_requests_are_predicted(
    served_project: ServedProject, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy of a table is predicted by a compute process; that of a request for explanations without explaining."""
    space, versions, app, watcher = served_project
    traffic.start_rollout(space, loader.load(space, "iris"), (versions[1], "shadow"), 1.0)
    watcher.poll()
    recorder, (body, media_type) = Recorder(tmp_path), LONG_REQUESTS[kind]
    app.state.recorder = recorder
    monkeypatch.setattr(attributions, "attributions", lambda *_: pytest.fail("a copy was explained"))
    with TestClient(app) as client:
        response = client.post("/v1/models/iris:predict", content=body, headers={"content-type": media_type})
    assert response.status_code == 200
    recorder.sender.finish()
    recorder.sender.close()
    expected = LoadedModel.load(space.package("iris", versions[1])).predict([random_models.IRIS])
    assert {line["arm"]: line["predictions"] for line in read_records(tmp_path)} == {
        "champion": response.json()["predictions"],
        "shadow": expected,
    }
