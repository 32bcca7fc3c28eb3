"""The HTML report of all tasks, from evaluation, registry, validation and explanations."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from balanced_html import BalancedHtmlParser
from click.testing import CliRunner
from linear_challengers import prepared_project, quick_package, write_challenger

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import RegistryError
from tiltyard.explain.explain import explain
from tiltyard.gate.promote import promote
from tiltyard.registry.queries import status
from tiltyard.registry.registry import Registry
from tiltyard.report.report import report, task_page, write_page
from tiltyard.validation import validate
from tiltyard.workspace import Workspace

Project = tuple[Workspace, Task]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Diabetes with a champion and a challenger that lost; iris without outputs."""
    workspace, task = prepared_project(tmp_path_factory.mktemp("judged"), "diabetes")
    validate.validate(workspace, task)
    write_challenger(workspace, task, slice(None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiltyard.serving.packaging.package.package", quick_package)
        assert promote(workspace, task).verdict == "PROMOTE"
        write_challenger(workspace, task, slice(3))
        assert promote(workspace, task).verdict != "PROMOTE"
    return workspace.root


@pytest.fixture
def project(judged: Path, tmp_path: Path) -> Project:
    """A copy of `judged` for one test."""
    shutil.copytree(judged, tmp_path / "own")
    workspace = Workspace(tmp_path / "own")
    return workspace, loader.load(workspace, "diabetes")


def sections(page: str) -> dict[str, str]:
    """Return the text of each section by its heading."""
    parts = re.findall(r'<section id="[^"]+"><h2>([^<]+)</h2>(.*?)</section>', page, re.DOTALL)
    return {title: BalancedHtmlParser(content).text for title, content in parts}


def test_task_page_has_all_sections(project: Project) -> None:
    """Verdict, champion and challenger, ledger, data and lineage are there, and each section is linked."""
    workspace, task = project
    written = task_page(workspace, task)
    content = sections(written)
    tabs = {
        "verdict": ["Verdict", "Champion and challenger"],
        "performance": ["Metrics", "Predictions"],
        "errors": ["By feature", "By slice", "Largest errors", "Smallest errors"],
        "explanations": ["Explanations"],
        "training": ["Training", "Settings and environment", "Lineage", "Provenance"],
        "data-and-drift": ["Data", "Distributions", "Drift", "Data docs"],
        "history": ["History", "Compare versions"],
    }
    assert [*content] == [name for names in tabs.values() for name in names]
    assert re.findall(r'<div class="panel" id="tab-([^"]+)">', written) == [*tabs]
    assert written.count('<li><a href="#') == len(content) - 1  # a single section needs no links
    assert "beats the champion" in content["Verdict"]
    assert "checks do not apply" in content["Verdict"]
    assert "one row takes" in content["Verdict"]  # a check that passed shows its values
    assert "not recorded" not in content["Verdict"]
    assert "challenges the champion" in content["Champion and challenger"]
    assert "The ledger is intact" in content["History"]
    assert "25 of 25 expectations are met by 442 rows" in content["Data docs"]
    assert "none: it is not the champion" in content["Lineage"]
    assert "tiltyard explain diabetes" in content["Explanations"]


def test_metrics_of_champion_and_challenger_are_shown(project: Project) -> None:
    """All metrics of both, their gain, and the interval that the gate used are shown."""
    workspace, task = project
    written = task_page(workspace, task)
    decision = json.loads(workspace.ledger("diabetes").read_text().splitlines()[-1])
    gain = decision["evidence"]["over_champion"]
    (plot,) = re.findall(r'Gain</h3>.*?json">(.*?)</script>', written, re.DOTALL)
    bars = {bar["name"]: bar for bar in json.loads(plot)["bars"]}
    assert bars["over the champion"]["high"] == pytest.approx(gain["high"])
    table = sections(written)["Champion and challenger"]
    assert f"{gain['new']:.4g}" in table
    assert f"{gain['old']:.4g}" in table
    assert f"{gain['value']:.4g}" in table


def test_metric_has_the_same_title_everywhere(project: Project) -> None:
    """Overview, metrics, gain and lineage show the same title, with its capitals."""
    workspace, task = project
    title = "Root mean squared error (RMSE)"
    written = task_page(workspace, task)
    content = sections(written)
    assert f"Gain: {title}" in written
    assert title in content["Metrics"]
    assert f"{title}: " in content["Lineage"]
    report(workspace, [task])
    assert title in (workspace.report / "index.html").read_text(encoding="utf-8")


def test_tampered_ledger_is_reported(project: Project) -> None:
    """The page says that a line was changed."""
    workspace, task = project
    path = workspace.ledger("diabetes")
    path.write_text(path.read_text().replace('"who":"', '"who":"not ', 1))
    assert "was changed" in sections(task_page(workspace, task))["History"]


def _set_value(line: dict[str, Any], key_path: str, value: object) -> dict[str, Any]:
    """Set the value at a path such as checks.0.observed."""
    *outer, last = key_path.split(".")
    inner: Any = line
    for key in outer:
        inner = inner[int(key) if isinstance(inner, list) else key]
    inner[int(last) if isinstance(inner, list) else last] = value
    return line


def _edit_ledger(workspace: Workspace, key_path: str, value: object) -> None:
    """Edit each line of the ledger of diabetes."""
    path = workspace.ledger("diabetes")
    lines = [_set_value(json.loads(line), key_path, value) for line in path.read_text().splitlines()]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


HOSTILE = "<img src=x onerror=alert(1)>"
NUMBER_KEYS = ("observed", "limit", "rows")
NOT_NUMBERS: list[object] = [HOSTILE, "0.5", True, [1], {"a": 1}]
NOT_INTERVALS: list[object] = [HOSTILE, [], [1], [1, 2, 3], [HOSTILE, HOSTILE], [None, None], 7]
NOT_TEXTS: list[object] = [None, 3, ["passed"]]
NOT_CHECKS: list[object] = [{}, HOSTILE, None, []]
NOT_LISTS: list[object] = [{}, HOSTILE, None, 3]
NOT_OBJECTS: list[object] = [[], HOSTILE, None, 3]
NOT_GAINS: list[object] = [HOSTILE, [1, 2], 3, {"value": 1}]


@pytest.mark.parametrize(
    ("key_path", "value"),
    [
        *((f"checks.0.{figure}", value) for figure in NUMBER_KEYS for value in NOT_NUMBERS),
        *(("checks.0.interval", value) for value in NOT_INTERVALS),
        *((f"checks.0.{key}", value) for key in ("code", "title", "text", "state") for value in NOT_TEXTS),
        *(("checks.0", value) for value in NOT_CHECKS),
        *(("checks", value) for value in NOT_LISTS),
        *(("evidence", value) for value in NOT_OBJECTS),
        *(
            (f"evidence.{rival}", value)
            for rival in ("over_champion", "over_baseline", "simple")
            for value in NOT_GAINS
        ),
        *((f"evidence.over_baseline.{end}", value) for end in ("value", "low", "high") for value in (HOSTILE, None)),
        *((f"evidence.{name}", 3) for name in ("package", "code", "challenge")),
        *((key, "\ud800") for key in ("who", "time", "metric", "version")),
        ("checks.0.text", "\udfff"),
        ("reasons", ["\ud800"]),
        ("checks.0.observed", 10**400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_values_of_a_wrong_type_are_rejected(judged: Path, tmp_path: Path, key_path: str, value: object) -> None:
    """The message names the line and the key of the value."""
    workspace = Workspace(tmp_path)
    shutil.copytree(Workspace(judged).ledger("diabetes").parent, workspace.ledger("diabetes").parent)
    _edit_ledger(workspace, key_path, value)
    with pytest.raises(RegistryError, match=r"line 1 of .*diabetes\.jsonl is not a decision: .*expected") as caught:
        Registry(workspace).decisions("diabetes")
    assert "UTF-8" in caught.value.message or key_path.partition(".")[0] in caught.value.message
    assert HOSTILE not in caught.value.message


@pytest.mark.parametrize(
    ("key_path", "value"),
    [
        ("checks.0.observed", HOSTILE),
        ("checks.0.interval", [HOSTILE]),
        ("checks.0", HOSTILE),
        ("evidence.over_baseline", HOSTILE),
        ("who", "\ud800"),
    ],
    ids=ascii,
)
def test_ledger_with_wrong_types_is_reported(
    project: Project, monkeypatch: pytest.MonkeyPatch, key_path: str, value: object
) -> None:
    """Its page and row name the line and key, other tasks have their pages, and no command shows a traceback."""
    workspace, task = project
    _edit_ledger(workspace, key_path, value)
    report(workspace, [task, loader.load(workspace, "iris")])
    written = (workspace.report / "diabetes.html").read_text()
    assert "is not a decision" in written
    assert HOSTILE not in written
    assert "tiltyard run iris" in (workspace.report / "iris.html").read_text()
    rows = {row["task"]: row for row in status(workspace)}
    assert "is not a decision" in rows["diabetes"]["mistake"]
    assert rows["iris"]["mistake"] is None
    monkeypatch.setenv("TILTYARD_ROOT", str(workspace.root))
    for verb in ("history", "why", "promote"):
        result = CliRunner().invoke(cli, [verb, "diabetes"])
        assert isinstance(result.exception, RegistryError)
        assert "is not a decision" in result.exception.message


@pytest.mark.parametrize(
    ("key_path", "value"),
    [
        *((f"checks.0.{figure}", None) for figure in (*NUMBER_KEYS, "interval")),
        *(("checks.0.observed", value) for value in (3, -1e308, float("nan"))),
        *(("evidence.over_baseline.low", float(value)) for value in ("nan", "-inf")),
        *(("metrics.rmse", float(value)) for value in ("nan", "inf", 1e308)),
        *((key_path, {"written": "by a later release"}) for key_path in ("checks.0.more", "evidence.more", "more")),
        ("evidence.over_champion", None),
        ("checks", []),
        ("evidence", {}),
    ],
    ids=ascii,
)
def test_ledger_of_another_release_is_shown(project: Project, key_path: str, value: object) -> None:
    """Values may be missing, undefined or infinite, and keys may be unknown to this release."""
    workspace, task = project
    _edit_ledger(workspace, key_path, value)
    report(workspace, [task])
    assert "History" in sections((workspace.report / "diabetes.html").read_text())
    promote(workspace, task)  # promotion reads earlier decisions


def test_ledger_without_check_values_is_shown(project: Project) -> None:
    """Checks without values, and passed checks without text, are shown."""
    workspace, task = project
    path, keys = workspace.ledger("diabetes"), ("code", "title", "state", "severity", "repeatable")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["checks"] = [{**{key: check[key] for key in keys}, "text": ""} for check in line["checks"]]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert "were not recorded" in sections(task_page(workspace, task))["Verdict"]


def test_explanations_of_another_version_are_marked(project: Project) -> None:
    """Explanations of another version than that of the page are marked."""
    workspace, task = project
    write_challenger(workspace, task, slice(None))
    assert "which is not here" in explain(workspace, task)["left_out"]["saliency"]  # only the ONNX file exists
    assert "Permutation importance" in sections(task_page(workspace, task))["Explanations"]
    path = workspace.out("diabetes", "explain") / "explain.json"
    files.write_json(path, {**files.read_json(path), "version": "another"})
    assert "Of version another." in sections(task_page(workspace, task))["Explanations"]


def test_sealed_rows_are_read_once_per_page(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check that the evaluation is about these rows also returns them."""
    workspace, task = project
    opened, load = Counter[str](), np.load

    def counting_load(file: Path, **options: Any) -> Any:
        opened[Path(file).name] += 1
        return load(file, **options)

    monkeypatch.setattr(np, "load", counting_load)
    assert "sealed test rows" in task_page(workspace, task)
    assert opened["test.npz"] == 1


def test_task_without_outputs_has_a_page(project: Project) -> None:
    """The page names the command to run."""
    workspace, _ = project
    assert "tiltyard run iris" in task_page(workspace, loader.load(workspace, "iris"))


def _retrain(workspace: Workspace, task: Task) -> None:
    out = workspace.out(task.name, "evaluate")
    evaluated = files.read_json(out / "report.json"), (out / "predictions.npz").read_bytes()
    write_challenger(workspace, task, slice(None))
    files.write_json(out / "report.json", evaluated[0])
    (out / "predictions.npz").write_bytes(evaluated[1])


def _change_test_rows(workspace: Workspace, task: Task) -> None:
    path = workspace.out(task.name, "evaluate") / "report.json"
    files.write_json(path, {**files.read_json(path), "test": "e" * 64})


def _delete_training(workspace: Workspace, task: Task) -> None:
    shutil.rmtree(workspace.out(task.name, "train"))


def _delete_preparation(workspace: Workspace, task: Task) -> None:
    shutil.rmtree(workspace.out(task.name, "prepare"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_retrain, "is about another version"),
        (_delete_training, "diabetes has no model"),
        (_change_test_rows, "is about another test"),
        (_delete_preparation, "no test rows of diabetes"),
    ],
)
def test_metrics_of_another_model_or_other_rows_are_not_shown(
    project: Project, change: Callable[[Workspace, Task], None], message: str
) -> None:
    """The page says why and still shows the history, and the report of other tasks is written."""
    workspace, task = project
    change(workspace, task)
    assert report(workspace, [task])["pages"] == ["index.html", "diabetes.html"]
    written = (workspace.report / "diabetes.html").read_text()
    assert message in BalancedHtmlParser(written).text
    assert [*sections(written)] == ["History", "Data docs"]


def test_overview_lists_and_links_all_tasks(project: Project) -> None:
    """It shows champions, metrics and verdicts as dots, and other files in the folder are kept."""
    workspace, task = project
    folder = workspace.root / "site"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    result = report(workspace, [task, loader.load(workspace, "iris")], folder)
    assert result["pages"] == ["index.html", "diabetes.html", "iris.html"]
    assert {path.name for path in folder.iterdir()} == {*result["pages"], "mine.txt"}
    overview = (folder / "index.html").read_text()
    assert "2 tasks1 with a champion1 need attention1 not run yet" in BalancedHtmlParser(overview).text.replace(
        "\n", ""
    )
    assert '<a href="diabetes.html">' in overview
    assert overview.count('<circle class="') == 4  # two verdicts, on the card and in the table
    assert "lower is better" in overview
    checks = Registry(workspace).decisions("diabetes")[-1].checks
    failed = next(check for check in checks if check["state"] == "failed")
    assert f"{failed['title']}: {failed['text']}" in BalancedHtmlParser(overview).text
    assert not BalancedHtmlParser(overview).open


def test_page_links_to_the_overview_if_it_exists(project: Project) -> None:
    """Without an overview there is no link; the page of a task with an unreadable ledger says why."""
    workspace, task = project
    path = write_page(workspace, task)
    assert path == workspace.report / "diabetes.html"
    assert "Verdict" in sections(path.read_text())
    assert "index.html" not in path.read_text()
    report(workspace, [task])
    assert '<a href="index.html">' in write_page(workspace, task).read_text()
    _edit_ledger(workspace, "who", 3)
    assert "is not a decision" in write_page(workspace, task).read_text()


def test_report_command_prints_the_folder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default folder is out/report; --json prints the paths."""
    workspace, _ = project
    monkeypatch.setenv("TILTYARD_ROOT", str(workspace.root))
    result = CliRunner().invoke(cli, ["report", "diabetes", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout) == {"folder": str(workspace.report), "pages": ["index.html", "diabetes.html"]}
    assert (workspace.report / "index.html").is_file()
    result = CliRunner().invoke(cli, ["report", "diabetes"], catch_exceptions=False)
    assert "index.html, and 1 more page" in result.stdout


@pytest.mark.parametrize("browser_found", [True, False])
def test_open_starts_a_browser_if_available(
    project: Project, monkeypatch: pytest.MonkeyPatch, *, browser_found: bool
) -> None:
    """--open passes the full address to the browser; without a browser a message says so."""
    workspace, _ = project
    monkeypatch.setenv("TILTYARD_ROOT", str(workspace.root))
    monkeypatch.chdir(workspace.root)
    opened: list[str] = []

    def open_browser(address: str) -> bool:
        opened.append(address)
        return browser_found

    monkeypatch.setattr("webbrowser.open", open_browser)
    result = CliRunner().invoke(cli, ["report", "iris", "--into", "here", "--open"], catch_exceptions=False)
    assert opened == [(workspace.root / "here" / "index.html").resolve().as_uri()]
    assert ("no browser was found" in result.stderr) is not browser_found
