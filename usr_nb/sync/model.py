"""What one copy of a dataset holds, and what a sync would do to the other: plain values.

The side that is changed is the *receiver*, the other one the *sender*: a pull receives here, a
push receives there. Nothing in this module touches a disk or a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from usr_nb.storage.intents import Intent

Direction = Literal["pull", "push"]
Prefer = Literal["local", "remote"]
Side = Literal["local", "remote"]
VerifyMode = Literal["auto", "hash", "size", "parquet"]
#: What a file of a dataset is to a sync (``docs/format.md``, *Sync*).
FileClass = Literal[
    "base",        # records.parquet
    "part",        # _derived/<ns>/part-*.parquet: immutable
    "single",      # _derived/<ns>.parquet: a name that can come back
    "tombstones",  # _derived/usr.parquet
    "state",       # _derived/usr_state.parquet
    "archived",    # _derived/_archived/...: immutable
    "frozen",      # _registry/registry.<hash>.yaml: immutable
    "snapshot",    # _snapshots/..., of the user: immutable
    "events",      # .events.log
    "notes",       # meta.md
    "other",       # of other tools
]  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One file of a copy.

    Attributes
    ----------
    path : str
        Relative to the dataset, with ``/``.
    size : int
        Bytes.
    sha256 : str or None
        64 hexadecimal digits; None where the side cannot or need not hash.
    inode, mtime_ns : int
        What an intent lists to retire just this file.
    at : str
        Where its bytes lie now, relative to the dataset: `path`, but for a committed and not yet
        installed file its place under ``_txn/``.
    """

    path: str
    size: int
    sha256: str | None
    inode: int = 0
    mtime_ns: int = 0
    at: str = ""


@dataclass(frozen=True)
class Inventory:
    """All files of one copy at one instant that a sync looks at.

    Locks, ``_txn/``, temporary files and automatic snapshots are not in it.

    Attributes
    ----------
    place : str
        Names this copy for good: an absolute folder, or ``user@host:port/absolute/folder``.
    exists : bool
        Whether there is a dataset at all.
    slot : int
        The highest commit slot seen.
    files : mapping of str to Entry
        By path. A committed and not yet installed intent is applied.
    skipped : tuple of str
        Symbolic links, sockets and names that no sync carries, for the plan to tell of.
    pending : Intent or None
        The committed operation that its writer did not finish.
    registry : bytes or None
        Text of the root's ``registry.yaml``, None if there is none.
    registry_slot : int
        The highest commit slot of the root.
    registry_pending : Intent or None
        The committed change of the registry that its writer did not finish.
    tools : frozenset of str
        Commands the side has, of ``sha256sum flock python3 pyarrow``.
    clock_s : float or None
        The side's clock when it was looked at, seconds since the epoch.
    """

    place: str
    exists: bool
    slot: int = 0
    files: Mapping[str, Entry] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    pending: Intent | None = None
    registry: bytes | None = None
    registry_slot: int = 0
    registry_pending: Intent | None = None
    tools: frozenset[str] = frozenset()
    clock_s: float | None = None


@dataclass(frozen=True)
class Common:
    """What both copies had when they last met: the sender's files of that time."""

    place: str
    at: str
    files: Mapping[str, Entry]
    #: Small files whose content a three-way comparison needs: path to bytes.
    copies: Mapping[str, bytes] = field(default_factory=dict)
    #: Rows of the base in `files`, where that is known.
    base_rows: int | None = None


StepKind = Literal["add", "replace", "merge", "append", "retire", "beside", "save", "delete"]


@dataclass(frozen=True)
class Step:
    """One change of the receiver.

    Attributes
    ----------
    kind : str
        ``add`` a file that is not there; ``replace`` one by the sender's; ``merge``: replace by
        content made here of both; ``append`` whole lines; ``retire``: take away what the sender
        took away by a recorded operation; ``beside``: keep the sender's file under another name;
        ``save``: keep the receiver's present file (the loser) under another name; ``delete``: take
        away what the sender does not have (only with ``--delete``).
    path : str
        The file at the receiver that comes, changes or goes.
    file_class : FileClass
    source : Entry or None
        The sender's file to transfer (add, replace, beside), the receiver's own (save).
    content : bytes or None
        What was made here (merge, append).
    to : str or None
        Where a retired or deleted file goes; None: kept 15 minutes, then removed.
    was : Entry or None
        The receiver's file as the plan saw it; it must be the same when the plan is applied.
    rows : int or None
        Rows that come or go, where that is known.
    why : str
        One sentence for people.
    """

    kind: StepKind
    path: str
    file_class: FileClass
    source: Entry | None = None
    content: bytes | None = None
    to: str | None = None
    was: Entry | None = None
    rows: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Conflict:
    """Both copies changed what cannot be united; nothing is written until somebody chooses."""

    path: str
    file_class: FileClass | Literal["registry"]
    what: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What one direction would do; computed from values alone."""

    direction: Direction
    steps: tuple[Step, ...]
    conflicts: tuple[Conflict, ...]
    #: Namespaces to add to (or to extend in) the receiver's registry: name to entry, as in YAML.
    registry: Mapping[str, Mapping[str, object]]
    #: Sentences that are no step: what stays, what was skipped, which cells a late part wins.
    remarks: tuple[str, ...]
    #: What both will have in common afterwards.
    common: Common
    #: The receiver's slot that the plan was made from.
    slot: int
    #: What the event of this sync must tell in its `artifacts` besides operation, files and
    #: retired: `declined` and `unapplied` (see `history`), `deleted`.
    artifacts: Mapping[str, object] = field(default_factory=dict)

    @property
    def moves_nothing(self) -> bool:
        """Whether applying it would write nothing."""
        return not self.steps and not self.registry


@dataclass(frozen=True)
class SyncReceipt:
    """What a pull or a push did.

    Attributes
    ----------
    direction : {"pull", "push"}
        Which side was changed: this one, or the remote.
    operation_id : str or None
        The commit; None if nothing moved.
    files_added, files_replaced, files_retired : int
        Files of the dataset that came, changed and went at the receiver.
    bytes_moved : int
        Bytes of the files that were transferred.
    events_added : int
        Lines of the sender's log that the receiver lacked.
    saved : tuple of str
        Under which names the losers of choices are kept, at the receiver.
    remarks : tuple of str
        What stays different, and why.
    """

    direction: Direction
    operation_id: str | None
    files_added: int = 0
    files_replaced: int = 0
    files_retired: int = 0
    bytes_moved: int = 0
    events_added: int = 0
    saved: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
