"""Good inputs, one list per kind: small, and with every feature that a parser has code for."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from usr_nb import compute_id
from usr_nb.contract.records import STATE_SCHEMA, TOMBSTONE_SCHEMA
from usr_nb.contract.registry import STATE_ENTRY, Column, NamespaceEntry, Registry
from usr_nb.contract.times import parse
from usr_nb.overlay.parts import pack_bitmap, part_metadata

MATERIAL = Path(__file__).resolve().parents[2] / "demo_material"
SEQUENCES = ["ACGTACGTAA", "TTGACAGGGC", "TATAATCCGT", "GGGGCCCCAT", "acgtTTGGCC", "CATCATCATC"] * 1
IDS = [compute_id("dna", s) for s in SEQUENCES]
FIELDS = {
    "n": "float64", "i": "int64", "s": "string", "b": "bool", "l": "list<float64>",
    "r": "struct<p:int64,q:string>", "v": "fixed_size_list<float64>[2]", "t": "timestamp[us, UTC]",
}  # fmt: skip
REGISTRY = Registry({
    "m": NamespaceEntry("me", "made up", tuple(Column(f"m__{k}", v) for k, v in FIELDS.items())),
    "usr_state": STATE_ENTRY,
})  # fmt: skip
CSV = b'sequence,id,n,note\nACGT,,1,"x\ny, ""z"""\nTTTT,,2.5,\nACGTACGTN,,,NA\n'
JSONL = (
    b'{"sequence":"ACGT","n":1,"l":[1,2.5],"r":{"p":1,"q":"x"}}\n'
    b'{"sequence":"TTTT","n":2.5,"l":null}\n{"l":[],"n":-1,"sequence":"G\\u00e9","r":{}}\n'
)
FASTA = b">a b\nACGT\nAC\n>c\r\nTT\n\n>d|x=1 [y=2]\nMKV*\n"
EVENT = {
    "event_version": 1, "timestamp_utc": "2026-01-01T00:00:00.000000Z", "action": "import_rows",
    "dataset": {"name": "ns/demo", "root": "/r"}, "args": {"path": "x.csv",
                                                           "token": "***REDACTED***"},
    "metrics": {"rows_written": 2}, "maintenance": {}, "fingerprint": {"rows": 2, "cols": 7,
                                                                       "size_bytes": 9},
    "artifacts": {"operation_id": "20260101T000000000000Z-0123456789ab",
                  "files": [{"path": "records.parquet", "sha256": "0" * 64}]},
    "registry_hash": "0" * 64, "actor": {"tool": "usr", "run_id": None, "host": "h", "pid": 1},
    "version": "0.1.0",
}  # fmt: skip
INTENT = {
    "operation_id": "20260101T000000000000Z-0123456789ab", "action": "import_rows",
    "created_at": "2026-01-01T00:00:00.000000Z", "owner": "h-0-1-2", "txn_version": 1,
    "install": [{"path": "_derived/m.parquet", "staged": "f0", "size": 3, "sha256": "0" * 64}],
    "retire": [{"path": "_derived/m/part-x.parquet", "to": None, "inode": 1, "size": 2,
                "mtime_ns": 3},
               {"path": "_derived/m/part-y.parquet", "to": "_derived/_archived/m/s/part-y.parquet",
                "inode": 1, "size": 2, "mtime_ns": 3}],
    "drop": ["_snapshots/records-20260101T000000000000-auto.parquet"],
    "events": [EVENT], "notes": [{"at": "2026-01-01T00:00:00.000000Z", "title": "t",
                                  "command": "usr x"}],
}  # fmt: skip


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _file(table: pa.Table, metadata: dict[bytes, bytes] | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), out, **options)
    return out.getvalue()


#: Every codec, page version, encoding and checksum choice, as other programs write them.
FORMS = (
    {"compression": "zstd", "write_page_checksum": True},
    {"compression": "none", "use_dictionary": False},
    {"compression": "snappy", "data_page_version": "2.0", "row_group_size": 3},
    {"compression": "gzip", "row_group_size": 2, "write_statistics": True},
    {"compression": "lz4", "write_page_index": True, "data_page_size": 16},
    {"compression": "none", "version": "1.0"},
)  # fmt: skip


