"""REG: namespaces, freezing, which hash a file carries, and what stays valid."""

from __future__ import annotations

import hashlib
import json
import multiprocessing

import pyarrow.parquet as pq
import pytest
import yaml

from tests.dataset.kit import (
    IDS,
    base,
    cells,
    count_events,
    footer,
    last_event,
    new_dataset,
    nothing_changes,
    parts,
    raw_events,
    refused,
    tree,
)
from usr_nb import (
    AlreadyExists,
    Dataset,
    NamespaceError,
    SchemaError,
    ValidationError,
    load_registry,
    register_namespace,
)

STATE = {
    "usr_state__masked": "bool", "usr_state__qc_status": "string", "usr_state__split": "string",
    "usr_state__supersedes": "string", "usr_state__lineage": "list<string>",
}  # fmt: skip


def registry_hash(root) -> str:
    """REG-3, by the letter: PyYAML, keys sorted, UTF-8, SHA-256."""
    plain = yaml.safe_load((root / "registry.yaml").read_text())
    return hashlib.sha256(yaml.safe_dump(plain, sort_keys=True).encode("utf-8")).hexdigest()


MUTATIONS = {
    "init": lambda ds: Dataset.open(ds.root, "ns/other").init(),
    "import": lambda ds: ds.import_rows(["AA"]),
    "attach": lambda ds: ds.write_overlay("m", [{"id": IDS[0], "n": 1.0}]),
    "part": lambda ds: ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}]),
    "tombstone": lambda ds: ds.tombstone(IDS[0]),
    "restore": lambda ds: ds.restore(IDS[1]),
    "state": lambda ds: ds.set_state(IDS[0], masked=True),
    "clear": lambda ds: ds.clear_state(IDS[0]),
    "snapshot": lambda ds: ds.snapshot(),
    "remove": lambda ds: ds.remove_overlay("m"),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_REG_1_every_mutation_needs_the_registry(ds, root, what) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "s": "x"}])
    ds.tombstone(IDS[1])
    (root / "registry.yaml").unlink()
    with refused(root, NamespaceError, "registry") as caught:
        MUTATIONS[what](ds)
    assert "usr namespace register" in caught.value.hint


@pytest.mark.parametrize("verb", ["materialize", "freeze_registry", "dedupe", "compact_overlay"])
def test_REG_1_maintenance_needs_the_registry(ds, root, verb) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "s": "x"}])
    (root / "registry.yaml").unlink()
    with refused(root, NamespaceError, "registry"), ds.maintenance(reason="test"):
        getattr(ds, verb)(*(["m"] if verb == "compact_overlay" else []))


def test_REG_1_the_first_registration_adds_usr_state(root) -> None:
    plain = yaml.safe_load((root / "registry.yaml").read_text())
    assert set(plain) == {"namespaces"}
    assert set(plain["namespaces"]) == {"k", "m", "usr_state"}
    for entry in plain["namespaces"].values():
        assert set(entry) == {"owner", "description", "columns"}
        assert all(set(c) == {"name", "type"} for c in entry["columns"])
    state = plain["namespaces"]["usr_state"]["columns"]
    assert {c["name"]: c["type"] for c in state} == STATE


def test_REG_3_hash_of_the_registry(ds, root) -> None:
    assert footer(ds.records_path)[b"usr:registry_hash"].decode() == registry_hash(root)
    (snapshot,) = (ds.dir / "_registry").iterdir()
    assert snapshot.name == f"registry.{registry_hash(root)}.yaml"
    assert hashlib.sha256(snapshot.read_bytes()).hexdigest() == registry_hash(root)


@pytest.mark.parametrize(
    "name", ["M", "1m", "m-x", "a__b", "usr", "usr_state", "", "é", "m\n", "m x"]
)
def test_REG_4_namespaces(root, name) -> None:
    with refused(root, NamespaceError):
        register_namespace(root, namespace=name, columns="x:string")


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ("x:string,x:int8", SchemaError),
        ("id:string", NamespaceError),
        ("z__x:int8", NamespaceError),
        ("", SchemaError),
        ("x", SchemaError),
        ("x:", SchemaError),
        ("x:text", SchemaError),
        ("x:list<int8", SchemaError),
        ("x:struct<>", SchemaError),
        ("a b:int8", NamespaceError),
        ("q__x:int8,x:int8", SchemaError),
    ],
)
def test_REG_4_columns(root, columns, error) -> None:
    with refused(root, error):
        register_namespace(root, namespace="q", columns=columns)


def test_REG_6_registering_twice(root, ds) -> None:
    with nothing_changes(root):
        register_namespace(root, namespace="k", columns="k__x:float64,y:string")
    with refused(root, AlreadyExists, "--overwrite|registered"):
        register_namespace(root, namespace="k", columns="x:float64")
    ds.write_overlay_part("k", [{"id": IDS[0], "x": 1.0}])
    register_namespace(root, namespace="k", columns="x:float64,y:string,z:int8", overwrite=True)
    assert cells(ds, "k__x")[0] == 1.0
    ds.write_overlay_part("k", [{"id": IDS[0], "z": 3}])
    assert (cells(ds, "k__x")[0], cells(ds, "k__z")[0]) == (1.0, 3)
    assert ds.validate(strict=True, registry_mode="namespace-current").errors == []


