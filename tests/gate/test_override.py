"""A person's word against HOLD: recorded and shown for ever, and never against REJECT."""

from __future__ import annotations

import json
from pathlib import Path

import linear_challengers
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from linear_challengers import Project, use_challenger

from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.errors import PackageError, RegistryError
from tiltyard.gate.override import MAX_CHARACTERS, check_reason
from tiltyard.gate.promote import promote
from tiltyard.registry.queries import recorded_override, status
from tiltyard.registry.registry import Registry
from tiltyard.registry.rollback import restore_previous
from tiltyard.report.sections.history import history_section
from tiltyard.report.sections.verdict import verdict_section
from tiltyard.serving.packaging.model_card import card
from tiltyard.workspace import Workspace

HOSTILE = "<script>alert(1)</script> | [x](javascript:1) `"


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared iris project with challengers of known strength."""
    return linear_challengers.prepare_challengers(tmp_path_factory.mktemp("stable"))


@pytest.fixture
def held(stable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Project, str, str]:
    """A project whose champion is good and whose challenger is weaker; also both versions."""
    monkeypatch.setenv("TILTYARD_ACTOR", "anna")
    workspace, task = linear_challengers.copy_challengers(stable, tmp_path / "arena", monkeypatch)
    gate = task.gate.model_copy(update={"latency_ms": 10_000.0})  # a busy machine is no reason to reject
    project = workspace, task.model_copy(update={"gate": gate})
    good = use_challenger(project[0], "good")
    promote(*project)
    return project, good, use_challenger(project[0], "weak")


def champion(workspace: Workspace) -> str:
    """Return the champion of iris."""
    current = Registry(workspace).champion("iris")
    assert current is not None
    return current.version


@pytest.mark.parametrize("known", [False, True])
def test_override_promotes_a_held_challenger(held: tuple[Project, str, str], known: bool) -> None:
    """Whether HOLD is in the ledger already or not; the line holds name, reason and failed checks."""
    (workspace, task), _, weak = held
    if known:
        assert promote(workspace, task).verdict == "HOLD"
    verdict = promote(workspace, task, override=f"  {HOSTILE} ")
    assert (verdict.verdict, champion(workspace)) == ("PROMOTE", weak)
    line = Registry(workspace).decisions("iris")[-1]
    assert (line.verdict, line.who, line.reasons[0]) == ("PROMOTE", "anna", f"override by anna: {HOSTILE}")
    assert line.evidence["override"]["reason"] == HOSTILE
    assert "champion" in line.evidence["override"]["failed"]
    assert not Registry(workspace).faults("iris")
    assert len(Registry(workspace).decisions("iris")) == 2 + known
    assert promote(workspace, task).recorded


def test_override_is_shown_and_escaped_for_ever(held: tuple[Project, str, str]) -> None:
    """In status, report and card, and again after the version was replaced and rolled back to."""
    (workspace, task), _, weak = held
    promote(workspace, task, override=HOSTILE)
    use_challenger(workspace, "good")
    assert promote(workspace, task, again=True).verdict == "PROMOTE"
    restore_previous(workspace, "iris")
    assert champion(workspace) == weak
    (row,) = (row for row in status(workspace) if row["task"] == "iris")
    assert row["override"]["reason"] == HOSTILE
    decisions = Registry(workspace).decisions("iris")
    pages = [verdict_section(decisions[1]).content, history_section(workspace, task, decisions).content]
    for page in pages:
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        assert "anna" in page
    word = recorded_override(workspace, "iris", weak)
    report = json.loads((workspace.out("iris", "evaluate") / "report.json").read_text())
    training = json.loads((workspace.out("iris", "train") / "training.json").read_text())
    text = card(task, report, {"epochs": 1, "best_epoch": 1, "seed": 0, "parameters": 1, **training}, {}, word)
    assert "**The gate held this model**" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\| \\[x\\](javascript:1) \\`" in text


def test_rejected_challenger_stays_rejected(held: tuple[Project, str, str]) -> None:
    """The error names the checks; REJECT is recorded once, since it used the sealed rows."""
    (workspace, task), good, _ = held
    use_challenger(workspace, "blind")
    for _ in range(2):
        with pytest.raises(RegistryError, match=r"was rejected by baseline.*an override counts only against HOLD"):
            promote(workspace, task, override="it is fine")
    assert champion(workspace) == good
    assert [decision.verdict for decision in Registry(workspace).decisions("iris")] == ["PROMOTE", "REJECT"]


def test_failed_package_is_no_matter_of_opinion(
    held: tuple[Project, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packaged service is tested after an override, and its failure rejects the version."""
    (workspace, task), good, _ = held

    def fail(*_: object, **__: object) -> str:
        raise PackageError("the service answers otherwise")

    monkeypatch.setattr("tiltyard.serving.packaging.package.package", fail)
    verdict = promote(workspace, task, override="it is fine")
    assert (verdict.verdict, champion(workspace)) == ("REJECT", good)


