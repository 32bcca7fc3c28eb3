"""Memory of validation and preparation: it does not grow with the number of rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from workspaces import ROOT

from tiltyard import files

CODE = """
import importlib, resource, sys
from pathlib import Path
import yaml
from tiltyard import files; from tiltyard.config import loader as task_file
from tiltyard.data.formats import delimited
from tiltyard.preparation.modalities import table
from tiltyard.workspace import Workspace
import wide
wide.BLOCK, table.CHUNK_ROWS, delimited.BLOCK_BYTES = 10_000, 1 << 14, 1 << 20
package, verb, peaks = *sys.argv[1].split("."), []
for rows in (50_000, 50_000, 600_000):
    root = Path(sys.argv[2]) / str(len(peaks))
    workspace = Workspace(root)
    workspace.raw("wide").mkdir(parents=True)
    wide.write(workspace.raw("wide") / "table.csv", rows)
    files.write_text(workspace.task_file("wide"), yaml.safe_dump(wide.task(root, rows)))
    getattr(importlib.import_module(f"tiltyard.{package}.{verb}"), verb)(workspace, task_file.load(workspace, "wide"))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
files.write_json(Path(sys.argv[2]) / "peaks.json", peaks)
"""


@pytest.mark.smoke
@pytest.mark.nightly
@pytest.mark.parametrize("verb", ["validation.validate", "preparation.prepare"])
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path, verb: str) -> None:
    """550,000 more rows take less than 90 MiB more; reading them whole took 300 and 700 MiB."""
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'benchmarks'}", "PATH": ""}
    command = [sys.executable, "-c", CODE, verb, str(tmp_path)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    _, few, many = peaks = files.read_json(tmp_path / "peaks.json")
    assert many - few < 90, peaks
