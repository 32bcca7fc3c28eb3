"""OpenAPI document of the service, generated from the schemas of its models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tiltyard.files import Json
from tiltyard.modeling.columns.number import LARGEST
from tiltyard.modeling.problems.anomaly import LABELS as ANOMALY_LABELS
from tiltyard.serving.http import feedback, openapi_recommend, openapi_samples, openapi_v2
from tiltyard.serving.http.openapi_schemas import (
    BODY_ERRORS,
    ID_HEADER,
    TEXT,
    TOKEN_HEADER,
    array_schema,
    components,
    error_responses,
    get_operation,
    json_response,
    object_schema,
    path_parameter,
)
from tiltyard.serving.http.routing import LABELS
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import attributions, table_body
from tiltyard.serving.traffic import feedback_token

WarmVersions = Mapping[str, Mapping[str, LoadedModel]]  # loaded versions by task; the champion first

# These paths need no API key.
PUBLIC_PATHS = {"/livez": "Is alive", "/readyz": "Is ready", "/metrics": "Metrics for Prometheus"}
VERSION = {"type": "string", "pattern": "^[0-9a-f]{12}$"}
STATE = {"const": "AVAILABLE"}
STATUS = object_schema(
    {"version": VERSION, "state": STATE, "status": object_schema({"error_code": TEXT, "error_message": TEXT})}
)
CSV_DESCRIPTION = "a header with the names of all features, in any order, and a row for each instance"


def openapi(versions: WarmVersions, *, locked: bool = False) -> Json:
    """Return the document of all routes and models; `locked`: an API key is required."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tiltyard", "version": "1", "description": "The champions of this project."},
        "paths": dict(_paths(versions, locked=locked)),
        "components": components(locked=locked),
        **({"security": [{"bearer": []}, {"key": []}]} if locked else {}),
    }


def _paths(versions: WarmVersions, *, locked: bool) -> Iterator[tuple[str, Json]]:
    yield (
        "/v1/models",
        get_operation("V1", "The names of all models", "models", object_schema({"models": array_schema(TEXT)})),
    )
    yield "/v1/openapi.json", get_operation("V1", "This document", "service", {"type": "object"})
    yield from openapi_v2.server().items()
    for name in sorted(versions):
        if not feedback.unsupported_reason(model := next(iter(versions[name].values()))):
            yield f"/v1/models/{name}:feedback", {"post": _feedback(model, locked=locked)}
        yield from _model(name, versions[name])
        yield from openapi_v2.paths(name, versions[name]).items()
    for path, summary in PUBLIC_PATHS.items():
        responses = {"200": {"description": "yes", "content": {"text/plain": {"schema": TEXT}}}}
        yield path, {"get": {"summary": summary, "tags": ["service"], "security": [], "responses": responses}}


def _model(name: str, versions: Mapping[str, LoadedModel]) -> Iterator[tuple[str, Json]]:
    """Yield the paths of a model: by name, by name and version, by name and label."""
    model = next(iter(versions.values()))
    title, predict = model.schema["title"], {"post": _predict(model)}
    for suffix, parameters in _path_variants(versions):
        path = f"/v1/models/{name}{suffix}"
        yield f"{path}:predict", {**parameters, **predict}
        for verb, operation in openapi_recommend.operations(model):
            yield f"{path}:{verb}", {**parameters, "post": operation}
        named = {"model": {"const": model.task}, "version": VERSION}
        for action, operation in openapi_samples.paths(model, named).items():
            yield f"{path}{action}", {**parameters, **operation}
        yield path, {**parameters, **get_operation("V1", f"{title}: state, versions, metrics", name, _state(model))}
        yield (
            f"{path}/schema",
            {
                **parameters,
                **get_operation("V1", "Schemas of instances and predictions, and limits", name, _schema(name)),
            },
        )
        yield f"{path}/card", {**parameters, **_card(name)}
        yield f"{path}/metadata", {**parameters, **get_operation("V1", "Its signature", name, _metadata(name))}


