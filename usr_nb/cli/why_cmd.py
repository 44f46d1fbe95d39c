"""``usr why``: where the value of one cell comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from usr_nb.cli import options, render, say, target, why_view
from usr_nb.cli.apps import built, new_app
from usr_nb.errors import ValidationError

app = new_app()
Cell = Annotated[
    list[str],
    typer.Argument(
        metavar="[DATASET] ID COLUMN",
        help="The cell. Without DATASET: the dataset around the working folder.",
    ),
]


@app.command()
def why(words: Cell, *, root: options.Root = None, fmt: options.Show = "auto") -> None:
    """Say where the value of one cell comes from.

    Shows the part that decides, the parts it shadows, what is in the base, and what archived
    files held; each with time, writer and event.
    """
    if len(words) not in {2, 3}:
        raise ValidationError(
            "A cell is named by an id and a column",
            hint="Write it like: usr why DATASET ID COLUMN.",
        )
    *dataset, id_, column = words
    found = target.dataset(dataset[0] if dataset else None, root).why(id_, column)
    render.emit(fmt, why_view.plain_why(found), why_view.sheet(found))
    if render.resolved(fmt) in {"rich", "plain"}:
        say.sentence(why_view.verdict(found))


COMMANDS = built(app)
