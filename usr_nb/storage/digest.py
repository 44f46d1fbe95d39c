"""The SHA-256 of what is written, worked out while it is written."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

#: A piece of so many bytes is hashed by a thread of its own, which may be so many pieces behind.
LONG: Final = 128 << 10
BEHIND: Final = 4


class Digest:
    """SHA-256 of a stream; long pieces are hashed by a thread while they are written."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()
        self._is_fixed = True

    def update(self, data: memoryview, *, is_fixed: bool) -> None:
        """Take in what is written next; unless it `is_fixed`, until :meth:`caught_up` returns."""
        self._is_fixed = is_fixed
        if len(data) < LONG:
            self._catch_up(0)
            self._sha.update(data)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="usr-sha")
        self._waiting.append(self._pool.submit(self._sha.update, data))

    def caught_up(self) -> None:
        """Wait until what was given may change."""
        self._catch_up(BEHIND if self._is_fixed else 0)

    def _catch_up(self, left: int) -> None:
        while len(self._waiting) > left:
            self._waiting.popleft().result()

    def copy(self) -> Any:
        """Return the digest so far, to go on with in another way."""
        self._catch_up(0)
        return self._sha.copy()

    def rest(self) -> None:
        """Let go of the thread; there may be more to hash all the same."""
        self._catch_up(0)
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
