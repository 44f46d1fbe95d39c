"""The event log: appended to, never rewritten (contract EVT, ``docs/format.md``)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from usr_nb.contract.events import (
    MAX_LINE_BYTES,
    decode_event,
    encode_event,
    operation_of,
)
from usr_nb.storage import door

_TAIL_BYTES = 128 << 10
_OPERATION = re.compile(rb'"operation_id":"([^"\\]{1,80})"')


def append_event(path: Path, event: Mapping[str, Any]) -> None:
    """Append one event line and fsync it."""
    door.append(path, encode_event(event))


def read_lines(path: Path, *, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield (byte offset behind the line, line) of every complete line from `start` on.

    A last line without its newline is not complete and is not yielded (GET-5).
    """
    try:
        f = path.open("rb")
    except FileNotFoundError:
        return
    with f:
        f.seek(start)
        offset = start
        for line in f:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield offset, line


def read_events(path: Path, *, fold: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the events of a log in order; torn fragments and blank lines are passed over.

    With `fold` a second line of the same operation and action is passed over too (EVT-5).
    """
    seen: set[tuple[str, str]] = set()
    for _, line in read_lines(path):
        event = decode_event(line)
        if event is None:
            continue
        op = operation_of(event)
        if fold and op is not None:
            if op in seen:
                continue
            seen.add(op)
        yield event


def logged_operations(path: Path) -> set[str]:
    """Return the operation ids that have at least one complete line."""
    # Line by line: the log of a large project does not fit into everybody's memory.
    return {
        m.decode(errors="replace") for _, line in read_lines(path) for m in _OPERATION.findall(line)
    }


class Mentions:
    """Which operations and files a log tells of: its tail is read first, the rest on demand."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tail: set[str] | None = None
        self._whole: set[str] | None = None

    def has(self, name: str) -> bool:
        """Say whether a complete event names this operation id or installed path."""
        if self._tail is None:
            size = self._path.stat().st_size if self._path.exists() else 0
            self._tail = _named(self._path, start=max(0, size - _TAIL_BYTES))
            if size <= _TAIL_BYTES:
                self._whole = self._tail
        if name in self._tail:
            return True
        if self._whole is None:
            self._whole = _named(self._path)
        return name in self._whole


def _named(path: Path, *, start: int = 0) -> set[str]:
    found: set[str] = set()
    for _, line in read_lines(path, start=start):
        event = decode_event(line)
        body = event.get("artifacts") if event is not None else None
        if not isinstance(body, Mapping):
            continue
        files = body.get("files")
        listed = files if isinstance(files, list) else []
        names = [f.get("path") for f in listed if isinstance(f, Mapping)]
        found.update(n for n in (body.get("operation_id"), *names) if isinstance(n, str))
    return found


def append_missing(path: Path, events: Iterable[Mapping[str, Any]]) -> int:
    """Append those events whose (operation, action) has no complete line; return their number."""
    wanted = list(events)
    ops = {op[0] for e in wanted if (op := operation_of(e))}
    if not wanted:
        return 0
    known: set[tuple[str, str]] = set()
    if ops & logged_operations(path):
        known = {op for e in read_events(path, fold=False) if (op := operation_of(e))}
    missing = [e for e in wanted if operation_of(e) not in known]
    for event in missing:
        append_event(path, event)
    return len(missing)


def append_lines(path: Path, data: bytes) -> int:
    """Append those whole lines of `data` that the log lacks, as they are; return their number.

    For lines that come from another copy of the dataset: their bytes are what names them. They
    go out in blocks of at most 1 MiB, one ``write()`` each.
    """
    known = {line for _, line in read_lines(path)}
    # Not splitlines(): a line may hold a carriage return.
    missing = [line for line in io.BytesIO(data) if line not in known]
    block: list[bytes] = []
    size = 0
    for line in missing:
        if block and size + len(line) > MAX_LINE_BYTES:
            door.append(path, b"".join(block))
            block, size = [], 0
        block.append(line)
        size += len(line)
    if block:
        door.append(path, b"".join(block))
    return len(missing)
