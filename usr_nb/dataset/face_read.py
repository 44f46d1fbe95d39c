"""The verbs of a dataset that read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from usr_nb.dataset.face_base import Face
from usr_nb.storage import eventlog

if TYPE_CHECKING:
    import pandas as pd

    from usr_nb.dataset import reading, validate
    from usr_nb.dataset.doctor.report import Checkup
    from usr_nb.dataset.export import ExportFormat, ExportResult
    from usr_nb.dataset.history import EventRow
    from usr_nb.dataset.info import DatasetInfo, Manifest, OverlayInfo
    from usr_nb.dataset.profile.model import Profile
    from usr_nb.dataset.why import Why
    from usr_nb.filter.kept import Where
    from usr_nb.filter.order import By

PathLike = str | os.PathLike[str]


class ReadingFace(Face):
    """Everything that looks and changes nothing."""

    def info(self) -> DatasetInfo:
        """Return counts, columns and overlays at a glance."""
        from usr_nb.dataset import info

        return info.dataset_info(self._ctx)

    def info_dict(self) -> dict[str, Any]:
        """Return :meth:`info` as plain values."""
        from usr_nb.dataset import info

        return info.info_dict(self._ctx)

    def schema(self, *, include_overlays: bool | Sequence[str] = True) -> pa.Schema:
        """Return the schema of the merged table."""
        with self._ctx.merged(include_overlays=include_overlays) as merged:
            return merged.schema

    def manifest(self) -> Manifest:
        """Return every file with its size and SHA-256."""
        from usr_nb.dataset import info

        return info.manifest(self._ctx)

    def manifest_dict(self) -> Mapping[str, Any]:
        """Return :meth:`manifest` as plain values."""
        from usr_nb.dataset import info

        return info.manifest_dict(self._ctx)

    def list_overlays(self) -> list[OverlayInfo]:
        """Return the overlays, A-Z by namespace."""
        from usr_nb.dataset import info

        return info.overlay_infos(self._ctx)

    def scan(
        self,
        columns: Sequence[str] | None = None,
        include_overlays: bool | Sequence[str] = True,
        include_deleted: bool = False,
        batch_size: int = 65_536,
        *,
        where: Where | None = None,
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
        where : Filter or str, optional
            Only the records that a filter keeps; it may name other columns.

        Raises
        ------
        DatasetNotFound
            With a "did you mean", if there is no such dataset.
        """
        from usr_nb.dataset import reading

        return reading.scan(
            self._ctx, columns=columns, include_overlays=include_overlays,
            include_deleted=include_deleted, batch_size=batch_size, where=where,
        )  # fmt: skip

    def head(
        self,
        n: int = 10,
        columns: Sequence[str] | None = None,
        include_derived: bool = True,
        include_deleted: bool = False,
        *,
        where: Where | None = None,
    ) -> pd.DataFrame:
        """Return the first `n` records (that a filter keeps) as a pandas frame."""
        from usr_nb.dataset import reading

        table = self.head_table(
            n, columns, include_derived=include_derived, include_deleted=include_deleted,
            where=where,
        )  # fmt: skip
        return reading.to_pandas(table)

    def head_table(
        self,
        n: int = 10,
        columns: Sequence[str] | None = None,
        *,
        include_derived: bool = True,
        include_deleted: bool = False,
        where: Where | None = None,
    ) -> pa.Table:
        """Return the first `n` records as an Arrow table: :meth:`head` that loads no pandas."""
        from usr_nb.dataset import reading

        return reading.head(
            self._ctx, n, columns=columns, include_derived=include_derived,
            include_deleted=include_deleted, where=where,
        )  # fmt: skip

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
        from usr_nb.dataset import reading

        return reading.to_pandas(self.get_table(id, columns, include_deleted=include_deleted))

    def get_table(
        self,
        id: str | Sequence[str],
        columns: Sequence[str] | None = None,
        *,
        include_deleted: bool = False,
        where: Where | None = None,
    ) -> pa.Table:
        """Return records by id as an Arrow table: :meth:`get` that loads no pandas.

        With `where` only those of them that a filter keeps.
        """
        from usr_nb.dataset import reading

        return reading.get(
            self._ctx, id, columns=columns, include_deleted=include_deleted, where=where
        )

    def find_table(
        self,
        n: int = 10,
        columns: Sequence[str] | None = None,
        *,
        where: Where | None = None,
        order_by: By | Sequence[By] = (),
        include_deleted: bool = False,
    ) -> reading.Hits:
        """Return the first records that a filter keeps, sorted, and how many there are.

        Parameters
        ----------
        n : int
            At most this many records.
        columns : sequence of str, optional
            Columns to show; all by default. Filter and order may name others.
        where : Filter or str, optional
            Only the records that a filter keeps.
        order_by : feature, key, text, or a sequence of them
            Best first, as ``"evo2__llr desc, length"``; base order by default and among equals.

        Returns
        -------
        Hits
            ``table`` with the records; ``matches`` of ``searched`` records are kept.

        Examples
        --------
        >>> import tempfile
        >>> from usr_nb import Dataset, init_root
        >>> root = tempfile.mkdtemp()
        >>> _ = init_root(root)
        >>> ds = Dataset.open(root, "lab/demo")
        >>> ds.init()
        >>> _ = ds.add_sequences(["ACGT", "AATT", "GGCC"], bio_type="dna", alphabet="dna_4")
        >>> hits = ds.find_table(1, ["sequence"], where="gc > 0.2", order_by="gc desc")
        >>> hits.table.to_pylist(), hits.matches, hits.searched
        ([{'sequence': 'GGCC'}], 2, 3)
        """
        from usr_nb.dataset import reading

        return reading.find_table(
            self._ctx, n, columns=columns, include_deleted=include_deleted, where=where,
            order_by=order_by,
        )  # fmt: skip

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
        where: Where | None = None,
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
        where : Filter or str, optional
            Search only the records that a filter keeps.

        Raises
        ------
        ValidationError
            If the pattern is malformed.
        """
        from usr_nb.dataset import reading

        table = reading.grep(
            self._ctx, pattern, limit=limit, batch_size=batch_size,
            include_deleted=include_deleted, iupac=iupac, both_strands=both_strands,
            columns=columns, where=where,
        )  # fmt: skip
        return reading.to_pandas(table)

    def grep_table(
        self,
        pattern: str,
        limit: int = 20,
        *,
        include_deleted: bool = False,
        iupac: bool = False,
        both_strands: bool = False,
        columns: Sequence[str] | None = None,
        where: Where | None = None,
    ) -> reading.Hits:
        """Return the first matches as an Arrow table, and how many records match in all.

        Searches like :meth:`grep`, but looks at every record, where that stops at the limit.
        ``table`` of the result holds the records, ``matches`` and ``searched`` are counts.
        """
        from usr_nb.dataset import reading

        return reading.grep_table(
            self._ctx, pattern, limit=limit, include_deleted=include_deleted, iupac=iupac,
            both_strands=both_strands, columns=columns, where=where,
        )  # fmt: skip

    def describe(
        self,
        columns: Sequence[str] | None = None,
        sample: int = 1024,
        include_deleted: bool = False,
        *,
        where: Where | None = None,
    ) -> list[dict[str, Any]]:
        """Return statistics of every column, exact over all rows.

        Each dict holds ``column, namespace, type, rows, non_null, null_pct, example``, for
        numbers ``min, mean, max`` (NaN left out), for lists ``len_min, len_mean, len_max``, for
        strings ``distinct`` and ``distinct_exact`` (False: estimated beyond a million).
        `sample` bounds how many rows are searched for an example; with `where` only the records
        that a filter keeps count.
        """
        from usr_nb.dataset import describe

        return describe.describe(
            self._ctx, columns=columns, sample=sample, include_deleted=include_deleted,
            where=where,
        )  # fmt: skip

    def profile(
        self,
        where: Where | None = None,
        columns: Sequence[str] | None = None,
        *,
        include_deleted: bool = False,
        sequences: bool = True,
    ) -> Profile:
        """Return what is in the dataset, exactly, from one pass over all records.

        Nothing is sampled and nothing is written.

        Parameters
        ----------
        where : Filter or str, optional
            The records that it keeps are told of beside all records.
        columns : sequence of str, optional
            Only these columns; all by default.
        include_deleted : bool
            Count tombstoned records too.
        sequences : bool
            Also lengths, GC, letters and duplicates of the sequences.

        Returns
        -------
        Profile
            Per column type, nulls, NaN, min, mean, max, standard deviation, quantiles, histogram,
            top values, distinct values, lengths and items of lists, fields of structs; per
            namespace its reach and who wrote it last; :class:`Profile` says what each is.

        Raises
        ------
        SchemaError, ValidationError
            If a column does not exist, or the filter does not fit.

        Examples
        --------
        >>> import tempfile
        >>> from usr_nb import Dataset, init_root
        >>> root = tempfile.mkdtemp()
        >>> _ = init_root(root)
        >>> ds = Dataset.open(root, "demo")
        >>> ds.init()
        >>> _ = ds.add_sequences(["ACGT", "acgt", "GGC"], bio_type="dna", alphabet="dna_4")
        >>> found = ds.profile("length > 3")
        >>> found.rows, found.kept, found.sequences.duplicates["case"].records
        (3, 2, 2)
        >>> found["length"].all.numbers.mean, found["length"].kept.numbers.mean
        (3.6666666666666665, 4.0)
        """
        from usr_nb.dataset.profile.run import profile

        return profile(
            self._ctx, where=where, columns=columns, include_deleted=include_deleted,
            sequences=sequences,
        )  # fmt: skip

    def export(
        self,
        fmt: ExportFormat | None,
        out: PathLike,
        columns: Sequence[str] | None = None,
        include_deleted: bool = False,
        *,
        names: str | None = None,
        safe_csv: bool = False,
        where: Where | None = None,
        column_info: bool = False,
        order_by: By | Sequence[By] = (),
        top: int | None = None,
        ids: Iterable[str] | None = None,
    ) -> ExportResult:
        """Write the merged records to a csv, jsonl, parquet or fasta file.

        In CSV null is an empty cell and nested values are JSON text. The result says how many
        masked and failed rows are in the file.

        Parameters
        ----------
        fmt : {"csv", "jsonl", "parquet", "fasta"} or None
            The form; None goes by the suffix of `out`.
        out : path
            The file, replaced if it is there; it appears whole or not at all.
        columns : sequence of str, optional
            Columns to write; all by default (of no meaning for FASTA).
        names : str, optional
            FASTA headers: a namespace that kept them (``keep=``), or a text column; by default
            the namespace that kept them, if there is just one, else the ids.
        safe_csv : bool
            For csv files that are opened in a spreadsheet: text that it would run as a formula
            (first letter ``= + - @``, tab, line end or NUL, and no plain number) gets an
            apostrophe in front, headers too, as OWASP advises against *CSV injection*. The
            apostrophe stays when the file is read back. Other formats: an error.
        where : Filter or str, optional
            Only the records that a filter keeps.
        column_info : bool
            Also write ``<out>.columns.yaml``: units, labels and the rest of what ``columns.yaml``
            says of the exported columns. A Parquet file holds that in any case, as the metadata
            of its fields.
        order_by : feature, key, text, or a sequence of them
            Best first, as ``"evo2__llr desc, length"``; base order by default and among equals.
        top : int, optional
            At most so many records, the first in that order.
        ids : iterable of str, optional
            Only these records, in this order unless `order_by` is given; such as
            ``ds.pick(...).ids``.

        Raises
        ------
        PathNotFound, RecordNotFound, ValidationError
            If the file cannot be written there, or is one of a dataset's own; if an id is unknown.
        """
        from usr_nb.dataset import export

        return export.export(
            self._ctx, fmt, out, columns=columns, include_deleted=include_deleted, names=names,
            safe_csv=safe_csv, where=where, order_by=order_by, top=top,
            column_info=column_info, ids=ids,
        )  # fmt: skip

    def get_state(
        self, ids: str | Iterable[str], *, allow_missing: bool = False
    ) -> list[dict[str, Any]]:
        """Return ``{id, masked, qc_status, split, supersedes, lineage}`` per id, in order."""
        from usr_nb.dataset import records

        return records.get_state(self._ctx, ids, allow_missing=allow_missing)

    def events(self, *, n: int | None = None) -> list[dict[str, Any]]:
        """Return the events in order, the last `n` if given; repeated lines are folded."""
        self._ctx.check_links()
        found = list(eventlog.read_events(self.events_path))
        return found if n is None else found[-n:] if n else []

    def history(
        self,
        *,
        action: str | Sequence[str] | None = None,
        actor: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        touching: str | None = None,
        n: int | None = None,
    ) -> list[EventRow]:
        """Return events as typed rows, in the order of the log.

        Parameters
        ----------
        action : str or sequence of str, optional
            Only these actions.
        actor : str, optional
            Only this tool or run id.
        since, until : datetime or ISO text, optional
            From `since` on, before `until`; UTC if they name no zone.
        touching : str, optional
            A namespace; or the id (7 or more letters) of a record that an event's parts hold or
            that its import wrote. The log does not say which ids a delete, a restore or a change
            of state named, so those are not found by id.
        n : int, optional
            Only the last `n`.
        """
        from usr_nb.dataset import history

        return history.history(
            self._ctx, action=action, actor=actor, since=since, until=until,
            touching=touching, n=n,
        )  # fmt: skip

    def why(self, id: str, column: str) -> Why:
        """Say where the value of one cell comes from. Nothing is written.

        Parameters
        ----------
        id : str
            The record, by its id or a unique prefix of 7 or more letters.
        column : str
            Any column, essential ones too.

        Returns
        -------
        Why
            The parts that hold a value for the cell (the winner first, then the shadowed ones),
            with file, time, operation and event; what the base holds; what archived files held
            before a compaction or materialize; ``setter``, who set it in the first place.

        Raises
        ------
        RecordNotFound, SchemaError
            If there is no such record or column.
        """
        from usr_nb.dataset import why

        return why.why(self._ctx, id, column)

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
        from usr_nb.dataset import validate

        return validate.validate(self._ctx, strict=strict, registry_mode=registry_mode)

    def doctor(self, *, repair: bool = False, test_files: bool = True) -> Checkup:
        """Find and explain litter, interrupted changes, torn or missing log lines, bad files.

        Looks at the files as such; :meth:`validate` looks at what is in them. A file whose bytes
        are not those that were committed is read by a process of its own, so that a damaged one
        can neither hang nor end this one.

        Parameters
        ----------
        repair : bool
            Mend what can be mended without losing anything, under the lock: finish a committed
            change, append missing event lines, end a torn last line, remove what dead writers left
            behind. Nothing else is ever written, and no file of the dataset is overwritten.
        test_files : bool
            Try the file system with temporary files in ``_txn/``, which are gone afterwards.
            With False nothing is written at all unless `repair`.

        Returns
        -------
        Checkup
            ``findings`` (``severity``, ``kind``, ``path``, ``message``, ``hint``, ``repairable``,
            ``repaired``), ``checked`` (counts) and ``ok``: no error is left.

        Raises
        ------
        DatasetNotFound
            If there is no such dataset.
        StorageError
            If a repair cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> from usr_nb import Dataset, init_root
        >>> root = tempfile.mkdtemp()
        >>> _ = init_root(root)
        >>> ds = Dataset.open(root, "lab/demo")
        >>> ds.init()
        >>> ds.doctor().ok
        True
        """
        from usr_nb.dataset.doctor.run import examine_dataset

        return examine_dataset(self._ctx, repair=repair, test_files=test_files)
