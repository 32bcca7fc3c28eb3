"""Records of predictions and truths as a service would write them, without a service."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.traffic.append_log import AppendLog
from tiltyard.workspace import Workspace


def write_records(
    workspace: Workspace,
    model: LoadedModel,
    instances: list[Any],
    truths: Sequence[Any] | None = None,
    *,
    arm: str = "champion",
    ms: float = 2.0,
    name: str = "request",
) -> None:
    """Write a request for each instance, answered by a model now; equal names are the same requests."""
    answers = AppendLog(workspace.records / model.task / "answers")
    for index, (instance, prediction) in enumerate(zip(instances, _predictions(model, instances), strict=True)):
        line = {
            "arm": arm,
            "id": f"{name}-{index}",
            "time": time.time(),
            "ms": ms,
            "owner": "",
            "version": model.version,
        }
        answers.add(json.dumps({**line, "predictions": [prediction], "instances": [instance]}).encode())
    answers.close()
    if truths is not None:
        write_truths(workspace, model.task, truths, name=name)


def write_truths(workspace: Workspace, task: str, truths: Sequence[Any], *, name: str = "request") -> None:
    """Write the truths of requests."""
    log = AppendLog(workspace.records / task / "truths")
    items = [
        {"id": f"{name}-{index}", "instance": 0, "owner": "", "truth": truth} for index, truth in enumerate(truths)
    ]
    log.add(json.dumps({"time": time.time(), "truths": items}).encode())
    log.close()


def _predictions(model: LoadedModel, instances: list[Any]) -> list[Any]:
    step = model.predictor.encoder.max_instances
    parts = [instances[start : start + step] for start in range(0, len(instances), step)]
    return [prediction for part in parts for prediction in model.predict(part)]
