"""The OpenAPI document of the service, written from the schemas of its models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tiltyard.files import Json
from tiltyard.modeling.columns.number import LARGEST
from tiltyard.serving.http import feedback, openapi_v2
from tiltyard.serving.http.openapi_schemas import (
    BODY,
    ID,
    TEXT,
    TOKEN,
    components,
    get,
    listed,
    parameter,
    refusals,
    response,
    whole,
)
from tiltyard.serving.http.routing import LABELS
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import attributions, table_body
from tiltyard.serving.traffic import feedback_token

Kept = Mapping[str, Mapping[str, LoadedModel]]  # versions that answer, by task; the champion first

OPEN = {"/livez": "Is alive", "/readyz": "Is ready", "/metrics": "Figures for Prometheus"}  # to everyone, key or not
VERSION = {"type": "string", "pattern": "^[0-9a-f]{12}$"}
STATE = {"const": "AVAILABLE"}
STATUS = whole({"version": VERSION, "state": STATE, "status": whole({"error_code": TEXT, "error_message": TEXT})})
CSV = "a header with the names of all features, in any order, and a row an instance"


def openapi(kept: Kept, *, locked: bool = False) -> Json:
    """Describe every route, with the instances and predictions of every model; `locked` says if a key is asked for."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tiltyard", "version": "1", "description": "The champions of this project."},
        "paths": dict(_paths(kept, locked=locked)),
        "components": components(locked=locked),
        **({"security": [{"bearer": []}, {"key": []}]} if locked else {}),
    }


def _paths(kept: Kept, *, locked: bool) -> Iterator[tuple[str, Json]]:
    yield "/v1/models", get("V1", "The names of all models", "models", whole({"models": listed(TEXT)}))
    yield "/v1/openapi.json", get("V1", "This document", "service", {"type": "object"})
    yield from openapi_v2.server().items()
    for name in sorted(kept):
        yield f"/v1/models/{name}:feedback", {"post": _feedback(next(iter(kept[name].values())), locked=locked)}
        yield from _model(name, kept[name])
        yield from openapi_v2.paths(name, kept[name]).items()
    for path, summary in OPEN.items():
        answer = {"200": {"description": "yes", "content": {"text/plain": {"schema": TEXT}}}}
        yield path, {"get": {"summary": summary, "tags": ["service"], "security": [], "responses": answer}}


def _model(name: str, kept: Mapping[str, LoadedModel]) -> Iterator[tuple[str, Json]]:
    """A model by its name, by its name and version, by its name and label."""
    model = next(iter(kept.values()))
    title, predict = model.schema["title"], {"post": _predict(model)}
    for which, shared in _ways(kept):
        path = f"/v1/models/{name}{which}"
        yield f"{path}:predict", {**shared, **predict}
        yield path, {**shared, **get("V1", f"{title}: state, versions, metrics", name, _state(model))}
        yield f"{path}/schema", {**shared, **get("V1", "Its instances, predictions and limits", name, _schema(name))}
        yield f"{path}/card", {**shared, **_card(name)}
        yield f"{path}/metadata", {**shared, **get("V1", "Its signature", name, _metadata(name))}


def _feedback(model: LoadedModel, *, locked: bool) -> Json:
    """Truths are what answers are: labels, numbers, or lists of them. Who has a key needs no token."""
    prediction, most = model.schema["prediction"], model.schema["limits"]["max_instances"]
    parts = prediction.get("properties", {})
    properties = {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$", "description": "x-request-id of the answer"},
        "truth": _truths(parts.get("label") or parts.get("forecast") or prediction),
        "instance": {"type": "integer", "minimum": 0, "maximum": most - 1},
        "token": {"type": "string", "pattern": feedback_token.PATTERN, "description": "x-feedback-token of the answer"},
    }
    optional = ("instance", "token") if locked else ("instance",)
    item = {**whole(properties, *optional), "additionalProperties": False}
    body = {**whole({"feedback": listed(item, feedback.MOST)}), "additionalProperties": False}
    token = f"{'0123456789abcdef' * 2}.1.{'0123456789abcdef' * 2}"
    one = {"id": "0123456789abcdef", "instance": 0, "truth": _truth(properties["truth"]), "token": token}
    example = {"feedback": [one]}
    answer = whole({"kept": {"type": "integer"}, "model": {"const": model.task}})
    return {
        "summary": f"{model.schema['title']}: what became true of earlier answers",
        "tags": [model.task],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}},
        "responses": {"200": response("all are kept", answer), **refusals("V1", "403", *BODY)},
    }


def _truths(schema: Json) -> Json:
    """Return what may be true: numbers that can be held, and labels, of which 1 may stand for "1"."""
    if "enum" in schema:
        return {"enum": [*schema["enum"], *(one for name in schema["enum"] if (one := _whole(name)) is not None)]}
    if schema["type"] == "array":
        return {**schema, "items": _truths(schema["items"])}
    return {**schema, "minimum": -LARGEST, "maximum": LARGEST} if schema["type"] == "number" else schema


def _whole(name: str) -> int | None:
    """Read a label as a whole number, if it is spelled as Python would spell it."""
    return int(name) if name.removeprefix("-").isdecimal() and name.isascii() and str(int(name)) == name else None


def _truth(schema: Json) -> Any:
    """Return a value of a schema of truths."""
    if "enum" in schema:
        return schema["enum"][0]
    return [0.0] * schema["minItems"] if schema["type"] == "array" else "..." if schema["type"] == "string" else 0.0


