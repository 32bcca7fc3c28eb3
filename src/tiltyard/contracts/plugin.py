"""The pytest plug-in: `pytest --tiltyard-contracts` tests the plug-ins that installed packages add to Tiltyard.

Without the option it adds nothing. A package gives examples of its plug-ins in conftest.py:

    from tiltyard.contracts.examples import ColumnExample

    def pytest_tiltyard_examples(folder, name):
        if (folder, name) == ("columns", "money"):
            return [ColumnExample({}, ["3 EUR", "4.50 EUR"])]
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

OPTION = "--tiltyard-contracts"
SUITE = Path(__file__).with_name("suite.py")
MODULES = sorted(path.stem for path in SUITE.parent.glob("[a-z]*.py") if path.stem != "plugin")
pytest.register_assert_rewrite(*(f"tiltyard.contracts.{name}" for name in MODULES))


class Hooks:
    """The hook that packages implement."""

    @pytest.hookspec(firstresult=True)
    def pytest_tiltyard_examples(self, folder: str, name: str) -> list[Any] | None:
        """Return examples of a plug-in, of the class for its folder in tiltyard.contracts.examples."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the hook."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("tiltyard")
    group.addoption(OPTION, action="store_true", help="also test the plug-ins that packages add to Tiltyard")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the suite beside what was asked for."""
    if config.getoption(OPTION) and str(SUITE) not in config.args:
        config.args.append(str(SUITE))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test of the suite the plug-ins of other packages in the folder that its argument is named after."""
    if metafunc.module.__name__ != "tiltyard.contracts.suite":
        return
    from tiltyard import plugins
    from tiltyard.contracts.examples import KINDS

    for folder in KINDS:
        argument = f"of_{folder}"
        if argument in metafunc.fixturenames:
            named = [name for name in plugins.others(folder) if metafunc.config.getoption(OPTION)]
            cases = [case for name in sorted(named) for case in _cases(metafunc.config, folder, name)]
            metafunc.parametrize(argument, cases)


def _cases(config: pytest.Config, folder: str, name: str) -> Iterator[Any]:
    """Yield the name with each of its examples; with the default, or None, if the package gives none."""
    from tiltyard.contracts.examples import DEFAULTS

    examples = config.hook.pytest_tiltyard_examples(folder=folder, name=name) or [DEFAULTS[folder]]
    for place, example in enumerate(examples):
        yield pytest.param((name, example), id=name if len(examples) == 1 else f"{name}-{place}")
