"""The software bill of materials of a Bento."""

from __future__ import annotations

import re

import pytest
from workspaces import ROOT

from tiltyard.serving.packaging.sbom import components, sbom

LOCK = (ROOT / "serving" / "requirements.lock").read_text(encoding="utf-8")


def test_every_library_of_the_lock_is_listed() -> None:
    """Name and version are those of the lock file, in its order, each with its hashes and package address."""
    listed = components(LOCK)
    pinned = re.findall(r"^[^\s#]+==[^\s\\;]+", LOCK, re.MULTILINE)
    assert [f"{one['name']}=={one['version']}" for one in listed] == pinned
    assert len(listed) > 20
    assert sum(len(one["hashes"]) for one in listed) == LOCK.count("--hash=sha256:")
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9-]+@[^@\s]+", one["purl"]) for one in listed)


def test_the_bill_is_reproducible_and_names_the_model() -> None:
    """The same package gives the same bill; another lock or version another serial number."""
    first = sbom("iris", "4af", LOCK, "tiltyard-0.1.0+h05d8-py3-none-any.whl")
    assert first == sbom("iris", "4af", LOCK, "tiltyard-0.1.0+h05d8-py3-none-any.whl")
    assert first["serialNumber"] != sbom("iris", "4b0", LOCK, "tiltyard-0.1.0+h05d8-py3-none-any.whl")["serialNumber"]
    assert first["metadata"]["component"]["bom-ref"] == "iris@4af"
    references = [one["bom-ref"] for one in first["components"]]
    assert first["dependencies"] == [{"ref": "iris@4af", "dependsOn": references}]
    assert first["components"][0]["version"] == "0.1.0+h05d8"
    assert len({*references}) == len(references)


@pytest.mark.parametrize("line", ["", "# a comment==1", "    # via x", "--index==x"])
def test_other_lines_are_no_libraries(line: str) -> None:
    """Comments and options of a lock file are left out."""
    assert components(line) == []
