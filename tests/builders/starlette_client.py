"""Starlette's test client, imported without its advice to install httpx2, which bentoml and prefect do not use yet."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

__all__ = ["TestClient"]
