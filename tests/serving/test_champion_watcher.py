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
from tiltyard.serving.serve import ARGUMENTS
from tiltyard.workspace import Workspace

IRIS = random_models.IRIS
PREDICT = "/v1/models/iris:predict"


Kept = tuple[Workspace, list[str], Starlette, ChampionWatcher]


def test_a_new_champion_answers_and_the_one_before_stays_warm(
    served_project: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The served version follows the pointer; a rollback loads nothing; the third version drops the first."""
    space, (first, second, third), app, watching = served_project
    with TestClient(app) as client:

        def answer(path: str = PREDICT) -> Any:
            return client.post(path, json={"instances": [IRIS]}).json()

        was = answer()
        assert was["version"] == first
        random_models.set_champion(space, second)
        watching.poll()
        assert answer()["version"] == second
        assert answer()["predictions"] != was["predictions"]
        assert answer(f"/v1/models/iris/versions/{first}:predict") == was
        assert answer("/v1/models/iris/labels/previous:predict") == was
        statuses = client.get("/v1/models/iris").json()["model_version_status"]
        assert [status["version"] for status in statuses] == [second, first]
        with monkeypatch.context() as patch:
            patch.setattr(LoadedModel, "load", lambda _: pytest.fail("it was warm"))
            random_models.set_champion(space, first)
            watching.poll()
            watching.poll()
        assert answer() == was
        random_models.set_champion(space, third)
        watching.poll()
        assert client.get("/v2/models/iris").json()["versions"] == [third, first]
        assert answer(f"/v1/models/iris/versions/{second}:predict")["error"]["code"] == "unknown_version"
        assert third in client.get("/v1/models/iris/schema").text


def _other_answers(folder: Path) -> Callable[[], object]:
    """Change the expected predictions of the evaluation; return a function that undoes it, as all of these do."""
    golden = files.read_json(folder / "golden.json")
    label = golden["predictions"][0]["label"]
    files.write_json(folder / "golden.json", {**golden, "predictions": [{"label": label, "probabilities": {}}]})
    return lambda: files.write_json(folder / "golden.json", golden)


def _other_bytes(folder: Path) -> Callable[[], object]:
    encoder = files.read_json(folder / "encoder.json")
    files.write_json(folder / "encoder.json", {**encoder, "task": "rose"})
    return lambda: files.write_json(folder / "encoder.json", encoder)


def _no_package(folder: Path) -> Callable[[], object]:
    aside = folder.rename(folder.with_name("aside"))
    return lambda: aside.rename(folder)


def test_golden_rows_are_asked_as_clients_ask(
    served_project: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A champion is refused if only its compiled request fails the golden rows."""
    space, (first, second, _), app, watching = served_project
    wrong = b'{"predictions": [{"label": "rose", "probabilities": {}}]}', 1
    monkeypatch.setattr(CompiledRequest, "respond", lambda *_: wrong)
    random_models.set_champion(space, second)
    watching.poll()
    assert "iris: the new champion is not served" in caplog.text
    assert app.state.models["iris"].version == first


@pytest.mark.parametrize("damage", [_other_answers, _other_bytes, _no_package])
def test_what_cannot_be_taken_leaves_the_champion_before_it(
    served_project: Kept, damage: Callable[[Path], Callable[[], object]], caplog: pytest.LogCaptureFixture
) -> None:
    """If a champion cannot be loaded, the previous one stays, the log has the reason, and it is retried later."""
    space, (first, second, _), app, watching = served_project
    mend = damage(space.package("iris", second))
    random_models.set_champion(space, second)
    watching.poll()
    assert "iris: the new champion is not served" in caplog.text
    mend()
    watching.poll()
    assert app.state.models["iris"].version == first
    watching.retry_at = dict.fromkeys(watching.retry_at, 0.0)
    watching.poll()
    assert app.state.models["iris"].version == second


@pytest.mark.parametrize("content", ['{"version": ', '{"version": "../sine/0123456789ab"}', '{"version": 7}', "{}"])
def test_a_pointer_to_nowhere_changes_nothing(
    served_project: Kept, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a damaged pointer, or one out of its folder, the champion stays until the pointer is valid."""
    space, (first, second, _), app, watching = served_project
    space.champion("iris").write_text(content)
    watching.poll()
    assert "iris: the new champion is not served" in caplog.text
    assert app.state.models["iris"].version == first
    files.write_json(space.champion("iris"), {"version": second})
    watching.poll()
    assert app.state.models["iris"].version == second


def _soon(act: Callable[[], object]) -> None:
    """Run a function in a thread that must end: opening a FIFO waits for a writer, and there is none."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits for a writer"


@pytest.mark.parametrize("name", ["champions/zz.json", "traffic/iris.json", "packages/iris/{third}/model.onnx"])
def test_a_fifo_in_place_of_a_file_stops_nobody(served_project: Kept, name: str) -> None:
    """A FIFO as pointer, rollout or package file blocks neither other champions nor a starting worker."""
    space, (_, second, third), app, watching = served_project
    place = space.root / "serving" / name.format(third=third)
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    random_models.set_champion(space, third, "iris" if "packages" in name else "sine")
    _soon(watching.poll)
    if "traffic" not in name:
        random_models.set_champion(space, second)
        _soon(watching.poll)
        assert app.state.models["iris"].version == second
    _soon(ChampionWatcher(create_app(), space.root / "serving").start)


def test_named_tasks_alone_are_followed(versions_project: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """Only the named tasks are served, also those that get a champion later; without any champion it is an error."""
    space = Workspace(tmp_path / "own")
    shutil.copytree(versions_project[0].root, space.root)
    root = space.root / "serving"
    random_models.write_champion(space, random_models.write_evaluated(space, "sine"))
    app = create_app()
    found = ChampionWatcher(app, root, ["iris"])
    found.start()
    assert [*app.state.models] == ["iris"]
    found.tasks = set()
    found.poll()
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
    with smoke_test.running(ARGUMENTS, environment, tmp_path / "home") as server:
        yield server.url, space


@pytest.mark.smoke
@pytest.mark.parametrize("url", ["named"], indirect=True)
def test_hammered_while_champions_change_no_request_is_lost(
    url: tuple[str, Workspace], versions_project: tuple[Workspace, list[str]]
) -> None:
    """During fifty changes under load, each request gets a response of one version, which it names correctly."""
    address, space = url
    versions = versions_project[1][:2]
    truth = {version: LoadedModel.load(space.package("iris", version)).predict([IRIS]) for version in versions}
    over, heard, wrong = threading.Event(), dict.fromkeys(versions, 0), list[str]()

    def hammer() -> None:
        with httpx.Client(base_url=address, timeout=30) as client:
            while not over.is_set():
                try:
                    answer = client.post(PREDICT, json={"instances": [IRIS]})
                    told = answer.json()
                    if answer.status_code != 200 or told["predictions"] != truth[told["version"]]:
                        wrong.append(answer.text)
                    heard[told["version"]] += 1
                except Exception as error:  # noqa: BLE001 - whatever it is, it is what must not be
                    wrong.append(repr(error))

    hammers = [threading.Thread(target=hammer) for _ in range(4)]
    for one in hammers:
        one.start()
    for turn in range(50):
        random_models.set_champion(space, versions[(turn + 1) % 2])
        time.sleep(0.7)
    over.set()
    for one in hammers:
        one.join()
    assert not wrong, wrong[:3]
    assert min(heard.values()) > 500, heard


def test_nothing_ends_the_watch(
    served_project: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After an exception in any part of a poll, the next poll is made."""
    space, (first, second, _), app, watching = served_project
    turns = iter([OSError(errno.EMFILE, "no more files"), MemoryError(), SystemExit(3), KeyboardInterrupt(), None])
    pointers, over = watching._pointers, threading.Event()

    def listed() -> list[Path]:
        if error := next(turns, None):
            raise error
        over.set()
        return pointers()

    monkeypatch.setattr(champion_watcher, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(watching, "_pointers", listed)
    random_models.set_champion(space, second)
    threading.Thread(target=watching._watch, daemon=True).start()
    assert over.wait(20)
    deadline = time.monotonic() + 20
    while app.state.models["iris"].version == first:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.setattr(champion_watcher, "POLL_SECONDS", 1e6)
    assert caplog.text.count("champions could not be checked: OSError") == 1


def test_files_that_run_out_do_not_put_off_a_promotion(
    served_project: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pointer that failed for lack of file descriptors is read at the next poll, not after the retry interval."""
    space, (_, second, _), app, watching = served_project
    random_models.set_champion(space, second)
    with monkeypatch.context() as patch:
        patch.setattr(
            champion_watcher, "_version", lambda _: (_ for _ in ()).throw(OSError(errno.EMFILE, "no more files"))
        )
        watching.poll()
        watching.poll()
    assert caplog.text.count("no more files") == 1
    watching.poll()
    assert app.state.models["iris"].version == second


def test_ready_is_who_looked_lately(served_project: Kept) -> None:
    """/readyz has the time of the last check; after five minutes without one, the worker is not ready."""
    space, _, app, watching = served_project
    with TestClient(app) as client:
        assert re.fullmatch(r"champions were checked [0-9]\.[0-9] seconds ago\n", client.get("/readyz").text)
        (space.root / "serving/champions").rename(space.root / "away")
        watching.last_poll -= 280
        watching.poll()
        assert re.fullmatch(r"champions were checked 28[0-9]\.[0-9] seconds ago\n", client.get("/readyz").text)
        assert client.get("/readyz").status_code == 200
        watching.last_poll -= 21
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
        assert client.get("/v2/health/ready").status_code == 503
        assert client.post(PREDICT, json={"instances": [IRIS]}).status_code == 200
        (space.root / "away").rename(space.root / "serving/champions")
        watching.poll()
        assert client.get("/readyz").status_code == 200
        assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}


@pytest.mark.slow
def test_the_next_promotion_is_followed_after_descriptors_ran_out(
    versions_project: tuple[Workspace, list[str]], tmp_path: Path
) -> None:
    """After all file descriptors were in use, the service is alive, idle, and follows the next promotion."""
    space = Workspace(tmp_path / "own")
    shutil.copytree(versions_project[0].root, space.root)
    environment = serve.environment({"CHAMPIONS": str(space.root / "serving")}, tmp_path)
    with smoke_test.running(ARGUMENTS, environment, tmp_path / "home") as server, contextlib.ExitStack() as held:
        (running,) = psutil.Process(server.process.pid).children()
        running.rlimit(psutil.RLIMIT_NOFILE, (running.num_fds() + 10,) * 2)
        address = "127.0.0.1", int(server.url.rpartition(":")[2])
        begun, worked = time.monotonic(), sum(running.cpu_times()[:2])
        while "champions could not be checked: OSError" not in server.log.read_text():
            assert time.monotonic() < begun + 60
            held.enter_context(socket.create_connection(address, timeout=10))
            time.sleep(0.05)
        time.sleep(2)
        assert sum(running.cpu_times()[:2]) - worked < (time.monotonic() - begun) / 2
        held.close()
        random_models.set_champion(space, versions_project[1][1])
        deadline = time.monotonic() + 60
        while httpx.get(f"{server.url}/v1/models/iris").json()["version"] != versions_project[1][1]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert float(httpx.get(f"{server.url}/readyz").text.split()[-3]) < 30
        figures = httpx.get(f"{server.url}/metrics").text
        (when,) = re.findall(r"^tiltyard_champions_looked_timestamp_seconds (\S+)$", figures, re.MULTILINE)
        assert abs(time.time() - float(when)) < 30


@pytest.mark.slow
@pytest.mark.parametrize("url", ["beside"], indirect=True)
def test_the_service_follows_the_pointer(
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
