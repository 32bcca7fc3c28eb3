"""The wheel in an environment without the source tree: a project from an empty folder to a served model."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from workspaces import ROOT

ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
TABLE = "sales,tv\n" + "".join(f"{n % 17 + n * 7919 % 101 / 8},{n % 17 + 0.5}\n" for n in range(200))
Command = Callable[..., "subprocess.CompletedProcess[str]"]
Serve = Callable[[Path], contextlib.AbstractContextManager[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; the libraries that it requires are those of this environment."""
    folder = tmp_path_factory.mktemp("environment") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "-q", "--offline", "--no-deps"]
    subprocess.run([*uv, "--python", str(folder / "bin" / "python"), str(wheel)], check=True)
    # .pth files of that folder are not read, so this repository, installed there editable, is not seen
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return folder


@pytest.fixture
def environment(installed: Path, tmp_path: Path) -> dict[str, str]:
    """The environment variables of a user who activated that environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TILTYARD", "PYTHONPATH"))}
    path = os.pathsep.join([str(installed / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, "PATH": path, "HOME": str(tmp_path)}


@pytest.fixture
def run(environment: dict[str, str]) -> Command:
    """Return a function that runs `tiltyard`, or another command, in a folder."""

    def called(folder: Path, *words: str, program: str = "tiltyard") -> subprocess.CompletedProcess[str]:
        command = [shutil.which(program, path=environment["PATH"]) or program, *words]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return called


@pytest.fixture
def serve(environment: dict[str, str], installed: Path) -> Serve:
    """Return a context manager that serves the champions of a folder, and yields the address."""

    @contextlib.contextmanager
    def served(folder: Path) -> Iterator[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [str(installed / "bin" / "tiltyard"), "serve", "--port", str(port)]
        with subprocess.Popen(command, cwd=folder, env=environment) as process:
            try:
                _wait_until_ready(process, f"http://127.0.0.1:{port}")
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()

    return served


def _wait_until_ready(process: subprocess.Popen[bytes], address: str) -> None:
    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return
        assert process.poll() is None, "the service ended"
        time.sleep(0.2)
    raise AssertionError("the service is not ready after a minute")


def test_the_wheel_is_one_package_with_its_templates(wheel: Path) -> None:
    """Nothing of a common name is installed, and what new projects need is inside."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"tiltyard"}
    needed = (
        "contracts/plugin.py",
        "pipelines/flow.py",
        "templates/dvc.yaml",
        "templates/serving/service.py",
        "serving/http/static/page.js",
    )
    assert {f"tiltyard/{name}" for name in needed} <= set(names)
    assert not [name for name in names if "__pycache__" in name or "/champions/" in name]


def test_the_wheel_requires_what_bentoml_would_download(wheel: Path) -> None:
    """Without uv BentoML installs it with pip when a Bento is built, which needs the network, or fails without pip."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        required = [line for line in archive.read(name).decode().splitlines() if line.startswith("Requires-Dist: uv>")]
    assert len(required) == 1
    assert "extra ==" not in required[0]


@pytest.mark.slow
@pytest.mark.smoke
def test_a_project_without_a_clone(run: Command, serve: Serve, tmp_path: Path) -> None:
    """New, run, a second run that skips, `dvc repro`, a task of one's own, serve, ask, and remove."""
    made = run(tmp_path, "new", "shop")
    assert made.returncode == 0, made.stderr
    shop = tmp_path / "shop"
    first = run(shop, "run")
    assert first.returncode == 0, first.stderr + first.stdout
    assert "PROMOTE" in first.stdout
    assert "every step is skipped" in run(shop, "run").stderr
    repeated = run(shop, "repro", program="dvc")
    assert repeated.returncode == 0, repeated.stderr
    assert "Running stage 'train@iris'" not in repeated.stdout
    (shop / "sales.csv").write_text(TABLE, encoding="utf-8")
    drafted = run(shop, "init", "sales", "--data", "sales.csv", "--target", "sales")
    assert drafted.returncode == 0, drafted.stderr
    with serve(shop) as address:
        answer = httpx.post(f"{address}/v1/models/iris:predict", json={"instances": [ROW]}, timeout=30).json()
        assert answer["predictions"][0]["label"] == "setosa"
    assert run(shop, "remove", "sales", "--yes").returncode == 0
    assert "Traceback" not in first.stderr + repeated.stderr
