"""Last good version: it is served if a pointer or package is damaged, and other tasks are served as before."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import random_models
from starlette.applications import Starlette

from tiltyard import files
from tiltyard.errors import PackageError, RegistryError
from tiltyard.serving import serve
from tiltyard.serving.http.app import create_app
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.http.last_good import LastGood
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.serve import ARGUMENTS
from tiltyard.workspace import Workspace

PREDICT = "/v1/models/iris:predict"


@pytest.fixture
def space(versions_project: tuple[Workspace, list[str]], tmp_path: Path) -> Workspace:
    """Return a copy of the workspace in which sine has a champion, too."""
    made = Workspace(tmp_path / "own")
    shutil.copytree(versions_project[0].root, made.root)
    random_models.write_champion(made, random_models.write_evaluated(made, "sine"))
    return made


def started(space: Workspace) -> Starlette:
    """Start a worker like the service."""
    app = create_app()
    ChampionWatcher(app, space.root / "serving", last_good=serve.last_good(space)).start()
    return app


def _torn(space: Workspace, _: list[str]) -> None:
    space.champion("iris").write_text('{"version": "')


def _nested(space: Workspace, _: list[str]) -> None:
    space.champion("iris").write_text("[" * 100_000)


def _bytes(space: Workspace, _: list[str]) -> None:
    space.champion("iris").write_bytes(b"\xff\xfe\x00")


def _other_shape(space: Workspace, _: list[str]) -> None:
    space.champion("iris").write_text("[1, 2]")


def _no_version(space: Workspace, _: list[str]) -> None:
    space.champion("iris").write_text('{"task": "iris"}')


def _folder(space: Workspace, _: list[str]) -> None:
    space.champion("iris").unlink()
    space.champion("iris").mkdir()


def _unpackaged(space: Workspace, versions: list[str]) -> None:
    shutil.rmtree(space.package("iris", versions[1]))
    random_models.set_champion(space, versions[1])


def _of_another_task(space: Workspace, _: list[str]) -> None:
    """Replace iris's package by sine's."""
    sine = next(space.package("sine", "x").parent.iterdir())
    shutil.copytree(sine, space.package("iris", sine.name))
    random_models.set_champion(space, sine.name)


def _other_answers(space: Workspace, versions: list[str]) -> None:
    path = space.package("iris", versions[1]) / "golden.json"
    golden = files.read_json(path)
    files.write_json(path, {**golden, "predictions": [{"label": "setosa", "probabilities": {}}]})
    random_models.set_champion(space, versions[1])


def _damaged_in_place(space: Workspace, versions: list[str]) -> None:
    (space.package("iris", versions[0]) / "model.onnx").write_bytes(b"damaged")


def _other_schema(space: Workspace, versions: list[str]) -> None:
    """Change a file that the version does not cover, so that the package still loads."""
    path = space.package("iris", versions[0]) / "schema.json"
    path.write_text(path.read_text().replace("Iris", "Rose"))
    space.champion("iris").write_text("{")


def _no_package(space: Workspace, _: list[str]) -> None:
    shutil.rmtree(space.package("iris", "x").parent)


def _no_packages(space: Workspace, _: list[str]) -> None:
    shutil.rmtree(space.root / "serving/packages")


def _no_pointers(space: Workspace, _: list[str]) -> None:
    shutil.rmtree(space.root / "serving/champions")


DAMAGES = [
    *(_torn, _nested, _bytes, _other_shape, _no_version, _folder, _unpackaged, _of_another_task, _other_answers),
    *(_damaged_in_place, _other_schema, _no_package, _no_packages, _no_pointers),
]
Damage = Callable[[Workspace, list[str]], None]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_worker_that_starts_serves_the_last_good_champion(
    space: Workspace, versions_project: tuple[Workspace, list[str]], damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    """After any damage, a starting worker serves the last good version and logs the reason."""
    started(space)
    damage(space, versions_project[1])
    app = started(space)
    assert {name: model.task for name, model in app.state.models.items()} == {"iris": "iris", "sine": "sine"}
    assert app.state.models["iris"].version == versions_project[1][0]
    assert app.state.models["iris"].schema["title"].startswith("Iris")
    assert "iris: the champion is not served: " in caplog.text
    assert f"iris: the last good version is served: {versions_project[1][0]}" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES[:-2])
def test_a_worker_without_a_last_good_champion_serves_the_other_tasks(
    space: Workspace, versions_project: tuple[Workspace, list[str]], damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a last good version, the task is served once its pointer is repaired."""
    damage(space, versions_project[1])
    app = create_app()
    watching = ChampionWatcher(app, space.root / "serving")
    watching.start()
    assert [*app.state.models] == ["sine"]
    assert "iris: " in caplog.text
    assert "it has no last good version" in caplog.text
    shutil.rmtree(space.root / "serving")
    shutil.copytree(versions_project[0].root / "serving", space.root / "serving")
    watching.retry_at = dict.fromkeys(watching.retry_at, 0.0)
    watching.poll()
    assert app.state.models["iris"].version == versions_project[1][0]


