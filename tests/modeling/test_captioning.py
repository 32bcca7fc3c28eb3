"""Captions by hand: BLEU-4, words at their place, probabilities, and a decoder that writes as it was taught."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import captioned_pictures
import jsonschema
import numpy as np
import pytest
from workspaces import run_in_process

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import DataError, RequestError
from tiltyard.modeling.columns._vocabulary import END, PAD, START
from tiltyard.modeling.evaluators.captioning import METRICS
from tiltyard.modeling.evaluators.captioning import Captioning as Evaluator
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems import captioning
from tiltyard.modeling.problems.base import Target
from tiltyard.modeling.problems.captioning import Captioning, judged

TARGET = Target(column="caption", by="words", length=4)
FITTED = Captioning().fit(TARGET, np.array(["two red circles", "a red square", "a red circle"]))
ENCODER: Any = SimpleNamespace(target=FITTED)


def score(name: str, predicted: list[str], actual: list[str]) -> float:
    """Return a metric of captions."""
    truth = np.array(actual)
    return METRICS[name].score(truth, judged(predicted, truth, "words"), {})


def test_vocabulary_is_that_of_the_training_rows() -> None:
    """The most frequent word comes first; an unknown word has the id of START, and END follows the last."""
    assert [*FITTED["ids"]] == ["red", "a", "circle", "circles", "square", "two"]
    assert FITTED["steps"] == 5
    ids = Captioning().ids(ENCODER, np.array(["a red circle", "a green circle", "a a a a"])).tolist()
    assert ids == [[4, 3, 5, END, PAD], [4, START, 5, END, PAD], [4, 4, 4, 4, END]]
    with pytest.raises(DataError, match=r"target\.length"):
        Captioning().fit(Target(column="caption"), np.array(["a"]))


def test_bleu_of_one_changed_word() -> None:
    """Of "the cat sat on the mat" with "a" for the second "the": 5/6 words, 3/5 pairs, 2/4 triples, 1/3 fours."""
    value = score("bleu", ["the cat sat on a mat"], ["the cat sat on the mat"])
    assert value == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


def test_bleu_clips_repeated_words() -> None:
    """A word counts at most as often as the truth has it (the example of the article: 2 of 7)."""
    record = judged(["the the the the the the the"], np.array(["the cat is on the mat"]), "words")[0]
    assert (record["shared1"], record["words"], record["shared2"]) == (2, 7, 0)
    assert score("bleu", ["the the the the the the the"], ["the cat is on the mat"]) == 0


def test_bleu_has_a_penalty_for_short_captions_alone() -> None:
    """All n-grams of the first five of six words are right: only exp(1 - 6/5) is lost; a longer caption has none."""
    assert score("bleu", ["a b c d e"], ["a b c d e f"]) == pytest.approx(math.exp(1 - 6 / 5))
    longer = score("bleu", ["a b c d e f"], ["a b c d e"])
    assert longer == pytest.approx((5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)


def test_bleu_is_of_all_captions_together() -> None:
    """Counts are added up before shares are taken: 8 of 9 words, 6 of 7 pairs, 4 of 5 triples, 2 of 3 fours."""
    value = score("bleu", ["a b c d e", "f g h i"], ["a b c d x", "f g h i"])
    assert value == pytest.approx((8 / 9 * 6 / 7 * 4 / 5 * 2 / 3) ** 0.25)
    assert score("bleu", [""], ["a b c d"]) == 0


def test_other_metrics_by_hand() -> None:
    """Words count at their place, of the longer caption; blanks between words do not matter."""
    predicted, actual = ["a red circle", "two red circles", ""], ["a  red circle", "a red circle above", "a"]
    assert score("exact", predicted, actual) == pytest.approx(1 / 3)
    assert score("token_accuracy", predicted, actual) == pytest.approx((3 + 1 + 0) / (3 + 4 + 1))


def sure(*rows: list[int], share: float = 0.8) -> Array:
    """Return outputs in which each step gives a share to one id, and the rest to all."""
    outputs = np.full((len(rows), 5, 9), (1 - share) / 8, dtype=np.float32)
    for row, ids in enumerate(rows):
        outputs[row, np.arange(5), ids] = share
    return outputs


def test_a_caption_ends_at_the_first_end() -> None:
    """The probability is the product up to the end; ids without a word are left out; no end: all steps."""
    kind = Captioning().bound_to(ENCODER)
    outputs = sure([4, 3, 5, END, 5], [END, 4, 4, 4, 4], [4, START, 5, PAD, 5])
    expected = [("a red circle", 0.8**4), ("", 0.8), ("a circle circle", 0.8**5)]
    for prediction, (text, probability) in zip(kind.decode(outputs, []), expected, strict=True):
        assert prediction == {"caption": text, "probability": pytest.approx(probability)}
        jsonschema.validate(prediction, kind.json_schema(TARGET))
    assert kind.purpose(TARGET) == "a text about a picture, `caption`, with its probability"
    with pytest.raises(DataError, match="an encoder, which has the words"):
        Captioning().decode(outputs, [])


def test_pictures_are_captioned_some_at_a_time() -> None:
    """Outputs of 70 pictures are never in memory together; infinite ones are an error of the request."""
    kind, sizes = Captioning().bound_to(ENCODER), list[int]()

    def run(rows: dict[str, Array]) -> Array:
        sizes.append(len(rows["x"]))
        return sure(*[[4, 3, 5, END, 5]] * len(rows["x"]))

    predictions = kind.respond(ENCODER, run, {"x": np.zeros((70, 2))})
    assert len(predictions) == 70
    assert sizes == [32, 32, 6]
    with pytest.raises(RequestError, match="too large"):
        kind.respond(ENCODER, lambda _: np.full((1, 5, 9), np.nan), {"x": np.zeros((1, 2))})


def test_the_rarest_words_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vocabulary is bounded, and with it the output layer."""
    monkeypatch.setattr(captioning, "MAX_WORDS", 2)
    assert [*Captioning().fit(TARGET, np.array(["a b", "a c", "b"]))["ids"]] == ["a", "b"]


