"""Diagnosis of a training from its curves and gradients: under-fit, over-fit or good fit, and problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from tiltyard.config.train_section import Train
from tiltyard.errors import TrainingError

LEARNED = 0.1  # least share of the baseline's loss on training rows that a fitted model removes
LOST = 1 / 3  # largest share of that gain that validation rows may lack
FALLING = 0.01  # share of the baseline's loss removed in the last tenth of the epochs: still falling
RISEN = 0.2  # share by which the last value exceeds the best one: the curve has risen again
VANISHED = 1e-3  # gradient of the first layer divided by that of the last
EXPLODED = 100.0  # root mean square of a layer's gradient, where targets are standardised
DEAD = 0.5  # share of the units of a layer
ABOVE = 2.0  # times the loss of the best constant: a loss above this means that weights are far too large
PATIENT = 5  # epochs in a row with such losses, on training and on validation rows, none of them the lowest so far

Verdict = Literal["under-fit", "good fit", "over-fit"]
Snapshot = Mapping[str, Any]


@dataclass(frozen=True)
class Losses:
    """Losses of the best weights and of the best constant, on training and validation rows."""

    train: float
    validation: float
    train_baseline: float
    validation_baseline: float

    @property
    def learned(self) -> float:
        """Return the share of the baseline's loss that the model removes on training rows."""
        return _share(self.train_baseline - self.train, self.train_baseline)

    @property
    def generalised(self) -> float:
        """Return the same share on validation rows."""
        return _share(self.validation_baseline - self.validation, self.validation_baseline)


def diagnose(losses: Losses, record: Mapping[str, Any], snapshots: Sequence[Snapshot]) -> dict[str, Any]:
    """Return the verdict with its reason, the problems found, and the numbers for both."""
    word, reason = verdict(losses, record)
    return {
        "verdict": word,
        "reason": reason,
        "findings": findings(snapshots),
        "loss": {name: float(f"{value:.6g}") for name, value in asdict(losses).items()},
        "snapshots": list(snapshots),
    }


def verdict(losses: Losses, record: Mapping[str, Any]) -> tuple[Verdict, str]:
    """Return the fit of the best weights as a verdict and a sentence."""
    best, curve = record["best_epoch"], record["history"]["val_loss"]
    trained, validated = f"{losses.learned:.0%}", f"{losses.generalised:.0%}"
    pair = f"{losses.train:.4g} on training rows, {losses.validation:.4g} on validation rows"
    if losses.learned < LEARNED:
        return "under-fit", (
            f"the loss on training rows is {losses.train:.4g}, that of the best constant "
            f"{losses.train_baseline:.4g}: {trained} less; expected at least {LEARNED:.0%} less"
        )
    if losses.generalised < losses.learned * (1 - LOST):
        return "over-fit", (
            f"it reduces the loss of the best constant by {trained} on training rows and by {validated} on validation "
            f"rows ({pair}){_turned(curve, best)}"
        )
    if (fall := _late_fall(curve)) > FALLING * losses.validation_baseline and not record["stopped_early"]:
        return "under-fit", (
            f"it was still learning after {record['epochs']} epochs: the last tenth of them lowered the validation "
            f"loss from {min(curve) + fall:.4g} to {min(curve):.4g}, where the best constant has "
            f"{losses.validation_baseline:.4g}"
        )
    return "good fit", (
        f"it reduces the loss of the best constant by {trained} on training rows and by {validated} on validation rows "
        f"({pair}){_turned(curve, best)}"
    )


def _turned(curve: Sequence[float], best: int) -> str:
    """Describe the rise after the best epoch, if there is one."""
    minimum, last = curve[best - 1], curve[-1]
    if last - minimum <= RISEN * abs(minimum):
        return ""
    return f"; after epoch {best}, whose weights were kept, the validation loss rose from {minimum:.4g} to {last:.4g}"


