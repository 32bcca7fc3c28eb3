"""Messages about what needs attention: one sentence, the command to type, and a key by which repeats are recognized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from tiltyard.config.notify_section import Event
from tiltyard.config.operate_section import Operate
from tiltyard.operations.decide import Step
from tiltyard.operations.facts import Facts
from tiltyard.registry.decision import Decision

MAX_SENTENCE = 500  # characters: reasons may quote data
BUDGET = "operate.budget"
FOLLOW_SECONDS = 60.0  # in which a service loads a new champion, also at the second attempt


@dataclass(frozen=True)
class Message:
    """What happened to a task, and what to type."""

    event: Event
    task: str
    sentence: str
    command: str
    about: str = ""  # what the key has beside event and task: a version, a feature

    @property
    def key(self) -> str:
        """The same for messages about the same matter."""
        return f"{self.event} {self.about}".strip()

    @property
    def text(self) -> str:
        """The message in one line."""
        return f"{self.task}: {self.sentence}; type: {self.command}"

    def to_json(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"text": self.text, **asdict(self)}


def failed(task: str, sentence: str, command: str, about: str = "") -> Message:
    """Return the message about something that failed."""
    return Message("failed", task, one_line(sentence), command, about)


def of_facts(rules: Operate, task: str, facts: Facts, step: Step) -> Iterator[Message]:
    """Yield the messages that the facts and the decision call for."""
    limit = rules.retrain.drift
    if beyond := [name for name, psi in facts.drifted if limit is not None and psi > limit]:
        name, psi = facts.drifted[0]
        text = f"{', '.join(beyond[:5])} drifted from the training rows of {facts.champion}: PSI of {name} {psi:.3g}"
        yield Message("drift", task, text, f"tiltyard monitor {task}", f"{facts.champion} {' '.join(sorted(beyond))}")
    if (name := next(iter(step.figures), "")) in ("live", "estimated") and step.action in ("none", "retrain"):
        yield Message("quality", task, step.reason, f"tiltyard monitor {task}", f"{facts.champion} {name}")
    if step.blocked.startswith(BUDGET):
        text = f"a retraining is needed ({step.reason}), but {step.blocked}"
        yield Message("budget", task, text, f"edit {BUDGET} in tasks/{task}.yaml", step.blocked.partition(":")[0])


def of_service(rules: Operate, task: str, facts: Facts, error: str) -> Iterator[Message]:
    """Yield a message about a service that does not answer, or serves another version than the registry's."""
    if error:
        yield Message("behind", task, one_line(error), f"tiltyard serve {task}", "no answer")
    elif facts.served and facts.served != facts.champion and facts.now - facts.since > FOLLOW_SECONDS:
        text = f"{rules.service} serves {facts.served}; the champion is {facts.champion}"
        yield Message("behind", task, text, f"curl {rules.service}/readyz", f"{facts.served} {facts.champion}")


def of_decisions(decisions: Sequence[Decision]) -> Iterator[Message]:
    """Yield a message for each new verdict that needs a person, and for champions that changed."""
    for decision in decisions:
        task, version = decision.task, decision.version
        reason = one_line("; ".join(decision.reasons) or decision.verdict)
        why = f"tiltyard why {task} {version}"
        if decision.verdict == "HOLD":
            failures = {check.get("code") for check in decision.checks if check.get("state") == "failed"}
            command = f"tiltyard approve {task} {version}" if failures == {"approval"} else why
            yield Message("hold", task, f"HOLD {version}: {reason}", command, version)
        elif decision.verdict == "REJECT":
            yield Message("reject", task, f"REJECT {version}: {reason}", why, version)
        elif decision.verdict == "ROLLBACK":
            yield Message("rollback", task, reason, f"tiltyard history {task}", f"{decision.champion} {decision.id}")
        elif decision.verdict == "PROMOTE":
            yield Message("promoted", task, f"{version} is champion: {reason}", why, f"{version} {decision.id}")


def one_line(text: str) -> str:
    """Return a text in one line, cut off if it is long, without control characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= MAX_SENTENCE else f"{line[:MAX_SENTENCE]}..."
