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
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

PREDICT = "/v1/models/iris:predict"


@pytest.fixture
def space(versions_project: tuple[Workspace, list[str]], tmp_path: Path) -> Workspace:
    """Return a copy of the workspace in which sine has a champion, too."""
    made = Workspace(tmp_path / "own")
    shutil.copytree(versions_project[0].root, made.root)
    random_models.write_champion(made, random_models.write_evaluated(made, "sine"))
    return made


def start_worker(space: Workspace) -> Starlette:
    """Start a worker like the service."""
    app = create_app()
    ChampionWatcher(app, space.root / "serving", last_good=serve.last_good(space)).start()
    return app


def _truncate_pointer(space: Workspace, _: list[str]) -> None:
    space.champion("iris").write_text('{"version": "')


def _nest_pointer(space: Workspace, _: list[str]) -> None:
    space.champion("iris").write_text("[" * 100_000)


def _write_invalid_utf8(space: Workspace, _: list[str]) -> None:
    space.champion("iris").write_bytes(b"\xff\xfe\x00")


def _write_list_as_pointer(space: Workspace, _: list[str]) -> None:
    space.champion("iris").write_text("[1, 2]")


def _remove_version(space: Workspace, _: list[str]) -> None:
    space.champion("iris").write_text('{"task": "iris"}')


def _replace_pointer_by_folder(space: Workspace, _: list[str]) -> None:
    space.champion("iris").unlink()
    space.champion("iris").mkdir()


def _promote_without_package(space: Workspace, versions: list[str]) -> None:
    shutil.rmtree(space.package("iris", versions[1]))
    random_models.set_champion(space, versions[1])


def _promote_package_of_another_task(space: Workspace, _: list[str]) -> None:
    """Replace iris's package by sine's."""
    sine = next(space.package("sine", "x").parent.iterdir())
    shutil.copytree(sine, space.package("iris", sine.name))
    random_models.set_champion(space, sine.name)


def _promote_with_other_predictions(space: Workspace, versions: list[str]) -> None:
    path = space.package("iris", versions[1]) / "golden.json"
    golden = files.read_json(path)
    files.write_json(path, {**golden, "predictions": [{"label": "setosa", "probabilities": {}}]})
    random_models.set_champion(space, versions[1])


def _damage_model(space: Workspace, versions: list[str]) -> None:
    (space.package("iris", versions[0]) / "model.onnx").write_bytes(b"damaged")


def _change_schema(space: Workspace, versions: list[str]) -> None:
    """Change a file that the version does not cover, so that the package still loads."""
    path = space.package("iris", versions[0]) / "schema.json"
    path.write_text(path.read_text().replace("Iris", "Rose"))
    space.champion("iris").write_text("{")


def _remove_packages_of_iris(space: Workspace, _: list[str]) -> None:
    shutil.rmtree(space.package("iris", "x").parent)


def _remove_all_packages(space: Workspace, _: list[str]) -> None:
    shutil.rmtree(space.root / "serving/packages")


def _remove_all_pointers(space: Workspace, _: list[str]) -> None:
    shutil.rmtree(space.root / "serving/champions")


DAMAGES = [
    *(
        _truncate_pointer,
        _nest_pointer,
        _write_invalid_utf8,
        _write_list_as_pointer,
        _remove_version,
        _replace_pointer_by_folder,
        _promote_without_package,
        _promote_package_of_another_task,
        _promote_with_other_predictions,
    ),
    *(_damage_model, _change_schema, _remove_packages_of_iris, _remove_all_packages, _remove_all_pointers),
]
Damage = Callable[[Workspace, list[str]], None]


@pytest.mark.parametrize("damage", DAMAGES)
def test_starting_worker_serves_the_last_good_champion(
    space: Workspace, versions_project: tuple[Workspace, list[str]], damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    """After any damage, a starting worker serves the last good version and logs the reason."""
    start_worker(space)
    damage(space, versions_project[1])
    app = start_worker(space)
    assert {name: model.task for name, model in app.state.models.items()} == {"iris": "iris", "sine": "sine"}
    assert app.state.models["iris"].version == versions_project[1][0]
    assert app.state.models["iris"].schema["title"].startswith("Iris")
    assert "iris: the champion is not served: " in caplog.text
    assert f"iris: the last good version is served: {versions_project[1][0]}" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES[:-2])
