"""The verbs of a dataset that read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from usr_nb.dataset import describe, export, info, reading, records, validate
from usr_nb.dataset.export import ExportFormat, ExportResult
from usr_nb.dataset.face_base import Face
from usr_nb.dataset.info import DatasetInfo, Manifest, OverlayInfo
from usr_nb.storage import eventlog

if TYPE_CHECKING:
    import pandas as pd

PathLike = str | os.PathLike[str]


class ReadingFace(Face):
    """Everything that looks and changes nothing."""

    def info(self) -> DatasetInfo:
        """Return counts, columns and overlays at a glance."""
        return info.dataset_info(self._ctx)

    def info_dict(self) -> dict[str, Any]:
        """Return :meth:`info` as plain values."""
        return info.info_dict(self._ctx)

    def schema(self, *, include_overlays: bool | Sequence[str] = True) -> pa.Schema:
        """Return the schema of the merged table."""
        with self._ctx.merged(include_overlays=include_overlays) as merged:
            return merged.schema

    def manifest(self) -> Manifest:
        """Return every file with its size and SHA-256."""
        return info.manifest(self._ctx)

    def manifest_dict(self) -> Mapping[str, Any]:
        """Return :meth:`manifest` as plain values."""
        return info.manifest_dict(self._ctx)

    def list_overlays(self) -> list[OverlayInfo]:
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
        fmt: ExportFormat,
        out: PathLike,
        columns: Sequence[str] | None = None,
        include_deleted: bool = False,
        *,
        names: str | None = None,
    ) -> ExportResult:
        """Write the merged records to a csv, jsonl, parquet or fasta file.

        In CSV null is an empty cell and nested values are JSON text. The result says how many
        masked and failed rows are in the file.

        Parameters
        ----------
        fmt : {"csv", "jsonl", "parquet", "fasta"}
            The form.
        out : path
            The file, replaced if it is there; it appears whole or not at all.
        columns : sequence of str, optional
            Columns to write; all by default (of no meaning for FASTA).
        names : str, optional
            FASTA headers: a namespace that kept them (``keep=``), or a text column; by default
            the namespace that kept them, if there is just one, else the ids.
        """
        return export.export(
            self._ctx, fmt, out, columns=columns, include_deleted=include_deleted, names=names
        )

    def get_state(
        self, ids: str | Iterable[str], *, allow_missing: bool = False
    ) -> list[dict[str, Any]]:
        """Return ``{id, masked, qc_status, split, supersedes, lineage}`` per id, in order."""
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
