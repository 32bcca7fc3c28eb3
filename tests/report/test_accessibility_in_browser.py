"""axe-core finds nothing on the pages of the report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files

import pytest
from browser import Browser, open_browser
from report_site import DRAWN

pytestmark = pytest.mark.smoke
AXE = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
FINDINGS = """axe.run(document, {resultTypes: ['violations']}).then(({violations}) => JSON.stringify(
  violations.map(({id, nodes}) => [id, nodes.map(({html}) => html.slice(0, 120))])))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that lets the test add a script to pages that forbid it."""
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        browser.call("Page.setBypassCSP", enabled=True)
        yield browser


@pytest.mark.parametrize("name", ["index", "iris"])
def test_no_tab_has_a_finding(browser: Browser, site: str, name: str) -> None:
    """Each tab of the overview and of a task, with the data of a plot opened; other tests check contrast when dark."""
    browser.screen(1280, 900)
    browser.open(f"{site}/{name}.html", DRAWN)
    browser.script(f"{AXE}; true")
    for tab in range(browser.script("tabs.length")):
        browser.script(f"tabs[{tab}].click()")
        browser.script(
            "document.querySelector('.panel:not([hidden])').querySelector('details')?.setAttribute('open', '')"
        )
        browser.wait_until(DRAWN)
        assert json.loads(browser.script(FINDINGS)) == []
