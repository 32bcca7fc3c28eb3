"""Recommendations from data to service: training, evaluation, gate, package, predictions, similar items and users."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from asgi_server import serve_app
from browser import open_browser
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import ROW, write_readers
from served_project import ServedProject
from starlette_client import TestClient
from workspaces import new_workspace, train_tasks

from tiltyard import files, plugins
from tiltyard.cli.main import cli
from tiltyard.errors import DataError, PackageError, RequestError
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.explain.explain import explain
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.duel import Duel
from tiltyard.gate.duel_setup import build_duel
from tiltyard.modeling.inference.vector_index import VectorIndex
from tiltyard.report.report import task_page
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import predict_request, recommend_request
from tiltyard.serving.requests.message import RequestMessage

NAME = "readers"


class Project(ServedProject):
    """With its vectors, and asked by the name of an action."""

    @property
    def index(self) -> VectorIndex:
        """The vectors of users and items."""
        assert self.model.predictor.index is not None
        return self.model.predictor.index

    def act(self, action: str, body: Any, status: int = 200) -> Any:
        """Send a body to an action of the task; return the content of the response, or the code of the error."""
        content = self.ask(f"v1/models/{NAME}:{action}", body, status)
        return content if status == 200 else content["error"]["code"]


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Ratings of books by readers, packaged and served."""
    workspace = new_workspace(tmp_path_factory.mktemp("readers"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.root)
        write_readers(workspace)
        return Project.of(workspace, NAME, record=False)


@pytest.fixture(scope="module")
def duel(readers: Project) -> Duel:
    """The duel of the model with the baseline."""
    return build_duel(readers.workspace, readers.task, read_evaluated(readers.workspace, readers.task), None)


def judged(duel: Duel, code: str) -> Outcome:
    """Return what a check of the gate says."""
    outcome: Outcome = plugins.load("checks", code)().outcome(duel)
    return outcome


def test_it_beats_means_and_popularity(readers: Project) -> None:
    """Readers like kinds of books, which no mean and no list for all can say; the report has both, and a rival."""
    report = files.read_json(readers.workspace.out(NAME, "evaluate") / "report.json")
    for metric in ("rmse", "ndcg_at_10", "recall_at_10", "mrr"):
        new, old = report["metrics"][metric], report["baseline"][metric]
        assert readers.task.evaluator.metrics[metric].gain(new, old) > 0
    assert report["dependence"] == {"drawn": "whole groups", "units": 117}  # readers of test rows
    found = report["recommendation"]
    assert found["lists"]["model"]["coverage"] > found["lists"]["popularity"]["coverage"]
    assert found["lists"]["model"]["gini"] < found["lists"]["popularity"]["gini"]
    assert found["rivals"]["model if users were unknown"]["ndcg_at_10"] > report["baseline"]["ndcg_at_10"]
    assert sum(row["test rows"] for row in found["errors"]["item"]) == report["rows"]["test"]


def test_ratings_are_products_of_vectors(readers: Project) -> None:
    """The index has the vectors of the served model: their product is its prediction, within the bounds."""
    index, rows = readers.index, [ROW]
    user, item = index.user_codes["r0"], index.item_codes["b0"]
    features = readers.workspace.root / "data/raw" / NAME / "table.csv"
    kind, pages = next(
        line.split(",")[3:5] for line in features.read_text().splitlines() if line.split(",")[1] == ROW["book"]
    )
    (predicted,) = readers.act("predict", {"instances": [{**rows[0], "kind": kind, "pages": int(pages)}]})[
        "predictions"
    ]
    assert np.clip(index.ratings(index.user_vectors[user], [item])[0], 1, 5) == pytest.approx(predicted, rel=1e-5)
    jsonschema.validate(predicted, readers.model.schema["prediction"])


def test_recommendations_leave_out_what_was_rated(readers: Project) -> None:
    """The list is ordered by score, with titles and ratings within the bounds; rated books come only if asked for."""
    index = readers.index
    answer = readers.act("recommend", {"user": "r0", "k": 20})
    found = answer["recommendations"]
    assert (answer["basis"], answer["version"]) == ("user", readers.model.version)
    assert len(found) == 20
    assert [row["score"] for row in found] == sorted((row["score"] for row in found), reverse=True)
    assert all("no." in row["title"] and 1 <= row["rating"] <= 5 for row in found)
    rated = {str(index.items[code]) for code in index.rated_by(index.user_codes["r0"]).tolist()}
    assert rated
    assert not rated & {row["item"] for row in found}
    everything = readers.act("recommend", {"user": "r0", "k": 100, "include_rated": True})["recommendations"]
    assert {row["item"] for row in everything} == {*index.items.tolist()} - {""}
    first = found[0]["item"]
    others = readers.act("recommend", {"user": "r0", "k": 19, "exclude": [first, "no such book"]})["recommendations"]
    assert others == found[1:]


def test_unknown_users_get_popular_books_and_are_told_so(readers: Project) -> None:
    """Without anything known, the books with the most ratings come first."""
    answer = readers.act("recommend", {"user": 12345, "k": 5})
    assert answer["basis"] == "popularity"
    counts = dict(zip(readers.index.items.tolist(), readers.index.item_rows.tolist(), strict=True))
    best = sorted(counts.values(), reverse=True)[:5]
    assert [counts[row["item"]] for row in answer["recommendations"]] == best
    assert readers.act("recommend", {"ratings": {"no such book": 5}, "k": 5}) == answer


def test_ratings_of_an_unknown_user_make_a_taste(readers: Project) -> None:
    """Who likes all books of one kind, and none of another, gets more of the first than anybody else does."""
    items, titles = readers.index.items.tolist(), readers.index.titles.tolist()
    kinds = {item: title.split()[0] for item, title in zip(items, titles, strict=True) if item}
    chosen = {item: 5 if kind == "Crime" else 1 for item, kind in kinds.items() if kind in ("Crime", "Poetry")}
    half = dict([*chosen.items()][::2])
    answer = readers.act("recommend", {"ratings": half, "k": 100})
    assert answer["basis"] == "ratings"
    assert not half.keys() & {row["item"] for row in answer["recommendations"]}
    ranks: dict[str, list[int]] = {kind: [] for kind in ("Crime", "Poetry")}
    for place, row in enumerate(answer["recommendations"]):
        ranks.get(kinds[row["item"]], []).append(place)
    assert np.mean(ranks["Crime"]) < np.mean(ranks["Poetry"])


def test_similar_books_are_of_one_kind(readers: Project) -> None:
    """The nearest books of a book are of its kind more often than by chance; cosines fall."""
    items, titles = readers.index.items[1:].tolist(), readers.index.titles[1:].tolist()
    same, kinds = [], {item: title.split()[0] for item, title in zip(items, titles, strict=True)}
    for item in items[:10]:
        found = readers.act("similar", {"item": item, "k": 5})["similar"]
        assert item not in {row["item"] for row in found}
        cosines = [row["cosine"] for row in found]
        assert cosines == sorted(cosines, reverse=True)
        same += [kinds[row["item"]] == kinds[item] for row in found]
    assert np.mean(same) > 0.4  # of five kinds


def test_similar_users(readers: Project) -> None:
    """Users like a user come with their cosine and the number of their ratings; excluded ones do not."""
    found = readers.act("similar", {"user": "r1", "k": 3})["similar"]
    assert all(row.keys() == {"user", "cosine", "ratings"} and row["ratings"] >= 5 for row in found)
    rest = readers.act("similar", {"user": "r1", "k": 2, "exclude": [found[0]["user"]]})["similar"]
    assert rest == found[1:]


def test_items_and_users_are_found_by_name(readers: Project) -> None:
    """A search finds titles by a part, in any case, and identifiers; the most rated first."""
    found = readers.act("find", {"text": "CRIME", "k": 50})["found"]
    assert found
    assert all(row["title"].startswith("Crime") for row in found)
    assert [row["ratings"] for row in found] == sorted((row["ratings"] for row in found), reverse=True)
    assert readers.act("find", {"text": "b7"})["found"][0]["item"] == "b7"
    assert "r17" in {row["user"] for row in readers.act("find", {"text": "17", "of": "user"})["found"]}
    assert len(readers.act("find", {})["found"]) == recommend_request.USUAL_K


@pytest.mark.parametrize(
    ("verb", "body", "status", "code"),
    [
        ("recommend", [], 400, "wrong_type"),
        ("recommend", {}, 400, "missing_field"),
        ("recommend", {"user": "r0", "ratings": {}}, 400, "missing_field"),
        ("recommend", {"user": "r0", "top": 3}, 400, "unknown_field"),
        ("recommend", {"user": True}, 400, "wrong_type"),
        ("recommend", {"user": ["r0"]}, 400, "wrong_type"),
        ("recommend", {"user": "x" * 201}, 400, "too_long"),
        ("recommend", {"user": 2**63}, 400, "out_of_bounds"),
        ("recommend", {"user": "r0", "k": 0}, 400, "out_of_bounds"),
        ("recommend", {"user": "r0", "k": 101}, 400, "out_of_bounds"),
        ("recommend", {"user": "r0", "k": 2.5}, 400, "wrong_type"),
        ("recommend", {"user": "r0", "k": True}, 400, "wrong_type"),
        ("recommend", {"user": "r0", "exclude": "b1"}, 400, "wrong_type"),
        ("recommend", {"user": "r0", "exclude": ["b"] * 1001}, 413, "too_many"),
        ("recommend", {"user": "r0", "include_rated": 1}, 400, "wrong_type"),
        ("recommend", {"ratings": []}, 400, "wrong_type"),
        ("recommend", {"ratings": {"b1": "5"}}, 400, "wrong_type"),
        ("recommend", {"ratings": {"b1": 6}}, 400, "out_of_bounds"),
        ("recommend", {"ratings": {f"b{n}": 3 for n in range(1001)}}, 413, "too_many"),
        ("recommend", {"ratings": {"b1": 3, "x": "y" * 200_000}}, 413, "body_too_large"),
        ("similar", {}, 400, "missing_field"),
        ("similar", {"item": "b0", "user": "r0"}, 400, "missing_field"),
        ("similar", {"item": "no such"}, 404, "unknown_item"),
        ("similar", {"user": ""}, 404, "unknown_user"),
        ("find", {"of": "book"}, 400, "wrong_type"),
        ("find", {"text": None}, 400, "wrong_type"),
    ],
)
def test_wrong_requests_are_refused(readers: Project, verb: str, body: Any, status: int, code: str) -> None:
    """Each has the code of its mistake; nothing is computed."""
    assert readers.act(verb, body, status) == code


def test_costly_requests_run_in_a_compute_process(readers: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that takes longer than the event loop may is the same, from another process."""
    body = {"user": "r3", "k": 7}
    fast = readers.act("recommend", body)
    monkeypatch.setattr(recommend_request, "MAX_INLINE_SECONDS", 0.0)
    assert readers.act("recommend", body) == fast


def test_large_bodies_are_decoded_in_a_compute_process(readers: Project) -> None:
    """Decoding thousands of lists took the event loop 20 ms; the answer is the same, from another process."""
    few, padding = json.dumps({"user": "r3"}).encode(), b" " * predict_request.MAX_INLINE_BYTES
    message = RequestMessage("recommend", few + padding)
    assert recommend_request.respond_if_fast(readers.model, message) is None
    assert recommend_request.respond_if_fast(readers.model, RequestMessage("recommend", few))
    with TestClient(readers.app) as client:
        large, small = (client.post(f"/v1/models/{NAME}:recommend", content=body) for body in (few + padding, few))
    assert large.json() == small.json()


NAMES = st.one_of(st.sampled_from(["b1", "b2", "r1", "r3", ""]), st.text(max_size=3), st.integers(-(2**64), 2**64))
VALUES = st.recursive(
    st.one_of(NAMES, st.floats(width=64), st.booleans(), st.none()), lambda values: st.lists(values, max_size=4)
)


@given(
    verb=st.sampled_from(recommend_request.PROTOCOLS),
    body=st.fixed_dictionaries(
        {},
        optional={
            "user": st.one_of(NAMES, VALUES),
            "item": st.one_of(NAMES, VALUES),
            "ratings": st.one_of(st.dictionaries(st.sampled_from(["b1", "b2", "x"]), st.floats(1, 5)), VALUES),
            "k": st.one_of(st.integers(-1, 102), VALUES),
            "exclude": st.one_of(st.lists(NAMES, max_size=4), VALUES),
            "include_rated": st.one_of(st.booleans(), VALUES),
            "text": st.one_of(NAMES, VALUES),
            "of": st.one_of(st.sampled_from(["item", "user"]), VALUES),
        },
    ),
)
@settings(max_examples=300)
def test_any_request_gets_finite_scores_or_an_error(readers: Project, verb: str, body: dict[str, Any]) -> None:
    """Whatever the values are: no other exception, no more rows than were asked for, and no number that JSON lacks."""
    known = {key: value for key, value in body.items() if key in recommend_request.KEYS[verb]}
    message = RequestMessage(verb, json.dumps(known).encode())
    try:
        content = recommend_request.respond(readers.model, message).content
    except RequestError:
        return
    assert b"null" not in content  # as which infinity would be encoded
    rows = next(value for key, value in json.loads(content).items() if isinstance(value, list))
    assert len(rows) <= known.get("k", recommend_request.USUAL_K)


def test_other_models_recommend_nothing(readers: Project) -> None:
    """A model without vectors says so."""
    without = replace(readers.model, predictor=replace(readers.model.predictor, index=None))
    app = create_app()
    install(app, [without])
    assert replace(readers, app=app).act("recommend", {"user": "r0"}, 404) == "not_recommended"


def test_document_describes_answers(readers: Project) -> None:
    """The examples of the OpenAPI document are answered as it says."""
    with TestClient(readers.app) as client:
        paths = client.get("/v1/openapi.json").json()["paths"]
        for verb in recommend_request.PROTOCOLS:
            operation = paths[f"/v1/models/{NAME}:{verb}"]["post"]
            body = operation["requestBody"]["content"]["application/json"]
            jsonschema.validate(body["example"], body["schema"])
            answer = client.post(f"/v1/models/{NAME}:{verb}", json=body["example"]).json()
            jsonschema.validate(answer, operation["responses"]["200"]["content"]["application/json"]["schema"])


def test_gate_judges_ranking_and_ratings(duel: Duel) -> None:
    """It beats the means, popularity and is not worse than neighbours of items, by groups of readers."""
    for code in ("baseline", "popularity", "reference", "parity", "slices"):
        assert judged(duel, code).state == "passed", judged(duel, code).text
    assert "groups of reader" in judged(duel, "popularity").text
    for code in ("collapse", "calibration", "fairness"):
        assert judged(duel, code).state == "not applicable"


def test_a_ranking_by_popularity_is_held(duel: Duel) -> None:
    """Good ratings beside the ranks of the baseline are no gain in recommendations."""
    copied = np.column_stack([duel.challenger[:, 0], duel.baseline[:, 1:]])
    outcome = judged(replace(duel, challenger=copied), "popularity")
    assert (outcome.state, outcome.severity) == ("failed", "HOLD")


def test_a_changed_index_is_refused(readers: Project, tmp_path: Path) -> None:
    """The version of a package covers the vectors."""
    folder = tmp_path / "package"
    shutil.copytree(readers.workspace.root / "package", folder)
    index = readers.index
    replace(index, item_vectors=index.item_vectors + 1).save(folder / "index.npz")
    with pytest.raises(PackageError, match="was changed"):
        LoadedModel.load(folder)


def test_training_again_gives_the_same_version(readers: Project) -> None:
    """Vectors, titles and the model are the same bytes under one seed."""
    train_tasks(readers.workspace, NAME)
    assert read_evaluated(readers.workspace, readers.task).report["version"] == readers.model.version


def test_ratings_are_explained(readers: Project) -> None:
    """By columns, and by what the reader has rated; methods that look into a network say why they do not apply."""
    found = explain(readers.workspace, readers.task)
    assert {"neighbours", "permutation", "shap"} <= {one["way"] for one in found["exhibits"]}
    assert "vectors of users and items" in found["left_out"]["saliency"]
    neighbours = next(one for one in found["exhibits"] if one["way"] == "neighbours")
    assert neighbours["data"]["columns"] == ["rated item", "rating", "cosine"]
    cosines = [cosine for _, _, cosine in neighbours["data"]["rows"]]
    assert cosines
    assert cosines == sorted(cosines, reverse=True)
    (row,) = (row for row in found["rows"] if row["row"] == neighbours["row"])
    assert 1 <= row["answered"] <= 5


def test_recommendations_on_the_command_line(readers: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command prints a table or the JSON of the service, and says what it is made of."""
    monkeypatch.chdir(readers.workspace.root)
    monkeypatch.setattr("tiltyard.serving.recommend.load_champion", lambda _, __: readers.model)

    def run(*arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(cli, ["recommend", NAME, *arguments])
        assert result.exit_code == status, result.output
        return str(result.output)

    asked = readers.act("recommend", {"user": "r0", "k": 3})
    assert json.loads(run("--user", "r0", "--k", "3", "--json")) == asked
    assert "the most popular ones" in run("--user", "nobody")
    assert "by the given ratings" in run("--rated", "b1=5", "--rated", "b2=1", "--exclude", "b3")
    assert "cosine" in run("--like", "b1")
    assert "cosine" in run("--like-user", "r1")
    assert "Crime" in run("--find", "crime")
    assert "nothing found" in run("--find", "no such title")
    for wrong in ([], ["--user", "r0", "--like", "b1"], ["--rated", "b1"], ["--rated", "=3"], ["--rated", "b1=x"]):
        assert "expected" in run(*wrong, status=2)
    with pytest.raises(DataError, match="item: expected an item with training rows; received 'no such'") as error:
        CliRunner().invoke(cli, ["recommend", NAME, "--like", "no such"], catch_exceptions=False, standalone_mode=False)
    assert "--find" in error.value.hint


@pytest.mark.smoke
def test_page_shows_recommendations(readers: Project, tmp_path: Path) -> None:
    """In a browser: a user's list, books like the one whose title is typed, and an unknown name at its field."""
    send = (
        "(() => {{ const [form, name] = ['form', 'input'].map((tag) => document.querySelector(`.recommend ${{tag}}`));"
        " document.querySelector('.recommend select').selectedIndex = {};"
        " name.value = {!r}; form.requestSubmit(); return true; }})()"
    )
    shown = "document.querySelector('.recommend').textContent.includes({!r})"
    with serve_app(readers.app) as host, open_browser(tmp_path) as browser:
        browser.open(f"http://{host}/", "document.querySelector('.recommend')")
        browser.script(send.format(0, "r0"))
        browser.wait_until(shown.format("rated ones are left out"))
        browser.script(send.format(0, "nobody"))
        browser.wait_until(shown.format("most popular ones"))
        title = str(readers.index.titles[1])
        browser.script(send.format(1, title))
        browser.wait_until(shown.format(f"Most similar to {title}"))
        assert browser.script(shown.format(f'{{"item":"{readers.index.items[1]}","k":10}}'))
        browser.script(send.format(2, "nobody"))
        browser.wait_until("document.querySelector('.recommend [aria-invalid]')")
        assert [text for text in browser.console_errors if "status of 4" not in text] == []


def test_report_shows_recommendations(readers: Project) -> None:
    """The page has the neighbours of well-known books, the map of items, and errors by number of ratings."""
    page = task_page(readers.workspace, readers.task)
    for text in ("Items like well-known ones", "Map of the items", "Errors by number of ratings", "Gini"):
        assert text in page
