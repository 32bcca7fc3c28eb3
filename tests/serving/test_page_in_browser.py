"""Web page in a real browser: forms are filled in and sent, and predictions and errors are shown."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import customer_table
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
    with serve_app(app) as place:
        yield f"http://{place}/"


@pytest.fixture(autouse=True)
def _nothing_to_complain_of(browser: Browser) -> Iterator[None]:
    """Assert that no script fails and the policy blocks nothing; errors of the service are allowed."""
    browser.complaints.clear()
    browser.screen(1200, 900)
    yield
    assert [text for text in browser.complaints if "status of 4" not in text] == []


def control(task: str, label: str) -> str:
    """Return the expression for the control that has a label."""
    labels = f"[...document.querySelectorAll('#{task} label')]"
    return f"{labels}.find((one) => one.textContent === {json.dumps(label)}).control"


def fill(browser: Browser, task: str, label: str, text: str) -> None:
    """Focus a field and type."""
    browser.script(f"{control(task, label)}.focus()")
    browser.type(text)


def answer(browser: Browser, task: str) -> str:
    """Send a form by the Enter key on its button, and return the text shown."""
    box = f"document.querySelector('#{task} .answer')"
    browser.script(f"{box}.replaceChildren(); document.querySelector('#{task} button.first').focus()")
    browser.press("Enter")
    browser.until(f"{box}.textContent && {box}.ariaBusy === 'false'")
    said: str = browser.script(f"{box}.innerText")
    return said


def command(browser: Browser, task: str) -> tuple[str, Any]:
    """Parse the curl command like a shell; return its URL and body."""
    text = browser.script(f"document.querySelector('#{task} .command code').textContent")
    program, *parts = shlex.split(text.replace("\\\n", " "))
    assert program == "curl"
    return parts[0], json.loads(parts[parts.index("-d") + 1])


def walk(browser: Browser, wanted: str) -> list[bool]:
    """Press Tab until an expression is true; return for each step whether the focus was visible."""
    seen = []
    for _ in range(STEPS):
        browser.press("Tab")
        seen.append(browser.script("getComputedStyle(document.activeElement).outlineStyle !== 'none'"))
        if browser.script(f"Boolean({wanted})"):
            return seen
    raise AssertionError(f"no way by Tab to {wanted}")


def test_a_table_is_asked_by_keys_alone(browser: Browser, url: str, app: Starlette) -> None:
    """With the keyboard only, an invalid value is corrected and predicted, as with the curl command."""
    browser.open(url, DRAWN)
    seen = walk(browser, f"document.activeElement === {control('iris', 'sepal length')}")
    assert all(seen)
    browser.type("long")
    browser.press("Enter")
    browser.until("document.querySelector('#iris [aria-invalid]')")
    assert browser.script("document.activeElement.labels[0].textContent") == "sepal length"
    described = "document.activeElement.getAttribute('aria-describedby').split(' ')"
    told = browser.script(f"{described}.map((id) => document.getElementById(id).textContent)")
    assert told == ["3 to 10 cm", "expected a number; received 'long'"]
    browser.type("6.25")
    browser.press("Enter")
    browser.until("document.querySelector('#iris .bars')")
    assert not browser.script("document.querySelector('#iris [aria-invalid]')")
    where, body = command(browser, "iris")
    iris: LoadedModel = app.state.models["iris"]
    assert body == {"instances": [{**iris.schema["example"], "sepal_length": 6.25}]}
    right = httpx.post(where, json=body).json()["predictions"][0]
    said = browser.script("document.querySelector('#iris .answer').innerText")
    assert said.startswith(right["label"])
    shares = browser.script("[...document.querySelectorAll('#iris .bars li')].map((one) => one.innerText)")
    assert {re.split(r"\s", share)[0] for share in shares} == {*right["probabilities"]}
    assert f"version {iris.version}" in said
    assert all(walk(browser, "document.activeElement.textContent === 'Copy'"))


def test_a_number_is_told_with_what_it_may_miss_by(browser: Browser, url: str, app: Starlette) -> None:
    """A regression shows the number with the error on test rows, and bounds next to fields."""
    browser.open(url, DRAWN)
    fill(browser, "diabetes", "age", "33")
    said = answer(browser, "diabetes")
    model: LoadedModel = app.state.models["diabetes"]
    (right,) = model.predict([{**model.schema["example"], "age": 33}])
    assert float(said.split()[0].replace(",", "")) == pytest.approx(right, rel=1e-5)
    assert "mean absolute error is" in said
    assert "18 to 100" in browser.script(f"{control('diabetes', 'age')}.closest('.field').innerText")


def test_a_table_is_explained_if_one_wishes(browser: Browser, url: str) -> None:
    """Tables have a box for explanations, which show a bar and a number for each column."""
    browser.open(url, DRAWN)
    boxes = "[...document.querySelectorAll('label')].filter((one) => one.textContent === 'Explain the prediction')"
    assert browser.script(f"{boxes}.map((one) => one.closest('article').id).sort()") == ["diabetes", "iris"]
    assert "Sample rows" not in answer(browser, "iris")
    browser.script(f"{control('iris', 'Explain the prediction')}.focus()")
    browser.press(" ")
    where, body = command(browser, "iris")
    assert body["explain"] is True
    said = answer(browser, "iris")
    (right,) = httpx.post(where, json=body).json()["explanations"]
    assert f"a probability of {right['base']:.3g}" in said
    bars = browser.script(
        "[...document.querySelectorAll('#iris .answer .bars')[1].children].map((one) => one.innerText)"
    )
    found = {re.split(r"\s+[+-]", bar)[0]: float(bar.split()[-1]) for bar in bars}
    wanted = {name.replace("_", " "): value for name, value in right["contributions"].items()}
    assert found == pytest.approx(wanted, rel=1e-2)
    assert [*found] == sorted(wanted, key=lambda name: -abs(wanted[name]))


def test_a_digit_is_drawn_brought_or_taken_from_the_example(
    browser: Browser, url: str, app: Starlette, tmp_path: Path
) -> None:
    """An image is drawn, loaded from a file or taken from the example; what is shown is sent."""
    browser.open(url, DRAWN)
    example = app.state.models["digits"].schema["example"]
    assert command(browser, "digits")[1] == {"instances": [example]}
    box = browser.script(
        "(() => { const one = document.querySelector('#digits canvas'); one.scrollIntoView(); "
        "const { left, top, width, height } = one.getBoundingClientRect(); return [left, top, width, height] })()"
    )
    browser.drag(*((box[0] + box[2] / 2, box[1] + box[3] * part / 8) for part in (1, 3, 5, 7)))
    (drawn,) = command(browser, "digits")[1]["instances"]
    assert [drawn[row][3] for row in range(1, 7)] == [drawn[row][4] for row in range(1, 7)]
    assert min(drawn[row][3] for row in range(1, 7)) > 100
    assert max(max(row[0], row[7]) for row in drawn) == 0
    assert "Predicted by version" in answer(browser, "digits")
    Image.new("L", (40, 20), 200).save(tmp_path / "grey.png")
    file = browser.call("Runtime.evaluate", expression=control("digits", "Or a file"))["result"]["objectId"]
    browser.call("DOM.setFileInputFiles", files=[str(tmp_path / "grey.png")], objectId=file)
    browser.until("document.querySelector('#digits .command code').textContent.includes('[200,200,')")
    assert command(browser, "digits")[1] == {"instances": [[[200] * 8] * 8]}
    (tmp_path / "none.png").write_bytes(b"no picture")
    browser.call("DOM.setFileInputFiles", files=[str(tmp_path / "none.png")], objectId=file)
    browser.until("document.querySelector('#digits .field .wrong').textContent.includes('none.png')")
    walk(
        browser, "document.activeElement.textContent === 'Use the example' && document.activeElement.closest('#digits')"
    )
    browser.press(" ")
    browser.until("document.querySelector('#digits .command code').textContent.includes('195')")
    assert command(browser, "digits")[1] == {"instances": [example]}


def test_a_series_is_pasted_and_its_forecast_drawn(browser: Browser, url: str, app: Starlette) -> None:
    """A pasted list is parsed; too few numbers are refused, and of too many the last are sent."""
    browser.open(url, DRAWN)
    history = "History, the oldest number first"
    fill(browser, "sine", history, "1\n2 3;4, 5")
    assert "5 of 32 numbers" in browser.script("document.querySelector('#sine .field').innerText")
    assert answer(browser, "sine") == "Invalid input: see the marked field."
    assert "expected 32 numbers; received 5" in browser.script("document.querySelector('#sine .field').innerText")
    values = [round(step / 10, 1) for step in range(40)]
    fill(browser, "sine", history, "\n".join(map(str, values)))
    assert "40 numbers: the last 32 are sent" in browser.script("document.querySelector('#sine .field').innerText")
    said = answer(browser, "sine")
    model: LoadedModel = app.state.models["sine"]
    (right,) = model.predict([values[-32:]])
    assert float(said.split()[0]) == pytest.approx(right, rel=1e-5)
    assert browser.script("document.querySelectorAll('#sine .answer circle.next').length") == 1
    points = browser.script("document.querySelector('#sine .answer .past').getAttribute('points')")
    assert len(points.split()) == 32
    fill(browser, "sine", history, "\n".join(map(str, [*values[:-1], 99])))
    answer(browser, "sine")
    assert "number 32: expected" in browser.script("document.querySelector('#sine .field').innerText")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_phones_and_either_light(browser: Browser, url: str, tmp_path: Path, width: int, scheme: str) -> None:
    """The page fits phones and both colour schemes, with contrast, labels and no external hosts."""
    browser.screen(width, 740, scheme)
    browser.open(url, DRAWN)
    for task in random_models.TASKS:
        answer(browser, task)
    browser.script("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    browser.until(
        "[...document.querySelectorAll('pre.text')].every((one) => one.textContent.includes('## Provenance'))"
    )
    browser.photograph(tmp_path / "page.png")
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


def test_a_key_is_asked_for_and_kept_nowhere(browser: Browser, app: Starlette, tmp_path: Path) -> None:
    """The page asks for the key, never shows or stores it, and needs it again after reloading."""
    path = tmp_path / "keys"
    own = api_keys.add(path, "robot")
    locked = create_app(Limits(keys=api_keys.read(path)))
    install(locked, [app.state.models["iris"]])
    with serve_app(locked) as place:
        browser.open(f"http://{place}/", "!document.getElementById('key').hidden")
        assert browser.script("document.activeElement.id") == "secret"
        browser.type("wrong")
        browser.press("Enter")
        browser.until("document.getElementById('wrong').textContent")
        browser.type(own)
        browser.press("Enter")
        browser.until(DRAWN)
        assert "Predicted by version" in answer(browser, "iris")
        shown = browser.script("document.documentElement.outerHTML + [...document.forms.key].map((one) => one.value)")
        assert '-H "Authorization: Bearer KEY"' in shown
        assert own not in shown
        assert browser.script("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        browser.open(f"http://{place}/", "!document.getElementById('key').hidden")


def test_every_kind_of_value_has_its_field(browser: Browser, workspace: Workspace) -> None:
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
    with serve_app(app) as place, TestClient(app) as client:
        browser.open(f"http://{place}/", DRAWN)
        assert command(browser, "shop")[1] == {"instances": [served[2].schema["example"]]}
        fill(browser, "shop", "income", "")
        browser.script(f"{control('shop', 'vip')}.focus()")
        browser.press(" ")
        for label, value in (("country", "2"), ("since", "2021-12-24")):
            one = control("shop", label)
            changed = "dispatchEvent(new Event('input', {bubbles: true}))"
            browser.script(f"{one}.value = '{value}'; {one}.{changed}")
        fill(browser, "shop", "shop", "shop'7")
        wanted = {**example, "vip": False, "shop": "shop'7", "since": "2021-12-24"}
        assert command(browser, "shop")[1] == {"instances": [wanted]}
        assert answer(browser, "shop").split()[0] == served[2].predict([wanted])[0]["label"]
        assert browser.script(f"{control('shop', 'since')}.type") == "date"
        fill(browser, "people", "since", "yesterday")
        assert answer(browser, "people") == "Invalid input: see the marked field."
        assert browser.script("document.activeElement.labels[0].textContent") == "since"
        fill(browser, "people", "since", "")
        assert command(browser, "people")[1]["instances"][0]["since"] is None
        assert "Predicted by version" in answer(browser, "people")
        fill(browser, "moods", "Text", "you <b>fool</b>\n& 'friends'")
        sent = command(browser, "moods")[1]
        assert sent == {"instances": ["you <b>fool</b>\n& 'friends'"]}
        right = client.post("/v1/models/moods:predict", json=sent).json()["predictions"][0]["label"]
        assert answer(browser, "moods").startswith(right)


def test_a_prompt_is_gone_on_with(browser: Browser, tmp_path: Path) -> None:
    """A prompt is sent with its settings; prompt and prediction are shown as text."""
    served = text_writer.song_model(new_workspace(tmp_path))
    app = create_app()
    install(app, [served])
    with serve_app(app) as place:
        browser.open(f"http://{place}/", DRAWN)
        fill(browser, "song", "prompt", "<i>green")
        fill(browser, "song", "length", "7")
        fill(browser, "song", "temperature", "-1")
        assert answer(browser, "song") == "Invalid input: see the marked field."
        fill(browser, "song", "temperature", "0")
        wish = {"prompt": "<i>green", "length": 7, "temperature": 0, "seed": 0}
        assert command(browser, "song")[1] == {"instances": [wish]}
        answer(browser, "song")
        said = browser.script("document.querySelector('#song blockquote').textContent")
        assert said == "<i>green" + served.predict([wish])[0]


def test_a_service_that_is_gone_is_told(browser: Browser, app: Starlette) -> None:
    """If the service is gone, the form shows a message."""
    with serve_app(app) as place:
        browser.open(f"http://{place}/", DRAWN)
    assert answer(browser, "iris") == "The service does not respond. Is it still running?"
    browser.complaints = [text for text in browser.complaints if "ERR_CONNECTION_REFUSED" not in text]
