"""Learning curves and the diagnosis of the fit, cross-validation, and what a model is averaged from."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tiltyard.config.task import Task
from tiltyard.figures import Figure, lines
from tiltyard.files import Json
from tiltyard.report.html_elements import Section, format_number, render_figures, render_table
from tiltyard.report.sections.adversarial import adversarial_figures, is_adversarial

MAX_CORRELATED = 10  # members whose pairs are shown


def training_sections(task: Task, report: Json, training: Json) -> list[Section]:
    """Return the sections about the training."""
    content = _diagnosis_html(training.get("diagnosis")) + render_figures(_curve_figures(training))
    return [
        Section("Training", content + _training_text(training)),
        Section("Decision thresholds on validation rows", render_table(training.get("thresholds", ()))),
        Section("Cross-validation", _fold_table(task, report.get("folds"))),
        Section("Ensemble members", _ensemble_table(training)),
        Section("Restarts", _attempt_table(training.get("attempts"))),
        Section("Network and references", _blend_table(training.get("blend"))),
        Section("Restricted Boltzmann machines", _pretraining_html(training.get("pretraining"))),
        Section("Threshold of anomalies", _anomaly_table(training.get("anomaly"), report)),
        Section("Code", render_table(_code_records(training.get("code"), report.get("denoising")))),
    ]


def _anomaly_table(anomaly: Json | None, report: Json) -> str:
    """Return how the threshold was chosen, and what it gives on validation and test rows."""
    if not anomaly:
        return ""
    facts = {
        "score": anomaly["score"].replace("_", " "),
        "threshold": anomaly["threshold"],
        "accepted false alarms": anomaly["false_alarms"],
        "normal validation rows that gave it": anomaly["validation_rows"],
        "false alarms among these": anomaly["validation_false_alarms"],
        "false alarms among normal test rows": report["metrics"]["false_alarm_rate"],
    }
    unlabelled = "detection_rate" not in report["metrics"]
    note = "The test rows have no labels: how well anomalies are found (AUROC, detection rate) is not available."
    text = f'<p class="soft">{note}</p>' if unlabelled else ""
    return render_table([{"fact": name, "value": value} for name, value in facts.items()]) + text


def _code_records(code: Json | None, denoising: Json | None) -> list[Json]:
    """Return what is known of the code of an autoencoder on validation rows, and of noise on test rows."""
    if not code:
        return []
    facts = {"numbers": code["numbers"], "mean activation": code["mean_activation"]}
    if "squared_derivatives" in code:
        facts["squared norm of the derivatives by the input, mean"] = code["squared_derivatives"]
    if denoising:
        facts["noise added to test rows, deviations"] = denoising["noise"]
        facts["signal-to-noise ratio of noisy rows (dB)"] = denoising["psnr_of_input"]
        facts["signal-to-noise ratio of their reconstructions (dB)"] = denoising["psnr_of_answer"]
    return [{"fact": name, "value": value} for name, value in facts.items()]


def _pretraining_html(pretraining: Json | None) -> str:
    """Return what the machines of a deep belief network have learned: a table, and their figures by epoch."""
    if not pretraining:
        return ""
    machines = pretraining["machines"]
    names = {"visible": "visible units", "hidden": "hidden units", "error": "reconstruction error"}
    rows = [
        {"machine": number, **{title: machine[name] for name, title in names.items()}}
        for number, machine in enumerate(machines, 1)
    ]
    note = f"Trained by contrastive divergence, one after another, on {pretraining['rows']:,} rows without labels."
    return f'<p class="soft">{note}</p>' + render_table(rows) + render_figures(_machine_figures(machines))


def _machine_figures(machines: Sequence[Json]) -> list[Figure]:
    """Plot by epoch the error of each machine, and how much higher the free energy of validation rows is."""
    epochs = [*range(1, len(machines[0]["history"]["error"]) + 1)]
    errors = {f"machine {number}": machine["history"]["error"] for number, machine in enumerate(machines, 1)}
    gaps = {
        f"machine {number}": [
            validation - train
            for validation, train in zip(
                machine["history"]["val_free_energy"], machine["history"]["free_energy"], strict=True
            )
        ]
        for number, machine in enumerate(machines, 1)
    }
    return [
        lines(title, text, ("Epoch", axis), {name: {"x": epochs, "y": values} for name, values in curves.items()})
        for title, text, axis, curves in (
            ("Reconstruction error", "Mean squared error after one step of Gibbs sampling, by epoch.", "Error", errors),
            (
                "Free energy of validation rows",
                "How much higher it is than that of training rows; a rise means that a machine over-fits.",
                "Difference",
                gaps,
            ),
        )
    ]


def _curve_figures(training: Json) -> list[Figure]:
    """Plot loss and metrics by epoch, and the gradients of layers if they were recorded."""
    history, best = training.get("history", {}), training["best_epoch"]
    epochs = [*range(1, len(history.get("loss", ())) + 1)]
    if not epochs or (len(epochs) == 1 and "solved" in training):
        return []
    if is_adversarial(history):
        return adversarial_figures(history, epochs, best)
    snapshots = training.get("diagnosis", {}).get("snapshots")
    metric_names = sorted({name.removeprefix("val_") for name in history} - {"loss"})
    return [
        *(_epoch_figure(name, history, epochs, best) for name in ["loss", *metric_names] if f"val_{name}" in history),
        *([_gradient_figure(snapshots)] if snapshots else []),
    ]


def _epoch_figure(name: str, history: Json, epochs: list[int], best: int) -> Figure:
    curves = {"training": history[name], "validation": history[f"val_{name}"]}
    positive = name == "loss" and min(value for values in curves.values() for value in values) > 0
    title = name.replace("_", " ").capitalize()
    return lines(
        title,
        "By epoch, on training and validation rows. The weights of the marked epoch were kept.",
        ("Epoch", title),
        {label: {"x": epochs, "y": values} for label, values in curves.items()},
        marks=[{"x": best, "name": f"kept: {best}"}],
        log=positive,
    )


def _gradient_figure(snapshots: Sequence[Json]) -> Figure:
    """Plot the gradient of each layer by epoch."""
    epochs, names = [snapshot["epoch"] for snapshot in snapshots], [*snapshots[0]["gradients"]]
    return lines(
        "Gradients",
        "Root mean square by layer, first layer first. Large differences between layers are a warning sign.",
        ("Epoch", "Gradient"),
        {name: {"x": epochs, "y": [snapshot["gradients"][name] or None for snapshot in snapshots]} for name in names},
        log=True,
    )


def _training_text(training: Json) -> str:
    if solved := training.get("solved"):
        return f'<p class="soft">{escape(f"Solved {solved}.")}</p>{_squares_text(training.get("sums_of_squares"))}'
    if "outside" in training:
        return '<p class="soft">Trained outside of Tiltyard, which does not know with which rows.</p>'
    end = "stopped early" if training.get("stopped_early") else "ran to the end"
    text = f"{training['epochs']} epochs, {end}; epoch {training['best_epoch']} was kept."
    if refinement := training.get("refinement"):
        text += _refinement_text(refinement)
    if warm := training.get("warm_start"):
        text += f" Epoch {warm['epoch']} started with a new optimizer and the weights of epoch {warm['from_epoch']}."
    return f'<p class="soft">{escape(text)}</p>'


def _refinement_text(refinement: Json) -> str:
    """Describe how codes and centres of an autoencoder were refined."""
    changed = ", ".join(f"{share:.1%}" for share in refinement["changed"])
    return (
        f" Then codes and centres were refined together in {len(refinement['loss'])} epochs; the shares of rows that "
        f"changed their cluster: {changed}."
    )


def _squares_text(sums: Json | None) -> str:
    """Return the sums of squares on the training rows, which add up for least squares."""
    if not sums:
        return ""
    total, errors, explained, r2, squared = (
        format_number(value)
        for value in (sums["total"], sums["errors"], sums["explained"], sums["r2"], sums["correlation"] ** 2)
    )
    return (
        f'<p class="soft">Sums of squares on the training rows: {errors} of errors and {explained} explained, of '
        f"{total} in total. R² is {r2}; the squared correlation of predictions and truth is {squared}.</p>"
    )


def _diagnosis_html(diagnosis: Json | None) -> str:
    """Return the diagnosis of the fit with its reason, then problems of the network."""
    if not diagnosis:
        return ""
    style = "good" if diagnosis["verdict"] == "good fit" else "bad"
    lines = [
        f'<strong class="{style}">{escape(diagnosis["verdict"].capitalize())}</strong>: {escape(diagnosis["reason"])}.'
    ]
    lines += [escape(f"{text[0].upper()}{text[1:]}.") for text in diagnosis["findings"]]
    return "".join(f"<p>{line}</p>" for line in lines)


def _fold_table(task: Task, folds: Json | None) -> str:
    """Return a table of the metrics of cross-validation."""
    if not folds:
        return ""
    rows = [
        {"metric": task.evaluator.metrics[name].title, "mean": fold["mean"], "deviation": fold["deviation"]}
        for name, fold in folds.items()
    ]
    count = len(next(iter(folds.values()))["values"])
    note = (
        f"{count} folds of the training and validation rows; each is evaluated by a model that was not trained on it."
    )
    return render_table(rows) + f'<p class="soft">{note}</p>'


def _ensemble_table(training: Json) -> str:
    """Return a table of the members of an ensemble, and the correlation of their errors."""
    if not (members := training.get("members")):
        return ""
    correlation, together = training["correlation"], training.get("members_mean")
    note = (
        f"Mean correlation of their errors on validation rows: {format_number(correlation['mean'])}; lower is better."
    )
    if together:
        note += (
            f" Loss of their mean: {format_number(together['loss'])}, on {together['validation_rows']:,} validation "
            "rows; these rows have also chosen epochs and shares."
        )
    return (
        render_table([{"member": number, **member} for number, member in enumerate(members, 1)])
        + f'<p class="soft">{note}</p>'
        + _correlation_table(correlation["table"])
    )


def _correlation_table(table: Sequence[Sequence[float]]) -> str:
    """Return the correlation of each pair of members, if there are few."""
    if not 2 < len(table) <= MAX_CORRELATED:  # of two, it is the mean
        return ""
    rows = [
        {"correlation": f"member {number}", **{f"member {place}": value for place, value in enumerate(row, 1)}}
        for number, row in enumerate(table, 1)
    ]
    return render_table(rows)


def _attempt_table(attempts: Sequence[Json] | None) -> str:
    """Return a table of the trainings from other initial weights, of which the best was kept."""
    if not attempts:
        return ""
    note = "Each training began from other weights; the best value on validation rows was kept."
    return (
        render_table([{"training": number, **attempt} for number, attempt in enumerate(attempts, 1)])
        + f'<p class="soft">{note}</p>'
    )


def _blend_table(blend: Json | None) -> str:
    """Return a table of the parts of a model that averages a network with references."""
    if not blend:
        return ""
    note = (
        f"The model is the weighted mean of their outputs, and has a loss of {format_number(blend['loss'])} on "
        f"{blend['validation_rows']:,} validation rows. The curves and the diagnosis are those of the network."
    )
    return render_table(blend["parts"]) + f'<p class="soft">{escape(note)}</p>'