def test_lacked_words_are_drawn() -> None:
    """Of two captions with `red` one lacks it; `circle` is never lacked."""
    truth = np.array(["a red circle", "a red circle", "a blue circle"])
    outputs = judged(["a red circle", "a blue circle", "a blue circle"], truth, "words")
    shown = Evaluator().figures(Predictions(truth, outputs, outputs, np.arange(3), [], "caption"))[1].data["bars"]
    assert {bar["name"]: bar["value"] for bar in shown} == {"red": 0.5, "a": 0, "blue": 0, "circle": 0}


def _unrolled_and_teacher_forced(settings: dict[str, Any]) -> dict[str, float]:
    """Write freely, then with teacher forcing on the written ids, and compare the outputs."""
    import keras
    from model_families import model_settings

    family = model_settings(settings)
    keras.utils.set_random_seed(1)
    features = keras.Input((8 * 8 * 3 + 6,), name="features")
    picture = keras.layers.Reshape((8, 8, 3))(features[:, :-6])
    picture = keras.layers.Rescaling(1 / 255, name="standard")(picture)
    written = family.translate(picture, features[:, -6:], (0, 12))
    body = keras.Model(features, family.head(written, 12, "softmax"))
    dice = np.random.default_rng(0)  # larger weights: else every row says the same
    body.set_weights([weight + dice.normal(0, 0.7, weight.shape) for weight in body.get_weights()])
    unrolled = family.unroll(body, 6)
    pictures = dice.integers(0, 256, (40, 8, 8, 3)).astype("f4")
    free = np.asarray(unrolled(pictures))
    before = np.concatenate([np.full((40, 1), START), free.argmax(axis=2)[:, :-1]], axis=1)
    taught = np.asarray(body(np.concatenate([pictures.reshape(40, -1), before], axis=1).astype("f4")))
    later = before.copy()
    later[:, 3:] = 5
    changed = np.asarray(body(np.concatenate([pictures.reshape(40, -1), later], axis=1).astype("f4")))
    return {
        "parameters": body.count_params() - unrolled.count_params(),
        "differs": float(np.abs(taught - free).max()),
        "sees_later": float(np.abs(changed[:, :3] - taught[:, :3]).max()),
        "words": len(np.unique(free.argmax(axis=2))),
    }


@pytest.mark.slow
@pytest.mark.parametrize("filters", [[4], [4, 4, 4]])
def test_unrolled_decoding_equals_teacher_forcing(filters: list[int]) -> None:
    """The outputs are equal at each step, and no step reads later words; also for a feature map of one place."""
    settings = {"family": "captioner", "width": 8, "heads": 2, "blocks": 2, "hidden": 16, "dropout": 0.2}
    result = run_in_process(_unrolled_and_teacher_forced, {**settings, "filters": filters})
    assert result["parameters"] == 0
    assert result["differs"] < 1e-5
    assert result["sees_later"] < 1e-6
    assert result["words"] > 1


TASK = {**captioned_pictures.TASK, "name": "captions"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"family": "cnn"}}, "model.family: expected captioner for captioning; received cnn"),
        ({"model": {"family": "captioner", "width": 10}}, "width: expected a multiple of heads, 4; received 10"),
        ({"target": {"column": "caption", "length": 4}}, "received length 4 and by characters"),
        ({"target": {"column": "caption", "by": "words"}}, "received length None and by words"),
        ({"train": {"epochs": 1, "augment": {"flip": "horizontal"}}}, "train.augment: expected none for captioning"),
        ({"gate": {"metric": "accuracy"}}, "expected one of exact, bleu, token_accuracy for captioning"),
        (
            {"columns": {"x": {"type": "number"}}, "serve": {"example": {"x": 1}}},
            "expected for captioning a column of images, alone; received table columns",
        ),
        (
            {"problem": "classification", "target": {"column": "label", "classes": ["a", "b"]}},
            "model.family: expected another than captioner for classification; received captioner",
        ),
    ],
)
def test_tasks_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    """The message names key, expected and received value."""
    Task.model_validate(TASK)
    with pytest.raises(ValueError, match=message):
        Task.model_validate(TASK | changes)
