"""A generative model from data to service: evaluation, gate, package, samples, codes, explanations and the report."""

from __future__ import annotations

import base64
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from served_project import ServedProject
from workspaces import ROOT, edit_task, new_workspace, run_in_process

from tiltyard import files, plugins
from tiltyard.contracts.explanations import explain_twice
from tiltyard.errors import PackageError, RegistryError, RequestError
from tiltyard.evaluation import sampling
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.explain.explain import explain
from tiltyard.gate import quantize
from tiltyard.gate.duel_setup import build_duel
from tiltyard.modeling.inference.predictor import version
from tiltyard.report.report import task_page
from tiltyard.serving import sample
from tiltyard.serving.http.openapi_v1 import openapi
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import golden_samples, sample_request
from tiltyard.serving.requests.message import RequestMessage

NAME = "vae_digits"


class Project(ServedProject):
    """Asked by the name of an action."""

    def act(self, action: str, body: Any, status: int = 200) -> Any:
        """Send a body to an action of the task; return the content of the response."""
        return self.ask(f"v1/models/{NAME}:{action}", body, status)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Digits of 8x8 pixels, by class, after few epochs."""
    workspace = new_workspace(tmp_path_factory.mktemp("digits"))
    shutil.copy(ROOT / "tasks" / f"{NAME}.yaml", workspace.task_file(NAME))
    changes = {"train.epochs": 30, "train.patience": None, "train.learning_rate": 0.005, "serve.max_instances": 32}
    edit_task(workspace, NAME, changes)
    return Project.of(workspace, NAME, record=False)


def pixels(picture: dict[str, str]) -> Any:
    """Return the pixels of a picture of a response."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["b64"]))))


def test_report_measures_bound_samples_and_code(digits: Project) -> None:
    """The bound is the difference of its terms, more samples make it tighter, and the mixture is exact."""
    report = files.read_json(digits.workspace.out(NAME, "evaluate") / "report.json")
    metrics, found = report["metrics"], report["samples"]
    assert metrics["elbo"] == pytest.approx(metrics["reconstruction"] - metrics["kl"])
    assert found["importance"]["bound"] > found["importance"]["elbo"]
    assert report["baseline"]["elbo"] == report["baseline"]["reconstruction"] < 0
    assert sum(found["classes"]["samples"]) == pytest.approx(1)
    assert found["active_units"]["of"] == digits.task.model.code_size
    assert report["worst"][0]["elbo"] == min(row["elbo"] for row in report["worst"])


def test_another_evaluation_gives_the_same_report(digits: Project) -> None:
    """All draws have the seed of the split."""
    path = digits.workspace.out(NAME, "evaluate") / "report.json"
    before = path.read_bytes()
    evaluate(digits.workspace, digits.task)
    assert path.read_bytes() == before


def test_version_covers_the_decoder(digits: Project, tmp_path: Path) -> None:
    """A package with another decoder is another version, and is refused."""
    folder = tmp_path / "changed"
    shutil.copytree(digits.folder, folder)
    assert version(folder) == digits.model.version
    shutil.copy(folder / "model.onnx", folder / "decoder.onnx")
    assert version(folder) != digits.model.version
    with pytest.raises(PackageError, match="was changed"):
        LoadedModel.load(folder)


def test_same_seed_gives_the_same_samples(digits: Project) -> None:
    """Whatever the count, sample i depends on the seed and i alone; another seed gives others."""
    few, many = (digits.act("sample", {"count": count, "seed": 3})["samples"] for count in (3, 20))
    assert many[:3] == few
    assert len(many) == 20
    assert digits.act("sample", {"count": 3, "seed": 4})["samples"] != few
    assert [drawn["class"] for drawn in many[:11]] == [*digits.task.target.labels, "0"]
    assert pixels(few[0]["image"]).shape == (8, 8)


def test_process_draws_the_same_as_the_command_line(digits: Project) -> None:
    """The service, whose samples come from a compute process, and the library agree byte for byte."""
    request = {"count": 5, "seed": 9, "class": "7"}
    direct = sample_request.samples(digits.model, sample_request.parse(digits.model, request))
    assert digits.act("sample", request)["samples"] == direct


