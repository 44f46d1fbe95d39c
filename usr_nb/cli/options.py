"""Options that several commands share, spelled once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Protocol

import typer

from usr_nb.errors import PathNotFound, ValidationError
from usr_nb.storage import roots
from usr_nb.storage.layout import user_path

if TYPE_CHECKING:
    from usr_nb.filter.tree import Filter

_LARGEST_IDS: Final = 64 << 20

Format = Literal["auto", "rich", "plain", "json", "csv"]
TreeFormat = Literal["auto", "rich", "plain", "json"]


class Saved(Protocol):
    """Anything that keeps filters by name."""

    def filter(self, name: str) -> Filter:
        """Return the filter of a name."""
        ...


def _nearest_root(ctx: typer.Context, value: Path | None) -> Path | None:
    """Return ``--root`` of the command, else the one given before it."""
    above: Any = ctx.find_root().params.get("root")
    return value or above


def _datasets_like(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the ids, and the last parts that are unique, that begin like this (completion)."""
    names = roots.dataset_names(roots.find_root(ctx.params.get("root")))
    found = [n for n in names if n.startswith(incomplete)]
    last = [n.rpartition("/")[2] for n in names]
    return found or [n for n in last if n.startswith(incomplete) and last.count(n) == 1]


Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        help="The root: the folder with registry.yaml. Default: USR_ROOT, else found from here.",
        callback=_nearest_root,
        show_default=False,
    ),
]
Target = Annotated[
    str | None,
    typer.Argument(
        metavar="DATASET",
        help="Id, unique last part, or path. Default: the dataset around the working folder.",
        show_default=False,
        autocompletion=_datasets_like,
    ),
]
Source = Annotated[
    str | None,
    typer.Argument(
        metavar="DATASET|PATH",
        help="A dataset, a file, or a folder with Parquet files. Default: the dataset here.",
        show_default=False,
        autocompletion=_datasets_like,
    ),
]
New = Annotated[str, typer.Argument(metavar="DATASET", help="The new id: namespace/name.")]
Show = Annotated[Format, typer.Option("--format", help="auto: rich on a terminal, else plain.")]
ShowTree = Annotated[
    TreeFormat, typer.Option("--format", help="auto: rich on a terminal, else plain.")
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B", help="Only these columns.", show_default=False),
]
Deleted = Annotated[
    bool, typer.Option("--include-deleted", help="Show deleted records and the usr__* columns.")
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="FILTER",
        help="Only records that a filter keeps, as 'gc > 0.5' or @NAME for a saved one.",
        show_default=False,
    ),
]
OrderBy = Annotated[
    str | None,
    typer.Option(
        "--order-by",
        metavar="A,B",
        help="Best first, as 'evo2__llr desc, length'.",
        show_default=False,
    ),
]
Top = Annotated[
    int | None,
    typer.Option("--top", min=0, help="At most so many, the first.", show_default=False),
]
Glob = Annotated[
    str | None,
    typer.Option(
        "--glob", metavar="PATTERN", help="Files to choose from in a folder.", show_default=False
    ),
]
Ids = Annotated[
    list[str] | None,
    typer.Option(
        "--id", metavar="ID", help="An id or prefix; repeat, or separate by commas.",
        show_default=False,
    ),
]  # fmt: skip
IdFile = Annotated[
    Path | None,
    typer.Option(
        "--id-file", metavar="FILE", help="A file with one id per line.", show_default=False
    ),
]
Rename = Annotated[
    list[str] | None,
    typer.Option(
        "--rename", metavar="OLD=NEW", help="Another name for a column; repeat.",
        show_default=False,
    ),
]  # fmt: skip
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Skip what the dataset does not have.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def filter_of(ds: Saved, text: str | None) -> Filter | str | None:
    """Return the filter that ``--where`` means: a line, or with ``@`` one saved with a dataset."""
    if text is None or not text.startswith("@"):
        return text
    return ds.filter(text[1:])


def split(text: str | None) -> list[str] | None:
    """Return the parts of a comma-separated option, or None if it was not given.

    Examples
    --------
    >>> split("id, sequence"), split(None)
    (['id', 'sequence'], None)
    """
    if text is None:
        return None
    parts = [p.strip() for p in text.split(",") if p.strip()]
    if not parts:
        raise ValidationError("An empty list of names was given", hint="Write it like a,b.")
    return parts


def split_all(texts: Sequence[str] | None) -> list[str] | None:
    """Return the parts of a repeatable, comma-separated option, or None if it was not given."""
    return None if not texts else [p for t in texts for p in (split(t) or [])]


def ids_of(ids: Sequence[str] | None, id_file: Path | None) -> list[str]:
    """Return the ids given by ``--id`` and ``--id-file``.

    In the file ``#`` starts a comment, and a first line ``id`` is a heading, as CSV has it.

    Raises
    ------
    ValidationError
        None was given, or the file is no text.
    PathNotFound
        The file is missing.
    """
    found = split_all(ids) or []
    if id_file is not None:
        path = user_path(id_file)
        try:
            if path.exists() and not path.is_file():
                raise PathNotFound(f"{id_file} cannot be read: not a file", hint="Check the path.")
            if path.stat().st_size > _LARGEST_IDS:
                raise ValidationError(
                    f"{id_file} is larger than {_LARGEST_IDS >> 20} MiB", hint="One id per line."
                )
            lines = path.read_text("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise ValidationError(f"{id_file} is no text file", hint="One id per line.") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise PathNotFound(f"{id_file} cannot be read: {why}", hint="Check the path.") from None
        named = [text for line in lines if (text := line.partition("#")[0].strip(' \t"'))]
        found += named[1:] if named[:1] == ["id"] else named
    if not found:
        raise ValidationError("No id was given", hint="Name records with --id or --id-file.")
    return found


def renames(pairs: Sequence[str] | None) -> dict[str, str]:
    """Return the names that ``--rename OLD=NEW`` gives: old to new.

    Examples
    --------
    >>> renames(["LLR (nats)=llr"]), renames(None)
    ({'LLR (nats)': 'llr'}, {})
    """
    split_pairs = [(p, p.rpartition("=")) for p in pairs or ()]
    for pair, (old, _, new) in split_pairs:
        if not old or not new.strip():
            raise ValidationError(
                f"--rename {pair!r} is not OLD=NEW",
                hint="Write it like: --rename 'LLR (nats)=llr'.",
            )
    return {old: new.strip() for _, (old, _, new) in split_pairs}


def usual_alphabet(bio_type: str) -> str:
    """Return the strict alphabet of a bio_type; the library judges the type itself.

    Examples
    --------
    >>> usual_alphabet("protein")
    'protein_20'
    """
    return {"rna": "rna_4", "protein": "protein_20"}.get(bio_type, "dna_4")