@pytest.mark.parametrize("columns", ["y:string", "x:float32,y:string", "x:string,y:string"])
@pytest.mark.parametrize("where", ["part", "base"])
def test_REG_6_changing_a_column_that_data_uses_lists_the_datasets(
    root, ds, columns, where
) -> None:
    new_dataset(root, "ns/free", ["AA"])
    ds.write_overlay_part("k", [{"id": IDS[0], "x": 1.0}])
    if where == "base":
        with ds.maintenance(reason="test"):
            ds.materialize(keep_overlays=False)
    with refused(root, NamespaceError) as caught:
        register_namespace(root, namespace="k", columns=columns, overwrite=True)
    assert "ns/demo (k__x)" in caught.value.message
    assert "ns/free" not in caught.value.message


def test_REG_6_a_column_nobody_uses_may_go(root, ds) -> None:
    ds.write_overlay_part("k", [{"id": IDS[0], "x": 1.0}])
    register_namespace(root, namespace="k", columns="x:float64", overwrite=True)
    assert load_registry(root)["k"].column_names == ("k__x",)


def _register(args) -> None:
    root, number = args
    register_namespace(root, namespace=f"p{number}", columns="x:int8")


def test_REG_7_concurrent_registrations_lose_none(root) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(_register, [(root, n) for n in range(12)], chunksize=3)
    assert {f"p{n}" for n in range(12)} <= set(load_registry(root))


def test_REG_7_the_registry_is_replaced_as_a_whole(root) -> None:
    before = (root / "registry.yaml").stat().st_ino
    register_namespace(root, namespace="q", columns="x:int8")
    assert (root / "registry.yaml").stat().st_ino != before
    assert not [p for p in tree(root) if ".tmp" in p]


def test_REG_8_the_first_mutation_freezes_by_itself(ds) -> None:
    event = last_event(ds, "registry_freeze")
    assert event["args"] == {"auto": True}
    assert [e["action"] for e in raw_events(ds)] == ["init", "registry_freeze", "import_rows"]


@pytest.mark.parametrize("what", ["part", "tombstone", "import"])
def test_REG_8_an_unstamped_dataset_is_frozen_by_its_first_mutation(ds, root, what) -> None:
    meta = footer(ds.records_path)
    del meta[b"usr:registry_hash"]
    pq.write_table(base(ds).replace_schema_metadata(meta), ds.records_path, compression="zstd")
    for path in (ds.dir / "_registry").iterdir():
        path.unlink()
    rows = base(ds)
    told = count_events(ds)
    MUTATIONS[what](ds)
    assert footer(ds.records_path)[b"usr:registry_hash"].decode() == registry_hash(root)
    assert (ds.dir / "_registry" / f"registry.{registry_hash(root)}.yaml").is_file()
    freezes = [e for e in raw_events(ds)[told:] if e["action"] == "registry_freeze"]
    assert [e["args"] for e in freezes] == [{"auto": True}]
    assert base(ds).slice(0, 6).equals(rows)


def test_REG_8_later_mutations_add_the_snapshot_and_stamp_on_rewrite(ds, root) -> None:
    old = registry_hash(root)
    register_namespace(root, namespace="q", columns="x:int8")
    new = registry_hash(root)
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    names = sorted(p.name for p in (ds.dir / "_registry").iterdir())
    assert names == sorted(f"registry.{h}.yaml" for h in (old, new))
    assert footer(ds.records_path)[b"usr:registry_hash"].decode() == old
    freezes = [e for e in raw_events(ds) if e["action"] == "registry_freeze"]
    assert len(freezes) == 2
    ds.tombstone(IDS[1])
    assert len([e for e in raw_events(ds) if e["action"] == "registry_freeze"]) == 2
    ds.import_rows(["AA"])
    assert footer(ds.records_path)[b"usr:registry_hash"].decode() == new


