"""Masked words: which words are masked, the targets of training, requests, the baseline, and invalid tasks."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from generated_tasks import TEXTS
from workspaces import new_workspace, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import RequestError, TaskError
from tiltyard.evaluation import evaluate
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.modeling.columns import _masks
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.evaluators.base import TRUTH
from tiltyard.modeling.evaluators.masked import Masked as Evaluator
from tiltyard.modeling.problems.masked import SIGN, UNKNOWN_WORD, Masked
from tiltyard.preparation import prepare
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging.package import write
from tiltyard.workspace import Workspace

TASK: dict[str, Any] = {
    **TEXTS,
    "title": "Words of short sentences",
    "problem": "masked",
    "columns": {"message": {"type": "text", "length": 8, "masked": 0.25}},
    "target": {"column": "message"},
    "split": {"kind": "random"},
    "model": {"family": "transformer", "embedding": 16, "pool": "none", "blocks": 2, "tied": True},
    "train": {"epochs": 80, "batch_size": 16, "learning_rate": 0.003},
    "gate": {"metric": "perplexity", "latency_ms": 500},
    "serve": {"example": "the dog chases the [MASK]"},
}
ANIMALS = {"dog": "cat", "cat": "mouse", "mouse": "cheese"}  # who chases whom


def _prepared(root: Path) -> tuple[Workspace, Task]:
    """Write a task of sentences of which one half says the other; prepare it."""
    space = new_workspace(root)
    files.write_text(space.task_file("chases"), yaml.safe_dump(TASK))
    lines = [f"day {day} the {one} chases the {ANIMALS[one]}" for day in range(100) for one in ANIMALS]
    space.raw("chases").mkdir(parents=True)
    files.write_text(space.raw("chases") / "table.csv", "\n".join(["message", *lines]))
    task = loader.load(space, "chases")
    prepare.prepare(space, task)
    return space, task


def test_text_is_always_masked_in_the_same_way() -> None:
    """The places depend on the text alone; a text that has masks keeps them."""
    words = [*"abcdefgh"]
    places = _masks.places(words, 0.25)
    assert len(places) == 2
    assert places == _masks.places(words, 0.25) == sorted(places)
    assert _masks.places([*words[:-1], "i"], 0.25) != places or _masks.places(["z", *words], 0.25) != places
    assert _masks.places(["a", _masks.MASK, "c"], 0.9) == [1]
    assert _masks.places([], 0.5) == []


def test_masked_words_are_targets_and_other_ones_are_masked_anew() -> None:
    """Each epoch masks other known words, of which the targets tell the ids in order; the text stays the same."""
    mask, generator = 9, np.random.default_rng(0)
    features = np.array([[2, 9, 4, 1, 9, 3, 0, 0], [9, 1, 0, 0, 0, 0, 0, 0]], dtype=np.float32)
    targets = np.array([[5, 6], [0, 0]], dtype=np.int32)  # the masked word of the second text is unknown
    ids = [[2, 5, 4, 1, 6, 3, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]
    assert _masks.unmasked(features, targets, mask).tolist() == ids
    places, shown, masked = set(), list[bool](), 0
    for _ in range(500):
        again, words = _masks.masked_anew(features, targets, 0.25, mask, generator)
        assert _masks.unmasked(again, words, mask).tolist() == ids
        assert again.dtype == np.float32
        assert (again[0] >= mask).sum() == (words[0] > 0).sum() == 2
        assert not (again[1] >= mask).any()  # no known word
        places |= {*np.flatnonzero(again[0] >= mask).tolist()}
        shown += [int(id_) - mask == word for id_, word in zip(again[0][again[0] >= mask], words[0], strict=True)]
        masked += int((again == mask).sum())
    assert places == {0, 1, 2, 4, 5}
    assert 0.7 < masked / 1000 < 0.9  # the others are shown or replaced
    assert 0.05 < np.mean(shown) < 0.2


def test_masks_of_a_request_are_read_and_limited() -> None:
    """[MASK] is one word in any place; more of them than the model has outputs for are refused."""
    column = Text(length=8, masked=0.25, at_least=1)
    (value,) = column.parse(["The[MASK]is a [MASK]."], "x")
    assert value.decode() == "the [MASK] is a [MASK] ."
    with pytest.raises(RequestError, match=r"expected at most 2 \[MASK\] in a text; received 3"):
        column.parse(["[MASK] [MASK] [MASK]"], "x")
    assert Text(length=8).parse(["a [MASK]"], "x")[0].decode() == "a [ mask ]"  # other tasks read it as words


def test_golden_row_is_masked_like_the_test_row() -> None:
    """What is sent to the package has the masks that evaluation saw, and gives the same features."""
    column = Text(length=8, masked=0.25, at_least=1)
    rows = column.parse(["one two three four five six seven eight nine"], "x")
    fitted = column.fit(rows)
    (sent,) = column.to_json(rows)
    assert sent.count("[MASK]") == 2
    assert np.array_equal(column.encode(column.parse([sent], "x"), fitted), column.encode(rows, fitted))
    assert column.vocabulary_size(fitted) == 8 + 3
    assert (column.encode(rows, fitted) == column.mask_id(fitted)).sum() == 2


def _encoder(**known: int) -> Any:
    return SimpleNamespace(columns={"x": Text(length=4, masked=0.5)}, fitted={"x": {"ids": known}})


def test_unknown_words_are_not_counted() -> None:
    """Of two masked words, the one that the vocabulary lacks has no target; the baseline does not count it either."""
    encoder, truth = _encoder(a=2, b=3), np.array([b"a [MASK] b", b"q a"])
    assert Masked().ids(encoder, truth).tolist()[0] == [0, 0]
    (hidden,) = _masks.places(["q", "a"], 0.5)
    assert Masked().ids(encoder, truth).tolist()[1] == [(0, 2)[hidden], 0]
    read = Masked().baseline_truth(encoder, truth)[1].decode()
    assert read == f"{UNKNOWN_WORD} {SIGN * (hidden == 1)}a"


def test_most_probable_words_are_filled_in() -> None:
    """Unknown words, padding and the mask itself are never filled in."""
    encoder = _encoder(a=2, b=3)
    probabilities = np.array([[[0.3, 0.3, 0.1, 0.2, 0.1], [0, 0, 0.4, 0, 0.6]]])
    rows = {"x": np.array([b"the [MASK] of [MASK]"])}
    assert Masked().respond(encoder, lambda _: probabilities, rows) == ["the b of a"]


def test_baseline_reads_two_words_before_a_mask() -> None:
    """After `a b` comes always c; after a masked word, the counts of single words decide."""
    train = np.strings.encode(np.array(["a b c", "a b c", "d b c"]))
    masked = np.strings.encode(np.array([f"a b {SIGN}c", f"a {SIGN}b {SIGN}c", "a b c"]))
    found = Evaluator().baseline(train, {TRUTH: masked}, "perplexity")
    # of nine words, three are c; four kinds share with the five possible ones; three times c followed b
    one = (3 + 4 / 5) / (9 + 4)
    two = (3 + one) / (3 + 1)
    three = (2 + two) / (2 + 1)
    assert found[0] == pytest.approx([-math.log(three), 1, 1])
    b_after_a = (2 + one) / (2 + 1)
    assert found[1, 0] == pytest.approx(-math.log(b_after_a) - math.log(one))
    assert found[1, 2] == 2
    assert found[2].tolist() == [0, 0, 0]


@pytest.mark.slow
def test_masked_words_are_learned_and_served(tmp_path: Path) -> None:
    """The model beats trigrams, since it reads the words after a mask, too; the service equals the evaluation."""
    space, task = _prepared(tmp_path)
    train_tasks(space, "chases")
    record = files.read_json(space.out("chases", "train") / "training.json")
    assert record["parity"] < 1e-4
    report = evaluate.evaluate(space, task)
    assert report["metrics"]["perplexity"] < report["baseline"]["perplexity"]
    folder = space.package("chases", report["version"])
    write(space, task, folder, read_evaluated(space, task))
    served = LoadedModel.load(folder)
    golden = files.read_json(folder / "golden.json")
    assert all("[MASK]" in text for text in golden["instances"])
    assert served.predict(golden["instances"]) == golden["predictions"]
    assert served.predict(["day 1 the [MASK] chases the cheese"]) == ["day 1 the mouse chases the cheese"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"columns": {"message": {"type": "text"}}},
            "columns.message: expected for the problem masked columns of texts",
        ),
        ({"target": {"column": "other"}}, "target.column: expected message, the text itself; received other"),
        ({"model": {"family": "bow"}}, "model: expected for masked words transformer with pool: none"),
        ({"model": {"family": "transformer"}}, "model: expected for masked words transformer with pool: none"),
        (
            {"problem": "classification", "target": {"column": "mood", "classes": ["a", "b"]}},
            "columns.message.masked: expected only for the problem masked; received it for classification",
        ),
        ({"columns": {"message": {"type": "number"}}}, "expected for the problem masked columns of texts"),
    ],
)
def test_invalid_masked_tasks_are_rejected(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """The task file is rejected before anything runs."""
    space = new_workspace(tmp_path)
    files.write_text(space.task_file("chases"), yaml.safe_dump({**TASK, **changes}))
    with pytest.raises(TaskError, match=message):
        loader.load(space, "chases")
