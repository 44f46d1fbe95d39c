"""Following an event log safely, from a byte offset (contract EVT-5, GET-5)."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, Self

from usr_nb.contract.events import decode_event, operation_of

_REMEMBERED: Final = 100_000


class LogReader:
    r"""Hands out the events of a log, each once, also while writers append to it.

    A last line is not handed out until it is complete. A line that repeats an operation and
    action is folded. If the log is replaced (rotated), the rest of the old file comes first, then
    the new one from its start; if it is truncated, or is another log than the offset came from,
    reading starts over.

    Parameters
    ----------
    path : path
        The ``.events.log``; it may not exist yet.
    offset : int
        Byte offset to start from: 0, or :attr:`offset` of an earlier reader.
    fold : bool
        Whether repeated lines are folded (within the lifetime of this reader).

    Attributes
    ----------
    offset : int
        Bytes consumed: save it after handling what :meth:`poll` returned, and start there next
        time. It always stands at the start of a line.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / ".events.log"
    >>> reader = LogReader(path)
    >>> _ = path.write_text('{"action":"init"}\n{"action":"half')
    >>> [e["action"] for e in reader.poll()], reader.offset
    (['init'], 18)
    >>> reader.close()
    """

    def __init__(self, path: str | os.PathLike[str], *, offset: int = 0, fold: bool = True) -> None:
        self.path = Path(path)
        self.offset = max(0, offset)
        self._fold = fold
        self._file: IO[bytes] | None = None
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the log."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def poll(self) -> list[dict[str, Any]]:
        """Return the complete events that are new since the last call."""
        return [e for line in self.poll_lines() if (e := self._event(line)) is not None]

    def poll_lines(self) -> list[bytes]:
        """Return the complete lines that are new since the last call, as they stand in the file."""
        lines = self._rest()
        if self._replaced():
            # A writer may have had the old file open until now: its last lines come first.
            lines += self._rest()
            self.close()
            self.offset = 0
            lines += self._rest()
        return lines

    def follow(
        self, *, interval_s: float = 0.5, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[dict[str, Any]]:
        """Yield events as they come, looking every `interval_s` seconds, until `stop` says so."""
        while True:
            ended = stop()
            yield from self.poll()
            if ended:
                return
            time.sleep(interval_s)

    def _open(self) -> IO[bytes] | None:
        if self._file is None:
            try:
                self._file = self.path.open("rb")
            except FileNotFoundError:
                return None
        return self._file

    def _rest(self) -> list[bytes]:
        file = self._open()
        if file is None:
            return []
        if os.fstat(file.fileno()).st_size < self.offset or not self._at_line_start(file):
            self.offset = 0
        file.seek(self.offset)
        data = file.read()
        end = data.rfind(b"\n") + 1
        self.offset += end
        return data[:end].splitlines(keepends=True)

    def _at_line_start(self, file: IO[bytes]) -> bool:
        """Say whether the offset is one that this log can have given: it ends a line."""
        if self.offset == 0:
            return True
        file.seek(self.offset - 1)
        return file.read(1) == b"\n"

    def _replaced(self) -> bool:
        if self._file is None:
            return False
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        held = os.fstat(self._file.fileno())
        return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino)

    def _event(self, line: bytes) -> dict[str, Any] | None:
        event = decode_event(line)
        op = operation_of(event) if event is not None else None
        if op is None or not self._fold:
            return event
        if op in self._seen:
            return None
        self._seen[op] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return event
