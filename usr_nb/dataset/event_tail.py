"""The end of an event log, and what is appended to it from then on (contract GET-5)."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from usr_nb.contract.events import decode_event, operation_of
from usr_nb.errors import ValidationError
from usr_nb.storage.eventlog import read_lines

Stop = Callable[[], bool]


def tail_events(
    path: Path,
    *,
    n: int = 20,
    follow: bool = False,
    poll_s: float = 0.5,
    stop: Stop | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the last `n` events of a log, repeated lines folded, then those that are appended.

    Parameters
    ----------
    path : Path
        The log; with `follow` it need not exist yet.
    n : int
        At most this many of the events that are there.
    follow : bool
        Wait for more. A line is not shown before its newline; rotation and truncation of the file
        are survived.
    poll_s : float
        Seconds between looks.
    stop : callable, optional
        Asked after each look; True ends the iteration.

    Examples
    --------
    >>> list(tail_events(Path("no-such-file")))
    []
    """
    seen: set[tuple[str, str]] = set()

    def fresh(line: bytes) -> dict[str, Any] | None:
        event = decode_event(line)
        op = operation_of(event) if event is not None else None
        if op is not None and op in seen:
            return None
        if op is not None:
            seen.add(op)
        return event

    last: deque[dict[str, Any]] = deque(maxlen=_checked(n))
    offset = 0
    for offset, line in read_lines(path):
        event = fresh(line)
        if event is not None:
            last.append(event)
    yield from last
    if follow:
        for line in appended_lines(path, offset, poll_s=poll_s, stop=stop):
            event = fresh(line)
            if event is not None:
                yield event


def tail_lines(
    path: Path,
    *,
    n: int = 20,
    follow: bool = False,
    poll_s: float = 0.5,
    stop: Stop | None = None,
) -> Iterator[bytes]:
    """Yield the last `n` complete lines as they stand in the log, then those that are appended."""
    last: deque[bytes] = deque(maxlen=_checked(n))
    offset = 0
    for offset, line in read_lines(path):
        last.append(line)
    yield from last
    if follow:
        yield from appended_lines(path, offset, poll_s=poll_s, stop=stop)


def _checked(n: int) -> int:
    if n < 0:
        raise ValidationError("n must not be negative")
    return n


def appended_lines(
    path: Path, offset: int, *, poll_s: float = 0.5, stop: Stop | None = None
) -> Iterator[bytes]:
    """Yield complete lines behind a byte offset as they appear."""
    file: BinaryIO | None = None
    held = b""
    try:
        while True:
            if file is None:
                file, held = _open_at(path, offset), b""
            if file is not None:
                if os.fstat(file.fileno()).st_size < file.tell():
                    # Truncated: what is in the file now is new.
                    file.seek(0)
                    held = b""
                # Asked before reading, so that a file rotated away is still read to its end.
                rotated = not _is_still(path, file)
                *lines, held = (held + file.read()).split(b"\n")
                yield from (line + b"\n" for line in lines)
                if rotated:
                    file.close()
                    file, offset = None, 0
                    continue
            if stop is not None and stop():
                return
            time.sleep(poll_s)
    finally:
        if file is not None:
            file.close()


def _open_at(path: Path, offset: int) -> BinaryIO | None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    file.seek(offset)
    return file


def _is_still(path: Path, file: BinaryIO) -> bool:
    """Say whether the path still leads to this file; while there is none, it does."""
    try:
        now = path.stat()
    except OSError:
        return True
    mine = os.fstat(file.fileno())
    return (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino)