def _late_fall(curve: Sequence[float]) -> float:
    """Return how much the last tenth of the epochs lowered the best validation loss."""
    earlier = len(curve) - max(1, len(curve) // 10)
    return min(curve[:earlier]) - min(curve) if earlier else 0.0


def findings(snapshots: Sequence[Snapshot]) -> list[str]:
    """Return the problems of the network, one sentence each."""
    problems = [_broken(snapshots), _exploding(snapshots), _vanishing(snapshots), *_dead(snapshots[-1:])]
    return [text for text in problems if text]


def _broken(snapshots: Sequence[Snapshot]) -> str:
    for snapshot in snapshots:
        for name in ("weights", "gradients"):
            if broken := [layer for layer, value in snapshot[name].items() if value is None]:
                return f"NaN or infinite values: the {name} of {', '.join(broken)} at epoch {snapshot['epoch']}"
    return ""


def _exploding(snapshots: Sequence[Snapshot]) -> str:
    """Check the largest gradient."""
    gradients = [
        (value, layer, snapshot["epoch"])
        for snapshot in snapshots
        for layer, value in snapshot["gradients"].items()
        if value
    ]
    value, layer, epoch = max(gradients, default=(0.0, "", 0))
    if value < EXPLODED:
        return ""
    return (
        f"exploding gradients: that of {layer} had a root mean square of {value:.3g} at epoch {epoch}, "
        f"more than {EXPLODED:g}; try a lower train.learning_rate, smaller initial weights or train.clip_norm"
    )


def _vanishing(snapshots: Sequence[Snapshot]) -> str:
    """Compare the gradients of the first and the last layer, as medians over all snapshots."""
    shares, ends = [], ("", "")
    for snapshot in snapshots:
        layers = [(name, value) for name, value in snapshot["gradients"].items() if "embedding" not in name]
        if len(layers) > 1 and layers[0][1] is not None and layers[-1][1]:
            shares.append(layers[0][1] / layers[-1][1])
            ends = layers[0][0], layers[-1][0]
    if not shares or (share := median(shares)) >= VANISHED:
        return ""
    return (
        f"vanishing gradients: that of {ends[0]} is {share:.1g} of that of {ends[1]}, less than {VANISHED:g}; try "
        "relu instead of sigmoid or tanh, batch normalisation or fewer layers"
    )


def _dead(snapshots: Sequence[Snapshot]) -> list[str]:
    return [
        f"dead units: {share:.0%} of the units of {layer} were zero for every sampled row at epoch {snapshot['epoch']}"
        for snapshot in snapshots
        for layer, share in snapshot["dead"].items()
        if share > DEAD
    ]


def stalled_loss(losses: Sequence[float], validation: Sequence[float]) -> float | None:
    """Return the lowest loss of the last epochs if none of them was the lowest so far, else None.

    Losses of both kinds of rows count: one alone may be large because of batch normalisation or over-fitting.
    """
    recent, earlier = losses[-PATIENT:], losses[:-PATIENT]
    if not earlier or min(recent) < min(earlier):
        return None
    return min(*recent, *validation[-PATIENT:])


def diverging(train: Train, epoch: int, loss: float, constant: float) -> TrainingError:
    """Return the error for losses that stay far above that of the best constant."""
    return TrainingError(
        f"training diverged in epoch {epoch}: expected a loss below that of the best constant, {constant:.4g}; "
        f"received {loss:.4g} or more in each of the last {PATIENT} epochs, none of which lowered it",
        hint=f"lower train.learning_rate (now {train.rate:g}) or set train.clip_norm",
    )


def diverged(train: Train, epoch: int, snapshots: Sequence[Snapshot]) -> TrainingError:
    """Return the error for a loss that became NaN or infinite."""
    problems = "".join(f"; {text}" for text in findings(snapshots))
    return TrainingError(
        f"training diverged in epoch {epoch}: expected a finite loss; received NaN or infinity{problems}",
        hint=f"lower train.learning_rate (now {train.rate:g}) or set train.clip_norm",
    )


def _share(part: float, total: float) -> float:
    return part / total if total > 0 else 0.0
