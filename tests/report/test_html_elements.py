"""HTML of the report: cells, images, words and sparklines."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard import figures
from tiltyard.figures import Figure
from tiltyard.report import html_elements as html


def test_cells_have_sort_values() -> None:
    """Numbers are aligned to the right and keep all digits for sorting; None is a dash that sorts last."""
    drawn = html.render_table(
        [{"name": "a", "rows": 12345, "value": 0.123456789}, {"name": "b", "rows": 2, "value": None}]
    )
    assert '<td>a</td><td class="n" data-value="12345">12,345</td>' in drawn
    assert '<td class="n" data-value="0.123456789">0.1235</td>' in drawn
    assert '<td class="n" data-value="">\N{EN DASH}</td>' in drawn
    assert html.render_table([]) == ""


def test_external_images_are_dropped() -> None:
    """An external address is dropped, also in a cell whose text looks like an image."""
    embedded = figures.png(np.zeros((2, 2)))
    assert f'src="{embedded}"' in html.render_table([{"x": embedded}])
    assert 'src=""' in html.render_table([{"x": "data:image/svg+xml,<svg onload=alert(1)>"}])
    external = Figure("t", "x.", "images", {"images": [{"name": "n", "src": "https://example.org/x.png"}]})
    assert "example.org" not in html.render_figures([external])


def test_words_are_shaded_by_weight() -> None:
    """A higher weight has a stronger shade; a negative weight is underlined instead."""
    drawn = html.render_figures(
        [figures.word_figure("t", "x.", [("good", 2.0), ("some", 1.0), ("bad", -1.0), ("<b>", 0.0)])]
    )
    shades = re.findall(r"rgb\(var\(--wash\) / ([\d.]+)\)", drawn)
    assert shades == ["0.55", "0.28"]
    assert drawn.count('class="less"') == 1
    assert "&lt;b&gt;" in drawn


def test_sparkline_follows_the_values() -> None:
    """Higher values are drawn higher, missing ones are skipped, and a single value is a dot."""
    cell = html.sparkline([1.0, None, 3.0], ["HOLD", "HOLD", "PROMOTE"])
    assert 'points="0.0,25.0 100.0,3.0"' in cell.html
    assert cell.html.count("<circle") == 2
    assert 'class="PROMOTE"' in cell.html
    assert cell.value == "3.0"
    assert 'points="0.0,3.0 100.0,25.0"' in html.sparkline([1.0, None, 3.0], lower=True).html
    assert html.sparkline([2.0]).html.count("<polyline") == 1
    assert html.sparkline([None]).html == ""


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=40))
def test_figures_contain_only_valid_json(values: list[float]) -> None:
    """Infinite and undefined numbers do not fail."""
    array = np.array(values)
    both = {"a": (array, array)}
    drawn = [
        figures.lines("t", "x.", ("x", "y"), {"a": {"x": array, "y": array}}),
        figures.points("t", "x.", ("x", "y"), both),
    ]
    assert html.render_figures(drawn).count('type="application/json"') == 2


@pytest.mark.parametrize("rows", [10, 20_000])
def test_points_are_reduced_evenly(rows: int) -> None:
    """At most MAX_POINTS points are kept, the first and the last among them."""
    values = np.arange(rows, dtype=np.float64)
    (group,) = figures.points("t", "x.", ("x", "y"), {"": (values, values)}).data["groups"]
    assert len(group["x"]) == min(rows, figures.MAX_POINTS)
    assert group["x"][0] == 0
    assert group["x"][-1] == pytest.approx(rows - 1, rel=1e-4)
