"""Monitoring: every prediction is recorded once, survives kills, and is joined with its ground truth."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import random_models
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette_client import TestClient
from workspaces import half_written

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.errors import WorkspaceError
from tiltyard.monitoring import records
from tiltyard.monitoring.live_quality import load_live_quality
from tiltyard.monitoring.monitor import monitor
from tiltyard.preparation.sealed_test import read_test
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.serving.traffic.append_log import AppendLog, list_files, read_lines
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

PREDICT, FEEDBACK = "/v1/models/iris:predict", "/v1/models/iris:feedback"
ServedProject = tuple[Workspace, list[str], Starlette, ChampionWatcher]


def sealed_test_rows(space: Workspace, name: str = "iris") -> tuple[list[Any], list[Any]]:
    """Return the test rows as instances, and their ground truth as clients send it."""
    task = loader.load(space, name)
    test = read_test(space, name, task.columns)
    folder = next(space.package(name, "x").parent.glob("*/schema.json")).parent
    instances = LoadedModel.load(folder).predictor.encoder.to_json(test.rows)
    return instances, [task.classes[index] for index in test.truth] if task.classes else test.truth.tolist()


def send_requests(client: TestClient, rows: list[Any], size: int = 7) -> list[dict[str, Any]]:
    """Send requests of a few rows each; return id, token and index of each prediction, as its truth must have them."""
    sent: list[dict[str, Any]] = []
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        response = client.post(PREDICT, json={"instances": chunk})
        assert response.status_code == 200
        sent += [{**truth_fields(response), "instance": index} for index in range(len(chunk))]
    return sent


def truth_fields(response: Any) -> dict[str, str]:
    """Return the fields that a truth must have in addition to its value."""
    return {"id": response.headers["x-request-id"], "token": response.headers["x-feedback-token"]}


def close_recorder(recorder: Recorder) -> None:
    """Write pending records and close the files, like a worker that ends."""
    recorder.sender.close()
    for spool in recorder.truths.logs.values():
        spool.close()


def test_live_quality_equals_the_evaluation_on_the_same_rows(served_project: ServedProject, recorder: Recorder) -> None:
    """Live quality on the sealed rows equals the metric of the evaluation."""
    space, (first, *_), app, _ = served_project
    task, (rows, truths) = loader.load(space, "iris"), sealed_test_rows(space)
    with TestClient(app) as client:
        identifiers = send_requests(client, rows)
        close_recorder(recorder)
        assert monitor(space, task)["quality"][0]["value"] is None
        items = [{**identifier, "truth": truth} for identifier, truth in zip(identifiers, truths, strict=True)]
        wrong = {**items[0], "truth": next(name for name in task.classes if name != truths[0])}
        dropped = recorder.tokens.issue("iris", "dropped", "0" * 32, 1)  # of a response that was never recorded
        for chunk in ([wrong], items[:20], items[20:], [{"id": "dropped", "token": dropped, "truth": truths[0]}]):
            assert client.post(FEEDBACK, json={"feedback": chunk}).json() == {"kept": len(chunk), "model": "iris"}
        send_requests(client, rows[:3])
    recorder.sender.finish()
    status = monitor(space, task)
    (quality,) = status["quality"]
    evaluated = files.read_json(space.package("iris", first) / "schema.json")["metrics"][task.gate.metric]
    assert quality["value"] == pytest.approx(evaluated)
    assert quality["low"] < quality["value"] < quality["high"]
    assert (quality["truths"], quality["evaluated"]) == (30, evaluated)
    assert status["feedback"] == {"truths": 32, "repeated": 1, "unknown": 1, "waiting": 3}
    close_recorder(recorder)
    again = monitor(space, task)
    assert (again["gathered"], again["quality"], again["feedback"]) == (2, status["quality"], status["feedback"])
    assert monitor(space, task) == {**again, "gathered": 0}


def test_regression_and_forecasting_use_their_own_metrics(champions_project: Workspace, tmp_path: Path) -> None:
    """Regression and forecasting are measured by their own metrics."""
    for name in ("diabetes", "sine"):
        task, (rows, truths) = loader.load(champions_project, name), sealed_test_rows(champions_project, name)
        folder = next(champions_project.package(name, "x").parent.glob("*/schema.json")).parent
        app = create_app()
        install(app, [LoadedModel.load(folder)])
        recorder = app.state.recorder = Recorder(tmp_path, 1.0)
        with TestClient(app) as client:
            response = client.post(f"/v1/models/{name}:predict", json={"instances": rows})
            items = [
                {**truth_fields(response), "instance": index, "truth": truth} for index, truth in enumerate(truths)
            ]
            assert client.post(f"/v1/models/{name}:feedback", json={"feedback": items}).status_code == 200
        recorder.sender.finish()
        space = Workspace(tmp_path / name)
        (space.root / ".tiltyard").mkdir(parents=True)
        (space.root / ".tiltyard/records").symlink_to(tmp_path)
        measured = load_live_quality(space, task).quality(folder.name)
        assert measured is not None
        assert measured["value"] == pytest.approx(files.read_json(folder / "schema.json")["metrics"][task.gate.metric])


def test_parquet_has_one_row_per_instance_with_its_features(served_project: ServedProject, recorder: Recorder) -> None:
    """Parquet has a row for each instance, with the feature names that `check --against` expects."""
    space, (first, *_), app, _ = served_project
    rows, _ = sealed_test_rows(space)
    with TestClient(app) as client:
        (first_request, *_) = send_requests(client, rows[:3])
    close_recorder(recorder)
    assert monitor(space, loader.load(space, "iris"))["gathered"] == 1
    (path,) = (space.records / "iris/answers").iterdir()
    table = pq.read_table(path).to_pylist()
    assert [{name: row[name] for name in random_models.IRIS} for row in table] == rows[:3]
    assert (table[1]["record.id"], table[1]["record.instance"]) == (first_request["id"], 1)
    assert (table[0]["record.version"], table[0]["record.arm"]) == (first, "champion")
    assert json.loads(table[0]["record.answer"])["label"] == table[0]["record.prediction"]
    assert table[0]["record.time"].tzname() == "UTC"


def test_open_log_is_read_but_not_converted(served_project: ServedProject, recorder: Recorder) -> None:
    """A log that a worker still writes is read, and not converted."""
    space, _, app, _ = served_project
    task = loader.load(space, "iris")
    with TestClient(app) as client:
        send_requests(client, [random_models.IRIS] * 3, 1)
        recorder.sender.finish()
        status = monitor(space, task)
        assert (status["gathered"], status["recorded"][0]["requests"]) == (0, 3)
        send_requests(client, [random_models.IRIS])
        recorder.sender.finish()
        assert monitor(space, task)["recorded"][0]["requests"] == 4


def test_kill_during_conversion_loses_and_duplicates_nothing(served_project: ServedProject, recorder: Recorder) -> None:
    """After a kill during the conversion, the next call finishes it, with every prediction once."""
    space, _, app, _ = served_project
    task = loader.load(space, "iris")
    with TestClient(app) as client:
        send_requests(client, [random_models.IRIS] * 5, 1)
    close_recorder(recorder)
    ((path, _),) = list_files(space.records / "iris/answers")
    content = path.read_bytes()
    assert records.compact(space, task) == 1
    path.write_bytes(content)
    assert records.read(space, task, "answers").num_rows == 5
    assert records.compact(space, task) == 1
    with half_written("atomic_file", path.with_suffix(".parquet")) as (killed, left):
        killed.kill()
        killed.wait()
        assert left.suffix == ".parquet"
    with half_written("atomic_file", path.with_name("other.parquet")) as (alive, temporary):
        assert records.compact(space, task) == 0
        assert records.read(space, task, "answers").num_rows == 5
        assert {file.name for file in path.parent.iterdir()} == {path.with_suffix(".parquet").name, temporary.name}
        alive.communicate("")
    assert alive.returncode == 0


def test_killed_writer_leaves_complete_lines(tmp_path: Path) -> None:
    """After `kill -9` in the middle of a line, the file counts as closed and has its complete lines."""
    script = (
        "import os, sys, time; from pathlib import Path; from tiltyard.serving.traffic.append_log import AppendLog;"
        "spool = AppendLog(Path(sys.argv[1])); [spool.add(b'{}') for _ in range(3)];"
        "os.write(spool.file, b'{\"half'); print('written', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "written\n"
    ((path, free),) = list_files(tmp_path)
    assert (read_lines(path), free) == ([b"{}"] * 3, False)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    ((path, free),) = list_files(tmp_path)
    assert (read_lines(path), free) == ([b"{}"] * 3, True)


def test_log_files_and_folder_are_bounded(tmp_path: Path) -> None:
    """A full file is followed by another; if the folder is full, lines are refused until files are removed."""
    spool = AppendLog(tmp_path, max_file_bytes=100, max_total_bytes=300)
    taken = [spool.add(b"x" * 49) for _ in range(20)]
    assert taken == [True] * 6 + [False] * 14
    assert [len(read_lines(path)) for path, _ in list_files(tmp_path)] == [2, 2, 2]
    for path, _ in list_files(tmp_path):
        path.unlink()
    spool.full_until = 0.0
    assert spool.add(b"x")


def test_full_disk_fails_no_request(
    served_project: ServedProject, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is counted and fails no request; the next line begins a new file."""
    space, _, app, _ = served_project
    write = os.write

    def half(file: int, content: bytes) -> int:
        return write(file, content[: len(content) // 2])

    with TestClient(app) as client:
        send_requests(client, [random_models.IRIS])
        recorder.sender.finish()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            send_requests(client, [random_models.IRIS])
            recorder.sender.finish()
        send_requests(client, [random_models.IRIS])
    close_recorder(recorder)
    assert recorder.sender.counts == {("champion", "written"): 2, ("champion", "failed"): 1}
    assert monitor(space, loader.load(space, "iris"))["recorded"][0]["requests"] == 2


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "wrong_type", "feedback"),
        ({"feedback": []}, "no_truths", "feedback"),
        ({"feedback": [{"id": "a", "truth": "setosa"}], "more": 1}, "unknown_field", "more"),
        ({"feedback": [{"id": "a", "truth": "setosa", "label": 1}]}, "unknown_field", "feedback[0].label"),
        ({"feedback": [{"id": "a", "truth": "setosa"}, {"id": "a"}]}, "missing_field", "feedback[1].truth"),
        ({"feedback": [{"truth": "setosa"}]}, "missing_field", "feedback[0].id"),
        ({"feedback": [7]}, "wrong_type", "feedback[0]"),
        ({"feedback": [{"id": "a b", "truth": "setosa"}]}, "wrong_type", "feedback[0].id"),
        ({"feedback": [{"id": "a", "truth": "rose"}]}, "unknown_label", "feedback[0].truth"),
        ({"feedback": [{"id": "a", "truth": None}]}, "unknown_label", "feedback[0].truth"),
        ({"feedback": [{"id": "a", "truth": "setosa", "instance": -1}]}, "out_of_bounds", "feedback[0].instance"),
        ({"feedback": [{"id": "a", "truth": "setosa", "instance": True}]}, "out_of_bounds", "feedback[0].instance"),
        ({"feedback": [{"id": "a", "truth": "setosa"}] * 1001}, "too_many", "feedback"),
    ],
)
def test_invalid_feedback_is_refused_as_a_whole(
    served_project: ServedProject, recorder: Recorder, body: Any, code: str, field: str
) -> None:
    """Invalid feedback is refused with the field at fault, and nothing of the request is stored."""
    with TestClient(served_project[2]) as client:
        refusal = client.post(FEEDBACK, json=body)
    assert refusal.status_code == (413 if code == "too_many" else 400)
    assert (refusal.json()["error"]["code"], refusal.json()["error"]["field"]) == (code, field)
    assert not (recorder.folder / "iris/truths").exists()


