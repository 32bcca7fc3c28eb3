"""The source `keras`: data sets are read from .npz files, and never from a pickle."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pydantic import ValidationError

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.data import stand_in
from tiltyard.data.sources import _download, _fashion_mnist, keras
from tiltyard.data.sources.keras import DATASETS, Keras
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace


def arrays(*shape: int, classes: int = 10) -> dict[str, Any]:
    """Generate images in the layout of keras.datasets: 40 for training, 10 for testing."""
    dice = np.random.default_rng(0)
    content: dict[str, Any] = {}
    for part, rows in (("train", 40), ("test", 10)):
        content[f"x_{part}"] = dice.integers(0, 256, (rows, *shape)).astype(np.uint8)
        content[f"y_{part}"] = (np.arange(rows) % classes).astype(np.uint8)
    return content


@pytest.fixture
def mirror_folder(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty mirror."""
    folder = workspace.root / "mirror"
    folder.mkdir()
    monkeypatch.setenv("TILTYARD_MIRROR", str(folder))
    return folder


@pytest.fixture
def fetch_dataset(workspace: Workspace) -> Callable[..., Path]:
    """Fetch into an empty folder; check that it is still empty after an error."""

    def get(dataset: str, **settings: Any) -> Path:
        target = workspace.root / "raw"
        target.mkdir(exist_ok=True)
        for old in target.iterdir():
            old.unlink()
        try:
            Keras.model_validate({"kind": "keras", "dataset": dataset, **settings}).fetch(target, workspace)
        except SourceError:
            assert list(target.iterdir()) == []
            raise
        (path,) = target.iterdir()
        return path

    return get


def test_images_are_read_from_the_mirror(fetch_dataset: Callable[..., Path], mirror_folder: Path) -> None:
    """Images become PNG files with the same pixels, by class, and the same bytes each time."""
    content = arrays(28, 28)
    np.savez_compressed(mirror_folder / "mnist.npz", **content)
    path = fetch_dataset("mnist")
    first = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        assert file.namelist()[:2] == ["0/train-00000.png", "1/train-00001.png"]
        assert file.namelist()[-1] == "9/test-00049.png"
        pixels = np.asarray(Pillow.open(io.BytesIO(file.read("9/test-00049.png"))))
    np.testing.assert_array_equal(pixels, content["x_test"][-1])
    assert fetch_dataset("mnist").read_bytes() == first


def test_images_are_moved_by_chance(fetch_dataset: Callable[..., Path], mirror_folder: Path) -> None:
    """Each image lies somewhere else, at most so many pixels away, the same each time; what enters is black."""
    content = arrays(28, 28)
    for name in ("x_train", "x_test"):
        content[name][:] = 0
        content[name][:, 10:12, 20] = [7, 9]
    np.savez_compressed(mirror_folder / "mnist.npz", **content)
    path = fetch_dataset("mnist", shift=9)
    first, places = path.read_bytes(), []
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            pixels = np.asarray(Pillow.open(io.BytesIO(file.read(name))))
            places += [(row - 10, column - 20) for row, column in np.argwhere(pixels == 7).tolist()]
            assert pixels.sum() in (0, 16), "a point that leaves on the right is lost, and does not enter on the left"
    for distances in zip(*places, strict=True):
        assert min(distances) < 0 < max(distances)
        assert max(map(abs, distances)) <= 9
    assert len({*places}) > 20
    assert fetch_dataset("mnist", shift=9).read_bytes() == first
    with pytest.raises(
        ValidationError, match="shift: expected only for images; received 1 for boston_housing, a table"
    ):
        Keras(kind="keras", dataset="boston_housing", shift=1)


