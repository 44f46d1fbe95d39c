"""What the tests of the newest features share: fresh roots, cells by id, writing xlsx by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa

from tests.dataset.kit import table
from tests.overlay.kit import same
from usr_nb import Dataset, compute_id, register_namespace

DEMO = Path(__file__).resolve().parents[2] / "demo_material"
AT = "2026-03-01T12:00:00Z"
_NUMBER = itertools.count()


def fresh(folder: Path, **namespaces: str) -> Path:
    """A new root below `folder` with these namespaces; never the same one twice."""
    root = folder / f"root{next(_NUMBER)}"
    register_namespace(root, namespace="spare", columns="spare__x:int8")
    for ns, columns in namespaces.items():
        register_namespace(root, namespace=ns, columns=columns)
    return root


def new(root: Path, sequences: Iterable[str] = (), name: str = "d", alphabet: str = "dna_4"):
    ds = Dataset.open(root, name)
    ds.init()
    rows = list(sequences)
    if rows:
        ds.add_sequences(rows, bio_type="dna", alphabet=alphabet, source="src", created_at=AT)
    return ds


def ids(sequences: Iterable[str]) -> list[str]:
    return [compute_id("dna", s) for s in sequences]


def by_sequence(ds: Dataset, column: str, **how: Any) -> dict[str, Any]:
    """Merged cells of one column, by sequence."""
    found = table(ds, columns=["sequence", column], **how)
    return dict(zip(*(found.column(i).to_pylist() for i in range(2)), strict=True))


def put(ds: Dataset, ns: str, cells: dict[str, dict[str, Any]], key: str = "id") -> None:
    """Append one part by hand-written cells: key → {full column: value}."""
    names = list(dict.fromkeys(n for row in cells.values() for n in row))
    types = {n: ds._ctx.registry().column(ns, n).arrow_type for n in names}
    keys = list(cells)
    arrays = {key: pa.array(keys, pa.string())}
    arrays |= {n: pa.array([cells[k].get(n) for k in keys], types[n]) for n in names}
    ds.write_overlay_part(ns, pa.table(arrays), key=key)


def merged(ds: Dataset, **how: Any) -> dict[str, list[Any]]:
    """Everything that a read gives, comparable."""
    found = table(ds, **how)
    return {n: [same(v) for v in found.column(n).to_pylist()] for n in found.schema.names}


def write_xlsx(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    book.save(path)
    return path


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path
