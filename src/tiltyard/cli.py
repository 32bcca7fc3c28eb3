"""The command line: one command a verb; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tiltyard.errors import TiltyardError
from tiltyard.quiet import silence
from tiltyard.stage import inside
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from tiltyard.task import Task

TASKS = click.argument("tasks", nargs=-1, metavar="[TASK]...")
TASK = click.argument("task")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def main() -> None:
    """Run a command; a user's mistake ends in a sentence and a hint, never in a traceback."""
    try:
        with inside():
            cli(standalone_mode=False)
    except TiltyardError as error:
        _complain(error)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)


def _complain(error: TiltyardError) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True)
    if error.hint:
        click.echo(click.style("next:  ", fg="cyan", bold=True) + error.hint, err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tiltyard")
def cli() -> None:
    r"""Tiltyard takes data to a served Keras model; a challenger replaces the champion only when it wins.

    \b
    tiltyard run                  all tasks, from source to packaged champion
    tiltyard serve                the champions, on http://localhost:3000
    tiltyard predict iris --json '[{"sepal_length": 5.1, ...}]'
    tiltyard history iris         every verdict about a task, with its reasons
    """


def _workspace() -> Workspace:
    workspace = Workspace.find()
    silence(workspace)
    return workspace


def _named(tasks: tuple[str, ...], verb: Callable[[Workspace, Task], Any]) -> Iterator[tuple[str, Any]]:
    """Run a verb for the named tasks, or for all; every task file is read before anything runs."""
    from tiltyard import task_file

    workspace = _workspace()
    for task in [task_file.load(workspace, name) for name in tasks or workspace.tasks()]:
        yield task.name, verb(workspace, task)


def _one(name: str, verb: Callable[[Workspace, Task], Any]) -> Any:
    ((_, result),) = _named((name,), verb)
    return result


@contextlib.contextmanager
def _pipeline(name: str, *, scheduling: bool = False) -> Iterator[Any]:
    """Import a module that uses Prefect, which makes its folder on import, but not the folder around it."""
    from pipelines import server

    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    with server.running(scheduling=scheduling):
        yield importlib.import_module(f"pipelines.{name}")


def _print_json(content: Any) -> None:
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _each(results: Iterator[tuple[str, Any]], sentence: Callable[[Any], str], *, as_json: bool) -> None:
    """Print a sentence a task as soon as it is done, or all results as one JSON object by task."""
    if as_json:
        _print_json({name: vars(result) if is_dataclass(result) else result for name, result in results})
        return
    for name, result in results:
        click.echo(f"{name}: {sentence(result)}")


@cli.command()
@TASK
@click.option("--data", required=True, metavar="FILE", help="A table: CSV, TSV, JSON lines or Parquet, packed or not.")
@click.option("--target", required=True, metavar="COLUMN", help="What is to be predicted.")
@click.option("--problem", type=click.Choice(["regression", "classification"]), help="If the guess would be wrong.")
@click.option("--drop", multiple=True, metavar="COLUMN", help="Leave a column out; may be repeated.")
@click.option("--force", is_flag=True, help="Overwrite a task file that is there.")
@JSON
def init(task: str, force: bool, as_json: bool, **wish: Any) -> None:
    r"""Look at a table and draft its task file: columns, bounds, what to leave out and why, model, gate.

    \b
    tiltyard init churn --data customers.csv --target Exited
    """
    from dataclasses import asdict

    from tiltyard import show
    from tiltyard.init import Wish
    from tiltyard.init import init as verb

    drafted = verb(_workspace(), task, Wish(**wish), force=force)
    if as_json:
        _print_json(asdict(drafted))
        return
    show.drafted(drafted, task)


@cli.command()
@TASKS
@click.option("--force", is_flag=True, help="Overwrite raw data that was edited by hand.")
@JSON
def fetch(tasks: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Get raw data into data/raw, version it with DVC and push it to the default remote."""
    from tiltyard.fetch import fetch as verb

    told = {"new": "new", "same": "as before", "edited": "edited by hand and kept; --force fetches over it"}
    fetched = _named(tasks, lambda w, t: verb(w, t, force=force))
    _each(fetched, lambda raw: f"raw data {raw.data[:12]}, {told[raw.state]}", as_json=as_json)


@cli.command()
@TASKS
@JSON
def validate(tasks: tuple[str, ...], as_json: bool) -> None:
    """Hold raw data against its expectations; a critical failure stops the road."""
    from tiltyard.validate import validate as verb

    def sentence(validation: Any) -> str:
        warnings = validation.failed("warning")
        first = f"{validation.rows} rows meet {len(validation.outcomes) - len(warnings)} expectations"
        told = [*(("repaired", text) for text in validation.repairs), *(("warning", o.sentence()) for o in warnings)]
        return "\n".join([first, *(click.style(f"  {word}: ", fg="yellow") + text for word, text in told)])

    results = _named(tasks, lambda w, t: verb(w, t).to_json() if as_json else verb(w, t))
    _each(results, sentence, as_json=as_json)


@cli.command()
@TASKS
@click.option("--reseal", is_flag=True, help="Accept another test part for the same data; earlier figures end here.")
@JSON
def prepare(tasks: tuple[str, ...], reseal: bool, as_json: bool) -> None:
    """Split the rows, seal the test part, fit the encoder on the training rows."""
    from tiltyard.prepare import prepare as verb

    def sentence(facts: Any) -> str:
        return ", ".join(f"{count} {part}" for part, count in facts["rows"].items()) + " rows"

    _each(_named(tasks, lambda w, t: verb(w, t, reseal=reseal)), sentence, as_json=as_json)


@cli.command()
@TASKS
@JSON
def train(tasks: tuple[str, ...], as_json: bool) -> None:
    """Train the Keras model and export it to ONNX; killed and started again, it goes on where it was."""
    from tiltyard.train import train as verb

    def sentence(record: Any) -> str:
        return (
            f"{record['epochs']} epochs, best {record['best_epoch']}, {record['parameters']} parameters, "
            f"ONNX within {record['parity']:.1e} of Keras"
        )

    _each(_named(tasks, verb), sentence, as_json=as_json)


@cli.command()
@TASKS
@JSON
def evaluate(tasks: tuple[str, ...], as_json: bool) -> None:
    """Measure the exported model on the sealed test rows, beside an honest baseline."""
    from tiltyard.evaluate import evaluate as verb

    reports = [report for _, report in _named(tasks, verb)]
    if as_json:
        _print_json(reports)
    for report in [] if as_json else reports:
        name = report["metric"]
        click.echo(
            f"{report['task']}: {name} {report['metrics'][name]:.4g}, baseline {report['baseline'][name]:.4g}; "
            f"read out/{report['task']}/evaluate/report.html"
        )


@cli.command()
@TASKS
@click.option("--dry-run", is_flag=True, help="Judge and print, change nothing.")
@click.option("--again", is_flag=True, help="Judge anew what was held, rejected or rolled back before.")
@JSON
def promote(tasks: tuple[str, ...], dry_run: bool, again: bool, as_json: bool) -> None:
    r"""Judge the challenger; if it wins, package it, prove the package, and swap the champion.

    \b
    tiltyard promote iris --dry-run     the verdict and its reasons, nothing else
    """
    from dataclasses import asdict

    from tiltyard import show
    from tiltyard.promote import promote as verb

    verdicts = [verdict for _, verdict in _named(tasks, lambda w, t: verb(w, t, dry_run=dry_run, again=again))]
    if as_json:
        _print_json([asdict(verdict) for verdict in verdicts])
        return
    for verdict in verdicts:
        click.echo(f"{verdict.task}: {verdict.verdict} {verdict.version}")
        show.table(["check", "outcome", "why"], [(o.code, o.state, o.text or o.title) for o in verdict.outcomes])
        for reason in verdict.reasons:
            click.echo(f"  {reason}")


@cli.command()
@TASKS
@JSON
def package(tasks: tuple[str, ...], as_json: bool) -> None:
    """Build the Bento of the judged model, start it, and hold its answers against the evaluation."""
    from tiltyard.package import package as verb

    _each(_named(tasks, verb), lambda version: f"packaged and proven, version {version}", as_json=as_json)


@cli.command()
@TASKS
@JSON
def run(tasks: tuple[str, ...], as_json: bool) -> None:
    r"""Take tasks from source to packaged champion, in one Prefect flow; what is unchanged is skipped.

    \b
    tiltyard run                all tasks, as many at once as there are cores
    tiltyard run iris digits    these
    """
    from dataclasses import asdict

    from tiltyard import show

    workspace = _workspace()
    with _pipeline("road") as road:
        rows = road.run(workspace, list(tasks) or workspace.tasks())
        if as_json:
            _print_json([asdict(row) for row in rows])
        else:
            show.outcome(rows)
    if not all(row.ok for row in rows):
        sys.exit(1)


@cli.command()
@TASKS
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes that answer.")
def serve(tasks: tuple[str, ...], host: str, port: int, workers: int) -> None:
    r"""Serve the champions of all tasks, or of the named ones, over REST.

    \b
    tiltyard serve iris --port 3001
    """
    from tiltyard.serve import serve as verb

    verb(_workspace(), tasks, (host, port), workers, click.echo)


@cli.command()
@TASK
@click.option("--json", "text", metavar="TEXT", help="An instance, or a list of them, as REST takes it.")
@click.option("--csv", "path", type=click.Path(), help="A file with a row an instance; a series with its last values.")
def predict(task: str, text: str | None, path: str | None) -> None:
    r"""Ask a task's champion without a server; the answers are printed as JSON.

    \b
    tiltyard predict iris --csv new.csv
    """
    from tiltyard import predict as verb

    if (text is None) == (path is None):
        raise click.UsageError("expected either --json or --csv")
    if path is not None:
        _print_json(_one(task, lambda w, t: verb.predict_csv(w, t, Path(path))))
    else:
        _print_json(_one(task, lambda w, t: verb.predict(w, t, text or "")))


@cli.command()
@JSON
def status(as_json: bool) -> None:
    """Show each task's champion and the last verdict about it."""
    from tiltyard import show
    from tiltyard.status import status as verb

    rows = verb(_workspace())
    if as_json:
        _print_json(rows)
    else:
        names = ("task", "version", "metric", "value", "since", "verdict", "decided")
        show.table(names, [[row[name] for name in names] for row in rows])


@cli.command()
@TASK
@JSON
def history(task: str, as_json: bool) -> None:
    """Show every verdict about a task, with its reasons."""
    from tiltyard import show
    from tiltyard.history import history as verb

    decisions = _one(task, verb)
    if as_json:
        _print_json(decisions)
    else:
        names = ("time", "verdict", "version", "champion", "who")
        show.table(
            [*names, "value", "why"],
            [[*(d[name] for name in names), d["metrics"].get(d["metric"]), "; ".join(d["reasons"])] for d in decisions],
        )


@cli.command()
@TASK
@JSON
def rollback(task: str, as_json: bool) -> None:
    """Let the champion before this one serve again."""
    from tiltyard.rollback import rollback as verb

    decision = _one(task, verb)
    if as_json:
        _print_json(decision.model_dump(mode="json"))
    else:
        click.echo(f"{task}: {decision.version} serves again, {decision.champion} no longer")


@cli.command()
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option("--cron", required=True, help="Minute, hour, day, month, weekday: '0 6 * * *' is every day at six.")
@click.option("--timezone", default="UTC", show_default=True, help="Of the clock, such as Europe/Vienna.")
def schedule(tasks: tuple[str, ...], cron: str, timezone: str) -> None:
    r"""Run tasks by the clock: a Prefect deployment, served until it is interrupted.

    \b
    tiltyard schedule --cron '0 6 * * *' iris sine
    """
    workspace = _workspace()
    with _pipeline("schedule", scheduling=True) as clock:
        clock.schedule(workspace, list(tasks) or workspace.tasks(), cron, timezone)


@cli.command()
@JSON
def doctor(as_json: bool) -> None:
    """Say what this machine has, what it lacks, and what to do about it."""
    from dataclasses import asdict

    from tiltyard import show
    from tiltyard.doctor import doctor as verb

    findings = verb(_workspace())
    if as_json:
        _print_json([asdict(finding) for finding in findings])
    else:
        rows = [(f.name, "ok" if f.ok else "missing", f.found, f.hint) for f in findings]
        show.table(["what", "", "found", "to do"], rows)


@cli.command()
def schema() -> None:
    r"""Print the JSON Schema of a task file.

    \b
    tiltyard schema > tasks/schema.json     what the first line of every task file points to
    """
    from tiltyard import task_file

    _print_json(task_file.json_schema())