def test_nothing_that_can_be_served_is_an_error(space: Workspace) -> None:
    """If no task can be served, the error names each with its reason."""
    for name in ("iris", "sine", "diabetes"):
        space.champion(name).write_text("{")
    with pytest.raises(PackageError, match=r"no champion can be served\. .*iris: .*; sine: .*not a champion pointer"):
        started(space)


def test_the_copy_is_whole_and_the_older_ones_go(
    space: Workspace, versions_project: tuple[Workspace, list[str]]
) -> None:
    """A damaged copy is replaced, two copies of a task are kept, and incomplete ones are removed."""
    kept, root = serve.last_good(space), space.root / "serving"
    (first, second, third), folder = versions_project[1], serve.last_good(space).folder / "iris"
    for version in (first, second):
        kept.save("iris", version, root / "packages/iris" / version)
    kept.copy("iris", second).joinpath("model.onnx").write_bytes(b"x")
    left = folder / ".0123-left"
    left.mkdir()
    os.utime(left, (0, 0))
    kept.save("iris", second, root / "packages/iris" / second)
    assert files.sha256(kept.copy("iris", second)) != files.sha256(kept.copy("iris", first))
    assert (kept.copy("iris", second) / "model.onnx").read_bytes() != b"x"
    kept.save("iris", third, root / "packages/iris" / third)
    assert kept.version("iris") == third
    assert {path.name for path in folder.iterdir()} >= {third}
    assert len([*folder.iterdir()]) == 2