def _feedback(model: LoadedModel, *, locked: bool) -> Json:
    """Return the feedback operation: truths have the type of predictions; with an API key, no token is needed."""
    max_instances = model.schema["limits"]["max_instances"]
    properties = {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$", "description": "x-request-id of the response"},
        "truth": _truth(model),
        "instance": {"type": "integer", "minimum": 0, "maximum": max_instances - 1},
        "token": {
            "type": "string",
            "pattern": feedback_token.PATTERN,
            "description": "x-feedback-token of the response",
        },
    }
    optional = ("instance", "token") if locked else ("instance",)
    item = {**object_schema(properties, *optional), "additionalProperties": False}
    body = {**object_schema({"feedback": array_schema(item, feedback.MAX_TRUTHS)}), "additionalProperties": False}
    token = f"{'0123456789abcdef' * 2}.1.{'0123456789abcdef' * 2}"
    example_truth = {
        "id": "0123456789abcdef",
        "instance": 0,
        "truth": _truth_example(properties["truth"]),
        "token": token,
    }
    example = {"feedback": [example_truth]}
    response = object_schema({"kept": {"type": "integer"}, "model": {"const": model.task}})
    return {
        "summary": f"{model.schema['title']}: ground truth of earlier predictions",
        "tags": [model.task],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}},
        "responses": {
            "200": json_response("all truths are stored", response),
            **error_responses("V1", "403", *BODY_ERRORS),
        },
    }


def _truth(model: LoadedModel) -> Json:
    """Return the schema of the ground truth, by the part of a prediction that it is compared with."""
    prediction, encoder = model.schema["prediction"], model.predictor.encoder
    if encoder.problem.targets == "anomaly":
        return {"enum": [*ANOMALY_LABELS, True, False]}
    named = "names" in encoder.target  # several numbers, which may have any names
    parts = {} if named else prediction.get("properties", {})
    return _truth_schema(parts.get("label") or parts.get("labels") or parts.get("forecast") or prediction)


def _truth_schema(schema: Json) -> Json:
    """Return the schema of ground truth: finite numbers, and labels, where 1 may stand for "1"."""
    if "enum" in schema:
        return {
            "enum": [
                *schema["enum"],
                *(number for name in schema["enum"] if (number := _integer_label(name)) is not None),
            ]
        }
    if schema["type"] == "array" and "enum" in schema["items"]:
        labels = {**schema, "items": _truth_schema(schema["items"]), "uniqueItems": False}
        return {"anyOf": [labels, {"type": "string", "description": "a cell of the data, with its separator"}]}
    if schema["type"] == "array":
        return {**schema, "items": _truth_schema(schema["items"])}
    if schema["type"] == "object":
        numbers = {name: _truth_schema(part) for name, part in schema["properties"].items()}
        return {**schema, "properties": numbers, "additionalProperties": False}
    return {**schema, "minimum": -LARGEST, "maximum": LARGEST} if schema["type"] == "number" else schema


def _integer_label(name: str) -> int | None:
    """Return a label as an integer if it is written like one, or None."""
    return int(name) if name.removeprefix("-").isdecimal() and name.isascii() and str(int(name)) == name else None


