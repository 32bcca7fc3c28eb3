"""The network as a diagram of its layers, and as a table."""

from __future__ import annotations

from html import escape
from pathlib import Path

from tiltyard import files
from tiltyard.figures import network
from tiltyard.files import Json
from tiltyard.report.html_elements import Section, render_figures, render_table
from tiltyard.report.network_diagram import diagram
from tiltyard.training.layer_graph import FILE

MAX_LISTED = 400  # layers in the table


def network_section(train: Path) -> Section:
    """Return the section; empty for a model without layers on record, as one of an earlier release or a variant."""
    path = train / FILE
    layers: list[Json] = files.read_json(path) if path.is_file() else []
    if not layers:
        return Section("Network", "")
    drawn, total = diagram(layers), sum(layer["parameters"] for layer in layers)
    folded = any(box.folded for box in drawn.boxes)
    text = (
        f"{len(layers):,} layers and operations with {total:,} parameters, as they are served: from the features of a "
        f"request to its prediction.{' Equal blocks are drawn once; the table has all layers.' if folded else ''}"
    )
    return Section("Network", render_figures([network("Layers", text, drawn.data)]) + _table(layers))


def _table(layers: list[Json]) -> str:
    """Return all layers as a table that opens on demand."""
    rows = [
        {
            "layer": layer["name"],
            "type": layer["type"],
            "settings": layer["settings"],
            "output shape": " x ".join("?" if side is None else str(side) for side in layer["shape"]),
            "parameters": layer["parameters"],
            "trainable": layer["trainable"],
            "reads": ", ".join(layer["inputs"]),
        }
        for layer in layers[:MAX_LISTED]
    ]
    more = f", the first {MAX_LISTED:,} of {len(layers):,}" if len(layers) > MAX_LISTED else ""
    return f"<details><summary>{escape(f'All layers as a table{more}')}</summary>{render_table(rows)}</details>"
