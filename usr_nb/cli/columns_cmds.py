"""``usr columns list | set``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from usr_nb.cli import options, render, say, sheets
from usr_nb.cli.apps import built, new_app
from usr_nb.contract.columns import FIELDS
from usr_nb.contract.names import namespace_of
from usr_nb.dataset.columns import load_columns, set_column
from usr_nb.dataset.listing import load_registry
from usr_nb.errors import did_you_mean
from usr_nb.storage.roots import find_root

app = new_app()
columns = new_app("Say units, labels and formats of columns.")
app.add_typer(columns, name="columns")

Name = Annotated[str, typer.Argument(metavar="COLUMN", help="As in evo2__llr, or length.")]


@columns.command("list")
def list_(*, root: options.Root = None, fmt: options.Show = "auto") -> None:
    """List what is known of columns (columns.yaml)."""
    found = load_columns(find_root(root))
    items: list[dict[str, Any]] = [
        {"column": name, **{f: getattr(info, f) for f in FIELDS}} for name, info in found.items()
    ]
    render.emit(fmt, items, sheets.of_dicts(items, ("column", *FIELDS)))
    if not items:
        say.note("Nothing is said of any column. Say it with `usr columns set COLUMN --unit ...`.")


@columns.command("set")
def set_(
    name: Name,
    *,
    unit: Annotated[str | None, typer.Option(help="As in nats, nt.")] = None,
    label: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    better: Annotated[
        str | None, typer.Option(metavar="high|low", help="Which values are wanted.")
    ] = None,
    number: Annotated[
        str | None,
        typer.Option("--number", metavar="FORMAT", help="As in .3f, ,d, .1%: how numbers look."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="What computed the values.")] = None,
    reduction: Annotated[str | None, typer.Option(help="How many became one.")] = None,
    root: options.Root = None,
) -> None:
    """Say what people need to know of a column.

    Writes columns.yaml at the root. What is not given stays; an empty text forgets.
    """
    base = find_root(root)
    info = set_column(
        base, name, unit=unit, label=label,
        better=better,  # type: ignore[arg-type]  # checked by the library, whose error says more
        format=number, model=model, reduction=reduction,
    )  # fmt: skip
    told = ", ".join(f"{k} {v}" for k, v in info.as_plain().items())
    _note_unregistered(base, name)
    say.result(f"{name}: {told or 'nothing is said of it'}")


def _note_unregistered(root: Path, name: str) -> None:
    """Say so if there is no such column yet: it may be a slip of the pen."""
    known = {c for entry in load_registry(root).values() for c in entry.column_names}
    if namespace_of(name) is not None and name not in known:
        meant = did_you_mean(name, known)
        say.note(f"{name} is not registered yet.{f' {meant}' if meant else ''}")


COMMANDS = built(app)
