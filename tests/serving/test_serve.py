"""The command serve: finds champions, reports what is missing, and becomes the service."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tiltyard.errors import PackageError, RegistryError, TaskError
from tiltyard.serving import serve
from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.workspace import Workspace


def test_every_champion_is_served_unless_named(champions_project: Workspace) -> None:
    """Without names all champions are served; with names exactly those."""
    assert list(serve.champions(champions_project, [])) == ["diabetes", "iris", "sine"]
    assert list(serve.champions(champions_project, ["sine"])) == ["sine"]


def test_no_champion_is_an_error(champions_project: Workspace, tmp_path: Path) -> None:
    """Without a champion, the hint is the command that makes one."""
    with pytest.raises(RegistryError, match="no champion yet of digits") as caught:
        serve.champions(champions_project, ["iris", "digits"])
    assert caught.value.hint == "make one: tiltyard run digits"
    shutil.copytree(champions_project.root / "tasks", tmp_path / "tasks")
    shutil.copy(champions_project.params, tmp_path)
    with pytest.raises(RegistryError, match="no champion yet of diabetes, digits, iris, sine") as caught:
        serve.champions(Workspace(tmp_path), [])
    assert caught.value.hint == "make one: tiltyard run"


def test_unknown_task_name_is_an_error(champions_project: Workspace) -> None:
    """An unknown task name is reported with the known ones."""
    with pytest.raises(TaskError, match=r"no task 'irsi': expected one of .*iris") as caught:
        serve.champions(champions_project, ["irsi", "sine"])
    assert "tiltyard run" not in caught.value.hint


def test_missing_package_is_an_error(champions_project: Workspace, tmp_path: Path) -> None:
    """A pointer without its package is reported with the version."""
    for part in ("tasks", "serving/champions"):
        shutil.copytree(champions_project.root / part, tmp_path / part)
    with pytest.raises(RegistryError, match=r"the package of diabetes .* is not here"):
        serve.champions(Workspace(tmp_path), [])


def test_port_in_use_is_an_error(champions_project: Workspace) -> None:
    """A port in use is reported, with the option for another one."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PackageError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            serve.serve(champions_project, [], ("127.0.0.1", port))
    assert "--port" in caught.value.hint


@pytest.mark.slow
def test_process_becomes_the_service(champions_project: Workspace, tmp_path: Path) -> None:
    """The process becomes the service after printing its URL and a command that works."""
    port = smoke_test.free_port()
    script = (
        "import sys; from pathlib import Path; from tiltyard.serving.serve import serve;"
        "from tiltyard.workspace import Workspace;"
        f"serve(Workspace(Path(sys.argv[1])), ['iris'], ('127.0.0.1', {port}), say=lambda t: print(t, flush=True))"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(champions_project.root)],
            env={**os.environ, **bento.clean(), "BENTOML_HOME": str(tmp_path / "bentoml")},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = smoke_test.Server(process, f"http://127.0.0.1:{port}", tmp_path / "log")
    try:
        smoke_test.wait(server)
        output = server.log.read_text()
        assert f"http://127.0.0.1:{port}/v1/models/iris" in output
        command = next(line for line in output.splitlines() if line.startswith("try: curl "))
        url, _, body = command.removeprefix("try: curl ").partition(" -d ")
        with urllib.request.urlopen(url, body.strip("'").encode(), timeout=10) as response:  # noqa: S310 - loopback
            assert json.load(response)["model"] == "iris"
    finally:
        smoke_test.stop(process)
    assert process.returncode is not None
