"""`pytest --tiltyard-contracts` in a package of somebody else: good plug-ins pass, and each broken one fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GOOD_AND_BROKEN = '''
"""A package with a good and a broken plug-in of each kind."""
import json, time
from typing import ClassVar, Literal
import numpy as np
from tiltyard.data.formats.base import Layout
from tiltyard.data.formats.jsonl import Jsonl
from tiltyard.data.sources.base import Source
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.models.mlp import Mlp
from tiltyard.modeling.problems.regression import Regression


class Constant(Source):
    """Rows of one value."""
    kind: Literal["constant"]

    def fetch(self, folder, workspace):
        (folder / "table.csv").write_text("x,y\\n" + "1,2\\n" * 50)


class Clock(Source):
    """Rows with the time."""
    kind: Literal["clock"]

    def fetch(self, folder, workspace):
        (folder / "table.csv").write_text(f"x\\n{time.time_ns()}\\n")


class Lines(Jsonl):
    """JSON lines by another suffix."""
    suffixes: ClassVar = (".lines",)


class Crash(Jsonl):
    """A format that knows no damage."""
    suffixes: ClassVar = (".crash",)

    def survey(self):
        for line in self.path.read_text(errors="replace").splitlines():
            json.loads(line)
        return super().survey()


class Flag(Boolean):
    """A boolean by another name."""
    type: Literal["flag"]


class Lossy(Boolean):
    """A boolean that is written as its opposite."""
    type: Literal["lossy"]

    def to_json(self, values):
        return [not value for value in super().to_json(values)]


class Small(Mlp):
    """A small network."""
    family: Literal["small"]


class Deaf(Mlp):
    """A network that does not read its features."""
    family: Literal["deaf"]

    def build(self, features, vocabulary_size=0):
        from keras import layers
        return layers.Dense(2, trainable=False)(layers.Flatten()(features) * 0.0)

    def head(self, x, units, activation):
        from keras import layers
        return layers.Dense(units, use_bias=False, name="output")(x)


class Amount(Regression):
    """Numbers."""


class Broken(Regression):
    """NaN is no JSON."""

    def decode(self, outputs, classes):
        return [float("nan") for _ in outputs]
'''
# Modules of plug-ins that task files name are imported while Tiltyard's own are: they cannot import the gate.
JUDGES = '''
"""Plug-ins that judge and explain."""
from typing import ClassVar
from tiltyard.explain.methods.base import ExplanationMethod
from tiltyard.figures import bars
from tiltyard.gate.checks.base import Check, Observation
from tiltyard.validation.findings.base import Finding


class SmallFile(Check):
    """Devices have little room."""
    code: ClassVar = "small_file"
    title: ClassVar = "fits a device"
    severity: ClassVar = "HOLD"

    def observe(self, duel):
        size = duel.facts["size_mb"]
        return Observation(size <= 1, f"a model of {size:g} MB; expected at most 1 MB", size, 1.0)


class Lenient(SmallFile):
    """A check that passes everything."""
    code: ClassVar = "lenient"

    def observe(self, duel):
        return Observation(True, "a model of 1 MB; expected at most 1 MB", 1.0, 1.0)


class Tall(Finding):
    """Nobody is so tall."""
    code: ClassVar = "tall"
    title: ClassVar = "people who are too tall"

    def detect(self, subject):
        count = int((subject.frame["height"] > 300).sum()) if "height" in subject.frame else 0
        if count:
            yield self.found("warning", "height", f"{count} are above 300; expected none", "ask who measured them")


class Mute(Tall):
    """It finds them, and says nothing of use."""
    code: ClassVar = "mute"

    def detect(self, subject):
        for one in super().detect(subject):
            yield self.found("warning", "height", "strange", "")


class Size(ExplanationMethod):
    """How many features there are."""
    title: ClassVar = "Size"

    def of_model(self, model):
        yield bars("Features", "How many there are.", "count", {"features": 4.0})


class Silent(ExplanationMethod):
    """Neither figures nor a reason."""
    title: ClassVar = "Silent"
'''
POINTS = {
    "sources": {"constant": "Constant", "clock": "Clock"},
    "formats": {"lines": "Lines", "crash": "Crash"},
    "columns": {"flag": "Flag", "lossy": "Lossy", "unexplained": "Flag"},
    "models": {"small": "Small", "deaf": "Deaf"},
    "problems": {"amount": "Amount", "broken": "Broken"},
    "checks": {"small_file": "SmallFile", "lenient": "Lenient"},
    "findings": {"tall": "Tall", "mute": "Mute"},
    "explanations": {"size": "Size", "silent": "Silent"},
}
CONFTEST = """
import numpy as np
from tiltyard.contracts import examples

