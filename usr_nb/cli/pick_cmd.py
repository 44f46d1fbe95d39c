"""``usr pick``: the best records, far apart, as ids."""

from __future__ import annotations

from typing import Annotated

import typer

from usr_nb.cli import options, render, say, target
from usr_nb.cli.apps import built, new_app
from usr_nb.cli.render import Sheet
from usr_nb.filter.distance import Metric

app = new_app()


@app.command()
def pick(
    dataset: options.Target = None,
    *,
    where: options.Where = None,
    order_by: options.OrderBy = None,
    top: options.Top = None,
    per: Annotated[
        str | None,
        typer.Option(help="--top counts for each value of this.", show_default=False),
    ] = None,
    min_distance: Annotated[
        int | None,
        typer.Option(min=1, help="No two are closer, in letters.", show_default=False),
    ] = None,
    metric: Annotated[Metric, typer.Option(help="How distance is measured.")] = "hamming",
    always: Annotated[
        list[str] | None,
        typer.Option(
            "--always", metavar="ID", help="Picked first in any case.", show_default=False
        ),
    ] = None,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Pick records: filtered, sorted, far apart.

    Prints their ids in that order, as --id-file reads them; JSON holds the rule as well, and a
    fingerprint of the dataset.
    """
    ds = target.dataset(dataset, root)
    with say.working("picking"):
        found = ds.pick(
            where=options.filter_of(ds, where), order_by=order_by or (), top=top, per=per,
            metric=metric if min_distance is not None else None, min_distance=min_distance,
            always=options.split_all(always) or (),
        )  # fmt: skip
    render.emit(fmt, found.as_dict(), Sheet(("id",), [[i] for i in found.ids], see=""))
    say.note(f"picked {say.count(len(found.ids), 'record')}.")


COMMANDS = built(app)
