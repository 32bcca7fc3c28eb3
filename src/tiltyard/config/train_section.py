"""The `train:` section of a task file: optimizer, schedule, early stopping, augmentation, ensembles."""

from __future__ import annotations

from operator import not_
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from tiltyard.config.anomaly_section import AnomalyScore
from tiltyard.config.learning_rate_schedules import AnySchedule, Constant
from tiltyard.modeling.inference.decision_threshold import DecisionThreshold
from tiltyard.settings import Settings

Optimizer = Literal["sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamax", "nadam"]
_NumberLoss = Literal["mse", "mae", "huber", "pseudo_huber", "poisson"]
_MarginLoss = Literal["hinge", "squared_hinge"]
_LabelLoss = Literal["sparse_categorical_crossentropy", "kl_divergence", "cosine_similarity"]
_PictureLoss = Literal["focal", "pixel_crossentropy"]
Loss = Literal[_NumberLoss, "binary_crossentropy", _MarginLoss, _LabelLoss, _PictureLoss]
MARGIN_LOSSES = get_args(_MarginLoss)  # they learn from margins, not from probabilities

# Keras defaults to 0.001 for all but SGD, which is too small for Adadelta (designed for 1) and Adagrad.
DEFAULT_RATES: dict[str, float] = {
    **dict.fromkeys(("sgd", "momentum", "nesterov", "adagrad"), 0.01),
    **dict.fromkeys(("rmsprop", "adam", "adamax", "nadam"), 0.001),
    "adadelta": 1.0,
}
MOVING = ("crop", "rotation", "shift", "zoom", "flip", "shear", "erasing", "overlay")  # they change boxes and masks
WITH_MOMENTUM = ("momentum", "nesterov", "rmsprop")


class Augment(Settings):
    """Random data augmentation of each training row in each epoch, which keeps its label."""

    crop: int = Field(0, ge=0, description="Random crop after padding with this many black pixels.")
    rotation: float = Field(0.0, ge=0, le=180, description="Largest rotation in degrees, either way.")
    shift: float = Field(0.0, ge=0, lt=1, description="Largest shift, as a share of the side length.")
    zoom: float = Field(0.0, ge=0, lt=1, description="Largest zoom in or out, as a share.")
    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none", description="Mirror at random: left and right, top and bottom, or both."
    )
    brightness: float = Field(0.0, ge=0, le=1, description="Largest change up or down, as a share of the full range.")
    contrast: float = Field(0.0, ge=0, lt=1, description="Largest change up or down, as a share.")
    saturation: float = Field(0.0, ge=0, lt=1, description="Largest change up or down, as a share; for three channels.")
    hue: float = Field(
        0.0, ge=0, le=1, description="Largest change, as a share of half the colour circle; for three channels."
    )
    noise: float = Field(0.0, ge=0, lt=1, description="Standard deviation, as a share of the full range.")
    erasing: float = Field(0.0, ge=0, lt=1, description="Largest share of the image that a black patch covers.")
    mixup: float = Field(
        0.0, ge=0, description="Alpha of the beta distribution by which two rows and their labels are mixed."
    )
    # not written if unset, so that the parameters of earlier verdicts stay the same
    shear: float = Field(
        0.0, ge=0, le=60, exclude_if=not_, description="Largest angle in degrees by which columns of pixels lean."
    )
    channel_shift: float = Field(
        0.0,
        ge=0,
        le=1,
        exclude_if=not_,
        description="Largest change of each channel by itself, as a share of the full range; for three channels.",
    )
    blur: float = Field(
        0.0, ge=0, le=5, exclude_if=not_, description="Largest standard deviation of a Gaussian blur in pixels."
    )
    sharpen: float = Field(
        0.0, ge=0, le=5, exclude_if=not_, description="Largest factor of the details that are added to the image."
    )
    overlay: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        exclude_if=not_,
        description="Largest share of another image of the batch that is laid over an image; the label stays.",
    )

    @property
    def moves_pixels(self) -> list[str]:
        """The augmentations in use that move or cover objects, so that boxes and masks no longer fit."""
        return [name for name in self.image_changes if name in MOVING]

    @property
    def image_changes(self) -> list[str]:
        """The augmentations in use that apply only to images."""
        return [name for name in type(self).model_fields if name != "mixup" and getattr(self, name) not in (0, "none")]