def test_override_is_no_approval(held: tuple[Project, str, str]) -> None:
    """A task that requires approval needs it also then."""
    (workspace, task), good, _ = held
    careful = task.model_copy(update={"gate": task.gate.model_copy(update={"approval": True})})
    with pytest.raises(RegistryError, match="an override is no approval") as caught:
        promote(workspace, careful, override="it is fine")
    assert caught.value.hint == "tiltyard approve iris"
    assert champion(workspace) == good


def test_winner_needs_no_override(held: tuple[Project, str, str]) -> None:
    """The word is not recorded where it changes nothing."""
    (workspace, task), good, _ = held
    use_challenger(workspace, "good")
    assert promote(workspace, task, override="it is fine").version == good
    assert recorded_override(workspace, "iris", good) is None
    assert len(Registry(workspace).decisions("iris")) == 1


def test_rolled_back_version_is_judged_before_an_override(held: tuple[Project, str, str]) -> None:
    """Without the checks' result there is nothing to override."""
    (workspace, task), _, weak = held
    promote(workspace, task, override="it is fine")
    restore_previous(workspace, "iris")
    with pytest.raises(RegistryError, match=r"was rolled back by anna.*needs the result of the checks"):
        promote(workspace, task, override="it is fine")
    assert promote(workspace, task, override="it is fine", again=True).version == weak
    assert champion(workspace) == weak


def test_dry_run_of_an_override_changes_nothing(held: tuple[Project, str, str]) -> None:
    """It prints the verdict that would be recorded."""
    (workspace, task), good, _ = held
    assert promote(workspace, task, override="it is fine", dry_run=True).verdict == "PROMOTE"
    assert (champion(workspace), len(Registry(workspace).decisions("iris"))) == (good, 1)


UNFIT = ["", "  ", "two\nlines", "\x1b[31mred", "a" * (MAX_CHARACTERS + 1), "left \u202eright"]


@pytest.mark.parametrize("reason", UNFIT)
def test_reason_is_one_printable_line(reason: str) -> None:
    """Text that could change a terminal or fill the ledger is refused."""
    with pytest.raises(RegistryError, match="--override: expected a reason in one line of 1 to 500 characters"):
        check_reason(reason)


@given(st.text(max_size=600))
def test_accepted_reasons_are_printable(reason: str) -> None:
    """Whatever is accepted is short, printable and without blanks around it."""
    try:
        text = check_reason(reason)
    except RegistryError:
        return
    assert text
    assert text.isprintable()
    assert text == text.strip()
    assert len(text) <= MAX_CHARACTERS
    text.encode()


def test_override_is_about_one_task(held: tuple[Project, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a task it would promote all of them."""
    monkeypatch.chdir(held[0][0].root)
    for tasks in ([], ["iris", "digits"]):
        result = CliRunner().invoke(cli, ["promote", *tasks, "--override", "it is fine"])
        assert result.exit_code == 2
        assert "--override: expected one task; received" in result.output
    assert loader.load(held[0][0], "iris").name == "iris"
