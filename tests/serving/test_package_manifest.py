"""Files of a package that its version does not cover: a package in which they were changed is not served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import random_models
from starlette.applications import Starlette
from workspaces import new_workspace

from tiltyard import files
from tiltyard.data import dvc
from tiltyard.errors import PackageError
from tiltyard.registry import manifest
from tiltyard.registry.registry import Registry
from tiltyard.serving.http.app import create_app
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import bento, package, smoke_test
from tiltyard.workspace import Workspace


@pytest.fixture(scope="module")
def evaluated_space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which iris is evaluated."""
    space = new_workspace(tmp_path_factory.mktemp("made"))
    random_models.write_evaluated(space, "iris")
    return space


@pytest.fixture
def packaged(evaluated_space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, Path]:
    """A copy in which iris is packaged and champion, without its Bento, whose build is slow."""
    from tiltyard.config import loader

    space = Workspace(tmp_path / "own")
    shutil.copytree(evaluated_space.root, space.root)

    def build(space: Workspace, task: str, version: str) -> None:
        bento.folder(space, task, version).mkdir(parents=True)

    monkeypatch.setattr(bento, "build", build)
    monkeypatch.setattr(smoke_test, "prove", lambda *_: 0.0)
    monkeypatch.setattr(dvc, "add", lambda _, folder: folder.with_name(f"{folder.name}.dvc").touch())
    version = package.package(space, loader.load(space, "iris"))
    random_models.set_champion(space, version)
    return space, space.package("iris", version)


def _raise_limit(folder: Path) -> None:
    content = files.read_json(folder / "schema.json")
    content["limits"]["max_instances"] = 10**9
    files.write_json(folder / "schema.json", content)


def _improve_metrics(folder: Path) -> None:
    content = files.read_json(folder / "schema.json")
    content["metrics"] = dict.fromkeys(content["metrics"], 1.0)
    files.write_json(folder / "schema.json", content)


def _append_line(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("a") as file:
            file.write("\n")

    return change


def _delete(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


GOLDEN = [_append_line("golden.json"), _delete("golden.json")]
CHANGES = [
    *(_raise_limit, _improve_metrics, *GOLDEN),
    *(_append_line(name) for name in ("card.md", "reference.json", "schema.json")),
    *(_delete(name) for name in ("card.md", "reference.json")),
]


@pytest.mark.parametrize("change", CHANGES)
def test_files_changed_after_packaging_are_refused(
    packaged: tuple[Workspace, Path], change: Callable[[Path], None]
) -> None:
    """If schema, card, golden rows or reference have changed since the smoke test, the package is refused."""
    space, folder = packaged
    LoadedModel.load(folder)
    change(folder)
    with pytest.raises(PackageError, match="was changed after packaging: expected") as caught:
        LoadedModel.load(folder)
    assert "dvc checkout" in caught.value.hint
    from tiltyard.config import loader

    with pytest.raises(PackageError, match="was changed after packaging"):
        package.package(space, loader.load(space, "iris"))


@pytest.mark.parametrize("change", [change for change in CHANGES if change not in GOLDEN])
@pytest.mark.parametrize("record", ["deleted", "rewritten"])
def test_pointer_has_the_hash_of_all_files(
    packaged: tuple[Workspace, Path], change: Callable[[Path], None], record: str
) -> None:
    """If the record inside the package is changed, too, the service detects it by the hash in the pointer."""
    space, folder = packaged
    app: Starlette = create_app()
    ChampionWatcher(app, space.root / "serving").start()
    assert app.state.models["iris"].version == folder.name
    change(folder)
    smoke_test_record = files.read_json(folder / "proven.json")
    if record == "deleted":
        (folder / "proven.json").unlink()
    else:
        files.write_json(folder / "proven.json", {**smoke_test_record, manifest.FILES_KEY: manifest.hashes(folder)})
    with pytest.raises(PackageError, match="is not the one that was promoted"):
        ChampionWatcher(create_app(), space.root / "serving").start()


def test_packages_and_pointers_without_hashes_are_accepted(packaged: tuple[Workspace, Path]) -> None:
    """Packages and pointers of earlier releases have no hashes, and are loaded without the comparison."""
    space, folder = packaged
    smoke_test_record = files.read_json(folder / "proven.json")
    files.write_json(
        folder / "proven.json", {key: value for key, value in smoke_test_record.items() if key != manifest.FILES_KEY}
    )
    path = space.champion("iris")
    files.write_json(path, {key: value for key, value in files.read_json(path).items() if key != "files"})
    _append_line("card.md")(folder)
    assert LoadedModel.load(folder).version == folder.name
    app = create_app()
    ChampionWatcher(app, space.root / "serving").start()
    assert app.state.models["iris"].version == folder.name


@pytest.mark.parametrize("content", ["", "[]", '{"files": []}', '{"files": "x"}'])
def test_damaged_record_is_refused(packaged: tuple[Workspace, Path], content: str) -> None:
    """A damaged record counts as a change, not as a package of an earlier release."""
    _, folder = packaged
    (folder / "proven.json").write_text(content)
    with pytest.raises(PackageError, match=r"proven\.json was changed after packaging"):
        LoadedModel.load(folder)


def test_bento_contains_the_hashes(packaged: tuple[Workspace, Path], tmp_path: Path) -> None:
    """The hashes are in a separate file of the Bento, which is built before the smoke test."""
    space, folder = packaged
    bento._fill(space, tmp_path / "context", "iris", folder.name)
    package_folder = tmp_path / "context" / "packages" / "iris" / folder.name
    (package_folder / "proven.json").unlink()
    LoadedModel.load(package_folder)
    _improve_metrics(package_folder)
    with pytest.raises(PackageError, match="was changed after packaging"):
        LoadedModel.load(package_folder)


def test_version_depends_on_model_and_encoder_only(packaged: tuple[Workspace, Path]) -> None:
    """The version, which clients use, does not depend on other files such as the card."""
    from tiltyard.modeling.inference.predictor import version

    _, folder = packaged
    before = version(folder)
    for name in manifest.COVERED_FILES:
        _append_line(name)(folder)
    assert version(folder) == before == folder.name


def test_service_and_command_line_refuse_the_same_pointer(packaged: tuple[Workspace, Path]) -> None:
    """Both refuse an inconsistent pointer with the same message."""
    space, _ = packaged
    path = space.champion("iris")
    content = json.loads(path.read_text())
    files.write_json(path, {**content, "version": "0" * 12})
    with pytest.raises(Exception, match=f"contradicts itself: its version is {'0' * 12}") as registry_error:
        Registry(space).champion("iris")
    with pytest.raises(PackageError) as service_error:
        ChampionWatcher(create_app(), space.root / "serving").start()
    assert str(registry_error.value) in str(service_error.value)
