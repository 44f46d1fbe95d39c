"""``.pt`` files of old DenseGen runs into a dataset (contract MNT-4)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from usr_nb.contract.essentials import first_bad_letter
from usr_nb.contract.progress import tracked
from usr_nb.contract.registry import Column, Registry
from usr_nb.contract.types import parse_type, type_text
from usr_nb.errors import AlphabetError, PathNotFound, SchemaError, ValidationError
from usr_nb.readers import open_rows
from usr_nb.storage.layout import user_path
from usr_nb.tools.densegen.survey import (
    COUNTS,
    COUNTS_AS_FIELDS,
    NAMESPACE as DENSEGEN,
    counts_cell,
)
from usr_nb.tools.legacy_cells import CONVERTED, DECLARED, LOGITS, Reader, densegen_cells
from usr_nb.tools.writing import Creation, add_columns, check_rows, create, new_context, positive

_ABOUT: Final = {
    DENSEGEN: "Promoter designs of DenseGen: plan, parts and sites (0-based offsets)",
    "infer": "Values that models gave for a sequence",
}
PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class ConvertReport:
    """What a conversion did.

    Attributes
    ----------
    dataset : str
        Its id.
    files, entries : int
        Files read, and entries in them.
    rows : int
        Rows of the new dataset.
    skipped_length : int
        Entries whose sequence has another length.
    duplicates : int
        Entries whose sequence, ignoring case, came before.
    columns : list of str
        Overlay columns written.
    registered : list of str
        Columns that had to be registered.
    archived : str or None
        Where an earlier dataset of that id lies now, relative to the root.

    Examples
    --------
    >>> ConvertReport("densegen/old", files=1, entries=3, rows=2, skipped_length=1).duplicates
    0
    """

    dataset: str
    files: int
    entries: int
    rows: int
    skipped_length: int = 0
    duplicates: int = 0
    columns: list[str] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    archived: str | None = None


def convert(
    root: PathLike,
    dataset: str,
    paths: Sequence[PathLike],
    *,
    expected_length: int = 60,
    plan: str | None = None,
    force: bool = False,
    profile_60bp: bool = True,
) -> ConvertReport:
    """Create a dataset from ``.pt`` files: rows, a ``densegen`` and an ``infer`` overlay.

    All files are read and checked before anything is written; then rows and overlays are one
    commit with one event ``convert_legacy``. Sequences are dna, dna_4; the row's ``source`` is its
    file.

    Parameters
    ----------
    root : path
        The root folder. Columns that are not registered there are registered; a registry is
        created if there is none.
    dataset : str
        The id, taken literally.
    paths : sequence of path
        ``.pt`` files, or folders whose ``.pt`` files are taken in the order of their names. Each
        holds a list of dicts with ``sequence``.
    expected_length : int
        In bases; entries of another length are skipped and counted.
    plan : str, optional
        Stored as every row's plan; by default the entry's own ``plan``, if it has one.
    force : bool
        Move an existing dataset to ``_archive/`` first; nothing is deleted.
    profile_60bp : bool
        Also keep ``evo2_logits_mean_pooled`` (512 numbers), in the column of the 60 bp dual
        promoter profile.

    Returns
    -------
    ConvertReport

    Raises
    ------
    PathNotFound
        If a path does not exist, or a folder has no ``.pt`` file.
    ValidationError
        If torch is not installed, a file needs more than plain data to be loaded or holds
        something else, or no sequence is left. AlphabetError and SchemaError name file and entry.
    AlreadyExists
        If the dataset exists and not `force`.

    Examples
    --------
    >>> import tempfile
    >>> root = tempfile.mkdtemp()
    >>> try:
    ...     convert(root, "densegen/old", [f"{root}/gone.pt"])
    ... except PathNotFound as error:
    ...     print(error.hint)
    Check the path.
    """
    positive(expected_length=expected_length)
    if plan is not None and not plan.strip():
        raise ValidationError("plan is empty", hint="Leave --plan out, or name a plan.")
    ctx = new_context(root, dataset, force=force)
    files = pt_files(paths)
    args: dict[str, Any] = {
        "paths": [os.fspath(p) for p in paths], "expected_length": expected_length, "plan": plan,
        "force": force, "profile_60bp": profile_60bp,
    }  # fmt: skip
    found = Entries(expected_length, plan, profile_60bp=profile_60bp)
    for file in tracked(files, "loading", total=len(files), unit="files", size=lambda _: 1):
        found.add(file, load_pt(file))
    if not found.sequences:
        raise ValidationError(
            f"None of {found.total:,} entries has a sequence of length {expected_length}",
            hint="Give --expected-length. Nothing was written.",
        )
    given = {"sequence": found.sequences, "source": found.sources}
    rows = check_rows(open_rows(pa.table(given)), ignore_case=True)
    registered = register_columns(ctx.root, [DENSEGEN, *(["infer"] if found.has_logits else [])])
    made = Creation(
        action="convert_legacy",
        rows=rows,
        overlays=found.overlays(ctx.registry()),
        args=args,
        metrics={
            "files": len(files),
            "entries": found.total,
            "rows_written": rows.base.num_rows,
            "rows_skipped_length": found.skipped_length,
            "rows_skipped_duplicate": found.duplicates,
        },
        command=_command(ctx.name, args),
        title=f"converted {len(files):,} legacy files",
        source="legacy convert",
    )
    archived = create(ctx, made, force=force)
    return ConvertReport(
        ctx.name, len(files), found.total, rows.base.num_rows, found.skipped_length,
        found.duplicates, [n for columns in made.overlays.values() for n in columns], registered,
        archived,
    )  # fmt: skip


# Files ------------------------------------------------------------------------------------------


def pt_files(paths: Sequence[PathLike]) -> list[Path]:
    """Return the ``.pt`` files that paths name; those of a folder in the order of their names.

    Raises
    ------
    PathNotFound
        If a path does not exist, or a folder has no ``.pt`` file.
    ValidationError
        If a file is no ``.pt`` file, or nothing is named.
    """
    found: dict[Path, None] = {}
    for given in paths:
        path = user_path(given)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix == ".pt" and p.is_file())
            if not inside:
                raise PathNotFound(f"{path} holds no .pt file", hint="Check the path.")
            found.update(dict.fromkeys(inside))
        elif not path.is_file():
            raise PathNotFound(f"{path} does not exist", hint="Check the path.")
        elif path.suffix != ".pt":
            raise ValidationError(
                f"{path} is not a .pt file", hint="Other formats are read by `usr import`."
            )
        else:
            found[path] = None
    if not found:
        raise ValidationError("No file is named", hint="Give .pt files, or folders of them.")
    return list(found)


def load_pt(path: Path) -> object:
    """Load a ``.pt`` file as plain data and tensors; nothing in it is ever run.

    Raises
    ------
    ValidationError
        If torch is not installed, the file needs more than plain data, or it is damaged.
    """
    try:
        import torch
    except (ImportError, OSError) as error:
        raise ValidationError(
            f"Reading {path.name} needs torch, which cannot be imported: {error}",
            hint="Install it: pip install 'usr-nb[legacy]'",
        ) from None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a hostile pickle can fail in any way
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValidationError(
            f"{path} cannot be loaded as plain data: {first[:200]}",
            hint="Only files of lists, dicts, text, numbers and tensors are read: save it anew.",
        ) from None


# Entries ----------------------------------------------------------------------------------------


class Entries:
    """The entries of all files that become rows, column by column.

    Parameters
    ----------
    length : int
        In bases; other sequences are skipped.
    plan : str or None
        The plan of every row.
    profile_60bp : bool
        Whether logits are kept.
    """

    def __init__(self, length: int, plan: str | None, *, profile_60bp: bool) -> None:
        self.length, self.plan, self.profile = length, plan, profile_60bp
        self.total = self.skipped_length = self.duplicates = 0
        self.sequences: list[str] = []
        self.sources: list[str] = []
        self.cells: dict[str, list[Any]] = {n: [] for n in CONVERTED}
        self.logits: list[Any] = []
        self._seen: set[str] = set()

    @property
    def has_logits(self) -> bool:
        """Whether any row has logits."""
        return any(v is not None for v in self.logits)

    def add(self, file: Path, loaded: object) -> None:
        """Add the content of one file.

        Raises
        ------
        ValidationError
            If it is no list of dicts with ``sequence``; AlphabetError and SchemaError for a
            letter or a value that is not allowed. Entries are counted from 1.
        """
        if not isinstance(loaded, list | tuple):
            raise ValidationError(
                f"{file} holds a {type(loaded).__name__}, not a list of dicts",
                hint="Only files of old DenseGen runs are converted. Nothing was written.",
            )
        source = os.fsencode(file).decode("utf-8", errors="backslashreplace")
        for number, body in enumerate(loaded, start=1):
            where = f"{file}, entry {number}"
            sequence = body.get("sequence") if isinstance(body, Mapping) else None
            if not isinstance(sequence, str) or not isinstance(body, Mapping):
                raise ValidationError(
                    f"{where} is no dict with a text 'sequence'", hint="Nothing was written."
                )
            self._add_entry(body, sequence.strip(), source, where)

    def _add_entry(self, body: Mapping[Any, Any], sequence: str, source: str, where: str) -> None:
        self.total += 1
        if len(sequence) != self.length:
            self.skipped_length += 1
            return
        bad = first_bad_letter(sequence, "dna_4")
        if bad is not None:
            raise AlphabetError(
                f"{where}: letter {bad[1]!r} at position {bad[0] + 1} is not in dna_4",
                hint="Legacy sequences are dna_4. Nothing was written.",
            )
        if sequence.casefold() in self._seen:
            self.duplicates += 1
            return
        self._seen.add(sequence.casefold())
        self.sequences.append(sequence)
        self.sources.append(source)
        for name, cell in densegen_cells(body, plan=self.plan, where=where).items():
            self.cells[name].append(cell)
        self.logits.append(Reader(body, where).logits() if self.profile else None)

    def overlays(self, registry: Registry) -> dict[str, dict[str, pa.Array]]:
        """Return the columns per namespace; counts in the form in which they are registered.

        Raises
        ------
        SchemaError
            If counts are registered in a form that is not known.
        """
        form = registry.column(DENSEGEN, COUNTS).arrow_type
        known = (DECLARED[DENSEGEN][COUNTS], COUNTS_AS_FIELDS)
        if type_text(form) not in known:
            raise SchemaError(
                f"Column '{COUNTS}' is registered as {type_text(form)}",
                hint=f"Counts are {' or '.join(known)}.",
            )
        columns = {
            name: pa.array(
                [None if v is None else counts_cell(v, form) for v in cells]
                if name == COUNTS
                else cells,
                form if name == COUNTS else parse_type(DECLARED[DENSEGEN][name]),
            )
            for name, cells in self.cells.items()
        }
        found = {DENSEGEN: columns}
        if self.has_logits:
            found["infer"] = {LOGITS: pa.array(self.logits, pa.list_(pa.float64()))}
        return found


def register_columns(root: Path, namespaces: Sequence[str]) -> list[str]:
    """Register what the namespaces lack; returns the full names of the columns added."""
    added = []
    for ns in namespaces:
        columns = [Column(name, text) for name, text in DECLARED[ns].items()]
        added += add_columns(root, ns, columns, owner="usr legacy", description=_ABOUT[ns])
    return added


def _command(dataset: str, args: Mapping[str, Any]) -> list[str]:
    words = ["usr", "legacy", "convert", dataset, *args["paths"]]
    words += ["--expected-length", str(args["expected_length"])]
    words += ["--plan", args["plan"]] if args["plan"] is not None else []
    words += ["--force"] if args["force"] else []
    return [*words, "--profile-60bp" if args["profile_60bp"] else "--no-profile-60bp"]
