"""A compiled alternating step under JAX, where variables are arguments and results."""

from __future__ import annotations

from typing import Any

import jax
import keras

from tiltyard.training.adversarial.trainer import AdversarialTrainer, Figures


def compiled(trainer: AdversarialTrainer) -> Any:
    """Return a function that makes one step with a batch and noise, and returns its figures."""
    variables = [*trainer.variables, *trainer.paired.variables]
    gradients = _Gradients(trainer.variables)

    @jax.jit  # type: ignore[untyped-decorator]
    def pure(values: list[Any], batch: tuple[Any, ...], noise: Any) -> tuple[Figures, list[Any]]:
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            figures = trainer.alternate(batch, noise, gradients, lambda function, x: jax.grad(function)(x))
        return figures, [scope.get_current_value(variable) for variable in variables]

    def step(batch: tuple[Any, ...], noise: Any) -> Figures:
        figures: Figures
        figures, values = pure([variable.value for variable in variables], batch, noise)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return figures

    return step


class _Gradients:
    """Gradients by some of the variables; what the loss assigns to the others stays assigned."""

    def __init__(self, variables: list[Any]) -> None:
        self.variables = variables

    def __call__(self, loss: Any, variables: list[Any]) -> tuple[list[Any], Figures]:
        chosen = {id(variable) for variable in variables}
        others = [variable for variable in self.variables if id(variable) not in chosen]
        known = [(variable, variable.value) for variable in others]

        def objective(values: list[Any]) -> Any:
            with keras.StatelessScope([*zip(variables, values, strict=True), *known]) as scope:
                value, figures = loss()
            return value, (figures, [scope.get_current_value(variable) for variable in others])

        current = [variable.value for variable in variables]
        (_, (figures, updated)), slopes = jax.value_and_grad(objective, has_aux=True)(current)
        for variable, value in zip(others, updated, strict=True):
            variable.assign(value)
        return slopes, figures
