"""Formats of state: files of format 1 are read by every later version, and those of a later format are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tiltyard import files
from tiltyard.config import loader
from tiltyard.data import versions
from tiltyard.errors import PackageError, RegistryError, TaskError
from tiltyard.registry.decision import Decision
from tiltyard.registry.ledger import Ledger
from tiltyard.registry.queries import history, why
from tiltyard.registry.registry import Registry
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.workspace import Workspace

STATE = Path(__file__).parent / "state_of_format_1"
VERSION = "f84ef0fa02ae"


@pytest.fixture
def project(tmp_path: Path) -> Workspace:
    """A copy of a project whose sine champion was promoted when formats were first recorded."""
    shutil.copytree(STATE, tmp_path, dirs_exist_ok=True)
    return Workspace(tmp_path)


def test_state_of_format_1_is_read(project: Workspace) -> None:
    """Task file, pointer, ledger, versions of the data and the package are whole, and the model answers as recorded."""
    task, registry = loader.load(project, "sine"), Registry(project)
    champion = registry.champion("sine")
    assert champion is not None
    assert (champion.version, registry.faults("sine")) == (VERSION, [])
    assert [decision["verdict"] for decision in history(project, task)] == ["PROMOTE"]
    assert why(project, task)["version"] == VERSION
    assert len(versions.recorded(project, "sine")) == 1
    model = LoadedModel.load(project.package("sine", VERSION))
    golden = files.read_json(project.package("sine", VERSION) / "golden.json")
    found = model.predict(golden["instances"])
    assert np.allclose(found, golden["predictions"], rtol=1e-4)


def test_decisions_are_added_to_a_ledger_of_format_1(project: Workspace) -> None:
    """The next line continues the chain of an older one."""
    registry = Registry(project)
    held = registry.decisions("sine")[0].model_copy(update={"verdict": "HOLD", "id": "next"})
    with registry.lock("sine"):
        registry.record(held)
    assert registry.faults("sine") == []


def test_ledger_of_a_later_format_is_refused(project: Workspace) -> None:
    """Neither is it read wrongly, nor is a line of an older format added to it."""
    path = project.ledger("sine")
    line = {**json.loads(path.read_text()), "format": 3}
    path.write_text(json.dumps(line, separators=(",", ":")) + "\n")
    with pytest.raises(RegistryError, match=r"newer Tiltyard: expected format 2 or lower; received 3") as refused:
        Registry(project).decisions("sine")
    assert "upgrade" in refused.value.hint
    decision = Decision.model_validate(line)
    with pytest.raises(RegistryError, match="newer Tiltyard"):
        Ledger(path).append(decision)
    assert path.read_text().count("\n") == 1


def test_pointer_of_a_later_format_is_refused(project: Workspace) -> None:
    """The service does not follow a decision that it may misread."""
    path = project.champion("sine")
    content = files.read_json(path)
    files.write_json(path, {**content, "decision": {**content["decision"], "format": 3}})
    with pytest.raises(RegistryError, match=r"the decision in .*sine.json was written by a newer Tiltyard"):
        Registry(project).champion("sine")


def test_package_of_a_later_format_is_refused(project: Workspace) -> None:
    """A service does not load what it does not know."""
    path = project.package("sine", VERSION) / "schema.json"
    files.write_json(path, {**files.read_json(path), "format": 2})
    (path.parent / "proven.json").unlink()  # the hashes of its files
    with pytest.raises(PackageError, match="newer Tiltyard: expected format 1 or lower; received 2"):
        LoadedModel.load(path.parent)


def test_task_file_of_a_later_format_is_refused(project: Workspace) -> None:
    """The message is about the format, not about keys that this version does not know."""
    path = project.task_file("sine")
    path.write_text(f"format: 2\nnovelty: 1\n{path.read_text()}")
    with pytest.raises(TaskError, match=r"^tasks/sine\.yaml was written by a newer Tiltyard: expected format 1"):
        loader.load(project, "sine")
    path.write_text(path.read_text().replace("format: 2\nnovelty: 1\n", "format: 1\n"))
    assert loader.load(project, "sine").format == 1
