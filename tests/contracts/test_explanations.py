"""Contract of all explanation methods: a reason why it does not apply, or reproducible figures as valid JSON."""

from __future__ import annotations

from pathlib import Path

import generated_tasks
import pytest
from workspaces import new_workspace, run_in_process, train_tasks

from tiltyard.contracts import explanations
from tiltyard.contracts.explanations import explain_twice
from tiltyard.workspace import Workspace

SUBJECTS = ("diabetes", "iris", "digits", "sine", "moods", "movies", "parcels")  # the last has columns of all kinds
GENERATED = ("moods", "movies", "parcels")


@pytest.fixture(scope="session")
def generated_project(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project with trained tasks about texts, label sets, and columns of all kinds."""
    space = new_workspace(tmp_path_factory.mktemp("moody"))
    generated_tasks.prepare_texts(space)
    generated_tasks.prepare_label_sets(space)
    generated_tasks.prepare_mixed(space)
    train_tasks(space, *GENERATED)
    return space


def test_has_a_title(explanation_name: str) -> None:
    """The title is a phrase, not a sentence."""
    explanations.has_a_title(explanation_name)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_explains_or_gives_a_reason(
    explanation_name: str, subject: str, trained: Workspace, generated_project: Workspace
) -> None:
    """Texts end with a full stop, JSON has no NaN, figures are not empty, and two runs are equal."""
    root: Path = (generated_project if subject in GENERATED else trained).root
    reason, (first, again) = run_in_process(explain_twice, str(root), subject, explanation_name)
    explanations.explains_or_gives_a_reason(reason, first, again)


@pytest.mark.slow
def test_each_modality_can_be_explained(trained: Workspace, generated_project: Workspace) -> None:
    """For every modality there is a method that needs the ONNX model only."""
    methods = ("shap", "lime", "lime", "occlusion", "occlusion", "lime", "occlusion")
    for subject, method in zip(SUBJECTS, methods, strict=True):
        root = (generated_project if subject in GENERATED else trained).root
        assert run_in_process(explain_twice, str(root), subject, method)[0] == ""
