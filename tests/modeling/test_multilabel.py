"""Multi-label classification: cells with several labels, their flags, and predictions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.modeling.columns._label_cells import joined, labels_of, multi_hot
from tiltyard.modeling.problems.base import Target
from tiltyard.modeling.problems.multilabel import Multilabel, named, predicted
from tiltyard.serving.model.tensors import output_tensors

LABELS = ["a", "b", "<c>"]
TEXTS = st.text(st.characters(exclude_characters="|", codec="utf-8"), max_size=9).map(str.strip)
LABEL_SETS = st.lists(TEXTS.filter(bool), max_size=6, unique=True).map(sorted)


@given(LABEL_SETS, st.sampled_from(["|", None]))
def test_a_cell_holds_what_was_joined(labels: list[str], separator: str | None) -> None:
    """Labels joined to a cell are read from it again, with a separator and as a list in JSON."""
    assert labels_of(joined(labels, separator), separator) == labels


@given(st.lists(LABEL_SETS, min_size=1, max_size=5))
def test_flags_name_the_labels_of_each_row(label_sets: list[list[str]]) -> None:
    """The flags of a row name its labels, in the order of the classes."""
    classes = sorted({label for labels in label_sets for label in labels})
    flags = multi_hot(label_sets, classes)
    assert flags.shape == (len(label_sets), len(classes))
    assert [named(row, classes) for row in flags] == label_sets


@pytest.mark.parametrize(
    ("cell", "separator", "labels"),
    [
        ("b|a", "|", ["a", "b"]),
        ("a; b ;a;", ";", ["a", "b"]),
        ("a, b", ",", ["a", "b"]),
        ("a", "|", ["a"]),
        ("", "|", []),
        ("  ", "|", []),
        (None, "|", []),
        (float("nan"), None, []),
        ('["b", "a"]', None, ["a", "b"]),
        ("['b', 'a']", None, ["a", "b"]),
        ("[]", None, []),
        ("[1, null, 2.5]", None, ["1", "2.5"]),
        ("a", None, ["a"]),
        ("a|b", None, ["a|b"]),
        ("[" * 100_000 + "]", None, ["[" * 99_999]),
        (["b", "a"], "|", ["a", "b"]),
    ],
)
def test_cells_as_people_write_them(cell: object, separator: str | None, labels: list[str]) -> None:
    """Blanks, repeated and empty parts do not count; lists may be those of JSON or of Python."""
    assert labels_of(cell, separator) == labels


def test_labels_from_one_half_on_are_predicted() -> None:
    """A prediction has the labels with a probability of at least 50 %, and the probability of each."""
    outputs = np.array([[0.5, 0.49, 0.9], [0.1, 0.2, 0.3]])
    first, second = Multilabel().decode(outputs, LABELS)
    assert first == {"labels": ["a", "<c>"], "probabilities": {"a": 0.5, "b": 0.49, "<c>": 0.9}}
    assert second["labels"] == []
    assert predicted(outputs).tolist() == [[True, False, True], [False, False, False]]


def test_tensors_have_a_flag_for_each_label() -> None:
    """Lists of labels differ in length, so the tensor `labels` has a flag for each."""
    schema = Multilabel().json_schema(Target(column="y", classes=LABELS, separator="|"))
    tensors = output_tensors({"prediction": schema})
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors] == [
        ("labels", "BOOL", (3,)),
        ("probabilities", "FP64", (3,)),
    ]


def test_card_names_the_labels() -> None:
    """The model card says that a row may have any number of the labels."""
    target = Target(column="genres", classes=["a", "b"], separator="|")
    assert Multilabel().purpose(target) == "the labels of `genres`, any number of a, b, with probabilities"
    fitted = Multilabel().fitted_to(Multilabel().fit(target, np.ones((2, 2))))
    assert fitted.__dict__ == {"separator": "|", "threshold": None}
