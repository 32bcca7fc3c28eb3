"""Next steps after HOLD or REJECT: the diagnosis of the fit, and commands to type."""

from __future__ import annotations

from dataclasses import dataclass, field

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.gate.verdict import Verdict
from tiltyard.workspace import Workspace

# For each diagnosis of the fit, the settings of a task file to change first.
SETTINGS = {
    "under-fit": "raise train.epochs, train.patience or the size of the model",
    "over-fit": "fetch more rows, or set dropout, augmentation or a smaller model",
    "good fit": "add informative columns, or try another model family",
}


@dataclass(frozen=True)
class NextSteps:
    """The diagnosis and commands to show after HOLD or REJECT; empty after PROMOTE."""

    fit: list[str] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)  # command: purpose


def next_steps(workspace: Workspace, task: Task, verdict: Verdict) -> NextSteps:
    """Return the diagnosis of the training and the commands to type next."""
    if verdict.verdict == "PROMOTE" or verdict.version == verdict.champion:
        return NextSteps()
    name, failed = task.name, {outcome.code for outcome in verdict.outcomes if outcome.state == "failed"}
    if failed == {"approval"}:
        return NextSteps([], {f"tiltyard approve {name}": f"then: tiltyard promote {name}"})
    if failed == {"stand_in"}:
        return NextSteps(
            [],
            {
                f"tiltyard fetch {name}": f"after supplying the real files; then: tiltyard run {name}",
                f"tiltyard promote {name} --allow-stand-in": "make it champion all the same, marked as a stand-in",
            },
        )
    if not failed:  # it was rolled back before; the reason says how to judge it again
        return NextSteps([], {f"tiltyard history {name}": "decisions and who made them"})
    path = workspace.out(name, "train") / "training.json"
    diagnosis = files.read_json(path).get("diagnosis") if path.is_file() else None
    fit = [f"fit: {diagnosis['verdict']}: {diagnosis['reason']}", *diagnosis["findings"]] if diagnosis else []
    return NextSteps(
        fit, {**_inspection_commands(name), **_changes(task, diagnosis["verdict"] if diagnosis else "good fit", failed)}
    )


def _inspection_commands(name: str) -> dict[str, str]:
    return {
        f"tiltyard why {name}": "every check with its values",
        f"tiltyard report {name} --open": "curves, slices and the rows with the largest errors",
    }


def _changes(task: Task, fit: str, failed: set[str]) -> dict[str, str]:
    """Return the command or edit that may give a better challenger."""
    again = f"then: tiltyard run {task.name}"
    if "test_reuse" in failed:
        return {f"tiltyard fetch {task.name}; tiltyard prepare {task.name} --reseal": again}
    reference = _served_reference(task) if _lost_to_reference(task, failed) else ""
    if task.search and not reference:
        return {f"tiltyard search {task.name} --apply": again}
    fit = fit if task.model.trained_by_epochs else "good fit"  # the settings of networks would change nothing
    return {f"edit tasks/{task.name}.yaml": f"{SETTINGS[fit]}{reference}; {again}"}


def _lost_to_reference(task: Task, failed: set[str]) -> bool:
    return "reference" in failed and task.model.trained_by_epochs


def _served_reference(task: Task) -> str:
    """Return the settings that use the reference."""
    served = ", or model: {family: reference}, which serves the reference"
    if task.model.blend_references:
        return served
    return f", or model.blend_references: true, which averages the network with the references{served}"
