"""Models of stand-in data: held unless the command allows it, and marked in every output."""

from __future__ import annotations

from pathlib import Path

import linear_challengers
import pytest
from linear_challengers import FEATURES, Project, prepare_task, write_challenger
from workspaces import fetch_raw, new_workspace

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.data import stand_in, versions
from tiltyard.data.dvc import Pointer
from tiltyard.errors import RegistryError
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.gate.next_steps import next_steps
from tiltyard.gate.promote import promote
from tiltyard.preparation import prepare
from tiltyard.registry.queries import status
from tiltyard.registry.registry import Registry
from tiltyard.report.report import report
from tiltyard.serving.packaging import package
from tiltyard.workspace import Workspace

REASON = "generated <flowers> stand in for real ones"
write_package = package.write  # before it is patched out


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An iris project whose data are marked as a stand-in, with a good challenger."""
    workspace = new_workspace(tmp_path_factory.mktemp("stand_in"))
    prepare_task(workspace, "iris")
    fetch_raw(workspace, "iris")
    stand_in.mark(workspace.raw("iris"), REASON)
    pointer = Pointer(md5=f"{1:032x}.dir", size=1, nfiles=2)
    versions.record(workspace, "iris", files.sha256(workspace.raw("iris")), pointer)
    task = loader.load(workspace, "iris")
    facts = prepare.prepare(workspace, task)
    assert facts["stand_in"] == REASON
    write_challenger(workspace, task, FEATURES["good"])
    return workspace.root


@pytest.fixture
def iris(stable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the project outside git."""
    workspace, task = linear_challengers.copy_challengers(stable, tmp_path / "arena", monkeypatch)
    gate = task.gate.model_copy(update={"latency_ms": 10_000.0})  # a busy machine is no reason to reject
    return workspace, task.model_copy(update={"gate": gate})


def test_stand_in_is_held_unless_it_is_allowed(iris: Project) -> None:
    """The reason names the option, which promotes the same version; an earlier HOLD is not repeated then."""
    workspace, task = iris
    held = promote(workspace, task)
    assert (held.verdict, held.fails_only("stand_in")) == ("HOLD", True)
    assert held.reasons == [
        f"1 of 1 data sets is a stand-in: {REASON}; expected 0: the real files, or --allow-stand-in"
    ]
    assert f"tiltyard promote {task.name} --allow-stand-in" in next_steps(workspace, task, held).commands
    assert promote(workspace, task).recorded
    assert promote(workspace, task, dry_run=True, allow_stand_in=True).verdict == "PROMOTE"
    assert promote(workspace, task, allow_stand_in=True).verdict == "PROMOTE"
    assert Registry(workspace).champion("iris") is not None
    assert not Registry(workspace).faults("iris")


def test_override_is_no_permission(iris: Project) -> None:
    """A person's word makes no data real: the error names the option, and nothing is promoted."""
    workspace, task = iris
    with pytest.raises(RegistryError, match="an override does not make its data real") as caught:
        promote(workspace, task, override="it is good")
    assert caught.value.hint == "tiltyard promote iris --allow-stand-in"
    assert Registry(workspace).champion("iris") is None


def test_stand_in_is_marked_in_every_output(iris: Project) -> None:
    """Ledger, status, card, schema of the service and report say it, escaped where it is HTML."""
    workspace, task = iris
    promote(workspace, task, allow_stand_in=True)
    line = Registry(workspace).decisions("iris")[-1]
    assert line.evidence["facts"]["stand_in"] == REASON
    assert [row["stand_in"] for row in status(workspace) if row["task"] == "iris"] == [REASON]
    folder = workspace.root / "package"
    write_package(workspace, task, folder, read_evaluated(workspace, task))
    schema = files.read_json(folder / "schema.json")
    assert schema["stand_in"] == schema["card"]["stand_in"] == REASON
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert card.index("## Stand-in data") < card.index("## What it does")
    report(workspace, [task])
    page, overview = ((workspace.report / name).read_text() for name in ("iris.html", "index.html"))
    assert "Stand-in data: generated &lt;flowers&gt; stand in for real ones." in page
    assert "(stand-in data)" in overview


def test_commands_print_the_mark(iris: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands prepare, evaluate and promote print it; promote exits with 3, and not if it is allowed."""
    from click.testing import CliRunner

    workspace, _ = iris
    monkeypatch.chdir(workspace.root)
    runner = CliRunner()
    for command in (["prepare", "iris"], ["evaluate", "iris"], ["promote", "iris"]):
        result = runner.invoke(cli, command)
        assert REASON in result.output, command
    assert result.exit_code == 3
    assert runner.invoke(cli, ["promote", "iris", "--allow-stand-in", "--dry-run"]).exit_code != 3


def test_real_data_are_not_marked(tmp_path: Path) -> None:
    """A raw folder without the mark has no reason, and the facts of `prepare` no key."""
    workspace = new_workspace(tmp_path)
    prepare_task(workspace, "iris")
    assert not stand_in.reason(workspace.raw("iris"))
    assert "stand_in" not in files.read_json(Workspace(tmp_path).out("iris", "prepare") / "split.json")