def test_a_large_package_is_not_copied_where_there_is_no_room(
    space: Workspace, versions_project: tuple[Workspace, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for a copy, the version is stored, and loaded from its package."""
    monkeypatch.setattr("tiltyard.serving.http.last_good.MAX_DISK_SHARE", 0.0)
    started(space)
    assert not serve.last_good(space).copy("iris", versions_project[1][0]).exists()
    space.champion("iris").write_text("{")
    assert started(space).state.models["iris"].version == versions_project[1][0]


def test_a_folder_that_cannot_be_written_ends_nothing(
    space: Workspace, versions_project: tuple[Workspace, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    """With a read-only folder the champions are served, and storing is retried and logged."""
    place = space.root / "state"
    place.write_text("")
    app = create_app()
    watching = ChampionWatcher(app, space.root / "serving", last_good=LastGood(place))
    watching.start()
    watching.poll()
    assert sorted(app.state.models) == ["iris", "sine"]
    assert caplog.text.count("could not be stored as last good version") == 2
    place.unlink()
    watching.save_again_at = 0.0
    watching.poll()
    assert LastGood(place).version("iris") == versions_project[1][0]


def test_serve_goes_on_without_a_broken_task(space: Workspace, versions_project: tuple[Workspace, list[str]]) -> None:
    """`serve` reports a damaged pointer, and serves the last good version if there is one."""
    said: list[str] = []
    space.champion("iris").write_text("{")
    assert [*serve.champions(space, [], said.append)] == ["sine"]
    assert [*serve.champions(space, ["iris", "sine"])] == ["sine"]
    assert said[0].startswith("iris: ")
    assert said[0].endswith("it is not served")
    with pytest.raises(RegistryError, match=r"iris\.json"):
        serve.champions(space, ["iris"])
    random_models.set_champion(_mended(space), versions_project[1][1])
    started(space)
    space.champion("iris").write_text("{")
    assert serve.champions(space, [], said.append)["iris"].name == versions_project[1][1]
    assert f"the last good version {versions_project[1][1]} is served" in said[-1]


def _mended(space: Workspace) -> Workspace:
    space.champion("iris").unlink()
    return space


@pytest.fixture
def service(space: Workspace, tmp_path: Path) -> Iterator[tuple[smoke_test.Server, psutil.Process]]:
    """Run a service of two workers; return the server and its parent process."""
    state = str(serve.last_good(space).folder)
    given = {"CHAMPIONS": str(space.root / "serving"), "STATE": state, "WORKERS": "2"}
    environment = serve.environment(given, tmp_path)
    with smoke_test.running(ARGUMENTS, environment, tmp_path / "home") as server:
        (parent,) = psutil.Process(server.process.pid).children()
        _until(lambda: len(_workers(parent)) == 2)
        yield server, parent


@pytest.mark.smoke
def test_killed_workers_come_back_though_the_pointer_is_bad(
    service: tuple[smoke_test.Server, psutil.Process], space: Workspace, versions_project: tuple[Workspace, list[str]]
) -> None:
    """Killed workers restart after each damage, and the last good version responds to all requests."""
    server, parent = service
    for damage in (_torn, _damaged_in_place, _no_packages, _no_pointers):
        damage(space, versions_project[1])
        for worker in _workers(parent):
            os.kill(worker.pid, signal.SIGKILL)
            assert _answers(server.url, 10) == {(200, versions_project[1][0])}
            _until(lambda gone=worker: gone not in _workers(parent) and len(_workers(parent)) == 2)  # type: ignore[misc]
    assert "Traceback" not in server.log.read_text()


@pytest.mark.smoke
@pytest.mark.parametrize("way", ["killed", "told to start anew"])
def test_workers_that_are_gone_leave_the_metrics(service: tuple[smoke_test.Server, psutil.Process], way: str) -> None:
    """Gauges of dead workers are removed, or they would look like workers that stopped polling."""
    server, parent = service
    before = _workers(parent)
    if way == "killed":
        for worker in before:
            os.kill(worker.pid, signal.SIGKILL)
    else:
        parent.send_signal(signal.SIGHUP)
    _until(lambda: not set(before) & set(_workers(parent)) and len(_workers(parent)) == 2)
    replaced = time.time()
    _until(lambda: _last_check(server.url) > replaced, lambda: httpx.get(f"{server.url}/metrics", timeout=60).text)
    assert "Traceback" not in server.log.read_text()


def _last_check(url: str) -> float:
    """Return the time of the earliest last check of a worker for champions, or 0 if none has checked yet."""
    response = httpx.get(f"{url}/metrics", timeout=60)
    assert response.status_code == 200, response.text
    found = re.findall(r"^tiltyard_champions_looked_timestamp_seconds (\S+)$", response.text, re.MULTILINE)
    return float(found[0]) if found else 0.0


@pytest.mark.smoke
def test_a_worker_that_cannot_start_does_not_end_the_others(
    service: tuple[smoke_test.Server, psutil.Process], space: Workspace, versions_project: tuple[Workspace, list[str]]
) -> None:
    """With no package on disk one worker keeps serving; the other starts once there is one."""
    server, parent = service
    one, other = _workers(parent)
    for folder in (space.root / "serving", serve.last_good(space).folder):
        folder.rename(folder.with_name("aside"))
    os.kill(one.pid, signal.SIGKILL)
    _until(lambda: server.log.read_text().count("a worker did not start") > 1)
    assert _answers(server.url, 10) == {(200, versions_project[1][0])}
    (space.root / "aside").rename(space.root / "serving")
    os.kill(other.pid, signal.SIGKILL)
    assert _answers(server.url, 10) == {(200, versions_project[1][0])}


def _answers(url: str, count: int) -> set[tuple[int, Any]]:
    """Ask over as many connections, so that every worker is met; where none is up, they wait for one."""
    found = set()
    for _ in range(count):
        try:
            answer = httpx.post(url + PREDICT, json={"instances": [random_models.IRIS]}, timeout=60)
        except (httpx.RemoteProtocolError, httpx.ReadError):  # the connection of a killed worker
            continue
        found.add((answer.status_code, answer.json().get("version")))
    return found


def _workers(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children() if "spawn_main" in _command(child)]


def _command(process: psutil.Process) -> str:
    """Return the command line of a process, or nothing if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def _until(holds: Callable[[], bool], state: Callable[[], str] = str) -> None:
    """Wait until a condition holds; after 90 seconds fail, and show the state."""
    deadline = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < deadline, state()
        time.sleep(0.1)
