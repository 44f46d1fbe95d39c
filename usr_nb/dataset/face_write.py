"""The verbs of a dataset that add overlays, tombstones, state, snapshots and events."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from usr_nb.contract.times import to_text, utc_now
from usr_nb.dataset.context import Actor
from usr_nb.dataset.face_base import Face
from usr_nb.storage import eventlog, notes, slots

if TYPE_CHECKING:
    from usr_nb.dataset import overlays
    from usr_nb.dataset.overlays import Written
    from usr_nb.filter.selection import Selection
    from usr_nb.filter.tree import Filter
    from usr_nb.overlay.attach import Aggregate

PathLike = str | os.PathLike[str]


class WritingFace(Face):
    """Everything that adds to the dataset and rewrites nothing."""

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
        match: str | None = None,
        aggregate: Aggregate | None = None,
        rename: Mapping[str, str] | None = None,
        register: bool = False,
        actor: Actor | None = None,
    ) -> int:
        """Attach columns of a file (or table) as one new overlay part; returns the rows matched.

        Parameters and errors are those of :meth:`attach_file`, which returns all counts.
        """
        return self.attach_file(
            path, namespace, key=key, key_col=key_col, columns=columns,
            allow_overwrite=allow_overwrite, allow_missing=allow_missing, parse_json=parse_json,
            backend=backend, note=note, match=match, aggregate=aggregate, rename=rename,
            register=register, actor=actor,
        ).matched  # fmt: skip

    attach_columns = attach

    def attach_file(
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
        match: str | None = None,
        aggregate: Aggregate | None = None,
        rename: Mapping[str, str] | None = None,
        register: bool = False,
        actor: Actor | None = None,
    ) -> Written:
        """Attach columns of a file (or table) as one new overlay part; returns what it holds.

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
        match : str, optional
            A column of the dataset with unique values, such as ``meta__name``: `key_col` holds
            such values (by default a column of that name), and the part is stored by id.
        aggregate : {"mean", "median", "first", "list"}, optional
            Fold rows that repeat a key; their number is stored in ``<namespace>__n`` if registered.
        rename : mapping of str to str, optional
            Other names for columns: ``{"LLR (nats)": "llr"}``.
        register : bool
            Register the columns that are missing, and the namespace if it is, with types proposed
            from their cells (:meth:`plan_attach` shows and takes other ones).

        Raises
        ------
        NamespaceError, SchemaError, ValidationError, DuplicateIDError
            With 1-based rows. Nothing was attached.
        """
        from usr_nb.dataset import overlays
        from usr_nb.dataset.plans.attach import attach_registering
        from usr_nb.readers import open_rows

        registry = self._ctx.registry()
        if register and namespace not in registry:
            rows = open_rows(path)
        else:
            rows = overlays.open_source(
                path, registry, namespace, backend=backend, parse_json=parse_json,
                aggregate=aggregate,
            )  # fmt: skip
        request = overlays.attach_request(
            self.name, str(path) if rows.format != "table" or backend == "duckdb" else None,
            namespace, key=key, key_col=key_col, columns=columns,
            allow_overwrite=allow_overwrite, allow_missing=allow_missing, parse_json=parse_json,
            backend=backend, note=note, match=match, aggregate=aggregate, actor=actor,
            rename=rename, register=register,
        )  # fmt: skip
        if register:
            return attach_registering(self._ctx, rows, request)
        return overlays.write_part(self._ctx, rows, request)

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
        """Attach the columns of a table in memory and return the rows matched (:meth:`attach`)."""
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
        from usr_nb.dataset import overlays
        from usr_nb.readers import open_rows

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
        from usr_nb.dataset import records

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
        from usr_nb.dataset import records

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
        """Set the given state fields, leave the others as they are; returns the number of ids."""
        from usr_nb.dataset import records

        values = {"masked": masked, "qc_status": qc_status, "split": split,
                  "supersedes": supersedes, "lineage": lineage}  # fmt: skip
        return records.set_state(self._ctx, ids, values, allow_missing=allow_missing, actor=actor)

    def clear_state(
        self,
        ids: str | Iterable[str],
        allow_missing: bool = False,
        *,
        actor: Actor | None = None,
    ) -> int:
        """Unset all state fields; returns the number of ids."""
        from usr_nb.dataset import records

        return records.clear_state(self._ctx, ids, allow_missing=allow_missing, actor=actor)

    def snapshot(self, name: str | None = None) -> Path:
        """Copy the base into ``_snapshots/``; the user's snapshots are never pruned."""
        from usr_nb.dataset import maintenance

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

    def save_filter(self, name: str, where: Filter, *, actor: Actor | None = None) -> None:
        """Save a filter with the dataset, under a name that may be taken.

        Writes one event, and the equivalent command to ``meta.md``.

        Raises
        ------
        ValidationError, SchemaError
            If the name is not allowed, or the filter does not fit the dataset's columns.
        """
        from usr_nb.dataset import filters

        filters.save_filter(self._ctx, name, where, actor=actor)

    def delete_filter(self, name: str, *, actor: Actor | None = None) -> None:
        """Take a saved filter away; writes one event, and the log keeps the filter."""
        from usr_nb.dataset import filters

        filters.delete_filter(self._ctx, name, actor=actor)

    def save_selection(self, name: str, selection: Selection, *, actor: Actor | None = None) -> str:
        """Keep a pick with the dataset: its ids, the rule and the filter, which never change.

        Writes a file in ``_artifacts/``, one event and a note. It travels with a sync.

        Parameters
        ----------
        name : str
            Letters, digits, ``._-``; a name can be used once.
        selection : Selection
            From :meth:`pick`.

        Returns
        -------
        str
            The file, relative to the dataset.

        Raises
        ------
        AlreadyExists
            If the name is taken.
        ValidationError
            If the name is not allowed, or there are more than about 180,000 ids.
        """
        from usr_nb.dataset import selections

        return selections.save_selection(self._ctx, name, selection, actor=actor)

    def append_meta_note(self, title: str, code: str) -> None:
        """Append a note with a fenced block to ``meta.md``."""
        from usr_nb.dataset.values import redact_text

        self._ctx.check_links()
        note = {"at": to_text(utc_now()), "title": title, "command": redact_text(code)}
        notes.append_note(self.meta_path, note)
