"""Mutants: which faults are made of a module, and how a run of the tests on one ends."""

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
FAULTS = [
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


def test_a_module_has_the_faults_that_are_easily_made() -> None:
    """Each is one change; types, documentation and large numbers are left as they are, and every mutant is a module."""
    found = [*mutations(SOURCE)]
    assert [(one.before, one.after) for one in found] == FAULTS
    right = ast.unparse(ast.parse(SOURCE)).splitlines()
    for one in found:
        wrong = ast.unparse(ast.parse(one.source)).splitlines()
        assert sum(line != other for line, other in zip(right, wrong, strict=True)) == 1
        assert one.text == SOURCE.splitlines()[one.line - 1].strip()


@pytest.mark.parametrize(("line", "end"), [("assert True", "survives"), ("assert 0", "killed"), ("wait()", "hangs")])
def test_a_mutant_ends_as_the_tests_say(line: str, end: str, tmp_path: Path) -> None:
    """It survives tests that pass, is killed by one that fails, and is ended where they hang."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text("", encoding="utf-8")
    test = f"import threading\nwait = threading.Event().wait\ndef test():\n    {line}\n"
    (tmp_path / "tests" / "test_it.py").write_text(test, encoding="utf-8")
    with warm_tests(tmp_path, ()) as run:
        assert run(("test_it.py",), 5 if end == "hangs" else 60) == end


def test_every_module_has_tests_that_exist() -> None:
    """What is mutated is there, and so are the tests that must see it; a folder's are those of its files."""
    for place, tests in mutants.COVERED.items():
        assert (ROOT / mutants.PACKAGE / place).exists(), place
        assert all((ROOT / "tests" / name).is_file() for name in tests), tests
    assert all(mutants.tests_of(module) for module in mutants.modules([*mutants.COVERED]))


def test_what_is_no_fault_counts_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four drawn two are killed and one survivor is no fault: two of three, and two of four."""
    ends = {"a": "killed", "b": "hangs", "c": "survives", "d": "survives"}
    tried = [mutants.Tried("gate/judge.py", Mutation(1, "x", name, "y", ""), end) for name, end in ends.items()]
    monkeypatch.setattr(mutants, "REMARKS", tmp_path / "remarks.json")
    files.write_json(mutants.REMARKS, {tried[2].key: "none: the same", tried[3].key: "a fault"})
    told = mutants._page(tried, 100, argparse.Namespace(most=4, minutes=1, seed=0))
    assert "Of 100 mutants 4 were drawn" in told
    assert "2 were killed by a test (1 of them by the time limit), 2 survive, of which 1 are" in told
    assert "67% of those that are faults**\n(2 of 3), 50% of all (2 of 4)" in told
