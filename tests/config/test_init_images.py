"""Drafting a task from images: sizes, labels, settings, and that the draft works."""

from __future__ import annotations

import base64
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image as Pillow
from workspaces import edit_task, train_tasks

from tiltyard import files, plugins
from tiltyard.cli import main
from tiltyard.config import loader
from tiltyard.config.draft import draft as init
from tiltyard.config.draft import images
from tiltyard.config.draft.request import DraftRequest
from tiltyard.data import fetch
from tiltyard.errors import DataError, SourceError, TaskError
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation import prepare
from tiltyard.validation import check
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

MIRROR = os.environ.get("TILTYARD_MIRROR", "")
real = pytest.mark.skipif(not Path(MIRROR, "cifar10-jpg.zip").is_file(), reason="needs the real data: TILTYARD_MIRROR")


def draw_image(label: int, number: int, size: tuple[int, int], mode: str = "RGB", kind: str = "PNG") -> bytes:
    """Draw noise that is bright on the left for class 0, on the right for 1, below for 2."""
    width, height = size
    pixels = np.random.default_rng([label, number]).integers(0, 100, (height, width, 3))
    halves = pixels[:, : width // 2], pixels[:, width // 2 :], pixels[height // 2 :]
    halves[label][:] += 120
    file = io.BytesIO()
    Pillow.fromarray(pixels.astype("uint8"), "RGB").convert(mode).save(file, kind)
    return file.getvalue()


def pet_images(counts: tuple[int, ...] = (30, 30, 30), **image_options: Any) -> dict[str, bytes]:
    """Generate a data set with a folder for each class."""
    sizes = image_options.pop("sizes", [(12, 10)])
    return {
        f"{name}/{number}.png": draw_image(label, number, sizes[number % len(sizes)], **image_options)
        for label, (name, count) in enumerate(zip(("cat", "dog", "emu"), counts, strict=False))
        for number in range(count)
    }


def write_files(root: Path, content: dict[str, bytes]) -> None:
    """Write files."""
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def draft(workspace: Workspace, content: dict[str, bytes], **options: Any) -> dict[str, Any]:
    """Draft from a folder, fetch, validate and prepare; return the draft."""
    write_files(workspace.root / "pets", content)
    init.draft_task(workspace, "pets", DraftRequest("pets", **options))
    task = loader.load(workspace, "pets")
    fetch.get(workspace, task)
    validate(workspace, task)
    prepare.prepare(workspace, task)
    drafted: dict[str, Any] = yaml.safe_load(workspace.task_file("pets").read_text(encoding="utf-8"))
    return drafted


def test_images_of_one_size_are_not_resized(workspace: Workspace) -> None:
    """The draft has size, colour, classes, split and model, and needs no target."""
    content = draft(workspace, pet_images())
    assert content["source"] == {"kind": "images", "path": "pets"}
    assert content["columns"] == {"image": {"type": "image", "height": 10, "width": 12, "channels": 3}}
    assert content["target"] == {"column": "label", "classes": ["cat", "dog", "emu"]}
    assert (content["problem"], content["split"]) == ("classification", {"kind": "stratified"})
    assert content["model"] == {"family": "histograms", "places": True, "blend_references": True}
    assert "augment" not in content["train"]
    assert "class_weights" not in content["train"]
    assert content["gate"]["metric"] == "accuracy"
    assert content["rows"] == [45, 900]
    text = workspace.task_file("pets").read_text(encoding="utf-8")
    assert "# 12x10, in colour" in text
    assert "# cat 30, dog 30, emu 30" in text
    assert "counts of colours and edges, since there are few images" in text
    assert "left out" not in text


def test_places_are_counted_only_if_they_tell_labels_apart(workspace: Workspace) -> None:
    """For labels that differ in colour only, counts of whole images suffice."""
    generator = np.random.default_rng(0)
    content = {}
    for number in range(90):
        pixels = generator.integers(0, 200, (12, 12, 3))
        pixels[..., number % 3] += 50
        file = io.BytesIO()
        Pillow.fromarray(pixels.astype("uint8"), "RGB").save(file, "PNG")
        content[f"{'rgb'[number % 3]}/{number}.png"] = file.getvalue()
    assert draft(workspace, content)["model"] == {"family": "histograms", "places": False, "blend_references": True}


def test_more_images_of_each_label_are_read_by_convolutions(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From some number of images per label on, the draft is a convolutional network with augmentation."""
    monkeypatch.setattr(images, "FEW_IMAGES", 30)
    content = draft(workspace, pet_images())
    assert content["model"] == {"family": "cnn", "filters": [32], "units": [64], "batch_norm": True, "dropout": 0.3}
    assert content["train"]["augment"] == {"shift": 0.1, "zoom": 0.1}
    assert "add flip: horizontal if" in workspace.task_file("pets").read_text(encoding="utf-8")


def test_example_is_predicted(workspace: Workspace) -> None:
    """The example is a small file, or numbers for few pixels, and gets a prediction."""
    content = draft(workspace, pet_images())
    encoder = Encoder.load(workspace.out("pets", "prepare") / "encoder.json")
    assert encoder.parse([content["serve"]["example"]])["image"].shape == (1, 10, 12, 3)
    assert base64.b64decode(content["serve"]["example"]["b64"]).startswith(b"\xff\xd8")
    write_files(workspace.root / "tiny", pet_images(sizes=[(4, 4)], mode="L"))
    init.draft_task(workspace, "tiny", DraftRequest("tiny"))
    example = loader.load(workspace, "tiny").serve.example
    assert np.array(example).shape == (4, 4)


def test_images_of_many_sizes_are_resized(workspace: Workspace) -> None:
    """Images are resized to the median size or less, and imbalanced classes are weighted."""
    drafted = draft(workspace, pet_images((60, 40, 20), sizes=[(300, 200), (20, 30), (200, 150)]))
    column = drafted["columns"]["image"]
    assert column == {"type": "image", "height": 72, "width": 96, "channels": 3, "resize": True}
    assert drafted["train"]["class_weights"] == "balanced"
    assert drafted["gate"]["metric"] == "balanced_accuracy"
    assert drafted["model"] == {"family": "histograms", "places": True, "blend_references": True}
    task = loader.load(workspace, "pets")
    assert not [finding for finding in check.check(workspace, task).findings if finding.code == "images"]


def test_serving_resizes_like_training(workspace: Workspace) -> None:
    """A training image sent to the service is encoded exactly as in training."""
    drafted = draft(workspace, pet_images(sizes=[(40, 30), (20, 30), (13, 11)]))
    assert drafted["columns"]["image"]["resize"]
    task = loader.load(workspace, "pets")
    encoder = Encoder.load(workspace.out("pets", "prepare") / "encoder.json")
    rows, _ = plugins.load("modalities", "image")().rows(task, workspace.raw("pets"))
    with zipfile.ZipFile(workspace.raw("pets") / "images.zip") as archive:
        sent = [{"b64": base64.b64encode(archive.read(name)).decode()} for name in sorted(archive.namelist())]
    assert encoder.encode(encoder.parse(sent)).tobytes() == encoder.encode(rows).tobytes()
    assert files.read_json(workspace.out("pets", "prepare") / "encoder.json")["columns"]["image"]["resize"] is True


def test_grey_and_mixed_colours(workspace: Workspace) -> None:
    """Grey images have one channel, but one colour image makes it three for all."""
    content = pet_images(mode="L")
    write_files(workspace.root / "grey", content)
    init.draft_task(workspace, "grey", DraftRequest("grey"))
    assert loader.load(workspace, "grey").columns["image"].model_dump()["channels"] == 1
    drafted = draft(workspace, {**content, "cat/x.png": draw_image(0, 99, (12, 10))})
    assert drafted["columns"]["image"] == {"type": "image", "height": 10, "width": 12, "channels": 3, "resize": True}


def test_label_table_is_detected(workspace: Workspace) -> None:
    """The columns of file names and labels are guessed, or set by --target."""
    content = {f"train/{name.replace('/', '-')}": data for name, data in pet_images().items()}
    lines = [f"{Path(name).stem},{number},{Path(name).name[:3]}" for number, name in enumerate(content)]
    content["train.csv"] = "\n".join(["image_id,weight,breed", *lines]).encode()
    with pytest.raises(DataError, match=r"train\.csv: expected one column of labels; received weight, breed") as caught:
        draft(workspace, content)
    assert caught.value.hint == "name it: --target"
    drafted = draft(workspace, content, target="breed")
    assert drafted["source"]["labels"] == "train.csv"
    assert (drafted["source"]["file_column"], drafted["source"]["label_column"]) == ("image_id", "breed")
    assert drafted["target"] == {"column": "breed", "classes": ["cat", "dog", "emu"]}


def test_training_and_test_folders_are_reported(workspace: Workspace) -> None:
    """Folders for training and test are both used, and a comment says how to select one."""
    content = {f"{part}/{name}": data for part in ("train", "test") for name, data in pet_images().items()}
    content |= {name: draw_image(0, 500 + i, (12, 10)) for i, name in enumerate(content) if name.startswith("test/cat")}
    write_files(workspace.root / "pets", content)
    drafted = init.draft_task(workspace, "pets", DraftRequest("pets"))
    assert drafted.rows == 180
    text = workspace.task_file("pets").read_text(encoding="utf-8")
    assert "# test (90), train (90); to use one only: under: [train]" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.txt": b"x"}, "expected PNG, JPEG, WebP or TIFF files; received 1 files left out"),
        ({"a.png": b"x", "b.png": b"x"}, "expected each image in the folder of its class, or a table"),
        (
            {f"cat/{n}.png": draw_image(0, n, (4, 4)) for n in range(60)},
            "expected each image in the folder of its class",
        ),
        ({f"{c}/{n}.png": b"x" for c in "ab" for n in range(60)}, r"none can be opened: a/0\.png, "),
        (pet_images((2, 2)), r"expected \d+ rows or more with a known label; received 4"),
    ],
)
def test_unusable_image_folders_are_rejected(workspace: Workspace, content: dict[str, bytes], message: str) -> None:
    """Without images, classes or enough rows, no task is written."""
    write_files(workspace.root / "pets", content)
    with pytest.raises(DataError, match=message):
        init.draft_task(workspace, "pets", DraftRequest("pets"))
    assert not workspace.task_file("pets").exists()


def test_broken_images_and_other_files_are_reported(workspace: Workspace) -> None:
    """Broken and other files are reported in the draft and on the terminal."""
    write_files(workspace.root / "pets", {**pet_images(), "cat/bad.png": b"x", "cat/notes.txt": b"x"})
    drafted = init.draft_task(workspace, "pets", DraftRequest("pets"))
    assert len(drafted.repairs) == 2
    text = workspace.task_file("pets").read_text(encoding="utf-8")
    assert "1 files left out that are no PNG, JPEG, WebP or TIFF: .txt (1)" in text
    assert "1 images cannot be opened: left out, by source.leave_out: cat/bad.png" in text
    assert yaml.safe_load(text)["source"]["leave_out"] == ["cat/bad.png"]
    task = loader.load(workspace, "pets")
    fetch.get(workspace, task)
    assert not check.check(workspace, task).critical
    assert any("1 images left out by source.leave_out: cat/bad.png" in r for r in validate(workspace, task).repairs)


def test_images_that_are_cut_short_are_left_out(workspace: Workspace) -> None:
    """An image whose pixels end early is found by decoding it; if many are broken, they are refused."""
    whole = pet_images()
    write_files(workspace.root / "pets", {**whole, "cat/cut.png": whole["cat/0.png"][:-60]})
    init.draft_task(workspace, "pets", DraftRequest("pets"))
    assert loader.load(workspace, "pets").source.leave_out == ["cat/cut.png"]  # type: ignore[attr-defined]
    write_files(workspace.root / "many", {**whole, **{f"cat/{place}.jpg": b"x" for place in range(20)}})
    with pytest.raises(DataError, match="expected images that can be opened; 20 of 110 cannot"):
        init.draft_task(workspace, "many", DraftRequest("many"))


def test_table_options_are_rejected_for_images(workspace: Workspace) -> None:
    """Options for columns of tables are refused for images."""
    write_files(workspace.root / "pets", pet_images())
    with pytest.raises(TaskError, match="for images: expected only --data, --target and labels"):
        init.draft_task(workspace, "pets", DraftRequest("pets", drop=("x",)))


def test_table_requires_a_target(workspace: Workspace) -> None:
    """Without --target, the error lists the columns, also for a table in a zip."""
    with zipfile.ZipFile(workspace.root / "table.zip", "w") as archive:
        archive.writestr("table.csv", "x,y\n1,2\n")
    with pytest.raises(TaskError, match=r"expected the column to predict; the table has x, y") as caught:
        init.draft_task(workspace, "t", DraftRequest("table.zip"))
    assert caught.value.hint == "name it: --target"
    with pytest.raises(SourceError, match=r"no file gone\.zip"):
        init.draft_task(workspace, "t", DraftRequest("gone.zip"))


def test_init_command_drafts_from_a_zip(workspace: Workspace) -> None:
    """The command drafts from a zip, and prints a table and the next steps."""
    with zipfile.ZipFile(workspace.root / "pets.zip", "w") as archive:
        for name, data in pet_images().items():
            archive.writestr(name, data)
    result = CliRunner().invoke(main.cli, ["init", "pets", "--data", "pets.zip"])
    assert result.exit_code == 0, result.output
    assert "12x10, in colour" in result.output
    assert "90 rows, classification; written: tasks/pets.yaml" in result.output
    result = CliRunner().invoke(main.cli, ["init", "pets", "--data", "pets.zip", "--force", "--json"])
    assert json.loads(result.output)["problem"] == "classification"


@real
@pytest.mark.catalogue
def test_real_images_are_drafted(workspace: Workspace) -> None:
    """A few CIFAR-10 images of each class are drafted."""
    init.draft_task(workspace, "things", DraftRequest("cifar10-jpg.zip"))
    edit_task(workspace, "things", {"source.rows": 200, "rows": [200, 200], "train.batch_size": 32})
    task = loader.load(workspace, "things")
    assert task.columns["image"].model_dump() == {"type": "image", "height": 32, "width": 32, "channels": 3}
    assert len(task.classes) == 10
    fetch.get(workspace, task)
    assert validate(workspace, task).rows == 200
    assert sum(prepare.prepare(workspace, task)["rows"].values()) == 200


@pytest.mark.slow
def test_image_draft_can_be_trained(workspace: Workspace) -> None:
    """A draft from images of many sizes is trained and exported with parity."""
    draft(workspace, pet_images(sizes=[(20, 16), (16, 20), (24, 24)]))
    edit_task(workspace, "pets", {"train.epochs": 2})
    train_tasks(workspace, "pets")
    assert (workspace.out("pets", "train") / "model.onnx").is_file()
