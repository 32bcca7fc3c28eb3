"""Captions from generated pictures to the service: training, evaluation, gate, explanations, and predictions."""

from __future__ import annotations

import base64
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from served_project import ServedProject
from workspaces import ROOT, new_workspace

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.explain.explain import explain
from tiltyard.gate.duel_setup import build_duel
from tiltyard.monitoring import records
from tiltyard.report.report import task_page
from tiltyard.workspace import Workspace

CHANGES: dict[str, Any] = {
    "source": {
        "kind": "scenes",
        "side": 32,
        "train": 300,
        "validation": 40,
        "test": 60,
        "novel": 20,
        "held_out": ["yellow triangle"],
    },
    "rows": [420, 420],
    "model": {"family": "captioner", "filters": [8, 16], "width": 16, "heads": 2, "hidden": 32, "blocks": 1},
    "train": {"epochs": 2, "batch_size": 16, "learning_rate": 0.003},
}


def write_task(workspace: Workspace, name: str, changes: dict[str, Any]) -> Task:
    """Write the task of the catalogue with changes of whole sections."""
    content = yaml.safe_load((ROOT / "tasks" / "captioning.yaml").read_text(encoding="utf-8"))
    workspace.task_file(name).write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
    return loader.load(workspace, name)


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> ServedProject:
    """A small captioner of few scenes."""
    workspace = new_workspace(tmp_path_factory.mktemp("captions"))
    write_task(workspace, "captions", CHANGES)
    return ServedProject.of(workspace, "captions")


def test_training_learns_words_in_order(captions: ServedProject) -> None:
    """After two epochs more words are right than by the most frequent caption; captions are of the grammar's words."""
    report = captions.report
    assert report["metrics"]["token_accuracy"] > report["baseline"]["token_accuracy"]
    assert report["metrics"]["bleu"] > 0
    assert {*report["metrics"]} == {*report["nearest"]} == {"exact", "bleu", "token_accuracy"}
    assert report["worst"][0]["edits"] == max(row["edits"] for row in report["worst"])


def test_held_out_combinations_are_a_group_of_their_own(captions: ServedProject) -> None:
    """All 20 pictures with yellow triangles have a new pair of words, and are on the page with their figures."""
    groups = {one["captions"]: one["rows"] for one in captions.report["by_novelty"]}
    assert groups["with a pair of words that no training caption has"] >= 20
    assert sum(rows for name, rows in groups.items() if name != "without a new pair of words") == 80
    page = task_page(captions.workspace, captions.task)
    assert "By novelty of the caption" in page
    assert "with a pair of words that no training caption has" in page


def test_page_shows_wrong_captions_beside_their_pictures(captions: ServedProject) -> None:
    """Each of the largest errors has true and predicted caption and the picture; training pictures have captions."""
    page = task_page(captions.workspace, captions.task)
    worst = captions.report["worst"]
    section = page[page.index("Largest errors") :]
    assert worst[0]["actual"] in section
    assert worst[0]["predicted"] in section
    assert section.count("data:image/png;base64,") >= len(worst)
    assert "training pictures, evenly spaced, with their captions." in page


def test_answers_are_captions_with_probabilities(captions: ServedProject) -> None:
    """The answer fits the published schema, is that of the evaluated model, and equal in batches and alone."""
    example = captions.task.serve.example
    body = {"instances": [example] * 40}
    predictions = captions.ask("v1/models/{}:predict", body)["predictions"]
    for prediction in predictions:
        jsonschema.validate(prediction, captions.model.schema["prediction"])
    alone = captions.ask("v1/models/{}:predict", {"instances": [example]})["predictions"][0]
    assert {one["caption"] for one in predictions} == {alone["caption"]}
    assert predictions[0]["probability"] == pytest.approx(alone["probability"], rel=1e-5)
    assert {*alone["caption"].split()} <= {*captions.model.predictor.encoder.target["ids"]}


