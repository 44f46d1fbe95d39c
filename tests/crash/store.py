"""The store that operations under test start from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from usr_nb import Dataset, compute_id, register_namespace

SEQUENCES = ["ACGTACGTAA", "TTGACAGGGC", "TATAATCCGT", "acgtacgtaa", "GGGGCCCCAT", "CATCATCATC"]
IDS = [compute_id("dna", s) for s in SEQUENCES]
NEW = ["TTTTTTTTTT", "CCCCCCCCCC"]
NAME = "ns/demo"


@dataclass(frozen=True)
class Store:
    """One root, in a folder of its own, with a place beside it to export to."""

    folder: Path

    @property
    def root(self) -> Path:
        """The root."""
        return self.folder / "root"

    @property
    def fresh(self) -> Path:
        """A root that does not exist yet."""
        return self.folder / "fresh"

    @property
    def out(self) -> Path:
        """The file that is exported to."""
        return self.folder / "out.csv"

    def ds(self, name: str = NAME) -> Dataset:
        """Open a dataset."""
        return Dataset.open(self.root, name)


def build_store(folder: Path) -> Store:
    """Make a store with everything in it that a change can meet."""
    store = Store(folder)
    register_namespace(store.root, namespace="m", columns="n:float64,s:string,l:list<float64>")
    register_namespace(store.root, namespace="k", columns="x:float64")
    ds = store.ds()
    ds.init(source="test")
    ds.add_sequences(SEQUENCES, bio_type="dna", alphabet="dna_4", source="start")
    ds.write_overlay_part(
        "m", pa.table({"id": IDS[:4], "m__n": [1.0, 2.0, None, 4.0], "m__s": list("abcd")})
    )
    ds.write_overlay_part("m", pa.table({"id": IDS[1:3], "m__n": [20.0, 30.0]}))
    ds.write_overlay_part("k", pa.table({"id": IDS, "k__x": [float(i) for i in range(6)]}))
    with ds.maintenance("test"):
        ds.compact_overlay("k", single_file=True)
    ds.write_overlay_part("k", pa.table({"id": IDS[:1], "k__x": [100.0]}))
    ds.tombstone(IDS[5], reason="test")
    ds.set_state(IDS[:2], masked=True, split="train")
    other = store.ds("ns/other")
    other.init()
    other.add_sequences([*NEW, SEQUENCES[0]], bio_type="dna", alphabet="dna_4")
    other.write_overlay_part("k", pa.table({"id": [compute_id("dna", NEW[0])], "k__x": [7.0]}))
    store.ds("ns/empty").init()
    ds.snapshot_dir.mkdir()
    for n in range(5):
        # As many automatic snapshots as are kept, so that the next one pushes one out.
        name = f"records-2026010{n + 1}T000000000000-auto.parquet"
        shutil.copyfile(ds.records_path, ds.snapshot_dir / name)
    return store
