"""Generative models: codes by seed, the mixture of pixels, bounds of known models, and metrics of samples."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.errors import RegistryError
from tiltyard.evaluation import sampling
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.evaluators.sampling import Sampling as Evaluator
from tiltyard.modeling.inference import codes
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.bernoulli_mixture import BernoulliMixture
from tiltyard.modeling.problems.sampling import Facts, Sampling

PIXELS, ROWS = 4, 3000


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_codes_depend_on_seed_and_place_alone(prior: Any) -> None:
    """A smaller count gives the first ones; moments are those of the prior."""
    few, many = (codes.draw(prior, 5, 7, count) for count in (3, 2000))
    assert np.array_equal(many[:3], few)
    assert codes.draw(prior, 5, 7, 0).shape == (0, 5)
    expected = (0.0, 1.0) if prior == "normal" else (0.5, 12**-0.5)
    assert (many.mean(), many.std()) == pytest.approx(expected, abs=0.05)
    assert not np.array_equal(codes.draw(prior, 5, 8, 3), few)


def test_flags_follow_the_code() -> None:
    """Only a conditional model has them."""
    drawn = np.zeros((2, 1), dtype=np.float32)
    assert codes.with_flags(drawn, np.array([1, 0]), 2).tolist() == [[0, 0, 1], [0, 1, 0]]
    assert codes.with_flags(drawn, None, 2) is drawn


def test_one_component_is_independent_pixels() -> None:
    """Its probabilities are the means of the rows, and its likelihood the product over pixels."""
    rows = (np.random.default_rng(0).random((ROWS, PIXELS)) < [0.1, 0.4, 0.6, 0.9]).astype(float)
    mixture = BernoulliMixture.of(rows, 1)
    assert mixture.probabilities[0] == pytest.approx(rows.mean(axis=0), abs=1e-3)
    share = mixture.probabilities[0]
    expected = np.log(np.where(rows[0] > 0, share, 1 - share)).sum()
    assert mixture.log_likelihood(rows[:1]) == pytest.approx([expected])


def test_mixture_finds_two_kinds_of_rows() -> None:
    """Two components separate two kinds, and are more likely by nearly log 2 for each pixel after the first."""
    kinds = np.repeat([[0.02] * PIXELS, [0.98] * PIXELS], ROWS // 2, axis=0)
    rows = (np.random.default_rng(0).random(kinds.shape) < kinds).astype(float)
    one, two = (BernoulliMixture.of(rows, count) for count in (1, 2))
    assert np.sort(two.probabilities.mean(axis=1)) == pytest.approx([0.02, 0.98], abs=0.02)
    assert two.log_likelihood(rows).mean() > one.log_likelihood(rows).mean() + 1.5
    drawn = two.draw(400, 0)
    assert np.array_equal(drawn, two.draw(400, 0))
    assert (drawn.mean(axis=1) > 0.5).mean() == pytest.approx(0.5, abs=0.08)


def encoder(**facts: Any) -> Encoder:
    """Return the encoder of pictures of 2 by 2 pixels for a model with a code of one number."""
    usual = {"code": 1, "prior": "normal", "score": "error", "conditional": False, "encodes": True, "posterior": True}
    columns: dict[str, Column] = {"image": Image(height=2, width=2)}
    fitted = {"image": {"mean": 0.0, "std": 255.0}}
    return Encoder("t", Sampling(), columns, fitted, {**usual, **facts}, [], bare=True, max_instances=8)


class KnownModel(Predictor):
    """A model whose decoder ignores the code: its bound is the likelihood less the divergence of its code."""

    mean: float = 0.0
    probability: float = 0.25

    def run(self, features: Array) -> Array:
        """Return a reconstruction, a code with variance 1, and a score of 0."""
        shape = len(features), 1
        half = np.full((len(features), PIXELS), 0.5)
        return np.concatenate([half, np.full(shape, self.mean), np.zeros(shape), np.zeros(shape)], axis=1)

    def decode_codes(self, drawn: Array, size: int = 16) -> Array:
        """Return the same probability for every pixel."""
        return np.full((len(drawn), PIXELS), self.probability)


def known_model(mean: float, **facts: Any) -> KnownModel:
    """Return such a model."""
    model = KnownModel(encoder(**facts), SimpleNamespace())
    object.__setattr__(model, "mean", mean)
    return model


def test_bound_of_a_known_model_is_its_formula() -> None:
    """Two of four pixels are set; a mean of 2 costs 2 nats of the bound, which importance samples win back."""
    binary = np.full((1, 2, 2, 1), 255.0) * np.array([1, 0, 0, 1]).reshape(1, 2, 2, 1)
    likelihood = 2 * np.log(0.25) + 2 * np.log(0.75)
    exact = sampling.lower_bound(known_model(0.0), binary, None, 0)
    assert exact["elbo"] == pytest.approx([likelihood])
    assert exact["kl"].tolist() == [0.0]
    shifted = sampling.lower_bound(known_model(2.0), np.repeat(binary, 50, axis=0), None, 0, samples=400)
    assert shifted["elbo"].mean() == pytest.approx(likelihood - 2.0)
    assert shifted["importance"].mean() == pytest.approx(likelihood, abs=0.2)


def test_model_without_a_posterior_has_no_bound() -> None:
    """The message says what to compare instead."""
    with pytest.raises(RegistryError, match="without") as refused:
        sampling.lower_bound(known_model(0.0, posterior=False), np.zeros((1, 2, 2, 1)), None, 0)
    assert refused.value.hint == "compare families by gate.metric: frechet"


def test_prediction_without_an_encoder_is_its_score() -> None:
    """A discriminator has neither code nor reconstruction."""
    plain = encoder(encodes=False, posterior=False)
    problem = plain.problem
    assert problem.decode(np.array([[0.25], [0.5]]), []) == [0.25, 0.5]
    assert problem.json_schema(None) == {"type": "number", "description": "error"}  # type: ignore[arg-type]
    assert Facts.of(plain).encodes is False


def test_a_model_without_a_decoder_draws_nothing() -> None:
    """The message names the file."""
    model = Predictor(encoder(), SimpleNamespace())
    assert model.decoding_seconds(100) == 0.0
    with pytest.raises(RegistryError, match=r"no decoder\.onnx"):
        model.decode_codes(np.zeros((1, 1)))


def test_measures_and_agreement_are_columns_in_order() -> None:
    """A family's measures come first, then neighbours, then whether samples are of their class."""
    kind = Evaluator(("elbo", "kl"), conditional=True)
    assert [*kind.of_rows] == ["elbo", "kl", "precision", "recall", "density", "coverage", "agreement"]
    features = np.random.default_rng(0).normal(size=(50, 2))
    outputs = np.column_stack([np.tile([-3.0, 2.0, 1, 0.5, 1, 1, 0.8], (50, 1)), features, features, np.zeros(50)])
    scores = kind.scores(np.zeros(50), outputs, {})
    assert (scores["elbo"], scores["kl"], scores["agreement"]) == pytest.approx((-3, 2, 0.8))
    assert scores["frechet"] == pytest.approx(0, abs=1e-9)


def test_neighbours_are_sought_among_all_kinds_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in order of their labels: samples of all kinds in any order are as near to them as rows are."""
    monkeypatch.setattr(sampling, "NEIGHBOURS_BATCH", 50)
    kinds = np.repeat(np.arange(4) * 100.0, 50)
    generator = np.random.default_rng(0)
    rows, drawn = (kinds[:, None] + generator.normal(size=(200, 2)) for _ in range(2))
    network = SimpleNamespace(describe=lambda pixels: SimpleNamespace(features=pixels, labels=np.zeros(len(pixels))))
    monkeypatch.setattr(sampling, "scaled", lambda _, features: features)
    samples = sampling.Samples(SimpleNamespace(), encoder(), (rows, kinds), network)  # type: ignore[arg-type]
    compared, _, _ = samples._compared(generator.permutation(drawn), rows, None)
    precision, recall, _, coverage = compared.mean(axis=0)
    assert min(precision, recall, coverage) > 0.8
