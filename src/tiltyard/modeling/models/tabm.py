"""TabM for tables (arXiv 2410.24210): members of an ensemble share an MLP and scale its inputs each in its own way."""

from __future__ import annotations

from typing import Literal

from tiltyard.modeling.models._tables import TableLayers


class Tabm(TableLayers):
    """TabM-mini: piecewise linear embeddings, own input scales and output layers, shared hidden layers."""

    family: Literal["tabm"]
