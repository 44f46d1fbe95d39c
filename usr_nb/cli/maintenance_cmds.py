"""``usr maintenance ...``: what rewrites or takes away files."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from usr_nb.cli import options, say, target
from usr_nb.cli.apps import built, new_app

app = new_app()
maintenance = new_app("Compact, freeze, remove overlays.")
app.add_typer(maintenance, name="maintenance")

Namespace = Annotated[str, typer.Option("--namespace", help="The overlay's namespace.")]


@maintenance.command("registry-freeze")
def registry_freeze(dataset: options.Target = None, root: options.Root = None) -> None:
    """Freeze the present registry into the dataset and stamp its base."""
    ds = target.dataset(dataset, root)
    say.place(ds)
    with ds.maintenance(reason="usr maintenance registry-freeze"):
        hashed = ds.freeze_registry()
    say.result(f"froze registry {hashed}")


@maintenance.command("overlay-compact")
def overlay_compact(
    dataset: options.Target = None,
    *,
    namespace: Namespace,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Write _derived/<namespace>.parquet.")
    ] = False,
    root: options.Root = None,
) -> None:
    """Rewrite all parts of an overlay into one; reads stay the same."""
    ds = target.dataset(dataset, root)
    say.place(ds)
    with say.working("compacting"), ds.maintenance(reason="usr maintenance overlay-compact"):
        done = ds.compact_overlay(namespace, single_file=single_file)
    say.result(f"compacted {namespace}: {done}")


@maintenance.command("overlay-remove")
def overlay_remove(
    dataset: options.Target = None,
    *,
    namespace: Namespace,
    mode: Annotated[
        Literal["delete", "archive"], typer.Option(help="archive keeps the files aside.")
    ] = "delete",
    yes: options.Yes = False,
    root: options.Root = None,
) -> None:
    """Take an overlay away; values materialized into the base stay."""
    ds = target.dataset(dataset, root)
    say.place(ds)
    if mode == "delete" and not yes and say.interactive():
        say.confirm(f"Delete all files of overlay {namespace}?")
    gone = ds.remove_overlay(namespace, mode)
    say.result(f"{mode}d {say.count(len(gone), 'file')} of {namespace}")


COMMANDS = built(app)
