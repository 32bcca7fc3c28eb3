"""Examples in the docstrings of the Python interface print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from tiltyard import api

MODULES = [f"tiltyard.api.{module.name}" for module in pkgutil.iter_modules(api.__path__)]
FINDER = doctest.DocTestFinder(exclude_empty=True)
EXAMPLES = {test.name: test for name in MODULES for test in FINDER.find(importlib.import_module(name)) if test.examples}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_print_what_they_say(name: str) -> None:
    """Each example is run, and compared with the lines after it."""
    results = doctest.DocTestRunner().run(EXAMPLES[name])
    assert results.attempted
    assert results.failed == 0


def test_examples_are_found() -> None:
    """Projects and clients have one."""
    assert {"tiltyard.api.project.new", "tiltyard.api.client.Client"} <= {*EXAMPLES}
