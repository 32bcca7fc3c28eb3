"""Controls of the report in a real browser: tabs, printing, thresholds, versions, arrow keys, saved plots."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from report_site import ALL, DRAWN, WIDE, figure_of, show

from tiltyard.figures import Figure, bars
from tiltyard.report.html_elements import render_figures
from tiltyard.report.sections.decisions import threshold_figure

pytestmark = [pytest.mark.smoke, pytest.mark.usefixtures("no_console_errors")]


def test_tabs_are_operated_by_keyboard_and_address(browser: Browser, site: str) -> None:
    """Arrow keys select tabs, an address opens the tab of its section, and a text in a hidden tab is still found."""
    browser.open(f"{site}/iris.html", DRAWN)
    selected = "document.querySelector('[role=tab][aria-selected=true]').textContent"
    shown = "[...document.querySelectorAll('[role=tabpanel]')].filter((one) => !one.hidden).map((one) => one.id)"
    assert (browser.script(selected), browser.script(shown)) == ("Verdict", ["tab-verdict"])
    browser.script("document.querySelector('[role=tab][aria-selected=true]').focus()")
    browser.press("ArrowLeft")
    assert (browser.script(selected), browser.script(shown)) == ("History", ["tab-history"])
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    assert browser.script(selected) == browser.script("document.activeElement.textContent") == "Performance"
    assert browser.script("location.hash") == "#tab-performance"
    browser.script("location.hash = '#lineage'")
    browser.wait_until("document.getElementById('lineage').checkVisibility()")
    assert browser.script(selected) == "Training"
    browser.open(f"{site}/index.html", DRAWN)
    browser.open(f"{site}/iris.html#by-feature", DRAWN)
    assert browser.script(selected) == "Errors"
    browser.script("document.getElementById('tab-history').dispatchEvent(new Event('beforematch'))")
    assert browser.script(selected) == "History"


def test_all_tabs_are_printed(browser: Browser, site: str) -> None:
    """Before a page is printed, each tab is shown and each plot is drawn; afterwards one tab is shown again."""
    browser.open(f"{site}/iris.html", DRAWN)
    assert not browser.script(f"[...{ALL}].every((one) => one.querySelector('svg'))")
    browser.script("dispatchEvent(new Event('beforeprint'))")
    assert browser.script(f"[...{ALL}].every((one) => one.querySelector('svg') && one.checkVisibility())")
    browser.script("dispatchEvent(new Event('afterprint'))")
    assert browser.script("document.querySelectorAll('.panel:not([hidden])').length") == 1


def test_page_without_scripts_shows_everything(browser: Browser, site: str, tmp_path: Path) -> None:
    """All tabs are below one another, and links lead to them."""
    page = Path(site.removeprefix("file://"), "iris.html").read_text(encoding="utf-8")
    (tmp_path / "iris.html").write_text(re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL), encoding="utf-8")
    browser.open((tmp_path / "iris.html").as_uri(), "true")
    assert browser.script("[...document.querySelectorAll('section')].every((one) => one.checkVisibility())")
    links = "[...document.querySelectorAll('.tabs a')].map((one) => document.querySelector(one.hash).className)"
    assert browser.script(links) == ["panel"] * 7


def insert_figure(browser: Browser, figure: Figure) -> None:
    """Draw a figure at the beginning of the open page."""
    markup = render_figures([figure])
    browser.script(f"document.querySelector('.panel').insertAdjacentHTML('afterbegin', {json.dumps(markup)})")
    browser.script("renderFigure(document.querySelector('figure'))")
    browser.wait_until("document.querySelector('figure').querySelector('svg')")


def test_threshold_moves_counts_rates_and_cost_together(browser: Browser, site: str) -> None:
    """The slider starts where the model decides; the button finds the threshold of the least cost."""
    browser.open(f"{site}/iris.html", DRAWN)
    score, is_member = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8]), np.array([False, False, True, False, True, True])
    insert_figure(browser, threshold_figure(["no", "yes"], score, is_member, None))
    cells = "[...document.querySelectorAll('.rates td')].map((one) => Number(one.textContent))"
    rates = "[...document.querySelectorAll('.rates dd')].map((one) => one.textContent)"
    assert browser.script(cells) == [3, 0, 1, 2]
    assert browser.script(rates) == ["1", "0.667", "1", "0.8", "0.833", "1"]
    browser.script("document.querySelector('input[type=range]').focus()")
    browser.press("Home")
    assert browser.script(cells) == [0, 3, 0, 3]
    assert "yes from 0 on" in browser.script("document.querySelector('input[type=range]').ariaValueText")
    browser.script("document.querySelectorAll('.costs input')[1].value = 10")
    browser.script("document.querySelectorAll('.costs button')[0].click()")
    assert browser.script(cells) == [2, 1, 0, 3]
    assert browser.script(rates)[-1] == "1"
    assert browser.script("document.querySelector('figure .mark').textContent") == "threshold"
    browser.script("document.querySelectorAll('.costs button')[1].click()")
    assert browser.script(cells) == [3, 0, 1, 2]
    assert not browser.script(WIDE)


def test_any_two_versions_are_compared(browser: Browser, site: str) -> None:
    """The latest two are beside each other at first; a version beside itself does not differ."""
    browser.open(f"{site}/diabetes.html#compare-versions", DRAWN)
    text = "document.querySelector('.versions div').textContent"
    assert "Root mean squared error" in browser.script(text)
    assert "check: beats the champion" in browser.script(text)
    choose = "document.querySelectorAll('.versions select')[1]"
    browser.script(f"{choose}.selectedIndex = document.querySelectorAll('.versions select')[0].selectedIndex")
    browser.script(f"{choose}.dispatchEvent(new Event('change'))")
    assert "are the same" in browser.script(text)


def test_arrow_keys_read_values_of_a_plot(browser: Browser, site: str) -> None:
    """A focused plot shows and speaks the value at a place that arrow keys move."""
    browser.open(f"{site}/iris.html", DRAWN)
    show(browser, "Loss")
    browser.script(f"{figure_of('Loss')}.querySelector('.plot').focus()")
    spoken = f"{figure_of('Loss')}.querySelector('[aria-live]').textContent"
    browser.press("ArrowRight")
    first = browser.script(spoken)
    assert "training: " in first
    for _ in range(10):
        browser.press("ArrowLeft")
    assert "training: " in browser.script(spoken) != first
    browser.script("document.activeElement.blur()")
    assert browser.script(f"{figure_of('Loss')}.querySelector('.tip').hidden")


def test_plot_is_saved_as_csv_and_svg(browser: Browser, site: str) -> None:
    """The table has all rows, no cell is a formula to a spreadsheet, and the drawing needs no style sheet."""
    browser.open(f"{site}/iris.html", DRAWN)
    saved = "window.saved = []; saveFile = (...file) => window.saved.push(file)"
    insert_figure(browser, bars("Risk", "x.", "value", {'=1+1,"a"': 2.0, "-b": -1.5}))
    browser.script(saved)
    browser.script("document.querySelector('figure').querySelectorAll('.tools button').forEach((one) => one.click())")
    browser.wait_until("window.saved.length >= 2")
    name, text, kind = browser.script("window.saved[0]")
    assert (name, kind) == ("risk.csv", "text/csv")
    assert text.splitlines() == ["name,value,from,to", '"\'=1+1,""a""",2,,', "'-b,-1.5,,"]
    name, text, kind = browser.script("window.saved[1]")
    assert (name, kind) == ("risk.svg", "image/svg+xml")
    assert text.startswith("<svg")
    assert 'xmlns="http://www.w3.org/2000/svg"' in text
    assert "fill: rgb(" in text
    assert "class=" not in text


def test_whole_counts_have_whole_ticks_and_truth_meets_prediction_in_a_square(browser: Browser, site: str) -> None:
    """Counts up to 3 have no tick at 2.5; both axes of predicted and actual have the same ticks."""
    browser.open(f"{site}/diabetes.html", DRAWN)
    assert browser.script("scale([0, 1, 3], [0, 100], {count: 6}).marks") == [0, 1, 2, 3]
    assert browser.script("scale([0, 12], [0, 100], {count: 5}).marks") == [0, 5, 10, 15]
    assert 2.5 in browser.script("scale([0, 9.5], [0, 100], {count: 4}).marks")
    show(browser, "Predicted and actual")
    numbers = f"[...{figure_of('Predicted and actual')}.querySelectorAll('svg text')].map((one) => one.textContent)"
    ticks = [text for text in browser.script(numbers) if text.lstrip("-").isdigit()]
    assert ticks[: len(ticks) // 2] == ticks[len(ticks) // 2 :]
