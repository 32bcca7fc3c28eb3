"""Data frames to and from JSON values: instances of a request, predictions, rows of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files
from tiltyard.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd


def instances(data: Any, columns: Sequence[str]) -> list[Any]:
    """Return the instances of a request: rows of a data frame, a series of texts, or a list as it is.

    Columns that the model does not read are left out; a missing value is None.
    """
    if isinstance(data, Mapping):
        return [dict(data)]
    if not hasattr(data, "columns"):
        return data.tolist() if hasattr(data, "tolist") else [*data]
    if missing := [name for name in columns if name not in data.columns]:
        raise RequestError(
            "missing_field", f"expected the columns {', '.join(columns)}; {missing[0]} is missing", "data"
        )
    wanted = data[[*columns]] if columns else data
    plain = wanted.astype(object).where(wanted.notna(), None)
    return [{name: _plain(value) for name, value in row.items()} for row in plain.to_dict("records")]


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers of NumPy and times are converted."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def predictions(answers: list[Any], index: Any = None) -> pd.DataFrame:
    """Return predictions as a data frame: a column `prediction`, or the properties of each answer.

    Probabilities have a column each, named after their label.

        >>> predictions([{"label": "yes", "probabilities": {"no": 0.25, "yes": 0.75}}])
          label  probability_no  probability_yes
        0   yes            0.25             0.75
    """
    import pandas as pd

    rows = [_row(answer) for answer in answers]
    return pd.DataFrame(rows, index=index if index is not None and len(index) == len(rows) else None)


def _row(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, Mapping):
        return {"prediction": answer}
    shares = answer.get("probabilities", {})
    row = {name: value for name, value in answer.items() if name != "probabilities"}
    return {**row, **{f"probability_{label}": share for label, share in shares.items()}}


def explanations(answers: list[Any], index: Any = None) -> pd.DataFrame:
    """Return a row for each explanation: what is explained, the base, and the contribution of each column."""
    import pandas as pd

    rows = [
        {
            "explained": one["of"],
            "base": one["base"],
            **{f"contribution_{name}": value for name, value in one["contributions"].items()},
        }
        for one in answers
    ]
    return pd.DataFrame(rows, index=index if index is not None and len(index) == len(rows) else None)


def read_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as a data frame, with these columns also if there are no rows."""
    import pandas as pd

    return pd.DataFrame([*rows], columns=[*columns] or None)


def write_frame(frame: pd.DataFrame, path: Path) -> Path:
    """Write a data frame to a Parquet file atomically; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_file(path) as temporary:
        frame.to_parquet(temporary, index=False)
    return path
