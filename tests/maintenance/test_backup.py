"""Backup and restore: a wiped clone serves again; damaged and hostile archives change nothing."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from linear_challengers import prepared_project, quick_package, write_challenger

from tiltyard import files
from tiltyard.cli import main
from tiltyard.config import loader
from tiltyard.data import dvc, versions
from tiltyard.errors import WorkspaceError
from tiltyard.gate.promote import promote
from tiltyard.maintenance import restore as restoring
from tiltyard.maintenance.backup import FORMAT, MANIFEST, backup
from tiltyard.maintenance.restore import restore
from tiltyard.registry.registry import Registry
from tiltyard.registry.verify import verify
from tiltyard.workspace import Workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, bytes]]:
    """An archive of a project with a champion, two data versions, records and a database; its version and files."""
    root = tmp_path_factory.mktemp("backup") / "project"
    with pytest.MonkeyPatch.context() as patch:
        workspace, task = prepared_project(root, "iris")
        patch.chdir(root)
        patch.setattr("tiltyard.serving.packaging.package.package", quick_package)
        patch.setattr("tiltyard.gate.duel_setup.fit_reference", lambda *_: None)
        write_challenger(workspace, task, slice(4))
        version = promote(workspace, task).version
        dvc.add(workspace, workspace.package("iris", version))
        raw = workspace.raw("iris")
        dvc.add(workspace, raw)
        versions.record(workspace, "iris", "0" * 64, dvc.pointer(raw))
        files.write_text(raw / "table.csv", f"{(raw / 'table.csv').read_text()}5.1,3.5,1.4,0.2,0\n")
        dvc.add(workspace, raw)
        versions.record(workspace, "iris", "1" * 64, dvc.pointer(raw))
        files.write_text(workspace.records / "iris" / "answers" / "a.jsonl", "{}\n")
        files.write_text(workspace.state("iris", "watch") / "state.json", "{}\n")
        files.write_text(workspace.state("iris", "train") / "state.npz", "made again\n")
        files.write_private_file(workspace.serving / "keys" / "client", b"hash", replace=True)
        workspace.search("iris").parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(workspace.search("iris")) as database:
            database.execute("create table trials (number integer)")
            database.execute("insert into trials values (7)")
        database.close()
        kept = {path: (root / path).read_bytes() for path in _state(workspace, version)}
        archive = root.parent / "shop.tar.gz"
        backup(workspace, archive)
    return archive, version, kept


def _state(workspace: Workspace, version: str) -> list[str]:
    """Return files that a restored project has again."""
    places = (
        *(workspace.champion("iris"), workspace.ledger("iris"), workspace.seal("iris"), workspace.task_file("iris")),
        *(workspace.versions("iris"), workspace.package("iris", version) / "model.onnx"),
        *(
            workspace.state("iris", "watch") / "state.json",
            workspace.raw("iris") / "table.csv",
            workspace.serving / "keys" / "client",
        ),
    )
    return [str(path.relative_to(workspace.root)) for path in places]


def test_wiped_project_is_restored(
    made: tuple[Path, str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an empty folder champion, ledger, data versions, records and databases are as before, and the model loads."""
    archive, version, kept = made
    restored = restore(archive, tmp_path / "again")
    monkeypatch.chdir(tmp_path / "again")
    workspace = Workspace(tmp_path / "again")
    assert restored.missing == []
    assert not workspace.state("iris", "train").exists()
    assert {path: (workspace.root / path).read_bytes() for path in kept} == kept
    champion = Registry(workspace).champion("iris")
    assert champion is not None
    assert champion.version == version
    assert Registry(workspace).faults("iris") == []
    faults = {row["what"] for row in verify(workspace, loader.load(workspace, "iris")) if row["fault"]}
    assert faults == {"data"}  # one row was added after the promotion
    assert (workspace.serving / "keys" / "client").stat().st_mode & 0o077 == 0
    database = sqlite3.connect(workspace.search("iris"))
    assert database.execute("select number from trials").fetchall() == [(7,)]
    database.close()
    versions.checkout(workspace, "iris", "0" * 12)
    assert len((workspace.raw("iris") / "table.csv").read_bytes()) < len(kept["data/raw/iris/table.csv"])


def test_restoring_twice_changes_nothing(made: tuple[Path, str, dict[str, bytes]], tmp_path: Path) -> None:
    """The second time every file is there already."""
    first = restore(made[0], tmp_path)
    again = restore(made[0], tmp_path)
    assert (again.files, again.unchanged) == (0, first.files)


def test_differing_files_are_replaced_by_force_only(made: tuple[Path, str, dict[str, bytes]], tmp_path: Path) -> None:
    """A project that went on is not set back unless that is asked for."""
    restore(made[0], tmp_path)
    ledger = Workspace(tmp_path).ledger("iris")
    before = ledger.read_bytes()
    ledger.write_bytes(before + b"{}\n")
    with pytest.raises(WorkspaceError, match=r"1 files of the project differ from the backup: serving/ledger/iris\."):
        restore(made[0], tmp_path)
    assert ledger.read_bytes() == before + b"{}\n"
    restore(made[0], tmp_path, force=True)
    assert ledger.read_bytes() == before


