"""One browser, and one report of two judged tasks, for all tests of the report in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import Browser, open_browser
from report_site import judged_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the report of two judged tasks."""
    return judged_site(tmp_path_factory.mktemp("site") / "project")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with an empty profile."""
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def no_console_errors(browser: Browser) -> Iterator[None]:
    """No script fails, and no request violates the content security policy."""
    browser.console_errors.clear()
    browser.screen(1280, 900)
    yield
    assert browser.console_errors == []
