"""Looking at both copies: inventories, contents where they matter, a plan for each direction."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from usr_nb.contract.events import Fingerprint, decode_event
from usr_nb.contract.times import utc_now
from usr_nb.errors import DatasetNotFound, StalePlanError, VerificationError
from usr_nb.storage import door
from usr_nb.storage.layout import EVENTS, META, RECORDS, TXN
from usr_nb.sync import inventory, scripts
from usr_nb.sync.classes import STATE, TOMBSTONES
from usr_nb.sync.common import COMMON_FILE, COPIED, decode_common
from usr_nb.sync.facts import Facts
from usr_nb.sync.gather import Fetch, gather
from usr_nb.sync.history import Role
from usr_nb.sync.model import Common, Direction, Entry, Inventory, Plan, Prefer, Side, VerifyMode
from usr_nb.sync.plan import make_plan
from usr_nb.sync.question import same_content
from usr_nb.sync.shape import compare_bases
from usr_nb.sync.ssh import Session

_MAX_KEPT: Final = 64 << 20
#: What a look reads of the remote wherever it differs; with --primary-only the log alone.
PRIMARY: Final = (EVENTS,)
SMALL: Final = (EVENTS, META, TOMBSTONES, STATE)


@dataclass(frozen=True)
class Here:
    """The copy on this side: its root, its dataset id, its folder."""

    root: Path
    name: str
    dir: Path

    def kept(self, remote: str) -> Path:
        """Return the folder of what is remembered of a remote."""
        return self.dir / TXN / "remotes" / remote


@dataclass(frozen=True)
class Options:
    """What a person chose; see :meth:`usr_nb.Dataset.sync_plan`."""

    verify: VerifyMode = "auto"
    prefer: Prefer | None = None
    delete: bool = False
    primary_only: bool = False
    skip_snapshots: bool = False


@dataclass(frozen=True)
class Look:
    """Both copies at one instant, and what each direction would do.

    Attributes
    ----------
    here, there : Inventory
    common : Common or None
    facts : Facts
        For a pull.
    pull, push : Plan
    notes : tuple of str
        How files were compared, where that is less than by digest.
    """

    here: Inventory
    there: Inventory
    common: Common | None
    facts: Facts
    pull: Plan
    push: Plan
    notes: tuple[str, ...]

    def plan(self, direction: Direction) -> Plan:
        """Return the plan of one direction."""
        return self.pull if direction == "pull" else self.push


def there_folder(session: Session, here: Here) -> str:
    """Return the dataset's folder at the remote, as scripts and rsync take it."""
    return scripts.folder_at(session.remote.base_dir, here.name)


def look(session: Session, here: Here, options: Options) -> Look:
    """Look at both copies; nothing is written on either side.

    Raises
    ------
    DatasetNotFound
        If neither side has the dataset.
    VerificationError
        If files cannot be compared in the way that was asked for.
    RemoteUnavailableError, RemoteConfigError, StalePlanError, TransferError
    """
    there = inventory.remote_inventory(session, here.name)
    local = inventory.local_inventory(here.dir, here.root)
    if not (local.exists or there.exists):
        raise DatasetNotFound(
            f"Dataset '{here.name}' is neither in {here.root} nor at {session.remote.name}",
            hint=f"Datasets here: `usr ls`. The folder there: {session.remote.base_dir}.",
        )
    by_digest, notes = _way(options.verify, there, session.remote.name)
    if by_digest:
        there = inventory.hashed_remote(session, there, list(there.files))
        local = inventory.hashed_local(here.dir, local, list(local.files))
    if there.exists:
        notes += _shapes(session, here, options.verify, (local, there))
    common = load_common(here, session.remote.name, place=there.place)
    with door.temporary_folder() as folder:
        peek = _Peek(session, here, {"local": local, "remote": there}, folder)
        peek.bring_at_once(PRIMARY if options.primary_only else SMALL)
        pull = gather("pull", there, local, common, peek.fetch("pull"),
                      primary_only=options.primary_only)  # fmt: skip
        push = gather("push", local, there, common, peek.fetch("push"),
                      primary_only=options.primary_only)  # fmt: skip
    stamp = utc_now()

    def planned(direction: Direction, facts: Facts) -> Plan:
        sender, receiver = (there, local) if direction == "pull" else (local, there)
        return make_plan(
            direction, sender, receiver, common, facts, remote=session.remote.name, stamp=stamp,
            prefer=options.prefer, delete=options.delete, primary_only=options.primary_only,
            skip_snapshots=options.skip_snapshots,
        )  # fmt: skip

    return Look(
        local, there, common, pull, planned("pull", pull), planned("push", push), tuple(notes)
    )


def _way(verify: VerifyMode, there: Inventory, remote: str) -> tuple[bool, list[str]]:
    """Return whether files are compared by digest, and what to tell of it."""
    if verify == "size":
        return False, ["files were compared by size alone, as asked (--verify size)"]
    if "sha256sum" in there.tools:
        return True, []
    if verify == "hash":
        raise VerificationError(
            f"{remote} has no sha256sum, so files cannot be compared by digest",
            hint="Install coreutils there, or compare by size: --verify auto.",
        )
    return False, [f"{remote} has no sha256sum: files were compared by size"]


