"""dvc.lock is written stage by stage, with the bytes that DVC writes."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiltyard.data import dvc_lock_file

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.just("\n"), max_size=120)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["validate@a", "train@a", "train@b-2", "evaluate@some.task_3", "yes", "12", "1e3"])
CHANGES = st.lists(st.tuples(NAMES, st.dictionaries(st.sampled_from(["cmd", "deps", "outs"]), VALUES)), max_size=5)


def _write(modify: Any, path: Path, changes: list[tuple[str, dict[str, Any]]]) -> None:
    """Change entries as DVC does, once for each stage."""
    for name, entry in changes:
        with modify(path) as content:
            if not content:
                content.update({"schema": "2.0"})
            content["stages"] = content.get("stages", {})
            content["stages"].get(name, {})
            content["stages"].update(OrderedDict({name: entry}))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=CHANGES)
def test_lock_file_has_the_bytes_that_dvc_writes(tmp_path: Path, changes: list[tuple[str, dict[str, Any]]]) -> None:
    """Any entries of any stages, new and changed, are written as DVC writes them."""
    from dvc.utils.serialize import modify_yaml

    theirs, ours = tmp_path / "theirs.lock", tmp_path / "ours.lock"
    for path, modify in ((theirs, modify_yaml), (ours, dvc_lock_file.ModifyYaml(modify_yaml))):
        path.unlink(missing_ok=True)
        _write(modify, path, changes)
    assert not changes or ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("before", ["", "# a remark\n", "  ? long\n  : {}\n", "  a@b:\n    cmd: x"])
def test_other_lock_files_are_left_to_dvc(tmp_path: Path, before: str) -> None:
    """A file that DVC did not write is read and written by DVC."""
    called = []

    def modify_yaml(path: Path, **_: Any) -> Any:
        called.append(path)
        return pytest.raises(ValueError, match="by DVC")

    path = tmp_path / "dvc.lock"
    path.write_text(f"{dvc_lock_file.HEAD}  a@a:\n    cmd: x\n{before}" if before else "", encoding="utf-8")
    with dvc_lock_file.ModifyYaml(modify_yaml)(path):
        raise ValueError("by DVC")
    assert called == [path]


def test_entry_of_a_stage_can_be_read(tmp_path: Path) -> None:
    """DVC compares the new entry with the one before."""
    from dvc.utils.serialize import modify_yaml

    modify, path = dvc_lock_file.ModifyYaml(modify_yaml), tmp_path / "dvc.lock"
    _write(modify, path, [("a", {"cmd": "x"}), ("b", {"cmd": "y"})])
    with modify(path) as content:
        assert content["stages"].get("b", {}) == {"cmd": "y"}
        assert content["stages"].get("c", {}) == {}
