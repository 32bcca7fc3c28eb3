"""Script injection by names and values: no generated page, document or Markdown runs it in a real browser."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_models
from asgi_server import serve_app
from browser import Browser, open_browser
from linear_challengers import quick_package, write_challenger
from markdown_it import MarkdownIt
from starlette_client import TestClient
from workspaces import fetch_raw, new_workspace

from tiltyard import files
from tiltyard.config import loader
from tiltyard.contracts import customers as customer_table
from tiltyard.data import markdown
from tiltyard.errors import DataError, TiltyardError
from tiltyard.experiments import study_markdown
from tiltyard.experiments.study import copy as study_copy
from tiltyard.experiments.study import study
from tiltyard.experiments.study_plan import Plan
from tiltyard.explain import explain
from tiltyard.gate.promote import promote
from tiltyard.pipelines import artifacts as prefect_artifacts
from tiltyard.preparation import prepare
from tiltyard.registry.approve import approve
from tiltyard.registry.decision import Decision, provenance
from tiltyard.registry.registry import Registry
from tiltyard.report import report
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import model_card
from tiltyard.validation import validate
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.smoke
RUN = "window.hacked=1"
IMAGE = f"<img src=x onerror={RUN}>"
SCRIPT = f'"></script><script>{RUN}</script>'
QUOTES = f"' onfocus={RUN} autofocus tabindex=0 x='"
DOUBLE = f'x" onfocus={RUN} autofocus tabindex=0 x="y'
LINK = f"[a](javascript:{RUN})"
CLOSED = f"</title></style></textarea><svg onload={RUN}>"
# What may run: event handlers, scripts that contain the mark (JSON data do not run), and javascript: addresses.
LIVE = """[...document.querySelectorAll('*')].filter((one) =>
  [...one.attributes].some(({name, value}) => value.includes('hacked')
    && (/^on/i.test(name) || /^javascript:/i.test(value)))
  || (one.tagName === 'SCRIPT' && one.type !== 'application/json' && one.textContent.includes('hacked'))
).map((one) => one.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that cannot reach the network: Data Docs would load style sheets from it."""
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        browser.call("Network.enable")
        browser.call("Network.setBlockedURLs", urls=["https://*", "http://*.*.com/*"])
        yield browser


@pytest.fixture(scope="module")
def hostile_project(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project with scripts as names and values: validated, judged, explained and reported."""
    workspace = new_workspace(tmp_path_factory.mktemp("spoiled") / "project")
    names = {"income": IMAGE, "height": SCRIPT, "weight": QUOTES, "country": LINK, "shop": DOUBLE, "again": CLOSED}
    values = {"at": IMAGE, "de": SCRIPT, "fr": DOUBLE, "it": CLOSED}
    frame = customer_table.customers()
    frame["country"], frame["again"] = frame["country"].map(values), frame["again"].map({"no": SCRIPT, "yes": IMAGE})
    frame.loc[3, "shop"] = f"shop{IMAGE}"
    columns = {names.get(name, name): column for name, column in customer_table.TASK["columns"].items()}
    columns[LINK] = {"type": "category", "values": [*values.values()]}
    expect = [
        ("expect_column_mean_to_be_between", {"column": IMAGE, "min_value": 1e12}),
        ("expect_column_values_to_be_in_set", {"column": LINK, "value_set": [IMAGE, SCRIPT]}),
        ("expect_column_values_to_match_regex", {"column": DOUBLE, "regex": "^(?<!<b>)shop[0-9]$"}),
        ("expect_column_pair_values_to_be_equal", {"column_A": SCRIPT, "column_B": QUOTES}),
        ("expect_table_columns_to_match_set", {"column_set": [IMAGE, SCRIPT, QUOTES]}),
    ]
    report_json: list[dict[str, Any]] = [
        {"expectation": name, "severity": "warning", "arguments": arguments} for name, arguments in expect
    ]
    changes = {
        "title": CLOSED + IMAGE + SCRIPT,
        "columns": columns,
        "target": {"column": CLOSED, "classes": [SCRIPT, IMAGE], "unit": IMAGE},
        "expect": report_json,
        "split": {"kind": "random"},
        "gate.slices": [LINK],
        "gate.sensitive": [LINK],
    }
    task = customer_table.write_task(workspace, frame.rename(columns=names), changes)
    validate.validate(workspace, task)
    prepare.prepare(workspace, task)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiltyard.serving.packaging.package.package", quick_package)
        patch.setenv("TILTYARD_ACTOR", IMAGE + SCRIPT)
        write_challenger(workspace, task, slice(2))
        promote(workspace, task)
        random_models.set_champion(workspace, quick_package(workspace, task), "shop")
        write_challenger(workspace, task, slice(1))
        approve(workspace, task, "champion")
        back = Decision(task="shop", verdict="ROLLBACK", version="1" * 12, reasons=[SCRIPT], **provenance(workspace))
        Registry(workspace).record(back)
        patch.setenv("TILTYARD_ACTOR", LINK + DOUBLE + CLOSED)
        approve(workspace, task, "champion")
        promote(workspace, task)
    explain.explain(workspace, task, explain.ExplainRequest(only=["permutation", "features"]))
    report.report(workspace, [task])
    return workspace


def open_and_check(browser: Browser, url: str, condition: str = "true") -> str:
    """Open a page, focus all elements, assert that no script ran or could run; return the text."""
    browser.open(url, condition)
    browser.script("new Promise((good) => setTimeout(good, 150))")
    browser.script("document.querySelectorAll('*').forEach((one) => one.focus && one.focus())")
    assert browser.script("window.hacked === undefined"), url
    assert browser.script(LIVE) == [], url
    text: str = browser.script("document.documentElement.textContent")
    return text


def test_report_pages_escape_names_and_values(browser: Browser, hostile_project: Workspace) -> None:
    """Overview and task page escape columns, labels, title, slices, categories, reasons and reviewers."""
    for page in (hostile_project.report / "index.html", hostile_project.report / "shop.html"):
        text = open_and_check(browser, page.as_uri())
        assert IMAGE in text
    for verdict in ("APPROVE", "ROLLBACK"):
        assert verdict in text
    for who in (IMAGE + SCRIPT, LINK + DOUBLE + CLOSED):
        assert f"approved by {who}" in text, "the reviewer's name is not shown"


def test_added_script_does_not_run_in_the_report(browser: Browser, hostile_project: Workspace, tmp_path: Path) -> None:
    """A script that is added to a page does not run: the policy allows scripts by hash."""
    page = (hostile_project.report / "shop.html").read_text(encoding="utf-8")
    (tmp_path / "shop.html").write_text(page.replace("<main", f"{IMAGE}<script>{RUN}</script><main", 1))
    browser.open((tmp_path / "shop.html").as_uri(), "true")
    browser.script("new Promise((good) => setTimeout(good, 150))")
    assert browser.script("window.hacked === undefined")
    assert browser.script("document.querySelectorAll('figure[data-kind] svg').length") > 0


def test_values_of_an_edited_pointer_are_escaped(browser: Browser, hostile_project: Workspace, tmp_path: Path) -> None:
    """Values of an edited pointer are shown as text or refused."""
    root = tmp_path / "edited"
    shutil.copytree(hostile_project.root, root)
    edited = Workspace(root)
    pointer: dict[str, Any] = files.read_json(edited.champion("shop"))
    for key in ("version", "who", "time", "metric", "champion", "commit", "data", "test"):
        pointer["decision"][key] = IMAGE + DOUBLE
    pointer["decision"]["reasons"] = [IMAGE, SCRIPT]
    pointer["version"] = IMAGE + DOUBLE
    files.write_json(edited.champion("shop"), pointer)
    shutil.rmtree(edited.report)
    try:
        report.report(edited, [loader.load(edited, "shop")])
    except TiltyardError:
        assert not (edited.report / "index.html").exists()
    else:
        for page in edited.report.glob("*.html"):
            open_and_check(browser, page.as_uri())


def _replace_texts(value: Any, kept_keys: tuple[str, ...] = ("task", "verdict")) -> Any:
    """Replace each nested text by scripts."""
    if isinstance(value, dict):
        return {key: inner if key in kept_keys else _replace_texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replace_texts(inner) for inner in value]
    return IMAGE + DOUBLE + CLOSED + LINK if isinstance(value, str) else value


EDITS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "all text": _replace_texts,
    "all but the states of checks": lambda line: {
        **_replace_texts(line),
        "checks": [{**_replace_texts(one), "state": one["state"]} for one in line["checks"]],
    },
    "metrics": lambda line: {**line, "metric": IMAGE, "metrics": {IMAGE: 1, DOUBLE: 2}, "baseline": {IMAGE: 0}},
    "values of checks": lambda line: {**line, "checks": [{**one, "observed": IMAGE} for one in line["checks"]]},
    "gains": lambda line: {**line, "evidence": dict.fromkeys(line["evidence"], IMAGE)},
    "a check": lambda line: {**line, "checks": [IMAGE]},
    "a verdict": lambda line: {**line, "verdict": IMAGE},
    "a signer": lambda line: {**line, "signer": IMAGE, "signature": IMAGE, "chain": IMAGE},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_values_of_an_edited_ledger_are_escaped(
    browser: Browser, hostile_project: Workspace, tmp_path: Path, edit: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Values of an edited ledger are shown as text, or the page says that the registry cannot be read."""
    root = tmp_path / "edited"
    shutil.copytree(hostile_project.root, root)
    edited = Workspace(root)
    ledger = edited.ledger("shop")
    lines = [edit(json.loads(line)) for line in ledger.read_text(encoding="utf-8").splitlines()]
    ledger.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    shutil.rmtree(edited.report)
    report.report(edited, [loader.load(edited, "shop")])
    texts = [open_and_check(browser, page.as_uri()) for page in sorted(edited.report.glob("*.html"))]
    assert len(texts) == 2
    assert all("shop" in text for text in texts)


def test_data_docs_escape_names_and_values(browser: Browser, hostile_project: Workspace) -> None:
    """Great Expectations' Data Docs escape columns, values and file names."""
    fetch_raw(hostile_project, "digits")
    with zipfile.ZipFile(hostile_project.raw("digits") / "images.zip", "a") as archive:
        archive.writestr(f"3/{IMAGE.replace('/', '')}.png", b"no picture")
        archive.writestr(f"3/{DOUBLE}.png", b"no picture")
    with pytest.raises(DataError, match="decodes"):
        validate.validate(hostile_project, loader.load(hostile_project, "digits"))
    for task in ("shop", "digits"):
        pages = sorted(hostile_project.out(task, "docs").rglob("*.html"))
        assert len(pages) >= 3
        texts = [open_and_check(browser, page.as_uri()) for page in pages]
        assert any("onerror" in text for text in texts), "the names are not shown"


def test_service_page_escapes_names_and_values(browser: Browser, hostile_project: Workspace) -> None:
    """The service's page escapes form, prediction, card and command."""
    task = random_models.write_evaluated(hostile_project, "shop")
    served = LoadedModel.load(random_models.write_package(hostile_project, task))
    app = create_app()
    install(app, [served])
    with serve_app(app) as address, TestClient(app):
        form_is_drawn = "document.querySelector('article') && !document.getElementById('state').textContent"
        assert IMAGE in open_and_check(browser, f"http://{address}/", form_is_drawn)
        browser.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        browser.script("document.querySelector('#shop form').requestSubmit()")
        browser.wait_until("/Predicted by version|Refused/.test(document.querySelector('#shop').textContent)")
        browser.script("new Promise((good) => setTimeout(good, 150))")
        assert browser.script("window.hacked === undefined")
        assert browser.script(LIVE) == []


def _rendered(browser: Browser, folder: Path, text: str) -> str:
    """Open Markdown, rendered with HTML and tables enabled; return the text."""
    page = folder / "rendered.html"
    page.write_text(f"<!doctype html>{MarkdownIt('js-default', {'html': True}).render(text)}", encoding="utf-8")
    return open_and_check(browser, page.as_uri())


def test_study_page_escapes_names_and_values(browser: Browser, hostile_project: Workspace) -> None:
    """Title, variants and values are escaped, also names that Matplotlib would take for formulas."""
    variants: dict[str, dict[str, Any]] = {
        IMAGE + LINK + r"$\frac$": {},
        SCRIPT + DOUBLE + CLOSED: {"train.epochs": 2},
        "_hid|den": {},
    }
    plan = Plan(task="shop", title=CLOSED + IMAGE + LINK, variants=variants, set={"train.epochs": 1}, repeat=2)
    result = study(hostile_project, "hostile", plan, 1, lambda _: None)
    folder = hostile_project.study("hostile")
    written = (folder / "study.md").read_text(encoding="utf-8")
    text = _rendered(browser, folder, written)
    for variant in result["variants"]:
        assert variant["name"] in text
    assert browser.script("document.querySelectorAll('table tbody tr').length") == 3
    assert browser.script("document.querySelectorAll('table tbody td').length") == 15
    shown = browser.script(
        "[...document.querySelectorAll('img')].map((one) => [one.getAttribute('src'), one.naturalWidth])"
    )
    assert [name for name, _ in shown] == ["values.png", "curves.png"]
    assert all(width > 300 for _, width in shown)
    study_copy(hostile_project, result, folder / "kept")
    assert "<img src=x" not in (folder / "kept" / "hostile.md").read_text(encoding="utf-8")


def test_model_card_escapes_names_and_values(browser: Browser, hostile_project: Workspace, tmp_path: Path) -> None:
    """The model card escapes names and values."""
    report_json: dict[str, Any] = files.read_json(hostile_project.out("shop", "evaluate") / "report.json")
    training: dict[str, Any] = files.read_json(hostile_project.out("shop", "train") / "training.json")
    written = model_card.card(loader.load(hostile_project, "shop"), report_json, training, {})
    assert IMAGE in _rendered(browser, tmp_path, written)


def test_openapi_document_escapes_names_and_values(
    browser: Browser, hostile_project: Workspace, tmp_path: Path
) -> None:
    """The OpenAPI document is shown as text, and its descriptions hold no HTML when rendered as Markdown."""
    task = random_models.write_evaluated(hostile_project, "shop")
    app = create_app()
    install(app, [LoadedModel.load(random_models.write_package(hostile_project, task))])
    with serve_app(app) as address, TestClient(app) as client:
        assert "onerror" in open_and_check(browser, f"http://{address}/v1/openapi.json")
        document = client.get("/v1/openapi.json").json()
    texts = [*_values(document, "description")]
    assert len(texts) > 20
    _rendered(browser, tmp_path, "\n\n".join(texts))


def _values(value: Any, key: str) -> Iterator[str]:
    """Yield the texts of a key at any depth."""
    if isinstance(value, dict):
        yield from (inner for name, inner in value.items() if name == key and isinstance(inner, str))
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _values(inner, key)


def test_markdown_escapes_names_and_values(hostile_project: Workspace) -> None:
    """Names add no HTML, link or table cell to cards, studies and Prefect artifacts."""
    task = loader.load(hostile_project, "shop")
    report_json: dict[str, Any] = files.read_json(hostile_project.out("shop", "evaluate") / "report.json")
    training: dict[str, Any] = files.read_json(hostile_project.out("shop", "train") / "training.json")
    text = model_card.card(task, report_json, training, {})
    variant = {"name": f"{IMAGE}|{LINK}", "mean": 0.5, "interval": None, "epochs": 1, "seconds": 1, "trouble": []}
    plan = {"rows": None, "repeat": 2, "set": {"train.optimizer": IMAGE}}
    result = {"title": SCRIPT, "task": "shop", "metric": "log_loss", "confidence": 0.95, "plan": plan}
    study = study_markdown.to_markdown(
        {**result, "variants": [variant, {**variant, "sentence": LINK}]}, "a.png", "b.png"
    )
    matrix = prefect_artifacts._confusion_table(
        {"labels": [f"{IMAGE}|", LINK], "matrix": np.eye(2, dtype=int).tolist()}
    )
    for written in (text, study, matrix):
        for line in written.splitlines():
            outside = "".join(line.split("`")[::2])
            assert "<img" not in outside
            assert "<script" not in outside
            assert "](javascript" not in outside.replace("\\]", "")
    assert all(line.replace("\\|", "").count("|") == 4 for line in matrix.splitlines())


@pytest.mark.parametrize("name", ["a`b", "``", "`a", "a``b`c", "x|y"])
def test_markdown_code_span_contains_exactly_the_name(name: str) -> None:
    """The code span ends where the name does, whatever backticks it holds."""
    code_span = markdown.inline_code(name)
    fence = code_span[: len(code_span) - len(code_span.lstrip("`"))]
    inner = code_span[len(fence) : -len(fence)].strip()
    assert inner == name
    assert fence not in name.replace(fence + "`", "")