class StopAt(Settings):
    """A value of a metric at which training stops."""

    accuracy: float | None = Field(None, gt=0, le=1, description="Stop when the accuracy is at least this.")
    loss: float | None = Field(None, description="Stop when the loss is at most this.")
    on: Literal["validation", "training"] = Field("validation", description="Which rows the value is measured on.")

    @model_validator(mode="after")
    def _one(self) -> StopAt:
        if (self.accuracy is None) == (self.loss is None):
            raise ValueError("stop_at: expected either accuracy or loss")
        return self


class SecondPhase(Settings):
    """A second training phase, which starts from the best weights of the first with a new optimizer."""

    epochs: int = Field(ge=1, description="The largest number of epochs.")
    optimizer: Optimizer | None = Field(None, description="As in the first phase if unset, like the settings below.")
    learning_rate: float | None = Field(None, gt=0, description="As in the first phase if unset.")
    schedule: AnySchedule | None = Field(None, description="As in the first phase if unset.")
    patience: int | None = Field(None, ge=1, description="As in the first phase if unset.")


class Train(Settings):
    """How the model is trained."""

    epochs: int = Field(ge=1, description="The largest number of epochs.")
    batch_size: int = Field(32, ge=1, description="Training rows in each batch.")
    optimizer: Optimizer = Field("adam", description="The optimizer of Keras.")
    learning_rate: float | None = Field(
        None, gt=0, description="If unset: 1 for adadelta, 0.01 for sgd and adagrad, 0.001 for the others."
    )
    momentum: float | None = Field(None, ge=0, lt=1, description="0.9 if unset; for momentum, nesterov and rmsprop.")
    weight_decay: float | None = Field(
        None, gt=0, description="Share of each weight subtracted in each step, times the learning rate."
    )
    schedule: AnySchedule = Field(
        Constant(kind="constant"), description="How the learning rate changes from epoch to epoch."
    )
    clip_norm: float | None = Field(None, gt=0, description="Largest norm of the gradient of each variable.")
    clip_global_norm: float | None = Field(
        None, gt=0, description="Largest norm of the gradient of all variables together."
    )
    clip_value: float | None = Field(None, gt=0, description="Largest absolute value in a gradient.")
    loss: Loss | None = Field(
        None,
        description="The default for the problem and output if unset. hinge and "
        "squared_hinge: two classes and output: sigmoid; poisson: counts and output: exponential.",
    )
    monitor: Literal["val_loss", "val_accuracy"] = Field(
        "val_loss", description="The metric by which the best weights are chosen."
    )
    patience: int | None = Field(None, ge=1, description="Epochs without improvement before training stops.")
    min_delta: float = Field(0.0, ge=0, description="Smallest change that counts as an improvement.")
    stop_at: StopAt | None = Field(None, description="A value at which training stops; none if unset.")
    then: SecondPhase | None = Field(None, description="A second phase of training; none if unset.")
    class_weights: Literal["none", "balanced"] | dict[str, float] = Field(
        "none", description="balanced, or a weight for each label; labels that are not named have weight 1."
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of each label that is spread over all classes, in training."
    )
    threshold: DecisionThreshold | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="How it is chosen from which probability on the second of two labels, or each of several, is "
        "predicted. If unset: that with the largest F1 for a rare one of two labels; else the more probable label, "
        "and 0.5 for each of several.",
    )
    anomaly: AnomalyScore | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="How anomalies are scored, and how many false alarms are accepted.",
    )
    augment: Augment | None = Field(None, description="Random changes of training rows; none if unset.")
    folds: int | None = Field(None, ge=2, le=50, description="Also cross-validate on the training and validation rows.")
    members: int = Field(1, ge=1, le=50, description="Models of an ensemble, with different seeds.")
    restarts: int = Field(
        0,
        ge=0,
        le=100,
        exclude_if=not_,  # not written if unset, so that the parameters of earlier verdicts stay the same
        description="Further trainings with the next seeds, until one reaches stop_at; the best by `monitor` is kept.",
    )
    blend: Literal["mean", "weighted"] = Field(
        "mean", description="Mean of the members' predictions; weights may be learned."
    )
    member_rows: Literal["all", "bootstrap", "folds"] = Field(
        "all",
        exclude_if=lambda rows: rows == "all",
        description="Training rows of each member: all, a bootstrap sample, or all but one of as many folds.",
    )
    watch: bool = Field(True, description="Record gradients, weights and dead units.")
    tensorboard: list[Literal["histograms", "graph", "embeddings"]] = Field(
        default_factory=list,
        exclude_if=not_,
        description="What is written for TensorBoard beside curves: histograms of weights and gradients, the layers, "
        "and the vectors of words or of validation rows for its projector.",
    )
    mixed_precision: bool = Field(default=False, description="Compute in 16 bits where that is safe; faster on GPUs.")
    backend: Literal["tensorflow", "jax", "auto"] = Field(
        "tensorflow",
        description="The library that computes; auto is JAX for dense networks if it is installed.",
    )
    jit: bool | Literal["auto"] = Field(
        "auto", description="Compile the training step with XLA; auto: if the model supports it."
    )
    steps_per_execution: int | None = Field(
        None, ge=1, description="Batches per call; chosen by the time that they take if unset. Results are the same."
    )
    seed: int = Field(0, description="Seed of initial weights, order of rows, dropout and augmentation.")

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.learning_rate or DEFAULT_RATES[self.optimizer]

    @property
    def phases(self) -> list[Train]:
        """The settings of each training phase, in order."""
        if not self.then:
            return [self]
        changes = {name: getattr(self.then, name) for name in self.then.model_fields_set}
        if self.then.optimizer and not self.then.learning_rate:
            changes["learning_rate"] = None
        return [self.model_copy(update={"then": None}), self.model_copy(update={**changes, "then": None})]

    @model_validator(mode="after")
    def _consistent(self) -> Train:
        if len(clips := [name for name in CLIP_ARGUMENTS if getattr(self, name)]) > 1:
            raise ValueError(f"expected one kind of clipping; received {' and '.join(clips)}")
        for phase in self.phases:
            if self.momentum is not None and phase.optimizer not in WITH_MOMENTUM:
                raise ValueError(f"momentum: expected for {', '.join(WITH_MOMENTUM)}; received with {phase.optimizer}")
            if phase.schedule.warmup >= phase.epochs:
                raise ValueError(
                    f"schedule.warmup: expected below {phase.epochs} epochs; received {phase.schedule.warmup}"
                )
        if "histograms" in self.tensorboard and not self.watch:
            raise ValueError("tensorboard: expected histograms only with watch: true, which records gradients")
        if self.restarts and (not self.stop_at or self.stop_at.on == "training"):
            raise ValueError("restarts: expected with stop_at on validation rows, which ends them; received none")
        if self.restarts and (self.members > 1 or self.folds):
            raise ValueError(f"restarts: expected none with members or folds; received {self.restarts}")
        return self


