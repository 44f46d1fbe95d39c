"""What the tests of the dataset floor share: a root, its rows, the files on disk, the events."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.overlay.kit import same
from usr_nb import Dataset, compute_id, register_namespace

FIELDS = {
    "n": "float64", "i": "int64", "s": "string", "b": "bool", "l": "list<float64>",
    "r": "struct<p:int64,q:string>", "v": "fixed_size_list<float64>[2]", "t": "timestamp[us, UTC]",
}  # fmt: skip
SPEC = ",".join(f"m__{f}:{t}" for f, t in FIELDS.items())
SEQUENCES = ["ACGTACGTAA", "TTGACAGGGC", "TATAATCCGT", "GGGGCCCCAT", "acgtTTGGCC", "CATCATCATC"]
IDS = [compute_id("dna", s) for s in SEQUENCES]
# What no rule speaks about: the lock, and who held it.
ASIDE = {".usr.lock", "holder"}


def new_root(folder: Path) -> Path:
    """A root with the namespaces m (every kind of column) and k."""
    register_namespace(folder, namespace="m", columns=SPEC)
    register_namespace(folder, namespace="k", columns="k__x:float64,k__y:string")
    return folder


def new_dataset(root: Path, name: str = "ns/demo", sequences: list[str] | None = None) -> Dataset:
    ds = Dataset.open(root, name)
    ds.init(source="test")
    rows = SEQUENCES if sequences is None else sequences
    if rows:
        ds.add_sequences(rows, bio_type="dna", alphabet="dna_4")
    return ds


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with its digest; a folder alone is no file."""
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in ASIDE
    }


def files(ds: Dataset) -> list[str]:
    """The files of the dataset that the contract names; slots and lock left out."""
    return sorted(p for p in tree(ds.dir) if not p.startswith("_txn/"))


@contextmanager
def nothing_changes(*folders: Path):
    """A failed call changes no byte of any file."""
    before = [tree(f) for f in folders]
    yield
    assert [tree(f) for f in folders] == before


@contextmanager
def refused(folder: Path, error: type[Exception], match: str | None = None):
    """The call raises a typed error with a hint, and no byte of the root changes."""
    before = tree(folder)
    with pytest.raises(error, match=match) as caught:
        yield caught
    assert tree(folder) == before


def raw_events(ds: Dataset) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ds.events_path.read_bytes().splitlines()]


def last_event(ds: Dataset, action: str) -> dict[str, Any]:
    found = [e for e in raw_events(ds) if e["action"] == action]
    assert found, [e["action"] for e in raw_events(ds)]
    return found[-1]


def count_events(ds: Dataset) -> int:
    return len(raw_events(ds))


def table(ds: Dataset, **how: Any) -> pa.Table:
    """The merged table, through the public scan."""
    batches = list(ds.scan(**how))
    if batches:
        return pa.Table.from_batches(batches)
    return ds.schema().empty_table()


def cells(ds: Dataset, column: str, **how: Any) -> list[Any]:
    """One merged column in base order."""
    return table(ds, columns=[column], **how).column(0).to_pylist()


def values(ds: Dataset, **how: Any) -> dict[str, list[Any]]:
    """All merged columns, in a form that can be compared."""
    found = table(ds, **how)
    return {n: [same(v) for v in found.column(n).to_pylist()] for n in found.schema.names}


def base(ds: Dataset) -> pa.Table:
    """The base table alone, read by pyarrow."""
    return pq.read_table(ds.records_path)


def footer(path: Path) -> dict[bytes, bytes]:
    """The key-value metadata of a Parquet file, Arrow's own schema left out."""
    meta = dict(pq.read_metadata(path).metadata or {})
    meta.pop(b"ARROW:schema", None)
    return meta


def parts(ds: Dataset, namespace: str = "m") -> list[Path]:
    return sorted((ds.dir / "_derived" / namespace).glob("part-*.parquet"))


def registry_of(root: Path) -> str:
    """The hash of ``registry.yaml`` by REG-3."""
    plain = yaml.safe_load((root / "registry.yaml").read_text())
    return hashlib.sha256(yaml.safe_dump(plain, sort_keys=True).encode("utf-8")).hexdigest()