def test_worker_without_a_last_good_champion_serves_other_tasks(
    space: Workspace, versions_project: tuple[Workspace, list[str]], damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a last good version, the task is served once its pointer is repaired."""
    damage(space, versions_project[1])
    app = create_app()
    watcher = ChampionWatcher(app, space.root / "serving")
    watcher.start()
    assert [*app.state.models] == ["sine"]
    assert "iris: " in caplog.text
    assert "it has no last good version" in caplog.text
    shutil.rmtree(space.root / "serving")
    shutil.copytree(versions_project[0].root / "serving", space.root / "serving")
    watcher.retry_at = dict.fromkeys(watcher.retry_at, 0.0)
    watcher.poll()
    assert app.state.models["iris"].version == versions_project[1][0]


def test_no_servable_champion_is_an_error(space: Workspace) -> None:
    """If no task can be served, the error names each with its reason."""
    for name in ("iris", "sine", "diabetes"):
        space.champion(name).write_text("{")
    with pytest.raises(PackageError, match=r"no champion can be served\. .*iris: .*; sine: .*not a champion pointer"):
        start_worker(space)


def test_copies_are_repaired_and_limited_in_number(
    space: Workspace, versions_project: tuple[Workspace, list[str]]
) -> None:
    """A damaged copy is replaced, two copies of a task are kept, and incomplete ones are removed."""
    last_good, root = serve.last_good(space), space.root / "serving"
    (first, second, third), folder = versions_project[1], serve.last_good(space).folder / "iris"
    for version in (first, second):
        last_good.save("iris", version, root / "packages/iris" / version)
    last_good.copy("iris", second).joinpath("model.onnx").write_bytes(b"x")
    leftover = folder / ".0123-left"
    leftover.mkdir()
    os.utime(leftover, (0, 0))
    last_good.save("iris", second, root / "packages/iris" / second)
    assert files.sha256(last_good.copy("iris", second)) != files.sha256(last_good.copy("iris", first))
    assert (last_good.copy("iris", second) / "model.onnx").read_bytes() != b"x"
    last_good.save("iris", third, root / "packages/iris" / third)
    assert last_good.version("iris") == third
    assert {path.name for path in folder.iterdir()} >= {third}
    assert len([*folder.iterdir()]) == 2


def test_package_is_not_copied_without_disk_space(
    space: Workspace, versions_project: tuple[Workspace, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without disk space for a copy, the version is stored, and loaded from its package."""
    monkeypatch.setattr("tiltyard.serving.http.last_good.MAX_DISK_SHARE", 0.0)
    start_worker(space)
    assert not serve.last_good(space).copy("iris", versions_project[1][0]).exists()
    space.champion("iris").write_text("{")
    assert start_worker(space).state.models["iris"].version == versions_project[1][0]


def test_unwritable_state_folder_does_not_stop_the_service(
    space: Workspace, versions_project: tuple[Workspace, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    """With a read-only folder the champions are served, and storing is retried and logged."""
    state_folder = space.root / "state"
    state_folder.write_text("")
    app = create_app()
    watcher = ChampionWatcher(app, space.root / "serving", last_good=LastGood(state_folder))
    watcher.start()
    watcher.poll()
    assert sorted(app.state.models) == ["iris", "sine"]
    assert caplog.text.count("could not be stored as last good version") == 2
    state_folder.unlink()
    watcher.save_again_at = 0.0
    watcher.poll()
    assert LastGood(state_folder).version("iris") == versions_project[1][0]


def test_serve_continues_without_a_damaged_task(
    space: Workspace, versions_project: tuple[Workspace, list[str]]
) -> None:
    """`serve` reports a damaged pointer, and serves the last good version if there is one."""
    messages: list[str] = []
    space.champion("iris").write_text("{")
    assert [*serve.champions(space, [], messages.append)] == ["sine"]
    assert [*serve.champions(space, ["iris", "sine"])] == ["sine"]
    assert messages[0].startswith("iris: ")
    assert messages[0].endswith("it is not served")
    with pytest.raises(RegistryError, match=r"iris\.json"):
        serve.champions(space, ["iris"])
    random_models.set_champion(_remove_pointer(space), versions_project[1][1])
    start_worker(space)
    space.champion("iris").write_text("{")
    assert serve.champions(space, [], messages.append)["iris"].name == versions_project[1][1]
    assert f"the last good version {versions_project[1][1]} is served" in messages[-1]


def _remove_pointer(space: Workspace) -> Workspace:
    space.champion("iris").unlink()
    return space


@pytest.fixture
def service(space: Workspace, tmp_path: Path) -> Iterator[tuple[smoke_test.Server, psutil.Process]]:
    """Run a service of two workers, both of which serve; return the server and its parent process."""
    state = str(serve.last_good(space).folder)
    options = {"CHAMPIONS": str(space.root / "serving"), "STATE": state, "WORKERS": "2"}
    environment = serve.environment(options, tmp_path)
    with smoke_test.running(SERVER, environment, tmp_path / "home") as server:
        (parent,) = psutil.Process(server.process.pid).children()
        _wait_until(lambda: len(_checked(parent)) == 2 and _last_check(server.url) > 0)
        yield server, parent


@pytest.mark.smoke
def test_killed_workers_restart_with_a_damaged_pointer(
    service: tuple[smoke_test.Server, psutil.Process], space: Workspace, versions_project: tuple[Workspace, list[str]]
) -> None:
    """Killed workers restart after each damage, and the last good version responds to all requests."""
    server, parent = service
    for damage in (_truncate_pointer, _damage_model, _remove_all_packages, _remove_all_pointers):
        damage(space, versions_project[1])
        for worker in _workers(parent):
            os.kill(worker.pid, signal.SIGKILL)
            assert _responses(server.url, 10) == {(200, versions_project[1][0])}
            _wait_until(lambda old=worker: old not in _workers(parent) and len(_workers(parent)) == 2)  # type: ignore[misc]
    assert "Traceback" not in server.log.read_text()


@pytest.mark.smoke
@pytest.mark.parametrize("cause", ["killed", "restarted by SIGHUP"])
def test_gauges_of_dead_workers_are_removed(service: tuple[smoke_test.Server, psutil.Process], cause: str) -> None:
    """Gauges of dead workers are removed, or they would look like workers that stopped polling."""
    server, parent = service
    before = _workers(parent)
    if cause == "killed":
        for worker in before:
            os.kill(worker.pid, signal.SIGKILL)
    else:
        parent.send_signal(signal.SIGHUP)
    _wait_until(lambda: not set(before) & set(_workers(parent)) and len(_workers(parent)) == 2)
    replaced = time.time()
    _wait_until(lambda: _last_check(server.url) > replaced, lambda: httpx.get(f"{server.url}/metrics", timeout=60).text)
    assert "Traceback" not in server.log.read_text()


def _last_check(url: str) -> float:
    """Return the time of the earliest last check of a worker for champions, or 0 if none has checked yet."""
    response = httpx.get(f"{url}/metrics", timeout=60)
    assert response.status_code == 200, response.text
    found = re.findall(r"^tiltyard_champions_looked_timestamp_seconds (\S+)$", response.text, re.MULTILINE)
    return float(found[0]) if found else 0.0


@pytest.mark.smoke
def test_worker_that_cannot_start_does_not_stop_others(
    service: tuple[smoke_test.Server, psutil.Process], space: Workspace, versions_project: tuple[Workspace, list[str]]
) -> None:
    """With no package on disk one worker keeps serving; the other starts once there is one."""
    server, parent = service
    one, other = _workers(parent)
    for folder in (space.root / "serving", serve.last_good(space).folder):
        folder.rename(folder.with_name("aside"))
    os.kill(one.pid, signal.SIGKILL)
    _wait_until(lambda: server.log.read_text().count("a worker did not start") > 1)
    assert _responses(server.url, 10) == {(200, versions_project[1][0])}
    (space.root / "aside").rename(space.root / "serving")
    os.kill(other.pid, signal.SIGKILL)
    assert _responses(server.url, 10) == {(200, versions_project[1][0])}


def _responses(url: str, count: int) -> set[tuple[int, Any]]:
    """Send each request over a new connection, so that every worker responds; return status codes and versions."""
    found = set()
    for _ in range(count):
        try:
            response = httpx.post(url + PREDICT, json={"instances": [random_models.IRIS]}, timeout=60)
        except (httpx.RemoteProtocolError, httpx.ReadError):  # the connection of a killed worker
            continue
        found.add((response.status_code, response.json().get("version")))
    return found


def _workers(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children() if "spawn_main" in _command(child)]


def _checked(parent: psutil.Process) -> list[psutil.Process]:
    """Return the workers whose models are loaded, by their file in the metrics folder."""
    with contextlib.suppress(psutil.NoSuchProcess, KeyError):
        return [
            worker
            for worker in _workers(parent)
            if Path(worker.environ()["PROMETHEUS_MULTIPROC_DIR"], f"gauge_livemin_{worker.pid}.db").is_file()
        ]
    return []


def _command(process: psutil.Process) -> str:
    """Return the command line of a process, or nothing if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def _wait_until(condition: Callable[[], bool], state: Callable[[], str] = str) -> None:
    """Wait until a condition holds; after 90 seconds fail, and show the state."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, state()
        time.sleep(0.1)
