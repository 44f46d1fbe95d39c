"""``usr filters list | save | delete``: filters kept with a dataset, for ``--where @NAME``."""

from __future__ import annotations

from typing import Annotated

import typer

from usr_nb.cli import options, render, say, target, views
from usr_nb.cli.apps import built, new_app
from usr_nb.filter.line import parse_filter

app = new_app()
filters = new_app("Keep filters by name.")
app.add_typer(filters, name="filters")

Name = Annotated[str, typer.Option("--name", help="Its name, without @.")]


@filters.callback()
def about() -> None:
    """Keep filters by name."""


@filters.command("list")
def list_(
    dataset: options.Target = None, *, root: options.Root = None, fmt: options.Show = "auto"
) -> None:
    """List the filters saved with a dataset."""
    found = target.dataset(dataset, root).filters()
    render.emit(fmt, views.filter_items(found), views.filters_sheet(found))
    if not found:
        say.note("No filter is saved. Save one with `usr filters save`.")


@filters.command()
def save(
    dataset: options.Target = None,
    *,
    name: Name,
    where: Annotated[str, typer.Option(metavar="FILTER", help="The filter: docs/filters.md.")],
    root: options.Root = None,
) -> None:
    """Save a filter; --where @NAME means it then.

    One of that name is replaced.
    """
    ds = target.dataset(dataset, root)
    say.place(ds)
    kept = parse_filter(where)
    ds.save_filter(name, kept)
    say.result(f"saved {name}: {kept.as_line()}")


@filters.command()
def delete(dataset: options.Target = None, *, name: Name, root: options.Root = None) -> None:
    """Take a saved filter away."""
    ds = target.dataset(dataset, root)
    say.place(ds)
    ds.delete_filter(name)
    say.result(f"deleted filter {name}")


COMMANDS = built(app)
