"""Pipeline commands: each stage from `tiltyard fetch` to `package`, the whole pipeline (`run`) and schedules."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tiltyard.cli.commands._common import (
    JSON,
    STOPPED,
    TASKS,
    end_by,
    exit_with,
    find_workspace,
    print_each,
    print_json,
    run_locked,
)
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from tiltyard.config.task import Task
    from tiltyard.gate.verdict import Verdict

ALLOW_STAND_IN = click.option(
    "--allow-stand-in", is_flag=True, help="Promote also models of generated data that stand in for real files."
)


@click.command()
@TASKS
@click.option("--force", is_flag=True, help="Overwrite raw data that was edited by hand.")
@JSON
def fetch(tasks: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Fetch raw data into data/raw and version it with DVC. Push it to the default remote."""
    from tiltyard.cli.output import tables
    from tiltyard.data.fetch import fetch as action

    states = {"new": "new", "same": "unchanged", "edited": "edited by hand and kept; --force overwrites it"}
    fetched = run_locked(tasks, lambda w, t: action(w, t, force=force))

    def sentence(raw: Any) -> str:
        return f"raw data {raw.data[:12]}, {states[raw.state]}" + tables.stand_in_note(raw.stand_in)

    print_each(fetched, sentence, as_json=as_json)


@click.command()
@TASKS
@JSON
def resolve(tasks: tuple[str, ...], as_json: bool) -> None:
    """Write the settings of each stage, with defaults filled in. DVC compares them to decide which stages must run."""
    from tiltyard.config.resolve import resolve as action

    print_each(run_locked(tasks, action), lambda written: f"wrote {', '.join(written)}", as_json=as_json)


@click.command()
@TASKS
@JSON
def validate(tasks: tuple[str, ...], as_json: bool) -> None:
    """Validate raw data with Great Expectations. A critical failure stops the pipeline."""
    from tiltyard.validation.validate import validate as action

    def sentence(validation: Any) -> str:
        warnings = validation.failed("warning")
        first = f"{validation.rows} rows meet {len(validation.outcomes) - len(warnings)} expectations"
        notes = [*(("repaired", text) for text in validation.repairs), *(("warning", o.sentence()) for o in warnings)]
        return "\n".join([first, *(click.style(f"  {word}: ", fg="yellow") + text for word, text in notes)])

    results = run_locked(tasks, lambda w, t: action(w, t).to_json() if as_json else action(w, t))
    print_each(results, sentence, as_json=as_json)


@click.command()
@TASKS
@click.option(
    "--reseal",
    is_flag=True,
    help="Accept other test rows for the same data; earlier metrics cannot be compared any more.",
)
@JSON
def prepare(tasks: tuple[str, ...], reseal: bool, as_json: bool) -> None:
    """Split the rows, seal the test rows and fit the encoder. The encoder is fitted on the training rows only."""
    from tiltyard.cli.output import tables
    from tiltyard.preparation.prepare import prepare as action

    def sentence(facts: Any) -> str:
        rows = ", ".join(f"{count} {part}" for part, count in facts["rows"].items())
        return f"{rows} rows{tables.stand_in_note(facts.get('stand_in'))}"

    print_each(run_locked(tasks, lambda w, t: action(w, t, reseal=reseal)), sentence, as_json=as_json)


@click.command()
@TASKS
@click.option("--range-test", is_flag=True, help="Run a learning rate range test instead of a training.")
@JSON
def train(tasks: tuple[str, ...], range_test: bool, as_json: bool) -> None:
    r"""Train the Keras model and export it to ONNX. An interrupted training resumes.

    \b
    tiltyard train digits --range-test    the loss by learning rate, and a learning rate to start with
    """
    from tiltyard.cli.output import tables

    if range_test:
        from tiltyard.experiments.lr_range_test import range_test as range_test_action

        results = dict(run_locked(tasks, range_test_action))
        if as_json:
            print_json(results)
        for name, result in {} if as_json else results.items():
            tables.print_learning_rates(name, result)
        return
    from tiltyard.training.train import train as action

    print_each(run_locked(tasks, action), tables.training_summary, as_json=as_json)


