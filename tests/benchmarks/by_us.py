"""The same operations through the public face of usr_nb, durability on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.benchmarks.data import PARTS, SOURCE, Files, Inputs
from usr_nb import Dataset, register_namespace

NAME = "b"
COLUMNS = {"m": "x:float64,vec:list<float64>", "p": "score:float64,label:string"}


def files_of(root: Path) -> Files:
    """Return the files of the dataset below `root`."""
    folder = root / NAME

    def parts(ns: str) -> tuple[Path, ...]:
        return tuple(sorted((folder / "_derived" / ns).glob("part-*.parquet")))

    return Files(folder / "records.parquet", parts("m"), parts("p"))


def new_root(root: Path) -> Path:
    """Make a root with an empty dataset."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for ns, columns in COLUMNS.items():
        register_namespace(root, namespace=ns, columns=columns)
    Dataset.open(root, NAME).init()
    return root


def clone(source: Path, root: Path) -> Path:
    """Copy a root; Parquet files, which are replaced and never changed, are hard links."""
    shutil.rmtree(root, ignore_errors=True)

    def copy(a: str, b: str) -> str:
        if a.endswith(".parquet"):
            os.link(a, b)
            return b
        return shutil.copy2(a, b)

    shutil.copytree(source, root, copy_function=copy)
    return root


class Us:
    """The operations on clones of prepared roots: `scratch` holds ``empty``, ``base``, ``full``."""

    name = "usr_nb"

    def __init__(self, inputs: Inputs, scratch: Path) -> None:
        self.inputs = inputs
        self.roots = scratch.parent / "roots"
        self.full = Dataset.open(self.roots / "full", NAME)
        self.work = scratch / "root"
        self.out = scratch

    def build(self, tables: Sequence[pa.Table]) -> None:
        """Make the prepared roots."""
        new_root(self.roots / "empty")
        base = clone(self.roots / "empty", self.roots / "base")
        Dataset.open(base, NAME).import_parquet(self.inputs.sequences, source=SOURCE)
        full = Dataset.open(clone(base, self.roots / "full"), NAME)
        full.attach(self.inputs.m, "m")
        for table in tables:
            full.write_overlay_part("p", table)

    def before(self, op: str) -> None:
        """Make a fresh clone for an operation that writes (not timed)."""
        root = {"import_rows": "empty", "append": "base", "attach": "base", "parts": "base",
                "materialize": "full", "compact": "full", "tombstone": "full"}.get(op)  # fmt: skip
        if root is not None:
            clone(self.roots / root, self.work)

    @property
    def fresh(self) -> Dataset:
        """The dataset of the clone."""
        return Dataset.open(self.work, NAME)

    def import_rows(self, files: Files, rep: int) -> Path:
        self.fresh.import_parquet(self.inputs.sequences, source=SOURCE)
        return files_of(self.work).base

    def append(self, files: Files, rep: int) -> Path:
        self.fresh.import_parquet(self.inputs.more, source=SOURCE)
        return files_of(self.work).base

    def attach(self, files: Files, rep: int) -> Path:
        self.fresh.attach(self.inputs.m, "m")
        return files_of(self.work).m[0]

    def parts(self, files: Files, rep: int, tables: Sequence[pa.Table]) -> list[Path]:
        for number in range(PARTS):
            self.fresh.write_overlay_part("p", tables[number])
        return list(files_of(self.work).p)

    def head(self, files: Files, rep: int) -> pa.Table:
        return self.full.head_table(5)

    def get(self, files: Files, rep: int) -> pa.Table:
        return self.full.get_table(self.inputs.wanted[rep])

    def scan(self, files: Files, rep: int) -> Iterator[pa.RecordBatch]:
        return self.full.scan()

    def scan_two(self, files: Files, rep: int) -> Iterator[pa.RecordBatch]:
        return self.full.scan(columns=["sequence", "m__x"])

    def grep(self, files: Files, rep: int) -> tuple[int, list[str]]:
        hits = self.full.grep_table("TATAAT", limit=20)
        return hits.matches, hits.table.column("id").to_pylist()

    def grep_iupac(self, files: Files, rep: int) -> tuple[int, list[str]]:
        hits = self.full.grep_table("TGNTATAAT", limit=20, iupac=True, both_strands=True)
        return hits.matches, hits.table.column("id").to_pylist()

    def describe(self, files: Files, rep: int) -> dict[str, list[Any]]:
        out: dict[str, list[Any]] = {}
        for d in self.full.describe():
            count, name = d["non_null"], d["column"]
            if d["distinct"] is not None:
                out[name] = [count, d["distinct"]]
            elif d["len_min"] is not None:
                out[name] = [count, d["len_min"], d["len_mean"], d["len_max"]]
            elif d["mean"] is not None:
                out[name] = [count, d["min"], d["mean"], d["max"]]
            else:
                out[name] = [count, d["min"], d["max"]]
        return out

    def validate(self, files: Files, rep: int) -> int:
        report = self.full.validate(strict=True)
        return len(report.errors) + len(report.warnings)

    def tombstone(self, files: Files, rep: int) -> int:
        return self.fresh.tombstone(self.inputs.wanted)

    def export_csv(self, files: Files, rep: int) -> Path:
        path = self.out / "out.csv"
        self.full.export("csv", path, columns=["id", "sequence", "m__x"])
        return path

    def materialize(self, files: Files, rep: int) -> Path:
        ds = self.fresh
        with ds.maintenance(reason="bench"):
            ds.materialize()
        return files_of(self.work).base

    def compact(self, files: Files, rep: int) -> Path:
        ds = self.fresh
        with ds.maintenance(reason="bench"):
            ds.compact_overlay("p")
        return files_of(self.work).p[0]