def test_sample_is_balanced_over_classes(fetch_dataset: Callable[..., Path], mirror_folder: Path) -> None:
    """A small sample contains all classes."""
    np.savez(mirror_folder / "fashion_mnist.npz", **arrays(28, 28))
    with zipfile.ZipFile(fetch_dataset("fashion_mnist", rows=20)) as file:
        labels = [name.partition("/")[0] for name in file.namelist()]
    assert labels[:2] == ["tshirt", "trouser"]
    assert {labels.count(label) for label in labels} == {2}


def test_colour_images(fetch_dataset: Callable[..., Path], mirror_folder: Path) -> None:
    """Colour images with labels in a column are read."""
    content = arrays(32, 32, 3)
    content |= {name: content[name][:, None] for name in ("y_train", "y_test")}
    np.savez(mirror_folder / "cifar10.npz", **content)
    with zipfile.ZipFile(fetch_dataset("cifar10")) as file:
        assert Pillow.open(io.BytesIO(file.read("frog/train-00006.png"))).mode == "RGB"


def test_table_numbers_are_exact(fetch_dataset: Callable[..., Path], mirror_folder: Path) -> None:
    """Numbers are written exactly, with the target last."""
    x = np.random.default_rng(0).normal(size=(20, 13))
    np.savez(mirror_folder / "boston_housing.npz", x=x, y=np.arange(20.0))
    lines = fetch_dataset("boston_housing", rows=12).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("CRIM,ZN,")
    assert lines[0].endswith(",LSTAT,MEDV")
    read = np.array([line.split(",") for line in lines[1:]], dtype=float)
    np.testing.assert_array_equal(read, np.column_stack([x, np.arange(20.0)])[:12])


@pytest.mark.parametrize("dataset", ["imdb", "reuters"])
def test_pickles_are_rejected(fetch_dataset: Callable[..., Path], mirror_folder: Path, dataset: str) -> None:
    """Pickles are refused even if the file exists, with an alternative."""
    np.savez(mirror_folder / f"{dataset}.npz", x_train=np.array([[1], [1, 2]], dtype=object))
    with pytest.raises(SourceError, match="as a pickle") as caught:
        fetch_dataset(dataset)
    assert "source.kind: file" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.array([[1], [1, 2]], dtype=object)}, "Object arrays cannot be loaded when allow_pickle=False"),
        ({"y_test": None}, "expected the arrays x_train, y_train, x_test, y_test; y_test is missing"),
        ({"x_test": np.zeros((10, 8, 8), np.uint8)}, r"expected rows shaped \(28, 28\) in x_test .* \(10, 8, 8\)"),
        ({"y_train": np.zeros(39, np.uint8)}, r"as many in y_train; received \(40, 28, 28\) and \(39,\)"),
        ({"y_train": np.full(40, 10)}, "expected 0 to 9 in y_train; received 10 to 10"),
        ({"x_train": np.zeros((40, 28, 28))}, "expected bytes in x_train .*; received float64"),
    ],
)
def test_invalid_arrays_are_rejected(
    fetch_dataset: Callable[..., Path], mirror_folder: Path, change: dict[str, Array | None], message: str
) -> None:
    """Pickled, missing and wrong arrays are refused."""
    content: dict[str, Any] = {**arrays(28, 28), **change}
    np.savez(mirror_folder / "mnist.npz", **{name: values for name, values in content.items() if values is not None})
    with pytest.raises(SourceError, match=message):
        fetch_dataset("mnist")


def test_text_target_is_rejected(fetch_dataset: Callable[..., Path], mirror_folder: Path) -> None:
    """A target of text is refused."""
    np.savez(mirror_folder / "california_housing.npz", x=np.zeros((3, 8)), y=np.array(["a", "b", "c"]))
    with pytest.raises(SourceError, match="expected numbers; received float64 and <U1"):
        fetch_dataset("california_housing")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_invalid_files_are_rejected(fetch_dataset: Callable[..., Path], mirror_folder: Path, content: bytes) -> None:
    """Files that are not .npz are refused."""
    (mirror_folder / "mnist.npz").write_bytes(content)
    with pytest.raises(SourceError, match=r"mnist\.npz: expected a whole file of numbers"):
        fetch_dataset("mnist")


