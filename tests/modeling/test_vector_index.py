"""Vector indexes: arrays that do not belong together are refused when a package is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.errors import RegistryError
from tiltyard.modeling.inference.vector_index import VectorIndex

INDEX = VectorIndex(
    users=np.array(["", "a", "b"]),
    user_vectors=np.zeros((3, 2)),
    user_rows=np.array([0, 0, 1]),
    items=np.array(["", "x"]),
    titles=np.array(["", "X"]),
    item_vectors=np.ones((2, 2)),
    item_rows=np.array([0, 1]),
    starts=np.array([0, 0, 0, 1]),
    rated=np.array([1]),
    scale=np.array([3.0, 1.0, 4.0, 0.5]),
    layout_=np.array([1, 0]),
)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("user_vectors", np.zeros((1, 2)), "user_vectors: expected the shape"),
        ("item_vectors", np.full((2, 2), np.nan), "finite"),
        ("titles", np.array(["a"]), "titles: expected the shape"),
        ("starts", np.array([0, 5, 2, 1]), "starts: expected rising places"),
        ("rated", np.array([9]), "rated: expected codes of items"),
        ("scale", np.array([0.0, np.inf, 0.0, 1.0]), "finite"),
        ("layout_", np.array([2, 1]), "vectors with a part for the rating"),
        ("users", np.array(["", {}, "b"]), "Object arrays cannot be loaded"),
    ],
)
def test_forged_index_is_refused(tmp_path: Path, name: str, value: Array, text: str) -> None:
    """Arrays that do not belong together, numbers that are not finite, objects, and compressed arrays are refused."""
    path, arrays = tmp_path / "index.npz", vars(INDEX)
    INDEX.save(path)
    assert VectorIndex.load(path).items.tolist() == ["", "x"]
    np.savez(path, allow_pickle=True, **{**arrays, name: value})
    with pytest.raises(RegistryError, match=text):
        VectorIndex.load(path)
    np.savez_compressed(path, allow_pickle=False, **arrays)
    with pytest.raises(RegistryError, match="not compressed"):
        VectorIndex.load(path)
