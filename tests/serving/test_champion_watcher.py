"""Hot reload: champions change while the service runs, without a lost request or mixed versions."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import random_models
from starlette.applications import Starlette
from starlette_client import TestClient

from tiltyard import files
from tiltyard.errors import PackageError
from tiltyard.serving import serve
from tiltyard.serving.http import champion_watcher
from tiltyard.serving.http.app import create_app
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.model.compiled_request import CompiledRequest
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

IRIS = random_models.IRIS
PREDICT = "/v1/models/iris:predict"


ServedProject = tuple[Workspace, list[str], Starlette, ChampionWatcher]


def test_new_champion_is_served_and_the_previous_one_stays_loaded(
    served_project: ServedProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The served version follows the pointer; a rollback loads nothing; the third version drops the first."""
    space, (first, second, third), app, watcher = served_project
    with TestClient(app) as client:

        def predict(path: str = PREDICT) -> Any:
            return client.post(path, json={"instances": [IRIS]}).json()

        first_response = predict()
        assert first_response["version"] == first
        random_models.set_champion(space, second)
        watcher.poll()
        assert predict()["version"] == second
        assert predict()["predictions"] != first_response["predictions"]
        assert predict(f"/v1/models/iris/versions/{first}:predict") == first_response
        assert predict("/v1/models/iris/labels/previous:predict") == first_response
        statuses = client.get("/v1/models/iris").json()["model_version_status"]
        assert [status["version"] for status in statuses] == [second, first]
        with monkeypatch.context() as patch:
            patch.setattr(LoadedModel, "load", lambda _: pytest.fail("it was warm"))
            random_models.set_champion(space, first)
            watcher.poll()
            watcher.poll()
        assert predict() == first_response
        random_models.set_champion(space, third)
        watcher.poll()
        assert client.get("/v2/models/iris").json()["versions"] == [third, first]
        assert predict(f"/v1/models/iris/versions/{second}:predict")["error"]["code"] == "unknown_version"
        assert third in client.get("/v1/models/iris/schema").text


def _change_golden_predictions(folder: Path) -> Callable[[], object]:
    """Change the expected predictions of the evaluation; return a function that undoes it, as all of these do."""
    golden = files.read_json(folder / "golden.json")
    label = golden["predictions"][0]["label"]
    files.write_json(folder / "golden.json", {**golden, "predictions": [{"label": label, "probabilities": {}}]})
    return lambda: files.write_json(folder / "golden.json", golden)


def _change_encoder(folder: Path) -> Callable[[], object]:
    encoder = files.read_json(folder / "encoder.json")
    files.write_json(folder / "encoder.json", {**encoder, "task": "rose"})
    return lambda: files.write_json(folder / "encoder.json", encoder)


def _remove_package(folder: Path) -> Callable[[], object]:
    aside = folder.rename(folder.with_name("aside"))
    return lambda: aside.rename(folder)


