"""Texts that are gone on with, by hand: what is drawn, how often, and what a report tells of the windows."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.modeling.columns._vocabulary import UNKNOWN
from tiltyard.modeling.columns.prose import Prose
from tiltyard.modeling.evaluators.generation import Generation as Evaluator
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import Target
from tiltyard.modeling.problems.generation import Generation

LETTERS = {"a": UNKNOWN + 1, "b": UNKNOWN + 2, "c": UNKNOWN + 3}
ENCODER: Any = SimpleNamespace(
    columns={"x": Prose(length=3)}, fitted={"x": {"ids": LETTERS}}, vocabulary_size=UNKNOWN + 4
)


def written(temperature: float, guesses: list[float], rows: int = 1, length: int = 1) -> list[str]:
    """Go on with prompts of one letter, each with a seed of its own, by a model that always guesses alike."""
    wish = {"prompt": "a", "length": length, "temperature": temperature}
    wishes = Prose(length=3).parse([{**wish, "seed": seed} for seed in range(rows)], "x")
    return Generation().respond(ENCODER, lambda asked: np.tile(guesses, (len(asked["x"]), 3, 1)), {"x": wishes})


@pytest.mark.parametrize(
    ("temperature", "shares"),
    [(1, [1 / 2, 1 / 4, 1 / 4]), (0.5, [2 / 3, 1 / 6, 1 / 6]), (10, [0.36, 0.32, 0.32]), (1e-4, [1, 0, 0])],
)
def test_letters_are_drawn_as_often_as_they_are_guessed(temperature: float, shares: list[float]) -> None:
    """At temperature 1; at a half they count squared, near 0 the largest alone; padding and the unknown never come."""
    told = written(temperature, [0.9, 0.8, 0.5, 0.25, 0.25], rows=4000)
    assert [told.count(letter) / 4000 for letter in LETTERS] == pytest.approx(shares, abs=0.03)


def test_the_likeliest_letter_comes_at_temperature_0() -> None:
    """Of those that can be written, though padding and what is unknown are guessed first."""
    assert written(0, [0.5, 0.3, 0.05, 0.1, 0.05], length=4) == ["bbbb"]


def test_a_letter_that_is_never_guessed_is_hardly_drawn() -> None:
    """Its guess of zero has no logarithm; the others come all the same."""
    assert {*written(1, [0, 0, 1, 0, 0], rows=200)} == {"a"}


def test_the_same_seed_writes_the_same_whoever_asks_beside_it() -> None:
    """Each prompt draws for itself."""
    guesses = [0, 0, 0.4, 0.3, 0.3]
    assert written(1, guesses, rows=3, length=20)[0] == written(1, guesses, rows=1, length=20)[0]
    assert len({*written(1, guesses, rows=3, length=20)}) == 3


def test_padding_that_is_guessed_is_no_hit() -> None:
    """Of a text of one letter in a window of three one guess counts."""
    guesses = np.zeros((1, 3, 5))
    guesses[0, 0, LETTERS["a"]] = guesses[0, 1, 0] = guesses[0, 2, 0] = 1
    assert Generation().condense(ENCODER, np.array(["a"]), guesses).tolist() == [[0, 1, 1]]


def test_the_network_has_an_output_an_id() -> None:
    """Letters, what is unknown, and padding; clients receive a text."""
    kind, target = Generation(), Target(column="text")
    assert kind.units(target, "softmax", ENCODER) == 5
    assert "text" in kind.purpose(target)
    for wrong in (5, None, ["a"]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, kind.json_schema(target))


def windows(perplexities: list[float]) -> Array:
    """Return what is measured of windows of four characters."""
    return np.array([[4 * math.log(one), 1, 4] for one in perplexities])


def test_windows_that_surprise_the_most_come_first() -> None:
    """Ten of twelve, with row, perplexity and text; the picture holds all, in their order, beside the baseline's."""
    perplexity = [2.0, 7, 3, 12, 5, 11, 4, 9, 6, 10, 8, 1]
    truth = np.array([f"text {one:g}" for one in perplexity])
    made = Predictions(truth, windows(perplexity), windows([13.0] * 12), np.arange(100, 112), [], "text")
    worst = Evaluator().details(made)["worst"]
    assert [one["perplexity"] for one in worst] == pytest.approx([12, 11, 10, 9, 8, 7, 6, 5, 4, 3])
    assert [one["row"] for one in worst][:3] == [103, 105, 109]
    assert worst[0]["text"] == "text 12"
    drawn = Evaluator().plots(made)["perplexity"]
    assert drawn["row"] == [*range(100, 112)]
    assert drawn["model"] == pytest.approx(perplexity)
    assert drawn["baseline"] == pytest.approx([13] * 12)
    (shown,) = Evaluator().figures(made)
    assert [one["name"] for one in shown.data["lines"]] == ["model", "baseline"]
    assert [sum(one["y"]) for one in shown.data["lines"]] == [24, 24]
    assert shown.data["lines"][1]["y"][-1] == 12


def test_the_baseline_is_judged_as_the_model_is() -> None:
    """It has counted the training texts: behind their letters it is surprised by another one."""
    rows = {"x": Prose(length=3).windows(["aba", "aba"]), "truth": np.array(["bab", "bbb"])}
    found = Evaluator().baseline(np.array(["ababab", "babab"]), rows, "perplexity")
    assert found.shape == (2, 3)
    assert found[:, 2].tolist() == [3, 3]
    assert found[0, 0] < found[1, 0]
    assert found[0, 1] == 3
