"""The commands that show: what a model looks at, and the pages about all of it."""

from __future__ import annotations

import click

from tiltyard.command import JSON, TASK, one, print_json


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
    from tiltyard import show_explained
    from tiltyard.explain import Wish
    from tiltyard.explain import explain as verb

    result = one(task, lambda w, t: verb(w, t, Wish(rows, only), lambda text: click.echo(text, err=True)))
    if as_json:
        print_json(result)
    else:
        show_explained.explained(result)


COMMANDS = [explain]
