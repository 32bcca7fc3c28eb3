"""Details of the service's page in a real browser: stale answers, code, CSV files, ground truth, routes, the card."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgi_server import serve_app
from browser import Browser, open_browser
from starlette.applications import Starlette

from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.recording.recorder import Recorder

pytestmark = pytest.mark.smoke
DRAWN = "document.querySelector('article') && !document.getElementById('state').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start one browser for all tests, with an empty profile."""
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        browser.screen(1200, 900)
        yield browser


@pytest.fixture(scope="module")
def url(app: Starlette) -> Iterator[str]:
    """Serve the four small models."""
    with serve_app(app) as host:
        yield f"http://{host}/"


def predict(browser: Browser, task: str) -> str:
    """Show a model, send its form, and return the answer."""
    browser.script(f"location.hash = '{task}'")
    browser.script(f"document.querySelector('#{task} form').requestSubmit()")
    answer = f"document.querySelector('#{task} .answer')"
    browser.wait_until(f"{answer}.ariaBusy === 'false' && /Predicted by/.test({answer}.textContent)")
    text: str = browser.script(f"{answer}.innerText")
    return text


def test_one_model_is_shown_at_a_time(browser: Browser, url: str) -> None:
    """The address names it, and its link is marked; without a name it is the first."""
    browser.open(url, DRAWN)
    shown = "[...document.querySelectorAll('article')].filter((one) => !one.hidden).map((one) => one.id)"
    assert browser.script(shown) == ["diabetes"]
    browser.script("[...document.querySelectorAll('#names a')].find((one) => one.hash === '#sine').click()")
    browser.wait_until(f"{shown}[0] === 'sine'")
    assert browser.script("document.querySelector('#names a[aria-current]').hash") == "#sine"


def test_answer_to_earlier_inputs_is_marked(browser: Browser, url: str) -> None:
    """It says how often the model is right; after a change it says that it is of other inputs."""
    browser.open(url, DRAWN)
    assert "On test rows, " in predict(browser, "iris")
    answer = "document.querySelector('#iris .answer')"
    assert not browser.script(f"{answer}.classList.contains('stale')")
    browser.script("document.querySelector('#iris input').focus()")
    browser.type("5")
    browser.type("6")
    assert browser.script(f"{answer}.classList.contains('stale')")
    assert browser.script(f"{answer}.textContent").count("The inputs have changed since.") == 1
    assert "changed" not in predict(browser, "iris")


def test_code_in_python_gets_the_same_prediction(browser: Browser, url: str) -> None:
    """The shown program runs as it is; JavaScript has the same body."""
    browser.open(url, DRAWN)
    shown = predict(browser, "iris")
    choice, code = "document.querySelector('#iris .command select')", "document.querySelector('#iris .command code')"
    for language in ("Python", "JavaScript"):
        browser.script(f"{choice}.value = '{language}'; {choice}.dispatchEvent(new Event('change'))")
        text = browser.script(f"{code}.textContent")
        if language == "Python":
            done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60)
            assert f"'label': '{shown.split()[0]}'" in done.stdout
        else:
            body = text.split("const body = ")[1].split(";\n")[0]
            assert [*json.loads(body)] == ["instances"]
            assert "document" not in text


def test_csv_file_is_predicted_and_downloaded(browser: Browser, url: str, app: Starlette, tmp_path: Path) -> None:
    """The rows come back with label and probabilities, and a wrong file is refused with a reason."""
    model: LoadedModel = app.state.models["iris"]
    rows = [model.schema["example"], {**model.schema["example"], "petal_length": 1.5}]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    browser.open(url, DRAWN)
    browser.script("location.hash = 'iris'; document.querySelector('#iris .csv').open = true")
    browser.script("{ const make = URL.createObjectURL; URL.createObjectURL = (blob) => make(window.saved = blob); }")
    field = browser.call("Runtime.evaluate", expression="document.querySelector('#iris .csv input')")["result"]
    browser.call("DOM.setFileInputFiles", files=[str(tmp_path / "rows.csv")], objectId=field["objectId"])
    browser.wait_until("document.querySelector('#iris .csv a')")
    text = browser.script("window.saved.text()")
    found = [*csv.DictReader(text.splitlines())]
    expected: list[Any] = model.predict(rows)
    assert [one["prediction"] for one in found] == [one["label"] for one in expected]
    assert [float(one["petal_length"]) for one in found] == [rows[0]["petal_length"], 1.5]
    share = float(found[0][f"probabilities {expected[0]['label']}"])
    assert share == pytest.approx(expected[0]["probabilities"][expected[0]["label"]], rel=1e-4)
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    browser.call("DOM.setFileInputFiles", files=[str(tmp_path / "wrong.csv")], objectId=field["objectId"])
    browser.wait_until("document.querySelector('#iris .csv .wrong')")
    assert "expected" in browser.script("document.querySelector('#iris .csv .wrong').textContent")


def test_blank_picture_is_said_to_be_blank(browser: Browser, url: str) -> None:
    """After Clear all pixels are the same; the example is not blank."""
    browser.open(url, DRAWN)
    browser.script("location.hash = 'digits'")
    note = "document.querySelector('#digits .image').textContent.includes('is blank')"
    browser.wait_until(f"!({note})")
    browser.script("document.querySelector('#digits .image button').click()")
    assert browser.script(note)


def test_truth_is_sent_back(browser: Browser, app: Starlette, tmp_path: Path) -> None:
    """A service that records its predictions takes the truth of one; others do not ask for it."""
    recorded = create_app()
    install(recorded, [app.state.models["iris"]])
    recorded.state.recorder = Recorder(tmp_path, 1.0)
    with serve_app(recorded) as host:
        browser.open(f"http://{host}/", DRAWN)
        assert "The truth was" in predict(browser, "iris")
        browser.script("[...document.querySelectorAll('#iris .answer button')].at(-1).click()")
        browser.wait_until("document.querySelector('#iris .answer').textContent.includes('Stored.')")


def test_routes_and_the_card_are_shown(browser: Browser, url: str) -> None:
    """The routes have examples; headings, lists and tables of the card are elements."""
    browser.open(url, DRAWN)
    browser.script("document.getElementById('routes').open = true")
    browser.wait_until("document.querySelectorAll('.route').length > 10")
    heads = browser.script("[...document.querySelectorAll('.route > summary')].map((one) => one.textContent)")
    assert any(head.startswith("POST /v1/models/iris:predict") for head in heads)
    assert not [head for head in heads if not head.startswith(("GET /", "POST /"))]
    browser.script("document.querySelector('#diabetes .card details').open = true")
    card = "document.querySelector('#diabetes .card .text')"
    browser.wait_until(f"{card}.querySelector('h4')")
    assert browser.script(f"{card}.querySelectorAll('table').length") >= 1
    assert browser.script(f"{card}.querySelectorAll('li').length") > 3
    assert "##" not in browser.script(f"{card}.textContent")
