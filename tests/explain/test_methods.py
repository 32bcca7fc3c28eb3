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
    project = new_workspace(tmp_path_factory.mktemp("made"))
    for name in random_models.TASKS:
        fetch_raw(project, name)
        prepare.prepare(project, loader.load(project, name))
    generated_tasks.prepare_texts(project)
    return project


@pytest.fixture(scope="module")
def linear(space: Workspace) -> tuple[ExplainedModel, dict[str, float]]:
    """A regression of ten columns that uses three of them, and its weights."""
    task = loader.load(space, "diabetes")
    weights = dict.fromkeys(task.columns, 0.0) | {"bmi": 3.0, "bp": -1.5, "s5": 20.0}
    model = prepare_linear(space, weights)
    return model, weights


def prepare_linear(space: Workspace, weights: dict[str, float]) -> ExplainedModel:
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
def keyword_row(texts: ExplainedModel) -> int:
    """The index of a test text that contains the word `hate` once."""
    messages = texts.task.columns["message"].to_json(texts.test.rows["message"])
    return next(index for index, text in enumerate(messages) if text.split().count("hate") == 1)


def of_row(method: str, model: ExplainedModel, index: int = 0) -> Figure:
    """Return the only figure about one row."""
    (found,) = plugins.load("explanations", method)().of_row(model, model.row(index))
    figure: Figure = found
    return figure


def of_model(method: str, model: ExplainedModel) -> list[Figure]:
    """Return the figures about the whole model."""
    return [*plugins.load("explanations", method)().of_model(model)]


