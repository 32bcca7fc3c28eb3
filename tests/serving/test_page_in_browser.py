"""Web page in a real browser: forms are filled in and sent, and predictions and errors are shown."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import generated_tasks
import httpx
import pytest
import random_models
import text_writer
from asgi_server import serve_app
from browser import LOW_CONTRAST, Browser, open_browser
from PIL import Image
from starlette.applications import Starlette
from starlette_client import TestClient
from workspaces import new_workspace

from tiltyard.contracts import customers as customer_table
from tiltyard.preparation import prepare
from tiltyard.serving.http import api_keys
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.smoke
DRAWN = "document.querySelector('article') && !document.getElementById('state').textContent"
STEPS = 200  # key presses that reach any element of the page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start one browser for all tests, with an empty profile."""
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def url(app: Starlette) -> Iterator[str]:
    """Serve the four small models."""
    with serve_app(app) as host:
        yield f"http://{host}/"


@pytest.fixture(autouse=True)
def _no_console_errors(browser: Browser) -> Iterator[None]:
    """Assert that no script fails and the policy blocks nothing; errors of the service are allowed."""
    browser.console_errors.clear()
    browser.screen(1200, 900)
    yield
    assert [text for text in browser.console_errors if "status of 4" not in text] == []


def show(browser: Browser, task: str) -> None:
    """Show the model of a task, as a link to it does."""
    browser.script(f"location.hash = '{task}'")
    browser.wait_until(f"document.querySelector('#{task}').checkVisibility()")


def control(task: str, label: str) -> str:
    """Return the expression for the control that has a label."""
    labels = f"[...document.querySelectorAll('#{task} label')]"
    return f"{labels}.find((one) => one.textContent === {json.dumps(label)}).control"


def fill(browser: Browser, task: str, label: str, text: str) -> None:
    """Focus a field and type."""
    show(browser, task)
    browser.script(f"{control(task, label)}.focus()")
    browser.type(text)


def submit(browser: Browser, task: str) -> str:
    """Send a form by the Enter key on its button, and return the text shown."""
    show(browser, task)
    box = f"document.querySelector('#{task} .answer')"
    browser.script(f"{box}.replaceChildren(); document.querySelector('#{task} button.first').focus()")
    browser.press("Enter")
    browser.wait_until(f"{box}.textContent && {box}.ariaBusy === 'false'")
    shown_text: str = browser.script(f"{box}.innerText")
    return shown_text


def curl_command(browser: Browser, task: str) -> tuple[str, Any]:
    """Parse the curl command like a shell; return its URL and body."""
    text = browser.script(f"document.querySelector('#{task} .command code').textContent")
    program, *parts = shlex.split(text.replace("\\\n", " "))
    assert program == "curl"
    return parts[0], json.loads(parts[parts.index("-d") + 1])


def tab_to(browser: Browser, wanted: str) -> list[bool]:
    """Press Tab until an expression is true; return for each step whether the focus was visible."""
    focus_visible = []
    for _ in range(STEPS):
        browser.press("Tab")
        focus_visible.append(browser.script("getComputedStyle(document.activeElement).outlineStyle !== 'none'"))
        if browser.script(f"Boolean({wanted})"):
            return focus_visible
    raise AssertionError(f"no way by Tab to {wanted}")


def test_table_form_works_with_the_keyboard_only(browser: Browser, url: str, app: Starlette) -> None:
    """With the keyboard only, an invalid value is corrected and predicted, as with the curl command."""
    browser.open(url, DRAWN)
    show(browser, "iris")
    focus_visible = tab_to(browser, f"document.activeElement === {control('iris', 'sepal length')}")
    assert all(focus_visible)
    browser.type("long")
    browser.press("Enter")
    browser.wait_until("document.querySelector('#iris [aria-invalid]')")
    assert browser.script("document.activeElement.labels[0].textContent") == "sepal length"
    descriptions = "document.activeElement.getAttribute('aria-describedby').split(' ')"
    error_texts = browser.script(f"{descriptions}.map((id) => document.getElementById(id).textContent)")
    assert error_texts == ["3 to 10 cm", "expected a number; received 'long'"]
    browser.type("6.25")
    browser.press("Enter")
    browser.wait_until("document.querySelector('#iris .bars')")
    assert not browser.script("document.querySelector('#iris [aria-invalid]')")
    address, body = curl_command(browser, "iris")
    iris: LoadedModel = app.state.models["iris"]
    assert body == {"instances": [{**iris.schema["example"], "sepal_length": 6.25}]}
    expected = httpx.post(address, json=body).json()["predictions"][0]
    shown_text = browser.script("document.querySelector('#iris .answer').innerText")
    assert shown_text.startswith(expected["label"])
    shares = browser.script("[...document.querySelectorAll('#iris .bars li')].map((one) => one.innerText)")
    assert {re.split(r"\s", share)[0] for share in shares} == {*expected["probabilities"]}
    assert f"version {iris.version}" in shown_text
    assert all(tab_to(browser, "document.activeElement.textContent === 'Copy'"))


