"""Property tests: `make test` uses the same examples each time, `make fuzz` new ones with a seed to repeat them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from workspaces import ROOT

CONFTEST = f"exec(open({str(ROOT / 'tests' / 'conftest.py')!r}).read())"
RANDOM_TEST = '''
from hypothesis import given, settings, strategies as st

def test_no_property():
    """Not run: it is no property test."""
    raise AssertionError

@given(st.integers(0, 2**40))
@settings(max_examples=5)
def test_luck(number):
    """Fail now and then, as it comes."""
    print("tried", number)
    assert number % WORST
'''


def fuzz(folder: Path, source: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the fuzz script on generated tests."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_luck.py").write_text(source)
    command = [sys.executable, "tests/fuzz.py", *words, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_default_profile_is_deterministic() -> None:
    """The fixed profile is loaded unless `make fuzz` requests another."""
    assert settings.get_current_profile_name() == "fixed"
    assert settings.default is not None
    assert settings.default.derandomize
    assert settings.default.deadline is None
    assert settings.default.database is None


@pytest.mark.smoke
@pytest.mark.nightly
def test_failure_is_reported_with_its_seed(tmp_path: Path) -> None:
    """The run ends with status 1; the same seed fails at the same number."""
    found = fuzz(tmp_path, RANDOM_TEST.replace("WORST", "2"), "--minutes", "0.5")
    assert found.returncode == 1, found.stdout + found.stderr
    seed = re.search(r"to repeat: make fuzz SEED=(\d+)", found.stdout)
    assert seed, found.stdout
    tried = re.findall(r"tried (\d+)", found.stdout)
    again = fuzz(tmp_path, RANDOM_TEST.replace("WORST", "2"), "--seed", seed[1])
    assert again.returncode == 1
    assert re.findall(r"tried (\d+)", again.stdout)[-1] == tried[-1]
    assert "1 deselected" in again.stdout


@pytest.mark.smoke
def test_fuzz_without_failures_ends_in_time(tmp_path: Path) -> None:
    """At least one round is run; each round has its own seed."""
    found = fuzz(tmp_path, RANDOM_TEST.replace("number % WORST", "number >= 0"), "--minutes", "0.05")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "nothing found" in found.stdout
    seeds = re.findall(r"seed (\d+)", found.stdout)
    assert len({*seeds}) == len(seeds) >= 1
