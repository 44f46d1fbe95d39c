"""Everything a plan is made from, and the small words that all its parts share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from usr_nb.storage.layout import RECORDS, SNAPSHOTS, archived_path
from usr_nb.storage.view import namespace_of_path
from usr_nb.sync.facts import Facts
from usr_nb.sync.history import History, Role
from usr_nb.sync.model import Common, Direction, Entry, FileClass, Inventory, Prefer

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Question:
    """One direction of one meeting of two copies.

    Attributes
    ----------
    stamp : str
        As it stands in the names of snapshots.
    classes : mapping of str to FileClass
        Of every path that either side has and that a sync carries.
    """

    direction: Direction
    sender: Inventory
    receiver: Inventory
    common: Common | None
    facts: Facts
    history: History
    remote: str
    stamp: str
    prefer: Prefer | None
    classes: dict[str, FileClass]

    @property
    def winner(self) -> Role | None:
        """The side that a person chose in conflicts."""
        if self.prefer is None:
            return None
        local: Role = "receiver" if self.direction == "pull" else "sender"
        other: Role = "sender" if self.direction == "pull" else "receiver"
        return local if self.prefer == "local" else other

    @property
    def slug(self) -> str:
        """The remote's name as it may stand in file names."""
        return _NOT_IN_NAMES.sub("-", self.remote).strip("-.") or "remote"

    def entries(self, path: str) -> tuple[Entry | None, Entry | None, Entry | None]:
        """Return a file of the sender, of the receiver, and what was common."""
        known = self.common.files.get(path) if self.common is not None else None
        return self.sender.files.get(path), self.receiver.files.get(path), known

    def name(self, role: Role) -> str:
        """Say which side is meant, for people."""
        local = (role == "receiver") == (self.direction == "pull")
        return "this copy" if local else self.remote

    def named(self, text: str) -> str:
        """Return a sentence about "the sender" and "the receiver" with the names people know."""
        roles: tuple[Role, Role] = ("sender", "receiver")
        for role in roles:
            text = text.replace(f"the {role}", self.name(role))
        return text

    def choices(self, *, sender_lost: str, receiver_lost: str) -> tuple[str, ...]:
        """Return the choices of a conflict, each with what happens to the loser."""
        lost = {"receiver": sender_lost, "sender": receiver_lost}
        options = []
        for flag in ("local", "remote"):
            winner: Role = (
                "receiver" if (flag == "local") == (self.direction == "pull") else "sender"
            )
            options.append(f"--prefer {flag}: {self.name(winner)} counts; {lost[winner]}")
        return tuple(options)

    @property
    def snapshot(self) -> str:
        """Where the base that lost is kept."""
        return f"{SNAPSHOTS}/records-{self.stamp}-{self.direction}-{self.slug}.parquet"

    def archive(self, path: str) -> str:
        """Return where an overlay file of this sync is put aside."""
        return archived_path(namespace_of_path(path) or "", self.stamp, path.rpartition("/")[2])

    def beside(self, path: str, entry: Entry, word: str = "from") -> str:
        """Return the name under which a file is kept beside the other side's.

        Examples are ``notes.from-hpc-0a1b2c3d.txt`` and, for this side's, ``notes.kept-...``.
        """
        pure = PurePosixPath(path)
        mark = (entry.sha256 or f"{entry.size:08x}")[:8]
        whom = f"{word}-{self.slug}" if word == "from" else word
        return str(pure.with_name(f"{pure.stem}.{whom}-{mark}{pure.suffix}"))


def same_content(a: Entry | None, b: Entry | None) -> bool:
    """Say whether two files are the same: by digest, or by size where a digest is missing.

    Examples
    --------
    >>> same_content(Entry("a", 3, "00"), Entry("a", 3, None)), same_content(None, None)
    (True, False)
    """
    if a is None or b is None:
        return False
    if a.sha256 is not None and b.sha256 is not None:
        return a.sha256 == b.sha256
    return a.size == b.size


def same_base(history: History, a: Entry | None, b: Entry | None) -> bool:
    """Say whether two bases are known to hold the same rows and values."""
    if same_content(a, b):
        return True
    return a is not None and b is not None and history.same_base(a.sha256, b.sha256)


def base_must_be_read(
    history: History, sender: Inventory, receiver: Inventory, common: Common | None
) -> bool:
    """Say whether only the contents of the bases tell how they relate."""
    s, r = sender.files.get(RECORDS), receiver.files.get(RECORDS)
    if s is None or r is None or same_base(history, s, r):
        return False
    return known_relation(history, s, r, common) is None


def known_relation(history: History, s: Entry, r: Entry, common: Common | None) -> Role | None:
    """Return which of two different bases was changed, if only one was; the other is its past."""
    c = common.files.get(RECORDS) if common is not None else None
    if c is not None:
        if same_base(history, s, c):
            return "receiver"
        return "sender" if same_base(history, r, c) else None
    # Never met, but one is a copy of the other: the base of one stands in the past of the other.
    past = history.had_base("sender", r.sha256), history.had_base("receiver", s.sha256)
    if past[0] == past[1]:
        return None
    return "sender" if past[0] else "receiver"
