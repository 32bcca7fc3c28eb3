"""The network by whose features samples are compared: a classifier of the labels, or principal components."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from workspaces import run_in_process

from tiltyard.errors import DataError
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.feature_network import FILE, WIDTH, FeatureNetwork
from tiltyard.modeling.problems.sampling import Sampling
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.workspace import Workspace

ROWS = 1200  # of 1797 digits, for training


def digits(*, labels: bool) -> TrainingRows:
    """Return the digits of scikit-learn, as `prepare` would."""
    images, truth = load_digits(return_X_y=True)
    pixels = images.reshape(-1, 8, 8, 1).astype(np.float32)
    fitted, target = {"image": {"mean": 0.0, "std": 16.0}}, {"labels": [*"0123456789"]} if labels else {}
    column = Image(height=8, width=8)
    encoder = Encoder("t", Sampling(), {"image": column}, fitted, target, [], bare=True, max_instances=8)
    return TrainingRows(encoder, (pixels[:ROWS], truth[:ROWS]), (pixels[ROWS:], truth[ROWS:]), f"digits {labels}", {})


def _pixels(part: tuple[Any, Any]) -> Any:
    """Return the pictures of a part, from 0 to 1."""
    return part[0] / 16


def _opened(root: str, labels: bool, digest: str = "") -> str:
    from tiltyard.training.feature_network import open_feature_network

    rows = digits(labels=labels)
    return str(open_feature_network(Workspace(Path(root)), replace(rows, digest=digest) if digest else rows))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A workspace, and the folder of its classifier."""
    root = tmp_path_factory.mktemp("features")
    return root, Path(run_in_process(_opened, str(root), True))


def test_the_classifier_classifies_rows_that_it_did_not_see(trained: tuple[Path, Path]) -> None:
    """Its features are centred, with a variance of 1 on average, so that distances of tasks have one scale."""
    rows, network = digits(labels=True), FeatureNetwork.load(trained[1])
    described = network.describe(_pixels(rows.validation))
    assert np.mean(described.labels == rows.validation[1]) > 0.9
    assert described.classes == 10
    known = network.describe(_pixels(rows.train)).features
    assert known.shape == (ROWS, WIDTH)
    assert known.mean(axis=0) == pytest.approx(np.zeros(WIDTH), abs=1e-4)
    assert known.var(axis=0).mean() == pytest.approx(1, rel=1e-3)
    flat = network.describe(_pixels(rows.train).reshape(ROWS, -1)).features
    assert np.array_equal(flat, known)


def test_trainings_of_the_same_rows_share_the_classifier(trained: tuple[Path, Path]) -> None:
    """It is trained once; other rows have another one; training it again gives the same file."""
    root, folder = trained
    content, written = (folder / FILE).read_bytes(), (folder / FILE).stat().st_mtime_ns
    assert Path(run_in_process(_opened, str(root), True)) == folder
    assert (folder / FILE).stat().st_mtime_ns == written
    other = Path(run_in_process(_opened, str(root), True, "others"))
    assert other != folder
    assert (other / FILE).read_bytes() == content  # here the rows are the same under another name


def _scaled_by_few(root: str) -> list[float]:
    """Train on rows in the order of their labels, scaled by fewer rows than there are; return mean and variance."""
    from tiltyard.training import feature_network

    feature_network.SCALE_ROWS = 200
    rows = digits(labels=True)
    order = np.argsort(rows.train[1], kind="stable")
    pixels = _pixels(rows.train)[order]
    ordered = replace(rows, train=(pixels * 16, rows.train[1][order]))
    feature_network.write_feature_network(Path(root), ordered)
    features = FeatureNetwork.load(Path(root)).describe(pixels).features
    return [float(np.abs(features.mean(axis=0)).max()), float(features.var(axis=0).mean())]


def test_rows_that_scale_the_features_are_of_all_labels(tmp_path: Path) -> None:
    """Rows may be ordered by label: the first ones would be of one alone."""
    mean, variance = run_in_process(_scaled_by_few, str(tmp_path))
    assert mean < 0.3
    assert variance == pytest.approx(1, rel=0.15)


def test_features_without_labels_are_principal_components(trained: tuple[Path, Path]) -> None:
    """Distances between rows are those of the components, up to the scale; there is one class."""
    rows, network = digits(labels=False), FeatureNetwork.load(Path(run_in_process(_opened, str(trained[0]), False)))
    described = network.describe(_pixels(rows.validation))
    assert (described.classes, int(described.labels.max())) == (1, 0)
    train, later = (_pixels(part).reshape(-1, 64) for part in (rows.train, rows.validation))
    expected = PCA(WIDTH).fit(train).transform(later)
    ratio = _distances(expected) / _distances(described.features.astype(np.float64))
    assert ratio.std() / ratio.mean() < 1e-3


def _distances(features: Any) -> Any:
    return np.linalg.norm(features[1:200] - features[:1], axis=1)


def test_a_missing_network_names_the_command(tmp_path: Path) -> None:
    """A model that an earlier release trained has none."""
    with pytest.raises(DataError, match="it is not trained") as caught:
        FeatureNetwork.load(tmp_path / "digits_gan" / "train")
    assert caught.value.hint == "train it: tiltyard train digits_gan"
