"""A dataset with every type that the filter panel shows, and the same as pandas reads its files."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa

from tests.browser.library import HOSTILE, sequences
from usr_nb import Dataset, compute_id, register_namespace

ROWS = 400
NAME = "lab/filter"
COLUMNS = (
    "lab__tf:string,lab__score:float64,lab__flag:bool,lab__when:timestamp[us, UTC],"
    "lab__reads:list<int64>,lab__vec:fixed_size_list<float32>[4],"
    "lab__site:struct<start:int32,tf:string>"
)
MOTIF = "TTGNCA"
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def build(root: Path, name: str = NAME) -> None:
    """Make the dataset: DNA of 40 to 160 letters, one overlay, record state, tombstones."""
    draw = random.Random(8)
    if not (root / "registry.yaml").exists():
        register_namespace(root, namespace="lab", columns=COLUMNS)
    ds = Dataset.open(root, name)
    ds.init(source="browser tests")
    texts = sequences(ROWS, "ACGT", 21, low=40, high=160)
    ds.add_sequences([{"sequence": t} for t in texts], bio_type="dna", alphabet="dna_4")
    ids = [compute_id("dna", t) for t in texts]
    first = datetime(2026, 1, 1, tzinfo=UTC)
    score = [draw.choice([None, float("nan"), *[draw.gauss(0, 1) for _ in range(8)]]) for _ in ids]
    # One far out, so that the middle 98 % is worth looking at.
    score[7] = 5_000.0
    ds.write_overlay("lab", pa.table({
        "id": ids, "tf": [draw.choice(["lexA", "lexA", "cpxR", "", None, HOSTILE]) for _ in ids],
        "score": pa.array(score, pa.float64()),
        "flag": [draw.choice([True, False, None]) for _ in ids],
        "when": pa.array([first + timedelta(days=draw.randrange(90)) for _ in ids]),
        "reads": [[draw.randint(0, 50) for _ in range(draw.randint(0, 5))] or None for _ in ids],
        "vec": pa.array([[draw.gauss(0, 1) for _ in range(4)] for _ in ids],
                        pa.list_(pa.float32(), 4)),
        "site": pa.array([{"start": draw.randint(0, 30), "tf": draw.choice(["fis", "crp"])}
                          for _ in ids], pa.struct([("start", pa.int32()), ("tf", pa.string())])),
    }))  # fmt: skip
    ds.set_state(ids[:30], qc_status="fail")
    ds.set_state(ids[20:50], masked=True)
    ds.tombstone(ids[-5:], reason="test")


def frame(root: Path, name: str = NAME) -> pd.DataFrame:
    """Return all records as pandas reads them from the files, without usr_nb."""
    folder = root / name
    found = pd.read_parquet(folder / "records.parquet")
    [part] = (folder / "_derived/lab").glob("*.parquet")
    for more in (part, folder / "_derived/usr_state.parquet", folder / "_derived/usr.parquet"):
        found = found.merge(pd.read_parquet(more), on="id", how="left")
    upper = found["sequence"].str.upper()
    found["gc"] = (upper.str.count("G") + upper.str.count("C")) / upper.str.len()
    found["deleted"] = found["usr__deleted"].eq(True)
    return found


def motif_places(sequence: str, motif: str, *, mismatches: int, strands: str) -> set[int]:
    """Where a motif of the letters ACGTN fits, letter by letter; N fits all."""
    turned = motif.translate(COMPLEMENT)[::-1]
    forms = {"+": [motif], "-": [turned], "both": [motif, turned]}[strands]
    found = set()
    for form, at in itertools.product(forms, range(len(sequence) - len(motif) + 1)):
        letters = zip(form, sequence[at : at + len(form)], strict=True)
        if sum(a not in ("N", b) for a, b in letters) <= mismatches:
            found.add(at)
    return found
