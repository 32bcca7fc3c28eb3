"""The `operate:` section of a task file: the rules by which `tiltyard watch` operates the champion."""

from __future__ import annotations

from operator import lt
from typing import Annotated

from pydantic import Field, field_validator

from tiltyard.modeling.problems.base import WITHOUT_FEEDBACK
from tiltyard.settings import Settings

Share = Annotated[float, Field(gt=0, lt=1)]
MIN_WINDOW = 200  # rows, with fewer of which drift is not measured


class Retrain(Settings):
    """When a challenger is trained. Each limit may be null, which turns it off."""

    drift: float | None = Field(
        0.2,
        gt=0,
        description="Retrain if the population stability index of a feature is above this, and significant by "
        "`check.confidence`.",
    )
    quality: float | None = Field(
        None,
        description="Retrain if the live metric, by ground truth, is worse than this: the whole interval.",
    )
    estimated: bool = Field(
        default=False,
        description="Apply `quality` to the estimated metric, too, while there are fewer than 20 ground truths.",
    )
    age_days: float | None = Field(None, gt=0, description="Retrain if the champion's data are older than this.")
    errors: float | None = Field(
        None, gt=0, lt=1, description="Retrain if this share of the requests fails in the service (status 5xx)."
    )
    pause_hours: float = Field(24.0, ge=0, le=8760, description="Hours from one retraining to the next.")


class Trial(Settings):
    """How a challenger that passed the gate is tried on live requests before it is promoted."""

    shadow: int = Field(
        200, ge=0, le=1_000_000, description="Predictions that it makes as shadow first; 0: it is not run as shadow."
    )
    shares: list[Share] = Field(
        default=[0.05, 0.25, 0.5],
        max_length=20,
        description="The shares of the clients that it serves as canary, one after the other; empty: no canary.",
    )
    predictions: int = Field(
        200, ge=1, le=1_000_000, description="Predictions that it makes at each share before the next step."
    )
    truths: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Ground truths of each version that must have arrived before the second step and each later one.",
    )
    slower: float = Field(
        2.0,
        ge=1,
        le=100,
        description="End the trial if its 99th percentile of latency is so many times the champion's.",
    )
    slower_ms: float = Field(
        5.0, ge=0, le=60_000, description="Milliseconds by which it must be slower, too, before that ends the trial."
    )
    errors: float | None = Field(
        0.02, gt=0, lt=1, description="End the trial if this share of its requests fails (status 5xx)."
    )
    hours: float = Field(168.0, gt=0, le=8760, description="Hours after which an unfinished trial ends.")

    @field_validator("shares")
    @classmethod
    def _rising(cls, shares: list[float]) -> list[float]:
        if not all(map(lt, shares, shares[1:])):
            raise ValueError(f"expected rising shares, such as [0.05, 0.25, 0.5]; received {shares}")
        return shares


class Rollback(Settings):
    """When the previous champion becomes champion again. Each limit may be null, which turns it off."""

    quality: float | None = Field(
        None, description="Roll back if the live metric, by ground truth, is worse than this: the whole interval."
    )
    errors: float | None = Field(
        0.05, gt=0, lt=1, description="Roll back if this share of the champion's requests fails (status 5xx)."
    )
    hours: float = Field(
        168.0, gt=0, le=8760, description="Hours after a promotion in which it may be rolled back by these rules."
    )


class Budget(Settings):
    """The most that retraining may cost; a rollback costs nothing of it."""

    days: float = Field(7.0, gt=0, le=366, description="The period, which always ends now.")
    retrainings: int = Field(
        2, ge=0, le=1000, description="Retrainings in the period, without those that find no new data; 0: never."
    )
    compute_hours: float = Field(
        24.0, gt=0, le=10_000, description="Hours of retraining in the period; a retraining that reaches it is ended."
    )
    failures: int = Field(
        3, ge=1, le=100, description="Failed retrainings in a row after which none is started in the period."
    )


class Operate(Settings):
    """The rules by which `tiltyard watch` retrains, tries, promotes and rolls back."""

    every_minutes: float = Field(15.0, ge=0.01, le=10_080, description="Minutes from one look to the next.")
    stop: bool = Field(default=False, description="Only look and notify, and roll back; start nothing.")
    window: int = Field(
        1000, ge=MIN_WINDOW, le=10_000, description="The latest recorded predictions that drift and quality are of."
    )
    service: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#@]+$",
        description="The address of the service, such as http://127.0.0.1:3000: its errors and the version it serves.",
    )
    retrain: Retrain = Field(default_factory=Retrain)
    trial: Trial = Field(default_factory=Trial)
    rollback: Rollback = Field(default_factory=Rollback)
    budget: Budget = Field(default_factory=Budget)


def find_error(operate: Operate | None, targets: str) -> str:
    """Return why a task cannot be operated so: key, expected, received; empty if it can."""
    if operate is None:
        return ""
    limits = {
        "retrain.quality": operate.retrain.quality is not None,
        "rollback.quality": operate.rollback.quality is not None,
        "trial.truths": operate.trial.truths > 0,
    }
    for key, used in limits.items():
        if used and targets in WITHOUT_FEEDBACK:
            return f"operate.{key}: expected none, since clients cannot send the ground truth of this task; remove it"
    served = {"retrain.errors": operate.retrain.errors}
    if missing := next((key for key, limit in served.items() if limit is not None and not operate.service), ""):
        return f"operate.{missing}: expected operate.service, too, whose metrics count errors; received none"
    if operate.retrain.estimated and operate.retrain.quality is None:
        return "operate.retrain.estimated: expected operate.retrain.quality, too: the limit; received none"
    return ""
