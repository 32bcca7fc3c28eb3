"""REST routes, version 1: predictions by the protocols of TensorFlow Serving and KServe V1, feedback, model cards."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tiltyard.errors import RequestError
from tiltyard.serving.http import feedback
from tiltyard.serving.http.body_limit import declared_length, read_body
from tiltyard.serving.http.routing import (
    METHODS,
    allow,
    encoder,
    find_model,
    generate,
    json_response,
    predict,
    recommend,
    versions,
)
from tiltyard.serving.model.tensors import Tensor
from tiltyard.serving.requests import recommend_request
from tiltyard.serving.requests.sample_request import ENCODE, SAMPLE
from tiltyard.serving.traffic.feedback_limits import Sender

DTYPES = {"FP64": "DT_DOUBLE", "INT64": "DT_INT64", "BOOL": "DT_BOOL", "BYTES": "DT_STRING"}


def routes() -> list[Route]:
    """Return the routes of a model: by name, by name and version, by name and label."""
    all_routes = [Route("/v1/models/{name}:feedback", allow("POST", _feedback), methods=METHODS)]
    for suffix in ("", "/versions/{version}", "/labels/{label}"):  # the first match is used: the most frequent first
        path = f"/v1/models/{{name}}{suffix}"
        all_routes += [
            Route(f"{path}:predict", allow("POST", _predict), methods=METHODS),
            *(
                Route(f"{path}:{name}", allow("POST", partial(_recommend, name)), methods=METHODS)
                for name in recommend_request.PROTOCOLS
            ),
            Route(f"{path}:sample", allow("POST", _sample), methods=METHODS),
            Route(f"{path}:encode", allow("POST", _encode), methods=METHODS),
            Route(f"{path}/schema", allow("GET", _schema), methods=METHODS),
            Route(f"{path}/card", allow("GET", _card), methods=METHODS),
            Route(f"{path}/metadata", allow("GET", _metadata), methods=METHODS),
            Route(path, allow("GET", _model), methods=METHODS),
        ]
    return [*all_routes, Route("/v1/models", allow("GET", _models), methods=METHODS)]


async def _predict(request: Request) -> Response:
    return json_response((await predict(request, "v1")).content)


async def _recommend(protocol: str, request: Request) -> Response:
    """Recommend, or find similar items or users, or search for them."""
    return json_response((await recommend(request, protocol)).content)


async def _sample(request: Request) -> Response:
    return json_response((await generate(request, SAMPLE)).content)


async def _encode(request: Request) -> Response:
    return json_response((await generate(request, ENCODE)).content)


async def _feedback(request: Request) -> Response:
    """Store the ground truth of earlier predictions."""
    model, state, scope = find_model(request), request.app.state, request.scope
    if state.recorder is None or not state.recorder.records_task(model.task, state.splits):
        text = "this service records no predictions, so it accepts no feedback: start it with, e.g., --record 0.1"
        raise RequestError("no_records", text, status=404)
    feedback.require_json(request.headers.get("content-type", ""))
    sender = Sender(scope.get("key_name", ""), (scope.get("client") or ("",))[0])
    state.recorder.truths.limits.admit(model.task, sender, declared_length(request))
    async with read_body(request, feedback.MAX_BODY_BYTES) as body:
        with state.admission.request_slot():
            save = partial(feedback.save, state.recorder.truths, model, body, sender)
            count = await anyio.to_thread.run_sync(save, limiter=state.disk_limiter)
    return json_response(encoder.encode({"kept": count, "model": model.task}))


async def _models(request: Request) -> Response:
    return json_response(encoder.encode({"models": sorted(request.app.state.models)}))


async def _model(request: Request) -> Response:
    """Return the status of a model as TensorFlow Serving and KServe do, and its metrics."""
    schema = find_model(request).schema
    status = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    statuses = [{"version": version, **status} for version in versions(request)]
    facts = {key: schema[key] for key in ("title", "problem", "version", "metrics", "stand_in") if key in schema}
    name = {"name": schema["task"], "ready": True, "state": "AVAILABLE"}
    return json_response(encoder.encode({**name, **facts, "model_version_status": statuses}))


async def _schema(request: Request) -> Response:
    return json_response(encoder.encode(find_model(request).schema))


async def _card(request: Request) -> Response:
    """Return the model card of the package."""
    model = find_model(request)
    if not model.card:
        raise RequestError("no_card", f"expected a package with card.md; {model.version} has none", "model", status=404)
    return Response(model.card, media_type="text/markdown")


async def _metadata(request: Request) -> Response:
    """Return the signature of a model as TensorFlow Serving does; a size of -1 is any number of rows."""
    model = find_model(request)
    signature = {
        "inputs": {tensor.name: _tensor(tensor) for tensor in model.inputs},
        "outputs": {tensor.name: _tensor(tensor) for tensor in model.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    spec = {"name": model.task, "signature_name": "", "version": model.version}
    signatures = {"signature_def": {"signature_def": {"serving_default": signature}}}
    return json_response(encoder.encode({"model_spec": spec, "metadata": signatures}))


def _tensor(tensor: Tensor) -> dict[str, Any]:
    sizes = [{"size": str(size), "name": ""} for size in (-1, *tensor.shape)]
    shape = {"dim": sizes, "unknown_rank": False}
    return {"dtype": DTYPES[tensor.datatype], "tensor_shape": shape, "name": tensor.name}
