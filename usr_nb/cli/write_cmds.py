"""``usr init | import | attach | materialize | export | snapshot``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from usr_nb.cli import confirm, options, plans, render, say, target, views, words
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset.export import ExportFormat
from usr_nb.overlay.attach import Aggregate

app = new_app()

FilePath = Annotated[Path, typer.Option("--path", help="The file.")]
Key = Literal["id", "sequence", "sequence_norm", "sequence_ci"]


@app.command()
def init(
    dataset: options.New,
    *,
    source: Annotated[str, typer.Option(help="Where the data come from.")] = "",
    notes: Annotated[str, typer.Option(help="Free text for meta.md.")] = "",
    root: options.Root = None,
) -> None:
    """Create an empty dataset."""
    ds = target.new_dataset(dataset, root)
    say.place(ds)
    confirm.registry(ds.root)
    ds.init(source, notes)
    say.result(f"created {ds.name}")


@app.command("import")
def import_(
    dataset: options.Target = None,
    *,
    path: FilePath,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="csv, tsv, jsonl, parquet, xlsx or fasta. Default: by suffix.",
            show_default=False,
        ),
    ] = None,
    bio_type: Annotated[
        str, typer.Option(help="dna, rna or protein, where no column says.")
    ] = "dna",
    alphabet: Annotated[
        str | None,
        typer.Option(
            help="Where no column says. Default: dna_4, rna_4 or protein_20.", show_default=False
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Default: the row's, else the path.", show_default=False)
    ] = None,
    on_conflict: Annotated[
        Literal["error", "ignore"], typer.Option(help="What to do with ids that exist.")
    ] = "error",
    strip_stop: Annotated[
        bool, typer.Option("--strip-stop", help="Take a trailing * off proteins.")
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE",
            help="Store all other columns as an overlay of it; --dry-run proposes types.",
            show_default=False,
        ),
    ] = None,
    keep_values: Annotated[
        bool, typer.Option("--keep-values", help="Rows once removed get their old values back.")
    ] = False,
    rename: options.Rename = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would do, and what is in the file.")
    ] = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Add sequences from a file.

    All rows or none. Only essential columns are read, unless --keep says where the others go.
    """
    ds = target.dataset(dataset, root)
    letters = alphabet or options.usual_alphabet(bio_type)
    shared: Any = {"fmt": from_, "default_bio_type": bio_type, "default_alphabet": letters,
                   "on_conflict": on_conflict, "strip_stop": strip_stop, "keep": keep,
                   "rename": options.renames(rename)}  # fmt: skip
    if dry_run:
        with say.working("reading"):
            report = ds.import_report(path, **shared)
        return render.emit(fmt, asdict(report), views.report_sheet(report))
    say.place(ds)
    with say.working("importing"):
        done = ds.import_file(path, source=source, keep_values=keep_values, **shared)
    say.ignored(done.ignored_columns)
    return say.result(words.imported(done))


