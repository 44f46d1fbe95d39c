"""The verbs of a dataset that rewrite it, inside a maintenance section."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Self

from usr_nb.dataset.context import Actor
from usr_nb.dataset.face_base import Face
from usr_nb.errors import ValidationError

if TYPE_CHECKING:
    from usr_nb.dataset.compaction import CompactResult
    from usr_nb.dataset.dedupe import DedupeKey, DedupeResult, Keep
    from usr_nb.dataset.maintenance import MaterializeResult


def names(namespaces: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return namespaces as a tuple; one may be given as it is."""
    if namespaces is None:
        return None
    return (namespaces,) if isinstance(namespaces, str) else tuple(namespaces)


class MaintenanceFace(Face):
    """Rewriting on purpose."""

    @contextlib.contextmanager
    def maintenance(self, reason: str, actor: Actor | None = None) -> Iterator[Self]:
        """Open a section in which the base may be rewritten; its reason goes into the events."""
        from usr_nb.dataset import maintenance

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
    ) -> MaterializeResult:
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
        from usr_nb.dataset import maintenance

        self._require_maintenance("materialize")
        return maintenance.materialize(
            self._ctx,
            maintenance.Rewrite(
                names(namespaces), keep_overlays, archive_overlays, drop_deleted, snapshot_before
            ),
        )

    def compact_overlay(self, namespace: str, *, single_file: bool = False) -> CompactResult:
        """Rewrite all parts of a namespace into one file; reads give the same before and after.

        Cells that no part spoke for stay silent (``usr:unspoken``); parts that land meanwhile are
        kept and win. The old files move to ``_derived/_archived/``.

        Parameters
        ----------
        single_file : bool
            Write ``_derived/<namespace>.parquet``, for tools that want that form.

        Raises
        ------
        NamespaceError
            If the dataset has no such overlay.
        """
        from usr_nb.dataset import compaction

        self._require_maintenance("compact_overlay")
        return compaction.compact_overlay(self._ctx, namespace, single_file=single_file)

    def dedupe(
        self,
        key: DedupeKey = "sequence",
        keep: Keep = "keep-first",
        dry_run: bool = False,
        *,
        approve: Callable[[DedupeResult], object] | None = None,
    ) -> DedupeResult:
        """Remove rows that repeat a key; an automatic snapshot is taken first.

        Parameters
        ----------
        key : {"sequence", "sequence_norm", "sequence_ci", "id"}
            What must not repeat; ``sequence_ci`` ignores case and needs every row to be dna_4.
        keep : {"keep-first", "keep-last"}
            Which row of a group stays, in base order; a live row stays before a tombstoned one.
        dry_run : bool
            Only say what would go; needs no maintenance section.
        approve : callable, optional
            Called with what would go before it goes, if anything does; raise in it to keep all.
        """
        from usr_nb.dataset import dedupe

        if not dry_run:
            self._require_maintenance("dedupe")
        return dedupe.dedupe(self._ctx, key=key, keep=keep, dry_run=dry_run, approve=approve)

    def freeze_registry(self) -> str:
        """Freeze the present registry into ``_registry/`` and stamp the base; returns its hash."""
        from usr_nb.dataset import context

        self._require_maintenance("freeze_registry")
        return context.freeze(self._ctx)

    def remove_overlay(
        self,
        namespace: str,
        mode: Literal["delete", "archive", "error"] = "delete",
        missing_ok: bool = False,
    ) -> list[str]:
        """Take away all files of a namespace; returns their paths in the dataset."""
        from usr_nb.dataset import maintenance

        return maintenance.remove_overlay(self._ctx, namespace, mode=mode, missing_ok=missing_ok)
