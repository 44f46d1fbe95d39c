"""``usr densegen repair``, ``usr legacy convert`` and the hidden ``usr dev ...`` (MNT-4)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from usr_nb.cli import options, render, repair_asks, say, target, views
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset.values import plain
from usr_nb.storage.roots import find_root
from usr_nb.tools.densegen.repair import repair as repair_dataset
from usr_nb.tools.densegen.report import Dedupe
from usr_nb.tools.legacy import convert as convert_files
from usr_nb.tools.mock import add_demo_cols, make_mock

app = new_app()
densegen = new_app("Mend datasets of DenseGen.")
legacy = new_app("Bring old files into a dataset.")
dev = new_app("Made-up data, for developers.")
for _group, _name in ((densegen, "densegen"), (legacy, "legacy"), (dev, "dev")):
    app.add_typer(_group, name=_name)

XDim = Annotated[int, typer.Option(min=1, help="Numbers per row of x_representation.")]
YDim = Annotated[int, typer.Option(min=1, help="Numbers per row of label_vec8.")]
Seed = Annotated[int, typer.Option(help="Same seed, same data.")]
Into = Annotated[str, typer.Option("--namespace", help="A registered namespace.")]


@densegen.callback()
def about_densegen() -> None:
    """Mend datasets of DenseGen."""


@densegen.command()
def repair(
    dataset: options.Target = None,
    *,
    min_tfbs_len: Annotated[int, typer.Option(min=2, help="Shorter motifs go.")] = 6,
    dedupe: Annotated[Dedupe, typer.Option(help="Live rows that are equal but for case.")] = "off",
    drop_missing_used_tfbs: Annotated[
        bool, typer.Option("--drop-missing-used-tfbs", help="Drop rows where no part is found.")
    ] = False,
    drop_single_tf: Annotated[
        bool,
        typer.Option("--filter-single-tf", "--drop-single-tf", help="Drop rows of one factor."),
    ] = False,
    drop_id_seq_only: Annotated[
        bool, typer.Option("--drop-id-seq-only", help="Drop rows without any derived value.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    yes: options.Yes = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Mend parts, and what is derived from them.

    Cleans the parts, and derives again which of them each sequence uses. Row drops are asked for
    on a terminal; an automatic snapshot is taken first.
    """
    ds = target.dataset(dataset, root)
    say.place(ds)
    drops = repair_asks.drops(missing_used_tfbs=drop_missing_used_tfbs, single_tf=drop_single_tf,
                              id_seq_only=drop_id_seq_only, ask=not (yes or dry_run))  # fmt: skip
    with say.working("repairing"):
        report = repair_dataset(ds, min_tfbs_len=min_tfbs_len, dedupe=dedupe, dry_run=dry_run,
                                choose=repair_asks.keep_which, **drops)  # fmt: skip
    found = asdict(report)
    render.emit(fmt, plain(found), views.facts(found))


@legacy.callback()
def about_legacy() -> None:
    """Bring old files into a dataset."""


@legacy.command("convert")
def convert(
    dataset: options.New,
    paths: Annotated[list[Path], typer.Argument(metavar="PATHS...", help=".pt files or folders.")],
    *,
    expected_length: Annotated[int, typer.Option(min=1, help="In bases; others are skipped.")] = 60,
    plan: Annotated[
        str | None, typer.Option(help="Default: the entry's own.", show_default=False)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Move an existing dataset to _archive/ first.")
    ] = False,
    profile_60bp: Annotated[
        bool,
        typer.Option("--profile-60bp/--no-profile-60bp", help="Keep the Evo 2 logits too."),
    ] = True,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> None:
    """Create a dataset from old .pt files.

    The files are those of old DenseGen runs.

    Needs torch (the extra `legacy`); files that hold more than plain data are refused.
    """
    base = find_root(root)
    say.note(f"root: {base}\ndataset: {dataset}")
    with say.working("converting"):
        report = convert_files(
            base, dataset, paths, expected_length=expected_length, plan=plan, force=force,
            profile_60bp=profile_60bp,
        )  # fmt: skip
    found = asdict(report)
    render.emit(fmt, plain(found), views.facts(found))


@dev.command("make-mock")
def make_mock_(
    dataset: options.New,
    *,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="How many sequences.")] = 100,
    length: Annotated[int, typer.Option(min=1, help="Their length in bases.")] = 60,
    x_dim: XDim = 512,
    y_dim: YDim = 8,
    seed: Seed = 7,
    namespace: Into = "demo",
    from_csv: Annotated[
        Path | None, typer.Option(help="Take the sequences of this file.", show_default=False)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Move an existing dataset to _archive/ first.")
    ] = False,
    root: options.Root = None,
) -> None:
    """Create a dataset of random sequences.

    It has two made-up columns.
    """
    base = find_root(root)
    say.note(f"root: {base}\ndataset: {dataset}")
    report = make_mock(
        base, dataset, n=n, length=length, x_dim=x_dim, y_dim=y_dim, seed=seed,
        namespace=namespace, from_csv=from_csv, force=force,
    )  # fmt: skip
    say.result(f"made {dataset}: {say.count(report.rows, 'row')}")


@dev.command("add-demo-cols")
def add_demo_cols_(
    dataset: options.Target = None,
    *,
    x_dim: XDim = 512,
    y_dim: YDim = 8,
    seed: Seed = 7,
    namespace: Into = "demo",
    allow_overwrite: Annotated[
        bool, typer.Option("--allow-overwrite", help="Replace values that are there.")
    ] = False,
    root: options.Root = None,
) -> None:
    """Give every row the two made-up columns."""
    ds = target.dataset(dataset, root)
    say.place(ds)
    report = add_demo_cols(ds, x_dim=x_dim, y_dim=y_dim, seed=seed, namespace=namespace,
                           allow_overwrite=allow_overwrite)  # fmt: skip
    say.result(f"added {namespace} columns to {say.count(report.rows, 'row')}")


COMMANDS = built(app)
