"""Explanation methods on hand-made models: they find the features that the model uses, and no others."""

from __future__ import annotations

import re
from typing import Any

import generated_tasks
import numpy as np
import pytest
import random_models
from known_models import bar_values, keyword_model, linear_model
from workspaces import fetch_raw, new_workspace

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.explain.math.explained_output import ExplainedOutput
from tiltyard.explain.methods.base import ExplainedModel
from tiltyard.explain.methods.lime import perturb_table
from tiltyard.explain.methods.occlusion import occlusion_map
from tiltyard.explain.methods.shap import BACKGROUND_ROWS
from tiltyard.figures import MAX_BARS, Figure, largest_bars
from tiltyard.preparation import prepare
from tiltyard.preparation.training_rows import sample_rows
from tiltyard.workspace import Workspace


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which all tasks are prepared, and one of texts."""
    made = new_workspace(tmp_path_factory.mktemp("made"))
    for name in random_models.TASKS:
        fetch_raw(made, name)
        prepare.prepare(made, loader.load(made, name))
    generated_tasks.prepare_texts(made)
    return made


@pytest.fixture(scope="module")
def line(space: Workspace) -> tuple[ExplainedModel, dict[str, float]]:
    """A regression of ten columns that uses three of them, and its weights."""
    task = loader.load(space, "diabetes")
    weights = dict.fromkeys(task.columns, 0.0) | {"bmi": 3.0, "bp": -1.5, "s5": 20.0}
    model = prepare_line(space, weights)
    return model, weights


def prepare_line(space: Workspace, weights: dict[str, float]) -> ExplainedModel:
    """Make a linear model in which each feature has the weight of its column."""
    from tiltyard.modeling.inference.encoder import Encoder

    encoder = Encoder.load(space.out("diabetes", "prepare") / "encoder.json")
    wide = [weights[name] for name, span in encoder.spans.items() for _ in range(span.stop - span.start)]
    return linear_model(space, loader.load(space, "diabetes"), np.array(wide)[:, None])


@pytest.fixture(scope="module")
def texts(space: Workspace) -> ExplainedModel:
    """A model that predicts rude if a text contains `hate`."""
    return keyword_model(space, loader.load(space, "moods"), "hate")


@pytest.fixture(scope="module")
def hateful(texts: ExplainedModel) -> int:
    """The index of a test text that contains it once."""
    told = texts.task.columns["message"].to_json(texts.test.rows["message"])
    return next(place for place, text in enumerate(told) if text.split().count("hate") == 1)


def of_row(way: str, model: ExplainedModel, place: int = 0) -> Figure:
    """Return the only figure about one row."""
    (found,) = plugins.load("explanations", way)().of_row(model, model.row(place))
    exhibit: Figure = found
    return exhibit


def of_model(way: str, model: ExplainedModel) -> list[Figure]:
    """Return the figures about the whole model."""
    return [*plugins.load("explanations", way)().of_model(model)]


def test_permutation_finds_what_is_looked_at(line: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Unused columns have an importance of exactly 0, used ones do not."""
    model, weights = line
    (exhibit,) = of_model("permutation", model)
    found = bar_values(exhibit)
    assert {name for name, value in found.items() if value} == {name for name, weight in weights.items() if weight}
    for bar in exhibit.data["bars"]:
        assert bar["low"] <= bar["value"] <= bar["high"]


