"""``usr head | get | grep | cols | cell``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usr_nb.cli import looking, options, render, say, sheets, target, words
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset import files_view
from usr_nb.dataset.values import plain

app = new_app()


@app.command()
def head(
    dataset: options.Source = None,
    *,
    n: Annotated[int, typer.Option("-n", "--n", min=0, help="How many rows.")] = 10,
    columns: options.Columns = None,
    where: options.Where = None,
    order_by: options.OrderBy = None,
    include_deleted: options.Deleted = False,
    glob: options.Glob = None,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Show the first rows of a dataset or file.

    With --order-by the first ones in that order; a file takes no @NAME and no --order-by.
    """
    source, names = target.source(dataset, root, glob), options.split(columns)
    with say.working("reading"):
        table, said = looking.first_rows(source, n, names, where=where, order_by=order_by,
                                         include_deleted=include_deleted)  # fmt: skip
    sheets.show(sheets.of_arrow(table, asked=names is not None), fmt)
    if said is not None:
        say.note(said)


@app.command()
def get(
    dataset: options.Target = None,
    *,
    ids: options.Ids = None,
    id_file: options.IdFile = None,
    columns: options.Columns = None,
    where: options.Where = None,
    include_deleted: options.Deleted = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Show records by id, or by a unique prefix.

    A prefix has 7 letters or more. With --where only those of them that the filter keeps.
    """
    wanted = options.ids_of(ids, id_file)
    ds = target.dataset(dataset, root)
    table = ds.get_table(wanted, options.split(columns), include_deleted=include_deleted,
                         where=options.filter_of(ds, where))  # fmt: skip
    sheets.show(sheets.of_arrow(table, tall=True), fmt)
    if where is not None:
        say.note(words.passed(table.num_rows, len(wanted)))


@app.command()
def grep(
    dataset: options.Target = None,
    *,
    pattern: Annotated[
        str, typer.Option("--pattern", "-e", help="An RE2 expression; case is ignored.")
    ],
    limit: Annotated[int, typer.Option(min=1, help="At most this many records.")] = 20,
    iupac: Annotated[
        bool, typer.Option("--iupac", help="The pattern is a motif: 'TTGACA N{16,18} TATAAT'.")
    ] = False,
    both_strands: Annotated[
        bool, typer.Option("--both-strands", help="Look at the reverse complement too.")
    ] = False,
    columns: options.Columns = None,
    where: options.Where = None,
    include_deleted: options.Deleted = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Find sequences by pattern or IUPAC motif."""
    ds, names = target.dataset(dataset, root), options.split(columns)
    with say.working("searching"):
        hits = ds.grep_table(pattern, limit, include_deleted=include_deleted, iupac=iupac,
                             both_strands=both_strands, columns=names,
                             where=options.filter_of(ds, where))  # fmt: skip
    sheets.show(sheets.of_arrow(hits.table, asked=names is not None), fmt)
    say.note(words.found(hits, None if iupac or both_strands else pattern))


@app.command()
def cols(
    dataset: options.Source = None,
    *,
    glob: options.Glob = None,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """List the columns of a dataset or file."""
    source = target.source(dataset, root, glob)
    if isinstance(source, Path):
        found = files_view.columns_of(source)
    else:
        found = files_view.fields_of(source.schema())
    render.emit(fmt, found, sheets.of_dicts(found, ("name", "type")))


@app.command()
def cell(
    dataset: options.Source = None,
    *,
    row: Annotated[int, typer.Option(min=0, help="The row, counted from 0.")] = 0,
    col: Annotated[str, typer.Option(help="The column.")],
    include_deleted: options.Deleted = False,
    glob: options.Glob = None,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Print one cell of a dataset or file.

    The whole value is printed, however long: text as it is, lists as JSON.
    """
    source = target.source(dataset, root, glob)
    if isinstance(source, Path):
        value = files_view.cell_of(source, row=row, col=col)
    else:
        batches = source.scan([col], include_deleted=include_deleted)
        value = files_view.cell_at(batches, row, where=source.name)
    kind, shown = render.resolved(fmt), render.Sheet([col], [[value]])
    if kind in {"rich", "plain"}:
        say.result(render.whole(value))
    else:
        render.emit(kind, {"row": row, "col": col, "value": plain(value)}, shown)


COMMANDS = built(app)
