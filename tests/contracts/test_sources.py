"""Contract of all sources: the same settings give the same bytes, in the file that the modality reads."""

from __future__ import annotations

from pathlib import Path

from workspaces import ROOT

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.contracts import sources
from tiltyard.workspace import Workspace


def test_source_class_matches_its_file(source_name: str) -> None:
    """The class named after the file is one, and its kind is the file's name."""
    sources.matches_name(source_name)


def test_source_output_is_reproducible(task_name: str, tmp_path: Path) -> None:
    """A task's source writes the one raw file, byte for byte the same each time."""
    task = loader.load(Workspace(ROOT), task_name)
    written = sources.is_reproducible(task.source, Workspace(ROOT), tmp_path)
    sources.can_be_read(written)
    assert [plugins.load("modalities", task.modality)().raw_file(written[0].parent)] == written


def test_every_source_is_tested(source_name: str) -> None:
    """A source is used by a task of this repository, whose tests exercise it, or has a test file of its own."""
    workspace = Workspace(ROOT)
    used = {loader.load(workspace, name).source.kind for name in workspace.tasks()}
    assert source_name in used or (ROOT / "tests/data" / f"test_sources_{source_name}.py").is_file()
