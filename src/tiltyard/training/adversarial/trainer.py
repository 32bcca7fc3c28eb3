"""Both networks of a GAN with their optimizers, and one alternating step of them under any backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tiltyard.modeling.models.gan import Gan
from tiltyard.training.adversarial.losses import accuracy, adversarial_loss

Figures = dict[str, Any]
Gradients = Callable[[Callable[[], tuple[Any, Figures]], list[Any]], tuple[list[Any], Figures]]
InputGradient = Callable[[Callable[[Any], Any], Any], Any]


class PairedOptimizer:
    """The optimizers of both sides, as one that a checkpoint saves and restores."""

    def __init__(self, generator: keras.Optimizer, discriminator: keras.Optimizer) -> None:
        self.generator, self.discriminator = generator, discriminator

    def build(self, variables: list[Any]) -> None:
        """Do nothing: both were built with the variables of their side."""

    @property
    def variables(self) -> list[Any]:
        """The slots, rates and steps of both."""
        return [*self.generator.variables, *self.discriminator.variables]

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the generator."""
        return self.generator.learning_rate


class AdversarialTrainer(keras.Model):  # type: ignore[misc]
    """Generator, discriminator, and a generator whose weights are moving averages."""

    def __init__(self, family: Gan, generator: keras.Model, discriminator: keras.Model) -> None:
        super().__init__()
        self.family = family
        self.generator, self.discriminator = generator, discriminator
        self.averaged = keras.models.clone_model(generator)
        self.averaged.set_weights(generator.get_weights())
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False, name="steps")
        self.losses_of = adversarial_loss(family.loss, family.smoothing)
        self.optimizer: PairedOptimizer | None = None
        self.built = True

    def equip(self, generator: keras.Optimizer, discriminator: keras.Optimizer) -> None:
        """Set the optimizers."""
        generator.build(self.generator.trainable_variables)
        discriminator.build(self.discriminator.trainable_variables)
        self.optimizer = PairedOptimizer(generator, discriminator)

    @property
    def paired(self) -> PairedOptimizer:
        """The optimizers of both sides."""
        assert self.optimizer  # noqa: S101 - for the type checker: `equip` comes first
        return self.optimizer

    def alternate(self, batch: tuple[Any, ...], noise: Any, gradients: Gradients, by_input: InputGradient) -> Figures:
        """Make one step of the discriminator, then one of the generator, each with the other as it is.

        `noise` has random numbers for both, of shape (2, rows, latent). Batch norms keep their moving statistics.
        """
        pixels, condition = batch
        sides = (
            (
                self.paired.discriminator,
                self.discriminator,
                lambda: self._judge(pixels, condition, noise[0], by_input),
            ),
            (self.paired.generator, self.generator, lambda: self._deceive(condition, noise[1])),
        )
        figures: Figures = {}
        for optimizer, network, loss in sides:
            slopes, seen = gradients(loss, network.trainable_variables)
            optimizer.apply(slopes, network.trainable_variables)
            figures |= seen
        self._average()
        return figures

    def _judge(self, pixels: Any, condition: Any, noise: Any, by_input: InputGradient) -> tuple[Any, Figures]:
        """Return the loss of the discriminator, and how often it is right."""
        fake = ops.stop_gradient(self.generator(_joined(noise, condition), training=True))
        real_verdict, fake_verdict = (self._verdict(part, condition, training=True) for part in (pixels, fake))
        loss = self.losses_of.of_discriminator(real_verdict, fake_verdict)
        figures = {"discriminator_loss": loss, "discriminator_accuracy": accuracy(real_verdict, fake_verdict)}
        if self.family.gradient_penalty:  # without dropout, whose random states must not change inside
            slope = by_input(lambda x: ops.sum(self._verdict(x, condition, training=False)), pixels)
            loss += self.family.gradient_penalty / 2 * ops.mean(ops.sum(ops.square(slope), axis=(1, 2, 3)))
        return loss, figures

    def _deceive(self, condition: Any, noise: Any) -> tuple[Any, Figures]:
        """Return the loss of the generator."""
        fake = self.generator(_joined(noise, condition), training=True)
        loss = self.losses_of.of_generator(self._verdict(fake, condition, training=True))
        return loss, {"loss": loss}

    def _verdict(self, pixels: Any, condition: Any, *, training: bool) -> Any:
        return self.discriminator(pixels if condition is None else [pixels, condition], training=training)

    def _average(self) -> None:
        """Move the averages; the first steps count more, or the initial weights would stay in them for epochs."""
        self.steps.assign_add(1.0)
        decay = ops.minimum(self.family.average, self.steps / (self.steps + 10.0))
        for mean, value in zip(self.averaged.variables, self.generator.variables, strict=True):
            mean.assign(decay * mean + (1 - decay) * value)


def _joined(noise: Any, condition: Any) -> Any:
    return noise if condition is None else ops.concatenate([noise, condition], axis=-1)
