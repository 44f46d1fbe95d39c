"""``usr maintenance ...``: what rewrites or takes away files."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

from usr_nb.cli import confirm, options, plans, say, target, views, words
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset.dedupe import DedupeKey, Keep
from usr_nb.dataset.merging import CoerceOverlap, IfDuplicate, merge_datasets

app = new_app()
maintenance = new_app("Deduplicate, merge, compact, freeze.")
app.add_typer(maintenance, name="maintenance")

Namespace = Annotated[str, typer.Option("--namespace", help="The overlay's namespace.")]


@maintenance.command("registry-freeze")
def registry_freeze(dataset: options.Target = None, *, root: options.Root = None) -> None:
    """Freeze the registry into a dataset.

    Keeps a copy in _registry/ and stamps the base.
    """
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
    dry_run: plans.DryRun = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Rewrite an overlay's parts into one.

    Reads stay the same.
    """
    ds = target.dataset(dataset, root)
    if dry_run:
        return plans.show(ds.plan_compact(namespace, single_file=single_file), fmt)
    say.place(ds)
    with say.working("compacting"), ds.maintenance(reason="usr maintenance overlay-compact"):
        done = ds.compact_overlay(namespace, single_file=single_file)
    return say.result(words.compacted(done, namespace))


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
    """Take an overlay away.

    Values materialized into the base stay.
    """
    ds = target.dataset(dataset, root)
    say.place(ds)
    if mode == "delete" and not yes and say.interactive():
        say.confirm(f"Delete all files of overlay {namespace}?")
    gone = ds.remove_overlay(namespace, mode)
    say.result(f"{mode}d {say.count(len(gone), 'file')} of {namespace}")


@maintenance.command()
def dedupe(
    dataset: options.Target = None,
    *,
    key: Annotated[DedupeKey, typer.Option(help="What must not repeat.")] = "sequence",
    keep: Annotated[Keep, typer.Option(help="Which row of a group stays.")] = "keep-first",
    dry_run: plans.DryRun = False,
    yes: options.Yes = False,
    root: options.Root = None,
) -> None:
    """Remove rows that repeat a key.

    An automatic snapshot is taken first. sequence_ci ignores case and needs every row to be dna_4.
    """
    ds = target.dataset(dataset, root)
    say.place(ds)
    ask = partial(confirm.dedupe, yes=yes)
    with say.working("deduplicating"), ds.maintenance(reason="usr maintenance dedupe"):
        done = ds.dedupe(key, keep, dry_run, approve=ask)
    for example in done.examples:
        say.note(f"  {views.dict_text(example)}")
    say.result(words.deduped(done))


@maintenance.command()
def merge(
    *,
    dest: Annotated[str, typer.Option(help="The dataset that gets the rows.")],
    src: Annotated[str, typer.Option(help="The dataset they come from.")],
    union_columns: Annotated[
        bool,
        typer.Option(
            "--union-columns/--require-same-columns",
            help="Fill columns that one side lacks with nulls, or refuse.",
        ),
    ] = True,
    if_duplicate: Annotated[IfDuplicate, typer.Option(help="Ids that both have.")] = "skip",
    coerce_overlap: Annotated[
        CoerceOverlap, typer.Option(help="Cast shared columns to dest's type, or refuse.")
    ] = "to-dest",
    avoid_casefold_dups: Annotated[
        bool,
        typer.Option(
            "--avoid-casefold-dups/--no-avoid-casefold-dups",
            help="Leave out rows whose letters are there in other case.",
        ),
    ] = True,
    carry_namespace: Annotated[
        list[str] | None, typer.Option(help="Overlay values that come along; repeatable.")
    ] = None,
    dry_run: plans.DryRun = False,
    root: options.Root = None,
) -> None:
    """Append rows of one dataset to another.

    Rows that are there already are left out, unless --if-duplicate says otherwise.
    """
    into, source = target.dataset(dest, root), target.dataset(src, root)
    say.place(into)
    with say.working("merging"):
        done = merge_datasets(
            into.root, dest=into.name, src=source.name,
            columns="union-columns" if union_columns else "require-same-columns",
            if_duplicate=if_duplicate, coerce_overlap=coerce_overlap,
            avoid_casefold_dups=avoid_casefold_dups, dry_run=dry_run,
            carry_namespace=options.split_all(carry_namespace) or (),
        )  # fmt: skip
    say.result(words.merged(done))


COMMANDS = built(app)
