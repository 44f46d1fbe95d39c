"""macOS: pyarrow's harmless ``sysctlbyname`` warnings are kept off the terminal (CLI-4)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

MARK = b"sysctlbyname"
_TRUE = frozenset({"1", "true", "yes", "on"})


def wanted(environ: Mapping[str, str], platform: str) -> bool:
    """Say whether the warnings are to be filtered.

    ``USR_SUPPRESS_PYARROW_SYSCTL`` decides where it is set, else ``USR_SHOW_PYARROW_SYSCTL``.

    Examples
    --------
    >>> wanted({}, "darwin"), wanted({}, "linux")
    (True, False)
    >>> wanted({"USR_SHOW_PYARROW_SYSCTL": "1"}, "darwin")
    False
    >>> wanted({"USR_SHOW_PYARROW_SYSCTL": "1", "USR_SUPPRESS_PYARROW_SYSCTL": "1"}, "darwin")
    True
    """
    if platform != "darwin":
        return False
    suppress = environ.get("USR_SUPPRESS_PYARROW_SYSCTL", "").strip().lower()
    if suppress:
        return suppress in _TRUE
    return environ.get("USR_SHOW_PYARROW_SYSCTL", "").strip().lower() not in _TRUE


def keep(text: bytes) -> bytes:
    r"""Return the text without the lines that hold the warning.

    Examples
    --------
    >>> keep(b"a\nx: sysctlbyname failed for 'hw'\nb")
    b'a\nb'
    """
    return b"".join(line for line in text.splitlines(keepends=True) if MARK not in line)


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Filter what the process writes to its standard error meanwhile, on macOS."""
    if not wanted(os.environ, sys.platform):
        yield
        return
    with filtered():
        yield


@contextlib.contextmanager
def filtered(fd: int = 2) -> Iterator[None]:
    """Hold back what is written to a file descriptor, then pass on the lines that are kept."""
    sys.stderr.flush()
    saved = os.dup(fd)
    out, into = os.pipe()
    # A full pipe must drop lines rather than wait for a reader that comes later.
    os.set_blocking(into, False)
    os.dup2(into, fd)
    os.close(into)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, fd)
        os.close(saved)
        with os.fdopen(out, "rb") as pipe:
            sys.stderr.write(keep(pipe.read()).decode("utf-8", "replace"))
