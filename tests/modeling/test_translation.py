"""Translations by hand: ids and their ends, the commonest answer as baseline, and what a report tells of edits."""

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


def test_letters_get_ids_behind_those_of_signs() -> None:
    """The commonest first; an output for each of them, for the signs, and for padding."""
    fitted = Translation().fit(TARGET, np.array(["ab", "b"]))
    assert fitted == {"ids": {"b": END + 1, "a": END + 2}, "by": "characters", "steps": 4}
    encoder: Any = SimpleNamespace(target=fitted)
    assert Translation().units(TARGET, "softmax", encoder) == 5
    with pytest.raises(DataError, match=r"target\.length: expected the maximum number of tokens"):
        Translation().fit(Target(column="iso"), np.array(["a"]))


def test_an_answer_as_long_as_the_longest_keeps_its_end() -> None:
    """A longer one is cut for it; what was never seen is marked, and what is left is padded."""
    encoder: Any = SimpleNamespace(target=Translation().fit(TARGET, np.array(["ab", "b"])))
    assert Translation().ids(encoder, np.array(["ab", "bbb", "bbbb", "?"])).tolist() == [
        [END + 2, END + 1, END, PAD],
        [END + 1, END + 1, END + 1, END],
        [END + 1, END + 1, END + 1, END],
        [START, END, PAD, PAD],
    ]


def test_an_answer_without_its_end_is_spelled_to_the_last_step() -> None:
    """And one with it up to there; ids that stand for nothing spell nothing."""
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


def test_words_are_measured_by_words() -> None:
    """One of two is wrong: one edit, of a length of two."""
    (found,) = judged(["der Hund"], np.array(["der Wolf"]), "words")
    assert found.tolist() == ("der Hund", 0, 1, 2)


def test_the_baseline_answers_what_is_commonest() -> None:
    """For every row, measured by characters."""
    found = Evaluator().baseline(np.array(["b", "a", "b"]), {"x": np.zeros(3), TRUTH: np.array(["b", "ab", "c"])}, "")
    assert [row.tolist() for row in found] == [("b", 1, 0, 1), ("b", 0, 1, 2), ("b", 0, 1, 1)]


def test_wrong_answers_come_first_by_their_edits() -> None:
    """Ten of eleven wrong ones; a right one is not listed. The picture and the plot hold all."""
    truth = np.array(["x" * 12] * 12)
    answers = ["x" * (12 - edits) for edits in (0, 3, 11, 5, 1, 9, 2, 8, 4, 7, 6, 10)]
    made = Predictions(truth, judged(answers, truth, "characters"), judged([""] * 12, truth, ""), np.arange(50, 62))
    worst = Evaluator().details(made)["worst"]
    assert [one["edits"] for one in worst] == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    assert worst[0] == {"row": 52, "actual": "x" * 12, "predicted": "x", "edits": 11}
    drawn = {"row": [*range(50, 62)], "edits": [0, 3, 11, 5, 1, 9, 2, 8, 4, 7, 6, 10]}
    assert Evaluator().plots(made) == {"edits": drawn}
    (shown,) = Evaluator().figures(made)
    assert [(one["name"], sum(one["y"])) for one in shown.data["lines"]] == [("model", 24), ("baseline", 24)]
    assert (
        Evaluator().details(Predictions(truth[:1], made.outputs[:1], made.baseline[:1], made.number[:1]))["worst"] == []
    )


def test_clients_are_told_of_a_text() -> None:
    """By its name, and as a string."""
    assert Translation().purpose(TARGET) == "the text `iso`"
    for wrong in (5, None, ["a"]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, Translation().json_schema(TARGET))
