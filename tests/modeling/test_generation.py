"""Text generation by hand: sampling of characters, and perplexity of windows in a report."""

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


def generate(temperature: float, probabilities: list[float], rows: int = 1, length: int = 1) -> list[str]:
    """Continue prompts of one letter, each with its own seed, with a model of constant probabilities."""
    request = {"prompt": "a", "length": length, "temperature": temperature}
    requests = Prose(length=3).parse([{**request, "seed": seed} for seed in range(rows)], "x")
    return Generation().respond(
        ENCODER, lambda rows_to_predict: np.tile(probabilities, (len(rows_to_predict["x"]), 3, 1)), {"x": requests}
    )


@pytest.mark.parametrize(
    ("temperature", "shares"),
    [(1, [1 / 2, 1 / 4, 1 / 4]), (0.5, [2 / 3, 1 / 6, 1 / 6]), (10, [0.36, 0.32, 0.32]), (1e-4, [1, 0, 0])],
)
def test_sampling_follows_the_probabilities(temperature: float, shares: list[float]) -> None:
    """Temperature 0.5 squares them, and near 0 only the largest counts; padding and unknown are never sampled."""
    generated = generate(temperature, [0.9, 0.8, 0.5, 0.25, 0.25], rows=4000)
    assert [generated.count(letter) / 4000 for letter in LETTERS] == pytest.approx(shares, abs=0.03)


def test_most_probable_letter_at_temperature_0() -> None:
    """Padding and unknown characters are excluded, even if they are more probable."""
    assert generate(0, [0.5, 0.3, 0.05, 0.1, 0.05], length=4) == ["bbbb"]


def test_letters_with_probability_zero_are_not_sampled() -> None:
    """A probability of zero has no logarithm, but sampling works."""
    assert {*generate(1, [0, 0, 1, 0, 0], rows=200)} == {"a"}


def test_seed_is_independent_of_the_batch() -> None:
    """Each prompt is sampled with its own generator."""
    probabilities = [0, 0, 0.4, 0.3, 0.3]
    assert generate(1, probabilities, rows=3, length=20)[0] == generate(1, probabilities, rows=1, length=20)[0]
    assert len({*generate(1, probabilities, rows=3, length=20)}) == 3


def test_padding_is_not_evaluated() -> None:
    """In a window of three with a text of one letter, one character counts."""
    probabilities = np.zeros((1, 3, 5))
    probabilities[0, 0, LETTERS["a"]] = probabilities[0, 1, 0] = probabilities[0, 2, 0] = 1
    assert Generation().condense(ENCODER, np.array(["a"]), probabilities).tolist() == [[0, 1, 1]]


def test_network_has_one_output_per_id() -> None:
    """Outputs are letters, unknown and padding; clients receive a text."""
    kind, target = Generation(), Target(column="text")
    assert kind.units(target, "softmax", ENCODER) == 5
    assert "text" in kind.purpose(target)
    for wrong in (5, None, ["a"]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, kind.json_schema(target))


def windows(perplexities: list[float]) -> Array:
    """Return the evaluation of windows of four characters."""
    return np.array([[4 * math.log(one), 1, 4] for one in perplexities])


def test_windows_are_sorted_by_perplexity() -> None:
    """The ten worst are listed with row, perplexity and text; the figure shows all, sorted, and the baseline."""
    perplexity = [2.0, 7, 3, 12, 5, 11, 4, 9, 6, 10, 8, 1]
    truth = np.array([f"text {one:g}" for one in perplexity])
    evaluated = Predictions(truth, windows(perplexity), windows([13.0] * 12), np.arange(100, 112), [], "text")
    worst = Evaluator().details(evaluated)["worst"]
    assert [one["perplexity"] for one in worst] == pytest.approx([12, 11, 10, 9, 8, 7, 6, 5, 4, 3])
    assert [one["row"] for one in worst][:3] == [103, 105, 109]
    assert worst[0]["text"] == "text 12"
    plot = Evaluator().plots(evaluated)["perplexity"]
    assert plot["row"] == [*range(100, 112)]
    assert plot["model"] == pytest.approx(perplexity)
    assert plot["baseline"] == pytest.approx([13] * 12)
    (shown,) = Evaluator().figures(evaluated)
    assert [one["name"] for one in shown.data["lines"]] == ["model", "baseline"]
    assert [sum(one["y"]) for one in shown.data["lines"]] == [24, 24]
    assert shown.data["lines"][1]["y"][-1] == 12


def test_baseline_is_evaluated_like_the_model() -> None:
    """The baseline counts characters of the training texts; another continuation has a higher perplexity."""
    rows = {"x": Prose(length=3).windows(["aba", "aba"]), "truth": np.array(["bab", "bbb"])}
    found = Evaluator().baseline(np.array(["ababab", "babab"]), rows, "perplexity")
    assert found.shape == (2, 3)
    assert found[:, 2].tolist() == [3, 3]
    assert found[0, 0] < found[1, 0]
    assert found[0, 1] == 3
