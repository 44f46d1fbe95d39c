"""What every part of the dataset's face shares: its place."""

from __future__ import annotations

from pathlib import Path

from usr_nb.dataset.context import Context


class Face:
    """A dataset's place; the verbs are in the classes that build on it."""

    _ctx: Context

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