def test_truths_of_a_regression_must_be_finite_numbers(packages: dict[str, Path], tmp_path: Path) -> None:
    """Truths of numbers must be finite; unknown models, missing records and full folders are refused."""
    app = create_app()
    model = LoadedModel.load(packages["diabetes"])
    install(app, [model])
    path = "/v1/models/diabetes:feedback"
    with TestClient(app) as client:
        assert client.post(path, json={"feedback": []}).json()["error"]["code"] == "no_records"
        recorder = app.state.recorder = Recorder(tmp_path, 1.0)
        item = truth_fields(client.post("/v1/models/diabetes:predict", json={"instances": [model.schema["example"]]}))
        good = {"feedback": [{**item, "truth": 151}]}
        for truth in ("151", True, None, 1e39, [1.0]):
            response = client.post(path, json={"feedback": [{**item, "truth": truth}]})
            assert (response.status_code, response.json()["error"]["code"]) == (400, "wrong_type")
        assert client.post(path, json=good).status_code == 200
        assert client.get(path).status_code == 405
        assert client.post("/v1/models/rose:feedback", json=good).status_code == 404
        json_type = {"content-type": "application/json"}
        assert client.post(path, content=b"x" * 1_000_001, headers=json_type).status_code == 413
        recorder.truths.logs["diabetes"] = AppendLog(tmp_path, max_total_bytes=0)
        assert client.post(path, json=good).json()["error"]["code"] == "no_room"


