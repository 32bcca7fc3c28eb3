"""The gate: a challenger replaces the champion only if it wins, also after kills."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import linear_challengers
import pytest
from linear_challengers import Project, prepared_project, use_challenger, write_challenger
from workspaces import ROOT, edit_task, main

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import PackageError, RegistryError
from tiltyard.gate.promote import promote
from tiltyard.registry.queries import status
from tiltyard.registry.registry import Registry
from tiltyard.registry.rollback import restore_previous
from tiltyard.workspace import Workspace


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared iris project with challengers of known strength."""
    return linear_challengers.prepare_challengers(tmp_path_factory.mktemp("stable"))


@pytest.fixture
def iris(stable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the project for one test, whose packages are built without a service."""
    return linear_challengers.copy_challengers(stable, tmp_path / "arena", monkeypatch)


def champion(workspace: Workspace) -> str | None:
    """Return the champion of iris."""
    current = Registry(workspace).champion("iris")
    return current.version if current else None


def verdicts(workspace: Workspace) -> list[str]:
    """Return the verdicts of all ledger lines."""
    return [json.loads(line)["verdict"] for line in workspace.ledger("iris").read_text().splitlines()]


def snapshot(workspace: Workspace) -> dict[str, str]:
    """Hash every file of a project."""
    paths = sorted(path for path in workspace.root.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_first_good_challenger_becomes_champion(iris: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pointer, ledger line and package exist, and the line contains the evidence for the decision."""
    monkeypatch.setenv("TILTYARD_ACTOR", "anna")
    workspace, task = iris
    version = use_challenger(workspace, "good")
    verdict = promote(workspace, task)
    assert (verdict.verdict, verdict.version, verdict.champion) == ("PROMOTE", version, None)
    assert champion(workspace) == version
    assert workspace.package("iris", version).is_dir()
    (line,) = Registry(workspace).decisions("iris")
    facts = files.read_json(workspace.out("iris", "prepare") / "split.json")
    assert (line.data, line.test) == (facts["data"], facts["test"])
    assert (line.commit, line.who, line.seed) == (None, "anna", task.train.seed)
    assert line.parameters["train"]["epochs"] == task.train.epochs
    assert line.metrics.keys() == task.evaluator.metrics.keys()
    states = {check["code"]: check["state"] for check in line.checks}
    assert {code for code, state in states.items() if state == "passed"} == {
        *(
            "baseline",
            "calibration",
            "collapse",
            "generalization_gap",
            "latency",
            "model_card",
            "provenance",
            "robustness",
            "size",
            "stand_in",
            "test_reuse",
        )
    }
    assert "failed" not in states.values()
    assert line.evidence["package"] == files.sha256(workspace.package("iris", version))
    assert line.evidence["over_baseline"]["low"] > 0


def test_status_says_what_a_champion_consists_of(
    iris: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A blend with references is described by one sentence, also after a rollback; other champions have none."""
    workspace, task = iris
    use_challenger(workspace, "weak")
    record = workspace.out("iris", "train") / "training.json"
    summary = "0.65 network, 0.35 boosted trees fitted to 90 training rows; weights by the loss on 30 validation rows"
    files.write_json(record, {**files.read_json(record), "blend": {"summary": summary, "parts": []}})
    assert promote(workspace, task, override="for the test").verdict == "PROMOTE"
    use_challenger(workspace, "good")
    assert promote(workspace, task).verdict == "PROMOTE"
    assert [row["consists_of"] for row in status(workspace) if row["task"] == "iris"] == [None]
    restore_previous(workspace, "iris")
    monkeypatch.chdir(workspace.root)
    assert main(monkeypatch, "status") == 0
    assert f"consists of {summary}" in capsys.readouterr().out


def test_second_promotion_changes_nothing(iris: Project) -> None:
    """The champion does not compete with itself."""
    workspace, task = iris
    version = use_challenger(workspace, "good")
    promote(workspace, task)
    before = {path: digest for path, digest in snapshot(workspace).items() if "packages" not in path}
    verdict = promote(workspace, task)
    assert (verdict.verdict, verdict.reasons) == ("HOLD", [f"version {version} is already the champion"])
    assert {path: digest for path, digest in snapshot(workspace).items() if "packages" not in path} == before


def test_worse_challenger_is_held_with_a_reason(iris: Project) -> None:
    """The sentence has both scores and the interval; a second run gives the same verdict and adds no line."""
    workspace, task = iris
    good = use_challenger(workspace, "good")
    promote(workspace, task)
    weak = use_challenger(workspace, "weak")
    verdict = promote(workspace, task)
    assert (verdict.verdict, verdict.version, champion(workspace)) == ("HOLD", weak, good)
    (reason, labels) = verdict.reasons
    gain = verdict.evidence["over_champion"]
    assert f"balanced_accuracy {gain['new']:.4g} against the champion's {gain['old']:.4g}" in reason
    assert gain["value"] < 0
    assert "only the champion on 12" in labels
    again = promote(workspace, task)
    assert (again.reasons, again.outcomes, again.recorded) == (verdict.reasons, verdict.outcomes, True)
    assert verdicts(workspace) == ["PROMOTE", "HOLD"]


def test_better_challenger_replaces_the_champion(iris: Project) -> None:
    """The gain is proven on the same rows, with the packaged model of the champion."""
    workspace, task = iris
    weak = use_challenger(workspace, "weak")
    promote(workspace, task)
    good = use_challenger(workspace, "good")
    verdict = promote(workspace, task)
    assert (verdict.verdict, verdict.champion, champion(workspace)) == ("PROMOTE", weak, good)
    assert verdict.evidence["over_champion"]["low"] > 0
    assert "against the champion's" in verdict.reasons[0]


def test_gain_below_the_minimum_is_held(iris: Project) -> None:
    """The task sets the minimum gain; with other gate settings the challenger is judged again."""
    workspace, task = iris
    use_challenger(workspace, "weak")
    promote(workspace, task)
    use_challenger(workspace, "good")
    edit_task(workspace, "iris", {"gate.minimum_gain": 0.9})
    verdict = promote(workspace, loader.load(workspace, "iris"))
    assert verdict.verdict == "HOLD"
    assert "expected an interval above zero, with an upper end of at least 0.9" in verdict.reasons[0]
    assert promote(workspace, task).verdict == "PROMOTE"


def test_dry_run_writes_nothing(iris: Project) -> None:
    """The verdict is the same, and no file changes."""
    workspace, task = iris
    use_challenger(workspace, "good")
    before = snapshot(workspace)
    assert promote(workspace, task, dry_run=True).verdict == "PROMOTE"
    assert snapshot(workspace) == before


def test_model_no_better_than_the_baseline_is_rejected(iris: Project) -> None:
    """Such a model is rejected with or without a champion."""
    workspace, task = iris
    use_challenger(workspace, "blind")
    verdict = promote(workspace, task)
    assert verdict.verdict == "REJECT"
    assert any("against the baseline's" in reason for reason in verdict.reasons)
    assert any(reason.startswith("recall of ") for reason in verdict.reasons)
    assert champion(workspace) is None


def test_latency_failure_is_judged_again_each_time(iris: Project) -> None:
    """Latency depends on the load of the machine, so its verdict is not stored for the version."""
    workspace, task = iris
    use_challenger(workspace, "good")
    slow = task.model_copy(update={"gate": task.gate.model_copy(update={"latency_ms": 1e-6})})
    first, second = promote(workspace, slow), promote(workspace, slow)
    assert first.verdict == "REJECT"
    assert "expected at most 1e-06 ms" in first.reasons[0]
    assert not second.recorded
    assert promote(workspace, task).verdict == "PROMOTE"


def test_failing_package_is_rejected_and_champion_stays(iris: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pointer changes only after the package is tested; the next run tries again."""
    workspace, task = iris
    weak = use_challenger(workspace, "weak")
    promote(workspace, task)
    good = use_challenger(workspace, "good")

    def fail(*_: object, **__: object) -> str:
        raise PackageError("the service answers otherwise\nwith details")

    with monkeypatch.context() as patch:
        patch.setattr("tiltyard.serving.packaging.package.package", fail)
        verdict = promote(workspace, task)
    assert (verdict.verdict, verdict.reasons) == ("REJECT", ["the service answers otherwise"])
    assert champion(workspace) == weak
    assert verdicts(workspace) == ["PROMOTE", "REJECT"]
    assert promote(workspace, task).verdict == "PROMOTE"
    assert champion(workspace) == good


def test_rolled_back_version_is_not_promoted_again(iris: Project) -> None:
    """The next run does not undo a rollback; --again does."""
    workspace, task = iris
    weak = use_challenger(workspace, "weak")
    promote(workspace, task)
    good = use_challenger(workspace, "good")
    promote(workspace, task)
    restore_previous(workspace, "iris")
    verdict = promote(workspace, task)
    assert (verdict.verdict, champion(workspace)) == ("HOLD", weak)
    assert "was rolled back by" in verdict.reasons[0]
    assert "tiltyard promote iris --again" in verdict.reasons[0]
    assert promote(workspace, task, again=True).verdict == "PROMOTE"
    assert champion(workspace) == good


def test_promotion_without_evaluation_is_rejected(iris: Project) -> None:
    """The error names the missing report."""
    shutil.rmtree(iris[0].out("iris", "evaluate"))
    with pytest.raises(RegistryError, match=r"iris has no evaluation: expected out/iris/evaluate/report\.json"):
        promote(*iris)


def test_missing_champion_package_is_an_error(iris: Project) -> None:
    """Without its package the champion cannot be compared."""
    workspace, task = iris
    weak = use_challenger(workspace, "weak")
    promote(workspace, task)
    workspace.package("iris", weak).rename(workspace.root / "elsewhere")
    use_challenger(workspace, "good")
    with pytest.raises(RegistryError, match=f"the package of iris {weak} is not here"):
        promote(workspace, task)
    assert champion(workspace) == weak


def test_missing_champion_package_is_rebuilt(iris: Project) -> None:
    """In a fresh clone with only the pointer, the same training gives the same version and its package."""
    workspace, task = iris
    version = use_challenger(workspace, "good")
    promote(workspace, task)
    workspace.package("iris", version).rename(workspace.root / "elsewhere")
    promote(workspace, task)
    assert workspace.package("iris", version).is_dir()


def test_ledger_records_the_commit(iris: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a git repository the line has the commit, and whether files differed from it."""
    workspace, task = iris
    for key in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{key}_NAME", "anna")
        monkeypatch.setenv(f"GIT_{key}_EMAIL", "anna@example.org")
    for command in (["init", "-q"], ["add", "tasks"], ["commit", "-qm", "Begin"]):
        subprocess.run(["git", "-C", str(workspace.root), *command], check=True)
    head = subprocess.run(
        ["git", "-C", str(workspace.root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    edit_task(workspace, "iris", {"train.epochs": 7})
    use_challenger(workspace, "good")
    promote(workspace, task)
    (line,) = Registry(workspace).decisions("iris")
    assert (line.commit, line.dirty) == (head.stdout.strip(), True)


KILLED = """
import os, pathlib, signal, sys
sys.path.insert(0, sys.argv[3])
from linear_challengers import quick_package
from tiltyard import files
from tiltyard.config import loader as task_file
from tiltyard.registry import ledger
from tiltyard.serving.packaging import package
from tiltyard.gate.promote import promote
from tiltyard.workspace import Workspace

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def torn(handle, content, write=os.write):
    write(handle, content[:len(content) // 2])
    die()

def swap(file, to):
    die() if "champions" in str(to) else os.replace(file, to)

package.package = quick_package
match sys.argv[2]:
    case "in the package": package.package = die
    case "before the pointer": files.write_json = die
    case "in the pointer": pathlib.Path.replace = swap
    case "before the line": ledger.Ledger.append = die
    case "in the line": os.write = torn
workspace = Workspace(pathlib.Path(sys.argv[1]))
print(promote(workspace, task_file.load(workspace, "iris")).verdict)
"""


def start(workspace: Workspace, point: str) -> subprocess.Popen[str]:
    """Run a promotion in a separate process, which kills itself at a point."""
    command = [sys.executable, "-c", KILLED, str(workspace.root), point, str(ROOT / "tests/builders")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("point", "pointer_moved"),
    [
        ("in the package", False),
        ("before the pointer", False),
        ("in the pointer", False),
        ("before the line", True),
        ("in the line", True),
    ],
)
def test_kill_leaves_the_old_or_the_new_champion(iris: Project, point: str, pointer_moved: bool) -> None:
    """There is always a champion; the next run completes, and each promotion is recorded once."""
    workspace, task = iris
    weak = use_challenger(workspace, "weak")
    promote(workspace, task)
    good = use_challenger(workspace, "good")
    with start(workspace, point) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert champion(workspace) == (good if pointer_moved else weak)
    promote(workspace, task)
    assert champion(workspace) == good
    assert [line.version for line in Registry(workspace).decisions("iris")] == [weak, good]
    assert verdicts(workspace) == ["PROMOTE", "PROMOTE"]
    assert [path.name for path in workspace.champion("iris").parent.iterdir()] == ["iris.json"]


def test_concurrent_promotions_run_one_after_the_other(iris: Project) -> None:
    """One promotes; the other judges after it and finds that version as the champion."""
    workspace, _ = iris
    use_challenger(workspace, "good")
    both = [start(workspace, "never") for _ in range(2)]
    assert sorted(process.communicate(timeout=60)[0].strip() for process in both) == ["HOLD", "PROMOTE"]
    assert verdicts(workspace) == ["PROMOTE"]


@pytest.mark.slow
def test_promotion_with_a_real_package(tmp_path: Path) -> None:
    """The Bento is built, started and tested before the champion changes."""
    workspace, task = prepared_project(tmp_path, "diabetes")
    write_challenger(workspace, task, slice(None))
    verdict = promote(workspace, task)
    assert verdict.verdict == "PROMOTE", verdict.reasons
    assert (workspace.package("diabetes", verdict.version) / "proven.json").is_file()