def test_oversized_arrays_are_rejected_before_reading(
    fetch_dataset: Callable[..., Path], mirror_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays beyond the limit are refused before reading."""
    np.savez_compressed(mirror_folder / "mnist.npz", **arrays(28, 28))
    monkeypatch.setattr(keras, "MAX_BYTES", 1000)
    with pytest.raises(SourceError, match="expected at most 1,000 bytes of arrays"):
        fetch_dataset("mnist")


def test_missing_file_error_names_ways_to_supply_it(
    workspace: Workspace, fetch_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint includes a command that makes the file, and no request is sent."""
    monkeypatch.delenv("TILTYARD_MIRROR", raising=False)
    with pytest.raises(SourceError, match=r"no file cifar10\.npz: looked in .*; TILTYARD_MIRROR is not set") as caught:
        fetch_dataset("cifar10")
    assert caught.value.hint.startswith(f"place cifar10.npz at {workspace.root / 'cifar10.npz'}; or put it into")
    assert "set TILTYARD_MIRROR to that; to make it: python -c" in caught.value.hint


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A local server in place of Keras's."""
    folder = tmp_path_factory.mktemp("served")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        monkeypatch.setattr(keras, "ADDRESS", f"http://127.0.0.1:{http_server.server_port}/")
        monkeypatch.setattr(_download, "PAUSE_SECONDS", 0.01)
        yield folder
        http_server.shutdown()
        thread.join()


def test_download_is_verified_and_reused(
    workspace: Workspace,
    fetch_dataset: Callable[..., Path],
    mirror_folder: Path,
    server: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A download is kept and reused unless it is damaged, and the mirror takes precedence."""
    np.savez(server / "mnist.npz", **arrays(28, 28))
    with pytest.raises(SourceError, match=r"expected SHA-256 731c.*; received"):
        fetch_dataset("mnist")
    good = dataclasses.replace(DATASETS["mnist"], sha256=files.file_digest(server / "mnist.npz").hex())
    monkeypatch.setitem(DATASETS, "mnist", good)
    first = fetch_dataset("mnist").read_bytes()
    (cached,) = workspace.downloads.glob("*.npz")
    cached.write_bytes(b"rot")
    assert fetch_dataset("mnist").read_bytes() == first
    (server / "mnist.npz").unlink()
    assert fetch_dataset("mnist").read_bytes() == first
    cached.unlink()
    with pytest.raises(SourceError, match="the server answers 404") as caught:
        fetch_dataset("mnist")
    assert "set TILTYARD_MIRROR" in caught.value.hint
    np.savez(mirror_folder / "mnist.npz", **arrays(28, 28))
    assert fetch_dataset("mnist").read_bytes() == first


def test_real_digits(fetch_dataset: Callable[..., Path], mirror: Path) -> None:
    """A hundred MNIST images are balanced over the digits."""
    if not (mirror / "mnist.npz").is_file():
        pytest.skip("needs mnist.npz")
    with zipfile.ZipFile(fetch_dataset("mnist", rows=100)) as file:
        labels = [name.partition("/")[0] for name in file.namelist()]
    assert {label: labels.count(label) for label in labels} == dict.fromkeys("0123456789", 10)


def test_stand_in_images_are_marked(workspace: Workspace, mirror_folder: Path, tmp_path: Path) -> None:
    """Generated images have the layout of the real ones and a mark, without paths; real ones have none."""

    def fetched(name: str) -> Path:
        (folder := tmp_path / name).mkdir()
        source = {"kind": "keras", "dataset": "fashion_mnist", "stand_in": True, "rows": 100}
        Keras.model_validate(source).fetch(folder, workspace)
        return folder

    folder = fetched("generated")
    with zipfile.ZipFile(folder / "images.zip") as file:
        assert len(file.namelist()) == 100
        assert {name.partition("/")[0] for name in file.namelist()} >= {"tshirt", "ankle_boot"}
        assert {name.partition("/")[2].partition("-")[0] for name in file.namelist()} == {"train", "test"}
    reason = "made-up pictures stand in for fashion_mnist, which is neither in the project nor in TILTYARD_MIRROR"
    assert stand_in.reason(folder) == reason
    np.savez(mirror_folder / "fashion_mnist.npz", **arrays(28, 28))
    assert not stand_in.reason(fetched("real"))
    (mirror_folder / "fashion_mnist.npz").write_bytes(b"damaged")
    with pytest.raises(SourceError, match="expected a whole file of numbers"):
        fetched("damaged")


def idx(values: Array) -> bytes:
    """Return a compressed IDX file of bytes."""
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">u4").tobytes()
    return gzip.compress(head + values.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small files in the format of Fashion-MNIST, whose checksums count as the published ones."""
    content = arrays(28, 28)
    made = {file: idx(content[name]) for name, (file, _) in _fashion_mnist.FILES.items()}
    sums = {
        name: (file, hashlib.md5(made[file], usedforsecurity=False).hexdigest())
        for name, (file, _) in _fashion_mnist.FILES.items()
    }
    monkeypatch.setattr(_fashion_mnist, "FILES", sums)
    return made


@pytest.mark.parametrize("place", ["mirror", "server"])
def test_fashion_is_read_from_its_published_files(
    fetch_dataset: Callable[..., Path], mirror_folder: Path, server: Path, published: dict[str, bytes], place: str
) -> None:
    """The four files are found in the mirror or downloaded; pixels and labels are those of the files."""
    for name, content in published.items():
        ((mirror_folder if place == "mirror" else server) / name).write_bytes(content)
    with zipfile.ZipFile(fetch_dataset("fashion_mnist")) as file:
        assert len(file.namelist()) == 50
        pixels = np.asarray(Pillow.open(io.BytesIO(file.read("tshirt/train-00010.png"))))
    np.testing.assert_array_equal(pixels, arrays(28, 28)["x_train"][10])


def test_files_of_mnist_are_no_fashion(
    fetch_dataset: Callable[..., Path], mirror_folder: Path, published: dict[str, bytes]
) -> None:
    """Files of the same names with other content are refused by their checksum."""
    for name in published:
        (mirror_folder / name).write_bytes(idx(np.zeros((2, 2))))
    with pytest.raises(SourceError, match=r"train-images-idx3-ubyte.gz: expected MD5 .*, as published; received"):
        fetch_dataset("fashion_mnist")


@pytest.mark.usefixtures("server")
def test_missing_fashion_error_names_every_way(fetch_dataset: Callable[..., Path]) -> None:
    """Without files, the hint names the place, the mirror, the address and the stand-in."""
    with pytest.raises(SourceError, match="the server answers 404") as caught:
        fetch_dataset("fashion_mnist")
    for way in ("place fashion_mnist.npz at", "TILTYARD_MIRROR", "train-images-idx3-ubyte.gz, from http", "stand_in"):
        assert way in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b"", mtime=0),
        idx(np.zeros((3, 3)))[:-6],
        gzip.compress(bytes([0, 0, 9, 1, 0, 0, 0, 1, 0]), mtime=0),
        gzip.compress(bytes([0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 3]) + bytes(8), mtime=0),
        gzip.compress(bytes([0, 0, 8, 200]), mtime=0),
    ],
    ids=["empty", "no_gzip", "nothing_packed", "cut", "other_type", "too_few_values", "no_sizes"],
)
def test_damaged_idx_files_are_refused(content: bytes) -> None:
    """An empty, cut or foreign file, and one with fewer values than its header says, is refused."""
    with pytest.raises(SourceError, match=r"file.gz: expected"):
        _fashion_mnist.parsed(content, "file.gz")
