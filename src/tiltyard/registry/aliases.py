"""Names for versions: champion, previous, challenger, or the beginning of a version's own."""

from __future__ import annotations

from tiltyard.config.task import Task
from tiltyard.errors import RegistryError
from tiltyard.modeling.inference.predictor import version
from tiltyard.registry.registry import Registry, champion_history
from tiltyard.workspace import Workspace

SHORTEST = 4  # letters that may stand for a version


def aliases(workspace: Workspace, task: Task) -> dict[str, str]:
    """Return the versions that have a name now; what was trained last is the challenger, also if it reigns already."""
    registry, train = Registry(workspace), workspace.out(task.name, "train")
    champion = registry.champion(task.name)
    found = {"champion": champion.version} if champion else {}
    before = [
        one.version for one in champion_history(registry.decisions(task.name)) if one.version != found.get("champion")
    ]
    if before:
        found["previous"] = before[-1]
    if (train / "model.onnx").is_file():
        found["challenger"] = version(train)
    return found


def named(workspace: Workspace, task: Task, name: str) -> str:
    """Return the version that a name stands for."""
    known = aliases(workspace, task)
    if name in known:
        return known[name]
    told = {decision.version for decision in Registry(workspace).decisions(task.name)} | {*known.values()}
    found = [one for one in sorted(told) if len(name) >= SHORTEST and one.startswith(name)]
    if len(found) != 1:
        names = ", ".join([*known, *sorted(told)]) or "none"
        raise RegistryError(
            f"expected one version of {task.name}: {names}; received {name}",
            hint=f"list them: tiltyard history {task.name}",
        )
    return found[0]
