"""What is known about a task at one moment; observe.py gathers it, decide.py decides by it."""

from __future__ import annotations

from dataclasses import dataclass

HOUR, DAY = 3600.0, 86_400.0  # seconds


@dataclass(frozen=True)
class Measured:
    """A metric with its interval."""

    value: float
    low: float
    high: float
    rows: int

    def is_worse(self, limit: float, *, higher_is_better: bool) -> bool:
        """Return whether the whole interval is worse than a limit."""
        return self.high < limit if higher_is_better else self.low > limit


@dataclass(frozen=True)
class Requests:
    """Requests that a service answered, and how many failed."""

    count: int
    failed: int

    @property
    def share(self) -> float:
        """The share that failed."""
        return self.failed / self.count if self.count else 0.0


@dataclass(frozen=True)
class Routing:
    """The running rollout: which version gets a copy (shadow) or a share (canary) of the requests."""

    version: str
    way: str
    share: float


@dataclass(frozen=True)
class TrialFacts:
    """How a challenger does since the present step of its trial began."""

    predictions: int
    truths: int = 0  # of the version that has fewer
    gain: tuple[float, float, float] | None = None  # over the champion, with its interval
    p99_ms: float | None = None
    champion_p99_ms: float | None = None
    requests: Requests | None = None


@dataclass(frozen=True)
class Retraining:
    """A retraining in the ledger."""

    time: float  # of its start, in seconds since the epoch
    seconds: float
    failed: bool = False
    unchanged: bool = False  # it found nothing new to train on, so that it is not counted


@dataclass(frozen=True)
class Facts:
    """The facts about one task; empty values are not known."""

    now: float  # seconds since the epoch
    champion: str = ""
    previous: str = ""  # the version that a rollback would restore
    since: float = 0.0  # when it became champion
    promoted: float | None = None  # the same, if it was promoted; None after a rollback
    higher_is_better: bool = True
    drifted: tuple[tuple[str, float], ...] = ()  # features with significant drift, largest index first
    live: Measured | None = None
    estimated: Measured | None = None
    data_time: float | None = None  # when the champion's data were fetched
    requests: Requests | None = None  # to the champion
    served: str = ""  # the version that the service serves
    rollout: Routing | None = None
    trial: TrialFacts | None = None
    approved: bool = False  # the challenger of the trial, by a person
    retrainings: tuple[Retraining, ...] = ()  # oldest first
