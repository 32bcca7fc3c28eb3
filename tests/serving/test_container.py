"""Sources of the container image: locked requirements, no root, and agreement of Containerfile and compose file."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from workspaces import ROOT

CONTAINERFILE = (ROOT / "serving/Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
LOCK = (ROOT / "serving/requirements.lock").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The one service of the compose file."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "serving/compose.yaml").read_text(encoding="utf-8"))
    service: dict[str, Any] = content["services"]["tiltyard"]
    return service


def test_lock_has_hashes_and_no_url() -> None:
    """Every package is pinned by hash, and no package index is named."""
    packages = re.findall(r"^[a-z0-9_.-]+==.*?(?=^[a-z]|\Z)", LOCK, re.MULTILINE | re.DOTALL)
    assert len(packages) > 50
    assert all("--hash=sha256:" in package for package in packages)
    assert not re.search(r"^--|https?://", LOCK, re.MULTILINE)


def test_lock_has_no_training_packages() -> None:
    """All requirements are locked, and no package that only training needs."""
    locked = set(re.findall(r"^([a-z0-9_.-]+)==", LOCK, re.MULTILINE))
    requirements = re.findall(r"^([a-z0-9_-]+)", (ROOT / "serving/requirements.in").read_text(), re.MULTILINE)
    assert set(requirements) <= locked
    assert not locked & {"tensorflow", "tensorflow-cpu", "keras", "pandas", "dvc", "prefect", "scikit-learn"}


def test_image_has_a_numeric_user_and_a_health_check() -> None:
    """The user is numeric, so that a platform can see it is not root; health check and entry point need no shell."""
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", CONTAINERFILE, re.MULTILINE)
    for word in ("HEALTHCHECK .* CMD", "ENTRYPOINT", "CMD"):
        match = re.search(rf"^{word} (\[.*\])$", CONTAINERFILE, re.MULTILINE)
        assert match
        assert json.loads(match[1])
    assert "EXPOSE 3000" in CONTAINERFILE


def test_image_contains_bytecode() -> None:
    """Libraries and our code are compiled in the build, since the root file system is read-only."""
    assert "PYTHONDONTWRITEBYTECODE=1" in CONTAINERFILE
    assert re.search(r"pip install .*--compile", CONTAINERFILE)
    copied, compiled = CONTAINERFILE.index("COPY src/tiltyard"), CONTAINERFILE.index("compileall -q /app")
    assert copied < compiled < CONTAINERFILE.index("USER ")


def test_compose_file_agrees_with_the_containerfile(compose: dict[str, Any]) -> None:
    """User and health check are the same; the root file system is read-only, and there are no capabilities."""
    health = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", CONTAINERFILE, re.MULTILINE)
    assert health
    assert compose["healthcheck"]["test"] == ["CMD", *json.loads(health[1])]
    assert f"USER {compose['user']}" in CONTAINERFILE
    assert compose["read_only"] is True
    assert compose["cap_drop"] == ["ALL"]
    assert compose["tmpfs"][0].startswith("/tmp:")  # noqa: S108 - the container's
    assert compose["build"]["dockerfile"] == "serving/Containerfile"


def test_copied_paths_exist() -> None:
    """Each COPY of the Containerfile names a path of the project that .dockerignore does not exclude."""
    copied = re.findall(r"^COPY (?!--from)(\S+) ", CONTAINERFILE, re.MULTILINE)
    assert len(copied) >= 4
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    for name in copied:
        created = name in {"serving/champions", "serving/packages"}  # created by a run
        assert created or (ROOT / name).exists()
        assert any(name.startswith(line[1:]) for line in ignored.splitlines() if line.startswith("!"))
