"""The commands `tiltyard explain` (explanations of a model) and `tiltyard report` (HTML report)."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from tiltyard.cli.commands._common import JSON, TASK, TASKS, find_workspace, print_json, run_task_read_locked, run_tasks
from tiltyard.runtime import environment


@click.command()
@TASK
@click.option(
    "--row", "rows", type=int, multiple=True, help="A sealed test row, by its number in the raw data; repeatable."
)
@click.option("--only", multiple=True, metavar="METHOD", help="Use only this method of explanation; repeatable.")
@JSON
def explain(task: str, rows: tuple[int, ...], only: tuple[str, ...], as_json: bool) -> None:
    r"""Explain the model that was trained last, and single predictions.

    \b
    tiltyard explain diabetes                 all methods that apply; the rows with the largest errors
    tiltyard explain digits --row 1743        one row
    tiltyard explain digits --only grad_cam
    """
    from tiltyard.cli.output import explanations
    from tiltyard.explain.explain import ExplainRequest
    from tiltyard.explain.explain import explain as action

    with environment.redirect_native_output(find_workspace().log("explain")):
        result = run_task_read_locked(
            task, lambda w, t: action(w, t, ExplainRequest(rows, only), lambda text: click.echo(text, err=True))
        )
    if as_json:
        print_json(result)
    else:
        explanations.print_explanations(result)


@click.command()
@TASKS
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), help="Write to this folder instead of out/report."
)
@click.option("--open", "open_browser", is_flag=True, help="Open the report in the browser.")
@JSON
def report(tasks: tuple[str, ...], into: Path | None, open_browser: bool, as_json: bool) -> None:
    r"""Write an HTML report on the tasks.

    It shows verdicts, metrics, plots, explanations, ledger, data and lineage.

    \b
    tiltyard report                      all tasks; then open out/report/index.html
    tiltyard report iris --into site     one task, into a folder; it needs no server and no network
    """
    from tiltyard.report.report import report as action

    workspace, listed = find_workspace(), [task for _, task in run_tasks(tasks, lambda _, task: task)]
    result = action(workspace, listed, into, lambda text: click.echo(text, err=True))
    if as_json:
        print_json(result)
    else:
        click.echo(f"written: {Path(result['folder']) / 'index.html'}, and {len(result['pages']) - 1} more pages")
    if open_browser and not webbrowser.open((Path(result["folder"]) / "index.html").resolve().as_uri()):
        click.echo("no browser was found to open the report", err=True)


COMMANDS = [explain, report]
