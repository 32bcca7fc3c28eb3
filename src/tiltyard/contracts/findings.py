"""Contract of findings: none on clean data; on faulty data a sentence with numbers and a next step."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from tiltyard import plugins
from tiltyard.validation.findings.base import Finding, Found


def has_code_and_title(name: str) -> None:
    """The code is the name of the plug-in, and the title is a phrase."""
    instance: Finding = plugins.load("findings", name)()
    assert instance.code == name
    assert instance.title[0].islower()


def reports_nothing(name: str, findings: Iterable[Found]) -> None:
    """Clean data have no findings."""
    assert [found for found in findings if found.code == name] == []


def reports(name: str, findings: Iterable[Found], columns: Collection[str]) -> None:
    """The finding names the columns, the actual and the expected values, and a next step."""
    reported = [found for found in findings if found.code == name]
    assert {found.column for found in reported} == {*columns}
    for found in reported:
        assert "expected" in found.text
        assert re.search(r"\d", found.text)
        assert found.hint
