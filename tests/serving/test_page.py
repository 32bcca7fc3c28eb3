"""Web page: static files, caching, paths, and files in packages."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import httpx
import pytest
from browser import open_browser
from hatchling.builders.wheel import WheelBuilder
from starlette.applications import Starlette
from starlette_client import TestClient
from workspaces import ROOT, new_workspace

from tiltyard.serving.http import api_keys, page
from tiltyard.serving.http.app import create_app
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import bento, smoke_test, wheel

FOLDER = Path(page.__file__).parent / "static"
SOURCES = sorted(path for path in FOLDER.iterdir() if path.suffix in page.CONTENT_TYPES)


@pytest.mark.parametrize("path", page.FILES)
def test_files_have_content_type_and_security_policy(client: TestClient, path: str) -> None:
    """Files are sent unchanged, with a policy against external resources and inline scripts."""
    response = client.get(path)
    name = "index.html" if path == "/" else path.removeprefix("/page/")
    assert response.content == (FOLDER / name).read_bytes()
    assert response.headers["content-type"].partition(";")[0] == page.CONTENT_TYPES[Path(name).suffix]
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_files_are_cached_with_etags(client: TestClient) -> None:
    """A known ETag returns 304 without content; another one returns the file."""
    first = client.get("/page/page.js")
    tag = first.headers["etag"]
    assert first.headers.get_list("cache-control") == ["no-cache"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get("/page/page.js", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get("/page/page.js", headers={"if-none-match": '"other"'}).content == first.content


def test_head_is_accepted_and_other_methods_are_refused(client: TestClient) -> None:
    """HEAD has the headers of GET; other methods are a 405 with the allowed ones."""
    head, whole = client.head("/"), client.get("/")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole.content)))
    assert head.headers["etag"] == whole.headers["etag"]
    refused = client.post("/page/page.js")
    assert (refused.status_code, {*refused.headers["allow"].split(", ")}) == (405, {"GET", "HEAD"})
    assert refused.json()["error"]["code"] == "wrong_method"


@pytest.mark.parametrize(
    "path",
    ["/page/", "/page/__init__.py", "/page/../api.py", "/page/..%2fapi.py", "/page/%2e%2e/api.py", "/page/index.html"],
)
def test_other_paths_reach_no_file(client: TestClient, path: str) -> None:
    """No other path reaches a file."""
    refusal = client.get(httpx.URL("http://testserver").copy_with(raw_path=path.encode()))
    assert refusal.status_code == 404
    assert refusal.json()["error"]["code"] == "unknown_path"


def test_page_needs_no_key_but_its_requests_do(tmp_path: Path) -> None:
    """The page is sent without a key, but its requests to the service need one."""
    path = tmp_path / "keys"
    api_keys.add(path, "robot")
    with TestClient(create_app(Limits(keys=api_keys.read(path)))) as client_without_key:
        assert {client_without_key.get(file).status_code for file in page.FILES} == {200}
        protected = ("/v1/models", "/v1/openapi.json", "/page/", "/page/none.js", "/page/page.js/")
        assert {client_without_key.get(path).status_code for path in protected} == {401}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_files_load_nothing_external(path: Path) -> None:
    """Files load nothing external, and create no markup, script or style from text."""
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    for foreign in ("://", "static_content", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert foreign not in text
    assert "localStorage" not in text
    if path.suffix == ".html":
        assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", text)
        referenced = re.findall(r'(?:src|href)="(page/.*?)"', text)
        assert referenced
        assert {f"/{name}" for name in referenced} <= {*page.FILES}
    for module in re.findall(r'from "\./(.*?)"', text):
        assert f"/page/{module}" in page.FILES


def test_model_card_is_sent_as_packaged(client: TestClient, app: Starlette, packages: dict[str, Path]) -> None:
    """The model card is sent as Markdown; a package without one is a 404."""
    for label_path in ("", "/labels/champion"):
        response = client.get(f"/v1/models/iris{label_path}/card")
        assert response.text == (packages["iris"] / "card.md").read_text(encoding="utf-8")
        assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    app_without_card = create_app()
    iris: LoadedModel = app.state.models["iris"]
    app_without_card.state.models = {"iris": LoadedModel(iris.schema, iris.predictor)}
    refusal = TestClient(app_without_card).get("/v1/models/iris/card")
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (404, "no_card")


@pytest.mark.parametrize("name", ["iris", "diabetes", "digits", "sine"])
def test_schema_explains_its_metrics(client: TestClient, name: str) -> None:
    """The schema has each metric with its baseline and meaning, and marks the gate's metric."""
    schema = client.get(f"/v1/models/{name}/schema").json()
    card = schema["card"]
    assert {one["name"]: one["value"] for one in card["figures"]} == schema["metrics"]
    assert sum(one["decides"] for one in card["figures"]) == 1
    assert all(len(one["meaning"]) > 20 and one["baseline"] is not None for one in card["figures"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", card["packaged"])
    assert len(card["data"]) == 64
    assert card["rows"]["test"] > 0


def test_wheels_and_bentos_contain_the_page(tmp_path: Path) -> None:
    """Every file of the page is in the wheel of this package and in that of a Bento."""
    files = {f"tiltyard/serving/http/static/{path.name}" for path in SOURCES}
    assert files <= {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert files <= {*zipfile.ZipFile(wheel.write(tmp_path)).namelist()}


@pytest.mark.smoke
def test_page_of_a_bento_works(packages: dict[str, Path], tmp_path: Path) -> None:
    """The page of a built and started Bento is complete and returns predictions."""
    space = new_workspace(tmp_path / "space")
    version = packages["iris"].name
    target = space.package("iris", version)
    target.parent.mkdir(parents=True)
    target.symlink_to(packages["iris"])
    bento.build(space, "iris", version)
    with smoke_test.started(space, "iris", version) as server, httpx.Client(base_url=server.url) as client:
        for path, file in page.FILES.items():
            assert client.get(path).content == file.content
        assert client.get("/", headers={"if-none-match": page.FILES["/"].tag}).status_code == 304
        assert client.get("/v1/models/iris/card").text.startswith("# Iris")
        with open_browser(tmp_path) as browser:
            browser.open(server.url, "document.querySelector('#iris button.first')")
            browser.script("document.querySelector('#iris form').requestSubmit()")
            browser.wait_until("document.querySelector('#iris .bars')")
            assert f"version {version}" in browser.script("document.querySelector('#iris .answer').innerText")