def test_champion_that_fails_golden_rows_as_compiled_request_is_refused(
    served_project: ServedProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A champion is refused if only its compiled request fails the golden rows."""
    space, (first, second, _), app, watcher = served_project
    invalid = b'{"predictions": [{"label": "rose", "probabilities": {}}]}', 1
    monkeypatch.setattr(CompiledRequest, "respond", lambda *_: invalid)
    random_models.set_champion(space, second)
    watcher.poll()
    assert "iris: the new champion is not served" in caplog.text
    assert app.state.models["iris"].version == first


@pytest.mark.parametrize("damage", [_change_golden_predictions, _change_encoder, _remove_package])
def test_champion_that_cannot_be_loaded_leaves_the_previous_one(
    served_project: ServedProject, damage: Callable[[Path], Callable[[], object]], caplog: pytest.LogCaptureFixture
) -> None:
    """If a champion cannot be loaded, the previous one stays, the log has the reason, and it is retried later."""
    space, (first, second, _), app, watcher = served_project
    repair = damage(space.package("iris", second))
    random_models.set_champion(space, second)
    watcher.poll()
    assert "iris: the new champion is not served" in caplog.text
    repair()
    watcher.poll()
    assert app.state.models["iris"].version == first
    watcher.retry_at = dict.fromkeys(watcher.retry_at, 0.0)
    watcher.poll()
    assert app.state.models["iris"].version == second


@pytest.mark.parametrize("content", ['{"version": ', '{"version": "../sine/0123456789ab"}', '{"version": 7}', "{}"])
def test_invalid_pointer_leaves_the_champion(
    served_project: ServedProject, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a damaged pointer, or one out of its folder, the champion stays until the pointer is valid."""
    space, (first, second, _), app, watcher = served_project
    space.champion("iris").write_text(content)
    watcher.poll()
    assert "iris: the new champion is not served" in caplog.text
    assert app.state.models["iris"].version == first
    files.write_json(space.champion("iris"), {"version": second})
    watcher.poll()
    assert app.state.models["iris"].version == second


def _run_with_timeout(act: Callable[[], object]) -> None:
    """Run a function in a thread that must end: opening a FIFO waits for a writer, and there is none."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits for a writer"


@pytest.mark.parametrize("name", ["champions/zz.json", "traffic/iris.json", "packages/iris/{third}/model.onnx"])
def test_fifo_in_place_of_a_file_does_not_block(served_project: ServedProject, name: str) -> None:
    """A FIFO as pointer, rollout or package file blocks neither other champions nor a starting worker."""
    space, (_, second, third), app, watcher = served_project
    fifo = space.root / "serving" / name.format(third=third)
    fifo.parent.mkdir(exist_ok=True)
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo)
    random_models.set_champion(space, third, "iris" if "packages" in name else "sine")
    _run_with_timeout(watcher.poll)
    if "traffic" not in name:
        random_models.set_champion(space, second)
        _run_with_timeout(watcher.poll)
        assert app.state.models["iris"].version == second
    _run_with_timeout(ChampionWatcher(create_app(), space.root / "serving").start)


def test_only_named_tasks_are_served(versions_project: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """Only the named tasks are served, also those that get a champion later; without any champion it is an error."""
    space = Workspace(tmp_path / "own")
    shutil.copytree(versions_project[0].root, space.root)
    root = space.root / "serving"
    random_models.write_champion(space, random_models.write_evaluated(space, "sine"))
    app = create_app()
    watcher = ChampionWatcher(app, root, ["iris"])
    watcher.start()
    assert [*app.state.models] == ["iris"]
    watcher.tasks = set()
    watcher.poll()
    assert sorted(app.state.models) == ["iris", "sine"]
    with pytest.raises(PackageError, match="no champion"):
        ChampionWatcher(app, root, ["rose"]).start()


@pytest.fixture
def url(versions_project: tuple[Workspace, list[str]], tmp_path: Path) -> Iterator[tuple[str, Workspace]]:
    """Run a service of two workers that watches a copy of the champions."""
    space = Workspace(tmp_path / "own")
    shutil.copytree(versions_project[0].root, space.root)
    environment = {
        **bento.clean(),
        "TILTYARD_CHAMPIONS": str(space.root / "serving"),
        "TILTYARD_WORKERS": "2",
    }
    with smoke_test.running(SERVER, environment, tmp_path / "home") as server:
        yield server.url, space


@pytest.mark.smoke
@pytest.mark.parametrize("url", ["named"], indirect=True)
def test_no_request_is_lost_while_champions_change_under_load(
    url: tuple[str, Workspace], versions_project: tuple[Workspace, list[str]]
) -> None:
    """During fifty changes under load, each request gets a response of one version, which it names correctly."""
    address, space = url
    versions = versions_project[1][:2]
    truth = {version: LoadedModel.load(space.package("iris", version)).predict([IRIS]) for version in versions}
    stop, responses_by_version, invalid = threading.Event(), dict.fromkeys(versions, 0), list[str]()

    def send_until_stopped() -> None:
        with httpx.Client(base_url=address, timeout=30) as client:
            while not stop.is_set():
                try:
                    response = client.post(PREDICT, json={"instances": [IRIS]})
                    body = response.json()
                    if response.status_code != 200 or body["predictions"] != truth[body["version"]]:
                        invalid.append(response.text)
                    responses_by_version[body["version"]] += 1
                except Exception as error:  # noqa: BLE001 - no exception is allowed
                    invalid.append(repr(error))

    threads = [threading.Thread(target=send_until_stopped) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(50):
        random_models.set_champion(space, versions[(turn + 1) % 2])
        time.sleep(0.7)
    stop.set()
    for thread in threads:
        thread.join()
    assert not invalid, invalid[:3]
    assert min(responses_by_version.values()) > 500, responses_by_version


def test_watcher_continues_after_exceptions(
    served_project: ServedProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After an exception in any part of a poll, the next poll is made."""
    space, (first, second, _), app, watcher = served_project
    errors = iter([OSError(errno.EMFILE, "no more files"), MemoryError(), SystemExit(3), KeyboardInterrupt(), None])
    pointers, stop = watcher._pointers, threading.Event()

    def failing_pointers() -> list[Path]:
        if error := next(errors, None):
            raise error
        stop.set()
        return pointers()

    monkeypatch.setattr(champion_watcher, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(watcher, "_pointers", failing_pointers)
    random_models.set_champion(space, second)
    threading.Thread(target=watcher._watch, daemon=True).start()
    assert stop.wait(20)
    deadline = time.monotonic() + 20
    while app.state.models["iris"].version == first:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.setattr(champion_watcher, "POLL_SECONDS", 1e6)
    assert caplog.text.count("champions could not be checked: OSError") == 1


def test_missing_file_descriptors_do_not_delay_a_promotion(
    served_project: ServedProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pointer that failed for lack of file descriptors is read at the next poll, not after the retry interval."""
    space, (_, second, _), app, watcher = served_project
    random_models.set_champion(space, second)
    with monkeypatch.context() as patch:
        patch.setattr(
            champion_watcher, "_version", lambda _: (_ for _ in ()).throw(OSError(errno.EMFILE, "no more files"))
        )
        watcher.poll()
        watcher.poll()
    assert caplog.text.count("no more files") == 1
    watcher.poll()
    assert app.state.models["iris"].version == second


def test_worker_is_ready_only_after_a_recent_check(served_project: ServedProject) -> None:
    """/readyz has the time of the last check; after five minutes without one, the worker is not ready."""
    space, _, app, watcher = served_project
    with TestClient(app) as client:
        assert re.fullmatch(r"champions were checked [0-9]\.[0-9] seconds ago\n", client.get("/readyz").text)
        (space.root / "serving/champions").rename(space.root / "away")
        watcher.last_poll -= 280
        watcher.poll()
        assert re.fullmatch(r"champions were checked 28[0-9]\.[0-9] seconds ago\n", client.get("/readyz").text)
        assert client.get("/readyz").status_code == 200
        watcher.last_poll -= 21
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
        assert client.get("/v2/health/ready").status_code == 503
        assert client.post(PREDICT, json={"instances": [IRIS]}).status_code == 200
        (space.root / "away").rename(space.root / "serving/champions")
        watcher.poll()
        assert client.get("/readyz").status_code == 200
        assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}


@pytest.mark.slow
def test_promotion_is_followed_after_file_descriptors_ran_out(
    versions_project: tuple[Workspace, list[str]], tmp_path: Path
) -> None:
    """After all file descriptors were in use, the service is alive, idle, and follows the next promotion."""
    space = Workspace(tmp_path / "own")
    shutil.copytree(versions_project[0].root, space.root)
    environment = serve.environment({"CHAMPIONS": str(space.root / "serving")}, tmp_path)
    with smoke_test.running(SERVER, environment, tmp_path / "home") as server, contextlib.ExitStack() as connections:
        (worker,) = psutil.Process(server.process.pid).children()
        worker.rlimit(psutil.RLIMIT_NOFILE, (worker.num_fds() + 10,) * 2)
        address = "127.0.0.1", int(server.url.rpartition(":")[2])
        started_at, cpu_seconds = time.monotonic(), sum(worker.cpu_times()[:2])
        while "champions could not be checked: OSError" not in server.log.read_text():
            assert time.monotonic() < started_at + 60
            connections.enter_context(socket.create_connection(address, timeout=10))
            time.sleep(0.05)
        time.sleep(2)
        assert sum(worker.cpu_times()[:2]) - cpu_seconds < (time.monotonic() - started_at) / 2
        connections.close()
        random_models.set_champion(space, versions_project[1][1])
        deadline = time.monotonic() + 60
        while httpx.get(f"{server.url}/v1/models/iris").json()["version"] != versions_project[1][1]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert float(httpx.get(f"{server.url}/readyz").text.split()[-3]) < 30
        metrics_text = httpx.get(f"{server.url}/metrics").text
        (last_check,) = re.findall(r"^tiltyard_champions_looked_timestamp_seconds (\S+)$", metrics_text, re.MULTILINE)
        assert abs(time.time() - float(last_check)) < 30


@pytest.mark.slow
@pytest.mark.parametrize("url", ["beside"], indirect=True)
def test_both_workers_follow_the_pointer(
    url: tuple[str, Workspace], versions_project: tuple[Workspace, list[str]]
) -> None:
    """Both workers change within seconds, without a restart."""
    address, space = url
    random_models.set_champion(space, versions_project[1][2])
    deadline = time.monotonic() + 60
    with httpx.Client(base_url=address, timeout=30) as client:
        while {client.get("/v1/models/iris").json()["version"] for _ in range(20)} != {versions_project[1][2]}:
            assert time.monotonic() < deadline
            time.sleep(0.2)
