"""The commands of the road: from source to packaged champion, verb by verb, at once, or by the clock."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tiltyard.cli.commands._common import JSON, TASKS, changing, end, find, pipeline, plain, print_each, print_json
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from tiltyard.config.task import Task

STOPPED = "stopped; the same command goes on where it was"


@click.command()
@TASKS
@click.option("--force", is_flag=True, help="Overwrite raw data that was edited by hand.")
@JSON
def fetch(tasks: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Get raw data into data/raw, version it with DVC and push it to the default remote."""
    from tiltyard.data.fetch import fetch as verb

    told = {"new": "new", "same": "as before", "edited": "edited by hand and kept; --force fetches over it"}
    fetched = changing(tasks, lambda w, t: verb(w, t, force=force))
    print_each(fetched, lambda raw: f"raw data {raw.data[:12]}, {told[raw.state]}", as_json=as_json)


@click.command()
@TASKS
@JSON
def resolve(tasks: tuple[str, ...], as_json: bool) -> None:
    """Write what each stage reads of the task file, defaults filled in; DVC sees by it what has to run again."""
    from tiltyard.config.resolve import resolve as verb

    print_each(changing(tasks, verb), lambda written: f"wrote {', '.join(written)}", as_json=as_json)


@click.command()
@TASKS
@JSON
def validate(tasks: tuple[str, ...], as_json: bool) -> None:
    """Compare raw data with its expectations; a critical failure stops the road."""
    from tiltyard.validation.validate import validate as verb

    def sentence(validation: Any) -> str:
        warnings = validation.failed("warning")
        first = f"{validation.rows} rows meet {len(validation.outcomes) - len(warnings)} expectations"
        told = [*(("repaired", text) for text in validation.repairs), *(("warning", o.sentence()) for o in warnings)]
        return "\n".join([first, *(click.style(f"  {word}: ", fg="yellow") + text for word, text in told)])

    results = changing(tasks, lambda w, t: verb(w, t).to_json() if as_json else verb(w, t))
    print_each(results, sentence, as_json=as_json)


@click.command()
@TASKS
@click.option("--reseal", is_flag=True, help="Accept another test part for the same data; earlier figures end here.")
@JSON
def prepare(tasks: tuple[str, ...], reseal: bool, as_json: bool) -> None:
    """Split the rows, seal the test part, fit the encoder on the training rows."""
    from tiltyard.preparation.prepare import prepare as verb

    def sentence(facts: Any) -> str:
        return ", ".join(f"{count} {part}" for part, count in facts["rows"].items()) + " rows"

    print_each(changing(tasks, lambda w, t: verb(w, t, reseal=reseal)), sentence, as_json=as_json)


@click.command()
@TASKS
@click.option("--range-test", is_flag=True, help="Only try learning rates, from far too low to far too high.")
@JSON
def train(tasks: tuple[str, ...], range_test: bool, as_json: bool) -> None:
    r"""Train the Keras model and export it to ONNX; killed and started again, it goes on where it was.

    \b
    tiltyard train digits --range-test    the loss by learning rate, and the rate to start from
    """
    from tiltyard.cli.output import tables

    if range_test:
        from tiltyard.experiments.lr_range_test import range_test as trial

        results = dict(changing(tasks, trial))
        if as_json:
            print_json(results)
        for name, result in {} if as_json else results.items():
            tables.rates(name, result)
        return
    from tiltyard.training.train import train as verb

    print_each(changing(tasks, verb), tables.training, as_json=as_json)


@click.command()
@TASKS
@JSON
def evaluate(tasks: tuple[str, ...], as_json: bool) -> None:
    """Measure the exported model on the sealed test rows, beside an honest baseline."""
    from tiltyard.evaluation.evaluate import evaluate as verb

    reports = [report for _, report in changing(tasks, verb)]
    if as_json:
        print_json(reports)
    for report in [] if as_json else reports:
        name = report["metric"]
        click.echo(
            f"{report['task']}: {name} {report['metrics'][name]:.4g}, baseline {report['baseline'][name]:.4g}; "
            f"read the whole: tiltyard report {report['task']} --open"
        )


