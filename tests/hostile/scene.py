"""A root with a victim beside it, and a record of every file that shows any change at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from usr_nb import Dataset, register_namespace

SECONDS = 2.0
KILL_S = 8
#: Whose bytes mean nothing, and which a mere attempt may touch.
ASIDE = frozenset({".usr.lock", "holder"})
DATASET = "densegen/demo"


class TooLong(BaseException):
    """Not an Exception, so that nobody takes it for one of theirs."""


@contextmanager
def alarm() -> Iterator[None]:
    """End what hangs."""

    def ring(number: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, KILL_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Scene:
    """`base/root` is the root, `base/victim` is nobody's business."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        self.victim = base / "victim"
        self.words = {
            "victim": str(self.victim), "root": str(self.root), "dataset": str(self.root / DATASET),
            "folder": str(base / "inputs"), "fifo": str(base / "inputs" / "fifo.csv"),
            "loop": str(base / "inputs" / "loop.csv"),
        }  # fmt: skip

    @property
    def dir(self) -> Path:
        return self.root / DATASET

    def value(self, text: str) -> str:
        for word, path in self.words.items():
            text = text.replace("{" + word + "}", path)
        return text

    def build(self) -> None:
        self.victim.mkdir(parents=True)
        (self.victim / "keep.txt").write_text("mine")
        inputs = self.base / "inputs"
        inputs.mkdir()
        os.mkfifo(inputs / "fifo.csv")
        (inputs / "loop.csv").symlink_to(inputs / "loop.csv")
        register_namespace(
            self.root, namespace="quickstart", columns="x:float64,s:string,l:list<float64>"
        )
        register_namespace(self.root, namespace="evo2", columns="score:float64")
        demo = ",".join(f"{n}:list<float32>" for n in ("x_representation", "label_vec8"))
        register_namespace(self.root, namespace="demo", columns=demo)
        ds = Dataset.open(self.root, DATASET)
        ds.init(source="test")
        added = ds.add_sequences(
            ["ACGTACGT", "TTGACATATAAT", "GGGGCCCC"], bio_type="dna", alphabet="dna_4"
        )
        table = {
            "id": list(added.ids),
            "quickstart__x": [1.0, 2.0, 3.0],
            "quickstart__s": ["a", None, "=1+1"],
        }
        ds.write_overlay_part("quickstart", pa.table(table))
        other = Dataset.open(self.root, "lab/other")
        other.init()
        other.add_sequences(["ACGTACGG"], bio_type="dna", alphabet="dna_4")
        (inputs / "new.csv").write_text("sequence,name\nACGTTTTT,n1\n")
        (inputs / "more.csv").write_text(f"id,score\n{added.ids[0]},1.5\n")
        pa.parquet.write_table(
            pa.table({"id": [added.ids[0]], "score": [1.5]}), inputs / "more.parquet"
        )
        (inputs / "old.pt").write_bytes(b"")
        self.ids = list(added.ids)
        self.inputs = {p.name for p in inputs.iterdir()}
        shutil.copytree(self.root, self.base / "template")

    def restore(self) -> None:
        """Put everything back, also what a command made in the folder it was told."""
        for gone in (self.base / "inputs").iterdir():
            if gone.name not in self.inputs:
                shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        shutil.rmtree(self.root)
        shutil.copytree(self.base / "template", self.root)

    def state(self, *, outside_only: bool = False) -> dict[str, tuple[int, ...]]:
        """Every file with what its last write of any kind left behind; links are not followed."""
        found: dict[str, tuple[int, ...]] = {}
        todo = [self.base]
        while todo:
            with os.scandir(todo.pop()) as entries:
                for e in entries:
                    if outside_only and e.path == str(self.root):
                        continue
                    st = e.stat(follow_symlinks=False)
                    if stat.S_ISDIR(st.st_mode):
                        todo.append(Path(e.path))
                        found[e.path] = (st.st_ino,)
                    elif e.name not in ASIDE:
                        found[e.path] = (st.st_ino, st.st_size, st.st_ctime_ns)
        return found

    def changes(self, before: dict[str, tuple[int, ...]], **how: bool) -> list[str]:
        after = self.state(**how)
        return sorted(
            Path(k).relative_to(self.base).as_posix()
            for k in {*before, *after} if before.get(k) != after.get(k)
        )  # fmt: skip

    def is_whole(self) -> bool:
        """Say whether notes and log have the form they must have, whatever text they hold."""
        meta = (self.dir / "meta.md").read_bytes()
        assert meta.startswith(b"name: densegen/demo\n")
        fences = [line for line in meta.split(b"\n") if line.startswith(b"```")]
        assert fences == [b"```bash", b"```"] * (len(fences) // 2)
        for line in (self.dir / ".events.log").read_bytes().splitlines():
            assert isinstance(json.loads(line)["action"], str)
        return True
