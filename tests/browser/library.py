"""A small dataset with everything that the panels show, and the same as pandas reads it."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pyarrow as pa

from usr_nb import Dataset, compute_id, register_namespace

ROWS = 300
HOSTILE = '<img src=x onerror="window.hacked=1"> & <b>bold</b>'
NAME = "lab/mix"
PROTEINS = "lab/proteins"
SITES = "list<struct<offset:int64,orientation:string,tf:string,tfbs:string>>"
SOME_SITES = (("LEXA", "CTGTATATAAACACAG"), ("cpxR", "GTAAATTTTTGTAAAC"), ("fis", "TTTG"))


def sequences(rows: int, letters: str, seed: int, *, low: int, high: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(letters, k=draw.randint(low, high))) for _ in range(rows)]


def _sites(text: str, draw: random.Random, row: int) -> list[dict[str, object]]:
    found = []
    # Every seventh row has no LEXA: what is aligned by it has rows that cannot be.
    for tf, motif in SOME_SITES[1 if row % 7 == 0 else 0 :]:
        found.append({
            "offset": draw.randint(0, len(text) - len(motif)), "tf": tf, "tfbs": motif,
            "orientation": draw.choice(["fwd", "rev"]),
        })  # fmt: skip
    return found


def build(root: Path) -> None:
    """Make two datasets: DNA of 40 to 160 letters with overlays, and proteins."""
    draw = random.Random(3)
    register_namespace(root, namespace="densegen", columns=f"densegen__used_tfbs_detail:{SITES}")
    register_namespace(
        root,
        namespace="lab",
        columns="lab__name:string,lab__tss:int32,lab__signal:list<float32>,lab__score:float64",
    )
    ds = Dataset.open(root, NAME)
    ds.init(source="browser tests")
    texts = sequences(ROWS, "ACGT", 11, low=40, high=160)
    ds.add_sequences([{"sequence": t} for t in texts], bio_type="dna", alphabet="dna_4")
    ids = [compute_id("dna", t) for t in texts]
    detail = pa.array([_sites(t, draw, i) for i, t in enumerate(texts)])
    ds.write_overlay("densegen", pa.table({"id": ids, "used_tfbs_detail": detail}))
    signal = [[draw.gauss(0, 1) for _ in t] for t in texts]
    names = [HOSTILE if i == 2 else f"probe {i}" for i in range(ROWS)]
    ds.write_overlay("lab", pa.table({
        "id": ids, "name": names, "tss": [draw.randint(10, 30) for _ in texts],
        "signal": pa.array(signal, pa.list_(pa.float32())),
        "score": [draw.random() for _ in texts],
    }))  # fmt: skip
    ds.set_state(ids[5], supersedes=ids[4])
    other = Dataset.open(root, PROTEINS)
    other.init(source="browser tests")
    proteins = sequences(40, "ACDEFGHIKLMNPQRSTVWY", 5, low=80, high=120)
    other.add_sequences(
        [{"sequence": p} for p in proteins], bio_type="protein", alphabet="protein_20"
    )


def frame(root: Path, name: str = NAME) -> pd.DataFrame:
    """Return the base as pandas reads it from the file, without usr_nb."""
    return pd.read_parquet(root / name / "records.parquet")


def overlay(root: Path, namespace: str, name: str = NAME) -> pd.DataFrame:
    """Return the one part of an overlay as pandas reads it, by id."""
    [part] = (root / name / "_derived" / namespace).glob("*.parquet")
    return pd.read_parquet(part).set_index("id")
