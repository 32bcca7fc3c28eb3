"""Samples of a generative model: a grid, the training rows next to them, and what was measured of them."""

from __future__ import annotations

from pathlib import Path

from tiltyard.arrays import Array
from tiltyard.evaluation.sample_facts import PICTURES_FILE, Pictures
from tiltyard.figures import Figure, captioned_images, counts
from tiltyard.files import Json
from tiltyard.report.html_elements import Section, render_figures, render_table

NEAREST = 16  # samples beside the training row next to them


def samples_section(report: Json, out: Path) -> Section:
    """Return the section; empty for a model that draws no samples."""
    found = report.get("samples")
    if not found or not (out / PICTURES_FILE).is_file():
        return Section("Samples", "")
    figures = [*_pictures(Pictures.load(out / PICTURES_FILE)), *_classes(found)]
    return Section("Samples", render_table(_facts(found)) + render_figures(figures))


def _pictures(pictures: Pictures) -> list[Figure]:
    """Return the grid, and samples beside training rows."""
    text = "Evenly spaced among those that were drawn for the evaluation, with the seed of the split; none was chosen."
    grid = captioned_images("Samples", text, [("", picture) for picture in pictures.samples])
    beside = list[tuple[str, Array]]()
    for place in range(min(NEAREST, len(pictures.samples))):
        beside += [
            (f"sample {place + 1}", pictures.samples[place]),
            (f"{pictures.distances[place]:.3g} away", pictures.nearest[place]),
        ]
    text = "Each sample before the training row that is nearest to it, with their distance in pixels from 0 to 1."
    return [grid, captioned_images("Nearest training rows", text, beside)]


def _classes(found: Json) -> list[Figure]:
    """Return the shares of the classes among samples and test rows."""
    if not (classes := found.get("classes")):
        return []
    text = (
        f"Samples and test rows in each class, by a classifier of the training rows, in percent; "
        f"{classes['distance']:.1%} of the samples would have to change their class for equal shares."
    )
    groups = {"samples": "samples", "test rows": "rows"}
    shares = {name: [100 * share for share in classes[key]] for name, key in groups.items()}
    return [counts("Classes of samples", text, "Percent", classes["names"], shares)]


def _facts(found: Json) -> list[Json]:
    """Return what was measured, one record each."""
    facts: Json = {
        "variance of the features of samples, as a share of that of test rows": found["variety"],
        "distance to the nearest training row, median of samples": found["nearest"]["samples"],
        "distance to the nearest training row, median of test rows": found["nearest"]["rows"],
        f"share of {found['copies']['rows']} samples that are copies of training rows": found["copies"]["share"],
    }
    if distance := found.get("kernel_distance"):
        facts["kernel distance of samples (its standard error)"] = (
            f"{distance['value']:.4g} ({distance['standard_error']:.2g})"
        )
    for name, title in (("frechet", "Fréchet distance"), ("precision", "precision"), ("recall", "recall")):
        facts[f"{title} of training rows in place of samples"] = found["real_rows"][name]
    if units := found.get("active_units"):
        facts["numbers of the code in use"] = f"{units['active']} of {units['of']}"
    if bound := found.get("importance"):
        name = f"bound of the log-likelihood by {bound['samples']} importance samples, {bound['rows']} test rows (nats)"
        facts[name] = bound["bound"]
        facts["the same rows by one sample"] = bound["elbo"]
    return [{"fact": name, "value": value} for name, value in facts.items()]
