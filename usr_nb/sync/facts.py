"""What the contents of files told: all that a plan needs beside the two inventories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from usr_nb.sync.base import BaseRelation
from usr_nb.sync.lines import Line
from usr_nb.sync.rows import NOTHING, RowFile, RowKind


@dataclass(frozen=True)
class RowFacts:
    """The tombstone or state files of both sides, and what was common."""

    sender: RowFile = NOTHING
    receiver: RowFile = NOTHING
    common: RowFile | None = None


@dataclass(frozen=True)
class Facts:
    """Contents that were looked at.

    Attributes
    ----------
    sender_log, receiver_log : tuple of Line
        Both event logs.
    sender_notes, receiver_notes : bytes or None
        Both ``meta.md``, where they differ.
    rows : mapping of str to RowFacts
        By ``tombstones`` and ``state``, where the files differ.
    base : BaseRelation or None
        How the bases relate, where only their contents can tell.
    sender_base_columns : tuple of str or None
        Columns of the sender's base, if it was looked at.
    copies : mapping of str to bytes
        The sender's small files, for the next three-way comparison.
    cells : mapping of (str, str) to int
        (late file, output of a compaction) to the number of cells that both speak for.
    """

    sender_log: tuple[Line, ...] = ()
    receiver_log: tuple[Line, ...] = ()
    sender_notes: bytes | None = None
    receiver_notes: bytes | None = None
    rows: Mapping[RowKind, RowFacts] = field(default_factory=dict)
    base: BaseRelation | None = None
    sender_base_columns: tuple[str, ...] | None = None
    copies: Mapping[str, bytes] = field(default_factory=dict)
    cells: Mapping[tuple[str, str], int] = field(default_factory=dict)
