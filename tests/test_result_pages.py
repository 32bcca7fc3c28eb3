"""Tables of results: what is compared, stale verdicts, stand-ins without a row, rivals, and sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import judging
import measured
import pytest
import results
from rows import ROWS, Row
from workspaces import ROOT

from tiltyard.experiments import study_plan
from tiltyard.workspace import Workspace

Json = dict[str, Any]
STUDIES = ("batch_norm_notes", "optimizers_notes")


def test_every_task_is_measured() -> None:
    """Each task is a row or a net of one, and the nets that rows name are tasks."""
    tasks = {*Workspace(ROOT).tasks()}
    nets = {net for row in ROWS.values() for net in (row.net, row.ours) if net}
    assert {*ROWS} | nets == tasks


PAIRS = [(name, row.ours) for name, row in ROWS.items() if row.net and row.ours]


@pytest.mark.parametrize(("name", "other"), PAIRS)
def test_both_nets_have_the_same_rows(name: str, other: str) -> None:
    """Columns, split and seeds are those of the row's task; network and training are the other's."""
    own, ours = measured.settings(name, 3), measured.settings(name, 3, other)
    assert [own[key] for key in ("source", "columns", "split")] == [ours[key] for key in ("source", "columns", "split")]
    assert own["split"]["seed"] == own["train"]["seed"] == ours["train"]["seed"] == 3
    assert ours["model"] == measured.task_file(other)["model"]
    assert measured.settings_hash(own) != measured.settings_hash(ours)


def test_hash_has_what_training_depends_on() -> None:
    """Another gate is the same training; another rate, seed or base is another one."""
    content = measured.settings("transfer", 0)
    before = measured.settings_hash(content)
    assert measured.settings_hash({**content, "gate": {"metric": "macro_f1"}}) == before
    assert measured.settings_hash({**content, "train": {**content["train"], "learning_rate": 1}}) != before
    assert measured.settings_hash(measured.settings("transfer", 1)) != before
    assert measured.settings_hash({**content, "model": {**content["model"], "base": "lenet5"}}) != before


def test_fingerprint_is_that_of_code_and_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docstrings and comments do not change it; a statement, the task's gate, and its evaluator do."""
    module = tmp_path / "gate" / "check.py"
    monkeypatch.setattr(judging, "SOURCE", tmp_path)
    monkeypatch.setattr(judging, "JUDGING", ("gate",))

    def digest(code: str, evaluator: str = "", gate: str = "accuracy") -> str:
        judging._statements.cache_clear()
        for path, text in ((module, code), (tmp_path / "modeling/evaluators/classification.py", evaluator)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return judging.digest({"problem": "classification", "gate": {"metric": gate}})

    (tmp_path / "modeling/evaluators").mkdir(parents=True)
    (tmp_path / "modeling/evaluators/_curves.py").write_text("x = 1\n", encoding="utf-8")
    first = digest('"""Words."""\nLIMIT = 1\n')
    assert digest('"""Others."""\n# why\nLIMIT = 1\n') == first
    changed = [digest("LIMIT = 2\n"), digest("LIMIT = 1\n", "x = 1\n"), digest("LIMIT = 1\n", gate="macro_f1")]
    using = "from tiltyard.modeling.evaluators import _curves\n"
    changed.append(digest("LIMIT = 1\n", using))
    (tmp_path / "modeling/evaluators/_curves.py").write_text("x = 2\n", encoding="utf-8")
    changed.append(digest("LIMIT = 1\n", using))  # what the evaluator imports has changed
    assert len({first, *changed}) == 6


def test_fingerprint_leaves_out_other_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that only another problem is judged by does not make a verdict stale; what both import does."""
    monkeypatch.setattr(judging, "SOURCE", tmp_path)
    monkeypatch.setattr(judging, "JUDGING", ("evaluation/evaluate.py",))
    sources = {
        "modeling/problems/detection.py": "",
        "evaluation/evaluate.py": "def run():\n    from tiltyard.evaluation import (\n    detection,\n    slices)\n",
        "evaluation/detection.py": "from tiltyard.modeling.metrics import overlap\n",
        "evaluation/slices.py": "x = 1\n",
        "modeling/metrics/overlap.py": "x = 1\n",
    }
    for path, text in sources.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")

    def digests() -> tuple[str, str]:
        judging._statements.cache_clear()
        return judging.digest({"problem": "regression"}), judging.digest({"problem": "detection"})

    first = digests()
    (tmp_path / "modeling/metrics/overlap.py").write_text("x = 2\n", encoding="utf-8")
    second = digests()
    assert (first[0] == second[0], first[1] == second[1]) == (True, False)
    (tmp_path / "evaluation/slices.py").write_text("x = 2\n", encoding="utf-8")
    assert not {*digests()} & {*second}


def _run(value: float, **more: Any) -> Json:
    return {
        "net": "iris_notes",
        "metric": "accuracy",
        "metrics": {"accuracy": value},
        "baseline": {"accuracy": 0.33},
        "parameters": 67,
        "seconds": 2.0,
        "machine": "a machine",
        "date": "2026-01-01",
        "verdict": "PROMOTE",
        "reasons": ["r"],
        "judged_by": judging.digest(measured.task_file("iris_notes")),
        "reference": {"model": "a linear model", "old": 0.9, "high": -0.01},
        **more,
    }


def _section(monkeypatch: pytest.MonkeyPatch, notes: list[Json], ours: list[Json]) -> str:
    """Return the section of one row with these runs."""
    runs = {"": dict(enumerate(notes)), "iris": dict(enumerate(ours))}
    monkeypatch.setattr(measured, "found", lambda _name, _seeds, net="": runs[net])
    return results.section({"iris_notes": Row("accuracy", "iris_notes", "iris", 0.93, seeds=2)})


def test_row_has_both_nets_intervals_and_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row has mean and interval of both nets, the rival, and the sentences that so many runs allow."""
    text = _section(monkeypatch, [_run(0.80), _run(0.81)], [_run(0.90), _run(0.90)])
    assert "| `iris_notes` | accuracy | 0.9300 | **0.8050** (0.7415 to 0.8685), 67 | **0.9000** (all equal), 67" in text
    assert "| 0.9000 (a linear model, surely better in 2 of 2) | 2 + 2 | PROMOTE 2; PROMOTE 2 |" in text
    assert "- accuracy: `iris` is better than `iris_notes` by 0.095 (95% interval 0.031 to 0.16)." in text
    assert "- accuracy: `iris_notes` is worse than the published 0.9300 by 0.12" in text
    assert "- `iris_notes`: a simple rival (a linear model) is better beyond chance in 2 of 2 runs." in text
    assert "Not measured" not in text


def test_stale_and_missing_runs_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts of another gate are stale; a row without all its runs is listed; reasons of a rejection are given."""
    held = _run(0.90, verdict="HOLD", reasons=["too few rows"])
    text = _section(monkeypatch, [_run(0.80, judged_by="earlier"), _run(0.81)], [held])
    assert "PROMOTE 1, stale: PROMOTE 1; HOLD 1" in text or "stale: PROMOTE 1, PROMOTE 1; HOLD 1" in text
    assert "1 of 1 runs not promoted; the first: too few rows." in text
    assert "Not measured with all seeds, or judged by another gate: `iris_notes`." in text


def test_stand_ins_have_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on generated data is kept, but has no row among the figures."""
    text = _section(monkeypatch, [_run(1.0, stand_in="made-up flowers")], [])
    assert "| `iris_notes` |" not in text
    assert "No figure for `iris_notes`: there is only a stand-in" in text


def test_further_evaluations_of_forecasts_are_remarks() -> None:
    """Walk-forward evaluations and the last step of roll-outs are means over runs; significant steps are counted."""
    gain = {"low": 1.0}
    walks = [
        {"metrics": {"rmse": value}, "trainings": 21, "over_baseline": better}
        for value, better in ((20.0, gain), (22.0, None))
    ]
    steps = [
        {"rmse": 1.0, "baseline": 1.0, "gain_low": -1.0, "gain_high": 1.0},
        {"rmse": 5.0, "baseline": 3.0, "gain_low": -3.0, "gain_high": -1.0},
    ]
    row = Row("rmse", "airline_lstm")

    def sentences(*runs: Json) -> list[str]:
        return results._further(
            "airline_lstm", row, {"notes": {i: {"net": "airline_lstm", **run} for i, run in enumerate(runs)}}
        )

    assert sentences(*({"walk_forward": walk} for walk in walks)) == [
        (
            "`airline_lstm`, walk-forward: rmse 21.00 (21 trainings in each run), surely better than the baseline "
            "in 1 of 2 runs."
        )
    ]
    assert sentences({"rollout": {"by_step": steps}}) == [
        (
            "`airline_lstm`, rolled out 2 steps: rmse 5.00 at the last, the naive forecast 3.0000; "
            "of 2 steps of all runs 0 are surely better, 1 surely worse."
        )
    ]
    assert sentences({}) == []


def test_published_results_of_the_page_are_no_stand_ins() -> None:
    """No row of the page is about generated bars or made-up pictures."""
    text = (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8")
    for name in ("fashion_mnist", "crypto_direction"):
        assert f"| `{name}` |" not in text


@pytest.mark.parametrize("name", STUDIES)
def test_studies_of_the_notes_can_be_read(name: str) -> None:
    """Both have variants of a task of the notes, and use all rows."""
    plan = study_plan.read(ROOT / "studies" / f"{name}.yaml")
    assert plan.rows is None
    assert len(plan.all_variants()) >= 2
