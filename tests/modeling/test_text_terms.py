"""Bags of words: stop words, stems, the document-term matrix and TF-IDF, by worked examples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from generated_tasks import TEXTS
from pydantic import ValidationError
from workspaces import new_workspace, run_in_process

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.modeling.columns._porter import stem
from tiltyard.modeling.columns._stop_words import ENGLISH
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.models._tfidf import document_frequencies, inverse_document_frequencies

DOCUMENTS = ["the cat sat on the mat", "the dog sat", "a cat and a cat"]

# The examples of Porter's article, each after all five steps.
STEMS = """
caresses caress  ponies poni  ties ti  caress caress  cats cat
feed feed  agreed agre  plastered plaster  bled bled  motoring motor  sing sing
conflated conflat  troubled troubl  sized size  hopping hop  tanned tan  falling fall  hissing hiss  fizzed fizz
failing fail  filing file  happy happi  sky sky
relational relat  conditional condit  rational ration  valenci valenc  hesitanci hesit  digitizer digit
conformabli conform  radicalli radic  differentli differ  vileli vile  analogousli analog  vietnamization vietnam
predication predic  operator oper  feudalism feudal  decisiveness decis  hopefulness hope  callousness callous
formaliti formal  sensitiviti sensit  sensibiliti sensibl
triplicate triplic  formative form  formalize formal  electriciti electr  electrical electr  hopeful hope  goodness good
revival reviv  allowance allow  inference infer  airliner airlin  gyroscopic gyroscop  adjustable adjust
defensible defens  irritant irrit  replacement replac  adjustment adjust  dependent depend  adoption adopt
homologou homolog  communism commun  activate activ  angulariti angular  homologous homolog  effective effect
bowdlerize bowdler  probate probat  rate rate  cease ceas  controll control  roll roll
generalizations gener  oscillators oscil
connect connect  connected connect  connecting connect  connection connect  connections connect
"""


@pytest.mark.parametrize("pair", [line.split() for row in STEMS.strip().splitlines() for line in row.split("  ")])
def test_porter_stems_are_those_of_the_article(pair: list[str]) -> None:
    """Each example of the published algorithm has the published stem."""
    word, expected = pair
    assert stem(word) == expected


@pytest.mark.parametrize("word", ["is", "über", "naïves", "c3pos", "2001", "!", "日本"])
def test_other_words_have_no_stem(word: str) -> None:
    """Short words and words with other characters than a to z are left as they are."""
    assert stem(word) == word


def test_stop_words_and_stems_are_left_out_of_the_vocabulary() -> None:
    """The vocabulary has stems of the other words; a text of stop words alone is one unknown word."""
    column = Text(stop_words="english", stem="porter", length=8, at_least=1)
    rows = column.parse(["The connections were connecting", "It was not connected", "to be or to be"], "x")
    fitted = column.fit(rows)
    assert fitted["ids"] == {"connect": 2, "not": 3}
    assert column.encode(rows, fitted)[:, :3].tolist() == [[2, 2, 0], [3, 2, 0], [1, 0, 0]]
    assert column.to_json(rows)[0] == "the connections were connecting"  # a client sees the words, not the stems
    assert (
        column.encode(column.parse(column.to_json(rows), "x"), fitted).tolist() == column.encode(rows, fitted).tolist()
    )


def test_negations_are_no_stop_words() -> None:
    """A word that turns the meaning of others around is kept."""
    assert not ENGLISH & {"not", "no", "nor", "never", "t"}
    assert {"the", "of", "and", "is"} <= ENGLISH


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop_words": "english", "by": "characters"}, "stop_words: expected only for words in lower case"),
        ({"stem": "porter", "lower": False}, "stem: expected only for words in lower case"),
        ({"stem": "porter", "masked": 0.1}, "stem: expected none for masked words"),
        ({"stop_words": "german"}, "english"),
    ],
)
def test_unsuitable_options_are_refused(settings: dict[str, Any], message: str) -> None:
    """Characters have no stems, and other languages have no list here."""
    with pytest.raises(ValidationError, match=message):
        Text(**settings)


def test_options_are_not_written_if_unset() -> None:
    """The encoder of a task without them stays the same, and so does its version."""
    assert not {"stop_words", "stem", "masked"} & Text().model_dump().keys()


def _encoded() -> tuple[Array, dict[str, int]]:
    """Return the ids of the documents, and the id of each word."""
    column = Text(length=6, at_least=1)
    rows = column.parse(DOCUMENTS, "x")
    fitted = column.fit(rows)
    return column.encode(rows, fitted), fitted["ids"]


def test_document_frequencies_by_hand() -> None:
    """`the` is in two of three texts although it occurs three times; idf is 1 + ln(4 / (1 + df))."""
    ids, words = _encoded()
    frequencies = document_frequencies(ids, len(words) + 2)
    assert {word: int(frequencies[place]) for word, place in words.items()} == {
        "cat": 2,
        "sat": 2,
        "the": 2,
        **dict.fromkeys(("a", "and", "dog", "mat", "on"), 1),
    }
    idf = inverse_document_frequencies(frequencies, len(ids))
    assert idf[:2].tolist() == [0, 0]
    assert idf[words["cat"]] == pytest.approx(1 + math.log(4 / 3))
    assert idf[words["dog"]] == pytest.approx(1 + math.log(4 / 2))


def _matrix(weighting: str, ids: Array, size: int, folder: str) -> list[list[list[float]]]:
    """Return what a bag of words computes if each word's vector has one 1: in Keras, and in the exported file."""
    import keras
    import onnxruntime
    from model_families import model_settings

    family: Any = model_settings({"family": "bow", "embedding": size, "weighting": weighting, "units": []})
    family.adapt(ids)
    features = keras.Input((ids.shape[1],))
    model = keras.Model(features, family.build(features, size))
    next(layer for layer in model.layers if layer.output.shape[-1] == size and layer.weights).set_weights(
        [np.eye(size, dtype=np.float32)]
    )
    computed = np.asarray(model(ids))
    model.export(f"{folder}/model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
    (exported,) = session.run(None, {session.get_inputs()[0].name: ids})
    return [computed.tolist(), exported.tolist()]


@pytest.mark.slow
def test_document_term_matrix_and_tfidf_by_hand(tmp_path: Path) -> None:
    """Counts are those of the words; TF-IDF is count times idf at length 1, as in scikit-learn; in ONNX, too."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    ids, words = _encoded()
    order = sorted(words)
    columns = [words[word] for word in order]
    for counts in run_in_process(_matrix, "counts", ids, len(words) + 2, str(tmp_path)):
        matrix = np.array(counts)[:, columns]
        #             a and cat dog mat on sat the
        assert matrix.tolist() == [[0, 0, 1, 0, 1, 1, 1, 2], [0, 0, 0, 1, 0, 0, 1, 1], [2, 1, 2, 0, 0, 0, 0, 0]]
    common, rare = 1 + math.log(4 / 3), 1 + math.log(2)
    second = np.array([0, 0, 0, rare, 0, 0, common, common]) / math.sqrt(rare**2 + 2 * common**2)
    peer = TfidfVectorizer(token_pattern=r"\w+").fit(DOCUMENTS)  # noqa: S106 - no secret
    assert peer.get_feature_names_out().tolist() == order
    for weights in run_in_process(_matrix, "tfidf", ids, len(words) + 2, str(tmp_path)):
        matrix = np.array(weights)[:, columns]
        assert matrix[1] == pytest.approx(second, abs=1e-6)
        assert matrix == pytest.approx(peer.transform(DOCUMENTS).toarray(), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {"message": {"type": "text", "by": "ngrams"}}}, "model.weighting: expected mean for n-grams"),
        ({"model": {"family": "bow", "weighting": "idf"}}, "mean"),
    ],
)
def test_unsuitable_weighting_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """N-grams are weighted by their own family."""
    space = new_workspace(tmp_path)
    content = {**TEXTS, "model": {"family": "bow", "weighting": "tfidf"}, **changes}
    files.write_text(space.task_file("moods"), yaml.safe_dump(content))
    with pytest.raises(TaskError, match=message):
        loader.load(space, "moods")