TALL = np.r_[np.full(9, 999.0), np.random.default_rng(0).normal(170, 10, 891).round(3)]
TABLE = b'{"a": 1, "b": "x"}\\n{"a": 2, "b": "y"}\\n'
EXAMPLES = {
    "lines": examples.FormatExample(".lines", TABLE, ["a", "b"], 2),
    "crash": examples.FormatExample(".crash", TABLE, ["a", "b"], 2),
    "flag": examples.ColumnExample({}, [True, False, 1]),
    "lossy": examples.ColumnExample({}, [True, False]),
    "small": examples.ModelExample({"units": [8]}),
    "amount": examples.ProblemExample([[1.5], [2.0]]),
    "broken": examples.ProblemExample([[1.5], [2.0]]),
    "tall": examples.FindingExample({"height": TALL}, ["height"]),
    "mute": examples.FindingExample({"height": TALL}, ["height"]),
}

def pytest_tiltyard_examples(folder, name):
    return [EXAMPLES[name]] if name in EXAMPLES else None
"""
OWN_TEST = "def test_own():\n    pass\n"
PASSING = {"constant", "lines", "flag", "small", "amount", "small_file", "tall", "size"}


def _module(group: str) -> str:
    return "far_judges" if group in ("checks", "findings", "explanations") else "far_plugins"


def _package(folder: Path) -> Path:
    """Write the package as an installer would, with its tests."""
    (folder / "far_plugins.py").write_text(GOOD_AND_BROKEN, encoding="utf-8")
    (folder / "far_judges.py").write_text(JUDGES, encoding="utf-8")
    info = folder / "far_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far_plugins\nVersion: 1.0\n", encoding="utf-8")
    groups = [
        "\n".join([f"[tiltyard.{group}]", *(f"{name} = {_module(group)}:{value}" for name, value in points.items())])
        for group, points in POINTS.items()
    ]
    pytest11 = "[pytest11]\ntiltyard = tiltyard.contracts.plugin\n"  # as that of the installed wheel
    (info / "entry_points.txt").write_text("\n".join([*groups, pytest11]), encoding="utf-8")
    tests = folder / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tests / "test_own.py").write_text(OWN_TEST, encoding="utf-8")
    (tests / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return tests


def _pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-rA", "--tb=short", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest prints for the package, with the option."""
    done = _pytest(_package(tmp_path_factory.mktemp("far")), "--tiltyard-contracts")
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def _outcomes(printed: str) -> dict[str, str]:
    """Return the outcome of each plug-in."""
    found = re.findall(r"^(PASSED|FAILED|ERROR) \S*::test_\w+\[(\w+)\]", printed, re.MULTILINE)
    return {name: outcome for outcome, name in found}


@pytest.mark.slow
def test_good_plugins_pass_and_broken_ones_fail(printed: str) -> None:
    """Every plug-in of the package is tested once, and nothing of Tiltyard's own; the package's tests run, too."""
    names = {name for points in POINTS.values() for name in points}
    assert _outcomes(printed) == {name: "PASSED" if name in PASSING else "FAILED" for name in names}, printed
    assert "PASSED test_own.py::test_own" in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    "reason",
    [
        "expected the same bytes from the same settings",  # clock
        "JSONDecodeError",  # crash
        "columns: unexplained: expected an example; received NoneType",
        "ColumnExample(...)",
        "expected failed; received passed",  # lenient
        "expected a reason or figures",  # silent
    ],
)
def test_failures_say_why(printed: str, reason: str) -> None:
    """The reason is in the output, and what to write if an example is missing."""
    assert reason in printed


def test_without_the_option_nothing_is_added(tmp_path: Path) -> None:
    """The plug-in is loaded, collects nothing and imports no other part of Tiltyard."""
    tests = _package(tmp_path)
    (tests / "conftest.py").unlink()
    loaded = "def test_own():\n    import sys\n    assert [n for n in sys.modules if n.startswith('tiltyard.')] == %r\n"
    expected = ["tiltyard.contracts", "tiltyard.contracts.plugin"]
    (tests / "test_own.py").write_text(loaded % expected, encoding="utf-8")
    done = _pytest(tests)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