@click.command()
@TASKS
@JSON
def evaluate(tasks: tuple[str, ...], as_json: bool) -> None:
    """Evaluate the ONNX model and a baseline on the sealed test rows."""
    from tiltyard.cli.output import tables
    from tiltyard.evaluation.evaluate import evaluate as action

    reports = [report for _, report in run_locked(tasks, action)]
    if as_json:
        print_json(reports)
    for report in [] if as_json else reports:
        name = report["metric"]
        click.echo(
            f"{report['task']}: {name} {report['metrics'][name]:.4g}, baseline {report['baseline'][name]:.4g}; "
            f"full report: tiltyard report {report['task']} --open" + tables.stand_in_note(report.get("stand_in"))
        )


@click.command()
@TASKS
@click.option("--dry-run", is_flag=True, help="Judge and print; change nothing.")
@click.option("--again", is_flag=True, help="Judge a version again that was held, rejected or rolled back.")
@click.option("--override", metavar="REASON", help="Promote one task in spite of HOLD; your name and reason are kept.")
@ALLOW_STAND_IN
@JSON
def promote(tasks: tuple[str, ...], as_json: bool, **options: Any) -> None:
    r"""Judge the challenger and, if it wins, make it the champion.

    Before it becomes the champion, it is packaged and the package is tested.

    \b
    tiltyard promote iris --dry-run     only print the verdict and its reasons
    tiltyard promote iris --override "prices of ticket 812"    a person's word against HOLD, never against REJECT

    Exits with 0 if it is promoted or is already the champion, 3 on HOLD or REJECT, 1 on an error.
    """
    from tiltyard.gate.promote import promote as action

    if options["override"] is not None and len(tasks) != 1:
        raise click.UsageError(f"--override: expected one task; received {', '.join(tasks) or 'none'}")
    _print_verdicts(tasks, lambda w, t: action(w, t, **options), as_json=as_json)


@click.command()
@TASKS
@click.option("--to", "kind", required=True, type=click.Choice(["int8", "int8-dynamic", "fp16"]), help="Number format.")
@click.option("--dry-run", is_flag=True, help="Judge and print; promote nothing.")
@click.option("--again", is_flag=True, help="Judge a variant again that was held, rejected or rolled back.")
@JSON
def quantize(tasks: tuple[str, ...], kind: str, dry_run: bool, again: bool, as_json: bool) -> None:
    r"""Make an int8 or float16 variant of the champion.

    It becomes champion if it is no worse and faster.

    \b
    tiltyard quantize digits --to int8 --dry-run     only print the verdict and its reasons

    int8 takes its scales from training rows, int8-dynamic measures them in each prediction. Exits like `promote`.
    """
    from tiltyard.gate.quantize import quantize as action

    _print_verdicts(tasks, lambda w, t: action(w, t, kind, dry_run=dry_run, again=again), as_json=as_json)


def _print_verdicts(tasks: tuple[str, ...], action: Callable[[Workspace, Task], Verdict], *, as_json: bool) -> None:
    """Judge tasks and print the verdicts; exit with the status of the worst."""
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.gate import next_steps
    from tiltyard.gate.exit_status import exit_status

    def judged(workspace: Workspace, task: Task) -> Any:
        verdict = action(workspace, task)
        return verdict, next_steps.next_steps(workspace, task, verdict)

    verdicts = [pair for _, pair in run_locked(tasks, judged)]
    if as_json:
        print_json([{**asdict(verdict), "next": asdict(steps)} for verdict, steps in verdicts])
    for verdict, steps in [] if as_json else verdicts:
        click.echo(f"{verdict.task}: {verdict.shown_verdict} {verdict.version}")
        tables.print_checks([asdict(outcome) for outcome in verdict.outcomes])
        for line in [*verdict.reasons, *steps.fit]:
            click.echo(f"  {line}")
        tables.print_next_steps(steps.commands)
    exit_with(exit_status(verdict.shown_verdict for verdict, _ in verdicts))