def _card(tag: str) -> Json:
    told = {"description": "the card", "content": {"text/markdown": {"schema": TEXT}}}
    card = get("V1", "Its card: what it is for, figures, data, limits", tag, TEXT)
    card["get"]["responses"]["200"] = told
    return card


def _ways(kept: Mapping[str, LoadedModel]) -> Iterator[tuple[str, Json]]:
    yield "", {}
    yield "/versions/{version}", {"parameters": [parameter("version", [*kept])]}
    yield "/labels/{label}", {"parameters": [parameter("label", [*LABELS[: len(kept)]])]}


def _predict(model: LoadedModel) -> Json:
    answer: Json = {"model": {"const": model.task}, "version": VERSION}
    if not attributions.reason(model):
        answer["explanations"] = listed(_explanation(model))
    predictions = {"predictions": listed(model.schema["prediction"]), **answer}
    outputs = {"outputs": _outputs(model), **answer}
    answers = [whole(one, "explanations") for one in (predictions, outputs)]
    example = {"instances": [model.schema["example"]]}
    content: Json = {"application/json": {"schema": _body(model), "example": example}}
    if all(column.in_cells for column in model.predictor.encoder.columns.values()):
        content[table_body.CSV] = {"schema": {"type": "string", "description": CSV}}
        content[table_body.PARQUET[0]] = {
            "schema": {"description": "a column a feature, where the service has pyarrow"}
        }
    return {
        "summary": model.schema["title"],
        "description": "A body of another type, or of none, is read as JSON.",
        "tags": [model.task],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": response("one prediction an instance", {"anyOf": answers}, {**ID, **TOKEN}),
            **refusals("V1", *BODY),
        },
    }


def _body(model: LoadedModel) -> Json:
    """Instances by row, or by column, as `inputs`, as answers then go, too; of those to be explained fewer."""
    limit, refused = model.schema["limits"]["max_instances"], attributions.reason(model)
    text = f"true is refused: {refused}" if refused else "whether to say what each column adds to the answer"
    bodies = [*_bodies(model, limit, {"const": False, "description": text})]
    bodies += [] if refused else [*_bodies(model, min(limit, attributions.most(model)), {"const": True})]
    needed = (1, 1, 2, 2)  # where it is true, it is not left out
    return {
        "anyOf": [
            {**body, "required": body["required"][:count], "additionalProperties": False}
            for body, count in zip(bodies, needed, strict=False)
        ]
    }


def _bodies(model: LoadedModel, most: int, explain: Json) -> Iterator[Json]:
    rows, signature = listed(model.schema["instance"], most), {"signature_name": {"const": "serving_default"}}
    yield whole({"instances": rows, "explain": explain, **signature})
    yield whole({"inputs": {"anyOf": [_columns(model, most), rows]}, "explain": explain, **signature})


def _explanation(model: LoadedModel) -> Json:
    """Describe what an answer is made of: base and contributions add up to it."""
    number, classes = {"type": "number"}, model.predictor.encoder.classes
    told = f"{'the probability of the label' if classes else 'the number'} that golden rows get on average"
    properties = {
        "base": {**number, "description": told},
        "of": {"enum": classes} if classes else {"const": None},
        "contributions": whole(dict.fromkeys(model.predictor.encoder.columns, number)),
    }
    return whole(properties)


def _columns(model: LoadedModel, most: int) -> Json:
    """Columns by name; a JSON Schema cannot say that they are of one length."""
    instance, bare = model.schema["instance"], model.predictor.encoder.bare
    values = {model.inputs[0].name: instance} if bare else instance["properties"]
    columns = whole({name: listed(value, most) for name, value in values.items()})
    return {**columns, "additionalProperties": False, "description": "lists of one length"}


def _outputs(model: LoadedModel) -> Json:
    prediction = model.schema["prediction"]
    if "properties" not in prediction:
        return listed(prediction)
    return whole({name: listed(part) for name, part in prediction["properties"].items()})


def _state(model: LoadedModel) -> Json:
    metrics = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
    name = {"name": {"const": model.task}, "ready": {"const": True}, "state": STATE}
    facts = {"title": TEXT, "problem": TEXT, "version": VERSION, "metrics": metrics}
    return whole({**name, **facts, "model_version_status": listed(STATUS)})


def _schema(name: str) -> Json:
    schema = {"type": "object"}
    limits = whole({"max_instances": {"type": "integer"}, "max_body_bytes": {"type": "integer"}})
    return whole(
        {"task": {"const": name}, "version": VERSION, "instance": schema, "prediction": schema, "limits": limits}
    )


def _metadata(name: str) -> Json:
    """As TensorFlow Serving tells it."""
    spec = whole({"name": {"const": name}, "signature_name": TEXT, "version": VERSION})
    sizes = listed(whole({"size": TEXT, "name": TEXT}))
    shape = whole({"dim": sizes, "unknown_rank": {"const": False}})
    tensors = {"type": "object", "additionalProperties": whole({"dtype": TEXT, "tensor_shape": shape, "name": TEXT})}
    signature = whole({"inputs": tensors, "outputs": tensors, "method_name": TEXT})
    definitions = whole({"signature_def": whole({"serving_default": signature})})
    return whole({"model_spec": spec, "metadata": whole({"signature_def": definitions})})
