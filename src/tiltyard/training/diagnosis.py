"""What a training's curves and vital signs say: under-fit, over-fit or good fit, and what was ill with the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from tiltyard.config.train_section import Train
from tiltyard.errors import TrainingError

LEARNED = 0.1  # share of the baseline's loss on training rows that a model must take away to have learned something
LOST = 1 / 3  # share of that gain that may be missing on validation rows
FALLING = 0.01  # share of the baseline's loss that the last tenth of the epochs still took off
RISEN = 0.2  # share by which it is above its best at the end, for the curve to have turned
VANISHED = 1e-3  # gradient of the first layer over that of the last
EXPLODED = 100.0  # root mean square of a layer's gradient, where targets are standardised
DEAD = 0.5  # share of a layer's units

Verdict = Literal["under-fit", "good fit", "over-fit"]
Look = Mapping[str, Any]


@dataclass(frozen=True)
class Losses:
    """The loss of the kept weights, and of the best constant, on training and on validation rows."""

    train: float
    validation: float
    train_baseline: float
    validation_baseline: float

    @property
    def learned(self) -> float:
        """Share of the baseline's loss that is gone on training rows."""
        return _share(self.train_baseline - self.train, self.train_baseline)

    @property
    def kept(self) -> float:
        """The same on validation rows."""
        return _share(self.validation_baseline - self.validation, self.validation_baseline)


def diagnose(losses: Losses, record: Mapping[str, Any], looks: Sequence[Look]) -> dict[str, Any]:
    """Return the verdict with its reason, what was ill, and the figures behind both."""
    word, reason = verdict(losses, record)
    return {
        "verdict": word,
        "reason": reason,
        "findings": findings(looks),
        "loss": {name: float(f"{value:.6g}") for name, value in asdict(losses).items()},
        "looks": list(looks),
    }


def verdict(losses: Losses, record: Mapping[str, Any]) -> tuple[Verdict, str]:
    """Return how the kept weights fit, in a word and a sentence."""
    best, curve = record["best_epoch"], record["history"]["val_loss"]
    learned, kept = f"{losses.learned:.0%}", f"{losses.kept:.0%}"
    pair = f"{losses.train:.4g} on training rows, {losses.validation:.4g} on validation rows"
    if losses.learned < LEARNED:
        return "under-fit", (
            f"the loss on training rows is {losses.train:.4g}, and that of the best constant "
            f"{losses.train_baseline:.4g}: {learned} less, where {LEARNED:.0%} is the least that counts as learned"
        )
    if losses.kept < losses.learned * (1 - LOST):
        return "over-fit", (
            f"it takes {learned} off the loss of the best constant on training rows and {kept} on validation rows "
            f"({pair}){_turned(curve, best)}"
        )
    if (fall := _late_fall(curve)) > FALLING * losses.validation_baseline and not record["stopped_early"]:
        return "under-fit", (
            f"it was still learning when the {record['epochs']} epochs were over: their last tenth took the validation "
            f"loss from {min(curve) + fall:.4g} to {min(curve):.4g}, where the best constant has "
            f"{losses.validation_baseline:.4g}"
        )
    return "good fit", (
        f"it takes {learned} off the loss of the best constant on training rows and {kept} on validation rows "
        f"({pair}){_turned(curve, best)}"
    )


def _turned(curve: Sequence[float], best: int) -> str:
    """Return what came behind the best epoch, if the curve turned there."""
    least, last = curve[best - 1], curve[-1]
    if last - least <= RISEN * abs(least):
        return ""
    return f"; behind epoch {best}, which was kept, the validation loss rose from {least:.4g} to {last:.4g}"


def _late_fall(curve: Sequence[float]) -> float:
    """Return by how much the last tenth of the epochs lowered the least validation loss."""
    before = len(curve) - max(1, len(curve) // 10)
    return min(curve[:before]) - min(curve) if before else 0.0


def findings(looks: Sequence[Look]) -> list[str]:
    """Return what was ill with the network, a sentence each."""
    found = [_broken(looks), _exploding(looks), _vanishing(looks), *_dead(looks[-1:])]
    return [text for text in found if text]


def _broken(looks: Sequence[Look]) -> str:
    for look in looks:
        for name in ("weights", "gradients"):
            if broken := [layer for layer, value in look[name].items() if value is None]:
                return f"no numbers any more: the {name} of {', '.join(broken)} at epoch {look['epoch']}"
    return ""


def _exploding(looks: Sequence[Look]) -> str:
    """Look for the largest gradient of all."""
    seen = [(value, layer, look["epoch"]) for look in looks for layer, value in look["gradients"].items() if value]
    value, layer, epoch = max(seen, default=(0.0, "", 0))
    if value < EXPLODED:
        return ""
    return (
        f"exploding gradients: that of {layer} had a root mean square of {value:.3g} at epoch {epoch}, "
        f"where {EXPLODED:g} is much; lower train.learning_rate, smaller initial weights or train.clip_norm help"
    )


def _vanishing(looks: Sequence[Look]) -> str:
    """Compare the first layer's gradient with the last one's, in the middle of all looks."""
    shares, ends = [], ("", "")
    for look in looks:
        layers = [(name, value) for name, value in look["gradients"].items() if "embedding" not in name]
        if len(layers) > 1 and layers[0][1] is not None and layers[-1][1]:
            shares.append(layers[0][1] / layers[-1][1])
            ends = layers[0][0], layers[-1][0]
    if not shares or (share := median(shares)) >= VANISHED:
        return ""
    return (
        f"vanishing gradients: that of {ends[0]} is {share:.1g} of that of {ends[1]}, where {VANISHED:g} is little; "
        "relu in place of sigmoid or tanh, batch normalisation or fewer layers help"
    )


def _dead(looks: Sequence[Look]) -> list[str]:
    return [
        f"dead units: {share:.0%} of those of {layer} gave zero on every row looked at, at epoch {look['epoch']}"
        for look in looks
        for layer, share in look["dead"].items()
        if share > DEAD
    ]


def diverged(train: Train, epoch: int, looks: Sequence[Look]) -> TrainingError:
    """Return the error for a loss that is not a number any more, with what was seen before."""
    seen = "".join(f"; {text}" for text in findings(looks))
    return TrainingError(
        f"training diverged in epoch {epoch}: expected a finite loss; received NaN or infinity{seen}",
        hint=f"lower train.learning_rate (now {train.rate:g}) or set train.clip_norm",
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