def test_killed_restore_continues(
    made: tuple[Path, str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill between two files the same command goes on, without force, although files were replaced."""
    files.write_text(tmp_path / "params.yaml", "tasks: [other]\n")
    move, moved = restoring._move, list[str]()

    def killed(source: Path, target: Path, digest: str) -> bool:
        moved.append(target.name)
        if len(moved) > 10:
            raise KeyboardInterrupt
        return move(source, target, digest)

    monkeypatch.setattr(restoring, "_move", killed)
    with pytest.raises(KeyboardInterrupt):
        restore(made[0], tmp_path, force=True)
    monkeypatch.setattr(restoring, "_move", move)
    restore(made[0], tmp_path)
    assert {path: (tmp_path / path).read_bytes() for path in made[2]} == made[2]


def _archive(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]], listed: int = FORMAT) -> Path:
    """Write an archive with these entries and hashes that fit."""
    hashes = {entry.name: hashlib.sha256(content).hexdigest() for entry, content in entries}
    manifest = json.dumps({"format": listed, "tiltyard": "9.9", "hashes": hashes}).encode()
    with tarfile.open(path, "w:gz") as archive:
        for entry, content in [*entries, (tarfile.TarInfo(MANIFEST), manifest)]:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def _entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        _entry("../outside"),
        _entry("/etc/outside"),
        _entry("tasks/../../outside"),
        _entry("tasks//x.yaml"),
        _entry("other/tasks/x.yaml"),
        _entry(".tiltyard/state/iris/train/state.npz"),
        _entry(".git/hooks/post-checkout"),
        _entry(".bashrc"),
        _entry("tasks/link", tarfile.SYMTYPE, "/etc/passwd"),
        _entry("tasks/link", tarfile.LNKTYPE, "/etc/passwd"),
        _entry("tasks/pipe", tarfile.FIFOTYPE),
        _entry("tasks/device", tarfile.CHRTYPE),
    ],
    ids=lambda entry: f"{entry.name}-{entry.type.decode()}",
)
def test_hostile_entries_are_refused(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    """No path leads out of the folders that a backup has; no link, pipe or device is made."""
    archive = _archive(tmp_path / "bad.tar.gz", [(entry, b"")])
    with pytest.raises(WorkspaceError, match="which no backup has"):
        restore(archive, tmp_path / "project")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bad.tar.gz", "project"]
    assert not (tmp_path.parent / "outside").exists()


def _truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage", [_truncate, _flip, lambda _: b"", lambda _: b"hello"], ids=["half", "bit", "empty", "text"]
)
def test_damaged_archives_change_nothing(
    made: tuple[Path, str, dict[str, bytes]], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """Half an archive, a flipped bit or another file is recognised before any file of the project changes."""
    path = tmp_path / "shop.tar.gz"
    path.write_bytes(damage(made[0].read_bytes()))
    with pytest.raises(WorkspaceError, match="expected a backup by `tiltyard backup`"):
        restore(path, tmp_path / "project")
    assert [*(tmp_path / "project").iterdir()] == []


def test_newer_format_names_its_version(tmp_path: Path) -> None:
    """An archive of a later format says which Tiltyard wrote it."""
    archive = _archive(tmp_path / "new.tar.gz", [], FORMAT + 1)
    with pytest.raises(WorkspaceError, match=r"received that of Tiltyard 9\.9"):
        restore(archive, tmp_path / "project")


def test_file_beyond_the_list_is_refused(tmp_path: Path) -> None:
    """Each file has to be in the list of hashes, and the other way round."""
    archive = _archive(tmp_path / "a.tar.gz", [(_entry("params.yaml"), b"tasks: []\n")])
    content = io.BytesIO(b"x")
    with tarfile.open(archive, "r:gz") as old, tarfile.open(tmp_path / "b.tar.gz", "w:gz") as new:
        more = _entry("tasks/more.yaml")
        more.size = 1
        new.addfile(more, content)
        for entry in old:
            new.addfile(entry, old.extractfile(entry))
    with pytest.raises(WorkspaceError, match=r"damaged files: tasks/more\.yaml"):
        restore(tmp_path / "b.tar.gz", tmp_path / "project")


def test_commands_report_what_they_did(
    made: tuple[Path, str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`restore` makes a project of an archive, `backup` an archive of the project; a wrong name says the right one."""
    run, place = CliRunner(), tmp_path / "shop"
    result = run.invoke(main.cli, ["restore", str(made[0]), "--into", str(place), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["missing"] == []
    monkeypatch.chdir(place)
    second = json.loads(run.invoke(main.cli, ["backup", str(tmp_path / "b.tar.gz"), "--json"]).stdout)
    with tarfile.open(made[0]) as archive:
        assert second["hashes"].keys() <= {*archive.getnames()}
    shutil.rmtree(place / "serving")
    assert "files restored" in run.invoke(main.cli, ["restore", str(tmp_path / "b.tar.gz")]).output
    assert isinstance(run.invoke(main.cli, ["backup", "shop.zip"]).exception, WorkspaceError)
