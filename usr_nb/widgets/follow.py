"""How a panel follows a filter: ``panel.sequences(ds, where=flt)``.

What may be given is a :class:`~usr_nb.filter.tree.Filter`, its line, or a filter panel, bare or as
marimo wraps it. A panel asks :func:`source_of` for the filter of now, and :func:`follow` to be told
of the next ones::

    source = source_of(where)
    ...  # the first state, from source.filter
    follow(source, self, MyPanel._filtered)  # self._filtered(new filter) after each gesture

In marimo nothing is followed: a cell that names the filter panel runs again after each gesture and
makes its panels anew. To be told besides would do the work twice.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from usr_nb.dataset.context import Context
from usr_nb.dataset.core import Dataset
from usr_nb.errors import ValidationError
from usr_nb.filter.engine import visible
from usr_nb.filter.kept import as_filter
from usr_nb.filter.tree import Filter
from usr_nb.storage.roots import Place

Rows = npt.NDArray[np.int64]
Undo = Callable[[], None]
T = TypeVar("T")


@runtime_checkable
class Source(Protocol):
    """Something that has a filter, and tells when it has another."""

    @property
    def filter(self) -> Filter:
        """The filter of now."""

    def rows_for(self, ds: Dataset) -> Rows:
        """Return the rows of a dataset's base (0-based, ascending) that it keeps now.

        Tombstoned rows are left out.
        """

    def on_filter(self, told: Callable[[], None]) -> Undo:
        """Call back whenever there is a new filter; the return value stops that."""


class Fixed:
    """A filter that stays as it is."""

    def __init__(self, where: Filter) -> None:
        self._where = where

    @property
    def filter(self) -> Filter:
        """The filter."""
        return self._where

    def rows_for(self, ds: Dataset) -> Rows:
        """Return the rows of the base that it keeps."""
        return rows_kept(ds, self._where)

    def on_filter(self, told: Callable[[], None]) -> Undo:  # noqa: ARG002 - it never is
        """Never call back."""
        return lambda: None


def source_of(given: object) -> Source | None:
    """Return what to follow; None for nothing.

    Parameters
    ----------
    given : Filter, str, filter panel, its marimo element, or None
        Which records to show.

    Raises
    ------
    ValidationError
        If it is none of these, or the line is malformed.

    Examples
    --------
    >>> source_of("length > 50").filter.as_line()
    'length > 50'
    """
    if given is None:
        return None
    widget = getattr(given, "widget", given)
    if isinstance(widget, Source):
        return widget
    if isinstance(given, Filter | str):
        found = as_filter(given)
        return None if found is None else Fixed(found)
    raise ValidationError(
        f"where= is a filter, its line or a filter panel, not a {type(given).__name__}",
        hint='Such as where=F["evo2__llr"] > 3.5, or what panel.filter(ds) returned.',
    )


def follow(source: Source | None, who: T, told: Callable[[T], None]) -> None:
    """Call ``told(who)`` after each gesture, as long as `who` lives; not in marimo."""
    if source is None or _in_marimo():
        return
    there = weakref.ref(who)

    def pass_on() -> None:
        alive = there()
        if alive is None:
            undo()
        else:
            told(alive)

    undo = source.on_filter(pass_on)


def _in_marimo() -> bool:
    # Not imported: a notebook that runs under marimo has done so.
    if "marimo" not in sys.modules:
        return False
    import marimo as mo

    return mo.running_in_notebook()


def rows_kept(ds: Dataset, where: Filter) -> Rows:
    """Return the rows of the base (0-based, ascending) that a filter keeps, tombstoned ones not."""
    with Context(Place(ds.root, ds.name, ds.dir)).merged() as merged:
        return np.flatnonzero(visible(merged, where)).astype(np.int64)
