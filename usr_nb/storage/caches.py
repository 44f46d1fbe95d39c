"""Arrays that can be worked out again, kept outside the datasets (``docs/format.md``, *Caches*).

Nothing here is ever trusted: a file counts only if its key is exactly the one asked for and the
blocks that are read have the right checksum. Whatever is wrong with one, it is as if it were not
there. ``validate`` and ``doctor`` do not come here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from usr_nb.errors import StorageError
from usr_nb.storage import door

Array = npt.NDArray[Any]
_MAGIC: Final = b"USRIDX1\n"
_TYPES: Final = frozenset({"int32", "uint64"})
#: Entries per block.
BLOCK: Final = 8192
#: What all files together may take, in bytes.
MAX_BYTES: Final = 2 << 30
#: What is kept in memory where nothing can be written, in bytes.
MEMORY_BYTES: Final = 256 << 20
_MAX_HEADER: Final = 64 << 20
_SUFFIX: Final = ".idx"


def cache_folder() -> Path | None:
    """Return where caches lie, or None if ``USR_CACHE_DIR`` is set and empty: keep nothing."""
    named = os.environ.get("USR_CACHE_DIR")
    if named is not None:
        return Path(named) if named else None
    xdg = os.environ.get("XDG_CACHE_HOME")
    # A relative one is to be ignored, says the XDG specification.
    if xdg and Path(xdg).is_absolute():
        return Path(xdg) / "usr_nb"
    try:
        return Path("~/.cache/usr_nb").expanduser()
    except RuntimeError:  # Nobody's process: there is no home.
        return None


def cache_path(kind: str, *about: str) -> Path | None:
    """Return the file of a cache by what it is about (not by what it was made from)."""
    folder = cache_folder()
    if folder is None:
        return None
    digest = hashlib.sha256("\0".join(about).encode("utf-8", "surrogateescape")).hexdigest()
    return folder / f"{kind}-{digest[:32]}{_SUFFIX}"


class Kept:
    """An array in memory, with the face of a :class:`Stored` one."""

    def __init__(self, entries: Array) -> None:
        self.entries = entries
        self.size = len(entries)
        #: What is kept in memory is looked at anew by each who finds it.
        self.is_proven = False

    def prove(self) -> None:
        """Say that it was compared with the files."""
        self.is_proven = True

    def whole(self) -> Array:
        """Return all entries."""
        return self.entries

    def at(self, places: Array) -> Array:
        """Return some entries."""
        return self.entries[places]

    def block_range(self, low: int, high: int) -> Array:
        """Return the entries ``low`` to ``high`` (0-based, half-open)."""
        return self.entries[low:high]

    @property
    def fences(self) -> Array:
        """The first entry of each block."""
        return self.entries[::BLOCK]


class _Descriptor:
    """An open file, closed with the last reference: whoever holds this may read from it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_proven = False

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.number)


