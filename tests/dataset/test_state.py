"""DEL and STA: tombstones and record state, in any order of calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from tests.dataset.kit import (
    IDS,
    SEQUENCES,
    cells,
    files,
    footer,
    last_event,
    new_dataset,
    new_root,
    nothing_changes,
    raw_events,
    refused,
    table,
)
from tests.overlay.kit import overlay_meta, part_name, write_parquet
from usr_nb import Dataset, RecordNotFound, ValidationError

FIELDS = ["masked", "qc_status", "split", "supersedes", "lineage"]
BLANK = {"masked": False, "qc_status": None, "split": None, "supersedes": None, "lineage": None}


def tombstones(ds: Dataset) -> dict[str, dict]:
    rows = pq.read_table(ds.dir / "_derived" / "usr.parquet").to_pylist()
    return {r["id"]: r for r in rows}


def test_DEL_1_the_tombstone_file(ds) -> None:
    start = datetime.now(UTC)
    assert ds.tombstone(IDS[:2], reason="bad input") == 2
    path = ds.dir / "_derived" / "usr.parquet"
    assert pq.read_schema(path).remove_metadata() == pa.schema(
        [
            ("id", pa.string()),
            ("usr__deleted", pa.bool_()),
            ("usr__deleted_at", pa.timestamp("us", tz="UTC")),
            ("usr__deleted_reason", pa.string()),
        ]
    )
    meta = footer(path)
    assert meta[b"usr:overlay_namespace"] == b"usr"
    assert meta[b"usr:overlay_key"] == b"id"
    row = tombstones(ds)[IDS[0]]
    assert row["usr__deleted"] is True
    assert row["usr__deleted_reason"] == "bad input"
    assert start - timedelta(seconds=1) <= row["usr__deleted_at"] <= datetime.now(UTC)


def test_DEL_1_restore_clears_time_and_reason(ds) -> None:
    ds.tombstone(IDS[:2], reason="bad")
    assert ds.restore(IDS[0]) == 1
    row = tombstones(ds)[IDS[0]]
    assert (row["usr__deleted"], row["usr__deleted_at"], row["usr__deleted_reason"]) == (
        False,
        None,
        None,
    )
    assert tombstones(ds)[IDS[1]]["usr__deleted_reason"] == "bad"
    shown = table(ds, include_deleted=True).to_pylist()
    assert [r["usr__deleted"] for r in shown[:3]] == [False, True, None]


def test_DEL_1_the_file_is_replaced_not_rewritten(ds) -> None:
    ds.tombstone(IDS[0])
    path = ds.dir / "_derived" / "usr.parquet"
    with path.open("rb") as held:
        old = path.read_bytes()
        ds.tombstone(IDS[1])
        assert held.read() == old
    assert path.read_bytes() != old
    assert not (ds.dir / "_derived" / "usr").exists()


@settings(max_examples=12)
@given(
    st.lists(
        st.tuples(st.booleans(), st.lists(st.integers(0, 5), min_size=1, max_size=4)), max_size=8
    )
)
def test_DEL_1_any_order_of_delete_and_restore(tmp_path_factory, calls) -> None:
    ds = new_dataset(new_root(tmp_path_factory.mktemp("del")))
    hidden: set[int] = set()
    for delete, rows in calls:
        some = {IDS[r] for r in rows}
        if delete:
            assert ds.tombstone(list(some)) == len(some)
            hidden |= set(rows)
        else:
            assert ds.restore(list(some)) == len(hidden & set(rows))
            hidden -= set(rows)
        assert cells(ds, "id") == [i for k, i in enumerate(IDS) if k not in hidden]
        info = ds.info()
        assert (info.rows, info.rows_live, info.rows_deleted) == (6, 6 - len(hidden), len(hidden))


def test_DEL_1_parts_of_other_tools_are_read_and_folded_in(ds) -> None:
    from usr_nb.contract.records import TOMBSTONE_SCHEMA

    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {"id": IDS[2], "usr__deleted": True, "usr__deleted_at": at, "usr__deleted_reason": "old"}
    ]
    held = pa.Table.from_pylist(rows, schema=TOMBSTONE_SCHEMA)
    folder = ds.dir / "_derived" / "usr"
    write_parquet(folder / part_name(at, 1), held, overlay_meta("usr", "id", at))
    assert IDS[2] not in cells(ds, "id")
    ds.tombstone(IDS[0])
    assert tombstones(ds)[IDS[2]]["usr__deleted_reason"] == "old"
    assert cells(ds, "id") == [IDS[1], *IDS[3:]]
    ds.restore(IDS[2])
    assert cells(ds, "id") == IDS[1:]


@pytest.mark.parametrize("verb", ["tombstone", "restore", "clear_state", "set_state"])
def test_DEL_2_unknown_ids_are_an_error_unless_allowed(ds, root, verb) -> None:
    more = {"masked": True} if verb == "set_state" else {}
    ds.tombstone(IDS[0])
    with refused(root, RecordNotFound, "1 of 2"):
        getattr(ds, verb)([IDS[0], "f" * 40], **more)
    with nothing_changes(root):
        assert getattr(ds, verb)("f" * 40, allow_missing=True, **more) == 0
    assert getattr(ds, verb)([IDS[0], "f" * 40], allow_missing=True, **more) == 1
    event = raw_events(ds)[-1]
    assert event["metrics"]["rows"] == 1


@pytest.mark.parametrize("ids", [[], "", [""], ["abc"], "abcdef", [5], [None]])
def test_DEL_2_ids_must_be_ids(ds, root, ids) -> None:
    with refused(root, ValidationError):
        ds.tombstone(ids)


def test_GET_3_prefixes_serve_wherever_an_id_does(ds) -> None:
    assert ds.tombstone(IDS[0][:7]) == 1
    assert cells(ds, "id") == IDS[1:]
    ds.set_state(IDS[1][:12].upper(), split="val")
    assert ds.get_state(IDS[1][:9])[0]["split"] == "val"


def test_STA_3_the_state_file_has_all_columns(ds) -> None:
    ds.set_state(IDS[0], masked=True)
    path = ds.dir / "_derived" / "usr_state.parquet"
    assert pq.read_schema(path).remove_metadata() == pa.schema(
        [
            ("id", pa.string()),
            ("usr_state__masked", pa.bool_()),
            ("usr_state__qc_status", pa.string()),
            ("usr_state__split", pa.string()),
            ("usr_state__supersedes", pa.string()),
            ("usr_state__lineage", pa.list_(pa.string())),
        ]
    )
    assert not (ds.dir / "_derived" / "usr_state").exists()
    assert files(ds).count("_derived/usr_state.parquet") == 1


def test_STA_3_set_leaves_the_other_fields_as_they_are(ds) -> None:
    given_values = {"masked": True, "qc_status": "warn", "split": "test", "supersedes": IDS[1],
                    "lineage": [IDS[2], "outside"]}  # fmt: skip
    state = dict(BLANK)
    for field, value in given_values.items():
        assert ds.set_state(IDS[0], **{field: value}) == 1
        state[field] = value
        assert ds.get_state(IDS[0]) == [{"id": IDS[0], **state}]
    ds.set_state(IDS[0], masked=False)
    assert ds.get_state(IDS[0]) == [{"id": IDS[0], **state, "masked": False}]
    assert ds.get_state(IDS[3]) == [{"id": IDS[3], **BLANK}]
    ds.clear_state(IDS[0])
    assert ds.get_state(IDS[0]) == [{"id": IDS[0], **BLANK}]


def test_STA_3_state_survives_materializing_and_dropping(ds) -> None:
    ds.set_state(IDS[0], qc_status="pass", lineage=["a", "b"])
    with ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=False)
    assert ds.get_state(IDS[0])[0]["qc_status"] == "pass"
    ds.set_state([IDS[0], IDS[1]], split="train")
    assert ds.get_state(IDS[:2]) == [
        {"id": IDS[0], **BLANK, "qc_status": "pass", "lineage": ["a", "b"], "split": "train"},
        {"id": IDS[1], **BLANK, "split": "train"},
    ]
    ds.clear_state(IDS[0])
    assert ds.get_state(IDS[0]) == [{"id": IDS[0], **BLANK}]
    assert cells(ds, "usr_state__qc_status")[0] is None


def test_STA_3_parts_of_other_tools_are_read(ds) -> None:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    part = pa.table({"id": [IDS[0]], "usr_state__split": ["val"]})
    place = ds.dir / "_derived" / "usr_state" / part_name(at, 1)
    ds.set_state(IDS[0], qc_status="pass", split="train")
    write_parquet(place, part, overlay_meta("usr_state", "id", at))
    assert ds.get_state(IDS[0]) == [{"id": IDS[0], **BLANK, "qc_status": "pass", "split": "val"}]
    ds.set_state(IDS[1], masked=True)
    ds.set_state(IDS[0], masked=True)
    assert ds.get_state(IDS[0]) == [
        {"id": IDS[0], **BLANK, "qc_status": "pass", "split": "val", "masked": True}
    ]
    ds.set_state(IDS[0], split="holdout")
    assert ds.get_state(IDS[0])[0]["split"] == "holdout"


def test_STA_3_an_empty_part_of_another_tool_is_read(ds) -> None:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    part = pa.table(
        {"id": pa.array([], pa.string()), "usr_state__split": pa.array([], pa.string())}
    )
    write_parquet(ds.dir / "_derived" / "usr_state" / part_name(at, 1), part,
                  overlay_meta("usr_state", "id", at))  # fmt: skip
    ds.set_state(IDS[0], masked=True)
    assert ds.get_state(IDS[0])[0]["masked"] is True


@pytest.mark.parametrize(
    "values",
    [
        {}, {"qc_status": "ok"}, {"qc_status": "PASS"}, {"split": "dev"}, {"split": ""},
        {"lineage": []}, {"lineage": "abc"}, {"lineage": [""]}, {"lineage": [5]}, {"masked": 1},
        {"masked": "yes"}, {"supersedes": ""}, {"supersedes": 5},
    ],
)  # fmt: skip
def test_STA_3_vocabularies(ds, root, values) -> None:
    with refused(root, ValidationError):
        ds.set_state(IDS[0], **values)


def test_STA_3_get_keeps_request_order_and_finds_hidden_rows(ds) -> None:
    ds.set_state(IDS[4], split="val")
    ds.tombstone(IDS[4])
    asked = [IDS[4], IDS[0], IDS[5]]
    found = ds.get_state(asked)
    assert [f["id"] for f in found] == asked
    assert list(found[0]) == ["id", *FIELDS]
    assert found[0]["split"] == "val"
    with pytest.raises(RecordNotFound):
        ds.get_state([IDS[0], "f" * 40])
    assert len(ds.get_state([IDS[0], "f" * 40], allow_missing=True)) == 1


def test_STA_3_masked_hides_nothing_and_exports_count_it(ds, tmp_path) -> None:
    ds.set_state(IDS[:3], masked=True)
    ds.set_state(IDS[2:5], qc_status="fail")
    assert len(cells(ds, "id")) == 6
    result = ds.export("csv", tmp_path / "a.csv", columns=["id"])
    assert (result.rows, result.masked, result.failed) == (6, 3, 3)
    ds.tombstone(IDS[2])
    result = ds.export("csv", tmp_path / "a.csv", columns=["id"])
    assert (result.rows, result.masked, result.failed) == (5, 2, 2)


def test_DEL_1_deleted_rows_are_hidden_everywhere(ds, tmp_path) -> None:
    ds.tombstone(IDS[0])
    assert IDS[0] not in set(ds.head(99)["id"])
    assert IDS[0] not in set(ds.grep(SEQUENCES[0])["id"])
    assert ds.describe(["id"])[0]["rows"] == 5
    out = tmp_path / "a.jsonl"
    assert ds.export("jsonl", out).rows == 5
    assert IDS[0] not in out.read_text()
    assert ds.export("jsonl", out, include_deleted=True).rows == 6
    assert len(ds.head(99, include_deleted=True)) == 6
    assert last_event(ds, "tombstone")["metrics"]["rows"] == 1
