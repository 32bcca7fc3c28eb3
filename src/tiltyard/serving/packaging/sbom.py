"""The software bill of materials of a Bento (CycloneDX 1.6): each library of its lock file, with version and hashes."""

from __future__ import annotations

import re
import uuid
from typing import Any

NAME = "sbom.cdx.json"
PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def sbom(task: str, version: str, lock: str, wheel: str) -> dict[str, Any]:
    """Return the bill for a task's version; the same input gives the same content, so it has no time."""
    libraries = components(lock)
    root = f"{task}@{version}"
    tiltyard = {"type": "library", "name": "tiltyard", "version": wheel.split("-")[1], "bom-ref": "tiltyard"}
    references = [library["bom-ref"] for library in libraries]
    model = {"type": "machine-learning-model", "name": task, "version": version, "bom-ref": root}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"{root}\n{wheel}\n{lock}").urn,
        "version": 1,
        "metadata": {"component": model},
        "components": [tiltyard, *libraries],
        "dependencies": [{"ref": root, "dependsOn": ["tiltyard", *references]}],
    }


def components(lock: str) -> list[dict[str, Any]]:
    """Return the libraries of a lock file, as `uv pip compile --generate-hashes` writes it."""
    found: list[dict[str, Any]] = []
    for line in lock.splitlines():
        if pinned := PINNED.match(line):
            purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', pinned[1]).lower()}@{pinned[2]}"
            found.append({"type": "library", "name": pinned[1], "version": pinned[2], "purl": purl, "bom-ref": purl})
        elif found and (digest := HASH.search(line)):
            found[-1].setdefault("hashes", []).append({"alg": "SHA-256", "content": digest[1]})
    return found