def test_codes_go_to_pictures_and_back(digits: Project) -> None:
    """A code of a sample gives its picture again, and :encode returns the code that :predict returns."""
    (drawn,) = digits.act("sample", {"count": 1, "seed": 5, "class": "2"})["samples"]
    (again,) = digits.act("sample", {"code": [drawn["code"]], "class": "2"})["samples"]
    assert again == drawn
    instances = [digits.task.serve.example, drawn["image"]]
    encoded = digits.act("encode", {"instances": instances})["codes"]
    predicted = digits.act("predict", {"instances": instances})["predictions"]
    assert encoded == [prediction["code"] for prediction in predicted]
    jsonschema.validate(predicted[0], digits.model.schema["prediction"])


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"count": 0}, 400, "out_of_bounds", "count"),
        ({"count": 33}, 413, "too_many", "count"),
        ({"count": 1.5}, 400, "wrong_type", "count"),
        ({"count": True}, 400, "wrong_type", "count"),
        ({"seed": -1}, 400, "out_of_bounds", "seed"),
        ({"seed": 2**53}, 400, "out_of_bounds", "seed"),
        ({"class": "ten"}, 400, "unknown_class", "class"),
        ({"class": ["1"]}, 400, "unknown_class", "class"),
        ({"code": []}, 400, "wrong_type", "code"),
        ({"code": [[0.0]] * 33}, 413, "too_many", "code"),
        ({"code": [[0.0]]}, 400, "wrong_shape", "code[0]"),
        ({"code": ["0000"]}, 400, "wrong_shape", "code[0]"),
        ({"code": [[0, 0, 0, "0"]]}, 400, "wrong_type", "code[0]"),
        ({"code": [[0, 0, 0, 1001]]}, 400, "out_of_bounds", "code[0]"),
        ({"code": [[0, 0, 0, 0]], "count": 1}, 400, "wrong_type", "count"),
        ({"steps": 3}, 400, "unknown_field", "steps"),
        ([], 400, "wrong_type", ""),
    ],
)
def test_invalid_requests_are_refused(digits: Project, body: Any, status: int, code: str, field: str) -> None:
    """Each error has its code and names the field."""
    error = digits.act("sample", body, status)["error"]
    assert (error["code"], error["field"]) == (code, field)


NUMBERS = st.one_of(st.integers(-(10**30), 10**30), st.floats(width=64), st.booleans(), st.none(), st.text(max_size=3))
VALUES = st.recursive(NUMBERS, lambda values: st.lists(values, max_size=5), max_leaves=12)
CODES = st.lists(st.lists(st.one_of(st.floats(-1e4, 1e4), NUMBERS), min_size=3, max_size=5), max_size=3)


@given(
    body=st.fixed_dictionaries(
        {},
        optional={
            "count": st.one_of(st.integers(-1, 40), VALUES),
            "seed": st.one_of(st.integers(-1, 2**54), VALUES),
            "class": st.one_of(st.sampled_from("0123456789x"), VALUES),
            "code": st.one_of(CODES, VALUES),
            "more": VALUES,
        },
    )
)
@settings(max_examples=300)
def test_any_request_gets_finite_samples_or_an_error(digits: Project, body: dict[str, Any]) -> None:
    """Whatever the values are: no other exception, and as many samples as were asked for."""
    message = RequestMessage(sample_request.SAMPLE, json.dumps(body).encode())
    try:
        drawn = json.loads(sample_request.respond(digits.model, message).content)["samples"]
    except RequestError:
        return
    assert len(drawn) == (len(body["code"]) if "code" in body else body.get("count", 16))
    assert all(np.isfinite(one["code"]).all() for one in drawn)


def test_models_without_a_sampler_refuse(digits: Project) -> None:
    """A model that predicts has neither samples nor codes; one without classes takes none."""
    encoder = digits.model.predictor.encoder
    other = plugins.load("problems", "regression")()
    predicting = replace(
        digits.model, predictor=replace(digits.model.predictor, encoder=replace(encoder, problem=other))
    )
    with pytest.raises(RequestError, match="draws no samples"):
        sample_request.parse(predicting, {})
    plain = replace(digits.model, schema={**digits.model.schema, "prediction": {"type": "number"}})
    with pytest.raises(RequestError, match="expected a model with an encoder"):
        sample_request.encode(plain, [])
    unconditional = replace(encoder, target={**encoder.target, "conditional": False})
    model = replace(digits.model, predictor=replace(digits.model.predictor, encoder=unconditional))
    with pytest.raises(RequestError, match="the model is not conditional"):
        sample_request.parse(model, {"class": "1"})


