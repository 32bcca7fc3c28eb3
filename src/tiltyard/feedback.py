"""Feedback: the true outcomes that clients send back for answers they had, by the id of the request."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tiltyard.body import decoded
from tiltyard.column import shown
from tiltyard.columns.number import LARGEST
from tiltyard.errors import RequestError
from tiltyard.served import Served
from tiltyard.spool import Spool

BYTES = 1_000_000
MOST = 1000  # truths of a request
ID = re.compile(r"[\w.-]{1,64}", re.ASCII)  # as the service gives or takes them
KEYS = ("id", "instance", "truth")
EXPECTED = 'expected {"feedback": [{"id": "...", "instance": 0, "truth": ...}]}'
ITEM = "expected id, truth and, of several instances, its place as instance"

encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Truth:
    """What became true of an instance: a number, numbers, or a label."""

    id: str
    instance: int
    truth: Any


class Truths:
    """Keeps truths, each on the disk before the client hears so; they are few, and no second chance comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spools: dict[str, Spool] = {}
        self.lock = threading.Lock()

    def keep(self, task: str, truths: list[Truth]) -> None:
        """Keep all of a request, or none."""
        line = encoder.encode({"time": time.time(), "truths": truths})
        with self.lock:
            spool = self.spools.setdefault(task, Spool(self.folder / task / "truths"))
            kept = spool.add(line, durably=True)
        if not kept:
            text = f"no room for more feedback: gather what is there: tiltyard monitor {task}"
            raise RequestError("no_room", text, status=503)


def read(model: Served, body: bytes) -> list[Truth]:
    """Read the truths of a request; refuse all if one cannot be meant."""
    content = decoded(body)
    if not isinstance(content, dict) or not isinstance(content.get("feedback"), list):
        raise RequestError("wrong_type", EXPECTED, "feedback")
    for key in content.keys() - {"feedback"}:
        raise RequestError("unknown_field", EXPECTED, key)
    items = content["feedback"]
    if not items:
        raise RequestError("no_truths", "expected at least one truth; received none", "feedback")
    if len(items) > MOST:
        text = f"expected at most {MOST} truths; received {len(items)}"
        raise RequestError("too_many", text, "feedback", status=413)
    return [_one(model, item, f"feedback[{place}]") for place, item in enumerate(items)]


def _one(model: Served, item: object, field: str) -> Truth:
    if not isinstance(item, dict):
        raise RequestError("wrong_type", ITEM, field)
    for key in item.keys() - set(KEYS):
        raise RequestError("unknown_field", ITEM, f"{field}.{key}")
    for key in ("id", "truth"):
        if key not in item:
            raise RequestError("missing_field", ITEM, f"{field}.{key}")
    name, place = item["id"], item.get("instance", 0)
    if not isinstance(name, str) or not ID.fullmatch(name):
        text = f"expected the x-request-id of the answer; received {shown(name)}"
        raise RequestError("wrong_type", text, f"{field}.id")
    most = model.predictor.encoder.max_instances
    if type(place) is float and place.is_integer():  # JSON does not tell 2.0 from 2
        place = int(place)
    if type(place) is not int or not 0 <= place < most:
        text = f"expected a place from 0 to {most - 1}; received {shown(place)}"
        raise RequestError("out_of_bounds", text, f"{field}.instance")
    return Truth(name, place, _truth(model, item["truth"], f"{field}.truth"))


def _truth(model: Served, value: object, field: str) -> Any:
    """Read what the model answers with: one of its labels, a number, or a number for each step."""
    encoder = model.predictor.encoder
    if encoder.problem.targets == "text":
        raise RequestError("unsupported", f"expected a model of numbers or labels; {model.task} answers texts", field)
    if encoder.classes:
        if (type(value) is str or (type(value) is int and abs(value) < 2**63)) and str(value) in encoder.classes:
            return str(value)
        text = f"expected one of {', '.join(encoder.classes)}; received {shown(value)}"
        raise RequestError("unknown_label", text, field)
    steps = _steps(model.schema["prediction"])
    if not steps:
        return _number(value, field)
    if not isinstance(value, list) or len(value) != steps:
        raise RequestError("wrong_shape", f"expected a list of {steps} numbers; received {shown(value)}", field)
    return [_number(one, f"{field}[{place}]") for place, one in enumerate(value)]


def _steps(schema: dict[str, Any]) -> int:
    """Say how many numbers an answer holds; 0 if it is one by itself."""
    inner = schema["properties"]["forecast"] if schema["type"] == "object" else schema
    steps: int = inner.get("minItems", 0)
    return steps


def _number(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise RequestError("wrong_type", f"expected a finite number; received {shown(value)}", field)
    return float(value)
