"""The wheel of a Bento: complete, reproducible, and with all modules of this package that the service needs."""

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
from tiltyard.workspace import PACKAGE

MAX_WHEEL_BYTES = 850_000  # each Bento holds a wheel
# Where the modules of this package came from when the service was imported, and what the page is made of.
IMPORT_SCRIPT = """\
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


def wheel_path(bento: Path) -> Path:
    """Return the wheel of a Bento."""
    (path,) = (bento / "wheels").glob("*.whl")
    return path


def import_service(bento: Path, *, extra_path: Path | None = None) -> dict[str, Any]:
    """Import the service in a new interpreter without this source tree on the path; return what it imported."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    path = {"PYTHONPATH": str(extra_path)} if extra_path else {}
    command = [sys.executable, "-c", IMPORT_SCRIPT, str(bento)]
    done = subprocess.run(
        command, env=environment | path, cwd=bento, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def install(path: Path, target: Path) -> None:
    """Install a wheel with its dependencies as an image does, but offline."""
    command = ["uv", "pip", "install", "--quiet", "--offline", "--no-index", "--target", str(target), str(path)]
    subprocess.run([sys.executable, "-m", *command], check=True, timeout=120)


@pytest.mark.slow
def test_service_runs_from_the_wheel_alone(bento: Path) -> None:
    """All modules, plug-ins and page files come from the wheel; a second start reuses the unpacked files."""
    found = import_service(bento)
    folder = wheel_path(bento).with_suffix("")
    assert len(found["modules"]) > 60
    assert [path for path in found["modules"].values() if not Path(path).is_relative_to(folder)] == []
    assert found["problems"] == plugins.names("problems")
    assert found["columns"] == plugins.names("columns")
    assert found["page"] == {path: file.tag for path, file in page.FILES.items()}
    (folder / "tiltyard/serving/http/static/page.css").write_text("/* as it was unpacked */")
    second_import = import_service(bento)
    assert second_import["page"]["/page/page.css"] != found["page"]["/page/page.css"]
    assert [path.name for path in (bento / "wheels").iterdir() if path.is_dir()] == [folder.name]


@pytest.mark.slow
def test_wheel_is_imported_directly_if_it_cannot_be_unpacked(bento: Path) -> None:
    """Without unpacking, everything is imported from the wheel, and no files are created."""
    blocking_file = wheel_path(bento).with_suffix("")
    blocking_file.touch()  # root may write to read-only folders, but nobody can create a folder in place of a file
    found = import_service(bento)
    assert [path for path in found["modules"].values() if not path.startswith(f"{wheel_path(bento)}/")] == []
    assert found["columns"] == plugins.names("columns")
    assert found["page"] == {path: file.tag for path, file in page.FILES.items()}
    assert {*(bento / "wheels").iterdir()} == {wheel_path(bento), blocking_file}


@pytest.mark.slow
def test_installed_wheel_is_not_unpacked(bento: Path, tmp_path: Path) -> None:
    """As in an image: the wheel has no dependencies, and the service imports an installed package of the same code."""
    site = tmp_path / "site"
    install(wheel_path(bento), site)
    found = import_service(bento, extra_path=site)
    assert [path for path in found["modules"].values() if not Path(path).is_relative_to(site)] == []
    assert [path.name for path in (bento / "wheels").iterdir()] == [wheel_path(bento).name]


@pytest.mark.slow
def test_installed_package_writes_the_same_wheel(bento: Path, tmp_path: Path) -> None:
    """An installed package writes the same wheel under the same name, without a checkout."""
    site, target = tmp_path / "site", tmp_path / "again"
    shutil.copytree(PACKAGE, site / "tiltyard")
    script = "import sys; from pathlib import Path; from tiltyard.serving.packaging import wheel; "
    script += "wheel.write(Path(sys.argv[1])); print(wheel.PACKAGE)"
    command = [sys.executable, "-c", script, str(target)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=True, timeout=120
    )
    assert Path(done.stdout.strip()) == site / "tiltyard"
    assert (target / wheel_path(bento).name).read_bytes() == wheel_path(bento).read_bytes()


def test_same_code_gives_the_same_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed byte of the code changes the version; time, path, bytecode and hidden files do not."""
    before = wheel.write(tmp_path / "before")
    shutil.copytree(PACKAGE, tmp_path / "tiltyard", copy_function=shutil.copyfile)  # with other times
    monkeypatch.setattr(wheel, "PACKAGE", tmp_path / "tiltyard")
    (tmp_path / "tiltyard/serving/__pycache__").mkdir(exist_ok=True)
    (tmp_path / "tiltyard/serving/__pycache__/serve.cpython-311.pyc").touch()
    (tmp_path / "tiltyard/serving/.serve.py.swp").touch()
    second_wheel = wheel.write(tmp_path / "again")
    assert second_wheel.name == before.name
    assert second_wheel.read_bytes() == before.read_bytes()
    with (tmp_path / "tiltyard/errors.py").open("a") as file:
        file.write("\n")
    assert wheel.write(tmp_path / "changed").name != before.name


def test_record_has_hash_and_size_of_each_file(tmp_path: Path) -> None:
    """Each file of the archive is in RECORD with its hash and size, which installers check."""
    archive = zipfile.ZipFile(wheel.write(tmp_path))
    (name,) = (name for name in archive.namelist() if name.endswith("/RECORD"))
    recorded = {path: (digest, size) for path, digest, size in csv.reader(io.StringIO(archive.read(name).decode()))}
    assert recorded.pop(name) == ("", "")
    assert {*recorded} == {*archive.namelist()} - {name}
    for path, (digest, size) in recorded.items():
        content = archive.read(path)
        expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        assert (digest, size) == (f"sha256={expected}", str(len(content))), path


def test_wheel_contains_all_modules_of_the_service(tmp_path: Path) -> None:
    """Imports inside functions and plug-ins are included, and the wheel stays small."""
    path = wheel.write(tmp_path)
    imported = imports.of_the_service()
    assert len(imported) > 80
    assert {f"tiltyard/{name}" for name in imported} <= {*zipfile.ZipFile(path).namelist()}
    assert path.stat().st_size < MAX_WHEEL_BYTES