def test_number_is_shown_with_its_expected_error(browser: Browser, url: str, app: Starlette) -> None:
    """A regression shows the number with the error on test rows, and bounds next to fields."""
    browser.open(url, DRAWN)
    fill(browser, "diabetes", "age", "33")
    shown_text = submit(browser, "diabetes")
    model: LoadedModel = app.state.models["diabetes"]
    (expected,) = model.predict([{**model.schema["example"], "age": 33}])
    assert float(shown_text.split()[0].replace(",", "")) == pytest.approx(expected, rel=1e-5)
    assert "mean absolute error is" in shown_text
    assert "18 to 100" in browser.script(f"{control('diabetes', 'age')}.closest('.field').innerText")


def test_table_prediction_can_be_explained(browser: Browser, url: str) -> None:
    """Tables have a box for explanations, which show a bar and a number for each column."""
    browser.open(url, DRAWN)
    boxes = "[...document.querySelectorAll('label')].filter((one) => one.textContent === 'Explain the prediction')"
    assert browser.script(f"{boxes}.map((one) => one.closest('article').id).sort()") == ["diabetes", "iris"]
    assert "Sample rows" not in submit(browser, "iris")
    browser.script(f"{control('iris', 'Explain the prediction')}.focus()")
    browser.press(" ")
    address, body = curl_command(browser, "iris")
    assert body["explain"] is True
    shown_text = submit(browser, "iris")
    (expected,) = httpx.post(address, json=body).json()["explanations"]
    assert f"a probability of {expected['base']:.3g}" in shown_text
    bars = browser.script(
        "[...document.querySelectorAll('#iris .answer .bars')[1].children].map((one) => one.innerText)"
    )
    contributions = {re.split(r"\s+[+-]", bar)[0]: float(bar.split()[-1]) for bar in bars}
    wanted = {name.replace("_", " "): value for name, value in expected["contributions"].items()}
    assert contributions == pytest.approx(wanted, rel=1e-2)
    assert [*contributions] == sorted(wanted, key=lambda name: -abs(wanted[name]))


def test_image_can_be_drawn_uploaded_or_taken_from_the_example(
    browser: Browser, url: str, app: Starlette, tmp_path: Path
) -> None:
    """An image is drawn, loaded from a file or taken from the example; what is shown is sent."""
    browser.open(url, DRAWN)
    show(browser, "digits")
    example = app.state.models["digits"].schema["example"]
    assert curl_command(browser, "digits")[1] == {"instances": [example]}
    box = browser.script(
        "(() => { const one = document.querySelector('#digits canvas'); one.scrollIntoView(); "
        "const { left, top, width, height } = one.getBoundingClientRect(); return [left, top, width, height] })()"
    )
    browser.drag(*((box[0] + box[2] / 2, box[1] + box[3] * part / 8) for part in (1, 3, 5, 7)))
    (image,) = curl_command(browser, "digits")[1]["instances"]
    assert [image[row][3] for row in range(1, 7)] == [image[row][4] for row in range(1, 7)]
    assert min(image[row][3] for row in range(1, 7)) > 100
    assert max(max(row[0], row[7]) for row in image) == 0
    assert "Predicted by version" in submit(browser, "digits")
    Image.new("L", (40, 20), 200).save(tmp_path / "grey.png")
    file = browser.call("Runtime.evaluate", expression=control("digits", "Or a file"))["result"]["objectId"]
    browser.call("DOM.setFileInputFiles", files=[str(tmp_path / "grey.png")], objectId=file)
    browser.wait_until("document.querySelector('#digits .command code').textContent.includes('[200,200,')")
    assert curl_command(browser, "digits")[1] == {"instances": [[[200] * 8] * 8]}
    (tmp_path / "none.png").write_bytes(b"no picture")
    browser.call("DOM.setFileInputFiles", files=[str(tmp_path / "none.png")], objectId=file)
    browser.wait_until("document.querySelector('#digits .field .wrong').textContent.includes('none.png')")
    tab_to(
        browser, "document.activeElement.textContent === 'Use the example' && document.activeElement.closest('#digits')"
    )
    browser.press(" ")
    browser.wait_until("document.querySelector('#digits .command code').textContent.includes('195')")
    assert curl_command(browser, "digits")[1] == {"instances": [example]}