@click.command()
@TASKS
@click.option("--dry-run", is_flag=True, help="Judge and print, change nothing.")
@click.option("--again", is_flag=True, help="Judge anew what was held, rejected or rolled back before.")
@JSON
def promote(tasks: tuple[str, ...], dry_run: bool, again: bool, as_json: bool) -> None:
    r"""Judge the challenger; if it wins, package it, prove the package, and swap the champion.

    \b
    tiltyard promote iris --dry-run     the verdict and its reasons, nothing else

    Exits with 0 if it is promoted or the champion already, 3 on HOLD, 4 on REJECT, 1 on an error.
    """
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.gate import next_steps
    from tiltyard.gate.promote import promote as verb

    def judged(workspace: Workspace, task: Task) -> Any:
        verdict = verb(workspace, task, dry_run=dry_run, again=again)
        return verdict, next_steps.next_steps(workspace, task, verdict)

    verdicts = [pair for _, pair in changing(tasks, judged)]
    if as_json:
        print_json([{**asdict(verdict), "next": asdict(steps)} for verdict, steps in verdicts])
    for verdict, steps in [] if as_json else verdicts:
        click.echo(f"{verdict.task}: {verdict.word} {verdict.version}")
        tables.checks([asdict(outcome) for outcome in verdict.outcomes])
        for line in [*verdict.reasons, *steps.fit]:
            click.echo(f"  {line}")
        tables.steps(steps.commands)
    end(next_steps.status(verdict for verdict, _ in verdicts))


@click.command()
@TASKS
@JSON
def package(tasks: tuple[str, ...], as_json: bool) -> None:
    """Build the Bento of the judged model, start it, and hold its answers against the evaluation."""
    from tiltyard.serving.packaging.package import package as verb

    print_each(changing(tasks, verb), lambda version: f"packaged and proven, version {version}", as_json=as_json)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """End at once on Ctrl-C: Python would wait for each thread to come to the end of its step."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(STOPPED, err=True)
        os._exit(130)


def _end_by(number: int) -> None:
    """End by a signal that was heard, as shells and systemd expect it; its status in a shell is 128 more."""
    click.echo(STOPPED, err=True)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)  # the first process of a container does not die of it


@click.command()
@TASKS
@click.option("--smoke", is_flag=True, help="Few rows, one epoch, in a throwaway folder: does it work at all?")
@JSON
def run(tasks: tuple[str, ...], smoke: bool, as_json: bool) -> None:
    r"""Take tasks from source to packaged champion, in one Prefect flow; what is unchanged is skipped.

    \b
    tiltyard run                all tasks, as many at once as there are cores
    tiltyard run iris digits    these
    tiltyard run --smoke churn  whether it gets through, in seconds; nothing of the project is touched

    Exits with 0 if every task is promoted or unchanged, 3 if one is on HOLD, 4 if one is REJECTed, 1 on an error.
    """
    from dataclasses import asdict

    from tiltyard import progress
    from tiltyard.cli.output import tables
    from tiltyard.config import task_list

    workspace = find()
    with (
        _interruptible(),
        progress.status("starting Prefect") as ready,
        plain("smoke") if smoke else pipeline("road") as road,
    ):
        rows = road.run(workspace, list(tasks) or task_list.listed(workspace), ready)
        if as_json:
            print_json([asdict(row) for row in rows])
        else:
            tables.outcome(rows, smoke=smoke)
    end(max(row.status for row in rows) if all(row.ok for row in rows) else 1)


@click.command()
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option("--cron", required=True, help="Minute, hour, day, month, weekday: '0 6 * * *' is every day at six.")
@click.option("--timezone", default="UTC", show_default=True, help="Of the clock, such as Europe/Vienna.")
def schedule(tasks: tuple[str, ...], cron: str, timezone: str) -> None:
    r"""Run tasks by the clock: a Prefect deployment, served until it is interrupted.

    \b
    tiltyard schedule --cron '0 6 * * *' iris sine

    SIGTERM or Ctrl-C ends it and the run in progress, which the next one takes up; a second Ctrl-C does not wait.
    """
    from tiltyard.config import task_list

    workspace = find()
    names = list(tasks) or task_list.listed(workspace)
    served = f"{', '.join(names)}: scheduled at {cron} {timezone}; Ctrl-C ends the schedule, and a run in progress"
    with pipeline("schedule", scheduling=True) as clock:
        number = clock.schedule(workspace, names, cron, timezone, lambda: click.echo(served))
    _end_by(number)


COMMANDS = [fetch, resolve, validate, prepare, train, evaluate, promote, package, run, schedule]