def test_REG_8_freezing_stamps_without_decoding_row_groups(ds, root) -> None:
    register_namespace(root, namespace="q", columns="x:int8")
    before = pq.read_metadata(ds.records_path)
    pages = ds.records_path.read_bytes()[: before.row_group(0).total_byte_size // 2]
    with ds.maintenance(reason="test"):
        assert ds.freeze_registry() == registry_hash(root)
    after = pq.read_metadata(ds.records_path)
    assert footer(ds.records_path)[b"usr:registry_hash"].decode() == registry_hash(root)
    assert ds.records_path.read_bytes()[: len(pages)] == pages
    assert after.row_group(0).to_dict() == before.row_group(0).to_dict()
    with pytest.raises(ValidationError, match="maintenance"):
        ds.freeze_registry()


def test_REG_9_parts_carry_both_hashes(ds, root) -> None:
    ds.write_overlay_part("k", [{"id": IDS[0], "x": 1.0}])
    meta = footer(parts(ds, "k")[0])
    assert meta[b"usr:registry_hash"].decode() == registry_hash(root)
    pairs = ["k", [["k__x", "float64"], ["k__y", "string"]]]
    text = json.dumps(pairs, separators=(",", ":"))
    assert (
        meta[b"usr:namespace_contract_hash"].decode() == hashlib.sha256(text.encode()).hexdigest()
    )


def outcome(ds: Dataset, mode: str) -> tuple[int, int]:
    try:
        report = ds.validate(registry_mode=mode)
    except ValidationError as error:
        report = error.report
    mine = [f for f in report.findings if f.rule == "REG-9"]
    return sum(f.severity == "error" for f in mine), sum(f.severity == "warning" for f in mine)


def test_REG_9_an_unrelated_registration_invalidates_nothing(ds, root) -> None:
    ds.write_overlay_part("k", [{"id": IDS[0], "x": 1.0}])
    register_namespace(root, namespace="q", columns="x:int8")
    assert cells(ds, "k__x")[0] == 1.0
    assert outcome(ds, "namespace-current") == (0, 0)
    assert outcome(ds, "frozen") == (0, 0)
    assert outcome(ds, "either") == (0, 0)
    report = ds.validate()
    told = [f for f in report.findings if f.rule == "REG-9"]
    assert [f.severity for f in told] == ["warning"]
    assert "namespace-current" in told[0].message


MODES = ["current", "frozen", "either", "namespace-current", "namespace-frozen", "namespace-either"]


def test_REG_9_modes_for_a_hash_that_nobody_knows(ds) -> None:
    ds.write_overlay_part("k", [{"id": IDS[0], "x": 1.0}])
    path = parts(ds, "k")[0]
    meta = footer(path) | {b"usr:registry_hash": b"f" * 64}
    whole = pq.read_table(path).replace_schema_metadata(meta)
    pq.write_table(whole, path)
    assert [outcome(ds, m)[0] for m in ("current", "frozen", "either")] == [0, 0, 0]
    assert [outcome(ds, m)[1] for m in ("current", "frozen", "either")] == [1, 1, 1]
    assert [outcome(ds, m) for m in MODES[3:]] == [(0, 0)] * 3
    meta[b"usr:namespace_contract_hash"] = b"e" * 64
    pq.write_table(whole.replace_schema_metadata(meta), path)
    assert [outcome(ds, m)[0] for m in MODES] == [1] * 6
    del meta[b"usr:namespace_contract_hash"]
    pq.write_table(whole.replace_schema_metadata(meta), path)
    assert [outcome(ds, m)[0] for m in MODES] == [1, 1, 1, 0, 0, 0]


def test_REG_9_frozen_accepts_what_current_no_longer_knows(ds, root) -> None:
    ds.write_overlay_part("k", [{"id": IDS[0], "x": 1.0}])
    path = parts(ds, "k")[0]
    meta = footer(path)
    del meta[b"usr:namespace_contract_hash"]
    pq.write_table(pq.read_table(path).replace_schema_metadata(meta), path)
    register_namespace(root, namespace="q", columns="x:int8")
    assert [outcome(ds, m)[0] for m in ("current", "frozen", "either")] == [1, 0, 0]
    frozen = next((ds.dir / "_registry").iterdir())
    frozen.write_text(frozen.read_text().replace("float64", "float32"))
    with pytest.raises(ValidationError) as caught:
        ds.validate(registry_mode="frozen")
    rules = {(f.rule, f.place) for f in caught.value.report.errors}
    assert ("REG-8", f"_registry/{frozen.name}") in rules


def test_REG_9_an_unknown_mode_is_refused(ds) -> None:
    with pytest.raises(ValidationError, match="registry_mode"):
        ds.validate(registry_mode="curent")


@pytest.mark.parametrize(
    "damage",
    [
        "namespaces: [",
        "[]",
        "namespaces: {m: 5}",
        "namespaces: &a {x: *a}",
        "a: 1",
        "namespaces: {usr: {columns: []}}",
        "namespaces: {m: {columns: [{name: m__x, type: text}]}}",
        "namespaces: {m: {columns: [{name: m__x, type: int8}]}}",
        "\x00",
        "!!python/object:os.system x",
    ],
)
def test_REG_2_a_damaged_registry_is_a_typed_error(ds, root, damage) -> None:
    (root / "registry.yaml").write_text(damage)
    with refused(root, ValidationError):
        ds.tombstone(IDS[0])
    with pytest.raises(ValidationError):
        load_registry(root)


def test_REG_2_usr_state_must_hold_exactly_its_columns(ds, root) -> None:
    plain = yaml.safe_load((root / "registry.yaml").read_text())
    plain["namespaces"]["usr_state"]["columns"].pop()
    (root / "registry.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(NamespaceError, match="usr_state"):
        ds.set_state(IDS[0], masked=True)