def _shapes(
    session: Session, here: Here, verify: VerifyMode, sides: tuple[Inventory, Inventory]
) -> list[str]:
    """Compare rows and columns of the bases, where that was asked for or nothing better is."""
    local, there = sides
    if verify != "parquet" and (verify != "auto" or "sha256sum" in there.tools):
        return []
    path = here.dir / local.files[RECORDS].at if RECORDS in local.files else here.dir / RECORDS
    told = compare_bases(session, there_folder(session, here), path, local, there)
    if told is None and verify == "parquet":
        raise VerificationError(
            f"{session.remote.name} has no Python with pyarrow that could read the base",
            hint="Install pyarrow for its python3, or leave it out: --verify auto.",
        )
    return [told if told is not None else "no pyarrow there: not by rows and columns either"]


# What both had ----------------------------------------------------------------------------------


def load_common(here: Here, remote: str, *, place: str) -> Common | None:
    """Return what both had when they last met; None if never, or if the remote is another now."""
    folder = here.kept(remote)
    data = _bytes(folder / COMMON_FILE)
    copies = {p: b for p, n in COPIED.items() if (b := _bytes(folder / n)) is not None}
    found = decode_common(data, copies)
    return found if found is not None and found.place == place else None


def _bytes(path: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        if door.is_regular(path) and path.stat().st_size <= _MAX_KEPT:
            return path.read_bytes()
    return None


# Contents ---------------------------------------------------------------------------------------


class _Peek:
    """Brings files of both sides to where they can be read, each once, as they were listed."""

    def __init__(
        self, session: Session, here: Here, sides: Mapping[Side, Inventory], folder: Path
    ) -> None:
        self._session = session
        self._here = here
        self._sides = sides
        self._folder = folder
        self._found: dict[tuple[Side, str], Path] = {}

    def bring_at_once(self, paths: Sequence[str]) -> None:
        """Fetch in one transfer the remote's files that a gatherer is sure to ask for."""
        here, there = self._sides["local"].files, self._sides["remote"].files
        differing = [
            e for p in paths if (e := there.get(p)) is not None and not same_content(here.get(p), e)
        ]
        if differing:
            self._bring("remote", differing)

    def fetch(self, direction: Direction) -> Fetch:
        """Return the function that a gatherer of this direction calls."""

        def fetch(role: Role, entries: Sequence[Entry]) -> Mapping[str, Path]:
            here = (role == "receiver") == (direction == "pull")
            side: Side = "local" if here else "remote"
            wanted = [e for e in entries if (side, e.path) not in self._found]
            if wanted:
                self._bring(side, wanted)
            return {e.path: self._found[side, e.path] for e in entries}

        return fetch

    def _bring(self, side: Side, entries: Sequence[Entry]) -> None:
        folder = self._here.dir
        if side == "remote":
            folder = self._folder / "there"
            door.make_dirs(folder)
            transfer(self._session, self._here, entries, folder)
        for entry in entries:
            path = folder / entry.at
            if entry.path in inventory.GROWING:
                path = self._as_listed(side, entry, path)
            self._found[side, entry.path] = path

    def _as_listed(self, side: Side, entry: Entry, path: Path) -> Path:
        """Return a file that only grows, cut to what was there when it was listed."""
        try:
            with door.typed(path, "read"), path.open("rb") as f:
                data = f.read(entry.size)
        except FileNotFoundError:
            raise moved(entry.path) from None
        cut = self._folder / f"{side}-{entry.path.strip('.').replace('/', '+')}"
        with door.replaced_file(cut) as sink:
            sink.write(data)
        return cut


def moved(path: str) -> StalePlanError:
    """Build the error for a file of the sender that is not what was listed."""
    return StalePlanError(
        f"{path} changed at its source while it was being transferred",
        hint="Nothing was installed. Run the command again.",
    )


def transfer(
    session: Session, here: Here, entries: Sequence[Entry], into: Path, *, basis: bool = False
) -> None:
    """Bring files of the remote into a folder here, and see that they are what was listed.

    Raises
    ------
    StalePlanError
        If one is not, also when it is fetched a second time.
    """
    folder = there_folder(session, here)
    left = list(entries)
    for last in (False, True):
        size = sum(e.size for e in left)
        near = here.dir if basis and not last and here.dir.is_dir() else None
        session.fetch(folder, [e.at for e in left], into, size=size, basis=near)
        placed = [replace(e, path=e.at) if e.path not in inventory.GROWING else e for e in left]
        faults: list[Entry] = []
        inventory.verified(into, placed, on_fault=faults.append)
        if not faults:
            return
        for fault in faults:
            door.unlink(into / fault.path)
        wrong = {fault.path for fault in faults}
        left = [e for e in left if e.at in wrong]
        if last:
            raise moved(left[0].path)


def fingerprint_there(found: Look) -> Fingerprint | None:
    """Return the size of the remote's base by the last event that told it."""
    for line in reversed(found.facts.sender_log):
        event = decode_event(line.raw)
        body = event.get("fingerprint") if event is not None else None
        if isinstance(body, Mapping) and all(
            type(body.get(k)) is int for k in ("rows", "cols", "size_bytes")
        ):
            return Fingerprint(body["rows"], body["cols"], body["size_bytes"])
    return None
