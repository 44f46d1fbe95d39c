"""``usr delete | restore`` and ``usr state set | clear | get``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from usr_nb.cli import options, plans, render, say, sheets, target
from usr_nb.cli.apps import built, new_app
from usr_nb.contract.records import STATE_FIELDS

app = new_app()
state = new_app("Set, clear and show the state of records.")
app.add_typer(state, name="state")


@app.command()
def delete(
    dataset: options.Target = None,
    *,
    ids: options.Ids = None,
    id_file: options.IdFile = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the record.")] = None,
    allow_missing: options.AllowMissing = False,
    dry_run: plans.DryRun = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Hide records; nothing is erased.

    Bring them back with `usr restore`.
    """
    wanted = options.ids_of(ids, id_file)
    ds = target.dataset(dataset, root)
    if dry_run:
        return plans.show(ds.plan_tombstone(wanted, reason, allow_missing=allow_missing), fmt)
    say.place(ds)
    n = ds.tombstone(wanted, reason, allow_missing)
    return say.result(f"deleted {n:,} of {say.count(len(wanted), 'id')} given")


@app.command()
def restore(
    dataset: options.Target = None,
    *,
    ids: options.Ids = None,
    id_file: options.IdFile = None,
    allow_missing: options.AllowMissing = False,
    dry_run: plans.DryRun = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Bring deleted records back."""
    wanted = options.ids_of(ids, id_file)
    ds = target.dataset(dataset, root)
    if dry_run:
        return plans.show(ds.plan_restore(wanted, allow_missing=allow_missing), fmt)
    say.place(ds)
    n = ds.restore(wanted, allow_missing)
    return say.result(f"restored {n:,} of {say.count(len(wanted), 'id')} given")


@state.command("set")
def set_(
    dataset: options.Target = None,
    *,
    ids: options.Ids = None,
    id_file: options.IdFile = None,
    masked: Annotated[
        bool | None, typer.Option("--masked/--no-masked", help="Keep out of training.")
    ] = None,
    qc_status: Annotated[
        Literal["pass", "fail", "warn", "unknown"] | None, typer.Option(help="Quality control.")
    ] = None,
    split: Annotated[
        Literal["train", "val", "test", "holdout"] | None, typer.Option(help="Data split.")
    ] = None,
    supersedes: Annotated[str | None, typer.Option(help="The id this record replaces.")] = None,
    lineage: Annotated[
        list[str] | None, typer.Option(help="Where it comes from; repeat, or use commas.")
    ] = None,
    allow_missing: options.AllowMissing = False,
    dry_run: plans.DryRun = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Set the given fields.

    The others stay as they are.
    """
    wanted = options.ids_of(ids, id_file)
    ds = target.dataset(dataset, root)
    asked: Any = {"masked": masked, "qc_status": qc_status, "split": split,
                  "supersedes": supersedes, "lineage": options.split_all(lineage),
                  "allow_missing": allow_missing}  # fmt: skip
    if dry_run:
        return plans.show(ds.plan_state(wanted, **asked), fmt)
    say.place(ds)
    n = ds.set_state(wanted, **asked)
    return say.result(f"state set for {n:,} of {say.count(len(wanted), 'id')} given")


@state.command()
def clear(
    dataset: options.Target = None,
    *,
    ids: options.Ids = None,
    id_file: options.IdFile = None,
    allow_missing: options.AllowMissing = False,
    dry_run: plans.DryRun = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Unset all state fields of records."""
    wanted = options.ids_of(ids, id_file)
    ds = target.dataset(dataset, root)
    if dry_run:
        return plans.show(ds.plan_state(wanted, clear=True, allow_missing=allow_missing), fmt)
    say.place(ds)
    n = ds.clear_state(wanted, allow_missing)
    return say.result(f"state cleared for {n:,} of {say.count(len(wanted), 'id')} given")


@state.command()
def get(
    dataset: options.Target = None,
    *,
    ids: options.Ids = None,
    id_file: options.IdFile = None,
    allow_missing: options.AllowMissing = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Show the state of records.

    In the order asked for.
    """
    wanted = options.ids_of(ids, id_file)
    found = target.dataset(dataset, root).get_state(wanted, allow_missing=allow_missing)
    render.emit(fmt, found, sheets.of_dicts(found, ("id", *STATE_FIELDS)))


COMMANDS = built(app)
