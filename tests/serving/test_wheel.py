"""The wheel of a Bento: whole, the same for the same code, and all of this package that the service needs."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import imports
import pytest

from tiltyard import plugins
from tiltyard.serving.http import page
from tiltyard.serving.packaging import wheel

PLAIN_FILES = 506_222  # bytes: what a Bento held of this package when it was a copy of single files
# Where the modules of this package came from when the service was imported, and what the page is made of.
LOOK = """\
import json, sys
sys.path.insert(0, sys.argv[1])
import service
from tiltyard import plugins
from tiltyard.serving.http import page
print(json.dumps({
    "modules": {name: module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "tiltyard"},
    "problems": plugins.names("problems"),
    "columns": plugins.names("columns"),
    "page": {path: file.tag for path, file in page.FILES.items()},
}))
"""


@pytest.fixture
def bento(tmp_path: Path) -> Path:
    """A folder with the service and the wheel, as in a Bento."""
    shutil.copy(imports.SERVICE, tmp_path)
    wheel.write(tmp_path / "wheels")
    return tmp_path


def packed(bento: Path) -> Path:
    """Return its wheel."""
    (path,) = (bento / "wheels").glob("*.whl")
    return path


def look(bento: Path, *, also: Path | None = None) -> dict[str, Any]:
    """Import the service in a new interpreter with nothing of this tree on the path; return what it found."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    path = {"PYTHONPATH": str(also)} if also else {}
    command = [sys.executable, "-c", LOOK, str(bento)]
    done = subprocess.run(
        command, env=environment | path, cwd=bento, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def install(path: Path, target: Path) -> None:
    """Install a wheel as an image does, with what it names as needed; nothing can be fetched."""
    command = ["uv", "pip", "install", "--quiet", "--offline", "--no-index", "--target", str(target), str(path)]
    subprocess.run([sys.executable, "-m", *command], check=True, timeout=120)


@pytest.mark.slow
def test_the_service_runs_from_the_wheel_alone(bento: Path) -> None:
    """Every module, plug-in and file of the page comes out of it; the second start takes what the first unpacked."""
    found = look(bento)
    folder = packed(bento).with_suffix("")
    assert len(found["modules"]) > 60
    assert [path for path in found["modules"].values() if not Path(path).is_relative_to(folder)] == []
    assert found["problems"] == plugins.names("problems")
    assert found["columns"] == plugins.names("columns")
    assert found["page"] == {path: file.tag for path, file in page.FILES.items()}
    (folder / "tiltyard/serving/http/static/page.css").write_text("/* as it was unpacked */")
    again = look(bento)
    assert again["page"]["/page/page.css"] != found["page"]["/page/page.css"]
    assert [path.name for path in (bento / "wheels").iterdir() if path.is_dir()] == [folder.name]


@pytest.mark.slow
def test_where_nothing_can_be_unpacked_the_wheel_itself_is_read(bento: Path) -> None:
    """All is there, too, and nothing is left beside it."""
    blocked = packed(bento).with_suffix("")
    blocked.touch()  # root may write to folders that are read-only, but no one a folder over a file
    found = look(bento)
    assert [path for path in found["modules"].values() if not path.startswith(f"{packed(bento)}/")] == []
    assert found["columns"] == plugins.names("columns")
    assert found["page"] == {path: file.tag for path, file in page.FILES.items()}
    assert {*(bento / "wheels").iterdir()} == {packed(bento), blocked}


@pytest.mark.slow
def test_installed_it_is_not_unpacked(bento: Path, tmp_path: Path) -> None:
    """As in an image: it needs no other package, and the service takes the installed one if it is of the same code."""
    site = tmp_path / "site"
    install(packed(bento), site)
    found = look(bento, also=site)
    assert [path for path in found["modules"].values() if not Path(path).is_relative_to(site)] == []
    assert [path.name for path in (bento / "wheels").iterdir()] == [packed(bento).name]


@pytest.mark.slow
def test_an_installed_package_writes_the_same_wheel(bento: Path, tmp_path: Path) -> None:
    """No checkout is needed: from a plain installation come the same bytes under the same name."""
    site, target = tmp_path / "site", tmp_path / "again"
    install(packed(bento), site)
    script = "import sys; from pathlib import Path; from tiltyard.serving.packaging import wheel; "
    script += "wheel.write(Path(sys.argv[1])); print(wheel.SOURCE)"
    command = [sys.executable, "-c", script, str(target)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=True, timeout=120
    )
    assert Path(done.stdout.strip()) == site / "tiltyard"
    assert (target / packed(bento).name).read_bytes() == packed(bento).read_bytes()


def test_the_same_code_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever and wherever it is written; a changed byte gives another version, bytecode and hidden files do not."""
    before = wheel.write(tmp_path / "before")
    shutil.copytree(wheel.SOURCE, tmp_path / "tiltyard", copy_function=shutil.copyfile)  # with other times
    monkeypatch.setattr(wheel, "SOURCE", tmp_path / "tiltyard")
    (tmp_path / "tiltyard/serving/__pycache__").mkdir(exist_ok=True)
    (tmp_path / "tiltyard/serving/__pycache__/serve.cpython-311.pyc").touch()
    (tmp_path / "tiltyard/serving/.serve.py.swp").touch()
    again = wheel.write(tmp_path / "again")
    assert again.name == before.name
    assert again.read_bytes() == before.read_bytes()
    with (tmp_path / "tiltyard/errors.py").open("a") as file:
        file.write("\n")
    assert wheel.write(tmp_path / "changed").name != before.name


def test_the_record_is_true(tmp_path: Path) -> None:
    """Each file of the archive is in RECORD with its hash and its size, as installers check."""
    archive = zipfile.ZipFile(wheel.write(tmp_path))
    (name,) = (name for name in archive.namelist() if name.endswith("/RECORD"))
    recorded = {path: (digest, size) for path, digest, size in csv.reader(io.StringIO(archive.read(name).decode()))}
    assert recorded.pop(name) == ("", "")
    assert {*recorded} == {*archive.namelist()} - {name}
    for path, (digest, size) in recorded.items():
        content = archive.read(path)
        expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        assert (digest, size) == (f"sha256={expected}", str(len(content))), path


def test_it_holds_what_the_service_imports(tmp_path: Path) -> None:
    """Also inside functions and as plug-ins, and what bounds it: less than the single files that Bentos held before."""
    path = wheel.write(tmp_path)
    imported = imports.of_the_service()
    assert len(imported) > 80
    assert {f"tiltyard/{name}" for name in imported} <= {*zipfile.ZipFile(path).namelist()}
    assert path.stat().st_size < PLAIN_FILES
