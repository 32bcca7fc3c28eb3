"""Text generation and translation: reading, training, writing, and the baselines of both."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import yaml
from workspaces import edit_task, new_workspace, run_in_process, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.data.sources.dates import Dates
from tiltyard.errors import DataError, RequestError, SourceError, TaskError
from tiltyard.evaluation import evaluate
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.modeling.columns._vocabulary import END, UNKNOWN
from tiltyard.modeling.columns.prose import Prose
from tiltyard.modeling.metrics.ngram import Ngram
from tiltyard.modeling.problems.base import Target
from tiltyard.modeling.problems.generation import Generation
from tiltyard.modeling.problems.translation import Translation, edits, split
from tiltyard.preparation import array_file, prepare, sealed_test
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging.package import write
from tiltyard.validation import validate
from tiltyard.workspace import Workspace

Json = dict[str, Any]
SONG_TEXT = "".join(
    f"{n} green bottles hanging on the wall,\nand if one green bottle should fall,\n" for n in range(300)
)
GENERATION_TASK: Json = {
    "title": "A song without an end",
    "problem": "generation",
    "source": {"kind": "prose", "path": "song.txt"},
    "rows": [400, 10000],
    "columns": {"text": {"type": "prose", "length": 40}},
    "target": {"column": "text"},
    "split": {"kind": "chronological"},
    "model": {"family": "rnn", "cell": "gru", "units": [48], "whole": True, "embedding": 16},
    "train": {"epochs": 10, "batch_size": 16, "learning_rate": 0.01},
    "gate": {"metric": "perplexity", "latency_ms": 500},
    "serve": {"example": {"prompt": "bottles hanging on", "length": 10, "temperature": 0}},
}
TRANSLATION_TASK: Json = {
    "title": "Dates as people write them",
    "problem": "translation",
    "source": {"kind": "dates", "rows": 400},
    "rows": [400, 10000],
    "columns": {"written": {"type": "text", "by": "characters", "length": 30, "at_least": 1}},
    "target": {"column": "iso", "length": 10},
    "split": {"kind": "random"},
    "model": {"family": "seq2seq", "units": 16, "embedding": 8, "attention": True},
    "train": {"epochs": 2, "batch_size": 32, "learning_rate": 0.01},
    "gate": {"metric": "exact", "latency_ms": 500},
    "serve": {"example": "3 May 1999"},
}


def create_task(root: Path, content: Json, **changes: Any) -> tuple[Workspace, Task]:
    """Write a task, fetch its data and validate it."""
    space = new_workspace(root)
    files.write_text(root / "song.txt", SONG_TEXT)
    files.write_text(space.task_file("words"), yaml.safe_dump({**content, **changes}, sort_keys=False))
    task = loader.load(space, "words")
    with files.atomic_folder(space.raw("words")) as folder:
        task.source.fetch(folder, space)
    assert all(outcome.success for outcome in validate.validate(space, task).outcomes)
    return space, task


def test_trigram_probabilities_by_hand() -> None:
    """In abababab, `ab` is always followed by `a`; unseen characters share the remaining probability."""
    baseline = Ngram(["abababab"])
    one = (4 + 2 / 3) / (8 + 2)  # of 8 characters 4 are a; 2 kinds share with the 3 possible ones
    two = (3 + 1 * one) / (3 + 1)  # b was followed 3 times, always by a
    three = (3 + 1 * two) / (3 + 1)
    assert baseline.probability("ab", "a") == pytest.approx(three)
    assert baseline.probability("b", "a") == pytest.approx(two)
    assert baseline.probability("", "a") == pytest.approx(one)
    assert baseline.probability("zz", "a") == pytest.approx(one)
    everything = sum(baseline.probability("ab", character) for character in "abz")
    assert everything == pytest.approx(1)
    judged = baseline.judged(np.array(["ab"]), np.array(["ba"]))
    b_after_a = (4 + (4 + 2 / 3) / 10) / (4 + 1)
    assert judged[0] == pytest.approx([-math.log(b_after_a) - math.log(three), 2, 2])


@pytest.mark.parametrize(
    ("one", "other", "count"), [("", "", 0), ("ab", "", 2), ("kitten", "sitting", 3), ("a", "b", 1)]
)
def test_edit_distance(one: str, other: str, count: int) -> None:
    """The Levenshtein distance is symmetric."""
    assert edits([*one], [*other]) == edits([*other], [*one]) == count


def test_windows_cover_each_character_once(tmp_path: Path) -> None:
    """Windows are adjacent and in order; the truth is shifted by one; no window is in two parts."""
    space, task = create_task(tmp_path, GENERATION_TASK)
    prepare.prepare(space, task)
    test = sealed_test.read_test(space, task.name, task.columns)
    texts = test.rows["text"]["text"].tolist()
    assert "".join(texts)[1:] == "".join(test.truth.tolist())[:-1]
    first = int(test.number[0]) * 40
    assert SONG_TEXT[first : first + 40] == texts[0]
    train, _ = array_file.read_part(space.out("words", "prepare") / "train.npz")
    validation, _ = array_file.read_part(space.out("words", "prepare") / "validation.npz")
    assert len(train) + len(validation) < int(test.number[0])


@pytest.mark.catalogue
def test_song_is_learned_and_continued(tmp_path: Path) -> None:
    """The model beats trigrams, the service equals the evaluation, and the same seed gives the same text."""
    space, task = create_task(tmp_path, GENERATION_TASK)
    prepare.prepare(space, task)
    train_tasks(space, "words")
    report = evaluate.evaluate(space, task)
    assert report["metrics"]["perplexity"] < report["baseline"]["perplexity"] < 5
    assert report["metrics"]["bits"] == pytest.approx(math.log2(report["metrics"]["perplexity"]))
    folder = space.package("words", report["version"])
    write(space, task, folder, read_evaluated(space, task))
    served = LoadedModel.load(folder)
    assert served.predict([task.serve.example]) == [" the wall,"]
    request = {"prompt": "and if", "length": 30, "temperature": 1.0, "seed": 4}
    again, other, short = served.predict([request, {**request, "seed": 5}, "green"])
    assert served.predict([request]) == [again]
    assert again != other
    assert (len(again), len(short)) == (30, 200)
    golden = files.read_json(folder / "golden.json")
    assert served.predict(golden["instances"]) == golden["predictions"]


def test_generation_requests_are_validated() -> None:
    """Each error names the key."""
    column = Prose(length=8)
    for request, message in (
        ({"prompt": ""}, "at least one character"),
        ({"prompt": "a", "length": 0}, "expected 1 to 2000; received 0"),
        ({"prompt": "a", "length": 1.5}, "expected a whole number"),
        ({"prompt": "a", "temperature": float("nan")}, "expected 0 to 10"),
        ({"prompt": "a", "seed": True}, "expected a whole number; received true"),
        ({"prompt": "a", "top": 3}, "expected length, prompt, seed, temperature"),
        ({"text": "a"}, 'expected text or {"prompt": "..."}'),
    ):
        with pytest.raises(RequestError, match=message.replace("{", r"\{").replace(".", r"\.")):
            column.parse([request], "x")


def test_long_prompt_is_truncated_at_the_start() -> None:
    """The last characters are kept, as many as the window has."""
    assert Prose(length=4).parse(["abcdef\r\ng"], "x")["text"].tolist() == ["ef\ng"]


def test_perplexity_and_hits_by_hand() -> None:
    """The loss is a sum of logarithms, a hit is the most probable character; padding and unknown ones are no hits."""
    encoder: Any = SimpleNamespace(columns={"x": Prose(length=3)}, fitted={"x": {"ids": {"a": 2, "b": 3}}})
    probabilities = np.array([[[0, 0, 0.5, 0.5], [0.1, 0.2, 0.1, 0.6], [0, 0.7, 0.2, 0.1]]])
    for text, likelihood, hits in (("abb", 0.5 * 0.6 * 0.1, 2), ("b?", 0.5 * 0.2, 0), ("aa?", 0.5 * 0.1 * 0.7, 1)):
        (found,) = Generation().condense(encoder, np.array([text]), probabilities)
        assert found == pytest.approx([-math.log(likelihood), hits, len(text)])


def test_generation_reads_its_own_output() -> None:
    """A model of the alphabet continues it for the requested length, and sees only its window."""
    known = {letter: i for i, letter in enumerate("abcde", start=UNKNOWN + 1)}
    encoder: Any = SimpleNamespace(columns={"x": Prose(length=3)}, fitted={"x": {"ids": known}})

    def run(rows: dict[str, Any]) -> Any:
        probabilities = np.zeros((len(rows["x"]), 3, UNKNOWN + 1 + len(known)))
        for row, text in enumerate(rows["x"]["text"].tolist()):
            probabilities[row, len(text) - 1, (known[text[-1]] - UNKNOWN) % len(known) + UNKNOWN + 1] = 1
        return probabilities

    requests = Prose(length=3).parse(
        [{"prompt": "ab", "length": 6, "temperature": 0}, {"prompt": "e", "length": 2, "temperature": 0}], "x"
    )
    assert Generation().respond(encoder, run, {"x": requests}) == ["cdeabc", "ab"]


@pytest.mark.parametrize(
    ("by", "texts", "others"),
    [("characters", ["abba", "b", "a"], ["ab?", "ab"]), ("words", ["der Hund", "Hund", "der"], ["der Wolf", "der "])],
)
def test_translation_ids_are_decoded_to_text(by: str, texts: list[str], others: list[str]) -> None:
    """Each ends with an end id and is padded; characters that training lacks are omitted when decoded."""
    kind, target = Translation(), cast("Target", SimpleNamespace(by=by, length=4))
    encoder: Any = SimpleNamespace(target=kind.fit(target, np.array(texts)))
    truth = np.array([*texts, others[0]])
    ids = kind.ids(encoder, truth)
    assert ids.shape == (4, 5)
    assert [row.tolist().index(END) for row in ids] == [len(split(text, by)) for text in truth.tolist()]
    outputs = np.eye(kind.units(target, "softmax", encoder))[ids]
    assert kind.respond(encoder, lambda _: outputs, {}) == [*texts, others[1]]


@pytest.mark.catalogue
def test_dates_are_translated_by_the_exported_graph(tmp_path: Path) -> None:
    """The exported graph generates by itself; the evaluated model is the served one."""
    space, task = create_task(tmp_path, TRANSLATION_TASK)
    prepare.prepare(space, task)
    train_tasks(space, "words")
    report = evaluate.evaluate(space, task)
    assert report["metrics"]["error_rate"] < 0.75  # two epochs: the shape of a date, and most of the century
    assert report["worst"][0].keys() == {"row", "actual", "predicted", "edits"}
    write(space, task, space.package("words", report["version"]), read_evaluated(space, task))
    served = LoadedModel.load(space.package("words", report["version"]))
    (output,) = served.predict(["3 May 1999"])
    assert {*output} <= {*"0123456789-"}
    with pytest.raises(RequestError, match="expected text; received 5"):
        served.predict([5])


def _unrolled_and_teacher_forced(settings: Json) -> Json:
    """Generate freely, then with teacher forcing on the generated ids, and compare the outputs."""
    import keras
    from model_families import model_settings

    family = model_settings(settings)
    keras.utils.set_random_seed(1)
    features = keras.Input((9 + 6,), name="features")
    written = family.translate(features[:, :9], features[:, 9:], (20, 12))
    body = keras.Model(features, family.head(written, 12, "softmax"))
    unrolled = family.unroll(body, 6)
    chance = np.random.default_rng(0)
    source = np.where(np.arange(9) < chance.integers(1, 10, (40, 1)), chance.integers(1, 20, (40, 9)), 0).astype("f4")
    generated = np.asarray(unrolled(source))
    before = np.concatenate([np.ones((40, 1)), generated.argmax(axis=2)[:, :-1]], axis=1).astype("f4")
    teacher_forced = np.asarray(body(np.concatenate([source, before], axis=1)))
    folder = Path("onnx")
    folder.mkdir()
    unrolled.export(folder / "model.onnx", format="onnx", verbose=False)
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    exported = session.run(None, {"features": source})[0]
    return {
        "parameters": body.count_params(),
        "unrolled": unrolled.count_params(),
        "differs": float(np.abs(teacher_forced - generated).max()),
        "onnx": float(np.abs(exported - generated).max()),
        "words": len(np.unique(generated.argmax(axis=2))),
    }


# Of 20 and 12 ids, vectors of 4, width 5: encoder and decoder of LSTM have 4 (5 (4 + 5) + 5) = 200 each,
# of GRU 3 (5 (4 + 5) + 2 x 5) = 165; ids 20 x 4 + 12 x 4 = 128; output 12 x 5 + 12 = 72; attention 10 x 5 + 5 = 55.
# Bidirectional: two encoders, and a decoder of width 10: 4 (10 (4 + 10) + 10) = 600, output 132, attention 210.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"cell": "lstm"}, 600),
        ({"cell": "gru", "attention": True}, 585),
        ({"cell": "lstm", "attention": True, "bidirectional": True, "dropout": 0.3}, 1470),
    ],
)
def test_unrolled_decoding_equals_teacher_forcing(
    settings: Json, parameters: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outputs are equal at every step, in Keras and in ONNX, with the same weights."""
    monkeypatch.chdir(tmp_path)
    result = run_in_process(_unrolled_and_teacher_forced, {"family": "seq2seq", "units": 5, "embedding": 4, **settings})
    assert result["parameters"] == result["unrolled"] == parameters
    assert max(result["differs"], result["onnx"]) < 1e-5
    assert result["words"] > 1