def _truth_example(schema: Json) -> Any:
    """Return an example of ground truth."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return schema["anyOf"][0]["items"]["enum"][:1]
    if schema["type"] == "object":
        return {name: _truth_example(part) for name, part in schema["properties"].items()}
    return [0.0] * schema["minItems"] if schema["type"] == "array" else "..." if schema["type"] == "string" else 0.0


def _card(tag: str) -> Json:
    markdown = {"description": "the model card", "content": {"text/markdown": {"schema": TEXT}}}
    card = get_operation("V1", "Model card: purpose, metrics, data, limits", tag, TEXT)
    card["get"]["responses"]["200"] = markdown
    return card


def _path_variants(versions: Mapping[str, LoadedModel]) -> Iterator[tuple[str, Json]]:
    yield "", {}
    yield "/versions/{version}", {"parameters": [path_parameter("version", [*versions])]}
    yield "/labels/{label}", {"parameters": [path_parameter("label", [*LABELS[: len(versions)]])]}


def _predict(model: LoadedModel) -> Json:
    properties: Json = {"model": {"const": model.task}, "version": VERSION}
    if not attributions.unsupported_reason(model):
        properties["explanations"] = array_schema(_explanation(model))
    predictions = {"predictions": array_schema(model.schema["prediction"]), **properties}
    outputs = {"outputs": _outputs(model), **properties}
    schemas = [object_schema(schema, "explanations") for schema in (predictions, outputs)]
    example = {"instances": [model.schema["example"]]}
    content: Json = {"application/json": {"schema": _body(model), "example": example}}
    if all(column.in_cells for column in model.predictor.encoder.columns.values()):
        content[table_body.CSV] = {"schema": {"type": "string", "description": CSV_DESCRIPTION}}
        content[table_body.PARQUET[0]] = {
            "schema": {"description": "a column for each feature; needs pyarrow in the service"}
        }
    return {
        "summary": model.schema["title"],
        "description": "A body with another content type, or none, is read as JSON.",
        "tags": [model.task],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": json_response("a prediction for each instance", {"anyOf": schemas}, {**ID_HEADER, **TOKEN_HEADER}),
            **error_responses("V1", *BODY_ERRORS),
        },
    }


def _body(model: LoadedModel) -> Json:
    """Return the body schema: `instances` by row or `inputs` by column; fewer instances with `explain`."""
    limit, reason = model.schema["limits"]["max_instances"], attributions.unsupported_reason(model)
    text = (
        f"true is refused: {reason}"
        if reason
        else "whether to return the contribution of each column to the prediction"
    )
    bodies = [*_bodies(model, limit, {"const": False, "description": text})]
    bodies += [] if reason else [*_bodies(model, min(limit, attributions.max_instances(model)), {"const": True})]
    required_counts = (1, 1, 2, 2)  # `explain` is required where it is true
    return {
        "anyOf": [
            {**body, "required": body["required"][:count], "additionalProperties": False}
            for body, count in zip(bodies, required_counts, strict=False)
        ]
    }


def _bodies(model: LoadedModel, max_instances: int, explain: Json) -> Iterator[Json]:
    rows = array_schema(model.schema["instance"], max_instances)
    signature = {"signature_name": {"const": "serving_default"}}
    yield object_schema({"instances": rows, "explain": explain, **signature})
    yield object_schema({"inputs": {"anyOf": [_columns(model, max_instances), rows]}, "explain": explain, **signature})


def _explanation(model: LoadedModel) -> Json:
    """Return the schema of an explanation: base and contributions add up to the prediction."""
    number, classes = {"type": "number"}, model.predictor.encoder.classes
    target = next(iter(model.predictor.encoder.target.get("names", ())), None)  # the first of several numbers
    average = f"average over the golden rows of {'the probability of the label' if classes else 'the prediction'}"
    properties = {
        "base": {**number, "description": average},
        "of": {"enum": classes} if classes else {"const": target},
        "contributions": object_schema(dict.fromkeys(model.predictor.encoder.columns, number)),
    }
    return object_schema(properties)


def _columns(model: LoadedModel, max_instances: int) -> Json:
    """Return the schema of columns by name; JSON Schema cannot express that they have equal lengths."""
    instance, bare = model.schema["instance"], model.predictor.encoder.bare
    values = {model.inputs[0].name: instance} if bare else instance["properties"]
    columns = object_schema({name: array_schema(value, max_instances) for name, value in values.items()})
    return {**columns, "additionalProperties": False, "description": "lists of equal length"}


def _outputs(model: LoadedModel) -> Json:
    prediction = model.schema["prediction"]
    if "properties" not in prediction:
        return array_schema(prediction)
    return object_schema({name: array_schema(part) for name, part in prediction["properties"].items()})


def _state(model: LoadedModel) -> Json:
    metrics = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
    name = {"name": {"const": model.task}, "ready": {"const": True}, "state": STATE}
    facts = {"title": TEXT, "problem": TEXT, "version": VERSION, "metrics": metrics}
    facts |= {"stand_in": TEXT} if "stand_in" in model.schema else {}
    return object_schema({**name, **facts, "model_version_status": array_schema(STATUS)})


def _schema(name: str) -> Json:
    schema = {"type": "object"}
    limits = object_schema({"max_instances": {"type": "integer"}, "max_body_bytes": {"type": "integer"}})
    return object_schema(
        {"task": {"const": name}, "version": VERSION, "instance": schema, "prediction": schema, "limits": limits}
    )


def _metadata(name: str) -> Json:
    """Return the schema of TensorFlow Serving's metadata."""
    spec = object_schema({"name": {"const": name}, "signature_name": TEXT, "version": VERSION})
    sizes = array_schema(object_schema({"size": TEXT, "name": TEXT}))
    shape = object_schema({"dim": sizes, "unknown_rank": {"const": False}})
    tensors = {
        "type": "object",
        "additionalProperties": object_schema({"dtype": TEXT, "tensor_shape": shape, "name": TEXT}),
    }
    signature = object_schema({"inputs": tensors, "outputs": tensors, "method_name": TEXT})
    definitions = object_schema({"signature_def": object_schema({"serving_default": signature})})
    return object_schema({"model_spec": spec, "metadata": object_schema({"signature_def": definitions})})
