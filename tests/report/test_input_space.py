"""Plots over the input of a model: which tasks have one, what it shows, and that a browser draws it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from browser import open_browser
from workspaces import ROOT

from tiltyard.arrays import Array, Rows
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.evaluation.evaluated import Evaluated
from tiltyard.figures import Figure
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.report.html_elements import Section, render_figures
from tiltyard.report.page import Page, Tab
from tiltyard.report.sections.input_space import MARGIN, STEPS, input_space_figures
from tiltyard.workspace import Workspace


def task_named(name: str) -> Task:
    """Return a task of this repository."""
    return loader.load(Workspace(ROOT), name)


def drawn(task: Task, rows: Rows, truth: Array, model: Any) -> list[Figure]:
    """Return the plots of a model, a function of the rows."""
    evaluated = SimpleNamespace(test=SimpleNamespace(rows=rows), predictor=SimpleNamespace(outputs=model))
    outputs = model(rows)
    predictions = Predictions(truth, outputs, outputs, np.arange(len(truth)), task.labels, task.target.column)
    return input_space_figures(task, cast(Evaluated, evaluated), predictions)


def circle() -> Figure:
    """Return the regions of a model that knows the circle."""
    rows = {name: np.random.default_rng(seed).uniform(-4, 4, 80) for seed, name in enumerate(("x1", "x2"))}

    def model(asked: Rows) -> Array:
        return np.asarray(1 / (1 + np.exp(np.hypot(asked["x1"], asked["x2"]) - 3)), dtype=np.float32)[:, None]

    (figure,) = drawn(task_named("playground_circle"), rows, (model(rows)[:, 0] > 0.5).astype(np.int64), model)
    return figure


def test_regions_have_the_label_of_each_cell() -> None:
    """Cells inside the circle are positive, the middle of each region is the surest, and points have their label."""
    figure = circle()
    across, up, colours = (np.array(figure.data[name]) for name in ("across", "up", "colours"))
    distance = np.hypot(*np.meshgrid(across, up))
    assert colours.shape == (STEPS, STEPS)
    assert np.array_equal(colours == 1, distance <= 3)
    shares = np.array(figure.data["shares"])
    assert shares[distance.argmin() // STEPS, distance.argmin() % STEPS] > 0.85
    assert shares[np.abs(distance - 3) < 0.05].max() < 0.05
    positive = next(group for group in figure.data["groups"] if group["name"] == "positive")
    assert np.hypot(positive["x"], positive["y"]).max() <= 3


def test_line_is_the_prediction_within_the_bounds() -> None:
    """The line reaches a little beyond the test rows, but not beyond the bounds of the column."""
    rows, truth = {"TV": np.array([0.7, 100.0, 200.0])}, np.array([1.0, 10.0, 20.0])
    (figure,) = drawn(task_named("advertising_least_squares"), rows, truth, lambda asked: asked["TV"][:, None] / 10 + 1)
    curve = figure.data["curve"]
    assert curve["x"][0] == 0  # the lower bound
    assert curve["x"][-1] == pytest.approx(200 + MARGIN * 199.3)
    np.testing.assert_allclose(curve["y"], np.array(curve["x"]) / 10 + 1, rtol=1e-5)
    assert figure.data["groups"][0]["y"] == truth.tolist()


def test_surface_is_shaded_from_lowest_to_highest() -> None:
    """A plane rises from one corner to the other; a constant has no shade."""
    rows = {"x1": np.array([-4.0, 0.0, 4.0]), "x2": np.array([-4.0, 1.0, 4.0])}
    task = task_named("playground_plane")
    (plane,) = drawn(task, rows, np.zeros(3), lambda asked: (asked["x1"] + asked["x2"])[:, None])
    shares = np.array(plane.data["shares"])
    assert (shares[0, 0], shares[-1, -1]) == (0, 1)
    assert (np.diff(shares, axis=0) >= 0).all()
    (flat,) = drawn(task, rows, np.zeros(3), lambda asked: np.ones((len(asked["x1"]), 1)))
    assert not np.any(flat.data["shares"])


def test_flags_have_margins_around_their_values() -> None:
    """Of two flags only the corners can occur, and the text says so."""
    rows = {"a": np.array([0.0, 0, 1, 1]), "b": np.array([0.0, 1, 0, 1])}
    truth = np.array([0, 0, 0, 1])
    (figure,) = drawn(task_named("logic_and"), rows, truth, lambda asked: (asked["a"] + asked["b"] >= 2)[:, None] * 1.0)
    assert (figure.data["across"][0], figure.data["across"][-1]) == (-0.25, 1.25)
    assert figure.text.endswith("Only the corners can occur.")


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("iris", {}),  # four columns
        ("logic_buffer", {"a": np.array([0.0, 1.0])}),  # one flag and labels: nothing to draw
        ("playground_circle", {"x1": np.full(3, np.nan), "x2": np.zeros(3)}),  # no number to begin with
        ("playground_circle", {"x1": np.ones(3), "x2": np.arange(3.0)}),  # a constant has no axis
        ("sine", {}),
        ("digits", {}),
    ],
)
def test_other_inputs_have_no_plot(name: str, rows: Rows) -> None:
    """More than two columns, columns without an axis, series and images: the model is not even loaded."""
    task = task_named(name)
    evaluated = SimpleNamespace(test=SimpleNamespace(rows=rows))
    predictions = Predictions(np.zeros(2), np.zeros((2, 1)), np.zeros((2, 1)), np.arange(2), task.labels, "y")
    assert input_space_figures(task, cast(Evaluated, evaluated), predictions) == []


@pytest.mark.smoke
def test_browser_draws_regions_and_lines(tmp_path: Path) -> None:
    """Cells of both colours fill the plane, points lie above them, and the fitted line is a path."""
    rows = {"TV": np.linspace(1, 300, 40)}
    task = task_named("advertising_least_squares")
    (line,) = drawn(task, rows, rows["TV"] / 15, lambda asked: asked["TV"][:, None] / 16)
    page = tmp_path / "page.html"
    tab = Tab("t", [Section("s", render_figures([circle(), line]))])
    page.write_text(Page("p", "<h1>p</h1>", [tab]).html(), encoding="utf-8")
    figures = "[...document.querySelectorAll('figure[data-kind]')]"
    with open_browser(tmp_path) as browser:
        browser.screen(1280, 900)
        browser.open(page.as_uri(), f"{figures}.every((one) => one.querySelector('svg'))")
        colours = f"[...new Set([...{figures}[0].querySelectorAll('rect')].map((one) => one.getAttribute('fill')))]"
        assert sorted(browser.script(colours)) == ["var(--c0)", "var(--c1)"]
        assert browser.script(f"{figures}[0].querySelectorAll('circle').length") == 80
        assert browser.script(f"{figures}[1].querySelectorAll('path.strong').length") == 1
        assert not browser.script("/NaN|undefined/.test(document.querySelector('main').innerHTML)")
        assert browser.console_errors == []
