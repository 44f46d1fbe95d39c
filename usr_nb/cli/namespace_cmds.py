"""``usr namespace list | show | register``."""

from __future__ import annotations

from typing import Annotated

import typer

from usr_nb.cli import options, render, say, sheets, views
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset.listing import load_registry
from usr_nb.dataset.registration import register_namespace
from usr_nb.errors import NamespaceError, did_you_mean
from usr_nb.storage.roots import find_root

app = new_app()
namespace = new_app("Register overlay namespaces and show them.")
app.add_typer(namespace, name="namespace")

Name = Annotated[str, typer.Argument(metavar="NAMESPACE", help="Lower-case letters, digits, _.")]


@namespace.command("list")
def list_(*, root: options.Root = None, fmt: options.Show = "auto") -> None:
    """List the registered namespaces."""
    registry = load_registry(find_root(root))
    items = [views.namespace_item(name, entry) for name, entry in registry.items()]
    rows = [{**i, "columns": len(i["columns"])} for i in items]
    names = ("namespace", "columns", "owner", "description")
    render.emit(fmt, items, sheets.of_dicts(rows, names))


@namespace.command()
def show(name: Name, *, root: options.Root = None, fmt: options.Show = "auto") -> None:
    """Show the columns of a namespace."""
    registry = load_registry(find_root(root))
    if name not in registry:
        hint = did_you_mean(name, registry) or "See `usr namespace list`."
        raise NamespaceError(f"Namespace '{name}' is not registered", hint=hint)
    item = views.namespace_item(name, registry[name])
    render.emit(fmt, item, sheets.of_dicts(item["columns"], ("name", "type")))
    if render.resolved(fmt) in {"rich", "plain"}:
        say.note(f"owner: {item['owner'] or '–'}; {item['description'] or 'no description'}")


@namespace.command()
def register(
    name: Name,
    *,
    columns: Annotated[
        str,
        typer.Option(
            metavar="A:TYPE,B:TYPE", help="As in mock__score:float64,mock__v:list<float32>."
        ),
    ],
    owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    description: Annotated[str | None, typer.Option(help="What its values are.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a definition; columns in use must stay.")
    ] = False,
    root: options.Root = None,
) -> None:
    """Register a namespace and its columns.

    The first registration creates registry.yaml, with the reserved namespace usr_state.
    """
    base = find_root(root)
    say.note(f"root: {base}")
    entry = register_namespace(base, namespace=name, columns=columns, owner=owner,
                               description=description, overwrite=overwrite)  # fmt: skip
    say.result(f"registered {name}: {', '.join(f'{c.name}:{c.type}' for c in entry.columns)}")


COMMANDS = built(app)
