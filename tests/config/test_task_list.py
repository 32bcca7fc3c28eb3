"""The list of tasks in params.yaml: adding, removing, and invalid lists."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tiltyard.config import task_list
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace


def test_task_is_added_once(workspace: Workspace) -> None:
    """Adding keeps the list sorted and the rest of the file unchanged."""
    workspace.params.write_text("# a comment\ntasks: [sine, iris]\nother: 1\n")
    assert task_list.add(workspace, "mpg")
    assert not task_list.add(workspace, "mpg")
    assert workspace.params.read_text() == "# a comment\ntasks: [iris, mpg, sine]\nother: 1\n"


def test_concurrent_additions_and_removals_are_all_applied(workspace: Workspace) -> None:
    """Concurrent changes do not overwrite each other."""
    workspace.params.write_text(f"tasks: [{', '.join(f'old{i}' for i in range(12))}]\n")
    with ThreadPoolExecutor(8) as pool:
        additions = [pool.submit(task_list.add, workspace, f"new{i}") for i in range(12)]
        removals = [pool.submit(task_list.remove, workspace, f"old{i}") for i in range(12)]
        assert all(future.result(60) for future in [*additions, *removals])
    assert task_list.listed(workspace) == sorted(f"new{i}" for i in range(12))


def test_missing_task_list_is_created(workspace: Workspace) -> None:
    """A missing params.yaml is an empty list."""
    workspace.params.unlink()
    assert task_list.listed(workspace) == []
    assert task_list.add(workspace, "iris")
    assert task_list.listed(workspace) == ["iris"]


@pytest.mark.parametrize("text", ["tasks: 3\n", "names: []\n", "tasks: [iris\n", ""])
def test_invalid_task_list_is_rejected(workspace: Workspace, text: str) -> None:
    """The error names the file and shows a valid list."""
    workspace.params.write_text(text)
    with pytest.raises(TaskError, match=r"params\.yaml: expected a list `tasks`"):
        task_list.listed(workspace)


def test_block_style_list_is_not_rewritten(workspace: Workspace) -> None:
    """A block list is read, but not rewritten."""
    workspace.params.write_text("tasks:\n  - iris\n")
    assert task_list.listed(workspace) == ["iris"]
    with pytest.raises(TaskError, match="expected a line"):
        task_list.add(workspace, "sine")