def test_series_can_be_pasted_and_its_forecast_is_drawn(browser: Browser, url: str, app: Starlette) -> None:
    """A pasted list is parsed; too few numbers are refused, and of too many the last are sent."""
    browser.open(url, DRAWN)
    history = "History, the oldest number first"
    fill(browser, "sine", history, "1\n2 3;4, 5")
    assert "5 of 32 numbers" in browser.script("document.querySelector('#sine .field').innerText")
    assert submit(browser, "sine") == "Invalid input: see the marked field."
    assert "expected 32 numbers; received 5" in browser.script("document.querySelector('#sine .field').innerText")
    values = [round(step / 10, 1) for step in range(40)]
    fill(browser, "sine", history, "\n".join(map(str, values)))
    assert "40 numbers: the last 32 are sent" in browser.script("document.querySelector('#sine .field').innerText")
    shown_text = submit(browser, "sine")
    model: LoadedModel = app.state.models["sine"]
    (expected,) = model.predict([values[-32:]])
    assert float(shown_text.split()[0]) == pytest.approx(expected, rel=1e-5)
    assert browser.script("document.querySelectorAll('#sine .answer circle.next').length") == 1
    points = browser.script("document.querySelector('#sine .answer .past').getAttribute('points')")
    assert len(points.split()) == 32
    fill(browser, "sine", history, "\n".join(map(str, [*values[:-1], 99])))
    submit(browser, "sine")
    assert "number 32: expected" in browser.script("document.querySelector('#sine .field').innerText")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_page_fits_phones_and_both_colour_schemes(
    browser: Browser, url: str, tmp_path: Path, width: int, scheme: str
) -> None:
    """The page fits phones and both colour schemes, with contrast, labels and no external hosts."""
    browser.screen(width, 740, scheme)
    browser.open(url, DRAWN)
    for task in random_models.TASKS:
        submit(browser, task)
    browser.script("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    browser.wait_until(
        "[...document.querySelectorAll('.card .text')].every((one) => one.textContent.includes('Provenance'))"
    )
    browser.screenshot(tmp_path / "page.png")
    assert (
        browser.script("document.documentElement.scrollWidth") <= width
    )  # innerWidth would grow with what is too wide
    wide = f"[...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > {width})"
    assert browser.script(f"{wide}.map((one) => one.outerHTML.slice(0, 80))") == []
    assert browser.script(LOW_CONTRAST) == []
    assert browser.script("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    paper = browser.script("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", paper)[0]) < 80) == (scheme == "dark")
    nameless = "[...document.querySelectorAll('input, select, textarea')].filter((one) => !one.labels.length)"
    assert browser.script(f"{nameless}.length") == 0
    hosts = browser.script("performance.getEntriesByType('resource').map((one) => new URL(one.name).host)")
    assert {*hosts} == {browser.script("location.host")}


def test_api_key_is_requested_and_not_stored(browser: Browser, app: Starlette, tmp_path: Path) -> None:
    """The page asks for the key, never shows or stores it, and needs it again after reloading."""
    path = tmp_path / "keys"
    key = api_keys.add(path, "robot")
    locked = create_app(Limits(keys=api_keys.read(path)))
    install(locked, [app.state.models["iris"]])
    with serve_app(locked) as host:
        browser.open(f"http://{host}/", "!document.getElementById('key').hidden")
        assert browser.script("document.activeElement.id") == "secret"
        browser.type("wrong")
        browser.press("Enter")
        browser.wait_until("document.getElementById('wrong').textContent")
        browser.type(key)
        browser.press("Enter")
        browser.wait_until(DRAWN)
        assert "Predicted by version" in submit(browser, "iris")
        shown = browser.script("document.documentElement.outerHTML + [...document.forms.key].map((one) => one.value)")
        assert '-H "Authorization: Bearer KEY"' in shown
        assert key not in shown
        assert browser.script("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        browser.open(f"http://{host}/", "!document.getElementById('key').hidden")


def test_every_column_type_has_a_form_field(browser: Browser, workspace: Workspace) -> None:
    """Every type of column has a field whose value the model accepts."""
    example = {"age": 40, "income": None, "height": 170.5, "weight": 70, "vip": True, "country": "fr", "shop": "shop3"}
    moods, people = generated_tasks.prepare_texts(workspace), generated_tasks.prepare_table(workspace)
    task = customer_table.write_task(
        workspace, customer_table.customers(), {"serve.example": {**example, "since": "2020-03-01"}}
    )
    prepare.prepare(workspace, task)
    served = [
        LoadedModel.load(random_models.write_package(workspace, random_models.write_evaluated(workspace, one.name)))
        for one in (moods, people, task)
    ]
    app = create_app()
    install(app, served)
    with serve_app(app) as host, TestClient(app) as client:
        browser.open(f"http://{host}/", DRAWN)
        assert curl_command(browser, "shop")[1] == {"instances": [served[2].schema["example"]]}
        fill(browser, "shop", "income", "")
        show(browser, "shop")
        browser.script(f"{control('shop', 'vip')}.focus()")
        browser.press(" ")
        for label, value in (("country", "2"), ("since", "2021-12-24")):
            show(browser, "shop")
            one = control("shop", label)
            changed = "dispatchEvent(new Event('input', {bubbles: true}))"
            browser.script(f"{one}.value = '{value}'; {one}.{changed}")
        fill(browser, "shop", "shop", "shop'7")
        wanted = {**example, "vip": False, "shop": "shop'7", "since": "2021-12-24"}
        assert curl_command(browser, "shop")[1] == {"instances": [wanted]}
        assert submit(browser, "shop").split()[0] == served[2].predict([wanted])[0]["label"]
        assert browser.script(f"{control('shop', 'since')}.type") == "date"
        fill(browser, "people", "since", "yesterday")
        assert submit(browser, "people") == "Invalid input: see the marked field."
        assert browser.script("document.activeElement.labels[0].textContent") == "since"
        fill(browser, "people", "since", "")
        assert curl_command(browser, "people")[1]["instances"][0]["since"] is None
        assert "Predicted by version" in submit(browser, "people")
        fill(browser, "moods", "Text", "you <b>fool</b>\n& 'friends'")
        sent = curl_command(browser, "moods")[1]
        assert sent == {"instances": ["you <b>fool</b>\n& 'friends'"]}
        expected = client.post("/v1/models/moods:predict", json=sent).json()["predictions"][0]["label"]
        assert submit(browser, "moods").startswith(expected)


def test_prompt_is_continued(browser: Browser, tmp_path: Path) -> None:
    """A prompt is sent with its settings; prompt and prediction are shown as text."""
    served = text_writer.song_model(new_workspace(tmp_path))
    app = create_app()
    install(app, [served])
    with serve_app(app) as host:
        browser.open(f"http://{host}/", DRAWN)
        fill(browser, "song", "prompt", "<i>green")
        fill(browser, "song", "length", "7")
        fill(browser, "song", "temperature", "-1")
        assert submit(browser, "song") == "Invalid input: see the marked field."
        fill(browser, "song", "temperature", "0")
        prompt = {"prompt": "<i>green", "length": 7, "temperature": 0, "seed": 0}
        assert curl_command(browser, "song")[1] == {"instances": [prompt]}
        submit(browser, "song")
        shown_text = browser.script("document.querySelector('#song blockquote').textContent")
        assert shown_text == "<i>green" + served.predict([prompt])[0]


def test_unreachable_service_is_reported(browser: Browser, app: Starlette) -> None:
    """If the service does not respond, the form shows a message."""
    with serve_app(app) as host:
        browser.open(f"http://{host}/", DRAWN)
    assert submit(browser, "iris") == "The service does not respond. Is it still running?"
    browser.console_errors = [text for text in browser.console_errors if "ERR_CONNECTION_REFUSED" not in text]