def test_each_way_of_sending_gives_the_same_caption(captions: ServedProject) -> None:
    """Base64, nested lists and a tensor of V2 agree."""
    row = captions.model.predictor.encoder.parse([captions.task.serve.example])["picture"]
    pixels = row[0].astype(int)
    by_file, by_list = captions.ask(
        "v1/models/{}:predict", {"instances": [captions.task.serve.example, pixels.tolist()]}
    )["predictions"]
    tensor = {"name": "picture", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": pixels.ravel().tolist()}
    outputs = captions.ask("v2/models/{}/infer", {"inputs": [tensor]})["outputs"]
    by_tensor = {one["name"]: one["data"][0] for one in outputs}
    assert by_file == by_list
    assert by_tensor["caption"] == by_list["caption"]
    assert by_tensor["probability"] == pytest.approx(by_list["probability"], rel=1e-5)


@pytest.mark.parametrize(
    ("instance", "code"),
    [
        ({"b64": "no picture"}, "bad_base64"),
        ({"b64": base64.b64encode(b"no picture").decode()}, "bad_image"),
        ([[1, 2], [3, 4]], "wrong_shape"),
        (np.full((32, 32, 3), 256).tolist(), "out_of_bounds"),
        ("a red circle", "wrong_shape"),
    ],
)
def test_what_is_no_picture_is_refused(captions: ServedProject, instance: Any, code: str) -> None:
    """The error names what was expected."""
    error = captions.ask("v1/models/{}:predict", {"instances": [instance]}, status=400)["error"]
    assert error["code"] == code
    assert "expected" in error["message"]


def test_too_many_pictures_are_refused(captions: ServedProject) -> None:
    """The number of pictures of a request is bounded."""
    error = captions.ask("v1/models/{}:predict", {"instances": [[0]] * 65}, status=413)["error"]
    assert error["code"] == "too_many"


def test_captions_are_recorded_and_truths_are_refused(captions: ServedProject) -> None:
    """A record has the caption as prediction; feedback says why it takes no truth."""
    captions.ask("v1/models/{}:predict", {"instances": [captions.task.serve.example]})
    captions.app.state.recorder.sender.finish()
    table = records.read(captions.workspace, captions.task, "answers").to_pandas()
    answer = json.loads(table["record.answer"].iloc[0])
    assert table["record.prediction"].iloc[0] == answer["caption"]
    item = {"id": "a" * 32, "truth": "a red circle"}
    error = captions.ask("v1/models/{}:feedback", {"feedback": [item]}, status=400)["error"]
    assert "generates text" in error["message"]


def test_the_gate_compares_with_the_nearest_picture(captions: ServedProject) -> None:
    """The reference is the caption of the nearest picture; checks of labels and numbers say why they do not apply."""
    duel = build_duel(captions.workspace, captions.task, read_evaluated(captions.workspace, captions.task), None)
    outcomes = {name: plugins.load("checks", name)().outcome(duel) for name in plugins.names("checks")}
    assert duel.reference is not None
    assert duel.reference.name.startswith("the caption of the nearest training picture")
    assert "the nearest training picture" in outcomes["reference"].text
    for name in ("calibration", "collapse", "mcnemar", "robustness"):
        assert outcomes[name].state == "not applicable", name
    assert "predicts texts" in outcomes["robustness"].text
    for name in ("parity", "size", "latency", "model_card"):
        assert outcomes[name].state == "passed", outcomes[name].text


def test_attention_and_occlusion_explain_captions(captions: ServedProject) -> None:
    """Attention has a picture for each word and the end; its weights are a distribution over the places."""
    from tiltyard.explain.explain import load_model
    from tiltyard.explain.methods.attention import attention_maps

    content = explain(captions.workspace, captions.task)
    ways = {exhibit["way"] for exhibit in content["exhibits"]}
    assert ways == {"attention", "occlusion"}
    shown = next(one for one in content["exhibits"] if one["way"] == "attention")
    (row,) = [one for one in content["rows"] if one["row"] == shown["row"]]
    names = [image["name"].partition(": ")[2] for image in shown["data"]["images"][1:]]
    assert [name for name in names if name != "the end"] == row["answered"].split()
    assert all("the probability of the caption" in e["text"] for e in content["exhibits"] if e["way"] == "occlusion")
    assert "predicts texts" in content["left_out"]["grad_cam"]
    model = load_model(captions.workspace, captions.task)
    maps = attention_maps(model, model.encode(model.row(0)), 3)
    assert maps.shape == (3, 8, 8)
    assert maps.sum(axis=(1, 2)) == pytest.approx([1, 1, 1], rel=1e-4)


def test_files_of_ones_own_have_captions_in_a_table(captions: ServedProject, tmp_path: Path) -> None:
    """A folder of pictures and a table of captions, also with a slash in one, give the same rows as the source."""
    folder = captions.workspace.root / "mine"
    folder.mkdir()
    lines = ["file,caption"]
    with zipfile.ZipFile(captions.workspace.raw("captions") / "images.zip") as archive:
        for place, name in enumerate(archive.namelist()[:30]):
            (folder / f"{place}.png").write_bytes(archive.read(name))
            lines.append(f"{place}.png,{name.partition('/')[0]}{'/green' if place == 3 else ''}")
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    source = {"kind": "images", "path": "mine", "labels": "captions.csv", "label_column": "caption"}
    changes = {"source": source, "rows": [30, 30], "split": {"kind": "random"}, "train": {"epochs": 1, "batch_size": 8}}
    task = write_task(captions.workspace, "mine", {**CHANGES, **changes})
    task.source.fetch(tmp_path, captions.workspace)
    rows, truth = plugins.load("modalities", "image")().rows(task, tmp_path)
    assert len(truth) == len(rows["picture"]) == 30
    assert sorted(truth.tolist()) == sorted(line.partition(",")[2] for line in lines[1:])
    shutil.rmtree(folder)
