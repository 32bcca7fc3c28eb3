"""Logic gates, generated points and lines from their task files: what each model can learn, and the gate's verdict."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspaces import ROOT, edit_task, fetch_raw, new_workspace, run_in_process

from tiltyard.config import loader
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

Results = dict[str, dict[str, Any]]
# weights and biases, of which those of McCulloch and Pitts are given
PARAMETERS = {
    "logic_and": 3,
    "logic_or": 3,
    "logic_xor_perceptron": 3,
    "logic_xor": 9,
    "logic_and_units": 3,
    "logic_or_units": 3,
    "logic_a_not_b": 3,
    "logic_buffer": 2,
    "logic_xor_units": 9,
}
NOTED = [0.0148, 0.9825, 0.9825, 0.0280]  # published outputs of a 2-2-1 network for XOR
POINTS = {
    "playground_circle": 17,  # 2 x 4 + 4, 4 + 1
    "playground_circle_line": 3,
    "playground_circle_squares": 5,
    "playground_xor": 17,
    "playground_xor_line": 3,
    "playground_xor_crossed": 4,
    "playground_gaussian": 3,
    "playground_spiral": 105,  # 2 x 8 + 8, 8 x 8 + 8, 8 + 1
    "playground_spiral_line": 3,
    "playground_plane": 3,
}


def run_tasks(root: str, names: list[str]) -> Results:
    """Take tasks from source to verdict and report; return what a test looks at."""
    from tiltyard.evaluation.evaluate import evaluate
    from tiltyard.gate.judge import judge
    from tiltyard.modeling.inference.predictor import Predictor
    from tiltyard.preparation.prepare import prepare
    from tiltyard.preparation.sealed_test import read_test
    from tiltyard.report.report import task_page
    from tiltyard.serving.packaging.model_card import card
    from tiltyard.training.train import train
    from tiltyard.validation.validate import validate

    workspace, results = Workspace(Path(root)), Results()
    for name in names:
        fetch_raw(workspace, name)
        task = loader.load(workspace, name)
        validate(workspace, task)
        prepare(workspace, task)
        record, report = train(workspace, task), evaluate(workspace, task)
        verdict, test = judge(workspace, task), read_test(workspace, name, task.columns)
        outputs = Predictor.load(workspace.out(name, "train")).outputs(test.rows)
        results[name] = {
            "record": record,
            "report": report,
            "verdict": verdict.verdict,
            "failed": [outcome.code for outcome in verdict.outcomes if outcome.state == "failed"],
            "texts": {outcome.code: outcome.text for outcome in verdict.outcomes},
            "outputs": outputs[np.argsort(test.number)].tolist(),
            "page": task_page(workspace, task),
            "card": card(task, report, record, {}),
        }
    return results


def run_in_project(root: Path, names: list[str], **changes: Any) -> Results:
    """Run tasks of this repository in a new project."""
    workspace = new_workspace(root)
    for name in names:
        shutil.copy(ROOT / "tasks" / f"{name}.yaml", workspace.task_file(name))
        edit_task(workspace, name, {"gate.latency_ms": 1000, **changes})
    results: Results = run_in_process(run_tasks, str(root), names)
    return results


@pytest.fixture(scope="module")
def logic(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """All tasks of logic gates."""
    return run_in_project(tmp_path_factory.mktemp("logic"), [*PARAMETERS])


@pytest.mark.parametrize("name", PARAMETERS)
def test_logic_gate_has_its_parameters(logic: Results, name: str) -> None:
    """One weight for each input, and a bias or threshold for each unit."""
    assert logic[name]["record"]["parameters"] == PARAMETERS[name]


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name != "logic_xor_perceptron"])
def test_logic_gate_is_exact_and_promoted(logic: Results, name: str) -> None:
    """Every row is right, and no check fails."""
    assert logic[name]["report"]["metrics"]["accuracy"] == 1
    assert (logic[name]["verdict"], logic[name]["failed"]) == ("PROMOTE", [])


def test_perceptron_cannot_learn_xor(logic: Results) -> None:
    """The record says that the rule never ends, and the gate rejects the model."""
    result = logic["logic_xor_perceptron"]
    assert result["record"]["outcome"] == "cycle"
    assert result["report"]["metrics"]["accuracy"] <= 0.75
    assert result["verdict"] == "REJECT"
    assert "required_metrics" in result["failed"]
    assert "the rule can never end: no line separates the labels" in result["page"]


def test_network_learns_xor_at_least_as_well_as_published(logic: Results) -> None:
    """Each output is nearer to its label; the trainings that were needed are listed."""
    outputs = np.array(logic["logic_xor"]["outputs"])[:, 0]
    errors = np.abs(outputs - [0, 1, 1, 0])
    assert (errors <= np.abs(np.array(NOTED) - [0, 1, 1, 0])).all(), outputs
    attempts = logic["logic_xor"]["record"]["attempts"]
    assert [attempt["seed"] for attempt in attempts] == [*range(len(attempts))]
    assert attempts[-1]["value"] <= 0.0035
    assert all(attempt["value"] > 0.0035 for attempt in attempts[:-1])


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_text_calls_rows_of_a_whole_function_unseen(logic: Results, name: str) -> None:
    """Card, page and verdict say that the rows are the training rows, and none of them speaks of sealed rows."""
    result = logic[name]
    assert result["report"]["rows"] == dict.fromkeys(("train", "validation", "test"), len(result["outputs"]))
    for text in (result["page"], result["card"]):
        assert "no row is unseen" in text
        assert "were sealed before training" not in text
        assert "bootstrap" not in text
    assert f"all {len(result['outputs'])} rows, which are also the training rows" in result["page"]
    assert "no interval: the" in result["texts"]["baseline"]
    assert result["texts"]["generalization_gap"] == "the test rows are the training rows: no row is unseen"


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """All tasks of generated points."""
    return run_in_project(tmp_path_factory.mktemp("points"), [*POINTS])


@pytest.mark.parametrize("name", POINTS)
def test_points_are_separated_by_the_right_features_alone(points: Results, name: str) -> None:
    """Without hidden layer a line fails where no line separates; hidden layers, squares and products solve it."""
    result = points[name]
    assert result["record"]["parameters"] == POINTS[name]
    if name.endswith("_line"):
        assert result["report"]["metrics"]["accuracy"] < 0.8
        assert result["verdict"] != "PROMOTE"
    elif name == "playground_plane":
        assert (result["verdict"], result["failed"]) == ("PROMOTE", [])
    else:
        assert result["report"]["metrics"]["accuracy"] >= 0.95
        assert (result["verdict"], result["failed"]) == ("PROMOTE", [])


@pytest.mark.parametrize("name", [*POINTS, "logic_and"])
def test_report_draws_the_model_over_its_input(points: Results, logic: Results, name: str) -> None:
    """Two numbers or flags give decision regions, or a surface if the target is a number."""
    page = {**points, **logic}[name]["page"]
    title = "Predicted surface" if name == "playground_plane" else "Decision regions"
    assert f"<h3>{title}</h3>" in page
    assert 'data-kind="regions"' in page