@cache
def tables() -> tuple[bytes, ...]:
    """Parquet files to import: essentials, and columns of every kind of type."""
    n = len(SEQUENCES)
    plain = {"sequence": SEQUENCES, "id": IDS, "n": [1.5, None] * (n // 2)}
    decimals = pa.array([1, 2] * (n // 2), pa.decimal128(9, 2))
    rich = pa.table({
        **plain, "i": pa.array(range(n), pa.int32()), "b": [True, None] * (n // 2),
        "l": [[1.0, None], [], None] * (n // 3), "s": [{"p": 1, "q": "x"}, None] * (n // 2),
        "d": pa.array(["x", "y"] * (n // 2)).dictionary_encode(),
        "t": pa.array([0] * n, pa.timestamp("us")), "z": decimals,
        "m": pa.array([[("k", 1)]] * n, pa.map_(pa.string(), pa.int64())),
        "f": pa.array([[1, 2]] * n, pa.list_(pa.int8(), 2)),
        "h": pa.array(np.arange(n), pa.float16()),
        "ll": [[[1], None]] * n, "bin": pa.array([b"\xff\x00"] * n),
    })  # fmt: skip
    found = [_file(pa.table(plain), **form) for form in FORMS]
    found += [_file(rich, **form) for form in FORMS]
    delta = {"i": "DELTA_BINARY_PACKED", "bin": "DELTA_BYTE_ARRAY", "n": "BYTE_STREAM_SPLIT"}
    found.append(_file(rich.select(["sequence", "i", "bin", "n"]), use_dictionary=False,
                       column_encoding={**delta,
                                        "sequence": "DELTA_LENGTH_BYTE_ARRAY"}))  # fmt: skip
    return tuple(found)


def base_table() -> pa.Table:
    n = len(SEQUENCES)
    at = pa.array([0] * n, pa.timestamp("us", tz="UTC"))
    columns = [pa.array(IDS), pa.array(["dna"] * n), pa.array(SEQUENCES), pa.array(["dna_4"] * n),
               pa.array([len(s) for s in SEQUENCES], pa.int32()), pa.array(["x"] * n), at,
               pa.array([1.5, None] * (n // 2))]  # fmt: skip
    names = ["id", "bio_type", "sequence", "alphabet", "length", "source", "created_at", "m__n"]
    schema = pa.schema(
        [pa.field(k, c.type, k == "m__n") for k, c in zip(names, columns, strict=True)]
    )
    return pa.Table.from_arrays(columns, schema=schema)


@cache
def bases() -> tuple[bytes, ...]:
    meta = {b"usr:schema_version": b"1", b"usr:id_hash": b"sha1_utf8_pipe",
            b"usr:dataset_created_at": b"2026-01-01T00:00:00.000000Z",
            b"usr:registry_hash": REGISTRY.hash.encode()}  # fmt: skip
    return tuple(_file(base_table(), meta, **form) for form in FORMS)


def part_table() -> pa.Table:
    n = 4
    cells = {
        "n": [1.0, None, 2.5, float("nan")], "i": [1, 2, None, 4], "s": ["x", None, "", "é"],
        "b": [True, False, None, True], "l": [[1.0], [], None, [2.0, None]],
        "r": [{"p": 1, "q": "x"}, None, {"p": None, "q": None}, {"p": 2, "q": ""}],
        "v": [[1.0, 2.0], None, [3.0, 4.0], None], "t": [0, None, 1, 2],
    }  # fmt: skip
    columns = {
        f"m__{k}": pa.array(v, REGISTRY.column("m", f"m__{k}").arrow_type) for k, v in cells.items()
    }
    return pa.table({"id": IDS[:n], **columns})


@cache
def parts() -> tuple[bytes, ...]:
    at = parse("2026-01-01T00:00:00Z")
    event = {k: v for k, v in EVENT.items() if k != "artifacts"}
    shared = {"namespace": "m", "key": "id", "created_at": at, "registry": REGISTRY,
              "operation_id": "20260101T000000000000Z-0123456789ab"}  # fmt: skip
    plain = part_metadata(**shared, event=event)
    silent = part_metadata(**shared, unspoken={"m__n": np.array([True, False, True, False])})
    return tuple(
        _file(part_table(), meta, **form)
        for form, meta in zip(FORMS, [plain, silent] * 3, strict=True)
    )


def _whole(namespace: str, table: pa.Table) -> tuple[bytes, ...]:
    meta = part_metadata(namespace=namespace, key="id", created_at=parse("2026-01-01T00:00:00Z"),
                         registry=REGISTRY,
                         operation_id="20260101T000000000000Z-0123456789ab")  # fmt: skip
    return tuple(_file(table, meta, **form) for form in FORMS)


@cache
def tombstones() -> tuple[bytes, ...]:
    cells = {"id": IDS[:3], "usr__deleted": [True, False, True], "usr__deleted_at": [0, None, 1],
             "usr__deleted_reason": ["x", None, ""]}  # fmt: skip
    return _whole("usr", pa.table(cells, schema=TOMBSTONE_SCHEMA))


@cache
def states() -> tuple[bytes, ...]:
    cells = {"id": IDS[:2], "usr_state__masked": [True, None], "usr_state__qc_status": ["fail",
                                                                                        None],
             "usr_state__split": [None, "val"], "usr_state__supersedes": [IDS[3], None],
             "usr_state__lineage": [["a", "b"], None]}  # fmt: skip
    return _whole("usr_state", pa.table(cells, schema=STATE_SCHEMA))


@cache
def sheets() -> tuple[bytes, ...]:
    book = openpyxl.Workbook()
    for row in (
        ["sequence", "n", "d"],
        ["ACGT", 1, 2.5],
        ["=1+1", None, "x"],
        [True, "é", "2026-01-01"],
    ):
        book.active.append(row)
    book.create_sheet("two").append(["x"])
    out = io.BytesIO()
    book.save(out)
    # The large one costs as much as a dozen small ones.
    return (*[out.getvalue()] * 12, (MATERIAL / "messy.xlsx").read_bytes())


@cache
def unspoken() -> tuple[bytes, ...]:
    mask = np.array([True, False] * 40)
    return (pack_bitmap(mask).encode(), zlib.compress(b"x" * 10), pack_bitmap(mask[:3]).encode())


@cache
def material() -> dict[str, bytes]:
    """The demo's files, cut to a size that a thousand inputs can have."""
    whole = {p.name: p.read_bytes() for p in MATERIAL.iterdir() if p.is_file()}
    whole["demo_library.csv"] = gzip.decompress(whole["demo_library.csv.gz"])
    return {k: v[:3000] for k, v in whole.items() if k.endswith((".csv", ".fasta"))}
