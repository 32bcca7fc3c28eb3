"""The verb validate: raw data against everything a task expects of it, by Great Expectations."""

from __future__ import annotations

import difflib
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files, plugins
from tiltyard.errors import DataError, TaskError
from tiltyard.expectation import Expectation
from tiltyard.task import Task
from tiltyard.validation import SHOWN, Outcome, Validation
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

Result = dict[str, Any]


def validate(workspace: Workspace, task: Task) -> Validation:
    """Write result.json, and Data Docs beside it; a critical expectation that fails is a DataError.

    Data Docs hold times, so they are no output of the stage: they lie in out/TASK/docs with their own copy of
    result.json, there to be read also when the data failed and the stage has no output.
    """
    form = plugins.load("forms", task.form)()
    frame = form.facts(task, workspace.raw(task.name))
    expected = {f"columns (implied {i})": e for i, e in enumerate(form.implied(task))}
    expected |= {f"expect[{i}]": e for i, e in enumerate(task.expect)}
    docs = workspace.out(task.name, "docs")
    with files.replacing_folder(docs) as folder:
        results = _run(task.name, [_meant(key, e, frame) for key, e in expected.items()], frame, folder)
        outcomes = [_outcome(key, e, results[key], frame) for key, e in expected.items()]
        validation = Validation(task.name, len(frame), outcomes, frame.attrs.get("repairs", []))
        files.write_json(folder / "result.json", validation.to_json())
    if failed := validation.failed("critical"):
        raise DataError(
            "\n".join([f"raw data of {task.name} fails:", *(f"  {outcome.sentence()}" for outcome in failed)]),
            hint=f"look at {(docs / 'index.html').relative_to(workspace.root)}; then fix the data, "
            f"or fetch it again: tiltyard fetch --force {task.name}",
        )
    with files.replacing_folder(workspace.out(task.name, "validate")) as folder:
        files.write_json(folder / "result.json", validation.to_json())
    return validation


def _meant(key: str, expectation: Expectation, frame: pd.DataFrame) -> Any:
    """Give Great Expectations' own object, or say what about it cannot be meant."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    from great_expectations.expectations import registry

    name, arguments = expectation.expectation, expectation.arguments
    known = registry.list_registered_expectation_implementations()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or sorted(known)
        raise TaskError(f"{key}.expectation: no '{name}'; expected one of {', '.join(near)}")
    for argument in (k for k in arguments if k.startswith("column")):
        _columns(f"{key}.arguments.{argument}", arguments[argument], list(map(str, frame.columns)))
    try:
        return registry.get_expectation_impl(name)(**arguments, severity=expectation.severity, meta={"key": key})
    except (ValueError, TypeError) as error:
        raise TaskError(f"{key}.arguments: {_complaint(error)}; received {arguments}") from None


def _columns(key: str, names: Any, known: list[str]) -> None:
    for name in names if isinstance(names, list | tuple | set) else [names]:
        if isinstance(name, str) and name not in known:
            raise TaskError(f"{key}: no column '{name}'; expected one of {', '.join(known)}")


def _complaint(error: Exception) -> str:
    """Shorten the complaint of the pydantic that Great Expectations carries."""
    errors = error.errors() if hasattr(error, "errors") else []
    texts = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix("__root__: ") for e in errors)
    return "; ".join(dict.fromkeys(texts)) or str(error)


def _run(name: str, expectations: list[Any], frame: pd.DataFrame, folder: Path) -> dict[str, Result]:
    """Look at the data; give each expectation's result by its key."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    _document_into(context, folder)
    asset = context.data_sources.add_pandas(name).add_dataframe_asset("raw")
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
    data = asset.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=data, suite=suite))
    action = gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["docs"])
    checkpoint = gx.Checkpoint(
        name=name, validation_definitions=[definition], actions=[action], result_format={"result_format": "COMPLETE"}
    )
    ran = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame})
    (whole,) = ran.run_results.values()
    results = [result.to_json_dict() for result in whole.results]
    return {result["expectation_config"]["meta"]["key"]: result for result in results}


def _document_into(context: Any, folder: Path) -> None:
    for name, made in list(context.list_data_docs_sites().items()):
        shutil.rmtree(made["store_backend"]["base_directory"], ignore_errors=True)  # would stay in /tmp for ever
        context.delete_data_docs_site(name)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    site = {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index}
    context.add_data_docs_site(site_name="docs", site_config=site)


def _outcome(key: str, expectation: Expectation, result: Result, frame: pd.DataFrame) -> Outcome:
    if problem := _exception(result["exception_info"]):
        raise TaskError(f"{key}: {expectation.expectation} could not be computed: {problem}")
    found, arguments = result["result"], expectation.arguments
    pairs = list(zip(found.get("unexpected_index_list") or [], found.get("unexpected_list") or [], strict=False))
    columns = (arguments[k] for k in arguments if k.startswith("column"))
    return Outcome(
        expectation=expectation.expectation,
        column=", ".join(", ".join(map(str, c)) if isinstance(c, list) else str(c) for c in columns),
        severity=expectation.severity,
        success=bool(result["success"]),
        arguments=arguments,
        observed=_plain(found.get("observed_value")),
        unexpected_count=found.get("unexpected_count"),
        unexpected=[_row(row, value, frame) for row, value in pairs[:SHOWN]],
    )


def _row(row: int, value: Any, frame: pd.DataFrame) -> dict[str, Any]:
    """Name a row by its number, or a picture by its path."""
    name = {"path": frame["path"].iloc[row]} if "path" in frame else {"row": row}
    return {**name, "value": _plain(value)}


def _plain(value: Any) -> Any:
    """Give what JSON can hold: neither numpy's types nor infinities."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else float(value) if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int | str | None) else str(value)


def _exception(info: dict[str, Any]) -> str:
    """Find the message: Great Expectations nests it by metric when a metric failed."""
    inner = [info, *(value for value in info.values() if isinstance(value, dict))]
    return next((str(i["exception_message"]) for i in inner if i.get("raised_exception")), "")
