"""``usr info | schema | describe | validate``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from usr_nb.cli import options, render, say, sheets, target, views
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset.columns import load_columns
from usr_nb.dataset.validate import RegistryMode
from usr_nb.dataset.values import plain
from usr_nb.errors import ValidationError

app = new_app()


@app.command()
def info(
    dataset: options.Target = None, *, root: options.Root = None, fmt: options.Show = "auto"
) -> None:
    """Show rows, columns and overlays of a dataset."""
    found = target.dataset(dataset, root).info_dict()
    render.emit(fmt, found, views.info_sheet(found))


@app.command()
def schema(
    dataset: options.Target = None,
    *,
    tree: Annotated[
        bool, typer.Option("--tree", help="By namespace, nested types opened.")
    ] = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Show the columns and their types."""
    ds = target.dataset(dataset, root)
    found, infos = ds.schema(), load_columns(ds.root)
    if tree and render.resolved(fmt) in {"rich", "plain"}:
        say.result("\n".join(views.schema_tree(found)))
        return
    fields = views.schema_fields(found, infos)
    known = [n for n in ("unit", "label", "better") if any(n in f for f in fields)]
    names = ("name", "type", "nullable", *known)
    render.emit(fmt, {"fields": fields}, sheets.of_dicts(fields, names))


@app.command()
def describe(
    dataset: options.Target = None,
    *,
    sample: Annotated[int, typer.Option(min=1, help="Rows searched for an example.")] = 1024,
    columns: options.Columns = None,
    where: options.Where = None,
    include_deleted: options.Deleted = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Summarize columns: nulls, range, example.

    Exact over all rows; --sample bounds only the search for an example.
    """
    ds = target.dataset(dataset, root)
    with say.working("reading"):
        found = ds.describe(options.split(columns), sample, include_deleted,
                            where=options.filter_of(ds, where))  # fmt: skip
    kind = render.resolved(fmt)
    sheet = views.describe_sheet(
        found, short=kind in {"rich", "plain"}, infos=load_columns(ds.root)
    )
    render.emit(kind, [plain(d) for d in found], sheet)


@app.command()
def validate(
    dataset: options.Target = None,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
    registry_mode: Annotated[
        RegistryMode,
        typer.Option(
            metavar="MODE",
            help="current, frozen or either registry; namespace-current, "
            "-frozen, -either compare the namespace alone.",
        ),
    ] = "current",
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> int:
    """Check a dataset against every rule.

    Shows all findings; the exit code is 2 if there is an error.
    """
    ds = target.dataset(dataset, root)
    report, failure = _checked(ds, strict, registry_mode)
    found = report.as_dict()
    render.emit(fmt, found, views.findings_sheet(found["findings"]))
    (say.sentence if render.resolved(fmt) in {"rich", "plain"} else say.note)(views.verdict(found))
    return 0 if failure is None else say.failure(failure)


def _checked(ds: Any, strict: bool, mode: RegistryMode) -> tuple[Any, ValidationError | None]:
    """Return the report, and the error that carried it if there was one."""
    try:
        with say.working("checking"):
            return ds.validate(strict, mode), None
    except ValidationError as error:
        if error.report is None:
            raise
        return error.report, error


COMMANDS = built(app)
