"""Work on several pieces at once, results in the order of the pieces."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")
#: Threads that decode at once. More than this and memory is the limit, not the processor.
MOST_THREADS: Final = 8


def thread_count() -> int:
    """Return how many threads are worth having: the processors of this process, at most 8."""
    try:
        there = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        there = os.cpu_count() or 1
    return max(1, min(MOST_THREADS, there))


@contextmanager
def beside(work: Callable[[], R]) -> Iterator[Future[R]]:
    """Let a thread do something while the body goes on; the thread has ended on leaving.

    The body asks for the result, if only to learn of an error.

    Examples
    --------
    >>> with beside(lambda: 1 + 1) as found:
    ...     pass
    >>> found.result()
    2
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="usr-beside")
    try:
        yield pool.submit(work)
    finally:
        pool.shutdown(wait=True)


def in_order(
    work: Callable[[T], R], items: Iterable[T], *, threads: int | None = None
) -> Iterator[R]:
    """Yield ``work(item)`` for each item, in order, while the next ones are being worked on.

    Parameters
    ----------
    work : callable
        Must release the interpreter (Arrow and NumPy do) for this to be worth it.
    items : iterable
        Taken in the calling thread, a few ahead of what was yielded.
    threads : int, optional
        One works in the calling thread. By default :func:`thread_count`.

    Notes
    -----
    The threads are this call's own, so that calls may nest and a forked process has none that
    are dead. They end with the iterator, also if it is left early or `work` raises.

    Examples
    --------
    >>> list(in_order(len, ["a", "bcd", ""], threads=2))
    [1, 3, 0]
    """
    count = thread_count() if threads is None else threads
    it = iter(items)
    first = list(islice(it, 2))
    if count < 2 or len(first) < 2:
        for item in first:
            yield work(item)
        for item in it:
            yield work(item)
        return
    pool = ThreadPoolExecutor(count, thread_name_prefix="usr-read")
    waiting: deque[Future[R]] = deque()
    try:
        for item in [*first, *islice(it, count - 1)]:
            waiting.append(pool.submit(work, item))
        while waiting:
            done = waiting.popleft().result()
            for item in islice(it, 1):
                waiting.append(pool.submit(work, item))
            yield done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