def test_generated_dates_are_correct(workspace: Workspace, tmp_path: Path) -> None:
    """Both columns have the same year and day; the same seed gives the same bytes, another seed others."""
    tables = []
    for i, seed in enumerate((0, 0, 1)):
        folder = tmp_path / str(i)
        folder.mkdir()
        Dates(kind="dates", rows=200, seed=seed).fetch(folder, workspace)
        tables.append((folder / "table.csv").read_text(encoding="utf-8"))
    assert tables[0] == tables[1] != tables[2]
    for line in tables[0].splitlines()[1:]:
        written, _, iso = line.rpartition(",")
        year, _, day = iso.split("-")
        assert year[2:] in written
        assert str(int(day)) in written


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (TRANSLATION_TASK, {"target.length": None}, "expected for translation a column of text, and target.length"),
        (
            TRANSLATION_TASK,
            {"model": {"family": "bow"}},
            "model.family: expected seq2seq for translation; received bow",
        ),
        (TRANSLATION_TASK, {"problem": "generation"}, "problem: expected generation for prose and only then"),
        (TRANSLATION_TASK, {"train.members": 2}, "train.members: expected only for numbers and labels"),
        (GENERATION_TASK, {"model.whole": False}, "model: expected for prose, and only for it, rnn with whole: true"),
        (GENERATION_TASK, {"model.bidirectional": True}, "model: expected for prose"),
        (GENERATION_TASK, {"model": {"family": "transformer"}}, "model: expected for prose"),
        (GENERATION_TASK, {"split.kind": "random"}, "split.kind: expected chronological for prose"),
        (
            GENERATION_TASK,
            {"target.column": "other"},
            "target.column: expected text, the text itself; received other",
        ),
        (GENERATION_TASK, {"train.folds": 3}, "train.folds: expected only for numbers and labels"),
    ],
)
def test_invalid_text_tasks_are_rejected(tmp_path: Path, content: Json, changes: Json, message: str) -> None:
    """The task file is rejected before anything runs."""
    space, _ = create_task(tmp_path, content)
    edit_task(space, "words", changes)
    with pytest.raises(TaskError, match=message):
        loader.load(space, "words")


def test_too_long_or_missing_targets_are_rejected(tmp_path: Path) -> None:
    """The error names the row and the length, or how many are missing."""
    space, task = create_task(tmp_path, TRANSLATION_TASK)
    for output, message in (
        ("2024-01-01T00", "target.length: iso: expected 1 to 10 characters; row 1 holds 13 characters"),
        ("", r"expected a target \(iso\) in at least 95% of the rows; it is missing in 1 of 2"),
    ):
        files.write_text(space.raw("words") / "table.csv", f"written,iso\n1 May 2000,2000-05-01\n2 May 2000,{output}\n")
        with pytest.raises(DataError, match=message):
            prepare.prepare(space, task)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "an empty file"), (b"\xff\xfe\x00", "expected a text in UTF-8")]
)
def test_invalid_prose_is_rejected(workspace: Workspace, content: bytes, message: str) -> None:
    """Empty files and other encodings are rejected."""
    (workspace.root / "song.txt").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        fetch_song(workspace)


def fetch_song(workspace: Workspace) -> None:
    """Fetch the song."""
    from tiltyard.data.sources.prose import Prose as Source

    with files.atomic_folder(workspace.raw("words")) as folder:
        Source(kind="prose", path="song.txt").fetch(folder, workspace)
