"""What the utilities share: a whole dataset in one commit, a part in a commit, columns declared."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.essentials import ARROW_SCHEMA
from usr_nb.contract.events import Fingerprint, redact_command
from usr_nb.contract.progress import reporting
from usr_nb.contract.registry import Column, NamespaceEntry, Registry
from usr_nb.contract.times import utc_now
from usr_nb.dataset import ingest
from usr_nb.dataset.archiving import archive_dataset
from usr_nb.dataset.context import Change, Context
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.prepare import Defaults, Problems, essential_batches
from usr_nb.errors import AlreadyExists, DuplicateIDError, ValidationError
from usr_nb.overlay.cast import cast_column
from usr_nb.overlay.lookup import base_column, check_sequence_key, normal_keys
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import new_part_time, part_file_name, part_metadata
from usr_nb.readers import Rows
from usr_nb.storage import registryfile
from usr_nb.storage.intents import dataset_exists
from usr_nb.storage.layout import overlay_folder, real_path
from usr_nb.storage.parquet import with_metadata, write_batches
from usr_nb.storage.roots import Place, new_place
from usr_nb.storage.slots import Stage

#: Letters and numbers that a request for made-up data may have.
LARGEST: Final = 500_000_000


def context_of(ds: Dataset) -> Context:
    """Return the context of a dataset that was opened by a user."""
    return Context(Place(ds.root, ds.name, ds.dir))


def new_context(root: str | os.PathLike[str], dataset: str, *, force: bool) -> Context:
    """Return the context of a dataset to be created, or to be archived and created anew.

    Raises
    ------
    ValidationError
        If the id is not allowed there.
    AlreadyExists
        If there is such a dataset, and not `force`.
    """
    place = new_place(real_path(root), dataset)
    ctx = Context(place)
    if dataset_exists(ctx.layout) and not force:
        raise AlreadyExists(
            f"Dataset '{dataset}' exists already below {ctx.root}",
            hint="Choose another name, or use --force, which moves it to _archive/ first.",
        )
    return ctx


def add_columns(
    root: Path, namespace: str, columns: Sequence[Column], *, owner: str, description: str
) -> list[str]:
    """Register the columns that a namespace lacks; what is registered stays as it is (REG-6).

    Returns the full names of the columns that were added.
    """
    added: list[str] = []

    def extend(before: Registry) -> Registry:
        entry = before.get(namespace) or NamespaceEntry(owner, description, ())
        missing = [c for c in columns if entry.column(c.name) is None]
        added[:] = [c.name for c in missing]
        if not missing:
            return before
        extended = NamespaceEntry(entry.owner, entry.description, (*entry.columns, *missing))
        return before.with_entry(namespace, extended)

    registryfile.update(root, extend, action="register")
    return added


# A part in a commit ---------------------------------------------------------------------------


def stage_part(
    c: Change, namespace: str, table: pa.Table, *, key: str, merged: Merged | None = None
) -> str:
    """Stage one part, newer than all there are; returns its path in the dataset.

    Parameters
    ----------
    table : pyarrow.Table
        The key column, and columns in their registered types.
    merged : Merged, optional
        The state that the change starts from; without it the namespace has no parts.
    """
    infos = merged.parts(namespace) if merged is not None else []
    return _write_part(c.stage, c.registry, namespace, table, key=key, at=new_part_time(infos))


def _write_part(
    stage: Stage, registry: Registry, namespace: str, table: pa.Table, *, key: str, at: datetime
) -> str:
    metadata = part_metadata(
        namespace=namespace,
        key=key,
        created_at=at,
        registry=registry,
        operation_id=stage.operation_id,
    )
    path = f"{overlay_folder(namespace)}/{part_file_name(at)}"
    with stage.file(path) as sink:
        schema = with_metadata(table.schema, metadata)
        write_batches(sink, schema, [table], total=table.num_rows)
    return path


def stage_rows(
    c: Change,
    merged: Merged,
    namespace: str,
    rows: npt.NDArray[np.int64],
    columns: Mapping[str, pa.ChunkedArray | pa.Array],
) -> str:
    """Stage cells for base rows as one part, under the key that the namespace has (OVL-3).

    Parameters
    ----------
    rows : numpy.ndarray of int64
        Base rows, 0-based.
    columns : mapping of str to pyarrow array
        Registered column, in its registered type → one cell per row.

    Raises
    ------
    DuplicateIDError
        If rows that share a key would get different cells.
    ValidationError
        If the namespace's key does not fit the dataset any more.
    """
    infos = merged.parts(namespace)
    key = infos[0].key if infos else "id"
    if key != "id":
        kinds = pa.Table.from_batches(merged.base_batches(["bio_type", "alphabet"]))
        check_sequence_key(
            key, bio_types=kinds.column("bio_type"), alphabets=kinds.column("alphabet")
        )
    keys = normal_keys(merged.base_keys(base_column(key)).take(pa.array(rows)), key)
    table = pa.table({key: keys, **columns})
    codes = keys.combine_chunks().dictionary_encode().indices.to_numpy()
    _, first, again = np.unique(codes, return_index=True, return_inverse=True)
    if len(first) < len(rows):
        if not table.take(pa.array(first[again])).equals(table):
            repeated = keys[int(np.setdiff1d(np.arange(len(rows)), first)[0])].as_py()
            raise DuplicateIDError(
                f"Rows of '{c.ctx.name}' share the {key} {repeated[:40]!r} and differ",
                hint="Remove the repeats first: usr maintenance dedupe.",
            )
        table = table.take(pa.array(np.sort(first)))
    return stage_part(c, namespace, table, key=key, merged=merged)


# A whole dataset ------------------------------------------------------------------------------


@dataclass(frozen=True)
class NewRows:
    """The rows of a dataset to be created, all checked.

    Attributes
    ----------
    base : pyarrow.Table
        Essential columns, one row per sequence.
    kept : list of int
        For each of them the 0-based row of the source.
    duplicates : int
        Rows of the source that were folded into an earlier one.
    """

    base: pa.Table
    kept: list[int]
    duplicates: int


def check_rows(rows: Rows, *, ignore_case: bool) -> NewRows:
    """Return the rows as essential columns; the first of equal sequences stays.

    Rows without ``bio_type`` and ``alphabet`` are dna and dna_4.

    Raises
    ------
    ValidationError, AlphabetError, SchemaError
        With 1-based rows.
    """
    defaults = Defaults(
        bio_type="dna", alphabet="dna_4", source="",
        file_source="" if rows.format == "table" else rows.label, created_at=None, now=utc_now(),
    )  # fmt: skip
    problems = Problems()
    batches = list(essential_batches(rows, defaults, problems))
    problems.raise_first(rows.label)
    whole = pa.Table.from_batches(batches, schema=ARROW_SCHEMA)
    kinds = whole.column("bio_type").to_pylist()
    letters = whole.column("sequence").to_pylist()
    first: dict[tuple[str, str], int] = {}
    for row, (kind, sequence) in enumerate(zip(kinds, letters, strict=True)):
        first.setdefault((kind, sequence.casefold() if ignore_case else sequence), row)
    kept = list(first.values())
    return NewRows(whole.take(pa.array(kept, pa.int64())), kept, whole.num_rows - len(kept))


@dataclass(frozen=True)
class Creation:
    """What is to be created, and what its event and note say."""

    action: str
    rows: NewRows
    overlays: Mapping[str, Mapping[str, pa.ChunkedArray | pa.Array]]
    args: Mapping[str, Any]
    metrics: Mapping[str, Any]
    command: Sequence[str]
    title: str
    source: str = ""
    artifacts: Mapping[str, Any] = field(default_factory=dict)


def cast_overlays(
    registry: Registry,
    overlays: Mapping[str, Mapping[str, pa.ChunkedArray | pa.Array]],
    where: str,
) -> dict[str, dict[str, pa.ChunkedArray]]:
    """Return the columns in their registered types (ATT-2), in registry order.

    Raises
    ------
    NamespaceError, SchemaError
        If a column is not registered, or a cell does not fit.
    """
    cast: dict[str, dict[str, pa.ChunkedArray]] = {}
    for ns, columns in overlays.items():
        for name in columns:
            registry.column(ns, name)
        cast[ns] = {
            c.name: cast_column(
                _chunked(columns[c.name]), c.arrow_type, name=c.name, parse_json=False, where=where
            )
            for c in registry.entry(ns).columns
            if c.name in columns
        }
    return cast


def _chunked(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def create(ctx: Context, made: Creation, *, force: bool) -> str | None:
    """Create the dataset with its rows and overlays, in one commit: all of it or nothing.

    An existing dataset is archived first; all that can be wrong with the input was found before.

    Returns
    -------
    str or None
        Where an existing dataset lies now, relative to the root.
    """
    overlays = cast_overlays(ctx.registry(), made.overlays, made.action)
    archived = None
    if dataset_exists(ctx.layout):
        if not force:
            raise AlreadyExists(f"Dataset '{ctx.name}' exists already", hint="Use --force.")
        archived = archive_dataset(ctx).relative_to(ctx.root).as_posix()

    def add(stage: Stage, registry: Registry, size: Fingerprint) -> None:
        ids = made.rows.base.column("id")
        for ns, columns in overlays.items():
            if columns:
                table = pa.table({"id": ids, **columns})
                _write_part(stage, registry, ns, table, key="id", at=new_part_time([]))
        artifacts = {**made.artifacts, **({"archived": archived} if archived else {})}
        event = ctx.event(
            made.action, fingerprint=size, registry_hash=registry.hash, args=made.args,
            metrics=made.metrics, artifacts=artifacts,
        )  # fmt: skip
        stage.event(event)
        stage.note(made.title, redact_command(made.command))

    start = ingest.Start(made.action, made.rows.base, add)
    # Silent: a listener that cancels now would leave an archived dataset without its successor.
    with reporting(None):
        ingest.init(ctx, source=made.source, notes_text="", start=start)
    return archived


def positive(**numbers: int) -> None:
    """Raise a :class:`ValidationError` unless every number is a whole one above 0."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValidationError(
                f"{name} is a whole number of 1 or more, not {str(value)[:40]!r}",
                hint=f"Give --{name.replace('_', '-')} a positive number.",
            )


def check_cells(cells: int) -> None:
    """Raise a :class:`ValidationError` for more made-up letters and numbers than memory holds."""
    if cells > LARGEST:
        raise ValidationError(
            f"{str(cells)[:40]} letters and numbers are asked for, more than {LARGEST:,}",
            hint="Ask for fewer rows, or for shorter ones.",
        )
