"""What we use of other libraries' privates is there, and the versions that it was tried with are upper bounds."""

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
def test_a_library_whose_privates_are_used_has_an_upper_bound(name: str) -> None:
    """Of its next minor version nobody knows; what is installed is within the bound."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (wanted,) = [one for one in map(Requirement, listed) if one.name == name]
    installed = version(name)
    major, minor = map(int, installed.split(".")[:2])
    assert wanted.specifier.contains(installed)
    assert not wanted.specifier.contains(f"{major}.{minor + 1}.0")


def _attributes(source: str) -> tuple[set[str], set[str]]:
    """Return the attributes of `self` that a source reads, and those that it sets or defines."""
    tree = ast.parse(source)
    found = [one for one in ast.walk(tree) if isinstance(one, ast.Attribute)]
    read = {one.attr for one in found if isinstance(one.ctx, ast.Load) and ast.unparse(one.value) == "self"}
    made = {one.attr for one in found if isinstance(one.ctx, ast.Store)}
    made |= {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
    fields = [one for one in ast.walk(tree) if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
    return read, made | {ast.unparse(one.target) for one in fields}


def test_uvicorns_protocol_has_what_ours_reads() -> None:
    """Attributes of a connection that we neither set nor define are uvicorn's, by the same name."""
    read, made = _attributes(inspect.getsource(connection) + inspect.getsource(fast_protocol))
    base_read, base_made = _attributes(inspect.getsource(inspect.getmodule(HttpToolsProtocol) or HttpToolsProtocol))
    assert len(read - made) > 5
    assert read - made - base_made - base_read == set()


def test_expectations_are_evaluated_from_metrics() -> None:
    """Great Expectations' step from metrics to a result, which streaming.py calls with merged counts."""
    from great_expectations.expectations.expectation import Expectation

    assert list(inspect.signature(Expectation._validate).parameters)[:3] == ["self", "metrics", "runtime_configuration"]


def _graph() -> list[str]:
    from keras.src.ops.function import Function

    return [*inspect.signature(Function._run_through_graph).parameters]


def test_keras_runs_a_graph_by_a_function_of_ours() -> None:
    """The walk through a network asks Keras to call each operation in a way of its own."""
    assert {"inputs", "call_fn"} <= {*run_in_process(_graph)}
