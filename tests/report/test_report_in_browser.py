"""The report in a real browser: plots, tooltips, sorting, filter, phone width and dark colours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import LOW_CONTRAST, Browser, open_browser
from linear_challengers import prepare_task, quick_package, write_challenger
from workspaces import new_workspace

from tiltyard import files
from tiltyard.explain import explain
from tiltyard.figures import Figure, bars
from tiltyard.gate.promote import promote
from tiltyard.report import report
from tiltyard.report.html_elements import render_figures
from tiltyard.report.sections.decisions import threshold_figure
from tiltyard.training.layer_graph import FILE

# The layers of a network with four branches, which is wider than a phone.
LAYERS = [
    {"name": name, "type": "Dense", "settings": name, "shape": [4], "parameters": 20, "trainable": 20, "inputs": inputs}
    for name, inputs in {
        "in": [],
        **{f"b{place}": ["in"] for place in range(4)},
        "out": ["b0", "b1", "b2", "b3"],
    }.items()
]
pytestmark = pytest.mark.smoke
ALL = "document.querySelectorAll('figure[data-kind]')"
DRAWN = f"[...{ALL}].every((one) => !one.checkVisibility() || one.querySelector('svg'))"
WHOLE = "[...document.querySelectorAll('svg path')].every((one) => !/NaN|undefined/.test(one.getAttribute('d')))"
WIDE = "document.documentElement.scrollWidth > innerWidth"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the report of two judged tasks."""
    workspace = new_workspace(tmp_path_factory.mktemp("site") / "project")
    tasks = [prepare_task(workspace, name) for name in ("diabetes", "iris")]
    for task in tasks:
        write_challenger(workspace, task, slice(None))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tiltyard.serving.packaging.package.package", quick_package)
            promote(workspace, task)
            write_challenger(workspace, task, slice(2))
            promote(workspace, task)
        explain.explain(workspace, task, explain.ExplainRequest(only=["permutation"]))
        files.write_json(workspace.out(task.name, "train") / FILE, LAYERS)
    report.report(workspace, tasks)
    return workspace.report.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all."""
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(autouse=True)
def _no_console_errors(browser: Browser) -> Iterator[None]:
    """No script fails, and no request violates the content security policy."""
    browser.console_errors.clear()
    browser.screen(1280, 900)
    yield
    assert browser.console_errors == []


def figure_of(title: str) -> str:
    """Return a script that finds the figure with a title."""
    return f"[...document.querySelectorAll('figure')].find((one) => one.querySelector('h3')?.textContent === '{title}')"


def show(browser: Browser, title: str) -> None:
    """Show the tab with a figure, as its address does."""
    browser.script(f"location.hash = {figure_of(title)}.closest('section').id")
    browser.wait_until(f"{figure_of(title)}.checkVisibility() && {DRAWN}")


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