def test_recorder_settings_come_from_the_environment(tmp_path: Path) -> None:
    """Without a folder nothing is recorded; an invalid share, or a share without a folder, is refused."""
    assert Recorder.from_environment({}) is None
    recorder = Recorder.from_environment({"TILTYARD_RECORDS": str(tmp_path), "TILTYARD_RECORD": "0.5"})
    assert recorder is not None
    assert (recorder.folder, recorder.share) == (tmp_path, 0.5)
    for share in ("2", "-1", "many", "nan"):
        with pytest.raises(WorkspaceError, match="expected a share from 0 to 1; received"):
            Recorder.from_environment({"TILTYARD_RECORDS": str(tmp_path), "TILTYARD_RECORD": share})
    with pytest.raises(WorkspaceError, match="expected TILTYARD_RECORDS, too"):
        Recorder.from_environment({"TILTYARD_RECORD": "0.5"})


def test_images_are_not_recorded_but_their_predictions_are(packages: dict[str, Path], tmp_path: Path) -> None:
    """Images are not recorded, since they need a hundred times the space; their predictions are."""
    app = create_app()
    model = LoadedModel.load(packages["digits"])
    install(app, [model])
    recorder = app.state.recorder = Recorder(tmp_path, 1.0)
    with TestClient(app) as client:
        client.post("/v1/models/digits:predict", json={"instances": [model.schema["example"]]})
    recorder.sender.finish()
    ((path, _),) = list_files(tmp_path / "digits/answers")
    line = json.loads(read_lines(path)[0])
    assert line["instances"] is None
    assert line["predictions"][0]["label"]