@dataclass
class Stored:
    """An array in a cache file; blocks are read and checked when they are asked for.

    Raises :class:`Unusable` from any method if the file turns out not to be whole.
    """

    path: Path
    key: Mapping[str, Any]
    dtype: np.dtype[Any]
    size: int
    fences: Array
    _crc: list[int]
    _start: int
    _fd: _Descriptor
    _blocks: OrderedDict[int, Array] = field(default_factory=OrderedDict)
    _all: Array | None = None

    @classmethod
    def open(cls, path: Path | None) -> Self | None:
        """Open a cache file; None if there is none that could be used."""
        if path is None:
            return None
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        try:
            return cls._parse(path, _Descriptor(fd))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, MemoryError):
            return None

    @classmethod
    def _parse(cls, path: Path, open_fd: _Descriptor) -> Self | None:
        fd = open_fd.number
        start = os.pread(fd, 16, 0)
        length = int.from_bytes(start[8:], "little")
        if len(start) < 16 or start[:8] != _MAGIC or length > _MAX_HEADER:
            return None
        text = os.pread(fd, length + 4, 16)
        if len(text) != length + 4 or zlib.crc32(text[:-4]) != int.from_bytes(text[-4:], "little"):
            return None
        head = json.loads(text[:-4])
        if head["type"] not in _TYPES or head["block"] != BLOCK:
            return None
        dtype = np.dtype(head["type"]).newbyteorder("<")
        fences = np.array(head.get("fences", []), np.uint64)
        size = int(head["count"])
        if size < 0 or len(head["crc"]) != -(-size // BLOCK):
            return None
        if os.fstat(fd).st_size != 16 + length + 4 + size * dtype.itemsize:
            return None
        return cls(path, head["key"], dtype, size, fences, head["crc"], 20 + length, open_fd)

    def again(self) -> Self:
        """Return another face of the same open file, blocks that were read included."""
        return replace(self, _all=None)

    @property
    def is_proven(self) -> bool:
        """Whether this process compared it with the files it was made from, as its key has them."""
        return self._fd.is_proven

    def prove(self) -> None:
        """Say that it was compared with the files."""
        self._fd.is_proven = True

    @property
    def stamp(self) -> tuple[int, int, int, int]:
        """What tells this file from another at the same path."""
        return _stamp(os.fstat(self._fd.number))

    def _block(self, number: int) -> Array:
        found = self._blocks.get(number)
        if found is None:
            found = self._read(number, 1)
            self._blocks[number] = found
            if len(self._blocks) > 64:
                self._blocks.popitem(last=False)
        return found

    def _read(self, first: int, count: int) -> Array:
        step = BLOCK * self.dtype.itemsize
        end = min((first + count) * step, self.size * self.dtype.itemsize)
        data = _pread(self._fd.number, end - first * step, self._start + first * step)
        for i in range(-(-len(data) // step)):
            if zlib.crc32(data[i * step : (i + 1) * step]) != self._crc[first + i]:
                raise Unusable
        return np.frombuffer(data, self.dtype)

    def whole(self) -> Array:
        """Return all entries."""
        if self._all is None:
            self._all = self._read(0, len(self._crc)) if self.size else np.zeros(0, self.dtype)
        return self._all

    def at(self, places: Array) -> Array:
        """Return some entries; only their blocks are read."""
        if len(places) == 1:
            number, at = divmod(int(places[0]), BLOCK)
            return self._block(number)[at : at + 1]
        blocks = np.unique(places // BLOCK)
        if self._all is not None or 4 * len(blocks) > len(self._crc) > 4:
            return self.whole()[places]
        out = np.empty(len(places), self.dtype)
        for b in blocks.tolist():
            mine = places // BLOCK == b
            out[mine] = self._block(b)[places[mine] - b * BLOCK]
        return out

    def block_range(self, low: int, high: int) -> Array:
        """Return the entries ``low`` to ``high`` (0-based, half-open)."""
        high = min(high, self.size)
        if high <= low:
            return np.zeros(0, self.dtype)
        first, last = low // BLOCK, -(-high // BLOCK)
        if last - first > 4:
            return self.at(np.arange(low, high, dtype=np.int64))
        found = np.concatenate([self._block(b) for b in range(first, last)])
        return found[low - first * BLOCK : high - first * BLOCK]


class Unusable(Exception):
    """A cache turned out not to be what it should be: work it out from the files."""


def _pread(fd: int, size: int, offset: int) -> memoryview:
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        try:
            got = os.preadv(fd, [view[done:]], offset + done)
        except OSError:
            raise Unusable from None
        if not got:
            raise Unusable
        done += got
    return view


def find(path: Path | None, key: Mapping[str, Any]) -> Stored | Kept | None:
    """Return the cache at a path if it was made from exactly what `key` says."""
    kept = _MEMORY.get(_text(key)) if _MEMORY else None
    if kept is not None:
        return Kept(kept)
    stored = _opened(path)
    return stored if stored is not None and stored.key == key else None


#: Cache files that stay open for the next look, each with at most 64 blocks of 64 KB.
OPEN_FILES: Final = 12
#: A file that changed so short a time ago may change again without another mtime.
SETTLED_NS: Final = 2_000_000_000
_Stamp = tuple[int, int, int, int]
_open: OrderedDict[str, tuple[_Stamp, Stored]] = OrderedDict()
_open_lock = threading.Lock()


def _stamp(st: os.stat_result) -> _Stamp:
    return st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns


def _opened(path: Path | None) -> Stored | None:
    """Open a cache file, or take it as it was opened before if it is still the same."""
    if path is None:
        return None
    name = str(path)
    try:
        now = _stamp(os.stat(path))  # noqa: PTH116 - in the path of every read
    except (OSError, ValueError):
        return None
    with _open_lock:
        known = _open.get(name)
        if known is not None and known[0] == now:
            _open.move_to_end(name)
            return known[1].again()
    found = Stored.open(path)
    if found is not None:
        stamp = found.stamp
        if 0 <= stamp[3] <= time.time_ns() - SETTLED_NS:
            with _open_lock:
                _open[name] = stamp, found
                if len(_open) > OPEN_FILES:
                    _open.popitem(last=False)
            return found.again()
    return found


def keep(
    path: Path | None, key: Mapping[str, Any], entries: Array, *, fenced: bool = False
) -> Kept:
    """Keep an array for the next who asks: on disk, else in memory. Never fails."""
    if path is not None and door.write_cache(path, _encoded(key, entries, fenced=fenced)):
        _sweep(path)
    else:
        _remember(_text(key), entries)
    return Kept(entries)


def forget(path: Path | None, key: Mapping[str, Any]) -> None:
    """Throw away a cache that turned out to be wrong."""
    _MEMORY.pop(_text(key), None)
    if path is not None:
        with _open_lock:
            _open.pop(str(path), None)
        with contextlib.suppress(StorageError, OSError):
            door.unlink(path)


def _encoded(key: Mapping[str, Any], entries: Array, *, fenced: bool) -> bytes:
    little = np.ascontiguousarray(entries, entries.dtype.newbyteorder("<"))
    data = little.tobytes()
    step = BLOCK * little.dtype.itemsize
    head: dict[str, Any] = {
        "key": key,
        "type": entries.dtype.name,
        "count": len(entries),
        "block": BLOCK,
        "crc": [zlib.crc32(data[i : i + step]) for i in range(0, len(data), step)],
    }
    if fenced:
        head["fences"] = entries[::BLOCK].tolist()
    text = json.dumps(head, separators=(",", ":")).encode()
    crc = zlib.crc32(text).to_bytes(4, "little")
    return b"".join([_MAGIC, len(text).to_bytes(8, "little"), text, crc, data])


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)


_MEMORY: OrderedDict[str, Array] = OrderedDict()


def _remember(text: str, entries: Array) -> None:
    """Keep an array in this process, the latest ones within a bound."""
    if entries.nbytes > MEMORY_BYTES:
        return
    _MEMORY.pop(text, None)
    _MEMORY[text] = entries
    while sum(a.nbytes for a in _MEMORY.values()) > MEMORY_BYTES:
        _MEMORY.popitem(last=False)


def _sweep(newest: Path) -> None:
    """Remove what was written longest ago while all is too much, and what the dead left behind."""
    files = []
    try:
        with os.scandir(newest.parent) as entries:
            for entry in entries:
                owner = door.temp_owner(entry.name)
                if owner is not None and door.owner_is_dead(owner):
                    door.unlink(Path(entry.path))
                elif entry.name.endswith(_SUFFIX):
                    st = entry.stat()
                    files.append((st.st_mtime_ns, st.st_size, entry.path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= MAX_BYTES:
                break
            if path != str(newest):
                door.unlink(Path(path))
            total -= size
    except (OSError, StorageError):
        return