@app.command()
def attach(
    dataset: options.Target = None,
    *,
    path: FilePath,
    namespace: Annotated[str, typer.Option(help="Its namespace, registered or to be.")],
    key: Annotated[Key, typer.Option(help="What rows are matched by.")] = "id",
    key_col: Annotated[
        str | None, typer.Option(help="The column with the key.", show_default=False)
    ] = None,
    columns: options.Columns = None,
    allow_overwrite: Annotated[
        bool, typer.Option("--allow-overwrite", help="The columns have values; replace them.")
    ] = False,
    allow_missing: options.AllowMissing = False,
    parse_json: Annotated[
        bool, typer.Option("--parse-json/--no-parse-json", help="Read '[1, 2]' as a list.")
    ] = True,
    backend: Annotated[
        Literal["pyarrow", "duckdb"], typer.Option(help="duckdb: Parquet with --no-parse-json.")
    ] = "pyarrow",
    note: Annotated[str, typer.Option(help="A line for meta.md.")] = "",
    match: Annotated[
        str | None,
        typer.Option(
            metavar="NS__COLUMN",
            help="Match by a column with unique values instead.",
            show_default=False,
        ),
    ] = None,
    aggregate: Annotated[
        Aggregate | None, typer.Option(help="Fold repeated keys.", show_default=False)
    ] = None,
    rename: options.Rename = None,
    register: Annotated[
        bool, typer.Option("--register", help="Register missing columns; types by their cells.")
    ] = False,
    dry_run: plans.DryRun = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Attach columns of a file as an overlay.

    Column x becomes NAMESPACE__x. Nothing that is attached already is rewritten.
    """
    ds = target.dataset(dataset, root)
    asked: Any = {"key": key, "key_col": key_col, "columns": options.split(columns),
                  "allow_overwrite": allow_overwrite, "allow_missing": allow_missing, "note": note,
                  "parse_json": parse_json, "match": match, "aggregate": aggregate,
                  "rename": options.renames(rename), "register": register}  # fmt: skip
    if dry_run:
        with say.working("looking"):
            plan = ds.plan_attach(path, namespace, **asked)
        return plans.show(plan, fmt)
    say.place(ds)
    with say.working("attaching"):
        done = ds.attach_file(path, namespace, backend=backend, **asked)
    return say.result(words.attached(done, namespace))


@app.command()
def materialize(
    dataset: options.Target = None,
    *,
    yes: options.Yes = False,
    snapshot_before: Annotated[
        bool, typer.Option("--snapshot-before", help="Keep the prior base as a snapshot.")
    ] = False,
    drop_overlays: Annotated[
        bool, typer.Option("--drop-overlays", help="Delete the overlays afterwards.")
    ] = False,
    archive_overlays: Annotated[
        bool, typer.Option("--archive-overlays", help="Put the overlays aside afterwards.")
    ] = False,
    drop_deleted: Annotated[
        bool, typer.Option("--drop-deleted", help="Remove deleted records for good.")
    ] = False,
    namespaces: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Default: all but tombstones.", show_default=False),
    ] = None,
    dry_run: plans.DryRun = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Write overlay values into the base table.

    Reads stay the same. Asks on a terminal; elsewhere --drop-overlays and --drop-deleted need
    --yes.
    """
    ds = target.dataset(dataset, root)
    asked: Any = (options.split(namespaces), not drop_overlays, archive_overlays, drop_deleted)
    if dry_run:
        with say.working("looking"):
            plan = ds.plan_materialize(*asked, snapshot_before=snapshot_before)
        return plans.show(plan, fmt)
    say.place(ds)
    confirm.materialize(drop_overlays=drop_overlays, archive_overlays=archive_overlays,
                        drop_deleted=drop_deleted, yes=yes)  # fmt: skip
    with say.working("materializing"), ds.maintenance(reason="usr materialize"):
        done = ds.materialize(*asked, snapshot_before=snapshot_before)
    return say.result(words.materialized(done, ds.name))


@app.command()
def export(
    dataset: options.Target = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="The file; it is replaced if it exists.")],
    fmt: Annotated[
        ExportFormat | None,
        typer.Option("--fmt", help="The format. Default: by suffix of OUT.", show_default=False),
    ] = None,
    ids: options.Ids = None,
    id_file: options.IdFile = None,
    columns: options.Columns = None,
    where: options.Where = None,
    order_by: options.OrderBy = None,
    top: options.Top = None,
    include_deleted: options.Deleted = False,
    safe_csv: Annotated[
        bool,
        typer.Option("--safe-csv", help="Put an apostrophe before formulas."),
    ] = False,
    column_info: Annotated[
        bool,
        typer.Option("--column-info", help="Also write OUT.columns.yaml: units, labels."),
    ] = False,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="NS|COLUMN",
            help="FASTA headers: who kept them, or a text column.",
            show_default=False,
        ),
    ] = None,
    root: options.Root = None,
) -> None:
    """Write records to a file of another format.

    csv, jsonl, parquet or FASTA. Says how many masked and failed records are among them. The ids
    that `usr pick` prints are read with --id-file, and keep their order.
    """
    ds = target.dataset(dataset, root)
    wanted = options.ids_of(ids, id_file) if ids or id_file else None
    with say.working("exporting"):
        done = ds.export(
            fmt, out, options.split(columns), include_deleted, safe_csv=safe_csv, names=names,
            where=options.filter_of(ds, where), order_by=order_by or (), top=top,
            column_info=column_info, ids=wanted,
        )  # fmt: skip
    say.note(f"of these, {done.masked:,} masked and {done.failed:,} with qc_status fail")
    say.result(words.exported(done))


@app.command()
def snapshot(
    dataset: options.Target = None,
    *,
    name: Annotated[
        str | None, typer.Option(help="A word for the file's name.", show_default=False)
    ] = None,
    root: options.Root = None,
) -> None:
    """Keep a copy of the base table.

    It is never pruned.
    """
    ds = target.dataset(dataset, root)
    say.place(ds)
    with say.working("copying"):
        path = ds.snapshot(name)
    say.result(str(path))


COMMANDS = built(app)
