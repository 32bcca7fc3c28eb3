"""Cells as people write them, through init, validation, preparation and the service: a file and a request agree."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_models
from starlette_client import TestClient
from workspaces import fetch_raw, new_workspace

from tiltyard.config import loader
from tiltyard.config.draft.draft import Drafted, draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.preparation import prepare
from tiltyard.preparation.modalities.table import Table
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

ROWS = 200
DICE = np.random.default_rng(0)
AMOUNTS = DICE.lognormal(7, 1, ROWS).round(2)
COUNTS = DICE.integers(10, 90, ROWS)
MINUTES = DICE.integers(61, 1439, ROWS)
LABELS = np.where(COUNTS + DICE.normal(0, 30, ROWS) > 50, "up", "down").tolist()
NOISE = DICE.normal(0, 1, ROWS).round(3)


def german(amount: float) -> str:
    """Return 1.234,56."""
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))


def some(cells: list[str], text: str) -> list[str]:
    """Replace every ninth cell."""
    return [text if place % 9 == 0 else cell for place, cell in enumerate(cells)]


def clock(minutes: int) -> str:
    """Return 07:05."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


DOLLARS = {"written": {"thousands": ",", "symbols": ["$"]}}
# For each kind of cell: the cells, and the settings that init must find.
KINDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "euro": ([f"{german(a)} €" for a in AMOUNTS], {"written": {"decimal": ",", "thousands": ".", "symbols": ["€"]}}),
    "dollar": ([f"${a:,.2f}" for a in AMOUNTS], DOLLARS),
    "pound": ([f"£{a:.2f}" for a in AMOUNTS], {"written": {"symbols": ["£"]}}),
    "negative": ([f"(${a:,.2f})" if a > 900 else f"${a:,.2f}" for a in AMOUNTS], DOLLARS),
    "Fr.": ([f"Fr. {a:,.2f}".replace(",", "'") for a in AMOUNTS], {"written": {"thousands": "'", "symbols": ["Fr."]}}),
    "spaces": ([f"{a:,.2f}".replace(",", "\u202f") for a in AMOUNTS], {"written": {"thousands": " "}}),
    "decimal comma": ([f"{a:.2f}".replace(".", ",") for a in AMOUNTS], {"written": {"decimal": ","}}),
    "percent": ([f"{c}%" for c in COUNTS], {"written": {"symbols": ["%"]}}),
    "unit": ([f"{c} kg" for c in COUNTS], {"written": {"symbols": ["kg"]}}),
    "question mark": (some([str(c) for c in COUNTS], "?"), {"missing": "median"}),
    "NA": (some([str(c) for c in COUNTS], "N/A"), {"missing": "median"}),
    "null": (some([f"{a}" for a in AMOUNTS], "null"), {"missing": "median"}),
    "dash": (some([f"{a:.2f} €" for a in AMOUNTS], "-"), {"missing": "median", "written": {"symbols": ["€"]}}),
    "dot": (some([str(c) for c in COUNTS], "."), {"missing": "median"}),
    "empty": (some([str(c) for c in COUNTS], ""), {"missing": "median"}),
    "code 999": (some([str(c) for c in COUNTS], "999"), {"missing": "median", "na": [999]}),
    "minus one": (some([str(c) for c in COUNTS], "-1"), {"missing": "median", "na": [-1]}),
    "glucose": (some([str(c) for c in COUNTS + 40], "0"), {"missing": "median", "na": [0]}),
    "clock": ([clock(m) for m in MINUTES], {"type": "date", "format": "%H:%M"}),
    "noon": ([f"{m // 60 or 12}:{m % 60:02} {['AM', 'PM'][m % 2]}" for m in MINUTES % 720], {"format": "%I:%M %p"}),
    "duration": ([clock(m) for m in MINUTES], {"written": {"duration": "hours"}}),
    "elapsed": ([f"{m // 60}h {m % 60}m" for m in MINUTES], {"written": {"duration": "hours"}}),
    "zone": ([f"2024-05-{1 + c % 28:02}T{m // 60:02}:00:00+02:00" for c, m in zip(COUNTS, MINUTES, strict=True)],
             {"type": "date", "format": "%Y-%m-%dT%H:%M:%S%z"}),
    "spelled": ([["Yes", "no", "Y", "N", "TRUE", "false"][c % 6] for c in COUNTS], {"type": "boolean"}),
    "ja": (some([["Ja", "Nein"][c % 2] for c in COUNTS], "?"), {"type": "boolean", "missing": "bucket"}),
    "job": (some([["nurse", "clerk"][c % 2] for c in COUNTS], "?"), {"values": ["clerk", "nurse"]}),
}  # fmt: skip


