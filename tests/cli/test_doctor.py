"""`tiltyard doctor`: each missing requirement is found, with a hint."""

from __future__ import annotations

import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tiltyard.cli.commands import _doctor
from tiltyard.cli.commands._doctor import Requirement
from tiltyard.workspace import Workspace


def test_new_workspace_meets_all_requirements(workspace: Workspace) -> None:
    """All requirements are met, and optional ones do not fail."""
    findings = _doctor.doctor(workspace)
    assert [finding for finding in findings if not finding.ok and finding.name != "port"] == []
    assert len({finding.name for finding in findings}) == len(findings)


def test_the_doctor_imports_nothing_heavy(workspace: Workspace) -> None:
    """TensorFlow and Keras are not imported."""
    code = "import sys; from tiltyard.cli.commands import _doctor; from tiltyard.workspace import Workspace; "
    code += "_doctor.doctor(Workspace.find()); print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, check=True)
    assert not {"tensorflow", "keras"} & {*done.stdout.split()}


def test_unsupported_python_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint names the supported versions."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    assert _doctor._python() == Requirement("python", False, "3.10.1", "supported are 3.11 to 3.13")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is named; packages of extras are not required."""
    wanted = ["click>=8", "no_such-package>=1", 'neither; extra == "gpu"']
    monkeypatch.setattr(metadata, "requires", lambda _: wanted)
    assert _doctor._packages().found == "missing: no_such-package"


def test_listed_task_without_file_is_reported(workspace: Workspace) -> None:
    """Each listed task must have a task file."""
    (workspace.root / "params.yaml").write_text("tasks: [iris, other]\n", encoding="utf-8")
    finding = _doctor._tasks(workspace)
    assert not finding.ok
    assert finding.found == "without a file in tasks/: other"


def test_port_in_use_is_reported() -> None:
    """A port in use is reported, and the hint proposes the next one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert _doctor._port(port) == Requirement(
            "port", False, f"{port} is taken", f"use another port: tiltyard serve --port {port + 1}"
        )
    assert _doctor._port(port).ok


def test_missing_programs_are_reported(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an empty PATH there is no git, no driver and no container engine; only git is needed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not _doctor._git(workspace).ok
    assert _doctor._gpu() == Requirement("gpu", True, "none; training uses the CPU")
    assert _doctor._engine().found == "none"


@pytest.mark.parametrize(("exists", "hint"), [(True, ""), (False, "to use it: make run GPU=1")])
def test_gpu_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool, hint: str) -> None:
    """A GPU that the installed TensorFlow cannot use gets a hint."""
    driver = tmp_path / "nvidia-smi"
    driver.write_text('#!/bin/sh\necho "GPU 0: Test 9000 (UUID: GPU-1)"\n', encoding="utf-8")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_doctor, "_version", lambda _: "2.21" if exists else "")
    assert _doctor._gpu() == Requirement("gpu", True, "GPU 0: Test 9000", hint)


def test_unreachable_remote_is_reported(workspace: Workspace) -> None:
    """An unreachable remote is reported with DVC's message."""
    (workspace.root / ".dvcstore").touch()
    finding = _doctor._remote(workspace)
    assert not finding.ok
    assert "cannot reach" in finding.found
