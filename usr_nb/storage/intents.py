"""Intents and the slots they stand in, as every reader and writer reads them.

An intent says what one commit does; ``docs/format.md`` has the form. Nothing here writes.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from usr_nb.contract.names import check_relative
from usr_nb.contract.times import to_part_stamp, utc_now
from usr_nb.errors import SequencesError, StorageError
from usr_nb.storage import door
from usr_nb.storage.layout import EVENTS, REGISTRY_FILE, SNAPSHOTS, Layout

_SLOT: Final = re.compile(r"slot-(\d{12})\Z", re.ASCII)
_OPERATION: Final = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{12}\Z", re.ASCII)
_AUTOMATIC: Final = re.compile(rf"{SNAPSHOTS}/records-[0-9T]+-auto\.parquet\Z")
_NOTE: Final = ("at", "title", "command")
_LARGEST: Final = 256 << 20
KEEP_SLOTS: Final = 64
INTENT_FILE: Final = "intent.json"
OWNER_FILE: Final = "owner"


@dataclass(frozen=True)
class Install:
    """One staged file and the path, relative to the folder, that it takes."""

    path: str
    staged: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Retire:
    """One file to take away: where to (None: retired, then deleted), and which file is meant."""

    path: str
    to: str | None
    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Append:
    """A staged file of whole lines; those that the file at `path` lacks are appended to it."""

    path: str
    staged: str
    size: int
    sha256: str


@dataclass
class Intent:
    """What one commit does; the content of its slot."""

    operation_id: str
    action: str
    created_at: str
    owner: str
    install: list[Install] = field(default_factory=list)
    retire: list[Retire] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    append: list[Append] = field(default_factory=list)

    def encode(self) -> bytes:
        """Return the intent as JSON: version 1, or 2 if it appends lines of another copy."""
        plain = asdict(self)
        if not self.append:
            del plain["append"]
        plain["txn_version"] = 2 if self.append else 1
        return json.dumps(plain, ensure_ascii=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes, where: Path) -> Intent:
        """Read an intent; its paths are checked, as a slot may come from a broken disk."""
        try:
            plain = json.loads(data, parse_constant=_no_number)
            plain["install"] = [Install(**i) for i in plain["install"]]
            plain["retire"] = [Retire(**r) for r in plain["retire"]]
            plain["append"] = [Append(**a) for a in plain.get("append", [])]
            version = plain.pop("txn_version")
            intent = cls(**plain)
            if not is_operation_id(intent.operation_id) or version not in (1, 2):
                raise ValueError("operation id or version")
            if any(a.path != EVENTS for a in intent.append):
                raise ValueError("only the log is appended to")
            if not all(isinstance(x, dict) for x in intent.events):
                raise ValueError("events")
            if not all(
                isinstance(n, dict) and all(isinstance(n.get(k), str) for k in _NOTE)
                for n in intent.notes
            ):
                raise ValueError("notes")
            if not all(map(_AUTOMATIC.match, intent.drop)):
                raise ValueError("only automatic snapshots are dropped")
            for path in (
                [p for i in intent.install for p in (i.path, i.staged)]
                + [a.staged for a in intent.append]
                + [p for r in intent.retire for p in (r.path, r.to) if p is not None]
                + intent.drop
            ):
                check_relative(path)
        except (ValueError, TypeError, KeyError, RecursionError, SequencesError) as error:
            raise StorageError(
                f"{where} is not a readable intent: {error}",
                hint="Run `usr doctor`; a newer version of usr_nb may have written it.",
            ) from None
        return intent


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def is_operation_id(name: str) -> bool:
    """Say whether a name is an operation id (as staging folders have)."""
    return bool(_OPERATION.match(name))


def new_operation_id() -> str:
    """Return a fresh operation id; ids sort by time."""
    return f"{to_part_stamp(utc_now())}-{secrets.token_hex(6)}"


# Slots ------------------------------------------------------------------------------------------


def slot_path(layout: Layout, number: int) -> Path:
    """Return the path of a slot."""
    return layout.txn / f"slot-{number:012d}"


def slot_numbers(layout: Layout) -> list[int]:
    """Return the numbers of all slots, ascending."""
    with door.typed(layout.txn, "list"):
        try:
            names = os.listdir(layout.txn)  # noqa: PTH208 - in the path of every read
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return []  # ValueError: a name that holds NUL is that of no folder.
    return sorted(int(m.group(1)) for n in names if (m := _SLOT.match(n)))


def highest_slot(layout: Layout) -> int:
    """Return the number of the last commit, 0 if there is none."""
    numbers = slot_numbers(layout)
    return numbers[-1] if numbers else 0


def read_slot(layout: Layout, number: int) -> Intent | None:
    """Return the intent in a slot, or None if the slot is gone."""
    path = slot_path(layout, number)
    try:
        with door.typed(path, "read"):
            if path.stat().st_size > _LARGEST:
                raise StorageError(f"{path} is too large for an intent", hint="Run `usr doctor`.")
            data = path.read_bytes()
    except FileNotFoundError:
        return None
    return Intent.decode(data, path)


def pending(layout: Layout) -> tuple[int, Intent | None]:
    """Return the highest slot and its intent if that is not wholly installed yet."""
    number = highest_slot(layout)
    intent = read_slot(layout, number) if number else None
    staging = layout.txn / intent.operation_id if intent is not None else None
    # A link is nobody's staging: what it leads to must not be moved into the dataset.
    if staging is None or staging.is_symlink() or not staging.is_dir():
        return number, None
    return number, intent


def dataset_exists(layout: Layout) -> bool:
    """Say whether a dataset was ever committed in this folder; roots have slots as well."""
    if layout.records.is_file():
        return True
    return highest_slot(layout) > 0 and not (layout.dir / REGISTRY_FILE).exists()
