"""The `ensemble:` section of a task file: further models, whose outputs are averaged with those of `model:`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import Field, ValidationError

from tiltyard import plugins
from tiltyard.config.learning_rate_schedules import AnySchedule
from tiltyard.config.train_section import Loss, Optimizer, Train
from tiltyard.modeling.models.base import Model
from tiltyard.settings import Settings

if TYPE_CHECKING:
    AnyModel = Model
else:
    AnyModel = plugins.union("models", "family")

# of the ensemble as a whole, not of a member
WHOLE = {"members": 1, "member_rows": "all", "blend": "mean", "folds": None, "restarts": 0}
LENGTH = {"epochs", "batch_size", "schedule", "patience"}


class MemberTrain(Settings):
    """Settings of the training of a member; those that are not set are as in `train:`."""

    epochs: int | None = Field(None, ge=1, description="As in `train:` if unset.")
    batch_size: int | None = Field(None, ge=1, description="As in `train:` if unset.")
    optimizer: Optimizer | None = Field(None, description="As in `train:` if unset.")
    learning_rate: float | None = Field(None, gt=0, description="That of `train:` if the optimizer is, too.")
    momentum: float | None = Field(None, ge=0, lt=1, description="As in `train:` if unset.")
    weight_decay: float | None = Field(None, gt=0, description="As in `train:` if unset.")
    schedule: AnySchedule | None = Field(None, description="As in `train:` if unset.")
    clip_norm: float | None = Field(None, gt=0, description="As in `train:` if unset.")
    clip_global_norm: float | None = Field(None, gt=0, description="As in `train:` if unset.")
    loss: Loss | None = Field(None, description="As in `train:` if unset.")
    patience: int | None = Field(None, ge=1, description="As in `train:` if unset.")


class Member(Settings):
    """A further model of an ensemble."""

    model: AnyModel = Field(description="The model, of any family.")
    train: MemberTrain = Field(default_factory=lambda: MemberTrain.model_validate({}))

    def train_settings(self, train: Train) -> Train:
        """Return the settings of `train:` with those of the member; raise ValidationError if they do not fit."""
        changes = self.train.model_dump(include=self.train.model_fields_set)
        if self.train.optimizer:
            changes = {"learning_rate": None, "momentum": None, **changes}
        return Train.model_validate({**train.model_dump(), **WHOLE, **changes})

    def shortened(self) -> Member:
        """Return the member without settings that concern the length of its training, for a smoke run."""
        kept = self.train.model_dump(include=self.train.model_fields_set - LENGTH)
        return self.model_copy(update={"train": MemberTrain.model_validate(kept)})


class TaskLike(Protocol):
    """What this module needs to know of a task, whose module imports this one."""

    @property
    def model(self) -> Model:
        """The first model."""

    @property
    def train(self) -> Train:
        """How it is trained."""

    @property
    def ensemble(self) -> list[Member]:
        """The further models."""

    @property
    def output(self) -> str:
        """The activation of the output layer."""

    def model_copy(self, *, update: dict[str, Any]) -> Any:
        """Return a copy with other values."""


AnyTask = TypeVar("AnyTask", bound=TaskLike)


def member_tasks(task: AnyTask) -> list[AnyTask]:
    """Return a task for each model of an ensemble, with seeds that follow one another."""
    tasks = [*[task] * task.train.members, *(_alone(task, member) for member in task.ensemble)]
    return [
        part.model_copy(
            update={
                "train": part.train.model_copy(update={**WHOLE, "seed": task.train.seed + number}),
                "ensemble": [],
            }
        )
        for number, part in enumerate(tasks)
    ]


def _alone(task: AnyTask, member: Member) -> AnyTask:
    alone: AnyTask = task.model_copy(
        update={"model": member.model, "train": member.train_settings(task.train), "ensemble": []}
    )
    return alone


def find_error(task: AnyTask, checks: Sequence[Callable[[AnyTask], str]]) -> str:
    """Return the first error of an ensemble; `checks` are those of a task that concern its model and training."""
    if not task.ensemble:
        for key, usual in (("blend", "mean"), ("member_rows", "all")):
            if task.train.members == 1 and (value := getattr(task.train, key)) != usual:
                return f"train.{key}: expected {usual} for one model; received {value}; set train.members or ensemble"
        return ""
    if not task.model.trained_by_epochs:
        return f"ensemble: expected none for the family {task.model.family}, which Keras does not train; remove it"
    if task.train.restarts:
        return f"train.restarts: expected none with an ensemble; received {task.train.restarts}"
    for number, member in enumerate(task.ensemble):
        if text := _member_error(task, member, checks):
            return f"ensemble.{number}.{text}"
    return ""


def _member_error(task: AnyTask, member: Member, checks: Sequence[Callable[[AnyTask], str]]) -> str:
    """Return the first error of a member."""
    model = member.model
    if not model.trained_by_epochs:
        return f"model.family: expected one that Keras trains (blend_references adds others); received {model.family}"
    if model.base_task or model.blend_references or model.code_path:
        named = "a base task" if model.base_task else "code" if model.code_path else "blend_references"
        return f"model: expected {named} only of the first model; received it for {model.family}"
    try:
        alone = _alone(task, member)
    except ValidationError as error:
        return f"train.{_first(error)}"
    if alone.output != task.output:
        return f"model.output: expected {task.output}, as of the first model; received {alone.output}"
    return next((text for check in checks if (text := check(alone))), "")


def _first(error: ValidationError) -> str:
    """Return the first error of a section in words."""
    found = error.errors(include_url=False)[0]
    place, text = ".".join(map(str, found["loc"])), found["msg"].removeprefix("Value error, ")
    return f"{place}: {text}" if place else text
