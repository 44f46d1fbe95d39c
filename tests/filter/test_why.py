"""Where a value comes from, who wrote it, and the log as rows; named filters."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.dataset.kit import count_events, nothing_changes, raw_events
from tests.features.kit import fresh, ids, new, put
from usr_nb import Dataset, F
from usr_nb.errors import RecordNotFound, SchemaError, ValidationError

SEQUENCES = ["ACGT", "GGCC", "TTAA"]
A, B, C = ids(SEQUENCES)


@pytest.fixture
def ds(tmp_path: Path) -> Dataset:
    return new(fresh(tmp_path, e="e__x:float64,e__y:string", k="k__z:int8"), SEQUENCES)


def say(ds: Dataset, value, who: str, key: str = "id") -> None:
    cell = pa.array([value], pa.float64())
    part = pa.table({key: [A if key == "id" else "ACGT"], "e__x": cell})
    ds.write_overlay_part("e", part, key=key, actor={"tool": who, "run_id": f"{who}-1"})


def test_OVL_9_why_names_the_winner_and_the_shadowed_newest_first(ds):
    say(ds, 1.0, "evo2")
    say(ds, 2.0, "infer")
    put(ds, "e", {A: {"e__y": "other"}, B: {"e__y": "b"}})
    why = ds.why(A[:8], "e__x")
    assert (why.id, why.value, why.source) == (A, 2.0, "part")
    assert [s.value for s in why.said] == [2.0, 1.0]
    assert [s.event.tool for s in why.said] == ["infer", "evo2"]
    assert [s.event.run_id for s in why.said] == ["infer-1", "evo2-1"]
    assert why.said[0].event.action == "write_overlay_part"
    assert why.said[0].created_at > why.said[1].created_at
    assert (ds.dir / why.winner.path).is_file()
    assert why.winner.operation_id == why.winner.event.operation_id
    assert why.setter == why.winner.event
    assert why.base is None
    assert why.earlier == why.unspoken == ()


def test_OVL_6_a_null_that_a_part_holds_is_said(ds):
    say(ds, 1.0, "evo2")
    say(ds, None, "eraser")
    why = ds.why(A, "e__x")
    assert why.value is None
    assert (why.source, why.winner.value, why.winner.event.tool) == ("part", None, "eraser")
    assert ds.why(B, "e__x").source == "nothing"
    assert ds.why(B, "e__x").setter is None


def test_OVL_9_why_sees_through_compactions_and_knows_where_no_part_spoke(ds):
    say(ds, 1.0, "evo2")
    say(ds, 2.0, "infer")
    put(ds, "e", {B: {"e__y": "b"}})
    for _ in range(2):
        with ds.maintenance(reason="test"):
            ds.compact_overlay("e")
        put(ds, "e", {C: {"e__y": "c"}})
    why = ds.why(A, "e__x")
    assert why.value == 2.0
    assert len(why.said) == 1
    assert why.winner.event.action == "compact_overlay"
    assert why.setter.tool == "infer"
    shown = [(s.value, s.event.action, s.gone_by.action) for s in why.earlier]
    assert (2.0, "write_overlay_part", "compact_overlay") in shown
    assert (1.0, "write_overlay_part", "compact_overlay") in shown
    silent = ds.why(B, "e__x")
    assert (silent.value, silent.source, silent.said) == (None, "nothing", ())
    assert len(silent.unspoken) == 1


def test_MAT_1_why_sees_through_materialize_with_archived_overlays(ds):
    say(ds, 1.0, "evo2")
    with ds.maintenance(reason="test"):
        ds.materialize()
    kept = ds.why(A, "e__x")
    assert (kept.source, kept.base.value, kept.base.event.action) == ("part", 1.0, "materialize")
    say(ds, 3.0, "infer")
    with ds.maintenance(reason="test"):
        ds.materialize(archive_overlays=True)
    why = ds.why(A, "e__x")
    assert (why.value, why.source, why.said) == (3.0, "base", ())
    assert why.base.event.action == "materialize"
    assert why.setter.tool == "infer"
    assert [s.value for s in why.earlier] == [3.0, 1.0]


def test_OVL_9_why_through_a_single_file_that_was_compacted_again(ds):
    say(ds, 1.0, "evo2")
    say(ds, 2.0, "infer")
    for value, who in ((5.0, "late"), (None, None)):
        with ds.maintenance(reason="test"):
            ds.compact_overlay("e", single_file=True)
        if who:
            say(ds, value, who)
    with ds.maintenance(reason="test"):
        ds.compact_overlay("e", single_file=True)
    why = ds.why(A, "e__x")
    assert (why.value, why.winner.path) == (5.0, "_derived/e.parquet")
    assert why.setter.tool == "late"


def test_OVL_3_why_finds_the_record_by_the_key_of_its_parts(ds):
    say(ds, 4.0, "evo2", key="sequence")
    assert ds.why(A, "e__x").winner.value == 4.0
    assert ds.why(B, "e__x").said == ()


def test_REC_5_why_tells_the_import_of_an_essential_cell(ds):
    ds.add_sequences(["CCCC"], bio_type="dna", alphabet="dna_4", actor="late")
    (late,) = ids(["CCCC"])
    assert ds.why(late, "sequence").setter.tool == "late"
    assert ds.why(A, "length").base.event.metrics["rows_written"] == 3
    assert ds.why(A, "sequence").value == "ACGT"
    with ds.maintenance(reason="test"):
        ds.tombstone(B)
        ds.materialize(drop_deleted=True)
    # Rows moved up: whose row it is cannot be counted any more.
    assert ds.why(late, "sequence").base.event is None


def test_DEL_1_why_of_tombstones_and_state_tells_the_file(ds):
    ds.tombstone(A, reason="bad")
    ds.set_state(A, qc_status="fail")
    assert ds.why(A, "usr__deleted").value is True
    assert ds.why(A, "usr__deleted_reason").winner.event.action == "tombstone"
    assert ds.why(A, "usr_state__qc_status").winner.event.action == "state_set"


def test_EVT_5_why_finds_the_event_in_the_part_if_the_log_lost_it(ds):
    say(ds, 1.0, "evo2")
    ds.events_path.unlink()
    assert ds.why(A, "e__x").setter.tool == "evo2"


def test_why_reads_on_where_an_archived_file_is_damaged(ds):
    say(ds, 1.0, "evo2")
    say(ds, 2.0, "infer")
    with ds.maintenance(reason="test"):
        ds.compact_overlay("e")
    first = min((ds.dir / "_derived/_archived/e").glob("*/*.parquet"))
    first.write_bytes(b"rot")
    why = ds.why(A, "e__x")
    assert why.unreadable == (first.relative_to(ds.dir).as_posix(),)
    assert why.setter.tool == "infer"


def test_why_of_what_is_not_there_is_a_typed_error(ds):
    say(ds, 1.0, "evo2")
    with nothing_changes(ds.dir):
        with pytest.raises(SchemaError, match="Did you mean 'e__x'"):
            ds.why(A, "e__z")
        with pytest.raises(RecordNotFound):
            ds.why("f" * 40, "e__x")
        with pytest.raises(ValidationError):
            ds.why([A], "e__x")  # type: ignore[arg-type]


# The log as rows ----------------------------------------------------------------------------------


def test_EVT_1_history_is_asked_by_action_actor_time_namespace_and_record(ds):
    say(ds, 1.0, "evo2")
    say(ds, 2.0, "infer")
    put(ds, "k", {B: {"k__z": 3}})
    ds.tombstone(C)
    every = ds.history()
    assert [r.action for r in every] == [e["action"] for e in raw_events(ds)]
    assert [r.tool for r in ds.history(action="write_overlay_part")] == ["evo2", "infer", "usr"]
    assert [r.action for r in ds.history(action=["tombstone", "init"])] == ["init", "tombstone"]
    assert [r.tool for r in ds.history(actor="infer-1")] == ["infer"]
    at = ds.history(actor="evo2")[0].at
    assert ds.history(since=at)[0].tool == "evo2"
    assert "evo2" not in [r.tool for r in ds.history(until=at)]
    assert [r.tool for r in ds.history(since=at.isoformat(), until=at + timedelta(microseconds=1))]
    assert [r.tool for r in ds.history(touching="e")] == ["evo2", "infer"]
    assert [r.action for r in ds.history(touching="usr")] == ["tombstone"]
    assert [(r.action, r.tool) for r in ds.history(touching=A)] == [
        ("import_rows", "usr"), ("write_overlay_part", "evo2"), ("write_overlay_part", "infer"),
    ]  # fmt: skip
    assert [r.namespaces for r in ds.history(touching=B, action="write_overlay_part")] == [("k",)]
    assert [r.tool for r in ds.history(n=1)] == [every[-1].tool]
    assert ds.history(n=0) == []
    for bad in ({"since": "soon"}, {"n": -1}, {"touching": "zz"}, {"until": 3}):
        with pytest.raises((ValidationError, RecordNotFound)):
            ds.history(**bad)


def test_EVT_1_history_of_a_record_goes_on_behind_a_compaction(ds):
    say(ds, 1.0, "evo2")
    put(ds, "e", {B: {"e__x": 1.0}})
    with ds.maintenance(reason="test"):
        ds.compact_overlay("e")
    assert [r.tool for r in ds.history(touching=A)] == ["usr", "evo2"]
    assert [r.action for r in ds.history(touching="e")][-1] == "compact_overlay"
    with ds.maintenance(reason="test"):
        ds.materialize()
    assert [r.action for r in ds.history(touching="e")][-1] == "materialize"


def test_EVT_1_strange_lines_of_a_log_are_no_rows(ds):
    with ds.events_path.open("a") as f:
        f.write('{"action": "x"}\n{"action": "y", "timestamp_utc": 3}\nnoise\n')
        f.write(json.dumps({"action": "z", "timestamp_utc": "2026-01-01T00:00:00Z", "args": [1],
                            "artifacts": {"files": [3, {"path": 4}], "retired": "no"},
                            "actor": "me"}) + "\n")  # fmt: skip
    row = ds.history()[-1]
    assert (row.action, row.tool, row.files, row.namespaces) == ("z", None, (), ())
    assert ds.history(touching=A)[0].action == "import_rows"


# Named filters ------------------------------------------------------------------------------------


def test_EVT_2_filters_are_saved_as_events_and_the_newest_counts(ds):
    put(ds, "e", {A: {"e__x": 1.0}})
    good = (F["e__x"] > 0.5) & F.motif("ACGT", mismatches=1)
    ds.save_filter("good ones", F.length > 3)
    ds.save_filter("good ones", good, actor="me")
    ds.save_filter("other", F.nothing)
    assert list(ds.filters()) == ["good ones", "other"]
    one = ds.filters()["good ones"]
    assert (one.where, one.line, one.tool, one.problem) == (good, good.as_line(), "me", None)
    assert ds.filter("good ones") == good
    event = raw_events(ds)[-2]
    assert event["action"] == "filter_save"
    assert event["args"]["hash"] == good.hash
    assert json.loads(event["args"]["filter"]) == good.to_plain()
    ds.delete_filter("other")
    assert list(ds.filters()) == ["good ones"]
    with pytest.raises(RecordNotFound, match="good ones"):
        ds.filter("good one")
    before = count_events(ds)
    for name in ("", " a", "a" * 81, "a\n", 3):
        with pytest.raises(ValidationError):
            ds.save_filter(name, good)  # type: ignore[arg-type]
    with pytest.raises(RecordNotFound):
        ds.delete_filter("nope")
    with pytest.raises(SchemaError, match="Did you mean 'e__x'"):
        ds.save_filter("bad", F["e__xx"] > 1)
    with pytest.raises(ValidationError, match="letters of JSON"):
        ds.save_filter("long", F.id.isin([f"{i:040x}" for i in range(10_000)]))
    with pytest.raises(ValidationError):
        ds.save_filter("none", None)  # type: ignore[arg-type]
    assert count_events(ds) == before
    assert ds.validate(strict=True)


def test_EVT_3_redaction_never_changes_a_saved_filter(ds):
    where = F.source.isin(["--token", "abc"]) & (F.source == "password=x")
    ds.save_filter("auth", where)
    assert ds.filter("auth") == where


def test_EVT_2_a_filter_of_a_later_version_is_named_as_such(ds):
    args = {"name": "new", "filter": '{"usr_filter":2,"filter":{}}', "line": "from the future"}
    ds.log_event("filter_save", args=args)
    ds.log_event("filter_save", args={"name": "odd", "filter": {"a": 1}})
    ds.log_event("filter_save", args={"name": 3})
    assert ds.filters()["new"].where is None
    assert "version 2" in (ds.filters()["new"].problem or "")
    assert ds.filters()["odd"].line == ""
    with pytest.raises(ValidationError, match="version 2"):
        ds.filter("new")


def test_SYN_4_by_time_not_by_place_since_a_sync_appends_older_lines(ds):
    ds.save_filter("a", F.length > 3)
    older = raw_events(ds)[-1]
    older["timestamp_utc"] = "2020-01-01T00:00:00.000000Z"
    older["args"]["filter"] = (F.length > 1).to_json()
    older["artifacts"]["operation_id"] = "20200101T000000000000Z-" + "0" * 12
    with ds.events_path.open("a") as f:
        f.write(json.dumps(older) + "\n")
    assert ds.filter("a") == (F.length > 3)
    assert ds.filters()["a"].saved_at > datetime(2026, 1, 1, tzinfo=UTC)
