"""Cells as people write them, through init, validation, preparation and the service: a file and a request agree."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import random_models
from starlette_client import TestClient
from workspaces import fetch_raw

from tiltyard.config import loader
from tiltyard.config.draft.draft import Drafted, DraftRequest, draft_task
from tiltyard.data.tables.dialect import Dialect
from tiltyard.preparation import prepare
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


# For each kind of cell: the cells, and the settings that init must find.
KINDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "euro": ([f"{german(a)} €" for a in AMOUNTS], {"written": {"decimal": ",", "thousands": ".", "symbols": ["€"]}}),
    "dollar": ([f"${a:,.2f}" for a in AMOUNTS], {"written": {"thousands": ",", "symbols": ["$"]}}),
    "pound": ([f"£{a:.2f}" for a in AMOUNTS], {"written": {"symbols": ["£"]}}),
    "negative": ([f"(${a:,.2f})" if a > 900 else f"${a:,.2f}" for a in AMOUNTS], {"bounds": [-100_000, 80_000]}),
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
    "999": (some([str(c) for c in COUNTS], "999"), {"missing": "median", "na": [999]}),
    "-1": (some([str(c) for c in COUNTS], "-1"), {"missing": "median", "na": [-1]}),
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


def write(
    workspace: Workspace, name: str, cells: list[str], target: Callable[[int], str] | None = None
) -> list[dict[str, str]]:
    """Write a file with the cells, a number and a target; return its rows as texts."""
    decide = target or (lambda place: LABELS[place])
    rows = [{name: cell, "x": f"{NOISE[place]}", "y": decide(place)} for place, cell in enumerate(cells)]
    with (workspace.root / "cells.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["y", "x", name])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def drafted(workspace: Workspace, target: str = "y", **options: Any) -> Drafted:
    """Draft, fetch, validate and prepare the task."""
    dialect = Dialect(**options)
    draft = draft_task(workspace, "cells", DraftRequest("cells.csv", target, dialect=dialect))
    fetch_raw(workspace, "cells")
    task = loader.load(workspace, "cells")
    validate(workspace, task)
    prepare.prepare(workspace, task)
    return draft


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_may_hold_the_cells_of_the_file(workspace: Workspace, kind: str) -> None:
    """Texts as in the file, JSON values and a CSV body get the same predictions."""
    cells, wanted = KINDS[kind]
    rows = write(workspace, kind, cells)
    drafted(workspace)
    column = loader.load(workspace, "cells").columns[kind]
    settings = column.model_dump(mode="json")
    written = column.written.model_dump(exclude_defaults=True) if getattr(column, "written", None) else {}  # type: ignore[attr-defined]
    assert settings | {"written": written} == {**settings, "written": written, **wanted}
    served = LoadedModel.load(
        random_models.write_champion(workspace, random_models.write_evaluated(workspace, "cells"))
    )
    app = create_app()
    install(app, [served])
    texts = [{kind: row[kind], "x": float(row["x"])} for row in rows[:20]]
    encoder = served.predictor.encoder
    values = encoder.to_json(encoder.parse(texts))
    body = io.StringIO()
    writer = csv.DictWriter(body, [kind, "x"])
    writer.writeheader()
    writer.writerows(texts)
    with TestClient(app) as client:
        of_texts = client.post("/v1/models/cells:predict", json={"instances": texts}).json()
        of_values = client.post("/v1/models/cells:predict", json={"instances": values}).json()
        of_csv = client.post(
            "/v1/models/cells:predict", content=body.getvalue(), headers={"content-type": "text/csv"}
        ).json()
    assert of_texts == of_values == of_csv
    assert len(of_texts["predictions"]) == 20


def test_a_target_with_a_currency_is_learned(workspace: Workspace) -> None:
    """Prices with a currency are a regression; rows without one are left out, and their number is told."""
    write(
        workspace,
        "size",
        [f"{c} m2" for c in COUNTS],
        lambda place: "" if place % 40 == 0 else f"{AMOUNTS[place]:,.2f} $",
    )
    draft = drafted(workspace)
    task = loader.load(workspace, "cells")
    assert (draft.problem, task.target.written is not None) == ("regression", True)
    assert "y: 5 of 200 rows have no target and are left out" in draft.notes
    facts = prepare.prepare(workspace, task)
    assert sum(facts["rows"].values()) == 195
    assert facts["notes"] == ["5 of 200 rows have no target: left out"]


def test_decisions_about_cells_are_told(workspace: Workspace) -> None:
    """A number that is taken for a missing value is named with its share, and in the task file."""
    write(workspace, "age", some([str(c) for c in COUNTS], "999"))
    draft = drafted(workspace)
    assert "age: 999 in 11.5% of the rows means a missing value" in draft.notes
    assert "age: 999 in 11.5% of the rows" in workspace.task_file("cells").read_text(encoding="utf-8")
