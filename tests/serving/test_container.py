"""What the image is made from: locked, small, not root, and the same in the container file and in compose."""

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


def test_lock_has_hashes_and_no_address() -> None:
    """Every package is pinned by hash; where to get it is not for the repository to say."""
    packages = re.findall(r"^[a-z0-9_.-]+==.*?(?=^[a-z]|\Z)", LOCK, re.MULTILINE | re.DOTALL)
    assert len(packages) > 50
    assert all("--hash=sha256:" in package for package in packages)
    assert not re.search(r"^--|https?://", LOCK, re.MULTILINE)


def test_lock_holds_nothing_that_trains() -> None:
    """What is asked for is locked, and nothing that only training needs."""
    locked = set(re.findall(r"^([a-z0-9_.-]+)==", LOCK, re.MULTILINE))
    asked = re.findall(r"^([a-z0-9_-]+)", (ROOT / "serving/requirements.in").read_text(), re.MULTILINE)
    assert set(asked) <= locked
    assert not locked & {"tensorflow", "tensorflow-cpu", "keras", "pandas", "dvc", "prefect", "scikit-learn"}


def test_image_is_not_root_and_is_watched() -> None:
    """A numeric user, so that a platform can see it is not root; a HEALTHCHECK and an entry point without a shell."""
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", CONTAINERFILE, re.MULTILINE)
    for word in ("HEALTHCHECK .* CMD", "ENTRYPOINT", "CMD"):
        match = re.search(rf"^{word} (\[.*\])$", CONTAINERFILE, re.MULTILINE)
        assert match
        assert json.loads(match[1])
    assert "EXPOSE 3000" in CONTAINERFILE


def test_image_is_compiled() -> None:
    """Its root is read-only and Python writes no bytecode there: libraries and our code are compiled in the build."""
    assert "PYTHONDONTWRITEBYTECODE=1" in CONTAINERFILE
    assert re.search(r"pip install .*--compile", CONTAINERFILE)
    copied, compiled = CONTAINERFILE.index("COPY src/tiltyard"), CONTAINERFILE.index("compileall -q /app")
    assert copied < compiled < CONTAINERFILE.index("USER ")


def test_compose_agrees_with_the_container_file(compose: dict[str, Any]) -> None:
    """Same user, same HEALTHCHECK; root read-only, no capability."""
    health = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", CONTAINERFILE, re.MULTILINE)
    assert health
    assert compose["healthcheck"]["test"] == ["CMD", *json.loads(health[1])]
    assert f"USER {compose['user']}" in CONTAINERFILE
    assert compose["read_only"] is True
    assert compose["cap_drop"] == ["ALL"]
    assert compose["tmpfs"][0].startswith("/tmp:")  # noqa: S108 - the container's
    assert compose["build"]["dockerfile"] == "serving/Containerfile"


def test_what_is_copied_exists() -> None:
    """Each COPY of the container file names something of the project, let through by .dockerignore."""
    copied = re.findall(r"^COPY (?!--from)(\S+) ", CONTAINERFILE, re.MULTILINE)
    assert len(copied) >= 4
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    for name in copied:
        made = name in {"serving/champions", "serving/packages"}  # by a run
        assert made or (ROOT / name).exists()
        assert any(name.startswith(line[1:]) for line in ignored.splitlines() if line.startswith("!"))
