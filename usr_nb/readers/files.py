"""Opening a file to read its bytes, gzip or not, with typed errors for all that can go wrong."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar, cast

from usr_nb.contract.progress import report
from usr_nb.errors import PathNotFound, SchemaError, StorageError, ValidationError, did_you_mean

_GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"

_T = TypeVar("_T")


def check_file(path: Path, *, label: str) -> int:
    """Return the size in bytes of a regular file that exists.

    Raises
    ------
    PathNotFound
        There is no such file, or it is a folder.
    ValidationError
        It is a pipe or a device: readers may need a second pass.
    StorageError
        The disk refused.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise PathNotFound(f"{label}: no such file", hint=_nearby(path)) from None
    except PermissionError as error:
        raise StorageError(f"{label}: {error.strerror}", hint="Check its permissions.") from error
    except (OSError, ValueError) as error:
        raise PathNotFound(f"{label}: not a usable path ({error})", hint=_nearby(path)) from error
    if stat.S_ISDIR(found.st_mode):
        raise PathNotFound(
            f"{label}: is a folder, not a file", hint="Name one file inside the folder."
        )
    if not stat.S_ISREG(found.st_mode):
        raise ValidationError(
            f"{label}: is not a regular file", hint="Write it to a file first, then read that."
        )
    return found.st_size


def _nearby(path: Path) -> str:
    try:
        names = [p.name for p in islice(path.parent.iterdir(), 1000)]
    except (OSError, ValueError):
        names = []
    return did_you_mean(path.name, names) or "Check the path; it is relative to the working folder."


class ByteStream:
    r"""The bytes of a text file, decompressed when it is gzip (told by its content).

    Every failure while reading is a typed error, so that parsers that call back into it from
    C++ need no handlers of their own.

    Parameters
    ----------
    path : Path
        A regular file.
    label : str
        Name for errors.

    Examples
    --------
    >>> import pathlib, tempfile, gzip
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.txt"
    ...     _ = path.write_bytes(gzip.compress(b"one\ntwo\n"))
    ...     with ByteStream(path, label="a.txt") as stream:
    ...         stream.readline(), stream.read(100)
    (b'one\n', b'two\n')
    """

    # pyarrow asks its Python files for this.
    closed = False

    def __init__(self, path: Path, *, label: str) -> None:
        self._size = check_file(path, label=label)
        self._label = label
        try:
            raw: BinaryIO = path.open("rb")
        except OSError as error:
            raise StorageError(
                f"{label}: cannot be opened: {error.strerror}", hint="Check its permissions."
            ) from error
        self._raw = raw
        self._file = raw
        try:
            magic = self._guard(lambda: raw.read(2))
            self._guard(lambda: raw.seek(0, os.SEEK_SET))
        except BaseException:
            raw.close()
            raise
        if magic == _GZIP:
            self._file = cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb"))

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; fewer only at the end."""
        return self._guard(lambda: self._file.read(size))

    def readline(self, limit: int = -1) -> bytes:
        r"""Return the bytes up to and including the next ``\n``, at most `limit` of them."""
        return self._guard(lambda: self._file.readline(limit))

    def tell_progress(self, *, at_end: bool = False) -> None:
        """Report how much of the file was read, in bytes on the disk (packed, if it is gzip)."""
        done = self._size if at_end else min(self._raw.tell(), self._size)
        report("reading", done, self._size, "bytes")

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        self.closed = True
        self._raw.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _guard(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise SchemaError(
                f"{self._label}: damaged or truncated gzip data ({error})",
                hint="Copy the file again, or test it with `gzip -t`.",
            ) from error
        except OSError as error:
            raise StorageError(
                f"{self._label}: cannot be read: {error.strerror or error}",
                hint="Check the disk, then try again.",
            ) from error
