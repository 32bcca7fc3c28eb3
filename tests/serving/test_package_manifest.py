"""The files of a package that its version does not cover: changed after packaging, they are not served."""

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
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which iris is evaluated."""
    space = new_workspace(tmp_path_factory.mktemp("made"))
    random_models.write_evaluated(space, "iris")
    return space


@pytest.fixture
def packaged(made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, Path]:
    """A copy of it in which iris is packaged and champion; the Bento is not built, which takes long."""
    from tiltyard.config import loader

    space = Workspace(tmp_path / "own")
    shutil.copytree(made.root, space.root)

    def build(space: Workspace, task: str, version: str) -> None:
        bento.folder(space, task, version).mkdir(parents=True)

    monkeypatch.setattr(bento, "build", build)
    monkeypatch.setattr(smoke_test, "prove", lambda *_: 0.0)
    monkeypatch.setattr(dvc, "add", lambda _, folder: folder.with_name(f"{folder.name}.dvc").touch())
    version = package.package(space, loader.load(space, "iris"))
    random_models.set_champion(space, version)
    return space, space.package("iris", version)


def _other_limit(folder: Path) -> None:
    content = files.read_json(folder / "schema.json")
    content["limits"]["max_instances"] = 10**9
    files.write_json(folder / "schema.json", content)


def _better_metrics(folder: Path) -> None:
    content = files.read_json(folder / "schema.json")
    content["metrics"] = dict.fromkeys(content["metrics"], 1.0)
    files.write_json(folder / "schema.json", content)


def _longer(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("a") as file:
            file.write("\n")

    return change


def _gone(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


GOLDEN = [_longer("golden.json"), _gone("golden.json")]
CHANGES = [
    *(_other_limit, _better_metrics, *GOLDEN),
    *(_longer(name) for name in ("card.md", "reference.json", "schema.json")),
    *(_gone(name) for name in ("card.md", "reference.json")),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_after_packaging_is_not_opened(
    packaged: tuple[Workspace, Path], change: Callable[[Path], None]
) -> None:
    """Schema, card, golden rows and reference, each as it was when the package was proven; nor is it packaged again."""
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
@pytest.mark.parametrize("record", ["gone", "written anew"])
def test_the_pointer_knows_the_files(
    packaged: tuple[Workspace, Path], change: Callable[[Path], None], record: str
) -> None:
    """Whoever also changes what the package says of itself is refused by the service, which reads the pointer."""
    space, folder = packaged
    app: Starlette = create_app()
    ChampionWatcher(app, space.root / "serving").start()
    assert app.state.models["iris"].version == folder.name
    change(folder)
    proof = files.read_json(folder / "proven.json")
    if record == "gone":
        (folder / "proven.json").unlink()
    else:
        files.write_json(folder / "proven.json", {**proof, manifest.FILES_KEY: manifest.hashes(folder)})
    with pytest.raises(PackageError, match="is not the one that was promoted"):
        ChampionWatcher(create_app(), space.root / "serving").start()


def test_packages_and_pointers_from_before_are_opened(packaged: tuple[Workspace, Path]) -> None:
    """Without a record, in the package or in the pointer, there is nothing to hold them against."""
    space, folder = packaged
    proof = files.read_json(folder / "proven.json")
    files.write_json(folder / "proven.json", {key: value for key, value in proof.items() if key != manifest.FILES_KEY})
    path = space.champion("iris")
    files.write_json(path, {key: value for key, value in files.read_json(path).items() if key != "files"})
    _longer("card.md")(folder)
    assert LoadedModel.load(folder).version == folder.name
    app = create_app()
    ChampionWatcher(app, space.root / "serving").start()
    assert app.state.models["iris"].version == folder.name


@pytest.mark.parametrize("content", ["", "[]", '{"files": []}', '{"files": "x"}'])
def test_a_damaged_record_is_a_change(packaged: tuple[Workspace, Path], content: str) -> None:
    """It stands for a change, and not for a package from before."""
    _, folder = packaged
    (folder / "proven.json").write_text(content)
    with pytest.raises(PackageError, match=r"proven\.json was changed after packaging"):
        LoadedModel.load(folder)


def test_a_bento_holds_the_hashes(packaged: tuple[Workspace, Path], tmp_path: Path) -> None:
    """It is built before the package is proven, so they are in a file of their own."""
    space, folder = packaged
    bento._fill(space, tmp_path / "context", "iris", folder.name)
    inside = tmp_path / "context" / "packages" / "iris" / folder.name
    (inside / "proven.json").unlink()
    LoadedModel.load(inside)
    _better_metrics(inside)
    with pytest.raises(PackageError, match="was changed after packaging"):
        LoadedModel.load(inside)


def test_the_version_is_that_of_model_and_encoder_alone(packaged: tuple[Workspace, Path]) -> None:
    """A name that clients know does not change with a card."""
    from tiltyard.modeling.inference.predictor import version

    _, folder = packaged
    before = version(folder)
    for name in manifest.COVERED_FILES:
        _longer(name)(folder)
    assert version(folder) == before == folder.name


def test_service_and_command_line_refuse_the_same_pointer(packaged: tuple[Workspace, Path]) -> None:
    """One that contradicts itself, in the same words."""
    space, _ = packaged
    path = space.champion("iris")
    content = json.loads(path.read_text())
    files.write_json(path, {**content, "version": "0" * 12})
    with pytest.raises(Exception, match=f"contradicts itself: its version is {'0' * 12}") as by_hand:
        Registry(space).champion("iris")
    with pytest.raises(PackageError) as by_service:
        ChampionWatcher(create_app(), space.root / "serving").start()
    assert str(by_hand.value) in str(by_service.value)
