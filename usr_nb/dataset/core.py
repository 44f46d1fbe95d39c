"""``Dataset``: one method per verb, no logic of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import pyarrow as pa

from usr_nb.dataset import (
    context,
    describe,
    export,
    info,
    ingest,
    maintenance,
    overlays,
    reading,
    records,
    validate,
)
from usr_nb.dataset.context import Actor, Context
from usr_nb.dataset.ingest import AddSequencesResult
from usr_nb.errors import ValidationError
from usr_nb.readers import Rows, open_rows
from usr_nb.storage import eventlog, notes, roots, slots
from usr_nb.contract.times import to_text, utc_now

if TYPE_CHECKING:
    import pandas as pd

PathLike = str | os.PathLike[str]


class Dataset:
    """A dataset of sequences in plain files.

    Make one with :meth:`open`; nothing is read or written until a method is called.

    Attributes
    ----------
    root : Path
        The folder with ``registry.yaml``.
    name : str
        The dataset id, ``namespace/name`` or ``name``.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, register_namespace
    >>> root = tempfile.mkdtemp()
    >>> _ = register_namespace(root, namespace="mock", columns="mock__score:float64")
    >>> ds = Dataset.open(root, "densegen/demo")
    >>> ds.init(source="example")
    >>> ds.add_sequences([{"sequence": "ACGTACGTAC"}], bio_type="dna", alphabet="dna_4").added
    1
    >>> scores = ds.head(1)[["id"]].assign(mock__score=1.5)
    >>> ds.write_overlay("mock", scores)
    1
    >>> float(ds.head(1)["mock__score"].iloc[0])
    1.5
    """

    def __init__(self, place: roots.Place) -> None:
        self._ctx = Context(place)

    @classmethod
    def open(cls, root: PathLike, name_or_path: PathLike) -> Self:
        """Open a dataset by its id, by the last part of its id if that is unique, or by its folder.

        The id is taken literally if that folder exists or nothing matches, so that a dataset can be
        opened before :meth:`init` creates it (LAY-4).

        Parameters
        ----------
        root : path
            The root folder.
        name_or_path : str or path
            ``namespace/name``, ``name``, or the path of a dataset folder, also outside the root.

        Raises
        ------
        ValidationError
            If the id is not allowed, or a folder's ``meta.md`` names another id.
        DatasetNotFound
            If a path holds no dataset, or a name fits several.
        """
        base = Path(root).expanduser().resolve()
        text = os.fspath(name_or_path)
        if isinstance(name_or_path, Path) or roots.is_path_like(text):
            return cls(roots.place_of_folder(Path(text).expanduser(), base))
        return cls(roots.open_or_literal(base, text))

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, root={str(self.root)!r})"

    # Places -------------------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The root folder."""
        return self._ctx.root

    @property
    def name(self) -> str:
        """The dataset id."""
        return self._ctx.name

    @property
    def dir(self) -> Path:
        """The dataset's folder."""
        return self._ctx.layout.dir

    @property
    def records_path(self) -> Path:
        """The base table."""
        return self._ctx.layout.records

    @property
    def events_path(self) -> Path:
        """The event log."""
        return self._ctx.layout.events

    @property
    def meta_path(self) -> Path:
        """The notes."""
        return self._ctx.layout.meta

    @property
    def snapshot_dir(self) -> Path:
        """The folder of snapshots."""
        return self._ctx.layout.snapshots

    # Reading ------------------------------------------------------------------------------------

    def info(self) -> info.DatasetInfo:
        """Return counts, columns and overlays at a glance."""
        return info.dataset_info(self._ctx)

    def info_dict(self) -> dict[str, Any]:
        """Return :meth:`info` as plain values."""
        return info.info_dict(self._ctx)

    def schema(self, *, include_overlays: bool | Sequence[str] = True) -> pa.Schema:
        """Return the schema of the merged table."""
        with self._ctx.merged(include_overlays=include_overlays) as merged:
            return merged.schema

    def manifest(self) -> info.Manifest:
        """Return every file with its size and SHA-256."""
        return info.manifest(self._ctx)

    def manifest_dict(self) -> Mapping[str, Any]:
        """Return :meth:`manifest` as plain values."""
        return info.manifest_dict(self._ctx)

    def list_overlays(self) -> list[info.OverlayInfo]:
        """Return the overlays, A-Z by namespace."""
        return info.overlay_infos(self._ctx)

    def scan(
        self,
        columns: Sequence[str] | None = None,
        include_overlays: bool | Sequence[str] = True,
        include_deleted: bool = False,
        batch_size: int = 65_536,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the merged table of one instant in base order.

        Parameters
        ----------
        columns : sequence of str, optional
            Columns in the order wanted; all by default.
        include_overlays : bool or sequence of str
            True: all namespaces; False: the base alone; a list: only these.
        include_deleted : bool
            Show tombstoned rows and the columns ``usr__*``.
        batch_size : int
            Rows of the base per batch.

        Raises
        ------
        DatasetNotFound
            With a "did you mean", if there is no such dataset.
        """
        return reading.scan(
            self._ctx, columns=columns, include_overlays=include_overlays,
            include_deleted=include_deleted, batch_size=batch_size,
        )  # fmt: skip

    def head(
        self,
        n: int = 10,
        columns: Sequence[str] | None = None,
        include_derived: bool = True,
        include_deleted: bool = False,
    ) -> pd.DataFrame:
        """Return the first `n` records as a pandas frame."""
        table = reading.head(
            self._ctx, n, columns=columns, include_derived=include_derived,
            include_deleted=include_deleted,
        )  # fmt: skip
        return reading.to_pandas(table)

    def get(
        self,
        id: str | Sequence[str],
        columns: Sequence[str] | None = None,
        include_deleted: bool = False,
    ) -> pd.DataFrame:
        """Return the record of an id (or a unique prefix of 7 or more letters), or of several.

        Raises
        ------
        RecordNotFound
            If it is unknown, hidden by a tombstone, or an ambiguous prefix.
        """
        table = reading.get(self._ctx, id, columns=columns, include_deleted=include_deleted)
        return reading.to_pandas(table)

    def grep(
        self,
        pattern: str,
        limit: int = 20,
        batch_size: int = 65_536,
        include_deleted: bool = False,
        *,
        iupac: bool = False,
        both_strands: bool = False,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return the first records whose sequence matches a pattern, case ignored.

        Parameters
        ----------
        pattern : str
            An RE2 expression; with `iupac` a motif such as ``TTGACA N{16,18} TATAAT``.
        limit : int
            At most this many records.
        both_strands : bool
            Also look for the motif's reverse complement (implies `iupac`).
        columns : sequence of str, optional
            Columns to show; by default id, bio_type, length and sequence.

        Raises
        ------
        ValidationError
            If the pattern is malformed.
        """
        table = reading.grep(
            self._ctx, pattern, limit=limit, batch_size=batch_size,
            include_deleted=include_deleted, iupac=iupac, both_strands=both_strands,
            columns=columns,
        )  # fmt: skip
        return reading.to_pandas(table)

    def describe(
        self,
        columns: Sequence[str] | None = None,
        sample: int = 1024,
        include_deleted: bool = False,
    ) -> list[dict[str, Any]]:
        """Return statistics of every column, exact over all rows.

        Each dict holds ``column, namespace, type, rows, non_null, null_pct, example``, for
        numbers ``min, mean, max`` (NaN left out), for lists ``len_min, len_mean, len_max``, for
        strings ``distinct`` and ``distinct_exact`` (False: estimated beyond a million).
        `sample` bounds how many rows are searched for an example.
        """
        return describe.describe(
            self._ctx, columns=columns, sample=sample, include_deleted=include_deleted
        )

    def export(
        self,
        fmt: export.ExportFormat,
        out: PathLike,
        columns: Sequence[str] | None = None,
        include_deleted: bool = False,
    ) -> export.ExportResult:
        """Write the merged records to a csv, jsonl or parquet file.

        In CSV null is an empty cell and nested values are JSON text. The result says how many
        masked and failed rows are in the file.
        """
        return export.export(
            self._ctx, fmt, out, columns=columns, include_deleted=include_deleted
        )

    def get_state(
        self, ids: str | Iterable[str], *, allow_missing: bool = False
    ) -> list[dict[str, Any]]:
        """Return ``{id, masked, qc_status, split, supersedes, lineage}`` per id, in request order."""
        return records.get_state(self._ctx, ids, allow_missing=allow_missing)

    def events(self, *, n: int | None = None) -> list[dict[str, Any]]:
        """Return the events in order, the last `n` if given; repeated lines are folded."""
        found = list(eventlog.read_events(self.events_path))
        return found if n is None else found[-n:] if n else []

    def validate(
        self,
        strict: bool = False,
        registry_mode: validate.RegistryMode = "current",
    ) -> validate.Report:
        """Check every rule of the contract on every file; see :class:`validate.Report`.

        Raises
        ------
        ValidationError
            If there is an error (with `strict` also a warning); it carries the report in
            ``.report``.
        """
        return validate.validate(self._ctx, strict=strict, registry_mode=registry_mode)

    # Writing ------------------------------------------------------------------------------------

    def init(self, source: str = "", notes: str = "", *, actor: Actor | None = None) -> None:
        """Create the dataset: ``records.parquet``, ``meta.md``, the frozen registry, an event.

        Raises
        ------
        AlreadyExists
            If it exists.
        NamespaceError
            If the root has no registry; the hint gives the command that makes one.
        """
        ingest.init(self._ctx, source=source, notes_text=notes, actor=actor)

    def import_rows(
        self,
        rows: Any,
        default_bio_type: str = "dna",
        default_alphabet: str = "dna_4",
        source: str | None = None,
        strict_id_check: bool = True,
        actor: Actor | None = None,
        *,
        on_conflict: ingest.OnConflict = "error",
        strip_stop: bool = False,
    ) -> int:
        """Append rows to the base, all or none, and return their number (IMP).

        Parameters
        ----------
        rows : table, data frame, list of dict, list of str, or any ``__arrow_c_stream__``
            Must have ``sequence``; may have ``bio_type, alphabet, id, source, created_at``.
            Other columns are ignored.
        default_bio_type, default_alphabet : str
            For rows without those columns.
        source : str, optional
            Stored for every row; else the row's own, else "".
        strict_id_check : bool
            Whether a supplied id must equal the computed one.
        on_conflict : {"error", "ignore"}
            What to do about ids that are there already.
        strip_stop : bool
            Remove trailing ``*`` from sequences.

        Raises
        ------
        ValidationError, AlphabetError, SchemaError, DuplicateIDError
            With 1-based row numbers. Nothing was imported.
        """
        opened = open_rows(rows, columns=None)
        return self._import(
            opened, default_bio_type, default_alphabet, source,
            args={"rows": "<table>"}, command=self._table_command("import", opened),
            strict_id_check=strict_id_check, actor=actor, on_conflict=on_conflict,
            strip_stop=strip_stop,
        ).added  # fmt: skip

    def add_sequences(
        self,
        rows: Any,
        *,
        bio_type: str,
        alphabet: str,
        source: str = "",
        created_at: datetime | str | None = None,
        on_conflict: ingest.OnConflict = "error",
        actor: Actor | None = None,
    ) -> AddSequencesResult:
        """Append rows like :meth:`import_rows` and say which ids they have."""
        opened = open_rows(rows)
        return self._import(
            opened, bio_type, alphabet, source, created_at=created_at,
            args={"rows": "<table>"}, command=self._table_command("import", opened),
            on_conflict=on_conflict, actor=actor, want_ids=True,
        )  # fmt: skip

    def import_file(
        self,
        path: PathLike,
        *,
        fmt: str | None = None,
        default_bio_type: str = "dna",
        default_alphabet: str = "dna_4",
        source: str | None = None,
        on_conflict: ingest.OnConflict = "error",
        strip_stop: bool = False,
        actor: Actor | None = None,
    ) -> int:
        """Import a csv, tsv, jsonl, parquet, xlsx or FASTA file; returns the rows imported.

        `fmt` is guessed from the suffix if it is not given. ``source`` of a row is the
        argument, else the row's, else the path as given.
        """
        opened = open_rows(path, fmt=fmt)
        command = ["usr", "import", self.name, "--from", opened.format, "--path", str(path)]
        command += ["--bio-type", default_bio_type, "--alphabet", default_alphabet]
        command += ["--source", source] if source else []
        command += ["--on-conflict", on_conflict] if on_conflict != "error" else []
        command += ["--strip-stop"] if strip_stop else []
        return self._import(
            opened, default_bio_type, default_alphabet, source,
            args={"path": str(path), "format": opened.format}, command=command,
            on_conflict=on_conflict, strip_stop=strip_stop, actor=actor,
        ).added  # fmt: skip

    def import_csv(self, path: PathLike, **options: Any) -> int:
        """Import a CSV file; see :meth:`import_file`."""
        return self.import_file(path, fmt="csv", **options)

    def import_jsonl(self, path: PathLike, **options: Any) -> int:
        """Import a JSON-lines file; see :meth:`import_file`."""
        return self.import_file(path, fmt="jsonl", **options)

    def import_parquet(self, path: PathLike, **options: Any) -> int:
        """Import a Parquet file; see :meth:`import_file`."""
        return self.import_file(path, fmt="parquet", **options)

    def import_fasta(self, path: PathLike, **options: Any) -> int:
        """Import a FASTA file; see :meth:`import_file`."""
        return self.import_file(path, fmt="fasta", **options)

    def _import(
        self,
        opened: Rows,
        bio_type: str,
        alphabet: str,
        source: str | None,
        *,
        args: dict[str, Any],
        command: Sequence[str],
        **options: Any,
    ) -> AddSequencesResult:
        args |= {"bio_type": bio_type, "alphabet": alphabet, "source": source or ""}
        args["on_conflict"] = options.get("on_conflict", "error")
        return ingest.import_rows(
            self._ctx, opened, default_bio_type=bio_type, default_alphabet=alphabet,
            source=source, args=args, command=command, **options,
        )  # fmt: skip

    def _table_command(self, verb: str, opened: Rows) -> list[str]:
        return ["usr", verb, self.name, "--from", opened.format, "--path", opened.label]

    def attach(
        self,
        path: Any,
        namespace: str,
        *,
        key: str = "id",
        key_col: str | None = None,
        columns: Sequence[str] | None = None,
        allow_overwrite: bool = False,
        allow_missing: bool = False,
        parse_json: bool = True,
        backend: overlays.Backend = "pyarrow",
        note: str = "",
        actor: Actor | None = None,
    ) -> int:
        """Attach columns of a file (or table) as one new overlay part; returns the rows matched.

        Parameters
        ----------
        path : path or table
            csv, tsv, jsonl, parquet or xlsx.
        namespace : str
            A registered namespace; column ``x`` becomes ``<namespace>__x``.
        key : {"id", "sequence", "sequence_norm", "sequence_ci"}
            What the rows are matched by; `key_col` is the column that holds it.
        columns : sequence of str, optional
            Columns to attach; all but the key and essentials by default.
        allow_overwrite : bool
            Needed where columns have values already; the new values win.
        allow_missing : bool
            Skip rows whose key the dataset has not, instead of raising.
        parse_json : bool
            Read text such as ``"[1, 2]"`` for columns registered as list or struct.
        backend : {"pyarrow", "duckdb"}
            Who reads a Parquet file; the result is the same.
        note : str
            A line for ``meta.md``.

        Raises
        ------
        NamespaceError, SchemaError, ValidationError, DuplicateIDError
            With 1-based rows. Nothing was attached.
        """
        registry = self._ctx.registry()
        rows = overlays.open_source(path, registry, namespace, backend=backend, parse_json=parse_json)
        args = {
            "path": str(path) if rows.format != "table" or backend == "duckdb" else "<table>",
            "namespace": namespace, "key": key, "key_col": key_col,
            "columns": list(columns) if columns is not None else None,
            "allow_overwrite": allow_overwrite, "allow_missing": allow_missing,
            "parse_json": parse_json, "backend": backend, "note": note,
        }  # fmt: skip
        command = ["usr", "attach", self.name, "--path", args["path"], "--namespace", namespace]
        command += ["--key", key] + (["--key-col", key_col] if key_col else [])
        command += ["--columns", ",".join(columns)] if columns else []
        for flag, on in (("--allow-overwrite", allow_overwrite), ("--allow-missing", allow_missing),
                         ("--no-parse-json", not parse_json)):  # fmt: skip
            command += [flag] if on else []
        command += ["--backend", backend] if backend != "pyarrow" else []
        request = overlays.Request(
            action="attach", namespace=namespace, key=key, key_col=key_col, columns=columns,
            allow_overwrite=allow_overwrite, allow_missing=allow_missing, parse_json=parse_json,
            guard=True, args=args, command=command,
            title=note or f"attached columns of namespace {namespace}", actor=actor,
        )  # fmt: skip
        return overlays.write_part(self._ctx, rows, request).matched

    attach_columns = attach

    def write_overlay(
        self,
        namespace: str,
        table: Any,
        key: str = "id",
        overwrite: bool = False,
        allow_missing: bool = False,
        *,
        actor: Actor | None = None,
    ) -> int:
        """Attach the columns of a table in memory; like :meth:`attach`. Returns the rows matched."""
        return self.attach(
            table, namespace, key=key, allow_overwrite=overwrite, allow_missing=allow_missing,
            actor=actor,
        )  # fmt: skip

    def write_overlay_part(
        self,
        namespace: str,
        table: Any,
        key: str = "id",
        key_col: str | None = None,
        allow_missing: bool = False,
        actor: Actor | None = None,
    ) -> int:
        """Append one part, for pipelines: no lock, no guard, last writer wins.

        Returns the number of rows written. Writes one file, one event and no note.
        """
        registry = self._ctx.registry()
        rows = open_rows(table, types=overlays.source_types(registry, namespace))
        args = {"namespace": namespace, "key": key, "key_col": key_col,
                "allow_missing": allow_missing}  # fmt: skip
        request = overlays.Request(
            action="write_overlay_part", namespace=namespace, key=key, key_col=key_col,
            columns=None, allow_overwrite=True, allow_missing=allow_missing, parse_json=True,
            guard=False, args=args, command=(), title=None, actor=actor,
        )  # fmt: skip
        return overlays.write_part(self._ctx, rows, request).matched

    def tombstone(
        self,
        ids: str | Iterable[str],
        reason: str | None = None,
        allow_missing: bool = False,
        *,
        actor: Actor | None = None,
    ) -> int:
        """Hide records from reads; their rows and values stay. Returns how many were marked."""
        return records.tombstone(
            self._ctx, ids, reason=reason, allow_missing=allow_missing, actor=actor
        )

    delete = tombstone

    def restore(
        self,
        ids: str | Iterable[str],
        allow_missing: bool = False,
        *,
        actor: Actor | None = None,
    ) -> int:
        """Bring tombstoned records back; returns how many were hidden before."""
        return records.restore(self._ctx, ids, allow_missing=allow_missing, actor=actor)

    def set_state(
        self,
        ids: str | Iterable[str],
        *,
        masked: bool | None = None,
        qc_status: Literal["pass", "fail", "warn", "unknown"] | None = None,
        split: Literal["train", "val", "test", "holdout"] | None = None,
        supersedes: str | None = None,
        lineage: Sequence[str] | None = None,
        allow_missing: bool = False,
        actor: Actor | None = None,
    ) -> int:
        """Set the given state fields and leave the others as they are; returns the number of ids."""
        values = {"masked": masked, "qc_status": qc_status, "split": split,
                  "supersedes": supersedes, "lineage": lineage}  # fmt: skip
        return records.set_state(
            self._ctx, ids, values, allow_missing=allow_missing, actor=actor
        )

    def clear_state(
        self,
        ids: str | Iterable[str],
        allow_missing: bool = False,
        *,
        actor: Actor | None = None,
    ) -> int:
        """Unset all state fields; returns the number of ids."""
        return records.clear_state(self._ctx, ids, allow_missing=allow_missing, actor=actor)

    def snapshot(self, name: str | None = None) -> Path:
        """Copy the base into ``_snapshots/``; the user's snapshots are never pruned."""
        return self.dir / maintenance.snapshot(self._ctx, name)

    def log_event(
        self,
        action: str,
        *,
        args: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, Any] | None = None,
        maintenance: Mapping[str, Any] | None = None,
        target_path: PathLike | None = None,
        actor: Actor | None = None,
    ) -> None:
        """Append an event of one's own to the log, secrets redacted; no note is written (EVT-4)."""
        with self._ctx.view() as view:
            registry = self._ctx.reading_registry()
            extra = {"target_path": str(target_path)} if target_path is not None else {}
            event = self._ctx.event(
                action, fingerprint=self._ctx.fingerprint(view), registry_hash=registry.hash,
                args=args or {}, metrics=metrics or {}, artifacts={**(artifacts or {}), **extra},
                maintenance=maintenance, actor=actor,
            )  # fmt: skip
        event["artifacts"] = {"operation_id": slots.new_operation_id(), **event["artifacts"]}
        eventlog.append_event(self.events_path, event)

    def append_meta_note(self, title: str, code: str) -> None:
        """Append a note with a fenced block to ``meta.md``."""
        note = {"at": to_text(utc_now()), "title": title, "command": code}
        notes.append_note(self.meta_path, note)

    # Maintenance --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def maintenance(self, reason: str, actor: Actor | None = None) -> Iterator[Self]:
        """Open a section in which the base may be rewritten; its reason goes into the events."""
        if self._ctx.maintenance is not None:
            raise ValidationError("A maintenance section is open already")
        self._ctx.maintenance = maintenance.section(reason, actor)
        try:
            yield self
        finally:
            self._ctx.maintenance = None

    def _require_maintenance(self, verb: str) -> None:
        if self._ctx.maintenance is None:
            raise ValidationError(
                f"{verb} rewrites the dataset and needs a maintenance section",
                hint=f'with ds.maintenance(reason="..."): ds.{verb}(...)',
            )

    def materialize(
        self,
        namespaces: Sequence[str] | None = None,
        keep_overlays: bool = True,
        archive_overlays: bool = False,
        drop_deleted: bool = False,
        *,
        snapshot_before: bool = False,
    ) -> maintenance.MaterializeResult:
        """Write merged values into the base; reads give the same before and after.

        Parameters
        ----------
        namespaces : sequence of str, optional
            Which; all but ``usr`` by default.
        keep_overlays : bool
            False deletes the overlay files (after a quarter of an hour for running readers).
        archive_overlays : bool
            Move them to ``_derived/_archived/``.
        drop_deleted : bool
            Remove tombstoned rows for good; an automatic snapshot is taken first.
        snapshot_before : bool
            Keep the prior base as a snapshot.
        """
        self._require_maintenance("materialize")
        return maintenance.materialize(
            self._ctx, namespaces, keep_overlays=keep_overlays, archive_overlays=archive_overlays,
            drop_deleted=drop_deleted, snapshot_before=snapshot_before,
        )  # fmt: skip

    def freeze_registry(self) -> str:
        """Freeze the present registry into ``_registry/`` and stamp the base; returns its hash."""
        self._require_maintenance("freeze_registry")
        return context.freeze(self._ctx, auto=False, stamp=True)

    def remove_overlay(
        self,
        namespace: str,
        mode: Literal["delete", "archive", "error"] = "delete",
        missing_ok: bool = False,
    ) -> list[str]:
        """Take away all files of a namespace; returns their paths in the dataset."""
        return maintenance.remove_overlay(
            self._ctx, namespace, mode=mode, missing_ok=missing_ok
        )


