"""Which files hold what was committed, and which of the others may be opened here (VAL).

A file is hashed first. If the log or a slot knows the digest, these are bytes that we wrote, and
they are parsed in this process. Anything else is first read by a child (``storage.probe``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from usr_nb.contract import progress
from usr_nb.errors import StorageError
from usr_nb.storage import door
from usr_nb.storage.digests import Recorded, recorded
from usr_nb.storage.intents import highest_slot, pending
from usr_nb.storage.layout import ARTIFACTS, RECORDS, SNAPSHOTS, Layout
from usr_nb.storage.parallel import in_order
from usr_nb.storage.probe import Probed, Prober
from usr_nb.storage.view import overlay_paths

_LOOKS: Final = 5


@dataclass
class Trust:
    """What examining some files of a dataset came to.

    Attributes
    ----------
    hashes : dict of str to str
        Path in the dataset → SHA-256, of every file that could be read.
    recorded : Recorded
        What log and slots tell.
    bad : dict of str to Probed
        Files that must not be parsed in this process, and why.
    probed : list of str
        Files that a child read.
    """

    layout: Layout
    recorded: Recorded
    hashes: dict[str, str] = field(default_factory=dict)
    bad: dict[str, Probed] = field(default_factory=dict)
    probed: list[str] = field(default_factory=list)

    @property
    def avoid(self) -> frozenset[str]:
        """Overlay files that a view has to leave out, by the path that they have in it."""
        return frozenset(self.bad) | {p for p, s in staged(self.layout).items() if s in self.bad}

    @property
    def bad_base(self) -> bool:
        """Whether the base that a reader would open is one that must not be parsed."""
        waiting = staged(self.layout).get(RECORDS)
        return (waiting if waiting is not None else RECORDS) in self.bad

    def altered(self) -> list[str]:
        """Return the files whose content is not what they were given last."""
        return [
            p
            for p, sha256 in self.hashes.items()
            if self.recorded.tells(p) and not self.recorded.accepts(p, sha256)
        ]


def staged(layout: Layout) -> dict[str, str]:
    """Return path → staged path of the files that a committed slot has not installed yet."""
    try:
        _, intent = pending(layout)
    except (StorageError, OSError):
        return {}
    if intent is None:
        return {}
    txn = (layout.txn / intent.operation_id).relative_to(layout.dir).as_posix()
    found = {i.path: f"{txn}/{i.staged}" for i in intent.install}
    return {p: s for p, s in found.items() if (layout.dir / s).is_file()}


def files_read(layout: Layout) -> list[str]:
    """Return the Parquet files that validating reads, relative to the dataset."""
    artifacts = layout.dir / ARTIFACTS
    lists = sorted(artifacts.glob("dropped-*.parquet")) if artifacts.is_dir() else []
    waiting = staged(layout)
    return [
        *([RECORDS] if layout.records.is_file() else []),
        *overlay_paths(layout),
        *(s for p, s in waiting.items() if p.endswith(".parquet")),
        *(f"{ARTIFACTS}/{p.name}" for p in lists),
    ]


def snapshot_files(layout: Layout) -> list[str]:
    """Return everything in ``_snapshots/``, relative to the dataset."""
    if not layout.snapshots.is_dir():
        return []
    return [f"{SNAPSHOTS}/{p.name}" for p in sorted(layout.snapshots.iterdir())]


def examine(
    layout: Layout,
    parsed: Iterable[str],
    hashed: Iterable[str] = (),
    *,
    verdicts: dict[str, Probed] | None = None,
) -> Trust:
    """Hash files, and let a child read those that nobody vouches for. Writes nothing.

    Parameters
    ----------
    layout : Layout
        The dataset.
    parsed : iterable of str
        Files that are going to be parsed, relative to the dataset.
    hashed : iterable of str
        Files whose content is only compared with the log.
    verdicts : dict of str to Probed, optional
        What a child said before, by SHA-256; what it says now is added.

    Raises
    ------
    StorageError
        If the child cannot be started.
    """
    wanted = {**dict.fromkeys(parsed, True), **dict.fromkeys(hashed, False)}
    trust = _hashed(layout, list(wanted))
    doubtful = [p for p, h in trust.hashes.items() if wanted[p] and h not in trust.recorded.known]
    said = {} if verdicts is None else verdicts
    with Prober() as prober:
        for path in progress.tracked(
            doubtful, "reading files without a known digest", total=len(doubtful), unit="files",
            size=_one,
        ):  # fmt: skip
            with contextlib.suppress(FileNotFoundError):
                sha256 = trust.hashes[path]
                if sha256 not in said:
                    said[sha256] = prober.probe(layout.dir / path)
                trust.probed.append(path)
                if not said[sha256].is_sound:
                    trust.bad[path] = said[sha256]
    return trust


def _one(_: object) -> int:
    return 1


def _hashed(layout: Layout, paths: list[str]) -> Trust:
    """Hash files and read the log; again if a commit came in between and they disagree."""
    for _ in range(_LOOKS):
        slot = highest_slot(layout)
        hashes: dict[str, str] = {}
        bad: dict[str, Probed] = {}
        digests = in_order(lambda path: _digest(layout, path), paths)
        tracked = progress.tracked(digests, "hashing", total=len(paths), unit="files", size=_one)
        for path, found in zip(paths, tracked, strict=True):
            if isinstance(found, Probed):
                bad[path] = found
            elif found is not None:
                hashes[path] = found
        # The log is read after the files: a change that was made meanwhile is told there.
        trust = Trust(layout, recorded(layout), hashes, bad)
        if not trust.altered() or highest_slot(layout) == slot:
            break
    return trust


def _digest(layout: Layout, path: str) -> str | Probed | None:
    """Return the SHA-256 of a file, None if it is gone, or why it cannot be read."""
    try:
        return door.file_sha256(layout.dir / path) if (layout.dir / path).is_file() else None
    except FileNotFoundError:
        return None
    except OSError as error:
        why = f"it cannot be read: {error.strerror or error}"
        return Probed(layout.dir / path, "unreadable", why, "Check the disk.")


def more(trust: Trust, parsed: Iterable[str]) -> Iterator[str]:
    """Examine files that came after the first look; yield those that must not be parsed."""
    new = [p for p in parsed if p not in trust.hashes and p not in trust.bad]
    if not new:
        return
    late = examine(trust.layout, new)
    trust.hashes |= late.hashes
    trust.bad |= late.bad
    yield from late.bad
