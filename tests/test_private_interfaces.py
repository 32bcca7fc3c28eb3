"""Private interfaces of other libraries: they exist, and tested versions are upper bounds."""

from __future__ import annotations

import ast
import inspect
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from workspaces import ROOT, run_in_process

from tiltyard.serving.http import connection, fast_protocol


@pytest.mark.parametrize("name", ["uvicorn", "great-expectations", "keras"])
def test_library_with_used_internals_has_an_upper_bound(name: str) -> None:
    """The next minor version is excluded; the installed version is within the bound."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (requirement,) = [one for one in map(Requirement, listed) if one.name == name]
    installed = version(name)
    major, minor = map(int, installed.split(".")[:2])
    assert requirement.specifier.contains(installed)
    assert not requirement.specifier.contains(f"{major}.{minor + 1}.0")


def _attributes(source: str) -> tuple[set[str], set[str]]:
    """Return the attributes of `self` that a source reads, and those that it sets or defines."""
    tree = ast.parse(source)
    found = [one for one in ast.walk(tree) if isinstance(one, ast.Attribute)]
    read = {one.attr for one in found if isinstance(one.ctx, ast.Load) and ast.unparse(one.value) == "self"}
    defined = {one.attr for one in found if isinstance(one.ctx, ast.Store)}
    defined |= {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
    fields = [one for one in ast.walk(tree) if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
    return read, defined | {ast.unparse(one.target) for one in fields}


def test_uvicorn_protocol_has_the_attributes_that_we_read() -> None:
    """Attributes of a connection that we neither set nor define exist in uvicorn."""
    read, defined = _attributes(inspect.getsource(connection) + inspect.getsource(fast_protocol))
    base_read, base_defined = _attributes(inspect.getsource(inspect.getmodule(HttpToolsProtocol) or HttpToolsProtocol))
    assert len(read - defined) > 5
    assert read - defined - base_defined - base_read == set()


def test_expectations_are_evaluated_from_metrics() -> None:
    """streaming.py calls `_validate` of Great Expectations with merged counts."""
    from great_expectations.expectations.expectation import Expectation

    assert list(inspect.signature(Expectation._validate).parameters)[:3] == ["self", "metrics", "runtime_configuration"]


def _graph() -> list[str]:
    from keras.src.ops.function import Function

    return [*inspect.signature(Function._run_through_graph).parameters]


def test_keras_runs_a_graph_with_a_custom_function() -> None:
    """Explanations make Keras call each operation through a function of our own."""
    assert {"inputs", "call_fn"} <= {*run_in_process(_graph)}
