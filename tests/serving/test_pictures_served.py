"""Detection, segmentation and tracking of a user's files, from data to service: training, gate, report, predictions."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from asgi_server import serve_app
from browser import open_browser
from model_shapes import EXAMPLE, LABELS, SIDE, write_shapes
from PIL import Image
from served_project import ServedProject
from starlette_client import TestClient
from workspaces import new_workspace

from tiltyard import files, plugins
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.explain.explain import explain
from tiltyard.gate import duel_setup
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.duel_setup import build_duel
from tiltyard.monitoring import records
from tiltyard.registry.registry import Registry
from tiltyard.report.report import task_page
from tiltyard.validation.check import check
from tiltyard.validation.validate import validate

GOAL = {"detection": 0.9, "segmentation": 0.85, "tracking": 0.9}


def _project(folder: Any, problem: str) -> ServedProject:
    workspace = new_workspace(folder)
    write_shapes(workspace, problem)
    served = ServedProject.of(workspace, "shapes")
    assert all(outcome.success for outcome in validate(workspace, served.task).outcomes)
    return served


@pytest.fixture(scope="module")
def detection(tmp_path_factory: pytest.TempPathFactory) -> ServedProject:
    """Blocks and frames with boxes."""
    return _project(tmp_path_factory.mktemp("detection"), "detection")


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory: pytest.TempPathFactory) -> ServedProject:
    """The same with masks."""
    return _project(tmp_path_factory.mktemp("segmentation"), "segmentation")


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> ServedProject:
    """Clips of two shapes that pass one another."""
    return _project(tmp_path_factory.mktemp("tracking"), "tracking")


@pytest.fixture(params=[*GOAL])
def project(request: pytest.FixtureRequest) -> ServedProject:
    """Each of the three."""
    found: ServedProject = request.getfixturevalue(request.param)
    return found


def picture(*boxes: tuple[int, int, int, int]) -> Any:
    """Return a picture with blocks as nested lists."""
    pixels = np.zeros((SIDE, SIDE), dtype=int)
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = 200
    return pixels.tolist()


def test_model_learns_and_beats_the_baseline(project: ServedProject) -> None:
    """On sealed pictures, with an interval; the baseline cannot tell the labels apart."""
    report, metric = project.report, project.task.gate.metric
    assert report["metrics"][metric] > GOAL[project.task.problem] > report["baseline"][metric]
    low, high = report["intervals"][metric]
    assert low <= report["metrics"][metric] <= high


def test_objects_are_found_where_they_are(detection: ServedProject) -> None:
    """The answer fits the schema; the box of the block overlaps it closely."""
    body = {"instances": [EXAMPLE, picture((8, 2, 18, 12), (10, 19, 20, 28))]}
    one, two = detection.ask("v1/models/{}:predict", body)["predictions"]
    jsonschema.validate(one, detection.model.schema["prediction"])
    (found,) = one["objects"]
    assert found["label"] == LABELS[0]
    assert np.abs(np.array(found["box"]) - [6, 8, 18, 20]).max() < 3
    assert len(two["objects"]) == 2


def test_least_score_is_chosen_on_validation_rows(detection: ServedProject) -> None:
    """It is stored with the model, and no answer has a lower score."""
    encoder = files.read_json(detection.workspace.root / "package" / "encoder.json")
    least = encoder["target"]["least_score"]
    assert 0.05 < least < 0.95
    answers = detection.model.predictor.predict([EXAMPLE, picture((8, 2, 18, 12))])
    assert all(found["score"] >= least for answer in answers for found in answer["objects"])


def test_mask_has_the_label_of_each_pixel(segmentation: ServedProject) -> None:
    """The PNG has the size of the picture and the numbers of the labels; shares are those of its pixels."""
    (answer,) = segmentation.ask("v1/models/{}:predict", {"instances": [EXAMPLE]})["predictions"]
    jsonschema.validate(answer, segmentation.model.schema["prediction"])
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["mask"]))))
    assert mask.shape == (SIDE, SIDE)
    block = mask[8:20, 6:18] == 1
    assert block.mean() > 0.9
    assert answer["shares"] == pytest.approx(
        {name: (mask == code).mean() for code, name in enumerate(segmentation.task.labels)}
    )


def test_objects_keep_their_ids_through_a_clip(tracking: ServedProject) -> None:
    """The instances of a request are frames: two blocks that pass one another have two ids throughout."""
    clip = [picture((6 + step, 2, 16 + step, 12), (14 - step, 18, 24 - step, 28)) for step in range(6)]
    frames = tracking.ask("v1/models/{}:predict", {"instances": clip})["predictions"]
    jsonschema.validate(frames[0], tracking.model.schema["prediction"])
    above, below = (
        {found["id"] for frame in frames for found in frame["objects"] if (found["box"][1] < 10) == up}
        for up in (True, False)
    )
    assert [len(frame["objects"]) for frame in frames] == [2] * 6
    assert len(above) == len(below) == 1
    assert above != below


def test_too_many_frames_are_refused(tracking: ServedProject) -> None:
    """The length of a clip is bounded."""
    error = tracking.ask("v1/models/{}:predict", {"instances": [EXAMPLE] * 33}, status=413)["error"]
    assert "at most 32 instances" in error["message"]


def test_tracks_of_sealed_clips_are_counted(tracking: ServedProject) -> None:
    """Whole clips are drawn for intervals; the report has what was counted."""
    report = tracking.report
    assert report["dependence"] == {"drawn": "whole groups", "units": 8}
    assert report["tracks"]["clips"] == 8
    assert report["tracks"]["objects"] == 8 * 6 * 2
    assert report["metrics"]["id_switches"] < 5


def test_tensors_hold_objects_and_masks(project: ServedProject) -> None:
    """V2 returns objects as JSON, masks in Base64, and shares as numbers."""
    body = {"inputs": [{"name": "picture", "shape": [1, SIDE, SIDE], "datatype": "FP32", "data": EXAMPLE}]}
    outputs = {one["name"]: one for one in project.ask("v2/models/{}/infer", body)["outputs"]}
    if "mask" in outputs:
        assert outputs["shares"]["shape"] == [1, 3]
        assert base64.b64decode(outputs["mask"]["data"][0]).startswith(b"\x89PNG")
    else:
        (found,) = json.loads(outputs["objects"]["data"][0])
        assert found["label"] == LABELS[0]


def _outcomes(project: ServedProject) -> dict[str, Outcome]:
    duel = build_duel(project.workspace, project.task, read_evaluated(project.workspace, project.task), None)
    return {name: plugins.load("checks", name)().outcome(duel) for name in plugins.names("checks")}


def test_checks_apply_or_say_why_not(project: ServedProject) -> None:
    """Checks of labels do not apply; those of metrics and files do, and pass for this model."""
    outcomes = _outcomes(project)
    for name in ("calibration", "mcnemar", "reference", "behaviour", "fairness"):
        assert outcomes[name].state == "not applicable", name
        assert outcomes[name].text
    for name in ("baseline", "collapse", "robustness", "generalization_gap", "parity", "size", "latency", "model_card"):
        assert outcomes[name].state == "passed", outcomes[name].text


def test_champion_with_other_labels_is_not_compared(detection: ServedProject) -> None:
    """The message names both lists."""
    task = detection.task.model_copy(
        update={"target": detection.task.target.model_copy(update={"classes": ["x", "y"]})}
    )
    test = read_evaluated(detection.workspace, detection.task).test
    champion: Any = type("Champion", (), {"task": "shapes", "version": "v"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "package", lambda *_: detection.workspace.root)
        patch.setattr(duel_setup, "Predictor", type("P", (), {"load": lambda _: detection.model.predictor}))
        with pytest.raises(Exception, match=r"it knows block, frame, in this order; target\.classes has x, y"):
            duel_setup._champion_predictor(detection.workspace, task, champion, test)


def test_report_draws_what_is_true_and_what_is_predicted(project: ServedProject) -> None:
    """The page has pictures with the most errors, a table by label, and training pictures with their labels."""
    page = task_page(project.workspace, project.task)
    assert "Pictures with the most errors" in page
    assert 'class="images wide"' in page
    assert "By label" in page
    assert "Training pictures" in page
    assert all(label in page for label in LABELS)


def test_explanations_apply_or_say_why_not(project: ServedProject) -> None:
    """No method is silent; occlusion shows which pixels the score of an object depends on."""
    content = explain(project.workspace, project.task)
    assert all(content["left_out"].values())
    ways = {exhibit["way"] for exhibit in content["exhibits"]}
    if project.task.problem == "segmentation":
        assert not ways
    else:
        assert ways == {"occlusion"}
        assert all("the score of the object with the highest one" in one["text"] for one in content["exhibits"])


def test_truths_are_refused(project: ServedProject) -> None:
    """Objects and masks are not compared live."""
    item = {"id": "a" * 32, "truth": 1.0}
    error = project.ask("v1/models/{}:feedback", {"feedback": [item]}, status=400)["error"]
    assert "which are not compared live" in error["message"]


def test_document_describes_predictions_and_no_feedback(project: ServedProject) -> None:
    """The OpenAPI document has the predictions of these models, and no route for truths that they refuse."""
    with TestClient(project.app) as client:
        paths = client.get("/v1/openapi.json").json()["paths"]
    assert "/v1/models/shapes:predict" in paths
    assert "/v1/models/shapes:feedback" not in paths


def test_data_are_checked_before_training(project: ServedProject) -> None:
    """`check` finds nothing critical."""
    found = check(project.workspace, project.task).findings
    assert [one.text for one in found if one.severity == "critical"] == []


def test_predictions_are_recorded_by_label(project: ServedProject) -> None:
    """A record has the labels of the objects, or the label of most pixels."""
    answers = project.model.predictor.predict([EXAMPLE])
    (label,) = records._predictions(project.task, answers).to_pylist()
    assert label == ("none" if project.task.problem == "segmentation" else LABELS[0])


def test_service_gives_the_same_answer(project: ServedProject) -> None:
    """What the service answers is what the predictor does, whichever path the request takes."""
    answers = project.ask("v1/models/{}:predict", {"instances": [EXAMPLE]})["predictions"]
    assert answers == project.model.predictor.predict([EXAMPLE])


@pytest.mark.smoke
def test_page_draws_boxes_and_masks(project: ServedProject, tmp_path: Path) -> None:
    """The picture that was sent is drawn with colours over it: its pixels alone are grey."""
    answer = "document.querySelector('#shapes .answer')"
    colours = f"""(() => {{
        const canvas = {answer}.querySelector('canvas');
        const {{ data }} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let coloured = 0;
        for (let at = 0; at < data.length; at += 4) coloured += Math.abs(data[at] - data[at + 2]) > 40;
        return coloured;
    }})()"""
    with open_browser(tmp_path) as browser, serve_app(project.app) as host:
        browser.open(f"http://{host}/", "document.querySelector('article')")
        browser.script("document.querySelector('#shapes button.first').click()")
        browser.wait_until(f"{answer}.querySelector('canvas')?.dataset.state === 'drawn'")
        assert browser.script(colours) > 100
        assert LABELS[0] in browser.script(f"{answer}.innerText")
        assert browser.console_errors == []
