"""Peer for the serving benchmark: the usual FastAPI app, which checks the types of bodies by pydantic."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from session import open_sessions, run_model

models = open_sessions()
app = FastAPI()


class Body(BaseModel):
    """Encoded features: numbers, nested to any depth."""

    instances: list[Any]


class Response(BaseModel):
    """The outputs of the model."""

    predictions: list[Any]


@app.post("/predict/{name}")
async def predict(name: str, body: Body) -> Response:
    """Predict encoded features."""
    return Response(predictions=run_model(models[name], body.instances))


@app.get("/readyz")
async def ready() -> str:
    """Return that the service is ready."""
    return ""
