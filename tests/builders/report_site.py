"""The report of two judged tasks, and how a browser finds what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Browser
from linear_challengers import prepare_task, quick_package, write_challenger
from workspaces import new_workspace

from tiltyard import files
from tiltyard.explain import explain
from tiltyard.gate.promote import promote
from tiltyard.report import report
from tiltyard.training.layer_graph import FILE

# The layers of a network with four branches, which is wider than a phone.
LAYERS = [
    {"name": name, "type": "Dense", "settings": name, "shape": [4], "parameters": 20, "trainable": 20, "inputs": inputs}
    for name, inputs in {
        "in": [],
        **{f"b{place}": ["in"] for place in range(4)},
        "out": ["b0", "b1", "b2", "b3"],
    }.items()
]
ALL = "document.querySelectorAll('figure[data-kind]')"
DRAWN = f"[...{ALL}].every((one) => !one.checkVisibility() || one.querySelector('svg'))"
WHOLE = "[...document.querySelectorAll('svg path')].every((one) => !/NaN|undefined/.test(one.getAttribute('d')))"
WIDE = "document.documentElement.scrollWidth > innerWidth"


def judged_site(root: Path) -> str:
    """Return the address of the report of two judged tasks."""
    workspace = new_workspace(root)
    tasks = [prepare_task(workspace, name) for name in ("diabetes", "iris")]
    for task in tasks:
        write_challenger(workspace, task, slice(None))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tiltyard.serving.packaging.package.package", quick_package)
            promote(workspace, task)
            write_challenger(workspace, task, slice(2))
            promote(workspace, task)
        explain.explain(workspace, task, explain.ExplainRequest(only=["permutation"]))
        files.write_json(workspace.out(task.name, "train") / FILE, LAYERS)
    report.report(workspace, tasks)
    return workspace.report.as_uri()


def figure_of(title: str) -> str:
    """Return a script that finds the figure with a title."""
    return f"[...document.querySelectorAll('figure')].find((one) => one.querySelector('h3')?.textContent === '{title}')"


def show(browser: Browser, title: str) -> None:
    """Show the tab with a figure, as its address does."""
    browser.script(f"location.hash = {figure_of(title)}.closest('section').id")
    browser.wait_until(f"{figure_of(title)}.checkVisibility() && {DRAWN}")
