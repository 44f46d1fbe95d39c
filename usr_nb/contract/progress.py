"""How far a long operation has come: told to whoever listens, to nobody by default.

Library code calls :func:`report`, or wraps what it loops over in :func:`tracked`; a notebook or
the command line listens with :func:`reporting`. A listener that raises cancels the operation,
which leaves the state before it, as any other error does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, TypeVar

T = TypeVar("T")
#: At most this many calls a second, the first and the last of a stage not counted.
CALLS_PER_SECOND: Final = 20


@dataclass(frozen=True)
class Progress:
    """One report of a long operation.

    Attributes
    ----------
    stage : str
        What is being done, in words for people: ``reading``, ``writing``. An operation may have
        several stages, one after the other.
    done : int
        How much of the stage is done, counted in `unit`.
    total : int or None
        How much there is; None while nobody knows. The last report of a stage has
        ``done == total``.
    unit : str
        What is counted, in the plural: ``rows``, ``bytes``, ``files``.

    Examples
    --------
    >>> Progress("writing", 65_536, 200_000, "rows").fraction
    0.32768
    """

    stage: str
    done: int
    total: int | None
    unit: str

    @property
    def fraction(self) -> float | None:
        """How much of the stage is done, from 0 to 1; None if the total is not known."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0


class _Listener:
    """A callback and what it was told last."""

    def __init__(self, callback: Callable[[Progress], object]) -> None:
        self.callback = callback
        self._told: Progress | None = None
        self._at = 0.0

    def tell(self, progress: Progress) -> None:
        told, now = self._told, monotonic()
        begins = told is None or told.stage != progress.stage or progress.done < told.done
        if progress == told:
            return
        ends = progress.done == progress.total
        if not (begins or ends or now - self._at >= 1 / CALLS_PER_SECOND):
            return
        self._told, self._at = progress, now
        # What the callback itself calls is not reported to it again.
        token = _LISTENER.set(None)
        try:
            self.callback(progress)
        finally:
            _LISTENER.reset(token)


_LISTENER: ContextVar[_Listener | None] = ContextVar("usr_nb_progress", default=None)


@contextlib.contextmanager
def reporting(callback: Callable[[Progress], object] | None) -> Iterator[None]:
    """Tell `callback` how far the long operations of this block have come.

    Parameters
    ----------
    callback : callable or None
        Called with a :class:`Progress` in the thread of the operation, at most about 20 times a
        second, and always for the first and the last report of a stage. If it raises, the
        operation ends with that exception and the dataset is as it was before. None listens to
        nothing, also inside a block that listens.

    Notes
    -----
    The listener belongs to the present context (:mod:`contextvars`): other threads and tasks do
    not see it. Results are the same with and without one.

    Examples
    --------
    >>> seen = []
    >>> with reporting(seen.append):
    ...     report("reading", 0, 2, "rows")
    ...     report("reading", 2, 2, "rows")
    >>> [(p.done, p.total) for p in seen]
    [(0, 2), (2, 2)]
    """
    token = _LISTENER.set(None if callback is None else _Listener(callback))
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report(stage: str, done: int, total: int | None, unit: str = "rows") -> None:
    """Say how far a stage has come; does nothing if nobody listens.

    Parameters
    ----------
    stage : str
        What is being done.
    done, total : int
        How much of how much; `total` None while it is not known.
    unit : str
        What is counted.

    Raises
    ------
    BaseException
        Whatever the listener raises, in order to cancel.

    Examples
    --------
    >>> report("reading", 1, 2, "rows")
    """
    listener = _LISTENER.get()
    if listener is not None:
        listener.tell(Progress(stage, done, total, unit))


def tracked(
    items: Iterable[T],
    stage: str,
    *,
    total: int | None = None,
    unit: str = "rows",
    size: Callable[[T], int] | None = None,
) -> Iterator[T]:
    """Yield the items, and report after each how far the stage has come.

    Parameters
    ----------
    items : iterable
        Arrow batches, or anything if `size` is given.
    stage : str
        What is being done.
    total : int, optional
        The sum of the sizes, if it is known; a sum that turns out otherwise is put right by the
        last report.
    unit : str
        What is counted.
    size : callable, optional
        The size of an item; its ``num_rows`` by default.

    Examples
    --------
    >>> seen = []
    >>> with reporting(seen.append):
    ...     list(tracked("ab", "counting", total=2, unit="letters", size=len))
    ['a', 'b']
    >>> seen[-1].done, seen[-1].total
    (2, 2)
    """
    measure: Callable[[Any], int] = size or _rows
    done = 0
    report(stage, done, total, unit)
    for item in items:
        yield item
        done += measure(item)
        report(stage, done, total, unit)
    report(stage, done, done, unit)


def _rows(batch: Any) -> int:
    return int(batch.num_rows)
