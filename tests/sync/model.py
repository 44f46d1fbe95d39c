"""A light model of two copies: files are names and digests, and the model knows what is in them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from usr_nb.contract.times import to_snapshot_stamp, to_text
from usr_nb.sync.base import BaseRelation
from usr_nb.sync.classes import classify
from usr_nb.sync.facts import Facts
from usr_nb.sync.lines import read_log
from usr_nb.sync.model import Common, Entry, Inventory, Plan
from usr_nb.sync.plan import make_plan

START = datetime(2030, 1, 1, tzinfo=UTC)
SINGLE = "_derived/m.parquet"


def digest(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()


@dataclass(frozen=True)
class Base:
    """Rows in order, and the overlay atoms whose values were written into them."""

    rows: tuple[int, ...]
    written: frozenset[str]
    stamp: int = 0

    @property
    def sha(self) -> str:
        return digest(self.rows, sorted(self.written), self.stamp)


@dataclass
class World:
    """What all copies share: a clock, and what is behind a digest."""

    turn: int = 0
    atoms: dict[str, frozenset[str]] = field(default_factory=dict)
    bases: dict[str, Base] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    def tick(self) -> datetime:
        self.turn += 1
        return START + timedelta(seconds=self.turn)


@dataclass
class Copy:
    """One side."""

    world: World
    place: str
    files: dict[str, str] = field(default_factory=dict)
    log: bytes = b""

    # Operations ---------------------------------------------------------------------------------

    def live(self) -> dict[str, str]:
        return {p: s for p, s in self.files.items() if classify(p) in ("part", "single")}

    def held(self) -> frozenset[str]:
        return frozenset().union(*(self.world.atoms[s] for s in self.live().values()))

    def base(self) -> Base:
        return self.world.bases[self.files["records.parquet"]]

    def tell(self, at, action, files=(), retired=(), args=None, **more) -> None:
        base = self.base()
        event = {
            "timestamp_utc": to_text(at + timedelta(milliseconds=500)), "action": action,
            "args": args or {}, "metrics": more.pop("metrics", {}),
            "artifacts": {
                "operation_id": f"{to_snapshot_stamp(at)}Z-{digest(at, action)[:12]}",
                "files": [{"path": p, "sha256": self.files[p]} for p in files],
                **({"retired": list(retired)} if retired else {}), **more,
            },
            "fingerprint": {"rows": len(base.rows), "cols": 7 + len(base.written)},
        }  # fmt: skip
        self.log += json.dumps(event).encode() + b"\n"

    def set_base(self, base: Base) -> None:
        self.world.bases[base.sha] = base
        self.files["records.parquet"] = base.sha

    def init(self) -> None:
        self.set_base(Base((0, 1), frozenset()))
        self.tell(self.world.tick(), "init", ["records.parquet"])

    def part(self) -> None:
        at = self.world.tick()
        path = f"_derived/m/part-{to_snapshot_stamp(at)}Z-{digest(at)[:32]}.parquet"
        self.files[path] = digest(path)
        self.world.atoms[self.files[path]] = frozenset({path})
        self.tell(at, "write_overlay_part", [path], metrics={"rows_written": 3})

    def foreign_single(self) -> None:
        """Another tool writes the namespace anew, and no event."""
        at = self.world.tick()
        kept = self.world.atoms.get(self.files.get(SINGLE, ""), frozenset())
        self.files[SINGLE] = digest("foreign", at)
        self.world.atoms[self.files[SINGLE]] = kept | {f"foreign-{at}"}

    def compact(self, *, single: bool) -> None:
        live = self.live()
        if not live or (list(live) == [SINGLE]) == single == (len(live) == 1):
            return
        at = self.world.tick()
        atoms = self.held()
        installed, retired = [], []
        for path, sha in live.items():
            to = f"_derived/_archived/m/{to_snapshot_stamp(at)}/{path.rpartition('/')[2]}"
            self.files[to] = sha
            if path == SINGLE and single:
                installed.append(to)
            else:
                retired.append(path)
            del self.files[path]
        out = (
            SINGLE
            if single
            else f"_derived/m/part-{to_snapshot_stamp(at)}Z-{digest(at)[:32]}.parquet"
        )
        self.files[out] = digest("compacted", sorted(atoms), at)
        self.world.atoms[self.files[out]] = atoms
        self.tell(at, "compact_overlay", [*installed, out], retired, metrics={"rows": 3})

    def remove(self, *, archive: bool) -> None:
        live = self.live()
        if not live:
            return
        at = self.world.tick()
        self.world.removed |= self.held()
        self._take_away(live, at, archive=archive)
        self.tell(at, "archive_overlay" if archive else "remove_overlay", [], live)

    def _take_away(self, live, at, *, archive: bool) -> None:
        for path, sha in live.items():
            del self.files[path]
            if archive:
                name = path.rpartition("/")[2]
                self.files[f"_derived/_archived/m/{to_snapshot_stamp(at)}/{name}"] = sha

    def materialize(self, how: str) -> None:
        live = self.live()
        if not live:
            return
        at = self.world.tick()
        base = self.base()
        self.set_base(replace(base, written=base.written | self.held()))
        args = {"keep_overlays": how != "drop", "archive_overlays": how == "archive"}
        gone = {} if how == "keep" else live
        self._take_away(gone, at, archive=how == "archive")
        self.tell(at, "materialize", ["records.parquet"], gone, args)

    def import_rows(self) -> None:
        at = self.world.tick()
        base = self.base()
        self.set_base(replace(base, rows=(*base.rows, 100 + self.world.turn)))
        self.tell(at, "import_rows", ["records.parquet"])

    def freeze(self) -> None:
        at = self.world.tick()
        self.set_base(replace(self.base(), stamp=self.world.turn))
        self.tell(at, "registry_freeze", ["records.parquet"])

    def snapshot(self) -> None:
        path = f"_snapshots/records-{to_snapshot_stamp(self.world.tick())}.parquet"
        self.files[path] = self.files["records.parquet"]

    def foreign(self, name: str) -> None:
        self.files[name] = digest(self.world.tick())

    # Meeting ------------------------------------------------------------------------------------

    def inventory(self) -> Inventory:
        files = {p: Entry(p, 1, s, 0, 0, p) for p, s in self.files.items()}
        if self.log:
            sha = hashlib.sha256(self.log).hexdigest()
            files[".events.log"] = Entry(".events.log", len(self.log), sha)
        return Inventory(self.place, exists=bool(files), files=files)


def relation(receiver: Base, sender: Base) -> BaseRelation:
    sizes = len(receiver.rows), len(sender.rows)
    if receiver.written != sender.written:
        return BaseRelation("conflict", *sizes, what="other values")
    new = [r for r in sender.rows if r not in receiver.rows]
    if receiver.rows == sender.rows:
        return BaseRelation("equal", *sizes)
    if not new:
        return BaseRelation("receiver_has_all", *sizes)
    whole = sender.rows[: sizes[0]] == receiver.rows
    return BaseRelation("sender_has_all" if whole else "unite", *sizes, len(new))


class Meeting:
    """Two laptops and the remote that both meet, and what each laptop and the remote had in common.

    The laptops never meet each other: what one did comes to the other by way of the remote.
    """

    def __init__(self) -> None:
        self.world = World()
        self.local = Copy(self.world, "/here")
        self.other = Copy(self.world, "/elsewhere")
        self.remote = Copy(self.world, "h:/there")
        self.remote.init()
        self.commons: dict[str, Common | None] = {"local": None, "other": None}
        #: Values that somebody chose against in one of the meetings.
        self.lost_choice: set[str] = set()
        for laptop in self.commons:
            self.apply(self.plan("pull", laptop), laptop)

    def sides(self, direction: str, laptop: str = "local") -> tuple[Copy, Copy]:
        pair = self.remote, getattr(self, laptop)
        return pair if direction == "pull" else pair[::-1]

    def forget(self) -> None:
        """Lose the bookkeeping of the first laptop."""
        self.commons["local"] = None

    def plan(self, direction: str, laptop: str = "local", **options) -> Plan:
        sender, receiver = self.sides(direction, laptop)
        base = relation(receiver.base(), sender.base()) if receiver.files else None
        facts = Facts(read_log(sender.log), read_log(receiver.log), base=base)
        plan = make_plan(
            direction, sender.inventory(), receiver.inventory(), self.commons[laptop], facts,
            remote="h", stamp=self.world.tick(), **options,
        )  # fmt: skip
        for step in plan.steps:
            assert classify(step.path) is not None, step
        return plan

    def apply(self, plan: Plan, laptop: str = "local") -> None:
        assert not plan.conflicts
        sender, receiver = self.sides(plan.direction, laptop)
        self.commons[laptop] = plan.common
        if plan.moves_nothing:
            return
        before, at, log = dict(receiver.files), self.world.tick(), receiver.log
        appended = b""
        for step in plan.steps:
            if step.kind in ("add", "replace", "beside"):
                assert sender.files[step.source.path] == step.source.sha256
                receiver.files[step.path] = step.source.sha256
            elif step.kind == "save":
                receiver.files[step.path] = before[step.source.path]
            elif step.kind == "append":
                appended = step.content
            elif step.kind == "merge":
                ours, theirs = receiver.base(), sender.base()
                new = tuple(r for r in theirs.rows if r not in ours.rows)
                receiver.set_base(replace(ours, rows=ours.rows + new))
        for step in plan.steps:
            if step.kind == "retire":
                receiver.files.pop(step.path)
                if step.to is not None:
                    assert step.to not in before
                    receiver.files[step.to] = before[step.path]
        receiver.log += appended
        told = ["records.parquet", *([SINGLE] if SINGLE in receiver.files else [])]
        receiver.tell(
            at, plan.direction, told, metrics={"lines_appended": appended.count(b"\n")},
            **plan.artifacts,
        )  # fmt: skip
        assert receiver.log.startswith(log)
