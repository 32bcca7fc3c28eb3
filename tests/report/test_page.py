"""Pages of the report: tabs and sections, and small drawings beside numbers."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.report.drawings import Value, interval_drawing, limit_drawing
from tiltyard.report.html_elements import Section
from tiltyard.report.page import Page, Tab

EVIL = '"><script>alert(1)</script>'


def test_sections_are_linked_by_title() -> None:
    """Sections are linked to by their titles; an empty one is neither shown nor linked."""
    sections = [Section("By class", "<p>x</p>"), Section("None", "")]
    page = Page("t", "<h1>t</h1>", [Tab("All", sections)]).html()
    assert '<section id="by-class">' in page
    assert "None" not in page
    assert "<nav" not in page


def test_tabs_without_sections_are_left_out() -> None:
    """A tab without content has no link and no panel; the others do, also without scripts."""
    tabs = [Tab(name, [Section(name, text)]) for name, text in (("A b", "<p>1</p>"), ("C", ""), (EVIL, "<p>2</p>"))]
    page = Page("t", "<h1>t</h1>", tabs).html()
    assert '<a href="#tab-a-b">A b</a>' in page
    assert "tab-c" not in page
    assert page.count('<div class="panel"') == 2
    assert EVIL not in page
    assert " hidden" not in page.split("<body>")[1].split("<script>")[0]


@pytest.mark.parametrize(
    ("observed", "limit", "passed", "from_left"),
    [(2.0, 1.0, True, False), (1.0, 2.0, True, True), (2.0, 1.0, False, True), (1.0, 2.0, False, False)],
)
def test_side_of_the_limit_that_passes_is_shaded(observed: float, limit: float, passed: bool, from_left: bool) -> None:
    """Whether more or less is required follows from the outcome."""
    drawn = limit_drawing(observed, limit, None, passed=passed).html
    (start,) = re.findall(r'class="passes" x="([\d.]+)"', drawn)
    assert (float(start) == 0) == from_left
    assert f"observed {observed:g}; limit {limit:g}" in drawn


def test_check_without_values_is_not_drawn() -> None:
    """Missing and infinite values have no place on a scale."""
    for observed, limit, ends in (
        (None, 1.0, None),
        (1.0, None, None),
        (math.inf, 1.0, None),
        (1.0, 2.0, [0, math.nan]),
    ):
        assert limit_drawing(observed, limit, ends, passed=True).html == ""
    assert interval_drawing([Value("a", None), Value("b", math.nan)]) == ""


@given(st.lists(st.tuples(st.floats(), st.floats(), st.floats()), min_size=1, max_size=4))
def test_drawings_stay_within_their_frame(numbers: list[tuple[float, float, float]]) -> None:
    """Any numbers, huge and undefined ones, give coordinates inside the drawing."""
    values = [Value(EVIL, value, (low, high)) for value, low, high in numbers]
    drawn = interval_drawing(values) + limit_drawing(*numbers[0][:2], numbers[0][1:], passed=True).html
    places = [float(place) for place in re.findall(r' (?:cx|x1|x2)="([^"]+)"', drawn)]
    assert all(0 <= place <= 200 for place in places)
    assert EVIL not in drawn
