"""The source `images`: the same images give the same bytes, and no file outside the folder is read."""

from __future__ import annotations

import base64
import io
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from tiltyard.data import fetch
from tiltyard.data.images import image_files
from tiltyard.data.sources.images import Images
from tiltyard.data.tables import archive
from tiltyard.errors import DataError, SourceError, TiltyardError
from tiltyard.workspace import Workspace


def draw_image(number: int = 0, size: tuple[int, int] = (4, 4), mode: str = "L", kind: str = "PNG") -> bytes:
    """Draw noise that differs for each number."""
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(number).integers(0, 256, shape).astype("uint8")
    file = io.BytesIO()
    Pillow.fromarray(pixels, mode).save(file, kind)
    return file.getvalue()


PETS = {
    "train/cat/1.png": draw_image(1),
    "train/dog/1.jpg": draw_image(2, kind="JPEG"),
    "train/dog/2.PNG": draw_image(3),
    "test/cat/1.png": draw_image(4),
}


def folder(root: Path, content: dict[str, bytes]) -> Path:
    """Write a folder of files."""
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def zipped(path: Path, content: dict[str, bytes]) -> Path:
    """Write a zip of files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


@pytest.fixture
def fetch_images(workspace: Workspace) -> Callable[..., Path]:
    """Fetch into a new folder; check that it is empty after an error."""
    number = 0

    def get(path: object, **settings: Any) -> Path:
        nonlocal number
        number += 1
        target = workspace.root / f"raw{number}"
        target.mkdir()
        try:
            Images.model_validate({"kind": "images", "path": str(path), **settings}).fetch(target, workspace)
        except TiltyardError:
            assert list(target.iterdir()) == []
            raise
        assert [path.name for path in target.iterdir()] == ["images.zip"]
        return target / "images.zip"

    return get


def names(path: Path) -> list[str]:
    """Return what is in images.zip."""
    with zipfile.ZipFile(path) as file:
        return file.namelist()


def test_folder_and_zip_give_the_same_bytes(workspace: Workspace, fetch_images: Callable[..., Path]) -> None:
    """Order, times and compression of the input do not change the output."""
    first = fetch_images(folder(workspace.root / "pets", PETS)).read_bytes()
    os.utime(workspace.root / "pets/train/cat/1.png", (0, 0))
    backwards = dict(reversed(PETS.items())) | {"__MACOSX/train/._x.png": b"", "train/.DS_Store": b""}
    assert fetch_images("pets").read_bytes() == first
    assert fetch_images(zipped(workspace.root / "pets.zip", backwards)).read_bytes() == first
    assert names(fetch_images("pets")) == ["cat/test-1.png", "cat/train-1.png", "dog/train-1.jpg", "dog/train-2.PNG"]


def test_parts_can_be_selected(workspace: Workspace, fetch_images: Callable[..., Path]) -> None:
    """Folders above the class can be selected, and the sample is balanced over the classes."""
    folder(workspace.root / "pets", PETS)
    assert names(fetch_images("pets", under=["train"])) == ["cat/1.png", "dog/1.jpg", "dog/2.PNG"]
    assert names(fetch_images("pets", under=["train/"], rows=2)) == ["cat/1.png", "dog/1.jpg"]
    with pytest.raises(TiltyardError, match="PNG, JPEG, WebP or TIFF files under tarin; received none") as caught:
        fetch_images("pets", under=["tarin"])
    assert caught.value.hint == "source.under: expected folders out of test, train"


def test_sample_is_balanced_over_classes() -> None:
    """A small class leaves its share to others, and rows are evenly spaced within a class."""
    assert image_files.sample_per_class(list("aaaabbc"), 5) == [0, 2, 4, 5, 6]
    assert image_files.sample_per_class(list("ab"), None) == [0, 1]


@pytest.mark.parametrize(
    "name_in_table", [str, lambda name: Path(name).name, lambda name: Path(name).stem, "./{}".format]
)
def test_labels_are_read_from_a_table(
    workspace: Workspace, fetch_images: Callable[..., Path], name_in_table: Callable[[str], str]
) -> None:
    """Images are named by path, file name or stem, and labels are kept as text."""
    labels = {"pictures/a.png": "01", "pictures/b.png": "1.0", "pictures/c.png": "01"}
    table = "\n".join(["id;breed", *(f"{name_in_table(name)};{label}" for name, label in labels.items())])
    content = {name: draw_image(number) for number, name in enumerate(labels)}
    path = zipped(workspace.root / "pets.zip", {**content, "labels.csv": table.encode()})
    archive = fetch_images(path, labels="labels.csv", file_column="id", label_column="breed")
    assert names(archive) == ["01/a.png", "01/c.png", "1.0/b.png"]
    with zipfile.ZipFile(archive) as file:
        assert file.read("1.0/b.png") == content["pictures/b.png"]
        assert image_files.notes(file) == []


def test_label_table_may_be_in_the_project(workspace: Workspace, fetch_images: Callable[..., Path]) -> None:
    """A table of labels may be in the project instead of next to the images."""
    folder(workspace.root / "pets", {"a.png": draw_image(), "b.png": draw_image(1)})
    (workspace.root / "my.csv").write_text("file,label\na.png,x\nb.png,y\n", encoding="utf-8")
    assert names(fetch_images("pets", labels="my.csv")) == ["x/a.png", "y/b.png"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,label\na.png,x\n", r"expected a label for each image; 1 without one: b\.png"),
        ("file,label\na.png,x\nb.png,\n", r"expected a label for each image; 1 without one: b\.png"),
        ("file,label\na.png,x\nb.png,y\nc.png,y\n", r"expected a file for each row; 1 rows without one: c\.png"),
        ("file,label\na.png,x\nb.png,y\na.png,y\n", r"expected one row for each image; received a\.png twice"),
        ("file,label\na.png,x\nb.png,x/../y\n", "expected a label that can name a folder; received 'x/../y'"),
        ("file,label\na.png,x\nb.png,x/\n", "expected a label that can name a folder; received 'x/'"),
        ("file,label\na.png,x\nb.png,..\n", r"expected a label that can name a folder; received '\.\.'"),
        ("name,class\na.png,x\nb.png,y\n", "expected the columns file, label; received name, class"),
        ("", "."),
    ],
)
def test_labels_and_images_must_match(
    workspace: Workspace, fetch_images: Callable[..., Path], table: str, message: str
) -> None:
    """Labels without a file, files without a label, and labels that cannot name a folder are refused."""
    content = {"a.png": draw_image(), "b.png": draw_image(1), "labels.csv": table.encode()}
    with pytest.raises(TiltyardError, match=message):
        fetch_images(folder(workspace.root / "pets", content), labels="labels.csv")


def test_ambiguous_image_name_is_rejected(workspace: Workspace, fetch_images: Callable[..., Path]) -> None:
    """A name that matches files in two folders must include the folder."""
    content = {"a/1.png": draw_image(), "b/1.png": draw_image(1), "labels.csv": b"file,label\n1.png,x\n"}
    with pytest.raises(TiltyardError, match=r"1\.png may be a/1\.png, b/1\.png"):
        fetch_images(folder(workspace.root / "pets", content), labels="labels.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"a/1.png": draw_image(), "../../evil/1.png": draw_image()},
            r"expected a file inside the archive; .* \.\./\.\./evil",
        ),
        ({"a/1.png": draw_image(), "/etc/x/1.png": draw_image()}, "expected a file inside the archive; .*/etc/x"),
        ({"a/1.png": draw_image(), "a/2.png": b"\0" * (archive.ALWAYS_ALLOWED_BYTES + 1)}, "like a zip bomb"),
        (
            {"a/notes.txt": b"x", "b/1.gif": b"x"},
            r"expected PNG, JPEG, WebP or TIFF files; received 2 files left out .*\.txt \(1\)",
        ),
        ({}, "expected PNG, JPEG, WebP or TIFF files; received none"),
        (
            {"1.png": draw_image(), "a/1.png": draw_image()},
            r"expected each image in the folder of its class; 1 in none: 1",
        ),
        (
            {"x/a-b/1.png": draw_image(), "x/a\tb/1.png": draw_image(1)},
            r"expected a label that can name a folder; .*a\\tb",
        ),
        ({"a/k/b-1.png": draw_image(), "a-b/k/1.png": draw_image()}, r"would both be k/a-b-1\.png"),
    ],
)
def test_invalid_archives_are_rejected(
    workspace: Workspace, fetch_images: Callable[..., Path], content: dict[str, bytes], message: str
) -> None:
    """Paths that lead out, zip bombs, and images without a class are refused, and nothing is written."""
    with pytest.raises(TiltyardError, match=message):
        fetch_images(zipped(workspace.root / "bad.zip", content))


def test_entry_larger_than_declared_is_rejected(workspace: Workspace, fetch_images: Callable[..., Path]) -> None:
    """No entry unpacks to more than its declared size."""
    path = zipped(workspace.root / "liar.zip", {"a/1.png": b"\0" * 1_000_000, "b/1.png": draw_image()})
    path.write_bytes(path.read_bytes().replace((1_000_000).to_bytes(4, "little"), (1_000).to_bytes(4, "little")))
    with pytest.raises(TiltyardError, match="expected a folder or a whole zip file"):
        fetch_images(path)


def test_encrypted_archive_is_rejected(workspace: Workspace, fetch_images: Callable[..., Path]) -> None:
    """An archive with the encryption flag is refused."""
    path = zipped(workspace.root / "secret.zip", {"a/1.png": draw_image(), "b/1.png": draw_image(1)})
    content = bytearray(path.read_bytes())
    position = content.index(b"PK\x01\x02")
    content[position + 8] |= 1
    content[6] |= 1
    path.write_bytes(content)
    with pytest.raises(TiltyardError, match=r"not encrypted; a/1\.png requires a password"):
        fetch_images(path)


def test_links_out_of_the_folder_are_rejected(
    workspace: Workspace, fetch_images: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Links out of a folder or in a zip are refused; links to files inside the folder are allowed."""
    root = folder(workspace.root / "pets", PETS)
    (root / "train/cat/3.png").symlink_to(root / "train/dog/2.PNG")
    assert "cat/train-3.png" in names(fetch_images("pets"))
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.png").write_bytes(draw_image())
    for target in (outside / "x.png", outside, root / "train/dog", root / "gone.png"):
        (root / "train/cat/4.png").symlink_to(target)
        with pytest.raises(TiltyardError, match=r"train/cat/4\.png is a link to"):
            fetch_images("pets")
        (root / "train/cat/4.png").unlink()
    link = zipfile.ZipInfo("a/1.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(workspace.root / "links.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(TiltyardError, match=r"a/1\.png is a link"):
        fetch_images("links.zip")


def test_large_files_are_rejected(
    workspace: Workspace, fetch_images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files beyond the limit are refused, and partial output is removed."""
    monkeypatch.setattr(image_files, "MAX_FILE_BYTES", 1 << 20)
    content = {"a/1.png": draw_image(), "b/1.png": draw_image(size=(2000, 2000))}
    for path in (folder(workspace.root / "large", content), zipped(workspace.root / "large.zip", content)):
        with pytest.raises(TiltyardError, match=r"files of at most 1 MiB; b/1\.png has 4"):
            fetch_images(path)


@pytest.mark.parametrize("removed_bytes", [10, 100, 400])
def test_truncated_archive_is_rejected(
    workspace: Workspace, fetch_images: Callable[..., Path], removed_bytes: int
) -> None:
    """A truncated zip is refused."""
    path = zipped(workspace.root / "pets.zip", PETS)
    path.write_bytes(path.read_bytes()[:-removed_bytes])
    with pytest.raises(TiltyardError, match="expected a folder or a whole zip file"):
        fetch_images(path)


def test_duplicate_entry_is_rejected(workspace: Workspace, fetch_images: Callable[..., Path]) -> None:
    """Two entries of one name are refused as ambiguous."""
    path = workspace.root / "twice.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/1.png", draw_image())
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a/1.png", draw_image(1))
    with pytest.raises(TiltyardError, match=r"expected each file once; received a/1\.png twice"):
        fetch_images(path)


def test_missing_images_error_names_the_searched_paths(fetch_images: Callable[..., Path]) -> None:
    """The error names the searched paths; a checksum for a folder is refused."""
    with pytest.raises(SourceError, match="no file gone"):
        fetch_images("gone")
    Path("there").mkdir()
    with pytest.raises(SourceError, match=r"source\.sha256: expected a zip file; there is a folder"):
        fetch_images("there", sha256="0" * 64)
    with pytest.raises(TiltyardError, match="there: expected PNG, JPEG, WebP or TIFF files; received none"):
        fetch_images("there")


def test_skipped_files_are_reported(workspace: Workspace, fetch_images: Callable[..., Path]) -> None:
    """Notes are stored in the archive, and validation reports them."""
    path = fetch_images(folder(workspace.root / "pets", {**PETS, "train/cat/Thumbs.db": b"x", "LICENSE": b"x"}))
    with zipfile.ZipFile(path) as file:
        (note,) = image_files.notes(file)
    assert note.startswith("2 files left out that are no PNG, JPEG, WebP or TIFF: ")
    assert ".db (1)" in note


def test_real_images(fetch_images: Callable[..., Path], mirror: Path) -> None:
    """A few CIFAR-10 images of each class are read from the mirror."""
    if not (mirror / "cifar10-jpg.zip").is_file():
        pytest.skip("needs cifar10-jpg.zip")
    archive_names = names(fetch_images("cifar10-jpg.zip", under=["test"], rows=50))
    assert len(archive_names) == 50
    assert archive_names[:2] == ["airplane/0000.jpg", "airplane/0200.jpg"]
    assert len({name.partition("/")[0] for name in archive_names}) == 10


def test_unreadable_images_keep_the_old_data(workspace: Workspace) -> None:
    """Earlier raw data stay complete if the folder becomes unreadable."""
    from workspaces import edit_task

    from tiltyard.config import loader

    root = folder(workspace.root / "pets", PETS)
    edit_task(workspace, "digits", {"source": {"kind": "images", "path": "pets"}})
    task = loader.load(workspace, "digits")
    before = fetch.get(workspace, task).data
    (root / "train/cat/1.png").unlink()
    (root / "train/cat/1.png").symlink_to("/etc/passwd")
    with pytest.raises(TiltyardError, match="is a link"):
        fetch.get(workspace, task)
    assert len(names(workspace.raw("digits") / "images.zip")) == 4
    assert before


def test_columns_beside_images_become_a_table(workspace: Workspace) -> None:
    """Each row holds the file as Base64, the columns beside it as they are written, and the label."""
    homes = {"a.png": draw_image(1), "b.png": draw_image(2)}
    table = b"file,rooms,area,price\nb.png,3,,200\na.png,2,40.50,100\n"
    folder(workspace.root / "homes", {**homes, "homes.csv": table})
    settings = {"kind": "images", "path": "homes", "labels": "homes.csv", "label_column": "price"}
    source = Images.model_validate({**settings, "beside": ["rooms", "area"]})
    target = workspace.root / "raw"
    target.mkdir()
    source.fetch(target, workspace)
    first, second = (base64.b64encode(homes[name]).decode() for name in ("a.png", "b.png"))
    expected = f"image,rooms,area,price\n{first},2,40.50,100\n{second},3,,200\n"
    assert {path.name: path.read_text() for path in target.iterdir()} == {"table.csv": expected}
    with pytest.raises(ValueError, match="beside: expected a table of labels"):
        Images.model_validate({"kind": "images", "path": "homes", "beside": ["rooms"]})
    with pytest.raises(ValueError, match="beside: expected names other than the label"):
        Images.model_validate({**settings, "beside": ["price"]})
    with pytest.raises(DataError, match="expected the columns garden"):
        Images.model_validate({**settings, "beside": ["garden"]}).fetch(target, workspace)