def test_monitor_command_shows_requests_and_quality(
    served_project: ServedProject, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command prints what to type if nothing is recorded, and then requests and quality."""
    space, (first, *_), app, _ = served_project
    monkeypatch.chdir(space.root)

    def run(*options: str) -> str:
        return CliRunner().invoke(cli, ["monitor", "iris", *options]).output

    assert "nothing has been recorded yet\nnext: tiltyard serve iris --record" in run()
    rows, truths = sealed_test_rows(space)
    with TestClient(app) as client:
        identifiers = send_requests(client, rows)
        recorder.sender.finish()
        assert "next: send ground truth to /v1/models/iris:feedback" in run()
        items = [{**identifier, "truth": truth} for identifier, truth in zip(identifiers, truths, strict=True)]
        client.post(FEEDBACK, json={"feedback": items})
    assert "feedback (ground truth): 30 received" in run()
    assert json.loads(run("--json"))["quality"][0]["version"] == first


@pytest.mark.smoke
def test_killed_workers_lose_no_written_records(served_project: ServedProject, tmp_path: Path) -> None:
    """Two workers are killed under load during `monitor`; every prediction that was sent is recorded once."""
    space, *_ = served_project
    task = loader.load(space, "iris")
    environment = {
        **bento.clean(),
        "TILTYARD_CHAMPIONS": str(space.root / "serving"),
        "TILTYARD_WORKERS": "2",
        "TILTYARD_RECORD": "1",
        "TILTYARD_RECORDS": str(space.records),
    }
    request_ids, killed = set[str](), set[int]()
    stop = threading.Event()

    with smoke_test.running(SERVER, environment, tmp_path / "home") as server:
        threads = [threading.Thread(target=_send_until_stopped, args=(server.url, request_ids, stop)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(4):
            deadline = time.monotonic() + 120
            while len(request_ids) < 300 * (turn + 1) or len(_workers(server.process.pid)) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            for pid in _workers(server.process.pid) if turn < 3 else []:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            monitor(space, task)
        stop.set()
        for thread in threads:
            thread.join()
        time.sleep(3)
    answers = records.read(space, task, "answers").to_pandas()
    assert (len(killed) >= 6, len(request_ids) >= 1200) == (True, True)
    assert not answers.duplicated(["record.id", "record.instance"]).any()
    lost = request_ids - set(answers["record.id"])
    assert len(lost) <= 3 * 2 * 20, f"{len(lost)} of {len(request_ids)}"  # a killed worker had not sent them yet
    assert records.compact(space, task) >= 1
    assert records.read(space, task, "answers").num_rows == len(answers)


def _workers(parent: int) -> list[int]:
    import psutil

    workers = []
    for child in psutil.Process(parent).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            workers += [child.pid] if "spawn_main" in " ".join(child.cmdline()) else []
    return workers


def _send_until_stopped(url: str, request_ids: set[str], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            with httpx.Client(base_url=url, timeout=30) as client:
                for _ in range(50):
                    response = client.post(PREDICT, json={"instances": [random_models.IRIS] * 2})
                    if response.status_code == 200:
                        request_ids.add(response.headers["x-request-id"])
        except httpx.HTTPError:
            time.sleep(0.2)
