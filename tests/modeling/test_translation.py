"""Translation by hand: ids and end ids, the most frequent target as baseline, and edits in a report."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest

from tiltyard.errors import DataError
from tiltyard.modeling.columns._vocabulary import END, PAD, START
from tiltyard.modeling.evaluators.base import TRUTH
from tiltyard.modeling.evaluators.translation import Translation as Evaluator
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import Target
from tiltyard.modeling.problems.translation import Translation, judged

TARGET = Target(column="iso", length=3)


def test_letter_ids_follow_the_special_ids() -> None:
    """The most frequent letters come first; outputs are letters, special ids and padding."""
    fitted = Translation().fit(TARGET, np.array(["ab", "b"]))
    assert fitted == {"ids": {"b": END + 1, "a": END + 2}, "by": "characters", "steps": 4}
    encoder: Any = SimpleNamespace(target=fitted)
    assert Translation().units(TARGET, "softmax", encoder) == 5
    with pytest.raises(DataError, match=r"target\.length: expected the maximum number of tokens"):
        Translation().fit(Target(column="iso"), np.array(["a"]))


def test_longest_target_keeps_its_end_id() -> None:
    """Longer targets are truncated before the end id; unknown characters are marked, and the rest is padding."""
    encoder: Any = SimpleNamespace(target=Translation().fit(TARGET, np.array(["ab", "b"])))
    assert Translation().ids(encoder, np.array(["ab", "bbb", "bbbb", "?"])).tolist() == [
        [END + 2, END + 1, END, PAD],
        [END + 1, END + 1, END + 1, END],
        [END + 1, END + 1, END + 1, END],
        [START, END, PAD, PAD],
    ]


def test_output_without_end_id_is_decoded_completely() -> None:
    """Otherwise decoding stops at the end id; special ids are omitted."""
    encoder: Any = SimpleNamespace(target=Translation().fit(TARGET, np.array(["ab", "b"])))
    ids = np.array(
        [[END + 2] * 4, [END + 2, END, END + 1, END], [END, END + 1, END + 1, END], [START, END + 1, END, END]]
    )
    outputs = np.eye(5)[ids]
    assert Translation().respond(encoder, lambda _: outputs, {}) == ["aaaa", "a", "", "b"]
    found = Translation().condense(encoder, np.array(["aaaa", "b", "", "ab"]), outputs)
    assert found["text"].tolist() == ["aaaa", "a", "", "b"]
    assert found["exact"].tolist() == [1, 0, 1, 0]
    assert found["edits"].tolist() == [0, 1, 0, 1]
    assert found["length"].tolist() == [4, 1, 0, 2]


def test_edits_are_counted_in_words() -> None:
    """One of two words is wrong: one edit, and a length of two."""
    (found,) = judged(["der Hund"], np.array(["der Wolf"]), "words")
    assert found.tolist() == ("der Hund", 0, 1, 2)


def test_baseline_predicts_the_most_frequent_target() -> None:
    """It is the same for every row, evaluated by characters."""
    found = Evaluator().baseline(np.array(["b", "a", "b"]), {"x": np.zeros(3), TRUTH: np.array(["b", "ab", "c"])}, "")
    assert [row.tolist() for row in found] == [("b", 1, 0, 1), ("b", 0, 1, 2), ("b", 0, 1, 1)]


def test_worst_rows_are_sorted_by_edits() -> None:
    """Ten of eleven wrong predictions are listed; correct ones are not. The figure and the plot have all rows."""
    truth = np.array(["x" * 12] * 12)
    predictions = ["x" * (12 - edits) for edits in (0, 3, 11, 5, 1, 9, 2, 8, 4, 7, 6, 10)]
    evaluated = Predictions(
        truth, judged(predictions, truth, "characters"), judged([""] * 12, truth, ""), np.arange(50, 62)
    )
    worst = Evaluator().details(evaluated)["worst"]
    assert [one["edits"] for one in worst] == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    assert worst[0] == {"row": 52, "actual": "x" * 12, "predicted": "x", "edits": 11}
    plot = {"row": [*range(50, 62)], "edits": [0, 3, 11, 5, 1, 9, 2, 8, 4, 7, 6, 10]}
    assert Evaluator().plots(evaluated) == {"edits": plot}
    (shown,) = Evaluator().figures(evaluated)
    assert [(one["name"], sum(one["y"])) for one in shown.data["lines"]] == [("model", 24), ("baseline", 24)]
    assert (
        Evaluator().details(
            Predictions(truth[:1], evaluated.outputs[:1], evaluated.baseline[:1], evaluated.number[:1])
        )["worst"]
        == []
    )


def test_schema_describes_a_text() -> None:
    """Purpose and schema say that the output is a string."""
    assert Translation().purpose(TARGET) == "the text `iso`"
    for wrong in (5, None, ["a"]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, Translation().json_schema(TARGET))
