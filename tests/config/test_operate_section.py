"""The sections `operate:` and `notify:`: defaults, bounds, and messages for what cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from workspaces import ROOT

from tiltyard.config import loader
from tiltyard.config.operate_section import Operate
from tiltyard.config.task import Task
from tiltyard.errors import TaskError

IRIS = (ROOT / "tasks" / "iris.yaml").read_text(encoding="utf-8")


def parse(**sections: Any) -> Task:
    """Parse the task file of iris with further sections."""
    return loader.parse(IRIS + (yaml.safe_dump(sections) if sections else ""), "iris", "tasks/iris.yaml")


def test_operation_is_off_by_default() -> None:
    """Without `operate:` a task is not operated, and neither section is among the parameters of a verdict."""
    task = parse()
    assert task.operate is None
    assert task.notify.channels == []
    assert not {"operate", "notify"} & task.model_dump(mode="json").keys()


def test_defaults_are_filled_in() -> None:
    """An empty section has the documented defaults."""
    assert parse(operate={}).operate == Operate()
    assert Operate().trial.shares == [0.05, 0.25, 0.5]
    assert (Operate().budget.retrainings, Operate().budget.days) == (2, 7.0)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"operate": {"trial": {"shares": [0.5, 0.2]}}}, "rising shares, such as .*; received"),
    ({"operate": {"trial": {"shares": [0.5, 0.5]}}}, "rising shares"),
    ({"operate": {"trial": {"shares": [1.0]}}}, "expected less than 1; received 1.0"),
    ({"operate": {"trial": {"shadow": -1}}}, "operate.trial.shadow: expected greater than or equal to 0"),
    ({"operate": {"budget": {"retrainings": -1}}}, "greater than or equal to 0; received -1"),
    ({"operate": {"budget": {"compute_hours": 0}}}, "greater than 0; received 0"),
    ({"operate": {"every_minutes": float("inf")}}, "operate.every_minutes: expected"),
    ({"operate": {"window": 100}}, "greater than or equal to 200; received 100"),
    ({"operate": {"retrain": {"errors": 0.1}}}, "operate.retrain.errors: expected operate.service, too"),
    ({"operate": {"retrain": {"estimated": True}}}, "estimated: expected operate.retrain.quality, too"),
    ({"operate": {"service": "http://me:secret@host"}}, "operate.service: expected"),
    ({"operate": {"service": "file:///etc/passwd"}}, "operate.service: expected"),
    ({"operate": {"trail": {}}}, "unknown key 'trail' .did you mean 'trial'"),
    ({"notify": {"channels": [{"kind": "pager"}]}}, "expected one of webhook, slack, email, file; received 'pager'"),
    ({"notify": {"channels": [{"kind": "file", "path": "../out.txt"}]}}, "expected a path inside the project"),
    ({"notify": {"channels": [{"kind": "file", "path": "/etc/motd"}]}}, "expected a path inside the project"),
    ({"notify": {"channels": [{"kind": "webhook"}]}}, "expected url, or url_from.*; received neither"),
    ({"notify": {"channels": [{"kind": "webhook", "url": "https://a:b@c.example"}]}}, "url: expected"),
    ({"notify": {"channels": [{"kind": "slack", "url_from": "https://hooks.example/x"}]}}, "url_from: expected"),
    (
        {"notify": {"channels": [{"kind": "email", "host": "h", "sender": "a@b", "to": ["a@b"], "user_from": "U"}]}},
        "user_from and password_from together",
    ),
    (
        {"notify": {"channels": [{"kind": "email", "host": "h", "sender": "a@b", "to": ["a@b\nBcc: c@d"]}]}},
        "to.0: expected",
    ),
]


@pytest.mark.parametrize(("sections", "message"), WRONG)
def test_wrong_settings_are_refused(sections: dict[str, Any], message: str) -> None:
    """A value out of bounds, a secret in the file, or a path out of the project is refused with what was expected."""
    with pytest.raises(TaskError, match=message):
        parse(**sections)


def test_quality_needs_a_ground_truth() -> None:
    """A task whose clients cannot send ground truth has no limit of the live metric."""
    text = (ROOT / "tasks" / "autoencoder.yaml").read_text(encoding="utf-8")
    with pytest.raises(TaskError, match="cannot send the ground truth of this task; remove it"):
        loader.parse(f"{text}\noperate: {{rollback: {{quality: 0.5}}}}\n", "autoencoder", "tasks/autoencoder.yaml")
