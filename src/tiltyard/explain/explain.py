"""Explain a trained model, as a whole and for single test rows, and write explain.json for the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tiltyard import files, plugins
from tiltyard.config.task import Task
from tiltyard.errors import DataError, TaskError
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod, Row
from tiltyard.figures import Figure
from tiltyard.files import Json
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.modeling.problems.anomaly import LABELS
from tiltyard.modeling.problems.multilabel import named
from tiltyard.preparation.sealed_test import read_test
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.workspace import Workspace

Print = Callable[[str], None]

KERAS_FILE = "model.keras"
DEFAULT_ROWS = 3  # explained if no row is named


@dataclass(frozen=True)
class ExplainRequest:
    """Row numbers in the raw data and names of methods; empty for the default ones."""

    rows: Sequence[int] = ()
    only: Sequence[str] = ()


def explain(
    workspace: Workspace, task: Task, request: ExplainRequest | None = None, report: Print = lambda _: None
) -> Json:
    """Run every method that fits the model; write explain.json, and return its content."""
    request = request or ExplainRequest()
    model = load_model(workspace, task)
    methods, rows = _select_methods(request.only), _rows(model, request.rows)
    figures, left_out = [], {}
    for name, method in methods.items():
        if reason := _unsupported_reason(method, model):
            left_out[name] = reason
            continue
        report(f"{task.name}: {method.title}")
        figures += [{"way": name, "row": row, **asdict(figure)} for row, figure in _figures(method, model, rows)]
    content = {
        "task": task.name,
        "version": version(workspace.out(task.name, "train")),
        "rows": [{"row": row.number, **_actual_and_predicted(model, row)} for row in rows],
        "exhibits": figures,
        "left_out": left_out,
    }
    with files.atomic_folder(workspace.out(task.name, "explain")) as folder:
        files.write_json(folder / "explain.json", content)
    return content


def load_model(workspace: Workspace, task: Task) -> ExplainedModel:
    """Load the model that was trained last."""
    if not (workspace.out(task.name, "train") / "model.onnx").is_file():
        raise DataError(f"no model of {task.name} to explain", hint=f"train one: tiltyard run {task.name}")
    data = TrainingRows.load(workspace.out(task.name, "prepare"))
    predictor = Predictor.load(workspace.out(task.name, "train"))
    return ExplainedModel(workspace, task, data, predictor, read_test(workspace, task.name, task.columns))


def _select_methods(only: Sequence[str]) -> dict[str, ExplanationMethod]:
    """Return the requested methods; slow ones run only on request."""
    method_names = plugins.names("explanations")
    if unknown := [name for name in only if name not in method_names]:
        raise TaskError(f"--only: expected one of {', '.join(method_names)}; received {unknown[0]}")
    methods = {name: plugins.load("explanations", name)() for name in only or method_names}
    return {name: method for name, method in methods.items() if only or not method.slow}


def _unsupported_reason(method: ExplanationMethod, model: ExplainedModel) -> str:
    """Return why a method does not fit the model, or an empty string."""
    kind = model.task.problem_type
    if (kind.reconstructs or kind.clusters) and not method.explains_rows:
        verb = "has clusters" if kind.clusters else "reconstructs rows"
        return f"it explains labels and numbers; {model.task.name} {verb}"
    if kind.generates and not method.explains_samples:
        return f"it explains labels and numbers; {model.task.name} draws samples"
    if kind.recommends and method.needs_keras:
        return f"it looks into networks with one output; {model.task.name} has vectors of users and items as well"
    if kind.targets == "mask" or (kind.targets == "objects" and not method.explains_objects):
        return _unsupported_in_pictures(model.task.name, kind.targets)
    return _missing_network(method, model) or method.unsupported_reason(model)


def _unsupported_in_pictures(task: str, targets: str) -> str:
    if targets == "mask":
        return f"it explains one output of a row; {task} has one for each pixel: see the masks of its report"
    return f"it explains labels and numbers of rows; {task} finds objects, whose score occlusion explains"


def _missing_network(method: ExplanationMethod, model: ExplainedModel) -> str:
    """Return what a method that looks into the network lacks, or an empty string."""
    path = model.workspace.out(model.task.name, "train") / KERAS_FILE
    if method.needs_keras and not path.is_file():
        return f"it needs {KERAS_FILE}, which is not here"
    if method.needs_keras and not model.network_weight:
        return "it needs a network with gradients; the model has none"
    return ""


def _rows(model: ExplainedModel, requested: Sequence[int]) -> list[Row]:
    """Find test rows by number; by default those with the largest errors."""
    numbers = model.test.number.tolist()
    if unknown := [number for number in requested if number not in numbers]:
        expected = f"the number of a sealed row of {model.task.name}, such as {', '.join(map(str, numbers[:10]))}"
        raise DataError(
            f"--row: expected {expected}; received {unknown[0]}",
            hint=f"the largest errors are on its page: tiltyard report {model.task.name} --open",
        )
    places = [numbers.index(number) for number in requested] if requested else _largest_errors(model)
    return [model.row(place) for place in places]


def _largest_errors(model: ExplainedModel) -> list[int]:
    from tiltyard.modeling.evaluators.anomaly import misplaced
    from tiltyard.modeling.metrics.scores import row_errors

    if model.task.problem_type.targets == "text" and model.task.problem != "captioning":
        return [0]
    outputs = model.predictor.condensed(model.test.rows, model.test.truth)
    if model.task.problem == "captioning":
        return [int(place) for place in np.argsort(-outputs["edits"], kind="stable")[:DEFAULT_ROWS]]
    if model.task.problem_type.clusters:
        from tiltyard.modeling.evaluators.clustering import silhouettes

        return [int(place) for place in np.argsort(silhouettes(outputs), kind="stable")[:DEFAULT_ROWS]]
    if model.task.problem_type.generates:  # whose score says how unusual a row is
        unusual: list[int] = np.argsort(-outputs[:, -1], kind="stable")[:DEFAULT_ROWS].tolist()
        return unusual
    if model.task.problem == "anomaly":
        ranked: list[int] = misplaced(model.test.truth, outputs)[:DEFAULT_ROWS].tolist()
        return ranked
    scales = model.task.evaluator.scales(model.context)
    errors = model.task.evaluator.errors_of_rows(model.test.truth, outputs)
    if errors is None:
        errors = row_errors(model.test.truth, outputs, labels=bool(model.task.classes), scales=scales)
    order = np.argsort(-errors, kind="stable")
    largest: list[int] = order[:DEFAULT_ROWS].tolist()
    return largest


def _of_picture(model: ExplainedModel, truth: Any, prediction: Json) -> Json:
    """Return the labels of objects with their scores, or of pixels with their shares."""
    if "mask" in prediction:
        shares = [f"{name} {share:.1%}" for name, share in prediction["shares"].items() if share]
        return {"actual": "a mask", "answered": ", ".join(shares)}
    there = sorted(model.task.labels[int(one[0])] for one in truth if one[0] >= 0)
    found = [f"{one['label']} ({one['score']:.2f})" for one in prediction["objects"]]
    return {"actual": ", ".join(there) or "none", "answered": ", ".join(found) or "none"}


def _actual_and_predicted(model: ExplainedModel, row: Row) -> Json:
    """Return the truth of a row and the model's prediction."""
    (prediction,), (truth,) = model.predictor.respond(row.values), row.truth.tolist()
    if model.task.problem_type.targets in ("objects", "mask", "row"):
        is_row = model.task.problem_type.targets == "row"
        return _found_without_target(prediction) if is_row else _of_picture(model, truth, prediction)
    if model.task.problem == "anomaly":
        return {"actual": LABELS[int(truth)], "answered": f"{LABELS[prediction['anomaly']]}, {prediction['score']:.4g}"}
    if model.task.classes:
        return {"actual": model.task.classes[int(truth)], "answered": prediction["label"]}
    if model.task.labels:
        names = named(truth, model.task.labels), prediction["labels"]
        return dict(zip(("actual", "answered"), (", ".join(labels) or "none" for labels in names), strict=True))
    if model.task.target.columns:
        return {"actual": dict(zip(model.task.target.names, truth, strict=True)), "answered": prediction}
    return {"actual": truth, "answered": prediction["caption"] if model.task.problem == "captioning" else prediction}


def _found_without_target(prediction: Any) -> Json:
    """Return what a model without a target says about a row: its cluster, or the error of its reconstruction."""
    if isinstance(prediction, dict) and "cluster" in prediction:
        return {"actual": "no label is learned", "answered": f"cluster {prediction['cluster']}"}
    return {"actual": "the row itself", "answered": prediction["error"] if isinstance(prediction, dict) else prediction}


def _figures(method: ExplanationMethod, model: ExplainedModel, rows: list[Row]) -> Iterator[tuple[int | None, Any]]:
    for figure in method.of_model(model):
        yield None, _about_network(figure, method, model)
    for row in rows:
        for figure in method.of_row(model, row):
            yield row.number, _about_network(figure, method, model)


def _about_network(figure: Figure, method: ExplanationMethod, model: ExplainedModel) -> Figure:
    """Say so if a figure shows only the network of a blend: references have neither layers nor useful gradients."""
    if not method.needs_keras or model.network_weight == 1:
        return figure
    text = f"{figure.text} It shows only the network, whose weight in the model is {model.network_weight:.2f}."
    return replace(figure, text=text)
