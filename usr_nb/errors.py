"""Typed errors: each says what is wrong, where, and what to do next.

Everything this package raises on purpose is a :class:`SequencesError`. The text of an
error is its message; the next step is kept apart in ``hint``, so that a terminal can
print it on a line of its own and a panel can turn it into a button.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

MAX_MESSAGE: Final = 4000
_KEPT_AT_END: Final = 400


def _bounded(text: str) -> str:
    """Return a text of at most :data:`MAX_MESSAGE` letters, shortened in the middle."""
    if len(text) <= MAX_MESSAGE:
        return text
    cut = f" ... ({len(text):,} letters) ... "
    return text[: MAX_MESSAGE - _KEPT_AT_END - len(cut)] + cut + text[-_KEPT_AT_END:]


class SequencesError(Exception):
    r"""Base of every error raised by usr_nb.

    Parameters
    ----------
    message : str
        What is wrong, and where.
    hint : str, optional
        What to do next.

    Attributes
    ----------
    exit_code : int
        Exit code of the ``usr`` command for this error (contract CLI-1).

    Examples
    --------
    >>> str(SequencesError("records.parquet is missing", hint="Run `usr init`."))
    'records.parquet is missing\nHint: Run `usr init`.'
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        # A name of a megabyte that is wrong must not fill somebody's screen or log.
        self.message = _bounded(message)
        self.hint = None if hint is None else _bounded(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message if not self.hint else f"{self.message}\nHint: {self.hint}"


class ValidationError(SequencesError):
    """The data or an argument breaks a rule of the contract.

    ``report`` carries the full validation report when a whole dataset was checked.
    """

    def __init__(self, message: str, *, hint: str | None = None, report: Any = None) -> None:
        super().__init__(message, hint=hint)
        self.report = report


class SchemaError(ValidationError):
    """A column is missing, has another type, or a cell cannot be read as its type."""


class AlphabetError(ValidationError):
    """A sequence holds a letter that its alphabet does not have."""


class NamespaceError(ValidationError):
    """A namespace is not registered, malformed, reserved, or used by another owner."""


class DuplicateIDError(ValidationError):
    """Rows repeat a key that must be unique.

    Attributes
    ----------
    groups : list of dict
        Up to five ``{"id", "count", "rows", "sequence"}``; ``rows`` are 1-based.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        groups: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.groups = list(groups)


class DatasetNotFound(SequencesError):
    """No dataset has this name below the root, or several do."""

    exit_code = 1


class AlreadyExists(SequencesError):
    """Something of that name is there already and is never overwritten."""

    exit_code = 3


class RecordNotFound(SequencesError):
    """An id is unknown, hidden by a tombstone, or an ambiguous prefix."""

    exit_code = 4


class PathNotFound(SequencesError):
    """A file or folder that was named does not exist."""

    exit_code = 4


class StorageError(SequencesError):
    """The disk refused: full, read-only, failing, or not permitted. Nothing changed."""


class ViewExpired(SequencesError):
    """A file of a reader's view was moved away for too long. Open the dataset again."""


class LockTimeout(SequencesError):
    """Another process holds the dataset's lock."""


class ConcurrentWriteError(SequencesError):
    """Other writers committed first, again and again; nothing of this call was written."""


class ConflictError(SequencesError):
    """Two sides changed the same thing and only a person can choose."""


class StalePlanError(SequencesError):
    """The dataset changed between plan and apply, or the plan was applied before."""


class UsedPlanError(StalePlanError):
    """The plan was applied before, or is being applied right now; a plan is applied once."""


class RemoteConfigError(SequencesError):
    """A remote's definition is missing, malformed or unsafe."""


class RemoteUnavailableError(SequencesError):
    """A remote cannot be reached. Nothing is concluded about what it holds."""


class TransferError(SequencesError):
    """A transfer was cut or refused. Nothing was installed."""


class VerificationError(SequencesError):
    """A file's content is not what its digest says."""


class UserAbort(SequencesError):
    """The user said no."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return ``Did you mean 'x'?`` for the closest known name, or None.

    Case is ignored first, so that ``Evo2`` finds ``evo2``; a column is found without its namespace.

    Examples
    --------
    >>> did_you_mean("Evo2", ["evo2", "densegen"])
    "Did you mean 'evo2'?"
    >>> did_you_mean("llr", ["length", "evo2__llr"])
    "Did you mean 'evo2__llr'?"
    >>> did_you_mean("zzz", ["evo2"]) is None
    True
    """
    options = {k.casefold(): k for k in known}
    fields = [k for k in options.values() if k.partition("__")[2].casefold() == name.casefold()]
    if name and len(fields) == 1:
        return f"Did you mean '{fields[0]}'?"
    close = difflib.get_close_matches(name.casefold(), list(options), n=1, cutoff=0.6)
    return f"Did you mean '{options[close[0]]}'?" if close else None


def join_hints(*hints: str | None) -> str | None:
    """Join the hints that are not None with a space."""
    kept = [h for h in hints if h]
    return " ".join(kept) if kept else None


def some(values: Iterable[object], limit: int = 5) -> str:
    """Return up to `limit` values for a message, and how many more there are.

    Examples
    --------
    >>> some(["a", "b", "c"], limit=2)
    'a, b (+1 more)'
    """
    items = list(values)
    shown = ", ".join(str(v) for v in items[:limit])
    more = len(items) - limit
    return shown if more <= 0 else f"{shown} (+{more} more)"
