"""Files in the exact forms of the other tool chain, written by hand, are read right (LAY..EVT),
and what we write keeps those forms.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from usr_nb import Dataset, ValidationError, register_namespace

AT = datetime(2025, 6, 1, 8, 30, 0, 123456, tzinfo=UTC)
SEQUENCES = ["TTGACATATAAT", "acgtACGTACGT", "GGGCCCAAATTT", "CCCCAAAAGGGG"]
IDS = [hashlib.sha1(f"dna|{s}".encode()).hexdigest() for s in SEQUENCES]
UTC_US = pa.timestamp("us", tz="UTC")
STATE = [
    ("masked", "bool"), ("qc_status", "string"), ("split", "string"), ("supersedes", "string"),
    ("lineage", "list<string>"),
]  # fmt: skip


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def space(ns: str, fields: list[tuple[str, str]], owner: str = "lab") -> dict:
    columns = [{"name": f"{ns}__{f}", "type": t} for f, t in fields]
    return {"owner": owner, "description": f"{ns} values", "columns": columns}


REGISTRY = {
    "namespaces": {
        "densegen": space("densegen", [("plan", "string"), ("used_tfbs", "list<string>"),
                                       ("gc", "float64")]),
        "infer": space("infer", [("llr", "float64"), ("emb", "fixed_size_list<float32>[2]"),
                                 ("n", "int64")]),
        "old": space("old", [("score", "float64")]),
        "usr_state": space("usr_state", STATE, owner="usr"),
    }
}  # fmt: skip
OLDER = {"namespaces": {k: v for k, v in REGISTRY["namespaces"].items() if k != "infer"}}


def as_yaml(registry: dict) -> str:
    return yaml.safe_dump(registry, sort_keys=True)


def sha(registry: dict) -> str:
    return hashlib.sha256(as_yaml(registry).encode("utf-8")).hexdigest()


def part_meta(ns: str, key: str, at: datetime, registry: dict = REGISTRY) -> dict[bytes, bytes]:
    return {
        b"usr:overlay_namespace": ns.encode(), b"usr:overlay_key": key.encode(),
        b"usr:overlay_created_at": text(at).encode(), b"usr:registry_hash": sha(registry).encode(),
    }  # fmt: skip


def write(path: Path, table: pa.Table, meta: dict[bytes, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # As pandas and older writers do: one row group, dictionaries, no page checksums.
    table = table.replace_schema_metadata({b"pandas": b'{"index_columns": []}', **meta})
    pq.write_table(table, path, compression="zstd", use_dictionary=True, write_page_checksum=False)


def part_name(at: datetime, hexed: str) -> str:
    return f"part-{at.strftime('%Y%m%dT%H%M%S%f')}Z-{hexed * 32}.parquet"


def base_table() -> pa.Table:
    essentials = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("bio_type", pa.string(), nullable=False),
            pa.field("sequence", pa.string(), nullable=False),
            pa.field("alphabet", pa.string(), nullable=False),
            pa.field("length", pa.int32(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("created_at", UTC_US, nullable=False),
        ]
    )
    columns = {
        "id": IDS, "bio_type": ["dna"] * 4, "sequence": SEQUENCES, "alphabet": ["dna_4"] * 4,
        "length": [12] * 4, "source": ["", "a", "b", "c"], "created_at": [AT] * 4,
    }  # fmt: skip
    table = pa.table(columns, schema=essentials)
    # Materialized by the other tool, after the essentials.
    table = table.append_column("old__score", pa.array([0.1, None, 0.3, 0.4]))
    return table.append_column("densegen__gc", pa.array([1.0, 2.0, 3.0, 4.0]))


def event_line(action: str, at: datetime) -> str:
    event = {
        "event_version": 1,
        "timestamp_utc": text(at),
        "action": action,
        "dataset": {"name": "densegen/demo", "root": "/somewhere/else"},
        "args": {},
        "metrics": {},
        "artifacts": {},
        "maintenance": {},
        "fingerprint": {"rows": 4, "cols": 9, "size_bytes": 1},
        "registry_hash": sha(OLDER),
        "actor": {"tool": "densegen", "run_id": "r", "host": "h", "pid": 1},
        "version": "0.9",
    }
    return json.dumps(event, separators=(",", ":"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "datasets"
    folder = root / "densegen" / "demo"
    folder.mkdir(parents=True)
    (root / "registry.yaml").write_text(yaml.safe_dump(REGISTRY, sort_keys=False))
    meta = {
        b"usr:schema_version": b"1", b"usr:id_hash": b"sha1_utf8_pipe",
        b"usr:dataset_created_at": text(AT).encode(), b"usr:registry_hash": sha(OLDER).encode(),
    }  # fmt: skip
    write(folder / "records.parquet", base_table(), meta)
    frozen = folder / "_registry" / f"registry.{sha(OLDER)}.yaml"
    frozen.parent.mkdir()
    frozen.write_text(as_yaml(OLDER))
    derived = folder / "_derived"
    # A single-file overlay, keyed by sequence, with the list form of other writers.
    element = pa.list_(pa.field("element", pa.string()))
    write(
        derived / "densegen.parquet",
        pa.table({"sequence": SEQUENCES[:2], "densegen__plan": ["p1", None],
                  "densegen__used_tfbs": pa.array([["lacI", "cpxR"], []], element)}),
        part_meta("densegen", "sequence", AT, OLDER),
    )  # fmt: skip
    # Two parts with equal columns; the newer one is partial.
    vector = pa.list_(pa.field("element", pa.float32()), 2)
    for k, (rows, values) in enumerate((([0, 1, 2], [1.0, 2.0, 3.0]), ([2], [33.0]))):
        at = AT + timedelta(hours=k)
        table = pa.table(
            {"id": pa.array([IDS[r] for r in rows], pa.large_string()),
             "infer__llr": values, "infer__emb": pa.array([[v, v] for v in values], vector),
             "infer__n": pa.array([None if k else r for r in rows], pa.int64())}
        )  # fmt: skip
        write(derived / "infer" / part_name(at, "ab"[k]), table, part_meta("infer", "id", at))
    write(
        derived / "usr.parquet",
        pa.table({"id": [IDS[3]], "usr__deleted": [True], "usr__deleted_at": pa.array([AT], UTC_US),
                  "usr__deleted_reason": ["bad input"]}),
        part_meta("usr", "id", AT),
    )  # fmt: skip
    write(
        derived / "usr_state.parquet",
        pa.table({"id": [IDS[0]], "usr_state__masked": [True], "usr_state__qc_status": ["warn"],
                  "usr_state__split": pa.array([None], pa.string()),
                  "usr_state__supersedes": pa.array([None], pa.string()),
                  "usr_state__lineage": pa.array([["x"]], element)}),
        part_meta("usr_state", "id", AT),
    )  # fmt: skip
    lines = [event_line("init", AT), event_line("write_overlay_part", AT)]
    (folder / ".events.log").write_text("".join(f"{line}\n" for line in lines))
    (folder / "meta.md").write_text(
        f"name: densegen/demo\ncreated_at: {text(AT)}\nsource: other\nnotes: \nschema: USR v1\n\n"
        f"### Updates ({AT:%Y-%m-%d})\n- {text(AT)}: init\n```bash\nusr init densegen/demo\n```\n"
    )
    return folder


@pytest.fixture
def ds(folder: Path) -> Dataset:
    return Dataset.open(folder.parents[1], "densegen/demo")


def rows(ds: Dataset, **how) -> list[dict]:
    return pa.Table.from_batches(list(ds.scan(**how))).to_pylist()


MERGED = [
    {"old__score": 0.1, "densegen__gc": 1.0, "densegen__plan": "p1",
     "densegen__used_tfbs": ["lacI", "cpxR"], "infer__llr": 1.0, "infer__emb": [1.0, 1.0],
     "infer__n": 0, "usr_state__masked": True, "usr_state__qc_status": "warn",
     "usr_state__split": None, "usr_state__supersedes": None, "usr_state__lineage": ["x"]},
    {"old__score": None, "densegen__gc": 2.0, "densegen__plan": None, "densegen__used_tfbs": [],
     "infer__llr": 2.0, "infer__emb": [2.0, 2.0], "infer__n": 1, "usr_state__masked": None,
     "usr_state__qc_status": None, "usr_state__split": None, "usr_state__supersedes": None,
     "usr_state__lineage": None},
    {"old__score": 0.3, "densegen__gc": 3.0, "densegen__plan": None, "densegen__used_tfbs": None,
     "infer__llr": 33.0, "infer__emb": [33.0, 33.0], "infer__n": None, "usr_state__masked": None,
     "usr_state__qc_status": None, "usr_state__split": None, "usr_state__supersedes": None,
     "usr_state__lineage": None},
]  # fmt: skip


def derived_of(found: list[dict]) -> list[dict]:
    return [{k: v for k, v in r.items() if "__" in k} for r in found]


def test_OVL_1_every_foreign_form_is_read_right(ds) -> None:
    found = rows(ds)
    assert [r["id"] for r in found] == IDS[:3]
    assert derived_of(found) == MERGED
    assert list(found[0]) == [
        *base_table().schema.names, "densegen__plan", "densegen__used_tfbs", "infer__llr",
        "infer__emb", "infer__n", *[f"usr_state__{f}" for f, _ in STATE],
    ]  # fmt: skip
    hidden = rows(ds, include_deleted=True)[3]
    assert (hidden["usr__deleted"], hidden["usr__deleted_at"], hidden["usr__deleted_reason"]) == (
        True, AT, "bad input",
    )  # fmt: skip


def test_STA_3_foreign_state_is_read_and_kept(ds) -> None:
    ds.set_state(IDS[0], split="val")
    assert ds.get_state(IDS[0]) == [
        {"id": IDS[0], "masked": True, "qc_status": "warn", "split": "val", "supersedes": None,
         "lineage": ["x"]}
    ]  # fmt: skip


def test_REG_9_an_older_registry_hash_is_valid_where_it_is_frozen(ds) -> None:
    assert ds.validate(registry_mode="either").errors == []
    with pytest.raises(ValidationError) as caught:
        ds.validate(registry_mode="current")
    told = caught.value.report.errors
    assert [(f.rule, f.place) for f in told] == [("REG-9", "_derived/densegen.parquet")]
    assert ds.validate(registry_mode="namespace-current").errors == []


def test_VAL_files_without_recorded_digests_are_notes(ds) -> None:
    report = ds.validate(registry_mode="either")
    assert {f.place for f in report.notes if "digest" in f.message} >= {
        "records.parquet", "_derived/usr.parquet", "_derived/densegen.parquet",
    }  # fmt: skip


def test_OVL_1_foreign_parts_are_never_rewritten_by_a_mutation(ds, folder) -> None:
    foreign = {p: p.read_bytes() for p in (folder / "_derived").rglob("part-*.parquet")}
    single = (folder / "_derived" / "densegen.parquet").read_bytes()
    log = (folder / ".events.log").read_bytes()
    notes = (folder / "meta.md").read_bytes()
    ds.write_overlay_part("infer", [{"id": IDS[0], "llr": -1.0}])
    ds.write_overlay_part("densegen", [{"sequence": SEQUENCES[2], "plan": "new"}], key="sequence")
    ds.restore(IDS[3])
    ds.import_rows(["AAAA"])
    assert foreign.items() <= {p: p.read_bytes() for p in foreign}.items()
    assert (folder / "_derived" / "densegen.parquet").read_bytes() == single
    assert (folder / ".events.log").read_bytes().startswith(log)
    assert (folder / "meta.md").read_bytes().startswith(notes)
    found = rows(ds)
    assert [r["id"] for r in found][:4] == IDS
    assert found[0]["infer__llr"] == -1.0
    assert found[0]["infer__emb"] == [1.0, 1.0]
    assert found[2]["densegen__plan"] == "new"
    assert found[0]["densegen__plan"] == "p1"
    assert found[4]["old__score"] is None


def test_OVL_5_a_part_written_here_is_newer_than_a_foreign_one_of_the_future(ds, folder) -> None:
    late = datetime(2099, 1, 1, tzinfo=UTC)
    write(
        folder / "_derived" / "infer" / part_name(late, "c"),
        pa.table({"id": IDS[:1], "infer__llr": [7.0]}),
        part_meta("infer", "id", late),
    )
    assert rows(ds)[0]["infer__llr"] == 7.0
    ds.write_overlay_part("infer", [{"id": IDS[0], "llr": 8.0}])
    assert rows(ds)[0]["infer__llr"] == 8.0


def test_REC_4_the_base_keeps_its_footer_and_columns_through_an_import(ds, folder) -> None:
    before = pq.read_table(folder / "records.parquet")
    ds.import_rows(["AAAA"])
    after = pq.read_table(folder / "records.parquet")
    assert after.schema.names == before.schema.names
    for name in before.schema.names:
        assert after[name].slice(0, 4).to_pylist() == before[name].to_pylist()
    meta = pq.read_metadata(folder / "records.parquet").metadata
    assert meta[b"usr:dataset_created_at"] == text(AT).encode()
    assert meta[b"usr:schema_version"] == b"1"
    assert meta[b"usr:registry_hash"] == sha(REGISTRY).encode()
    assert b"pandas" not in meta


# What we write --------------------------------------------------------------------------------


def other_readers_view(folder: Path, ns: str) -> dict[str, dict]:
    """The other tool: one form at a time, equal columns in all parts, newest row per key wins."""
    single = folder / "_derived" / f"{ns}.parquet"
    parts = sorted((folder / "_derived" / ns).glob("part-*.parquet"))
    assert single.is_file() != bool(parts)
    found: dict[str, dict] = {}
    names = None
    opened = []
    for path in [single] if single.is_file() else parts:
        meta = pq.read_metadata(path).metadata
        assert meta[b"usr:overlay_namespace"] == ns.encode()
        opened.append((meta[b"usr:overlay_created_at"], path.name, meta[b"usr:overlay_key"], path))
    for _, _, key, path in sorted(opened):
        table = pq.read_table(path)
        names = names or sorted(table.schema.names)
        assert sorted(table.schema.names) == names
        for row in table.to_pylist():
            found[row[key.decode()]] = row
    return found


@pytest.mark.parametrize("single", [True, False])
def test_OVL_9_compaction_hands_a_namespace_over(ds, folder, single) -> None:
    ds.write_overlay_part("infer", [{"id": IDS[1], "n": 50}])
    ds.write_overlay_part("infer", [{"id": IDS[0], "llr": 9.0}])
    wanted = {r["id"]: r for r in rows(ds, include_deleted=True)}
    with ds.maintenance(reason="hand over"):
        ds.compact_overlay("infer", single_file=single)
    seen = other_readers_view(folder, "infer")
    assert set(seen) == set(IDS[:3])
    for key, row in seen.items():
        for column in ("infer__llr", "infer__emb", "infer__n"):
            assert row[column] == wanted[key][column]


def test_OVL_2_parts_written_here_have_the_exchanged_form(ds, folder) -> None:
    before = set((folder / "_derived" / "infer").iterdir())
    ds.write_overlay("infer", [{"id": IDS[3], "llr": 1.0, "emb": [0, 1]}], overwrite=True)
    (new,) = set((folder / "_derived" / "infer").iterdir()) - before
    assert re.fullmatch(r"part-\d{8}T\d{12}Z-[0-9a-f]{32}\.parquet", new.name)
    schema = pq.read_schema(new)
    assert schema.names == ["id", "infer__llr", "infer__emb"]
    assert schema.field("id").type == pa.string()
    assert schema.field("infer__emb").type == pa.list_(pa.float32(), 2)
    assert part_meta("infer", "id", AT).keys() <= schema.metadata.keys()
    assert schema.metadata[b"usr:registry_hash"] == sha(REGISTRY).encode()


def test_DEL_1_tombstone_and_state_files_keep_their_form(ds, folder) -> None:
    ds.tombstone(IDS[0], reason="again")
    ds.set_state(IDS[1], qc_status="pass")
    table = pq.read_table(folder / "_derived" / "usr.parquet")
    assert table.schema.names == ["id", "usr__deleted", "usr__deleted_at", "usr__deleted_reason"]
    assert table.schema.field("usr__deleted_at").type == UTC_US
    assert {r["id"]: r["usr__deleted_reason"] for r in table.to_pylist()} == {
        IDS[3]: "bad input", IDS[0]: "again",
    }  # fmt: skip
    state = pq.read_table(folder / "_derived" / "usr_state.parquet")
    assert state.schema.names == ["id", *[f"usr_state__{f}" for f, _ in STATE]]
    assert {r["id"]: r["usr_state__qc_status"] for r in state.to_pylist()} == {
        IDS[0]: "warn", IDS[1]: "pass",
    }  # fmt: skip
    for name in ("usr", "usr_state"):
        meta = pq.read_metadata(folder / "_derived" / f"{name}.parquet").metadata
        assert meta[b"usr:overlay_namespace"] == name.encode()
        assert meta[b"usr:overlay_key"] == b"id"


def test_MAT_1_a_foreign_dataset_materializes_to_what_was_read(ds, folder) -> None:
    with ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=False)
    assert derived_of(rows(ds)) == [dict(r) for r in MERGED]
    assert not list((folder / "_derived").rglob("part-*.parquet"))
    plain = pq.read_table(folder / "records.parquet").to_pylist()
    assert [r["infer__llr"] for r in plain] == [1.0, 2.0, 33.0, None]
    assert [r["id"] for r in plain] == IDS


def test_REG_2_the_registry_file_keeps_its_form_and_entries(ds, folder) -> None:
    root = folder.parents[1]
    register_namespace(root, namespace="more", columns="x:int8", owner="me", description="d")
    plain = yaml.safe_load((root / "registry.yaml").read_text())
    assert plain == {
        "namespaces": {
            **REGISTRY["namespaces"],
            "more": {"owner": "me", "description": "d",
                     "columns": [{"name": "more__x", "type": "int8"}]},
        }
    }  # fmt: skip
    ds.tombstone(IDS[0])
    assert (folder / "_registry" / f"registry.{sha(plain)}.yaml").is_file()


def test_EVT_1_our_lines_follow_theirs_in_their_form(ds, folder) -> None:
    ds.tombstone(IDS[0])
    lines = [json.loads(line) for line in (folder / ".events.log").read_text().splitlines()]
    assert [e["action"] for e in lines[:2]] == ["init", "write_overlay_part"]
    for event in lines:
        assert list(event) == list(json.loads(event_line("init", AT)))
    assert [e["action"] for e in ds.events()][-1] in ("tombstone", "registry_freeze")
