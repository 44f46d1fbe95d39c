"""A sync without a network: two dataset folders, the real plan, files copied as it says."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from usr_nb import Dataset
from usr_nb.contract.events import Actor, Fingerprint, build_event, encode_event
from usr_nb.storage import door
from usr_nb.sync.base import write_union
from usr_nb.sync.classes import classify
from usr_nb.sync.common import decode_common, encode_common
from usr_nb.sync.gather import gather
from usr_nb.sync.model import Common, Entry, Inventory, Plan
from usr_nb.sync.plan import make_plan

_TURN = count()


def inventory(folder: Path, *, hashes: bool = True) -> Inventory:
    """What one copy holds, as the real inventory tells it."""
    files = {}
    for at in sorted(folder.rglob("*")):
        path = at.relative_to(folder).as_posix()
        if not at.is_file() or classify(path) is None:
            continue
        st = at.stat()
        sha = hashlib.sha256(at.read_bytes()).hexdigest() if hashes else None
        files[path] = Entry(path, st.st_size, sha, st.st_ino, st.st_mtime_ns, path)
    registry = root_of(folder) / "registry.yaml"
    return Inventory(
        place=str(folder), exists="records.parquet" in files, files=files,
        registry=registry.read_bytes() if registry.exists() else None,
    )  # fmt: skip


def root_of(folder: Path) -> Path:
    return folder.parents[1]


@dataclass
class Pair:
    """This copy and the remote's, and what is known of their last meeting."""

    local: Path
    remote: Path
    common: bytes | None = None
    copies: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    hashes: bool = True

    def known(self) -> Common | None:
        return decode_common(self.common, self.copies)

    def plan(self, direction: str, **options) -> Plan:
        sender, receiver = self.remote, self.local
        if direction == "push":
            sender, receiver = receiver, sender
        sides = {"sender": sender, "receiver": receiver}
        there = inventory(sender, hashes=self.hashes)
        here = inventory(receiver, hashes=self.hashes)
        self.fetched = []

        def fetch(role, entries):
            self.fetched += [f"{role} {e.path}" for e in entries]
            return {e.path: sides[role] / e.path for e in entries}

        common = self.known()
        wide = {k: v for k, v in options.items() if k == "primary_only"}
        facts = gather(direction, there, here, common, fetch, **wide)
        stamp = datetime(2031, 1, 1, tzinfo=UTC).replace(microsecond=next(_TURN) % 1_000_000)
        plan = make_plan(
            direction, there, here, common, facts, remote="hpc", stamp=stamp, **options
        )
        for step in plan.steps:  # Whatever happens: never these.
            for path in (step.path, step.to or ""):
                assert not path.startswith(("_txn", ".usr.lock", "/"))
                assert ".." not in path
        return plan

    def apply(self, plan: Plan) -> None:
        assert not plan.conflicts, plan.conflicts
        sender, receiver = self.remote, self.local
        if plan.direction == "push":
            sender, receiver = receiver, sender
        if not plan.moves_nothing:
            _grow_registry(root_of(receiver), plan)
            _carry(plan, sender, receiver)
        self._remember(plan)

    def _remember(self, plan: Plan) -> None:
        self.common = encode_common(plan.common, direction=plan.direction, operation_id=None)
        self.copies = dict(plan.common.copies)

    def sync(self, direction: str, **options) -> Plan:
        plan = self.plan(direction, **options)
        self.apply(plan)
        return plan

    def datasets(self) -> tuple[Dataset, Dataset]:
        return tuple(Dataset.open(root_of(f), f"{f.parent.name}/{f.name}")
                     for f in (self.local, self.remote))  # fmt: skip


def _grow_registry(root: Path, plan: Plan) -> None:
    if not plan.registry:
        return
    path = root / "registry.yaml"
    text = yaml.safe_load(path.read_text()) if path.exists() else {"namespaces": {}}
    text["namespaces"] |= plan.registry
    root.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(text, sort_keys=True))


def _carry(plan: Plan, sender: Path, receiver: Path) -> None:
    staged: dict[str, bytes] = {}
    for step in plan.steps:
        at = receiver / step.path
        if step.kind != "append" and step.kind not in ("save", "beside"):
            assert at.exists() == (step.was is not None), step
        if step.kind in ("add", "replace", "beside"):
            staged[step.path] = (sender / step.source.path).read_bytes()
        elif step.kind == "save":
            staged[step.path] = (receiver / step.source.path).read_bytes()
        elif step.kind == "merge" and step.file_class == "base":
            staged[step.path] = _united(receiver / step.path, sender / step.source.path)
        elif step.kind == "merge":
            staged[step.path] = step.content
    for path, data in staged.items():
        target = receiver / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(".tmp-sim").write_bytes(data)
        target.with_name(".tmp-sim").replace(target)
    retired = []
    for step in plan.steps:
        if step.kind in ("retire", "delete"):
            retired.append(step.path)
            source = receiver / step.path
            target = receiver / (step.to or f"_txn/retired/sim-{len(retired)}")
            assert not target.exists(), step
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
    appended = 0
    for step in plan.steps:
        if step.kind == "append":
            _append(receiver / step.path, step.content)
            appended += step.content.count(b"\n") if step.file_class == "events" else 0
    _tell(plan, receiver, staged, retired, appended)


def _append(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size
    with path.open("ab") as f:
        f.write(b"\n" * bool(torn) + data)


def _tell(plan: Plan, receiver: Path, staged, retired, appended: int) -> None:
    n = next(_TURN)
    said = {
        "operation_id": f"20310101T000000{n:06d}Z-{n:012x}",
        "files": [{"path": p, "sha256": hashlib.sha256(d).hexdigest()} for p, d in staged.items()],
        "retired": retired,
        **plan.artifacts,
    }
    kept = [p for p in ("records.parquet",) if p not in staged and (receiver / p).exists()]
    said["files"] += [
        {"path": p, "sha256": hashlib.sha256((receiver / p).read_bytes()).hexdigest()} for p in kept
    ]
    with pq.ParquetFile(receiver / "records.parquet") as base:
        size = Fingerprint(base.metadata.num_rows, len(base.schema_arrow.names), 1)
    event = build_event(
        action=plan.direction, at="2031-01-01T00:00:00.000000Z", dataset="ns/demo", root="x",
        args={"remote": "hpc"}, metrics={"lines_appended": appended}, artifacts=said,
        maintenance={}, fingerprint=size.as_plain(), registry_hash=None,
        actor=Actor("usr", None, "here", 1), version="0",
    )  # fmt: skip
    _append(receiver / ".events.log", encode_event(event))
    note = "- 2031-01-01T00:00:00.000000Z: pulled from hpc: x\n```bash\nusr pull\n```\n"
    _append(receiver / "meta.md", note.encode())


def _united(receiver: Path, sender: Path) -> bytes:
    aside = receiver.with_name(f".tmp-union-{next(_TURN)}")
    sink = door.Sink(aside)
    write_union(sink, receiver=receiver, sender=sender)
    sink.seal()
    data = aside.read_bytes()
    aside.unlink()
    return data
