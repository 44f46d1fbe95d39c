"""Two copies of one dataset that met before, and now meet again through the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.cli.conftest import Result, run
from tests.sync.beds import StandIn
from tests.sync.sshd import Server
from usr_nb import Dataset, compute_id, register_namespace
from usr_nb.sync import remotes
from usr_nb.sync.remotes import Remote

NAME = "lab/demo"
SEQUENCES = ["ACGTACGTAA", "TTGACAGGGC", "TATAATCCGT", "GGGGCCCCAT"]
IDS = [compute_id("dna", s) for s in SEQUENCES]
#: What lies in the dataset but is none of its files.
MACHINERY = ("_txn/", ".usr.lock")
Side = Literal["here", "there"]
Files = dict[str, bytes]


def files_of(folder: Path, *, machinery: bool = False) -> Files:
    """Return path -> bytes of a folder's files."""
    found = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    wanted = {n: p for n, p in found.items() if machinery or not n.startswith(MACHINERY)}
    return {name: path.read_bytes() for name, path in wanted.items()}


def part(values: dict[int, float], column: str = "m__x") -> list[dict[str, Any]]:
    """Return rows for an overlay: number of the sequence to value."""
    return [{"id": IDS[i], column: v} for i, v in values.items()]


def make_store(root: Path) -> Dataset:
    """Make the dataset from which both sides go on."""
    register_namespace(root, namespace="m", columns="m__x:float64,m__y:string")
    register_namespace(root, namespace="k", columns="k__z:int64")
    ds = Dataset.open(root, NAME)
    ds.init(source="test")
    ds.add_sequences(SEQUENCES, bio_type="dna", alphabet="dna_4")
    ds.write_overlay_part("m", part({0: 1.0, 1: 2.0, 2: 3.0}))
    ds.write_overlay_part("k", part({i: i for i in range(4)}, "k__z"))
    with ds.maintenance("test"):
        ds.compact_overlay("k", single_file=True)
    ds.write_overlay_part("m", part({1: 20.0}))
    ds.tombstone(IDS[3], reason="test")
    ds.set_state(IDS[:1], split="train")
    ds.snapshot("first")
    (ds.dir / "notes").mkdir()
    (ds.dir / "notes" / "lab.txt").write_text("as it was\n")
    return ds


@dataclass(frozen=True)
class Bed:
    """Both roots, `here` and `there`, in one folder, and the remote that leads there."""

    folder: Path
    remote: Remote

    @property
    def here(self) -> Dataset:
        return Dataset.open(self.folder / "here", NAME)

    @property
    def there(self) -> Dataset:
        return Dataset.open(Path(self.remote.base_dir), NAME)

    def side(self, side: Side) -> Dataset:
        return self.here if side == "here" else self.there

    def usr(self, command: str, *flags: object) -> Result:
        """Run `usr COMMAND lab/demo REMOTE`."""
        return run(command, NAME, self.remote.name, "--root", self.folder / "here", *flags)

    def sync(self, direction: str, *flags: object) -> dict[str, Any]:
        """Pull or push, which must succeed; returns the receipt."""
        done = self.usr(direction, "-y", "--format", "json", *flags)
        assert done.code == 0, done.err
        return done.data

    def diff(self, *flags: object) -> dict[str, Any]:
        found = self.usr("diff", "--format", "json", *flags)
        assert found.code == 0, found.err
        return found.data

    def files(self, side: Side, *, machinery: bool = False) -> Files:
        return files_of(self.side(side).dir, machinery=machinery)

    def whole(self) -> Files:
        """Everything on both sides, bookkeeping too."""
        return {p: b for p, b in files_of(self.folder, machinery=True).items()
                if not p.endswith(("/.usr.lock", "_txn/holder"))}  # fmt: skip


# What must hold -----------------------------------------------------------------------------------

_STAMPS = re.compile(r"\d{8}T\d{6,12}Z?(-[0-9a-f]{8,64})?|(?<=[-.])[0-9a-f]{8,64}(?=\.)")


#: What was put aside on one side only: it is no part of what two copies have in common.
_STAYS = re.compile(r"/_archived/|-auto\.parquet$")


def shape(path: str) -> str:
    """Return a path with `*` for times and digests."""
    return _STAMPS.sub("*", path)


def shapes(files: Files) -> Counter[str]:
    """Count paths by shape, logs and notes left out."""
    return Counter(shape(p) for p in files if p not in (".events.log", "meta.md"))


def values(ds: Dataset) -> dict[str, dict[str, Any]]:
    """Return sequence -> the values that are not null, in the order of the base."""
    table = ds.head_table(99)
    return {
        row["sequence"]: {c: v for c, v in row.items() if "__" in c and v is not None}
        for row in table.to_pylist()
    }


