"""A dataset held open at one instant, until one asks for the next."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass

from usr_nb.dataset.context import Context
from usr_nb.dataset.core import Dataset
from usr_nb.overlay.merge import Merged
from usr_nb.storage.roots import Place
from usr_nb.storage.slots import highest_slot
from usr_nb.storage.view import overlay_paths

Stamp = tuple[int, tuple[str, ...]]


@dataclass
class _Open:
    merged: Merged
    stamp: Stamp
    close: ExitStack


class Instant:
    """The merged table of a dataset, and whether it is still the newest.

    Parameters
    ----------
    ds : Dataset
        The dataset. It is read when :meth:`merged` is first called.
    include_deleted : bool
        Whether tombstoned rows are in it.
    """

    def __init__(self, ds: Dataset, *, include_deleted: bool = True) -> None:
        self._include_deleted = include_deleted
        self._ctx = Context(Place(ds.root, ds.name, ds.dir))
        self._open: _Open | None = None

    def merged(self) -> Merged:
        """Return the table; its files stay open until :meth:`close`."""
        if self._open is None:
            with ExitStack() as stack:
                # Before the files are opened: a change that comes meanwhile is noticed, not missed.
                stamp = self._stamp()
                merged = stack.enter_context(
                    self._ctx.merged(include_deleted=self._include_deleted)
                )
                self._open = _Open(merged, stamp, stack.pop_all())
        return self._open.merged

    def close(self) -> None:
        """Close the files; the next call opens those of that moment."""
        if self._open is not None:
            self._open.close.close()
            self._open = None

    def version(self) -> str:
        """Return what names the present state of the dataset: another text once it changed."""
        return _named(self._stamp())

    def opened_version(self) -> str:
        """Return what names the state that is open."""
        self.merged()
        return "" if self._open is None else _named(self._open.stamp)

    def changed(self) -> bool:
        """Say whether the dataset is another than the one open; cheap enough to ask often."""
        return self._open is not None and self._open.stamp != self._stamp()

    def _stamp(self) -> Stamp:
        layout = self._ctx.layout
        return highest_slot(layout), tuple(overlay_paths(layout))


def _named(stamp: Stamp) -> str:
    return hashlib.sha256(repr(stamp).encode()).hexdigest()[:16]
