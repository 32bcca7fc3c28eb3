"""The commands that show: what a model looks at, and the pages about all of it."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from tiltyard import environment
from tiltyard.cli.commands._common import JSON, TASK, TASKS, find, one_reading, print_json, run_named


@click.command()
@TASK
@click.option("--row", "rows", type=int, multiple=True, help="A sealed row, by its number in the raw data; repeatable.")
@click.option("--only", multiple=True, metavar="WAY", help="Just this way of explaining; repeatable.")
@JSON
def explain(task: str, rows: tuple[int, ...], only: tuple[str, ...], as_json: bool) -> None:
    r"""Show what the model that was trained last looks at: as a whole, and for single rows.

    \b
    tiltyard explain diabetes                 every way that fits; the rows that are missed most
    tiltyard explain digits --row 1743        one row
    tiltyard explain digits --only grad_cam
    """
    from tiltyard.cli.output import explanations
    from tiltyard.explain.explain import ExplainRequest
    from tiltyard.explain.explain import explain as verb

    with environment.native_redirected(find().log("explain")):
        result = one_reading(
            task, lambda w, t: verb(w, t, ExplainRequest(rows, only), lambda text: click.echo(text, err=True))
        )
    if as_json:
        print_json(result)
    else:
        explanations.explained(result)


@click.command()
@TASKS
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), help="Write it there instead of out/report.")
@click.option("--open", "show_it", is_flag=True, help="Open it in the browser.")
@JSON
def report(tasks: tuple[str, ...], into: Path | None, show_it: bool, as_json: bool) -> None:
    r"""Write a static site about the tasks: verdicts, figures, curves, explanations, ledger, data, lineage.

    \b
    tiltyard report                      all tasks; then open out/report/index.html
    tiltyard report iris --into site     one, to be put anywhere: it needs no server and no network
    """
    from tiltyard.report.report import report as verb

    workspace, listed = find(), [task for _, task in run_named(tasks, lambda _, task: task)]
    result = verb(workspace, listed, into, lambda text: click.echo(text, err=True))
    if as_json:
        print_json(result)
    else:
        click.echo(f"written: {Path(result['folder']) / 'index.html'}, and {len(result['pages']) - 1} more pages")
    if show_it and not webbrowser.open((Path(result["folder"]) / "index.html").resolve().as_uri()):
        click.echo("no browser was found to open it with", err=True)


COMMANDS = [explain, report]
