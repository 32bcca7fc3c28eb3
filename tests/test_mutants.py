"""Mutants: which mutations a module gets, and how a test run on a mutant ends."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

import mutants
import pytest
from mutations import Mutation, mutations
from warm_tests import warm_tests
from workspaces import ROOT

from tiltyard import files

SOURCE = '''
from typing import Literal

def won(scores: Any, least: Literal[1, 2] = 1) -> bool:
    """Return who won, 1 or 2."""
    best = max(score for score, _ in zip(scores, scores.reshape(-1), strict=True))
    if not scores:
        raise ValueError("none")
    return best > least and best != 100
'''
MUTATIONS = [
    ("1", "2"),
    ("1", "0"),
    ("max", "min"),
    ("-1", "1"),
    ("not scores", "scores"),
    ("raise ValueError('none')", "pass"),
    ("return best > least and best != 100", "return None"),
    ("best > least and best != 100", "best > least or best != 100"),
    ("best > least and best != 100", "best != 100"),
    ("best > least and best != 100", "best > least"),
    ("best > least", "best >= least"),
    ("best > least", "best <= least"),
    ("best != 100", "best == 100"),
]


def test_mutations_of_a_module() -> None:
    """Each mutant has one change and is valid Python; types, docstrings and large numbers are not mutated."""
    found = [*mutations(SOURCE)]
    assert [(one.before, one.after) for one in found] == MUTATIONS
    original = ast.unparse(ast.parse(SOURCE)).splitlines()
    for one in found:
        mutated = ast.unparse(ast.parse(one.source)).splitlines()
        assert sum(line != other for line, other in zip(original, mutated, strict=True)) == 1
        assert one.text == SOURCE.splitlines()[one.line - 1].strip()


@pytest.mark.parametrize(("line", "end"), [("assert True", "survives"), ("assert 0", "killed"), ("wait()", "hangs")])
def test_mutant_outcome_follows_the_tests(line: str, end: str, tmp_path: Path) -> None:
    """A mutant survives passing tests, is killed by a failing test, and is ended if the tests hang."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text("", encoding="utf-8")
    test = f"import threading\nwait = threading.Event().wait\ndef test():\n    {line}\n"
    (tmp_path / "tests" / "test_it.py").write_text(test, encoding="utf-8")
    with warm_tests(tmp_path, ()) as run:
        assert run(("test_it.py",), 5 if end == "hangs" else 60) == end


def test_covered_modules_and_their_tests_exist() -> None:
    """Every covered path and every listed test file exists; tests of a folder apply to its modules."""
    for path, tests in mutants.COVERED.items():
        assert (ROOT / mutants.PACKAGE / path).exists(), path
        assert all((ROOT / "tests" / name).is_file() for name in tests), tests
    assert all(mutants.tests_of(module) for module in mutants.modules([*mutants.COVERED]))


def test_equivalent_mutants_are_counted_separately(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four mutants two are killed and one survivor is equivalent: two of three, and two of four."""
    ends = {"a": "killed", "b": "hangs", "c": "survives", "d": "survives"}
    tried = [mutants.Tried("gate/judge.py", Mutation(1, "x", name, "y", ""), end) for name, end in ends.items()]
    monkeypatch.setattr(mutants, "REMARKS", tmp_path / "remarks.json")
    files.write_json(mutants.REMARKS, {tried[2].key: "none: the same", tried[3].key: "a fault"})
    page = mutants._page(tried, 100, argparse.Namespace(most=4, minutes=1, seed=0))
    assert "Of 100 mutants 4 were drawn" in page
    assert "2 were killed by a test (1 of them by the time limit), 2 survive, of which 1 are" in page
    assert "67% of those that are faults**\n(2 of 3), 50% of all (2 of 4)" in page
