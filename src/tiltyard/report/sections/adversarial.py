"""Curves of a training of two networks against each other: losses, who is right, and samples beside validation rows."""

from __future__ import annotations

from tiltyard.figures import Figure, lines
from tiltyard.files import Json


def is_adversarial(history: Json) -> bool:
    """Return whether a training had a discriminator."""
    return "discriminator_loss" in history


def adversarial_figures(history: Json, epochs: list[int], best: int) -> list[Figure]:
    """Plot both losses, the accuracy of the discriminator, and distance and variety of samples by epoch."""
    mark = [{"x": best, "name": f"kept: {best}"}]

    def curves(names: dict[str, str]) -> dict[str, Json]:
        return {label: {"x": epochs, "y": history[name]} for label, name in names.items()}

    return [
        lines(
            "Losses of both networks",
            "By epoch. Neither is to fall for good: each network learns against the other.",
            ("Epoch", "Loss"),
            curves({"generator": "loss", "discriminator": "discriminator_loss"}),
            marks=mark,
        ),
        lines(
            "Fréchet distance of samples from validation rows",
            "By epoch, in features of the classifier. The weights of the marked epoch were kept.",
            ("Epoch", "Fréchet distance"),
            curves({"samples": "val_loss"}),
            marks=mark,
            log=min(history["val_loss"]) > 0,
        ),
        lines(
            "Discriminator, and variety of samples",
            "By epoch: the share of pictures that the discriminator judges rightly (0.5 if it cannot tell), and the "
            "variance of the features of samples, as a share of that of validation rows (near 0 after a collapse).",
            ("Epoch", "Share"),
            curves({"discriminator right": "discriminator_accuracy", "variety": "variety"}),
            marks=mark,
        ),
    ]
