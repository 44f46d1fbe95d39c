"""Datasets written by hand, and the plain model that their merged view is compared with."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from usr_nb.contract.essentials import ARROW_SCHEMA, compute_id

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATE_COLUMNS = [
    {"name": "usr_state__masked", "type": "bool"},
    {"name": "usr_state__qc_status", "type": "string"},
    {"name": "usr_state__split", "type": "string"},
    {"name": "usr_state__supersedes", "type": "string"},
    {"name": "usr_state__lineage", "type": "list<string>"},
]


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def part_name(at: datetime, number: int) -> str:
    return f"part-{at.strftime('%Y%m%dT%H%M%S%fZ')}-{number:032x}.parquet"


def write_registry(root: Path, namespaces: dict[str, dict[str, str]]) -> None:
    """Write ``registry.yaml``: namespace → {field: type}."""
    spaces: dict[str, Any] = {
        "usr_state": {"owner": "usr", "description": "Reserved", "columns": STATE_COLUMNS}
    }
    for ns, fields in namespaces.items():
        columns = [{"name": f"{ns}__{f}", "type": t} for f, t in fields.items()]
        spaces[ns] = {"owner": None, "description": None, "columns": columns}
    root.mkdir(parents=True, exist_ok=True)
    (root / "registry.yaml").write_text(yaml.safe_dump({"namespaces": spaces}))


def base_table(sequences: list[str], bio_type: str = "dna", alphabet: str = "dna_4") -> pa.Table:
    n = len(sequences)
    return pa.table(
        {
            "id": pa.array([compute_id(bio_type, s) for s in sequences], pa.string()),
            "bio_type": pa.array([bio_type] * n, pa.string()),
            "sequence": pa.array(sequences, pa.string()),
            "alphabet": pa.array([alphabet] * n, pa.string()),
            "length": pa.array([len(s) for s in sequences], pa.int32()),
            "source": pa.array([""] * n, pa.string()),
            "created_at": pa.array([NOON] * n, pa.timestamp("us", tz="UTC")),
        },
        schema=ARROW_SCHEMA,
    )


BASE_META = {
    b"usr:schema_version": b"1",
    b"usr:id_hash": b"sha1_utf8_pipe",
    b"usr:dataset_created_at": stamp(NOON).encode(),
}


def write_parquet(
    path: Path, table: pa.Table, meta: dict[bytes, bytes], row_group_size: int | None = None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = table.replace_schema_metadata(meta)
    pq.write_table(table, path, compression="zstd", row_group_size=row_group_size)


def write_base(
    folder: Path, table: pa.Table, meta: dict[bytes, bytes] | None = None, groups: int | None = None
) -> None:
    write_parquet(folder / "records.parquet", table, BASE_META | (meta or {}), groups)


def overlay_meta(
    ns: str, key: str, at: datetime, registry_hash: str = "0" * 64
) -> dict[bytes, bytes]:
    return {
        b"usr:overlay_namespace": ns.encode(),
        b"usr:overlay_key": key.encode(),
        b"usr:overlay_created_at": stamp(at).encode(),
        b"usr:registry_hash": registry_hash.encode(),
    }


def bitmap(rows: list[bool]) -> str:
    """The bitmap of ``usr:unspoken``, made bit by bit as docs/format.md says."""
    packed = bytearray((len(rows) + 7) // 8)
    for i, bit in enumerate(rows):
        packed[i // 8] |= bit << (i % 8)
    return base64.b64encode(zlib.compress(bytes(packed))).decode()


@dataclass
class Part:
    """One overlay file: cells by key and column; ``None`` as a cell is a value."""

    name: str
    key: str
    at: datetime
    columns: list[str]
    rows: list[tuple[str, dict[str, Any]]]
    unspoken: dict[str, list[bool]] = field(default_factory=dict)
    single: bool = False
    key_last: bool = False
    large: bool = False

    def write(self, folder: Path, ns: str, types: dict[str, pa.DataType]) -> None:
        text = pa.large_string() if self.large else pa.string()
        data = {self.key: pa.array([k for k, _ in self.rows], text)}
        cells = {c: pa.array([r[c] for _, r in self.rows], types[c]) for c in self.columns}
        data = cells | data if self.key_last else data | cells
        meta = overlay_meta(ns, self.key, self.at)
        if self.unspoken:
            marked = {c: bitmap(bits) for c, bits in self.unspoken.items()}
            meta[b"usr:unspoken"] = json.dumps(marked).encode()
        place = folder / "_derived"
        path = place / f"{ns}.parquet" if self.single else place / ns / self.name
        write_parquet(path, pa.table(data), meta)

    @property
    def order(self) -> tuple[datetime, str]:
        return self.at, self.name

    def says(self, key: str, column: str) -> tuple[bool, Any]:
        """Whether this part speaks for a cell, and what it says."""
        if column not in self.columns:
            return False, None
        for i, (raw, cells) in enumerate(self.rows):
            if normal_key(raw, self.key) == key:
                marks = self.unspoken.get(column)
                return (False, None) if marks and marks[i] else (True, cells[column])
        return False, None


def normal_key(text: str, key: str) -> str:
    if key == "id":
        return text
    return text.strip().upper() if key == "sequence_ci" else text.strip()


def expected(base: list[dict[str, Any]], parts: list[Part], column: str, key: str) -> list[Any]:
    """Last writer wins per key and column, in the plainest words (OVL-6)."""
    out = []
    for row in base:
        value = row.get(column)
        name = normal_key(row["id"] if key == "id" else row["sequence"], key)
        for part in sorted(parts, key=lambda p: p.order, reverse=True):
            speaks, said = part.says(name, column)
            if speaks:
                value = said
                break
        out.append(value)
    return out


def same(value: Any) -> Any:
    """A form in which NaN equals NaN, -0.0 is not 0.0, and types tell apart."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {k: same(v) for k, v in value.items()}
    if isinstance(value, list):
        return [same(v) for v in value]
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1e6)
    return value if value is None or isinstance(value, str) else (type(value).__name__, value)


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)