@click.command()
@TASKS
@JSON
def package(tasks: tuple[str, ...], as_json: bool) -> None:
    """Build a Bento of the judged model and test it. The test compares its predictions with those of the evaluation."""
    from tiltyard.serving.packaging.package import package as action

    print_each(run_locked(tasks, action), lambda version: f"packaged and tested, version {version}", as_json=as_json)


def _smoke_module() -> contextlib.AbstractContextManager[Any]:
    """Import the module of smoke runs, which does without Prefect."""
    return contextlib.nullcontext(importlib.import_module("tiltyard.pipelines.smoke"))


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Exit at once on Ctrl-C; Python would wait until each thread has finished its step."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(STOPPED, err=True)
        os._exit(130)


@click.command()
@TASKS
@click.option("--smoke", is_flag=True, help="Smoke test: few rows and one epoch, in a temporary folder.")
@ALLOW_STAND_IN
@JSON
def run(tasks: tuple[str, ...], smoke: bool, allow_stand_in: bool, as_json: bool) -> None:
    r"""Run the whole pipeline, from source to packaged champion.

    It is one Prefect flow; unchanged stages are skipped.

    \b
    tiltyard run                all tasks, as many in parallel as there are cores
    tiltyard run iris digits    these tasks
    tiltyard run --smoke churn  a smoke test in seconds; nothing in the project changes

    Exits with 0 if every task is promoted or unchanged, 3 if one is held or rejected, 1 on an error.
    """
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.config import task_list
    from tiltyard.pipelines.start import flow_module
    from tiltyard.pipelines.unchanged import unchanged
    from tiltyard.runtime import progress

    workspace = find_workspace()
    with _interruptible():
        with progress.status("checking for changes"):
            names = list(tasks) or task_list.listed(workspace)
            rows = None if smoke else unchanged(workspace, names, allow_stand_in=allow_stand_in)
        if rows is not None:
            click.echo("nothing changed since the last run: every step is skipped", err=True)
        else:
            with (
                progress.status("starting Prefect") as ready,
                _smoke_module() if smoke else flow_module() as flow,
            ):
                rows = flow.run(workspace, names, ready, **({} if smoke else {"allow_stand_in": allow_stand_in}))
        if as_json:
            print_json([asdict(row) for row in rows])
        else:
            tables.print_outcomes(rows, smoke=smoke)
    exit_with(max(row.status for row in rows) if all(row.ok for row in rows) else 1)


@click.command("smoke-task", hidden=True)
@click.argument("task")
@click.argument("folder", type=click.Path(path_type=Path))
def smoke_task(task: str, folder: Path) -> None:
    """Run the smoke test of one task in a folder; `tiltyard run --smoke` starts this for each task."""
    from tiltyard.config import loader
    from tiltyard.pipelines.smoke import run_task

    workspace = find_workspace()
    run_task(workspace, loader.load(workspace, task), Workspace(folder))


@click.command()
@TASKS
@click.option("--cron", required=True, help="Minute, hour, day, month, weekday: '0 6 * * *' is every day at six.")
@click.option("--timezone", default="UTC", show_default=True, help="Time zone of the schedule, such as Europe/Vienna.")
def schedule(tasks: tuple[str, ...], cron: str, timezone: str) -> None:
    r"""Run tasks on a schedule. This serves a Prefect deployment until it is interrupted.

    \b
    tiltyard schedule --cron '0 6 * * *' iris sine

    SIGTERM or Ctrl-C ends it and the run in progress, which the next run resumes; a second Ctrl-C ends at once.
    """
    from tiltyard.config import task_list
    from tiltyard.pipelines.start import prefect_module

    workspace = find_workspace()
    names = list(tasks) or task_list.listed(workspace)
    served = f"{', '.join(names)}: scheduled at {cron} {timezone}; Ctrl-C ends the schedule, and a run in progress"
    with prefect_module("schedule", scheduling=True) as module:
        number = module.schedule(workspace, names, (cron, timezone), lambda: click.echo(served))
    end_by(number)


COMMANDS = [fetch, resolve, validate, prepare, train, evaluate, promote, quantize, package, run, smoke_task, schedule]