def test_permutation_finds_the_used_columns(linear: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Unused columns have an importance of exactly 0, used ones do not."""
    model, weights = linear
    (figure,) = of_model("permutation", model)
    losses = bar_values(figure)
    assert {name for name, value in losses.items() if value} == {name for name, weight in weights.items() if weight}
    for bar in figure.data["bars"]:
        assert bar["low"] <= bar["value"] <= bar["high"]


def test_explained_output_is_described_in_words(
    space: Workspace, linear: tuple[ExplainedModel, dict[str, float]]
) -> None:
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
    assert "How much worse root mean" in of_model("permutation", linear[0])[0].text
    assert ExplainedOutput(model.predictor, 0).describe(iris.target) == "the probability of setosa"
    ahead = linear[0].task.target.model_copy(update={"horizon": 3, "unit": "mm"})
    assert ExplainedOutput(linear[0].predictor, None).describe(ahead) == "progression one step ahead (mm)"


def test_largest_bars_are_shown() -> None:
    """Only the largest bars are kept, and the sentence states how many there were."""
    many = {f"c{i}": i - 50.0 for i in range(101)}
    largest, remark = largest_bars(many)
    assert len(largest) == MAX_BARS
    assert [*largest][:2] == ["c0", "c100"]
    assert remark == " Of 101 the 30 largest are shown."
    assert largest_bars({"a": (1.0, 0.0, 2.0), "b": (-3.0, -4.0, 0.0)}) == (
        {"b": (-3.0, -4.0, 0.0), "a": (1.0, 0.0, 2.0)},
        "",
    )


def test_shap_of_a_linear_model_matches_the_formula(linear: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Each column contributes its weight times the distance from the background's mean, in the target's unit."""
    model, weights = linear
    background, _ = sample_rows(model.data.train, BACKGROUND_ROWS)
    encoded = model.encode(model.row(0))[0]
    contributions = {name.split(" = ")[0]: value for name, value in bar_values(of_row("shap", model)).items()}
    for name, span in model.data.encoder.spans.items():
        distance = float((encoded[span] - background[:, span].mean(axis=0)).sum())
        assert contributions[name] == pytest.approx(weights[name] * distance, abs=1e-3)


def test_shap_states_base_and_prediction(linear: tuple[ExplainedModel, dict[str, float]]) -> None:
    """The sentence states the background's mean and the prediction."""
    model, _ = linear
    figure = of_row("shap", model)
    base, prediction = map(float, re.findall(r"(?:is|makes) (-?[\d.e+]+\d)", figure.text))
    assert prediction == pytest.approx(float(model.predictor.run(model.encode(model.row(0)))[0, 0]), rel=1e-3)
    assert prediction - base == pytest.approx(sum(bar_values(figure).values()), abs=0.2)


def test_global_shap_has_a_dependence_plot_of_the_largest_column(
    linear: tuple[ExplainedModel, dict[str, float]],
) -> None:
    """Unused columns have size 0; the dependence plot of the largest lies on its line."""
    model, weights = linear
    overall, points = of_model("shap", model)
    sizes = bar_values(overall)
    assert all((value < 1e-3) == (weights[name] == 0) for name, value in sizes.items())
    first = max(sizes, key=sizes.__getitem__)
    assert first in points.title
    (group,) = points.data["groups"]
    assert np.polyfit(group["x"], group["y"], 1)[0] == pytest.approx(weights[first], rel=1e-3)


def test_shap_of_a_classifier_adds_up_to_the_probability(space: Workspace) -> None:
    """Contributions add up to the probability of the predicted label, which the sentence names."""
    weights = np.random.default_rng(0).normal(size=(4, 3)) / 4
    model = linear_model(space, loader.load(space, "iris"), weights, "Softmax")
    figure = of_row("shap", model)
    shares = model.predictor.run(model.encode(model.row(0)))[0]
    assert model.task.classes[int(shares.argmax())] in figure.text
    assert f"makes {float(shares.max()):.4g}" in figure.text


def test_shap_of_a_series_finds_the_used_step(space: Workspace) -> None:
    """A model that returns the last value gives all contribution to the last stretch."""
    steps = loader.load(space, "sine").columns["value"].window  # type: ignore[attr-defined]
    model = linear_model(space, loader.load(space, "sine"), np.eye(steps)[:, [-1]])
    contributions = bar_values(of_row("shap", model))
    *others, last = contributions.values()
    assert [*contributions][-1].endswith(str(steps))
    assert last != 0
    assert others == pytest.approx([0] * len(others), abs=1e-9)


def test_lime_of_a_linear_model_matches_the_weights(linear: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Each slope is the column's weight times its deviation, and the line explains everything."""
    model, weights = linear
    figure, known = of_row("lime", model), sample_rows(model.data.train, 1000)[0]
    slopes = bar_values(figure)
    for name in ("age", "bmi", "bp", "s5"):
        deviation = float(known[:, model.data.encoder.spans[name]].std())
        assert slopes[name] == pytest.approx(weights[name] * deviation, abs=0.05)
    assert "explains 100%" in figure.text


def test_lime_replaces_categories_with_those_of_other_rows(linear: tuple[ExplainedModel, dict[str, float]]) -> None:
    """One-hot features stay those of a category, and a change is counted only where the value differs."""
    model, _ = linear
    row, others = model.encode(model.row(0))[0], sample_rows(model.data.train, 1000)[0]
    rows, changes = perturb_table(model, row, others)
    span, index = model.data.encoder.spans["sex"], [*model.data.encoder.spans].index("sex")
    known = {tuple(values) for values in others[:, span].tolist()}
    assert {tuple(values) for values in rows[:, span].tolist()} <= known
    assert np.array_equal(changes[:, index] == 1, (rows[:, span] != row[span]).any(axis=1))
    assert 0 < changes[:, index].mean() < 1


@pytest.mark.parametrize("method", ["shap", "lime", "occlusion"])
def test_the_keyword_is_found(method: str, texts: ExplainedModel, keyword_row: int) -> None:
    """All other words have almost no weight."""
    figure = of_row(method, texts, keyword_row)
    assert figure.kind == "words"
    weights = {word["word"]: abs(word["weight"]) for word in figure.data["words"]}
    hate = weights.pop("hate")
    assert hate > 0.3
    assert max(weights.values()) < 0.05 * hate
    assert "rude" in figure.text


def test_words_are_shown_in_reading_order(texts: ExplainedModel, keyword_row: int) -> None:
    """Words keep their order, unknown ones included, without padding."""
    (column,) = texts.task.columns.values()
    text = column.to_json(texts.row(keyword_row).values["message"])[0]
    assert [word["word"] for word in of_row("occlusion", texts, keyword_row).data["words"]] == text.split()


def pixel_model(space: Workspace, pixels: Any) -> ExplainedModel:
    """Make a model of digits that predicts 3 from some bright pixels, and uses no others."""
    weights = np.zeros((8, 8, 10))
    weights[(*pixels, 3)] = 0.02
    return linear_model(space, loader.load(space, "digits"), weights.reshape(64, 10), "Softmax")


def bright_row(model: ExplainedModel, pixels: Any) -> int:
    """Return the index of a row that is bright there."""
    return int(model.test.rows["image"].reshape(-1, 8, 8)[(slice(None), *pixels)].argmax())


def test_lime_finds_the_used_pixel(space: Workspace) -> None:
    """Only the pixel that the model uses is coloured."""
    pixels = (np.array([3]), np.array([4]))
    model = pixel_model(space, pixels)
    figure = of_row("lime", model, bright_row(model, (3, 4)))
    assert [image["name"] for image in figure.data["images"]] == ["original", "patches"]
    colours = colourfulness(figure.data["images"][1]["src"])
    assert colours[3, 4] > 100
    assert np.sort(colours.ravel())[-2] < 10


def colourfulness(source: str) -> Array:
    """Return the colourfulness of each pixel of an image."""
    import base64
    import io

    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as opened:
        pixels = np.asarray(opened.convert("RGB"), dtype=float)
    return np.asarray(pixels.max(axis=-1) - pixels.min(axis=-1))


def test_occlusion_finds_only_the_used_pixels(space: Workspace) -> None:
    """Hiding any other pixel changes nothing."""
    pixels = (np.array([2, 2]), np.array([3, 4]))
    model = pixel_model(space, pixels)
    image = model.encode(model.row(bright_row(model, (2, 3))))[0]
    lost = occlusion_map(ExplainedOutput(model.predictor, 3), image, 0.0)
    assert lost[2, 3] > 0
    lost[pixels] = 0
    assert not lost.any()


def test_occlusion_of_a_series_finds_only_the_used_step(space: Workspace) -> None:
    """Only hiding the step that the model uses changes the prediction."""
    steps = loader.load(space, "sine").columns["value"].window  # type: ignore[attr-defined]
    model = linear_model(space, loader.load(space, "sine"), np.eye(steps)[:, [9]])
    (curve,) = of_row("occlusion", model).data["lines"]
    decrease = dict(zip(curve["x"], curve["y"], strict=True))
    assert [step for step, lost in decrease.items() if abs(lost) > 1e-6] == [10.0]


def test_random_methods_are_reproducible(linear: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Random methods are seeded, so that a report does not change by itself."""
    for method in ("shap", "lime"):
        assert of_row(method, linear[0]) == of_row(method, linear[0])


def test_unsupported_method_gives_a_reason(space: Workspace, texts: ExplainedModel) -> None:
    """The reason names another method, or what is missing."""
    digits = pixel_model(space, (np.array([3]), np.array([4])))
    sine = linear_model(space, loader.load(space, "sine"), np.zeros((32, 1)))
    reasons = {
        "shap": (digits, "lime and occlusion"),
        "lime": (sine, "occlusion and shap"),
        "permutation": (texts, "only one column"),
    }
    for method, (model, words) in reasons.items():
        assert words in plugins.load("explanations", method)().unsupported_reason(model)


def test_partial_dependence_of_a_linear_model_is_a_line(linear: tuple[ExplainedModel, dict[str, float]]) -> None:
    """Its slope is the weight of the column, and columns are ordered by how much predictions depend on them."""
    model, weights = linear
    figures = of_model("partial_dependence", model)
    for figure in figures:
        curve, name = figure.data["lines"][0], figure.title.removeprefix("Partial dependence on ")
        slopes = np.diff(curve["y"]) / np.diff(curve["x"])
        assert slopes == pytest.approx(np.full(len(slopes), weights[name]), rel=0.02, abs=1e-3)
    spans = [np.ptp(figure.data["lines"][0]["y"]) for figure in figures]
    assert spans == sorted(spans, reverse=True)
    assert spans[0] > 0


def test_partial_dependence_needs_numbers(space: Workspace, texts: ExplainedModel) -> None:
    """Texts and forecasts have no number columns that could be changed alone."""
    sine = linear_model(space, loader.load(space, "sine"), np.zeros((32, 1)))
    reason = plugins.load("explanations", "partial_dependence")().unsupported_reason
    assert "no number columns" in reason(texts)
    assert "one label or one number" in reason(sine)
