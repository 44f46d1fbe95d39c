"""Names that reach a path or a query are checked here by allow-list, before any path is built."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

from usr_nb.errors import NamespaceError, ValidationError

_ID_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]*\Z")
_FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*\Z")
_ANY_PART_FILE = re.compile(r"part-[A-Za-z0-9._-]+\.parquet\Z")
_SNAPSHOT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}\Z")
_FILE_SUFFIXES = (".parquet", ".csv", ".jsonl")

TOMBSTONE_NS = "usr"
STATE_NS = "usr_state"
CANONICAL_ARCHIVE = "datasets/_archive/<namespace>/<dataset>"
MAX_NAME = 200
MAX_PATH = 2000


def check_dataset_id(name: str) -> str:
    """Return `name` if it is a legal dataset id (LAY-3).

    Raises
    ------
    ValidationError
        With the reason: absolute, empty, too deep, hostile letters, a file's suffix, or the
        legacy ``archived`` folder.

    Examples
    --------
    >>> check_dataset_id("densegen/demo")
    'densegen/demo'
    """
    hint = (
        "Write one or two parts like `promoters/sos`: letters, digits, '.', '_' and '-', "
        "the first a letter or digit."
    )
    shown = repr(name)[:80]
    parts = name.split("/") if isinstance(name, str) else []
    if parts[:1] == ["archived"]:
        raise ValidationError(
            f"Dataset id {shown} uses the legacy folder 'archived'",
            hint=f"Archived datasets live in {CANONICAL_ARCHIVE}.",
        )
    if not 1 <= len(parts) <= 2 or len(name) > MAX_NAME:
        raise ValidationError(f"Dataset id {shown} must have one or two parts", hint=hint)
    for part in parts:
        if not _ID_PART.match(part):
            raise ValidationError(f"Dataset id {shown}: {part[:40]!r} is not allowed", hint=hint)
    if name.lower().endswith(_FILE_SUFFIXES):
        raise ValidationError(f"Dataset id {shown} ends like a file name", hint=hint)
    return name


def is_dataset_part(name: str) -> bool:
    """Say whether one folder name can be part of a dataset id."""
    return bool(_ID_PART.match(name))


def check_namespace(name: str, *, reserved_ok: bool = False) -> str:
    """Return `name` if it is a legal namespace (REG-4).

    Raises
    ------
    NamespaceError
        If it is malformed, or the reserved ``usr`` or ``usr_state`` and not `reserved_ok`.
    """
    if not isinstance(name, str) or not _NAMESPACE.match(name) or "__" in name:
        raise NamespaceError(
            f"Namespace {str(name)[:60]!r} is not allowed",
            hint=_namespace_hint(name),
        )
    if len(name) > MAX_NAME:
        raise NamespaceError(f"Namespace {name[:40]!r}... is longer than {MAX_NAME} letters")
    if not reserved_ok and name in (TOMBSTONE_NS, STATE_NS):
        verb = "delete/restore" if name == TOMBSTONE_NS else "`state set` / `set_state`"
        raise NamespaceError(f"Namespace '{name}' is reserved", hint=f"Use {verb} instead.")
    return name


def _namespace_hint(name: object) -> str:
    rule = "Use lower-case letters, digits and single '_', starting with a letter."
    lower = name.lower() if isinstance(name, str) else ""
    if lower != name and _NAMESPACE.match(lower) and "__" not in lower:
        return f"Did you mean '{lower}'? {rule}"
    return rule


def namespace_of(column: str) -> str | None:
    """Return the namespace of a derived column, or None.

    Examples
    --------
    >>> namespace_of("evo2__llr"), namespace_of("sequence")
    ('evo2', None)
    """
    ns, sep, field = column.partition("__")
    return ns if sep and field and _NAMESPACE.match(ns) else None


def qualify(namespace: str, column: str, *, essentials: frozenset[str]) -> str:
    """Return ``<ns>__<field>`` for a column given with or without its prefix (ATT-2).

    Raises
    ------
    NamespaceError
        If the column is essential, belongs to another namespace, or has hostile letters.

    Examples
    --------
    >>> (
    ...     qualify("evo2", "llr", essentials=frozenset()),
    ...     qualify("evo2", "evo2__llr", essentials=frozenset()),
    ... )
    ('evo2__llr', 'evo2__llr')
    """
    if column in essentials:
        raise NamespaceError(
            f"Column '{column}' is essential and cannot be an overlay column",
            hint="Rename it, or leave it out with --columns.",
        )
    prefix = f"{namespace}__"
    if column.startswith(prefix):
        field = column[len(prefix) :]
    elif (other := namespace_of(column)) is not None:
        raise NamespaceError(
            f"Column '{column}' belongs to namespace '{other}', not '{namespace}'",
            hint=f"Attach it with --namespace {other}, or rename it.",
        )
    else:
        field = column
    if not _FIELD.match(field):
        raise NamespaceError(
            f"Column {column[:60]!r} cannot be a field of '{namespace}'",
            hint="Use letters, digits, '_', '.' and '-'.",
        )
    return prefix + field


def check_column(namespace: str, column: str) -> str:
    """Return `column` if it is ``<namespace>__<field>`` with a legal field."""
    prefix = f"{namespace}__"
    if not column.startswith(prefix) or not _FIELD.match(column[len(prefix) :]):
        raise NamespaceError(
            f"Column {column[:60]!r} is not a column of namespace '{namespace}'",
            hint=f"Write it as {prefix}<field>.",
        )
    return column


def is_part_file(name: str) -> bool:
    """Say whether a file name is a part's; looser than what we write, as other tools write too."""
    return bool(_ANY_PART_FILE.match(name))


def check_snapshot_name(name: str) -> str:
    """Return `name` if it may be part of a snapshot's file name."""
    if not _SNAPSHOT_NAME.match(name) or name.endswith(("auto", ".parquet")):
        raise ValidationError(
            f"Snapshot name {name[:60]!r} is not allowed",
            hint="Use letters, digits, '.', '_' and '-'; not 'auto', no suffix.",
        )
    return name


def check_relative(path: str) -> PurePosixPath:
    """Return a path that stays inside its folder, or raise (absolute, ``..``, empty, too long)."""
    rel = PurePosixPath(path)
    if len(path) > MAX_PATH or any(len(part.encode(errors="replace")) > 255 for part in rel.parts):
        raise ValidationError(f"Path {path[:80]!r}... is longer than a file system allows")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise ValidationError(f"Path {ascii(path)[:80]} is none that a disk can hold") from None
    if rel.is_absolute() or not rel.parts or ".." in rel.parts or "\0" in path:
        raise ValidationError(f"Path {path[:80]!r} leaves its folder")
    return rel


def storable(text: str) -> str:
    r"""Return free text as UTF-8 can hold it: halves of surrogate pairs as escapes.

    Such halves stand for bytes of file names and arguments that are no text.

    Examples
    --------
    >>> storable("caf\udce9.csv")
    'caf\\udce9.csv'
    """
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")
