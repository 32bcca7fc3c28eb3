"""The usual FastAPI app around the same session: the body is a pydantic model, so its types are checked."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from session import answered, opened

models = opened()
app = FastAPI()


class Body(BaseModel):
    """Encoded features: numbers, however deep."""

    instances: list[Any]


class Answer(BaseModel):
    """What the model gives."""

    predictions: list[Any]


@app.post("/predict/{name}")
async def predict(name: str, body: Body) -> Answer:
    """Answer encoded features."""
    return Answer(predictions=answered(models[name], body.instances))


@app.get("/readyz")
async def ready() -> str:
    """Say so."""
    return ""
