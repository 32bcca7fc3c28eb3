"""Histories, experiments and features of many, missing, infinite and hostile values: pages stay small and whole."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from balanced_html import BalancedHtmlParser
from workspaces import ROOT, new_workspace

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Champion
from tiltyard.report.overview import Summary, overview_page
from tiltyard.report.sections import distributions
from tiltyard.report.sections.experiments import search_sections, study_sections
from tiltyard.report.sections.history import history_section
from tiltyard.report.sections.versions import MAX_VERSIONS, versions_section
from tiltyard.workspace import Workspace

EVIL = '"><script>alert(1)</script>'
MANY = 500


@pytest.fixture(scope="module")
def churn() -> Task:
    """A task with two classes and numbers."""
    return loader.load(Workspace(ROOT), "churn")


def decision(place: int, value: float = 0.8, **changes: Any) -> Decision:
    """Return a verdict about the version of a place."""
    check = {"code": "baseline", "title": EVIL, "state": "failed", "text": EVIL, "severity": "HOLD", "repeatable": True}
    return Decision(
        task="churn",
        verdict="PROMOTE" if place == 0 else "HOLD",
        version=f"{place:012x}",
        reasons=[EVIL],
        checks=[{**check, "observed": value, "limit": 0.5}],
        metric="roc_auc",
        metrics={"roc_auc": value, "accuracy": value},
        baseline={"roc_auc": 0.5, "accuracy": 0.5},
        evidence={"over_baseline": {"new": value, "old": 0.5, "value": 0.3, "low": 0.2, "high": 0.4}},
        parameters={"train": {"epochs": place, "note": EVIL * 20}},
        time=f"2026-01-01T00:{place // 60:02}:{place % 60:02}+00:00",
        **changes,
    )


def whole(content: str) -> str:
    """Return the text of a part of a page; assert that it is complete, escaped, and has valid JSON."""
    parser = BalancedHtmlParser(content)
    assert parser.open == []
    assert EVIL not in content
    for data in re.findall(r'<script type="application/json">(.*?)</script>', content, re.DOTALL):
        json.loads(data, parse_constant=pytest.fail)
    text: str = parser.text
    return text


@pytest.mark.parametrize("value", [0.8, math.nan, math.inf, -math.inf, 1e308])
def test_long_history_stays_small(churn: Task, tmp_path: Path, value: float) -> None:
    """Of 500 versions the latest are compared and drawn, whatever their metrics are."""
    workspace = new_workspace(tmp_path / "project")
    decisions = [decision(place, value if place % 2 else 0.7) for place in range(MANY)]
    compared, history = versions_section(churn, decisions), history_section(workspace, churn, decisions)
    assert f"The latest {MAX_VERSIONS} of {MANY} are offered" in whole(compared.content)
    whole(history.content)
    overview = overview_page(workspace, [Summary(churn, Champion("churn", "0" * 12, decisions[0]), decisions)])
    assert "need attention" in whole(overview)
    assert max(map(len, (compared.content, history.content, overview))) < 1_000_000


def test_settings_that_differ_are_compared(churn: Task) -> None:
    """What is the same in all versions is left out."""
    section = versions_section(churn, [decision(place) for place in range(2)])
    (data,) = re.findall(r"<script[^>]*>(.*?)</script>", section.content, re.DOTALL)
    facts = [version["facts"] for version in json.loads(data)["versions"]]
    assert [one["train.epochs"] for one in facts] == ["0", "1"]
    assert "train.note" not in facts[0]
    assert versions_section(churn, [decision(0)]).content == ""


def test_task_without_champion_and_task_with_an_error(churn: Task, tmp_path: Path) -> None:
    """Both have a card; a task that was not run is folded."""
    iris = loader.load(Workspace(ROOT), "iris")
    held = decision(1)
    page = overview_page(
        new_workspace(tmp_path / "project"),
        [Summary(churn, None, [held]), Summary(iris, error=EVIL), Summary(loader.load(Workspace(ROOT), "sine"))],
    )
    text = whole(page)
    assert "challenger 0.8" in text
    assert "1 task was not run yet" in text
    assert page.count('<article class="card">') == 2


def _search(trials: int, value: Any = None) -> dict[str, Any]:
    rates, activations = [0.1, 0.01, 0.001, 0.0001], ["relu", EVIL]
    rows = [
        {
            "trial": place,
            "value": place / trials if value is None else value,
            "val_loss": 0.5,
            "epochs": 3,
            "seconds": 1.0,
            "trouble": "",
            "values": {"train.learning_rate": rates[place % 4], "model.activation": activations[place % 2]},
        }
        for place in range(trials)
    ]
    return {
        "metric": "roc_auc",
        "pruned": 1,
        "impossible": 0,
        "importance": {EVIL: 0.7, "train.learning_rate": 0.3},
        "ranked": rows[::-1],
        "trials": rows,
    }


@pytest.mark.parametrize(("trials", "value"), [(40, None), (1, None), (2000, None), (3, math.inf)])
def test_searches_are_drawn(churn: Task, tmp_path: Path, trials: int, value: float | None) -> None:
    """One trial and very many give a history and parallel coordinates; infinite values are not drawn."""
    workspace = new_workspace(tmp_path / "project")
    files.write_text(workspace.out("churn", "search") / "search.json", json.dumps(_search(trials, value)))
    (section,) = search_sections(workspace, [churn])
    assert f"{trials:,} trials" in whole(section.content)
    assert ("Parallel coordinates" in section.content) == (value is None)
    assert len(section.content) < 1_000_000


def test_studies_have_intervals_and_damaged_files_are_left_out(tmp_path: Path) -> None:
    """Each variant has its mean, interval and sentence."""
    workspace = new_workspace(tmp_path / "project")
    variants = [
        {"name": EVIL, "mean": 0.8, "interval": [0.7, 0.9], "values": [0.8], "seconds": 1.0, "sentence": EVIL},
        {"name": "failed", "mean": None, "interval": None, "values": []},
    ]
    result = {"title": EVIL, "task": "churn", "metric": "roc_auc", "variants": variants}
    files.write_json(workspace.study("one") / "study.json", result)
    files.write_text(workspace.study("two") / "study.json", "{")
    (section,) = study_sections(workspace)
    assert section.title == "Study: one"
    whole(section.content)
    assert f"{0.7} to {0.9}" in section.content


@pytest.mark.parametrize(
    "values",
    [[1.0], [math.nan, math.inf], [0.0, 1e308, -1e308], [5.0] * 10, [*range(10)], [1e-320, 2e-320], []],
    ids=str,
)
def test_distributions_of_odd_columns(churn: Task, values: list[float]) -> None:
    """One row, one value, huge values and none at all do not fail; shares add up to 1."""
    column = {"Age": np.array(values, dtype=np.float64)}
    figures = distributions.distribution_figures(churn, column, column, {"Age": np.array([40.0, math.nan])})
    for figure in figures:
        json.dumps(figure.data, allow_nan=False)
        for line in figure.data["lines"]:
            assert sum(line["y"][::2]) == pytest.approx(1, abs=1e-4)


def test_whole_numbers_have_bins_of_their_own(churn: Task) -> None:
    """A column of 0 to 5 is drawn with six bins around its values."""
    column = {"Tenure": np.array([0, 0, 1, 5, 5, 5])}
    (figure,) = distributions.distribution_figures(churn, column, column, {})
    assert figure.data["lines"][0]["x"][::2] == [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert figure.data["lines"][0]["y"][::2] == pytest.approx([2 / 6, 1 / 6, 0, 0, 0, 3 / 6], rel=1e-4)