def fine(ds: Dataset) -> None:
    """See that a copy is valid, and that nothing lies about."""
    ds.validate(strict=True, registry_mode="namespace-either")
    assert not [f for f in ds.doctor().findings if f.kind != "foreign"]
    incoming = [p for p in (ds.dir / "_txn").rglob("*") if "incoming" in p.name]
    assert not incoming


def travelling(log: bytes) -> list[str]:
    """Return the lines of a log that are no sync's own, sorted: their order may differ."""
    lines = log.decode().splitlines()
    return sorted(x for x in lines if json.loads(x)["action"] not in ("pull", "push"))


#: Files that get other content where both sides worked; all others never change under a name.
UNITED = ("records.parquet", "_derived/usr.parquet", "_derived/usr_state.parquet")
GROWING = (".events.log", "meta.md")


def check_receiver(
    before: Files, sender: Files, folder: Path, *, passed_on: str = ""
) -> Counter[str]:
    """See that each byte of the receiver is still there, and that what is new is known.

    A file `passed_on` may come to hold what the sender has, as only the sender changed it.

    Returns what came (`+`), went (`-`) or changed (`~`), by shape.
    """
    after = files_of(folder)
    everywhere = set(files_of(folder, machinery=True).values())
    changed: Counter[str] = Counter()
    for path, data in before.items():
        if after.get(path) == data:
            continue
        changed[f"{'~' if path in after else '-'} {shape(path)}"] += 1
        if path == passed_on:
            assert sender[path] in after[path]
        elif path in GROWING:
            grown = after[path].startswith(data)
            assert grown or (path == "meta.md" and data in everywhere), f"{path} was rewritten"
        elif path not in UNITED:
            assert data in everywhere, f"{path} is lost"
    for path, data in after.items():
        if path in before:
            continue
        changed[f"+ {shape(path)}"] += 1
        known = data in sender.values() or data in before.values() or path in UNITED
        assert known or path in GROWING, f"where does {path} come from?"
    return changed


def equal_copies(bed: Bed) -> None:
    """See that both copies hold the same files, but for what a sync says of itself."""
    here, there = bed.files("here"), bed.files("there")
    logs = [travelling(f.pop(".events.log")) for f in (here, there)]
    assert logs[0] == logs[1]
    here.pop("meta.md")
    there.pop("meta.md")
    live = [{p: b for p, b in f.items() if not _STAYS.search(p)} for f in (here, there)]
    differ = [p for p in live[0] | live[1] if live[0].get(p) != live[1].get(p)]
    assert not differ, f"not equal: {differ}"
    assert values(bed.here) == values(bed.there)


# Fixtures -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def met_over_sshd(server: Server) -> Iterator[tuple[Path, Path]]:
    """A folder with both copies, and one that keeps how they were when they had met.

    It is always the same folder, as what is remembered of a meeting names the place.
    """
    shm = Path("/dev/shm")
    parent = shm if os.access(shm, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="usr-meet-", dir=parent))
    patch = pytest.MonkeyPatch()
    live, kept = folder / "live", folder / "kept"
    live.mkdir()
    with patch.context() as m:
        remote = _loop(m, server, live)
        make_store(live / "there")
        bed = Bed(live, remote)
        (live / "here").mkdir()
        bed.sync("pull")
    live.rename(kept)
    yield live, kept
    shutil.rmtree(folder)


def _loop(m: pytest.MonkeyPatch, server: Server, live: Path) -> Remote:
    m.setenv("PATH", f"{server.bin}{os.pathsep}{os.environ['PATH']}")
    m.setenv("USR_TEST_KEY", str(server.key))
    m.setenv("USR_REMOTES_PATH", str(live / "remotes.yaml"))
    remote = Remote("loop", host="127.0.0.1", user=server.user, base_dir=str(live / "there"),
                    port=server.port, ssh_key_env="USR_TEST_KEY")  # fmt: skip
    if not (live / "remotes.yaml").exists():
        remotes.add(remote)
    return remote


@pytest.fixture
def over_sshd(
    met_over_sshd: tuple[Path, Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bed]:
    """Both copies as they were when they had met, over the real sshd."""
    live, kept = met_over_sshd
    shutil.copytree(kept, live)
    yield Bed(live, _loop(monkeypatch, server, live))
    shutil.rmtree(live)


@pytest.fixture
def over_standin(
    standin: StandIn, ram: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bed:
    """Both copies as they were when they had met, with the stand-in between them."""
    monkeypatch.setenv("USR_REMOTES_PATH", str(ram / "remotes.yaml"))
    monkeypatch.setenv("STANDIN_HOME", str(ram))
    remote = standin.remote(base_dir=str(ram / "there"))
    remotes.add(remote)
    make_store(ram / "there")
    bed = Bed(ram, remote)
    (ram / "here").mkdir()
    bed.sync("pull")
    return bed
