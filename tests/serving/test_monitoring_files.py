"""The Prometheus rules and the Grafana dashboard: every metric and label that they name is one of the service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from workspaces import ROOT

from tiltyard.serving.http.prometheus import RequestMetrics

FOLDER = ROOT / "serving" / "monitoring"
LABELS = {"model", "version", "status", "arm", "outcome", "feature", "le"}


def _served_metrics() -> set[str]:
    """Return the names of all samples of a service that has answered and recorded."""
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry=registry, watched=True)
    metrics.requests.labels("a", "1", "200").inc()
    metrics.seconds.labels("a", "1").observe(1)
    metrics.instances.labels("a", "1").observe(1)
    metrics.recorded.labels("a", "1", "champion", "written").inc()
    metrics.set_drift(("a", "1", "x"), 0.1)
    return {sample.name for family in registry.collect() for sample in family.samples}


def _expressions(content: Any) -> Iterator[str]:
    """Return every expression in a rules file or dashboard."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key == "expr":
                yield value
            else:
                yield from _expressions(value)
    elif isinstance(content, list):
        for value in content:
            yield from _expressions(value)


RULES = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
EXPRESSIONS = [*_expressions(RULES), *_expressions(DASHBOARD)]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_name_metrics_of_the_service(expression: str) -> None:
    """A metric that is renamed in the code is renamed here, too."""
    recorded = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}
    named = set(re.findall(r"\btiltyard[a-z_:0-9]+", expression))
    assert named
    assert named <= _served_metrics() | recorded
    grouped = {label.strip() for part in re.findall(r"by \(([^)]*)\)", expression) for label in part.split(",")}
    selected = set(re.findall(r"([a-z_]+)\s*=~?\"", expression))
    assert grouped | selected <= LABELS


def test_the_dashboard_has_a_panel_for_each_kind_of_metric() -> None:
    """Requests, errors, latency, drift and records are shown, each panel with a title of its own."""
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(set(titles)) == len(titles) == 8
    assert {panel["id"] for panel in DASHBOARD["panels"]} == set(range(1, 9))


def test_alerts_say_what_to_do() -> None:
    """Each alert has a severity, a sentence and a description."""
    alerts = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(alerts) == 6
    for alert in alerts:
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert set(alert["annotations"]) == {"summary", "description"}