def write(path: Path, columns: dict[str, list[str]]) -> list[dict[str, str]]:
    """Write a file with these cells; return its rows as texts."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*columns])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def drafted(workspace: Workspace) -> Drafted:
    """Draft the task, fetch its data, validate and prepare them."""
    draft = draft_task(workspace, "cells", DraftRequest("cells.csv", "y"))
    fetch_raw(workspace, "cells")
    task = loader.load(workspace, "cells")
    validate(workspace, task)
    prepare.prepare(workspace, task)
    return draft


@dataclass(frozen=True)
class Project:
    """A project with a task about a column of each kind."""

    workspace: Workspace
    rows: list[dict[str, str]]  # of the file
    draft: Drafted


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Draft and prepare a file with a column of each kind."""
    workspace = new_workspace(tmp_path_factory.mktemp("cells"))
    columns = {"y": LABELS, **{name: cells for name, (cells, _) in KINDS.items()}}
    rows = write(workspace.root / "cells.csv", columns)
    return Project(workspace, rows, drafted(workspace))


@pytest.mark.parametrize("kind", KINDS)
def test_init_finds_how_cells_are_written(project: Project, kind: str) -> None:
    """Separators, currencies, units, times and missing values are settings of the column."""
    wanted = KINDS[kind][1]
    settings = loader.load(project.workspace, "cells").columns[kind].model_dump(mode="json")
    declared = settings.get("written", {}).items()
    written = {key: value for key, value in declared if value and (key, value) != ("decimal", ".")}
    found = {**settings, "written": written}
    assert {key: found[key] for key in wanted} == wanted


def test_a_request_may_hold_the_cells_of_the_file(project: Project) -> None:
    """Texts as in the file, JSON values and a CSV body get the same predictions."""
    evaluated = random_models.write_evaluated(project.workspace, "cells")
    served = LoadedModel.load(random_models.write_champion(project.workspace, evaluated))
    app = create_app()
    install(app, [served])
    texts = [{name: row[name] for name in KINDS} for row in project.rows[:20]]
    encoder = served.predictor.encoder
    values = encoder.to_json(encoder.parse(texts))
    body = io.StringIO()
    writer = csv.DictWriter(body, [*KINDS])
    writer.writeheader()
    writer.writerows(texts)
    url = "/v1/models/cells:predict"
    with TestClient(app) as client:
        of_texts = client.post(url, json={"instances": texts}).json()
        of_values = client.post(url, json={"instances": values}).json()
        of_csv = client.post(url, content=body.getvalue(), headers={"content-type": "text/csv"}).json()
        wrong = client.post(url, json={"instances": [{**texts[0], "euro": "much"}]}).json()
    assert len(of_texts["predictions"]) == 20
    assert of_texts == of_values == of_csv
    assert wrong["error"]["message"] == "expected a number, or a text such as 1.234,5 €; received 'much'"


def test_prepared_rows_are_those_of_the_service(project: Project) -> None:
    """The columns of the file and the instances of a request have the same bits."""
    task = loader.load(project.workspace, "cells")
    rows, _ = Table().rows(task, project.workspace.raw("cells"))
    instances = [{name: row[name] for name in KINDS} for row in project.rows]
    encoder = replace(task.encoder(), max_instances=len(instances))
    for name, parsed in encoder.parse(instances).items():
        assert rows[name].tobytes() == parsed.astype(rows[name].dtype).tobytes(), name


def test_decisions_about_cells_are_told(project: Project) -> None:
    """A number or text that is taken for a missing value is named with its share, and in the task file."""
    text = project.workspace.task_file("cells").read_text(encoding="utf-8")
    for note in ("code 999: 999 in 11.5% of the rows means a missing value", "glucose: 0 in 11.5% of the rows"):
        assert any(said.startswith(note) for said in project.draft.notes)
        assert note in text
    assert any("'?' in 11.5%" in said for said in project.draft.notes)


def test_a_target_with_a_currency_is_learned(workspace: Workspace) -> None:
    """Prices with a currency are a regression; rows without one are left out, and their number is told."""
    prices = ["" if place % 40 == 0 else f"{amount:,.2f} $" for place, amount in enumerate(AMOUNTS)]
    write(workspace.root / "cells.csv", {"y": prices, "size": [f"{count} m2" for count in COUNTS]})
    draft = drafted(workspace)
    task = loader.load(workspace, "cells")
    assert (draft.problem, task.target.written is not None) == ("regression", True)
    assert "y: 5 of 200 rows have no target and are left out" in draft.notes
    facts = prepare.prepare(workspace, task)
    assert sum(facts["rows"].values()) == 195
    assert facts["notes"] == ["5 of 200 rows have no target: left out"]
