"""Version aliases: champion, previous, challenger, and version prefixes."""

from __future__ import annotations

from tiltyard.config.task import Task
from tiltyard.errors import RegistryError
from tiltyard.modeling.inference.predictor import version
from tiltyard.registry.registry import Registry, champion_history
from tiltyard.workspace import Workspace

MIN_PREFIX = 4  # characters


def aliases(workspace: Workspace, task: Task) -> dict[str, str]:
    """Return the versions that have an alias now; the challenger is what was trained last, champion or not."""
    registry, train = Registry(workspace), workspace.out(task.name, "train")
    champion = registry.champion(task.name)
    versions = {"champion": champion.version} if champion else {}
    before = [
        decision.version
        for decision in champion_history(registry.decisions(task.name))
        if decision.version != versions.get("champion")
    ]
    if before:
        versions["previous"] = before[-1]
    if (train / "model.onnx").is_file():
        versions["challenger"] = version(train)
    return versions


def resolve_version(workspace: Workspace, task: Task, name: str) -> str:
    """Return the version that an alias or prefix stands for."""
    current_aliases = aliases(workspace, task)
    if name in current_aliases:
        return current_aliases[name]
    versions = {decision.version for decision in Registry(workspace).decisions(task.name)} | {*current_aliases.values()}
    matches = [version for version in sorted(versions) if len(name) >= MIN_PREFIX and version.startswith(name)]
    if len(matches) != 1:
        names = ", ".join([*current_aliases, *sorted(versions)]) or "none"
        raise RegistryError(
            f"expected one version of {task.name}: {names}; received {name}",
            hint=f"list them: tiltyard history {task.name}",
        )
    return matches[0]