def test_what_is_explained_reads_as_a_sentence(space: Workspace, line: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Abbreviations stay in capitals, a numeric label is called label, a forecast states its horizon."""
    digits, iris = (loader.load(space, name) for name in ("digits", "iris"))
    assert (
        ExplainedOutput(linear_model(space, digits, np.zeros((64, 10))).predictor, 3)
        .describe(digits.target)
        .endswith("of label 3")
    )
    gate = iris.gate.model_copy(update={"metric": "roc_auc"})
    model = linear_model(space, iris.model_copy(update={"gate": gate}), np.eye(4, 3), "Softmax")
    assert "How much worse ROC AUC (mean over the classes) gets" in of_model("permutation", model)[0].text
    assert "How much worse root mean" in of_model("permutation", line[0])[0].text
    assert ExplainedOutput(model.predictor, 0).describe(iris.target) == "the probability of setosa"
    ahead = line[0].task.target.model_copy(update={"horizon": 3, "unit": "mm"})
    assert ExplainedOutput(line[0].predictor, None).describe(ahead) == "progression one step ahead (mm)"


def test_of_many_bars_the_largest_are_kept() -> None:
    """Only the largest bars are kept, and the sentence states how many there were."""
    many = {f"c{place}": place - 50.0 for place in range(101)}
    kept, told = largest_bars(many)
    assert len(kept) == MAX_BARS
    assert [*kept][:2] == ["c0", "c100"]
    assert told == " Of 101 the 30 largest are shown."
    assert largest_bars({"a": (1.0, 0.0, 2.0), "b": (-3.0, -4.0, 0.0)}) == (
        {"b": (-3.0, -4.0, 0.0), "a": (1.0, 0.0, 2.0)},
        "",
    )


def test_shap_of_a_line_is_weight_times_distance(line: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Each column contributes its weight times the distance from the background's mean, in the target's unit."""
    model, weights = line
    background, _ = sample_rows(model.data.train, BACKGROUND_ROWS)
    encoded = model.encode(model.row(0))[0]
    found = {name.split(" = ")[0]: value for name, value in bar_values(of_row("shap", model)).items()}
    for name, span in model.data.encoder.spans.items():
        far = float((encoded[span] - background[:, span].mean(axis=0)).sum())
        assert found[name] == pytest.approx(weights[name] * far, abs=1e-3)


def test_shap_says_from_where_to_where(line: tuple[ExplainedModel, dict[str, float]]) -> None:
    """The sentence states the background's mean and the prediction."""
    model, _ = line
    exhibit = of_row("shap", model)
    base, answer = map(float, re.findall(r"(?:is|makes) (-?[\d.e+]+\d)", exhibit.text))
    assert answer == pytest.approx(float(model.predictor.run(model.encode(model.row(0)))[0, 0]), rel=1e-3)
    assert answer - base == pytest.approx(sum(bar_values(exhibit).values()), abs=0.2)


def test_shap_of_the_whole_model_shows_the_first_column_by_value(line: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Unused columns have size 0; the dependence plot of the largest lies on its line."""
    model, weights = line
    whole, points = of_model("shap", model)
    sizes = bar_values(whole)
    assert all((value < 1e-3) == (weights[name] == 0) for name, value in sizes.items())
    first = max(sizes, key=sizes.__getitem__)
    assert first in points.title
    (group,) = points.data["groups"]
    assert np.polyfit(group["x"], group["y"], 1)[0] == pytest.approx(weights[first], rel=1e-3)


def test_shap_of_labels_adds_up_to_a_probability(space: Workspace) -> None:
    """Contributions add up to the probability of the predicted label, which the sentence names."""
    weights = np.random.default_rng(0).normal(size=(4, 3)) / 4
    model = linear_model(space, loader.load(space, "iris"), weights, "Softmax")
    exhibit = of_row("shap", model)
    shares = model.predictor.run(model.encode(model.row(0)))[0]
    assert model.task.classes[int(shares.argmax())] in exhibit.text
    assert f"makes {float(shares.max()):.4g}" in exhibit.text


def test_shap_of_a_series_finds_the_steps(space: Workspace) -> None:
    """A model that returns the last value gives all contribution to the last stretch."""
    steps = loader.load(space, "sine").columns["value"].window  # type: ignore[attr-defined]
    model = linear_model(space, loader.load(space, "sine"), np.eye(steps)[:, [-1]])
    found = bar_values(of_row("shap", model))
    *others, last = found.values()
    assert [*found][-1].endswith(str(steps))
    assert last != 0
    assert others == pytest.approx([0] * len(others), abs=1e-9)


def test_lime_of_a_line_has_its_weights(line: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Each slope is the column's weight times its deviation, and the line explains everything."""
    model, weights = line
    exhibit, known = of_row("lime", model), sample_rows(model.data.train, 1000)[0]
    found = bar_values(exhibit)
    for name in ("age", "bmi", "bp", "s5"):
        deviation = float(known[:, model.data.encoder.spans[name]].std())
        assert found[name] == pytest.approx(weights[name] * deviation, abs=0.05)
    assert "explains 100%" in exhibit.text


def test_lime_exchanges_names_for_those_of_other_rows(line: tuple[ExplainedModel, dict[str, float]]) -> None:
    """One-hot features stay those of a category, and a change is counted only where the value differs."""
    model, _ = line
    row, others = model.encode(model.row(0))[0], sample_rows(model.data.train, 1000)[0]
    rows, changes = perturb_table(model, row, others)
    span, place = model.data.encoder.spans["sex"], [*model.data.encoder.spans].index("sex")
    known = {tuple(one) for one in others[:, span].tolist()}
    assert {tuple(one) for one in rows[:, span].tolist()} <= known
    assert np.array_equal(changes[:, place] == 1, (rows[:, span] != row[span]).any(axis=1))
    assert 0 < changes[:, place].mean() < 1


@pytest.mark.parametrize("way", ["shap", "lime", "occlusion"])
def test_the_one_word_that_matters_is_found(way: str, texts: ExplainedModel, hateful: int) -> None:
    """All other words have almost no weight."""
    exhibit = of_row(way, texts, hateful)
    assert exhibit.kind == "words"
    weights = {word["word"]: abs(word["weight"]) for word in exhibit.data["words"]}
    hate = weights.pop("hate")
    assert hate > 0.3
    assert max(weights.values()) < 0.05 * hate
    assert "rude" in exhibit.text


def test_words_are_shown_as_they_are_read(texts: ExplainedModel, hateful: int) -> None:
    """Words keep their order, unknown ones included, without padding."""
    (column,) = texts.task.columns.values()
    told = column.to_json(texts.row(hateful).values["message"])[0]
    assert [word["word"] for word in of_row("occlusion", texts, hateful).data["words"]] == told.split()


def picture(space: Workspace, pixels: Any) -> ExplainedModel:
    """Make a model of digits that predicts 3 from some bright pixels, and uses no others."""
    weights = np.zeros((8, 8, 10))
    weights[(*pixels, 3)] = 0.02
    return linear_model(space, loader.load(space, "digits"), weights.reshape(64, 10), "Softmax")


def lit(model: ExplainedModel, pixels: Any) -> int:
    """Return the index of a row that is bright there."""
    return int(model.test.rows["image"].reshape(-1, 8, 8)[(slice(None), *pixels)].argmax())


def test_lime_finds_the_one_patch(space: Workspace) -> None:
    """Only the pixel that the model uses is coloured."""
    pixels = (np.array([3]), np.array([4]))
    model = picture(space, pixels)
    exhibit = of_row("lime", model, lit(model, (3, 4)))
    assert [one["name"] for one in exhibit.data["images"]] == ["original", "patches"]
    colours = coloured(exhibit.data["images"][1]["src"])
    assert colours[3, 4] > 100
    assert np.sort(colours.ravel())[-2] < 10


def coloured(source: str) -> Array:
    """Return the colourfulness of each pixel of an image."""
    import base64
    import io

    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as opened:
        found = np.asarray(opened.convert("RGB"), dtype=float)
    return np.asarray(found.max(axis=-1) - found.min(axis=-1))


def test_occlusion_lights_up_only_the_patch(space: Workspace) -> None:
    """Hiding any other pixel changes nothing."""
    pixels = (np.array([2, 2]), np.array([3, 4]))
    model = picture(space, pixels)
    image = model.encode(model.row(lit(model, (2, 3))))[0]
    lost = occlusion_map(ExplainedOutput(model.predictor, 3), image, 0.0)
    assert lost[2, 3] > 0
    lost[pixels] = 0
    assert not lost.any()


def test_occlusion_of_a_series_lights_up_only_the_step(space: Workspace) -> None:
    """Only hiding the step that the model uses changes the prediction."""
    steps = loader.load(space, "sine").columns["value"].window  # type: ignore[attr-defined]
    model = linear_model(space, loader.load(space, "sine"), np.eye(steps)[:, [9]])
    (curve,) = of_row("occlusion", model).data["lines"]
    found = dict(zip(curve["x"], curve["y"], strict=True))
    assert [step for step, lost in found.items() if abs(lost) > 1e-6] == [10.0]


def test_the_same_model_is_seen_alike_twice(line: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Random methods are seeded, so that a report does not change by itself."""
    for way in ("shap", "lime"):
        assert of_row(way, line[0]) == of_row(way, line[0])


def test_a_way_that_does_not_fit_says_why(space: Workspace, texts: ExplainedModel) -> None:
    """The reason names another method, or what is missing."""
    digits = picture(space, (np.array([3]), np.array([4])))
    sine = linear_model(space, loader.load(space, "sine"), np.zeros((32, 1)))
    reasons = {
        "shap": (digits, "lime and occlusion"),
        "lime": (sine, "occlusion and shap"),
        "permutation": (texts, "only one column"),
    }
    for way, (model, words) in reasons.items():
        assert words in plugins.load("explanations", way)().unsupported_reason(model)
