"""Wide & Deep: crossed categories, embeddings, and settings that do not fit the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_families import model_settings
from pydantic import ValidationError
from workspaces import edit_task, run_in_process

from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace

# Features: a number, a category of two values, a number, a category of three, and a category of two.
PLACES = {"size": range(1, 3), "colour": range(4, 7), "shape": range(7, 9)}
ROW = [0.5, 1, 0, -2.0, 0, 0, 1, 0, 1]  # the first size, the third colour, the second shape


def _last_inputs(crossed: list[list[str]] | None) -> dict[str, Any]:
    """Return what the output layer reads of a row, after the hidden layer, and the number of parameters."""
    import keras

    family: Any = model_settings({"family": "wide_deep", "units": [4], "embedding": 2, "crossed": crossed})
    family.locate_names(PLACES)
    features = keras.Input((9,), name="features")
    x = family.build(features)
    model = keras.Model(features, family.head(x, 3, "softmax"))
    read = keras.ops.convert_to_numpy(keras.Model(features, x)(np.array([ROW], dtype=np.float32)))[0, 4:]
    return {"read": read.tolist(), "parameters": model.count_params()}


@pytest.mark.slow
def test_crossed_categories_are_flags_of_pairs() -> None:
    """The wide part reads all features and, for each pair of columns, one flag per combination."""
    result = run_in_process(_last_inputs, None)
    size_colour = [0, 0, 1, 0, 0, 0]  # 2 x 3
    size_shape = [0, 1, 0, 0]  # 2 x 2
    colour_shape = [0, 0, 0, 0, 0, 1]  # 3 x 2
    assert result["read"] == [*ROW, *size_colour, *size_shape, *colour_shape]
    # vectors of two numbers for 2, 3 and 2 categories; 2 numbers and 3 vectors into 4 units; 4, 9 and 16 into 3 labels
    assert result["parameters"] == 2 * (2 + 3 + 2) + (2 + 6) * 4 + 4 + (4 + 9 + 16) * 3 + 3


@pytest.mark.slow
def test_named_crosses_replace_all_pairs() -> None:
    """A cross of three columns has a flag for each of 2 x 2 x 3 combinations; an empty list crosses nothing."""
    three = run_in_process(_last_inputs, [["size", "shape", "colour"]])["read"]
    assert three[9:] == [float(place == 5) for place in range(12)]  # size 0, shape 1, colour 2: 0 x 6 + 1 x 3 + 2
    assert run_in_process(_last_inputs, [])["read"] == ROW


def test_crosses_need_different_columns() -> None:
    """A cross of one column with itself and a repeated cross are refused."""
    for crossed, message in (
        ([["a", "a"]], "expected two or three different columns"),
        ([["a"]], "two or three different columns"),
        ([["a", "b"], ["b", "a"]], "expected each cross once"),
    ):
        with pytest.raises(ValidationError, match=message):
            model_settings({"family": "wide_deep", "crossed": crossed})


def test_crosses_of_too_many_names_are_refused() -> None:
    """The message names the limit, the number, and what to do."""
    family: Any = model_settings({"family": "wide_deep"})
    family.locate_names({"one": range(200), "two": range(200, 400)})
    with pytest.raises(ValueError, match=r"expected at most 20,000 combinations .*; received 40,000; name fewer"):
        family._crosses()


def test_crosses_name_category_columns(workspace: Workspace) -> None:
    """Another column is refused when the task file is read."""
    changes = {"model": {"family": "wide_deep", "crossed": [["petal_length", "petal_width"]]}}
    edit_task(workspace, "iris", changes)
    with pytest.raises(
        TaskError, match=r"model\.crossed: expected category columns out of none; received petal_length"
    ):
        loader.load(workspace, "iris")
