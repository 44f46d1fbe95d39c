"""What is examined: one folder at one instant, and what several checks need to know of it."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from usr_nb.contract.times import parse
from usr_nb.dataset.checks.trust import Trust, examine, staged
from usr_nb.errors import SequencesError, StorageError
from usr_nb.storage import door, inside
from usr_nb.storage.intents import Intent, highest_slot, read_slot, slot_numbers
from usr_nb.storage.layout import (
    ARCHIVED,
    ARTIFACTS,
    DERIVED,
    RECORDS,
    REGISTRY_DIR,
    RETIRED,
    SNAPSHOTS,
    TXN,
    Layout,
)
from usr_nb.storage.probe import Probed
from usr_nb.storage.tidy import children, part_folders
from usr_nb.storage.view import namespace_of_path

#: What is older than this was not written just now.
FRESH_S = 60.0


@dataclass
class Subject:
    """One dataset folder, or the folder of a root.

    Attributes
    ----------
    layout : Layout
        The folder.
    root : Path
        The root that it belongs to; the same folder for a root.
    name : str
        The dataset id; empty for a root.
    now : float
        Seconds since the epoch.
    checked : Counter
        What was looked at, for the report.
    verdicts : dict of str to Probed
        What a child said of files, by SHA-256: a second look need not ask again.
    """

    layout: Layout
    root: Path
    name: str
    now: float
    checked: Counter[str] = field(default_factory=Counter)
    verdicts: dict[str, Probed] = field(default_factory=dict)

    @property
    def is_root(self) -> bool:
        """Whether this is a root's own folder."""
        return not self.name

    @cached_property
    def slots(self) -> dict[int, Intent | StorageError]:
        """What stands in each slot, or why it cannot be read."""
        found: dict[int, Intent | StorageError] = {}
        for number in slot_numbers(self.layout):
            try:
                intent = read_slot(self.layout, number)
            except StorageError as error:
                found[number] = error
                continue
            if intent is not None:
                found[number] = intent
        return found

    @property
    def pending(self) -> Intent | None:
        """The intent of the highest slot if it is not wholly installed."""
        highest = self.slots.get(max(self.slots, default=0))
        if isinstance(highest, Intent) and (self.layout.txn / highest.operation_id).is_dir():
            return highest
        return None

    @property
    def is_settleable(self) -> bool:
        """Whether the highest slot can be read, as every writer has to."""
        number = highest_slot(self.layout)
        return not number or isinstance(self.slots.get(number), Intent)

    @cached_property
    def parsed(self) -> list[str]:
        """The Parquet files whose pages matter, relative to the folder."""
        files = [RECORDS] if self.layout.records.is_file() else []
        files += self.overlays
        files += [s for p, s in staged(self.layout).items() if p.endswith(".parquet")]
        for place in (
            f"{SNAPSHOTS}/records-*.parquet",
            f"{ARTIFACTS}/dropped-*.parquet",
            f"{DERIVED}/{ARCHIVED}/*/*/*.parquet",
            f"{TXN}/{RETIRED}/*/*.parquet",
        ):
            files += self._matching(place)
        return files

    @property
    def overlays(self) -> list[str]:
        """The overlay files by their path in the dataset; none that a link leads to elsewhere."""
        found = []
        for ns, folder in {"": self.layout.derived, **part_folders(self.layout)}.items():
            paths = [f"{DERIVED}/{ns}/{e.name}".replace("//", "/") for e in children(folder)]
            found += [p for p in paths if namespace_of_path(p) and self._is_inside(p)]
        return [p for p in found if (self.layout.dir / p).is_file()]

    def _is_inside(self, path: str) -> bool:
        try:
            inside.check_overlay_link(self.layout, path)
        except SequencesError:
            return False  # Told as a link.
        return True

    def _matching(self, pattern: str) -> list[str]:
        found = self.layout.dir.glob(pattern)
        plain = [p for p in found if door.is_regular(p) and door.temp_owner(p.name) is None]
        return sorted(p.relative_to(self.layout.dir).as_posix() for p in plain)

    @cached_property
    def trust(self) -> Trust:
        """What the files hold against what log and slots tell."""
        hashed = self._matching(f"{REGISTRY_DIR}/registry.*.yaml")
        trust = examine(self.layout, self.parsed, hashed, verdicts=self.verdicts)
        self.checked["files"] += len(trust.hashes)
        self.checked["parsed"] += len(trust.probed)
        return trust

    @cached_property
    def parts(self) -> dict[str, Path]:
        """Every part there is or was, by the path it has or had: also retired and archived ones.

        Only those that can be opened here without danger.
        """
        found: dict[str, Path] = {}
        for path in self.parsed:
            own = own_path(path)
            if own is not None and path not in self.trust.bad:
                found.setdefault(own, self.layout.dir / path)
        return found

    @cached_property
    def namespaces(self) -> list[str]:
        """The namespaces of the folders of parts."""
        return list(part_folders(self.layout))


def own_path(path: str) -> str | None:
    """Return the path that an overlay file has among the overlays, wherever it lies now.

    Examples
    --------
    >>> own_path("_derived/_archived/x/20260101T000000000000/part-a.parquet")
    '_derived/x/part-a.parquet'
    >>> own_path("_txn/retired/20260101T000000000000Z-0/_derived+x+part-a.parquet")
    '_derived/x/part-a.parquet'
    >>> own_path("records.parquet") is None
    True
    """
    words = path.split("/")
    if words[:2] == ["_derived", ARCHIVED] and len(words) == 5:
        ns, name = words[2], words[4]
        return f"_derived/{ns}/{name}" if name.startswith("part-") else f"_derived/{name}"
    if words[:2] == ["_txn", RETIRED] and len(words) == 4:
        return words[3].replace("+", "/") if words[3].startswith("_derived+") else None
    return path if words[0] == "_derived" else None


def who(owner: str, intent: Intent | None = None) -> str:
    """Return in words whose an owner tag is, and since when.

    Examples
    --------
    >>> who("node7-0a1b2c3d-4711-99")
    'process 4711 on node7'
    >>> who("")
    'somebody unknown'
    """
    parts = owner.split("-")
    text = f"process {parts[2]} on {parts[0]}" if len(parts) == 4 else "somebody unknown"
    if intent is not None:
        actor: Any = intent.events[0].get("actor") if intent.events else None
        tool = actor.get("tool") if isinstance(actor, dict) else None
        text += f" ({tool})" if isinstance(tool, str) and tool else ""
    return text


def ago(seconds: float) -> str:
    """Return a length of time as people say it.

    Examples
    --------
    >>> ago(3), ago(130), ago(7300), ago(200_000)
    ('3 s', '2 min', '2 h', '2 days')
    """
    if seconds < 120:
        return f"{max(0, int(seconds))} s"
    if seconds < 7200:
        return f"{int(seconds // 60)} min"
    return f"{int(seconds // 3600)} h" if seconds < 172_800 else f"{int(seconds // 86_400)} days"


def seconds_of(text: object) -> float | None:
    """Return a text timestamp in seconds since the epoch, or None."""
    with contextlib.suppress(SequencesError, OverflowError, OSError):
        return parse(str(text)).timestamp()
    return None
