"""The tests of `pytest --tiltyard-contracts`, for each plug-in that another package adds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tiltyard import files, plugins
from tiltyard.contracts import (
    checks,
    columns,
    customers,
    duels,
    explanations,
    findings,
    formats,
    models,
    problems,
    sources,
)
from tiltyard.contracts.examples import KINDS
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.models.base import Model
from tiltyard.validation.check import check
from tiltyard.workspace import TEMPLATES, Workspace

Case = tuple[str, Any]  # the name of a plug-in, and an example


def example_of(folder: str, case: Case) -> Any:
    """Return the example; fail if there must be one and is none, or one of another class."""
    name, example = case
    if not isinstance(example, KINDS[folder]):
        pytest.fail(
            f"{folder}: {name}: expected an example; received {type(example).__name__}. Write in conftest.py: "
            f"def pytest_tiltyard_examples(folder, name): return [{KINDS[folder].__name__}(...)]",
            pytrace=False,
        )
    return example


def validated(folder: str, key: str, name: str, settings: Any) -> Any:
    """Return a plug-in with settings as a task file has them; fail with the reason if they are refused."""
    try:
        return plugins.load(folder, name).model_validate({key: name, **settings}, strict=False)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        pytest.fail(f"{folder}: {name}: expected an example with valid settings; {reasons}", pytrace=False)


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """An empty project."""
    (tmp_path / "tasks").mkdir()
    return Workspace(tmp_path)


def test_source(of_sources: Case, space: Workspace, tmp_path: Path) -> None:
    """The same settings give the same bytes, in the file that a modality reads."""
    name, _ = of_sources
    sources.matches_name(name)
    source = validated("sources", "kind", name, example_of("sources", of_sources).settings)
    sources.can_be_read(sources.is_reproducible(source, space, tmp_path))


def test_format(of_formats: Case, tmp_path: Path) -> None:
    """A file is read as its columns and rows, and a damaged one ends in an error of Tiltyard."""
    example = example_of("formats", of_formats)
    formats.reads(example, tmp_path)
    formats.refuses_damage(example, tmp_path)


def test_column(of_columns: Case) -> None:
    """Values survive a round trip, serving encodes as training does, and anything else is refused in a sentence."""
    example = example_of("columns", of_columns)
    column: Column = validated("columns", "type", of_columns[0], example.settings)
    columns.settings_survive(column)
    columns.round_trip(column, example.values)
    parsed = column.parse([*example.values], "x")
    fitted = column.fit(parsed)
    columns.encodes_as_in_training(column, parsed, fitted)
    columns.encodes_unseen(column, parsed, fitted, parsed[:1])
    for value in columns.HOSTILE:
        columns.parses_or_refuses(column, [*example.values[:1], value])


def test_model(of_models: Case, tmp_path: Path) -> None:
    """A small network learns, is the same after saving and loading, and exports to ONNX with parity."""
    example = example_of("models", of_models)
    family: Model = validated("models", "family", of_models[0], example.settings)
    modality = next((name for name in family.modalities if name in models.SHAPES), "table")
    shape = example.shape or models.SHAPES[modality]
    rows = models.draw_features(shape, modality)
    target = rows.reshape(len(rows), -1).mean(axis=1) + 1
    models.fulfils(models.train_and_export(models.build(family, shape, modality), (rows, target), "mse", tmp_path))


def test_problem(of_problems: Case) -> None:
    """Predictions are JSON, one for each row."""
    example = example_of("problems", of_problems)
    kind = plugins.load("problems", of_problems[0])()
    assert kind.losses, "expected the losses of each activation of the output layer"
    problems.predictions(kind, np.asarray(example.outputs, dtype=np.float32), example.labels)


def test_check(of_checks: Case) -> None:
    """A good challenger passes, a bad one fails, both with a sentence that has the value and the limit."""
    example, kind = example_of("checks", of_checks), plugins.load("checks", of_checks[0])()
    assert kind.code == of_checks[0]
    good = checks.passes(kind, duels.always_right(example.passes))
    checks.tells_them_apart(good, checks.fails(kind, duels.bad(example.fails)))


def test_finding(of_findings: Case, space: Workspace) -> None:
    """Nothing is found in clean data, and in the example what it must report."""
    name, example = of_findings[0], example_of("findings", of_findings)
    findings.has_code_and_title(name)
    clean = customers.customers()
    findings.reports_nothing(name, check(space, customers.write_task(space, clean)).findings)
    faulty = customers.write_task(space, clean.assign(**example.columns), dict(example.task))
    findings.reports(name, check(space, faulty).findings, example.reported)


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a trained network of irises."""
    from tiltyard.config import loader
    from tiltyard.preparation.prepare import prepare
    from tiltyard.training.train import train

    space = Workspace(tmp_path_factory.mktemp("iris"))
    space.task_file("iris").parent.mkdir()
    shutil.copyfile(TEMPLATES / "tasks" / "iris.yaml", space.task_file("iris"))
    task = loader.load_with(space, "iris", {"train.epochs": 3})
    with files.atomic_folder(space.raw("iris")) as folder:
        task.source.fetch(folder, space)
    prepare(space, task)
    train(space, task)
    return space.root


def test_explanation(of_explanations: Case, iris: Path) -> None:
    """It says why it does not apply, or draws the same valid figures twice."""
    name, _ = of_explanations
    explanations.has_a_title(name)
    reason, (first, again) = explanations.explain_twice(str(iris), "iris", name)
    explanations.explains_or_gives_a_reason(reason, first, again)
