"""Messages between the service and its recording process: requests to record, and what became of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests.json_body import parse_json
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage
from tiltyard.serving.requests.table_body import MEDIA_TYPES

SHADOW = "shadow"


class ModelName(msgspec.Struct, frozen=True):
    """What the recording process must know of a model."""

    task: str
    version: str
    folder: str
    images: bool  # whether instances contain images

    @classmethod
    def of(cls, model: LoadedModel) -> ModelName:
        """Return the name of a loaded model."""
        return cls(model.task, model.version, str(model.folder or ""), model.has_images)


class Label(NamedTuple):
    """What outcomes are counted by."""

    task: str
    version: str
    arm: str


class Entry(msgspec.Struct, frozen=True):
    """A request with its response, and the challenger that receives a copy."""

    model: ModelName
    arm: str
    id: str
    time: float
    owner: str  # who may send its ground truth
    request: RequestMessage
    response: ResponseMessage
    copy: ModelName | None = None

    @property
    def labels(self) -> list[Label]:
        """The label of the record, and that of the copy."""
        own = Label(self.model.task, self.model.version, self.arm)
        return [own, Label(self.copy.task, self.copy.version, SHADOW)] if self.copy else [own]

    def to_json_line(self, model: ModelName, arm: str, response: ResponseMessage) -> tuple[bytes, list[Any]]:
        """Return a line of JSON and the instances; images are left out of the line because of their size."""
        instances, predictions = _read(self.request, response)
        line = {"arm": arm, "id": self.id, "time": self.time, "ms": response.ms, "owner": self.owner}
        line |= {"predictions": predictions, "version": model.version, "instances": None if model.images else instances}
        return json_encoder.encode(line), instances

    def request_of_copy(self) -> RequestMessage:
        """Return the request for the challenger; without explanations, which take long and are not recorded."""
        if self.response.recorded is None or self.request.protocol == "v2" or self.request.type in MEDIA_TYPES:
            return self.request
        instances, _ = _read(self.request, self.response)
        return replace(self.request, body=json_encoder.encode({"instances": instances}))


class Report(msgspec.Struct, frozen=True):
    """Numbers of outcomes since the last report, and new values of the drift gauges."""

    outcomes: list[tuple[Label, str, int]]
    drift: list[tuple[tuple[str, str, str], float]]


json_encoder = msgspec.json.Encoder()
encoder = msgspec.msgpack.Encoder()
entries = msgspec.msgpack.Decoder(list[Entry])
reports = msgspec.msgpack.Decoder(Report)


def _read(request: RequestMessage, response: ResponseMessage) -> tuple[list[Any], list[Any]]:
    """Return instances and predictions."""
    if response.recorded is None:
        instances: Any = parse_json(request.body).instances
        return instances, msgspec.json.decode(response.content)["predictions"]
    instances, predictions = msgspec.json.decode(response.recorded)
    return instances, predictions
