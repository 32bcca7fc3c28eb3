"""The report in a real browser: plots, tooltips, sorting, filter, phone width and dark colours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import LOW_CONTRAST, Browser
from report_site import ALL, DRAWN, WHOLE, WIDE, figure_of, show

pytestmark = [pytest.mark.smoke, pytest.mark.usefixtures("no_console_errors")]


def hover(browser: Browser, title: str, x_share: float = 0.5, y_share: float = 0.5) -> str:
    """Move the mouse over a plot; return the text of the tooltip."""
    figure = figure_of(title)
    show(browser, title)
    browser.script(f"{figure}.scrollIntoView({{block: 'center'}})")
    box = browser.script(f"JSON.parse(JSON.stringify({figure}.querySelector('.plot').getBoundingClientRect()))")
    x, y = box["left"] + x_share * box["width"], box["top"] + y_share * box["height"]
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    text: str = browser.script(
        f"{figure}.querySelector('.tip').hidden ? '' : {figure}.querySelector('.tip').textContent"
    )
    return text


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "diabetes", "iris"])
def test_every_page_is_drawn_and_readable(browser: Browser, site: str, name: str, scheme: str, width: int) -> None:
    """All plots are drawn, nothing is wider than the screen, and all text has enough contrast."""
    browser.screen(width, 900, scheme)
    browser.open(f"{site}/{name}.html", DRAWN)
    tabs = browser.script("tabs.length")
    assert tabs == (3 if name == "index" else 7)
    for tab in range(tabs):
        browser.script(f"tabs[{tab}].click()")
        browser.wait_until(DRAWN)
        assert not browser.script(WIDE)
        assert browser.script(LOW_CONTRAST) == []
    assert browser.script(f"[...{ALL}].every((one) => one.querySelector('svg'))")
    assert browser.script(WHOLE)


def test_plots_have_tooltips(browser: Browser, site: str) -> None:
    """Cells, curves, points and bars show their values."""
    browser.open(f"{site}/iris.html", DRAWN)
    assert "Actual: versicolor\nPredicted: " in hover(browser, "Confusion matrix", 0.5, 0.4)
    assert "threshold: " in hover(browser, "ROC", 0.3, 0.3)
    assert "training: " in hover(browser, "Loss")
    assert "sepal_length\n" in hover(browser, "Permutation importance", 0.5, 0.1)
    browser.open(f"{site}/diabetes.html", DRAWN)
    assert "Predicted minus actual: " in hover(browser, "Residuals")


def test_boxes_counts_and_layers_have_tooltips(browser: Browser, site: str) -> None:
    """The plots of the data and of the network show their values."""
    browser.open(f"{site}/iris.html", DRAWN)
    assert "versicolor\nmedian " in hover(browser, "petal_width by label", 0.5, 0.35)
    assert "virginica\ntraining: " in hover(browser, "Labels", 0.5, 0.6)
    assert "Dense b1\n4\n20 parameters" in hover(browser, "Layers", 0.4, 0.5)


def test_data_of_a_plot_are_a_table_for_the_keyboard(browser: Browser, site: str) -> None:
    """The table is built when it is opened with a key, and holds the numbers that are drawn."""
    browser.open(f"{site}/iris.html", DRAWN)
    show(browser, "Labels")
    figure = figure_of("Labels")
    cells = "(row) => [...row.cells].map((cell) => cell.textContent)"
    rows = f"[...{figure}.querySelectorAll('details.data tr')].map({cells})"
    assert browser.script(rows) == []
    browser.script(f"{figure}.querySelector('summary').focus()")
    browser.press("Enter")
    browser.wait_until(f"{figure}.querySelector('details.data table')")
    assert browser.script(rows)[0] == ["name", "training", "validation", "test"]
    assert browser.script(rows)[1] == ["setosa", "30", "10", "10"]
    assert browser.script("[...document.querySelectorAll('details.data')].length") > 5
    browser.script("document.querySelectorAll('details.data').forEach((one) => { one.open = true; })")
    browser.wait_until(
        "document.querySelectorAll('details.data').length === document.querySelectorAll('details.data table').length"
    )
    confusion = figure_of("Confusion matrix")
    head = f"[...{confusion}.querySelectorAll('details th')].map((one) => one.textContent)"
    assert browser.script(head) == ["Actual / Predicted", "setosa", "versicolor", "virginica"]
    assert not browser.script(WIDE)
    assert browser.script(LOW_CONTRAST) == []


def test_a_range_of_a_series_can_be_chosen(browser: Browser, site: str) -> None:
    """A button draws a part of the curves, with an axis of its own."""
    browser.open(f"{site}/iris.html", DRAWN)
    curve = {"name": "a", "x": [*range(100)], "y": [*range(100)]}
    ranges = [{"name": "all", "from": 0, "to": 99}, {"name": "end", "from": 90, "to": 99}]
    data = json.dumps({"x": "x", "y": "y", "lines": [curve], "ranges": ranges, "marks": [{"x": 5, "name": "early"}]})
    script = f"<figure data-kind=lines><div class=plot></div><script type='application/json'>{data}</scr"
    browser.script(f"document.body.insertAdjacentHTML('afterbegin', {json.dumps(script)} + 'ipt></figure>')")
    browser.script("renderFigure(document.querySelector('figure'))")
    browser.wait_until("document.querySelector('figure').querySelector('svg')")
    before = browser.script(
        "document.querySelector('figure').querySelector('svg path').getAttribute('d').split('L').length"
    )
    assert browser.script("document.querySelector('figure').querySelectorAll('.mark').length") == 1
    browser.script("document.querySelectorAll('figure .ranges button')[1].click()")
    after = browser.script(
        "document.querySelector('figure').querySelector('svg path').getAttribute('d').split('L').length"
    )
    assert (before, after) == (100, 10)
    assert browser.script("document.querySelector('figure').querySelectorAll('.mark').length") == 0
    assert browser.script("document.querySelectorAll('figure .ranges button')[1].ariaPressed") == "true"


def test_click_on_a_legend_name_hides_its_curve(browser: Browser, site: str) -> None:
    """A click on a name hides its curve, and another click shows it."""
    browser.open(f"{site}/iris.html", DRAWN)
    show(browser, "Loss")
    figure = figure_of("Loss")
    count = f"{figure}.querySelectorAll('svg path').length"
    before = browser.script(count)
    browser.script(f"{figure}.querySelector('.legend button').click()")
    assert browser.script(count) == before - 1
    assert browser.script(f"{figure}.querySelector('.legend button').ariaPressed") == "false"
    browser.script(f"{figure}.querySelector('.legend button').click()")
    assert browser.script(count) == before


def test_tables_are_sorted_and_filtered(browser: Browser, site: str) -> None:
    """A click on a heading sorts, numbers by value; text in the field filters rows."""
    browser.open(f"{site}/index.html", "document.querySelector('th button')")
    rows = "[...document.querySelectorAll('#all tbody tr')].filter((row) => !row.hidden)"
    shown = f"{rows}.map((row) => row.cells[0].textContent)"
    head = "[...document.querySelectorAll('#all th button')].find((one) => one.textContent === 'value')"
    browser.script(f"{head}.click()")
    assert browser.script(shown) == ["iris", "diabetes"]
    browser.script(f"{head}.click()")
    assert browser.script(shown) == ["diabetes", "iris"]
    assert browser.script(f"{head}.closest('th').ariaSort") == "descending"
    browser.script("document.querySelector('.filter').focus()")
    browser.type("flower iris")
    assert browser.script(shown) == []
    browser.type("IRIS")
    assert browser.script(shown) == ["iris"]


def test_areas_of_plots_are_filled(browser: Browser, site: str) -> None:
    """The areas of histograms and forecast intervals are filled with a colour."""
    browser.open(f"{site}/diabetes.html", DRAWN)
    show(browser, "Errors")
    black = ("none", "rgb(0, 0, 0)")
    assert browser.script("getComputedStyle(document.querySelector('svg .filled')).fill") not in black
    curve, band = {"name": "a", "x": [0, 1], "y": [0, 1]}, {"x": [0, 1], "low": [-1, 0], "high": [1, 2]}
    data = json.dumps({"x": "x", "y": "y", "lines": [curve], "band": band})
    browser.script("document.body.append(htmlElement('div', {id: 'here', class: 'plot'}))")
    browser.script(f"lines(here, {data}, new Set())")
    assert browser.script("getComputedStyle(document.querySelector('#here .band')).fill") not in black
    assert browser.script("document.querySelector('#here .band').getBBox().height") > 50


def test_plot_is_redrawn_when_the_width_changes(browser: Browser, site: str) -> None:
    """At a phone's width the plot is redrawn with text of the same size."""
    browser.open(f"{site}/diabetes.html", DRAWN)
    show(browser, "Residuals")
    browser.screen(390, 900)
    browser.wait_until("document.querySelector('.panel:not([hidden]) .plot svg').viewBox.baseVal.width < 390")
    assert not browser.script(WIDE)


def test_overview_and_task_pages_link_to_each_other(browser: Browser, site: str, tmp_path: Path) -> None:
    """The overview links to each page and back, and a screenshot can be taken."""
    browser.open(f"{site}/index.html", "document.querySelector('a[href=\"iris.html\"]')")
    browser.open(browser.script("document.querySelector('a[href=\"iris.html\"]').href"), DRAWN)
    assert browser.script("document.title") == "iris: report"
    browser.open(browser.script("document.querySelector('header a').href"), "document.getElementById('all')")
    assert browser.script("document.title") == "Tiltyard: report"
    browser.screenshot(tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")