CLIP_ARGUMENTS = {
    "clip_norm": "clipnorm",
    "clip_global_norm": "global_clipnorm",
    "clip_value": "clipvalue",
}  # key -> argument of Keras


def incompatibility(train: Train, modality: str, channels: int, classes: list[str], no_classes: str) -> str:
    """Return the first setting that conflicts with the rest of the task: key, expected, received; or empty."""
    return _augment(train, modality, channels, classes) or _labels(train, classes, no_classes)


def _augment(train: Train, modality: str, channels: int, classes: list[str]) -> str:
    augment = train.augment or Augment()
    if modality != "image" and train.augment and (augment.image_changes or not augment.mixup):
        return f"train.augment: expected only for images, except mixup; received {modality} columns"
    if (augment.saturation or augment.hue) and channels != 3:
        return f"train.augment: expected saturation and hue for 3 channels; received {channels}"
    if augment.channel_shift and channels != 3:
        return f"train.augment: expected channel_shift for 3 channels (brightness for one); received {channels}"
    if augment.mixup and not classes:
        return "train.augment.mixup: expected only for classification, since it mixes the labels of two rows"
    if augment.mixup and modality in ("text", "mixed"):
        received = f"{modality} columns, whose ids cannot be mixed"
        return f"train.augment.mixup: expected for images and tables; received {received}"
    return ""


def _labels(train: Train, classes: list[str], no_classes: str) -> str:
    weights: Any = train.class_weights
    if weights != "none" and not classes:
        return f"train.class_weights: expected none, since {no_classes}; received {weights}"
    if isinstance(weights, dict) and (strange := [name for name in weights if name not in classes]):
        return f"train.class_weights: expected labels among {', '.join(classes)}; received {', '.join(strange)}"
    if isinstance(weights, dict) and min(weights.values(), default=1) <= 0:
        return f"train.class_weights: expected weights above 0; received {min(weights.values())}"
    if train.label_smoothing and not classes:
        return f"train.label_smoothing: expected 0, since {no_classes}; received {train.label_smoothing:g}"
    wants_accuracy = [
        *(["train.monitor"] if train.monitor == "val_accuracy" else []),
        *(["train.stop_at"] if train.stop_at and train.stop_at.accuracy else []),
    ]
    if wants_accuracy and not classes:
        return f"{wants_accuracy[0]}: expected the loss, since {no_classes}; received the accuracy"
    return ""
