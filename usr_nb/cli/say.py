"""What is said to people: results on stdout, everything else on stderr (CLI-2)."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from usr_nb.cli import lazy
from usr_nb.errors import SequencesError, UserAbort

#: Bars that are there now; a question takes them off the terminal.
_bars: Final[list[Any]] = []


class Named(Protocol):
    """Anything with a root and a dataset id."""

    @property
    def root(self) -> Path:
        """The root folder."""
        ...

    @property
    def name(self) -> str:
        """The dataset id."""
        ...


def result(text: str) -> None:
    """Print a result."""
    sys.stdout.write(f"{text}\n")


def sentence(text: str, *, indent: str = "") -> None:
    """Print a result that is read as a line; a terminal that is too narrow gets it in several."""
    result(_fitted(text, indent=indent) if sys.stdout.isatty() else text)


def note(text: str) -> None:
    """Print something beside the result."""
    sys.stdout.flush()
    sys.stderr.write(f"{_fitted(text) if sys.stderr.isatty() else text}\n")
    sys.stderr.flush()


def _fitted(text: str, *, indent: str = "") -> str:
    """Return text broken between words where the terminal would break within them."""
    width = shutil.get_terminal_size().columns
    return "\n".join(
        line if len(line) <= width else "\n".join(
            textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False,
                          break_on_hyphens=False)
        )
        for line in text.split("\n")
    )  # fmt: skip


def place(ds: Named) -> None:
    """Say what is about to be changed, before it is."""
    note(f"root: {ds.root}\ndataset: {ds.name}")


def error(message: str, hint: str | None = None) -> None:
    """Print an error and what to do next."""
    note(f"ERROR: {message}" + (f"\nHint: {hint}" if hint else ""))


def failure(exc: SequencesError) -> int:
    """Print a typed error and return its exit code."""
    error(exc.message, exc.hint)
    return exc.exit_code


def warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning without the line of code it came from."""
    note(f"WARNING: {message}")


@contextlib.contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Show warnings of the library as one line each."""
    with warnings.catch_warnings():
        warnings.showwarning = warning
        yield


def interactive() -> bool:
    """Say whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def wants_browser() -> bool:
    """Say whether a browser is to be opened: on a terminal, unless ``OPEN=0``."""
    return os.environ.get("OPEN", "1") != "0" and sys.stdout.isatty()


def confirm(question: str) -> None:
    """Ask, default no.

    Raises
    ------
    UserAbort
        The answer was not yes.
    """
    if ask(f"{question} [y/N]") not in {"y", "yes"}:
        raise UserAbort("Aborted; nothing was changed")


def ask(question: str) -> str:
    """Return what somebody types, in small letters; the question goes to standard error.

    Raises
    ------
    UserAbort
        The input ended.
    """
    for bar in _bars:
        bar.hold()
    sys.stdout.flush()
    sys.stderr.write(f"{question}: ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        note("")
        raise UserAbort("Aborted; nothing was changed")
    return line.strip().lower()


def choose(title: str, options: list[str]) -> int:
    """Let a person pick one of several; returns its index.

    Raises
    ------
    UserAbort
        Nothing was chosen.
    """
    width = len(str(len(options)))
    note("\n".join([title, *(f"  {i:>{width}}  {o}" for i, o in enumerate(options, 1))]))
    while True:
        answer = ask(f"Number, 1 to {len(options)}")
        if not answer or answer in {"q", "quit"}:
            raise UserAbort("Nothing was chosen")
        if answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(options):
            return int(answer) - 1
        note(f"{answer[:40]!r} is not a number from 1 to {len(options)}.")


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal how far long work has come; in a pipe show nothing."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    with lazy.load("bar", "Bar")(what) as bar:
        _bars.append(bar)
        try:
            yield
        finally:
            _bars.pop()


def count(n: int, noun: str) -> str:
    """Return a number with its noun, in the plural where that is due.

    Examples
    --------
    >>> count(1, "row"), count(20_000, "row")
    ('1 row', '20,000 rows')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def ignored(names: list[str]) -> None:
    """Name the columns that an import left out."""
    if names:
        note(
            f"ignored columns: {', '.join(names)}. --keep NAMESPACE imports them too; "
            "`usr attach` adds them later."
        )
