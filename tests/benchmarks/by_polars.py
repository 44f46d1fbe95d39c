"""What a competent user would write by hand in Polars, over the same Parquet files.

Lazy frames throughout, so that columns and rows are pruned where Polars can. Polars has no
SHA-1: ids come from hashlib, as everybody's do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from tests.benchmarks.data import PARTS, SOURCE, Files, Inputs

ESSENTIALS = ["id", "bio_type", "sequence", "alphabet", "length", "source", "created_at"]
LETTERS = r"^[ACGTacgt]*$"


def ids_of(sequences: pl.Series) -> pl.Series:
    """Return the ids of DNA sequences."""
    sha1 = hashlib.sha1
    return pl.Series(
        "id", [sha1(b"dna|" + s.encode(), usedforsecurity=False).hexdigest() for s in sequences]
    )


def new_rows(source: Path) -> pl.DataFrame:
    """Return essential columns made from sequences, checked."""
    rows = pl.read_parquet(source).select(pl.col("sequence").str.strip_chars())
    missing = rows["sequence"].null_count() + int((rows["sequence"] == "").sum())
    bad = int((~rows["sequence"].str.contains(LETTERS)).sum())
    rows = rows.select(
        ids_of(rows["sequence"]),
        pl.lit("dna").alias("bio_type"),
        "sequence",
        pl.lit("dna_4").alias("alphabet"),
        pl.col("sequence").str.len_chars().cast(pl.Int32).alias("length"),
        pl.lit(SOURCE).alias("source"),
        pl.lit(datetime.now(UTC)).alias("created_at"),
    )
    if missing or bad or rows["id"].n_unique() < len(rows):
        raise ValueError("missing, bad or repeated")
    return rows


def latest(files: Files) -> pl.LazyFrame:
    """Return overlay ``p``: the newest part that has an id wins."""
    newest_first = pl.concat([pl.scan_parquet(f) for f in reversed(files.p)])
    return newest_first.unique("id", keep="first")


def merged(files: Files) -> pl.LazyFrame:
    """Return base and overlays together, in base order."""
    base = pl.scan_parquet(files.base)
    m = pl.scan_parquet(list(files.m))
    with_m = base.join(m, on="id", how="left", maintain_order="left")
    return with_m.join(latest(files), on="id", how="left", maintain_order="left")


class Polars:
    """The operations; `scratch` is where results are written."""

    name = "Polars"

    def __init__(self, inputs: Inputs, scratch: Path) -> None:
        self.inputs = inputs
        self.out = scratch

    def _write(self, frame: pl.DataFrame | pl.LazyFrame, name: str) -> Path:
        path = self.out / f"{name}.parquet"
        if isinstance(frame, pl.LazyFrame):
            frame.sink_parquet(path, compression="zstd", compression_level=1)
        else:
            frame.write_parquet(path, compression="zstd", compression_level=1)
        return path

    def import_rows(self, files: Files, rep: int) -> Path:
        return self._write(new_rows(self.inputs.sequences), "base")

    def append(self, files: Files, rep: int) -> Path:
        rows = new_rows(self.inputs.more)
        base = pl.scan_parquet(files.base)
        there = base.select("id").join(rows.lazy().select("id"), on="id", how="semi").collect()
        if len(there):
            raise ValueError("ids are there already")
        both = [base.select(ESSENTIALS), rows.lazy()]
        return self._write(pl.concat(both, how="vertical_relaxed"), "base")

    def _check_keys(self, files: Files, keys: pl.Series) -> None:
        base = pl.scan_parquet(files.base).select("id").collect()
        unknown = keys.to_frame().join(base, on="id", how="anti")
        if len(unknown) or keys.null_count() or keys.n_unique() < len(keys):
            raise ValueError("unknown, missing or repeated keys")

    def attach(self, files: Files, rep: int) -> Path:
        rows = pl.read_parquet(self.inputs.m).rename({"x": "m__x", "vec": "m__vec"})
        self._check_keys(files, rows["id"])
        return self._write(rows, "m")

    def parts(self, files: Files, rep: int, tables: Sequence[pa.Table]) -> list[Path]:
        written = []
        for number in range(PARTS):
            part = pl.DataFrame(tables[number]).rename({"score": "p__score", "label": "p__label"})
            self._check_keys(files, part["id"])
            written.append(self._write(part, f"p-{number:02d}"))
        return written

    def head(self, files: Files, rep: int) -> pa.Table:
        first = pl.scan_parquet(files.base).head(5).collect()
        ids = first["id"].implode()
        m = pl.scan_parquet(list(files.m)).filter(pl.col("id").is_in(ids))
        newest_first = [pl.scan_parquet(f).filter(pl.col("id").is_in(ids)) for f in files.p[::-1]]
        p = pl.concat(newest_first).unique("id", keep="first", maintain_order=True)
        both = first.lazy().join(m, on="id", how="left", maintain_order="left")
        both = both.join(p, on="id", how="left", maintain_order="left")
        return both.collect().to_arrow()

    def get(self, files: Files, rep: int) -> pa.Table:
        wanted = pl.col("id") == self.inputs.wanted[rep]
        row = pl.scan_parquet(files.base).filter(wanted)
        m = pl.scan_parquet(list(files.m)).filter(wanted)
        newest_first = [pl.scan_parquet(f).filter(wanted) for f in files.p[::-1]]
        p = pl.concat(newest_first).head(1)
        return row.join(m, on="id", how="left").join(p, on="id", how="left").collect().to_arrow()

    def scan(self, files: Files, rep: int) -> pl.DataFrame:
        return merged(files).collect()

    def scan_two(self, files: Files, rep: int) -> pl.DataFrame:
        base = pl.scan_parquet(files.base)
        both = base.join(pl.scan_parquet(list(files.m)), on="id", how="left")
        return both.select("sequence", "m__x").collect()

    def _grep(self, files: Files, pattern: str) -> tuple[int, list[str]]:
        hits = pl.scan_parquet(files.base).filter(
            pl.col("sequence").str.contains(f"(?i){pattern}")
        ).select("id").collect()  # fmt: skip
        return len(hits), hits["id"].head(20).to_list()

    def grep(self, files: Files, rep: int) -> tuple[int, list[str]]:
        return self._grep(files, "TATAAT")

    def grep_iupac(self, files: Files, rep: int) -> tuple[int, list[str]]:
        return self._grep(files, "TG[ACGT]TATAAT|ATTATA[ACGT]CA")

    def describe(self, files: Files, rep: int) -> dict[str, list[Any]]:
        texts = ["id", "bio_type", "sequence", "alphabet", "source", "p__label"]
        numbers = ["length", "m__x", "p__score"]
        asked = {}
        for c in texts:
            # Polars counts null as a value of its own.
            asked[c] = [pl.col(c).count(), pl.col(c).drop_nulls().n_unique()]
        for c in numbers:
            asked[c] = [pl.col(c).count(), pl.col(c).min(), pl.col(c).mean(), pl.col(c).max()]
        at, vec = pl.col("created_at"), pl.col("m__vec")
        asked["created_at"] = [at.count(), at.min(), at.max()]
        lengths = vec.list.len()
        asked["m__vec"] = [vec.count(), lengths.min(), lengths.mean(), lengths.max()]
        exprs = [e.alias(f"{c} {i}") for c, es in asked.items() for i, e in enumerate(es)]
        row = merged(files).select(exprs).collect().row(0, named=True)
        return {c: [row[f"{c} {i}"] for i in range(len(es))] for c, es in asked.items()}

    def validate(self, files: Files, rep: int) -> int:
        base = pl.read_parquet(files.base)
        found = int((base["id"] != ids_of(base["sequence"])).sum())
        kinds = (pl.col("bio_type") != "dna") | (pl.col("alphabet") != "dna_4")
        found += int(base.select(
            (pl.col("length") != pl.col("sequence").str.len_chars()).sum()
            + (~pl.col("sequence").str.contains(LETTERS)).sum()
            + kinds.sum()
        ).item())  # fmt: skip
        found += sum(base.null_count().row(0)) + len(base) - base["id"].n_unique()
        known = base.lazy().select("id")
        for file in (*files.m, *files.p):
            keys = pl.scan_parquet(file).select("id").collect()
            found += len(keys) - keys["id"].n_unique()
        every = pl.concat([pl.scan_parquet(f).select("id") for f in (*files.m, *files.p)])
        return found + len(every.join(known, on="id", how="anti").collect())

    def export_csv(self, files: Files, rep: int) -> Path:
        path = self.out / "out.csv"
        base = pl.scan_parquet(files.base)
        both = base.join(pl.scan_parquet(list(files.m)), on="id", how="left")
        both.select("id", "sequence", "m__x").sink_csv(path)
        return path

    def materialize(self, files: Files, rep: int) -> Path:
        return self._write(merged(files), "base")

    def compact(self, files: Files, rep: int) -> Path:
        return self._write(latest(files), "p")
