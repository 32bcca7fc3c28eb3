"""Source `tickets`: generated messages to a support desk, with numbers beside them; a label that depends on both."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tiltyard import files
from tiltyard.data.sources.base import Source
from tiltyard.workspace import Workspace

SUBJECTS = ("the invoice", "my login", "the delivery", "your app", "the last update", "our account")
CALM = (
    *("just a question about {}", "could you have a look at {} when there is time", "thanks for the help with {}"),
    *("a small remark on {}, no hurry", "{} works again, but please check it"),
)
ANGRY = (
    *("{} is broken again and nobody answers", "this is the third time that {} fails", "I am fed up with {}"),
    *("unacceptable: {} does not work, I want to speak to a manager", "fix {} now or we cancel"),
)
OPENINGS = ("", "Hello, ", "Dear team, ", "Hi, ")
DETAILS = ("it concerns order {}", "my customer number is {}", "see ticket {}", "reference {}")
SINCE = ("since Monday", "since the weekend", "since this morning", "since last month", "on my phone", "at the office")
MISSING = 0.03  # share of messages, and of days, that are empty
PLANS = {"free": -0.5, "team": 0.0, "business": 0.5}


class Tickets(Source):
    """Each ticket is calm or angry by its words, and has waited for some days; both decide whether it is escalated."""

    kind: Literal["tickets"]
    rows: int = Field(2000, ge=10, description="How many rows to make.")
    seed: int = Field(0, description="Seed of the pseudo-random numbers.")

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.csv with the columns message, days, plan, first_contact and escalated; some cells are empty."""
        rng, text = np.random.default_rng(self.seed), io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["message", "days", "plan", "first_contact", "escalated"])
        for _ in range(self.rows):
            writer.writerow(_ticket(rng))
        files.write_text(folder / "table.csv", text.getvalue())


def _ticket(rng: np.random.Generator) -> list[str]:
    angry, days, plan = bool(rng.integers(2)), round(float(rng.exponential(4)), 1), str(rng.choice([*PLANS]))
    first = bool(rng.integers(2))
    subject = SUBJECTS[rng.integers(len(SUBJECTS))]
    words = [OPENINGS[rng.integers(len(OPENINGS))] + (ANGRY if angry else CALM)[rng.integers(5)].format(subject)]
    words += [SINCE[rng.integers(len(SINCE))]] if rng.integers(2) else []
    words += [DETAILS[rng.integers(len(DETAILS))].format(rng.integers(10_000, 99_999))]
    message = ", ".join(words)
    # An angry customer who has waited is escalated; waiting hardly matters to a calm one.
    score = (0.9 * days - 1.2 if angry else 0.15 * days - 2.2) + PLANS[plan] - 0.7 * first
    escalated = rng.random() < 1 / (1 + np.exp(-1.5 * score))
    message = "" if rng.random() < MISSING else message
    shown_days = "" if rng.random() < MISSING else f"{days}"
    return [message, shown_days, plan, "yes" if first else "no", "yes" if escalated else "no"]
