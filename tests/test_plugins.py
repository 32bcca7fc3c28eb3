"""Plug-ins of other packages: found by entry points, used in task files, refused with a sentence if they are wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiltyard import plugins
from tiltyard.errors import TaskError

SOURCE = '''
from typing import Literal
from tiltyard.data.sources.base import Source

class Constant(Source):
    """Rows of one value."""
    kind: Literal["constant"]
    value: float = 1.0

    def fetch(self, folder, workspace):
        rows = "".join(f"{n},{n * self.value}\\n" for n in range(50))
        (folder / "rows.csv").write_text(f"x,y\\n{rows}")
'''


def install(folder: Path, *points: str, code: str = SOURCE, name: str = "far_sources") -> Path:
    """Write a package with entry points as an installer would; return the folder for the path."""
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[tiltyard.sources]\n" + "\n".join(points) + "\n", encoding="utf-8")
    return folder


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, in which that folder is installed."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)


def test_a_source_of_another_package_is_used_by_a_task(tmp_path: Path) -> None:
    """It is a kind in the schema and in task files, with its own settings, and writes the raw data."""
    code = f"""
import json, pathlib, yaml
from tiltyard.config import loader
from tiltyard.config.task import Task
from pydantic import TypeAdapter
from tiltyard import plugins
source = TypeAdapter(plugins.union("sources", "kind")).validate_python({{"kind": "constant", "value": 3}})
folder = pathlib.Path({str(tmp_path)!r}) / "raw"
folder.mkdir()
source.fetch(folder, None)
print(json.dumps([(folder / "rows.csv").read_text().splitlines()[2], "constant" in json.dumps(loader.json_schema())]))
"""
    done = run(install(tmp_path, "constant = far_sources:Constant"), code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["1,3.0", True]


def test_its_code_counts_to_the_fingerprint_of_stages(tmp_path: Path) -> None:
    """An edit of the other package changes the fingerprint of the stages that depend on its kind, and of no others."""
    code = "import json; from tiltyard.data import stage_code; print(json.dumps(stage_code.fingerprints()))"
    without = json.loads(run(tmp_path, code).stdout)
    install(tmp_path, "constant = far_sources:Constant")
    first = json.loads(run(tmp_path, code).stdout)
    (tmp_path / "far_sources.py").write_text(f"{SOURCE}# edited\n", encoding="utf-8")
    second = json.loads(run(tmp_path, code).stdout)
    for before, after in ((without, first), (first, second)):
        assert {verb for verb in before if before[verb] != after[verb]} == {"resolve"}


@pytest.mark.parametrize(
    ("point", "part"),
    [
        ("file = far_sources:Constant", "expected one; far_sources adds another one"),
        ("far = far_sources:Missing", "has no attribute 'Missing'"),
        ("far = nowhere:Constant", "No module named 'nowhere'"),
        ("far = far_sources:Literal", "expected a subclass of Source"),
    ],
)
def test_a_wrong_plugin_is_refused_with_a_sentence(tmp_path: Path, point: str, part: str) -> None:
    """A name that is taken, a class that is missing or of another kind: the error names the package."""
    code = """
from tiltyard import plugins
from tiltyard.errors import PluginError
try:
    [plugins.load("sources", name) for name in plugins.names("sources")]
except PluginError as error:
    print(error.message)
"""
    done = run(install(tmp_path, point), code)
    assert part in done.stdout, done.stderr


def test_an_unknown_name_lists_the_known_ones() -> None:
    """The error has the names of the folder."""
    with pytest.raises(TaskError, match=r"expected one of .*file.*; received 'fiel'"):
        plugins.load("sources", "fiel")


def test_a_service_takes_the_plugins_that_it_needs_along(tmp_path: Path) -> None:
    """The wheel of a Bento has the module of a column type of another package, and its entry point."""
    code = SOURCE.replace(
        "from tiltyard.data.sources.base import Source", "from tiltyard.modeling.columns.base import Column"
    )
    install(tmp_path, code=code.replace("(Source)", "(Column)"))
    points = tmp_path / "far_sources-1.0.dist-info" / "entry_points.txt"
    points.write_text("[tiltyard.columns]\nconstant = far_sources:Constant\n", encoding="utf-8")
    done = run(
        tmp_path,
        f"""
import pathlib, zipfile
from tiltyard.serving.packaging import wheel
with zipfile.ZipFile(wheel.write(pathlib.Path({str(tmp_path)!r}))) as archive:
    (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    print("far_sources.py" in archive.namelist(), archive.read(points).decode())
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True [tiltyard.columns]\nconstant = far_sources:Constant\n\n"
