"""The networks of a restricted Boltzmann machine: probabilities of hidden units, and steps of Gibbs sampling.

A sample starts at the end of one of many long chains, which training has run, and makes some steps more. Its code are
uniform random numbers: the first chooses the chain; shifted by constants of each step, they decide which units are on.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tiltyard.arrays import Array
from tiltyard.errors import TrainingError
from tiltyard.modeling.models._rbm import Rbm as Machine
from tiltyard.modeling.models.rbm import Rbm as Family
from tiltyard.modeling.problems.sampling import Facts
from tiltyard.training.samplers.base import Sampler

CHAINS = 512  # long chains: a power of two, so that choosing one does not depend on rounding
COMPARED, DRAWN = 256, 4096  # codes by which Keras and ONNX are compared, and those of which they are chosen
HIDDEN, VISIBLE, BIAS, CHAIN, PARTITION = "hidden", "visible", "visible_bias", "chains", "log_partition"


class Rbm(Sampler[Family]):
    """The machine as dense layers: to hidden units, and back to pixels."""

    def body(self) -> keras.Model:
        """Build one layer for each array; the last two are the ends of chains, and log Z as a bias."""
        width, hidden = self.rows.width, self.family.hidden
        rows = keras.Input((width,), name="features")
        pixels = layers.Rescaling(1 / self.rows.scale, dtype="float32")(rows)
        logits = layers.Dense(hidden, dtype="float32", name=HIDDEN)(pixels)
        again = layers.Dense(width, dtype="float32", name=VISIBLE)(ops.sigmoid(logits))
        energy = layers.Dense(1, use_bias=False, dtype="float32", name=BIAS)(pixels)
        chosen = layers.Dense(CHAINS, use_bias=False, trainable=False)(pixels[:, :1])
        start = layers.Dense(hidden, use_bias=False, dtype="float32", name=CHAIN)(chosen)
        partition = layers.Dense(1, dtype="float32", name=PARTITION)(pixels[:, :1])
        return keras.Model(rows, ops.concatenate([again, start, energy, partition], axis=-1))

    def fill(self, body: keras.Model, machine: Machine, chains: Array, log_partition: float) -> None:
        """Give a body the weights of a trained machine, the ends of its chains, and log Z."""
        body.get_layer(HIDDEN).set_weights([machine.weights, machine.hidden_bias])
        body.get_layer(VISIBLE).set_weights([machine.weights.T, machine.visible_bias])
        body.get_layer(BIAS).set_weights([machine.visible_bias[:, None]])
        body.get_layer(CHAIN).set_weights([chains])
        body.get_layer(PARTITION).set_weights([np.zeros((1, 1)), np.array([log_partition])])

    def trainer(self, body: keras.Model, steps: int, seed: int) -> keras.Model:
        """Refuse: contrastive divergence has no loss that Keras could minimise; training/boltzmann.py trains it."""
        raise TrainingError("rbm: expected contrastive divergence, not a loss; received a call of Keras' trainer")

    def scorer(self, body: keras.Model) -> keras.Model:
        """Return a model from pixels to their means, the probabilities of hidden units, and the energy plus log Z."""
        images = keras.Input(self.rows.shape, name="features")
        pixels = layers.Rescaling(1 / self.rows.scale, dtype="float32")(layers.Flatten(dtype="float32")(images))
        logits = body.get_layer(HIDDEN)(pixels)
        hidden = ops.sigmoid(logits)
        again = ops.sigmoid(body.get_layer(VISIBLE)(hidden))
        energy = -body.get_layer(BIAS)(pixels) - ops.sum(ops.softplus(logits), axis=-1, keepdims=True)
        score = energy + body.get_layer(PARTITION)(pixels[:, :1])
        return keras.Model(images, ops.concatenate([again, hidden, score], axis=-1))

    def decoder(self, body: keras.Model) -> keras.Model:
        """Return a model from uniform numbers to the probability of each pixel after the last step."""
        return self._chain(body)[0]

    def codes_to_compare(self, body: keras.Model, seed: int) -> Array:
        """Return codes of which no number is so near to a probability that rounding decides about a unit."""
        margin = self._chain(body)[1]
        codes = np.random.default_rng(seed).random((DRAWN, self.family.hidden), dtype=np.float32)
        margins = np.concatenate([np.asarray(margin(part))[:, 0] for part in np.split(codes, DRAWN // CHAINS)])
        return codes[np.argsort(-margins, kind="stable")[:COMPARED]]

    def _chain(self, body: keras.Model) -> tuple[keras.Model, keras.Model]:
        """Return models from codes to pixels, and to the smallest distance of a number from its probability."""
        codes = keras.Input((self.family.hidden,), name="code")
        shifts, margins = np.random.default_rng(0), list[Any]()
        place = ops.floor(codes[:, :1] * CHAINS)
        chosen = ops.cast(ops.equal(place, np.arange(CHAINS, dtype=np.float32)[None]), "float32")
        hidden = body.get_layer(CHAIN)(chosen)
        for _ in range(self.family.sampling_steps):
            pixels, margin = _drawn(ops.sigmoid(body.get_layer(VISIBLE)(hidden)), codes, shifts)
            hidden, other = _drawn(ops.sigmoid(body.get_layer(HIDDEN)(pixels)), codes, shifts)
            margins += [margin, other]
        smallest = ops.min(ops.concatenate(margins, axis=-1), axis=-1, keepdims=True)
        means = ops.sigmoid(body.get_layer(VISIBLE)(hidden))
        return keras.Model(codes, means), keras.Model(codes, smallest)

    def facts(self) -> Facts:
        """Return that codes are uniform numbers, and that rows have probabilities of hidden units."""
        score = "the negative log-likelihood of the row in nats, where the partition function is an estimate"
        return Facts(self.family.hidden, "uniform", score, encodes=True)

    def floors(self) -> Array:
        """Return the sizes of pixels, of probabilities, and of the score."""
        return np.repeat([1e-2, 1e-2, 10.0], [self.rows.width, self.family.hidden, 1])


def _drawn(probabilities: Any, codes: Any, shifts: np.random.Generator) -> tuple[Any, Any]:
    """Draw units: each has one of the uniform numbers of the code, shifted around the unit interval by a constant.

    Also return how far the number of each is from its probability.
    """
    width, size = probabilities.shape[-1], codes.shape[-1]
    places = shifts.permutation(np.resize(np.arange(size), width)).astype(np.int32)
    moved = ops.take(codes, places, axis=1) + shifts.random(width, dtype=np.float32)[None]
    uniform = moved - ops.floor(moved)
    return ops.cast(ops.less(uniform, probabilities), "float32"), ops.abs(uniform - probabilities)