def test_openapi_describes_what_the_service_takes(digits: Project) -> None:
    """Examples and responses fit the document, whose schema refuses what the service refuses."""
    document = openapi({NAME: {digits.model.version: digits.model}})
    for action in ("sample", "encode"):
        operation = document["paths"][f"/v1/models/{NAME}:{action}"]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        jsonschema.validate(content["example"], content["schema"])
        response = operation["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(digits.act(action, content["example"]), response)
    schema = document["paths"][f"/v1/models/{NAME}:sample"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    for wrong in ({"count": 33}, {"class": "ten"}, {"code": [[0]]}, {"steps": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_golden_samples_find_another_decoder(digits: Project) -> None:
    """A service must draw the packaged pictures again; rounding is allowed, another picture or class is not."""
    golden = files.read_json(digits.folder / "golden.json")["samples"]
    drawn = digits.act("sample", golden["request"])["samples"]
    golden_samples.assert_alike(golden["samples"], drawn)
    others = digits.act("sample", {**golden["request"], "seed": 99})["samples"]
    with pytest.raises(PackageError, match="it differs"):
        golden_samples.assert_alike(golden["samples"], others)
    with pytest.raises(PackageError, match="expected class 0; the package draws 1"):
        golden_samples.assert_alike(drawn, [{**drawn[0], "class": "1"}, *drawn[1:]])
    with pytest.raises(PackageError, match="expected 4"):
        golden_samples.assert_alike(drawn, drawn[:1])


def test_gate_compares_with_a_champion(digits: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against itself a model gains nothing; checks of samples apply, those of labels do not."""
    from tiltyard.gate import duel_setup
    from tiltyard.registry.registry import Champion

    predictor = digits.model.predictor
    monkeypatch.setattr(duel_setup, "_champion_predictor", lambda *_: predictor)
    monkeypatch.setattr(duel_setup, "_is_newer", lambda *_: False)
    champion = Champion.__new__(Champion)
    object.__setattr__(champion, "__dict__", {"task": NAME, "version": "v", "decision": type("D", (), {"data": ""})()})
    duel = build_duel(digits.workspace, digits.task, read_evaluated(digits.workspace, digits.task), champion)
    assert duel.over_champion is not None
    assert duel.over_champion.value == 0
    states = {name: plugins.load("checks", name)().outcome(duel).state for name in plugins.names("checks")}
    assert states["memorization"] == "passed"
    assert {states[name] for name in ("collapse", "calibration", "mcnemar", "reference")} == {"not applicable"}


def test_families_without_a_posterior_have_no_bound(digits: Project) -> None:
    """A champion that cannot be measured by elbo is named, with what to do."""
    encoder = digits.model.predictor.encoder
    other = replace(digits.model.predictor, encoder=replace(encoder, target={**encoder.target, "posterior": False}))
    with pytest.raises(RegistryError, match="expected a model with a posterior"):
        sampling.lower_bound(other, np.zeros((1, 8, 8, 1)), None, 0)


def test_variants_of_two_graphs_are_refused(digits: Project) -> None:
    """`tiltyard quantize` writes one graph."""
    workspace = quantize.VariantWorkspace(digits.workspace.root, "int8")
    with pytest.raises(RegistryError, match="has a decoder as well"):
        quantize._write(workspace, digits.task, digits.workspace.out(NAME, "train"), "v")


def test_codes_and_rows_are_explained(digits: Project) -> None:
    """Samples, traversals, both maps of codes, and the reconstruction of a row; other methods say why not."""
    content = explain(digits.workspace, digits.task)
    titles = [figure["title"] for figure in content["exhibits"]]
    assert titles[:4] == ["Samples", "Traversals of the code", "Codes by PCA", "Codes by t-SNE"]
    assert titles[4:] == ["Reconstruction"] * 3
    assert content["left_out"]["shap"].endswith("draws samples")
    reason, (first, again) = run_in_process(explain_twice, str(digits.workspace.root), NAME, "codes")
    assert (reason, first) == ("", again)


def test_report_shows_samples_beside_training_rows(digits: Project) -> None:
    """The page has the grid, the nearest rows, the classes and the facts."""
    page = task_page(digits.workspace, digits.task)
    for words in ("Nearest training rows", "Classes of samples", "numbers of the code in use", "importance samples"):
        assert words in page


def test_command_writes_pictures(digits: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sample is a PNG named by seed, place and class; an invalid option is named."""
    monkeypatch.setattr(sample, "load_champion", lambda *_: digits.model)
    drawn = sample.sample(digits.workspace, digits.task, {"count": 2, "seed": 1, "class": "4"})
    names = sample.write_pictures(drawn, tmp_path / "out", 1)
    assert names == ["seed1-000-4.png", "seed1-001-4.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / names[0])), pixels(drawn[0]["image"]))
    with pytest.raises(RequestError, match=r"^--class: expected one of 0, 1"):
        sample.sample(digits.workspace, digits.task, {"class": "x"})


def test_response_names_model_and_version(digits: Project) -> None:
    """As predictions do."""
    message = RequestMessage(sample_request.SAMPLE, b'{"count": 1}')
    response = sample_request.respond(digits.model, message)
    content = json.loads(response.content)
    assert (content["model"], content["version"], response.count) == (NAME, digits.model.version, 1)
