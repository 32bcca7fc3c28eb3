"""Data Docs: the HTML pages of Great Expectations about validation results."""

from __future__ import annotations

import copy
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOOKALIKES = {  # harmless characters that look like those with a meaning in HTML
    ord("<"): "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
    ord(">"): "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    ord("&"): "\N{FULLWIDTH AMPERSAND}",
    ord('"'): "\N{DOUBLE PRIME}",
    ord("'"): "\N{PRIME}",
    ord("`"): "\N{PRIME}",
}


def write(gx: Any, name: str, results: list[Any], folder: Path) -> None:
    """Write Data Docs about results into a folder."""
    from great_expectations import ExpectationSuite, __version__
    from great_expectations.core import ExpectationSuiteValidationResult, RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    _replace_sites(gx, folder)
    results = [_without_html(result) for result in results]
    gx.suites.add(ExpectationSuite(name=name, expectations=[result.expectation_config for result in results]))
    successful = sum(result.success for result in results)
    run = RunIdentifier(run_time=datetime.now(UTC))
    suite_result = ExpectationSuiteValidationResult(
        success=successful == len(results),
        results=results,
        suite_name=name,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": successful,
            "unsuccessful_expectations": len(results) - successful,
            "success_percent": 100 * successful / len(results),
        },
        meta={
            "great_expectations_version": __version__,
            "run_id": run,
            "validation_time": run.run_time,
            "active_batch_definition": _batch_definition(name),
        },
    )
    suite = ExpectationSuiteIdentifier(name=name)
    result = ValidationResultIdentifier(suite, run, f"{name}-raw")
    gx.validation_results_store.store_validation_results(suite_result, result, suite)
    gx.build_data_docs(site_names=["docs"], resource_identifiers=[result, suite])


def about(table: str, result: Any) -> Any:
    """Copy a result with the name of a joined table before those of its columns."""
    named = copy.deepcopy(result)
    arguments = named.expectation_config.kwargs
    for key in [key for key in arguments if key.startswith("column")]:
        value = arguments[key]
        arguments[key] = [f"{table}: {name}" for name in value] if isinstance(value, list) else f"{table}: {value}"
    return named


def _without_html(result: Any) -> Any:
    """Copy a result without HTML markup, since Data Docs do not escape all names and values."""
    escaped = copy.deepcopy(result)
    config = escaped.expectation_config
    escaped.result, escaped.exception_info = _without_markup(escaped.result), {}
    config.kwargs = _without_markup(config.kwargs)
    return escaped


def _without_markup(value: Any) -> Any:
    """Replace characters with a meaning in HTML by lookalikes."""
    if isinstance(value, str):
        return value.translate(LOOKALIKES)
    if isinstance(value, dict):
        return {_without_markup(key): _without_markup(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_without_markup(inner) for inner in value]
    return value


def _batch_definition(name: str) -> dict[str, Any]:
    """Return the description of the data for Data Docs."""
    return {
        "datasource_name": name,
        "data_connector_name": "fluent",
        "data_asset_name": "raw",
        "batch_identifiers": {},
    }


def _replace_sites(gx: Any, folder: Path) -> None:
    for name, settings in list(gx.list_data_docs_sites().items()):
        shutil.rmtree(settings["store_backend"]["base_directory"], ignore_errors=True)  # else it would stay in /tmp
        gx.delete_data_docs_site(name)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    site = {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index}
    gx.add_data_docs_site(site_name="docs", site_config=site)
