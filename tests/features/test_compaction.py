"""Compaction equals the read, whatever lies below and lands beside it (contract OVL-9, OVL-10)."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import (
    FIELDS,
    SPEC,
    cells,
    files,
    footer,
    last_event,
    parts,
    raw_events,
    refused,
)
from tests.features.kit import by_sequence, fresh, ids, merged, new, put
from tests.overlay.kit import Part, later, part_name
from usr_nb import NamespaceError, ValidationError
from usr_nb.dataset import compaction
from usr_nb.overlay import compact as folding

SEQS = ["ACGT", "TTTT", "GGGG", "acgt"]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALUES = {
    "n": [1.5, float("nan"), -0.0], "i": [1, -2, 3], "s": ["a", "", "é"], "b": [True, False, True],
    "l": [[1.0, None], [], [float("nan")]], "r": [{"p": 1, "q": "x"}, {"p": None, "q": None},
    {"p": 2, "q": ""}], "v": [[1.0, 2.0], [None, 0.5], [3.0, 4.0]],
    "t": [NOON, NOON + timedelta(seconds=1), NOON],
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    return fresh(tmp_path, m=SPEC, k="x:float64,y:string")


@pytest.fixture
def ds(root):
    return new(root, SEQS)


def row(at: int, *fields: str):
    return {f"m__{f}": VALUES[f][at % 3] for f in fields or VALUES}


def compact(ds, ns="m", **how):
    with ds.maintenance(reason="test"):
        return ds.compact_overlay(ns, **how)


def ragged(ds, key="id", names=None) -> None:
    """Three parts: all columns of one row, some columns of two, nulls over a value."""
    a, b, c = names or ids(SEQS)[:3]
    put(ds, "m", {a: row(0)}, key)
    put(ds, "m", {b: row(1, "n", "l"), c: row(2, "n", "l")}, key)
    put(ds, "m", {a: {"m__s": None, "m__v": None}}, key)


@pytest.mark.parametrize("single_file", [False, True])
def test_OVL_9_compaction_equals_the_read_for_all_types(ds, single_file) -> None:
    ragged(ds)
    before = merged(ds)
    old = {p.relative_to(ds.dir).as_posix(): p.read_bytes() for p in parts(ds)}
    done = compact(ds, single_file=single_file)
    assert (done.files_before, done.rows) == (3, 3)
    assert merged(ds) == before
    there = [p for p in files(ds) if p.startswith("_derived/") and "_archived" not in p]
    assert there == [done.path]
    assert (done.path == "_derived/m.parquet") == single_file
    assert pq.read_schema(ds.dir / done.path).names == ["id", *(f"m__{f}" for f in FIELDS)]
    # The old files are put aside, byte for byte.
    assert sorted((ds.dir / a).read_bytes() for a in done.archived) == sorted(old.values())
    assert all(a.startswith("_derived/_archived/m/") for a in done.archived)
    assert {f.severity for f in ds.validate().findings} <= {"note"}
    event = last_event(ds, "compact_overlay")
    assert event["metrics"] == {"files_before": 3, "rows": 3}
    assert event["args"] == {"namespace": "m", "single_file": single_file}
    assert event["maintenance"] == {"reason": "test"}


def test_OVL_9_compaction_has_the_smallest_time_of_its_inputs(ds) -> None:
    ragged(ds)
    times = sorted(footer(p)[b"usr:overlay_created_at"] for p in parts(ds))
    done = compact(ds)
    meta = footer(ds.dir / done.path)
    assert meta[b"usr:overlay_created_at"] == times[0] < times[-1]
    assert meta[b"usr:overlay_key"] == b"id"
    assert meta[b"usr:overlay_namespace"] == b"m"
    assert meta[b"usr:namespace_contract_hash"]


def test_OVL_9_cells_that_no_part_spoke_for_are_marked_and_show_the_base(ds) -> None:
    put(ds, "m", {i: {"m__n": 1.0, "m__l": [9.0]} for i in ids(SEQS)})
    with ds.maintenance(reason="t"):
        ds.materialize(keep_overlays=False)
    a, b = ids(SEQS)[:2]
    put(ds, "m", {a: {"m__n": 5.0}})
    put(ds, "m", {b: {"m__l": None}})
    before = merged(ds)
    done = compact(ds)
    assert merged(ds) == before
    table = pq.read_table(ds.dir / done.path)
    # For tools that do not know the marks, the silent cells hold what the base held.
    assert table.column("m__n").to_pylist() == [5.0, 1.0]
    assert table.column("m__l").to_pylist() == [[9.0], None]
    assert set(json.loads(footer(ds.dir / done.path)[b"usr:unspoken"])) == {"m__n", "m__l"}


def test_OVL_9_a_later_change_of_the_base_shows_through_silent_cells(ds) -> None:
    a, b = ids(SEQS)[:2]
    put(ds, "m", {a: {"m__n": 5.0}})
    put(ds, "m", {b: {"m__i": 7}})
    compact(ds)
    assert cells(ds, "m__n")[1] is None
    # Another tool rewrites the base: b gets an n of its own, and so does a, under the overlay.
    table = pq.read_table(ds.records_path)
    meta = table.schema.metadata
    table = table.append_column("m__n", pa.array([-1.0, 2.5, None, None], pa.float64()))
    pq.write_table(table.replace_schema_metadata(meta), ds.records_path)
    assert cells(ds, "m__n") == [5.0, 2.5, None, None]
    compact(ds, single_file=True)
    assert cells(ds, "m__n") == [5.0, 2.5, None, None]
    with ds.maintenance(reason="t"):
        ds.materialize(["m"], keep_overlays=False)
    assert cells(ds, "m__n") == [5.0, 2.5, None, None]


def test_OVL_9_materializing_another_namespace_disturbs_nothing(ds) -> None:
    ragged(ds)
    put(ds, "k", {ids(SEQS)[1]: {"k__x": 1.0}})
    compact(ds)
    before = merged(ds)
    with ds.maintenance(reason="t"):
        ds.materialize(["k"], keep_overlays=False)
    names = sorted(before)
    after = merged(ds)
    assert {n: after[n] for n in names} == {n: before[n] for n in names}


def test_OVL_9_orphan_keys_survive_and_speak_when_their_row_comes(ds) -> None:
    part = Part(part_name(later(1), 1), "id", later(1), ["m__n"],
                [(ids(["CCCC"])[0], {"m__n": 4.0}), (ids(SEQS)[0], {"m__n": 1.0})])  # fmt: skip
    part.write(ds.dir, "m", {"m__n": pa.float64()})
    put(ds, "m", {ids(SEQS)[1]: {"m__s": "x"}})
    done = compact(ds)
    assert done.rows == 3
    # Keys of the base first, in its order.
    keys = pq.read_table(ds.dir / done.path).column("id").to_pylist()
    assert keys == [*ids(SEQS)[:2], *ids(["CCCC"])]
    ds.add_sequences(["CCCC"], bio_type="dna", alphabet="dna_4")
    assert by_sequence(ds, "m__n")["CCCC"] == 4.0


@pytest.mark.parametrize("key", ["id", "sequence", "sequence_norm", "sequence_ci"])
def test_OVL_9_all_four_keys(ds, key) -> None:
    names = SEQS[:3] if key != "id" else ids(SEQS)[:3]
    if key == "sequence_ci":
        # A key that two rows share: the last two letters of SEQS differ from the first in case.
        names = ["acgt ", "tttt", "GGGG"]
        other = Part(
            part_name(later(1), 1),
            key,
            later(1),
            ["m__n", "m__s"],
            [(n, {"m__n": float(i), "m__s": "old"}) for i, n in enumerate(names)],
        )
        other.write(ds.dir, "m", {"m__n": pa.float64(), "m__s": pa.string()})
        newer = Part(part_name(later(2), 2), key, later(2), ["m__n"], [("AcGt", {"m__n": 9.0})])
        newer.write(ds.dir, "m", {"m__n": pa.float64()})
    else:
        ragged(ds, key, names)
    before = merged(ds)
    for single in (False, True, False):
        compact(ds, single_file=single)
        assert merged(ds) == before
    if key == "sequence_ci":
        assert by_sequence(ds, "m__n") == {"ACGT": 9.0, "TTTT": 1.0, "GGGG": 2.0, "acgt": 9.0}
        assert by_sequence(ds, "m__s")["acgt"] == "old"


def test_OVL_9_compacting_twice_does_nothing_and_appending_goes_on(ds) -> None:
    ragged(ds)
    first = compact(ds)
    events = len(raw_events(ds))
    again = compact(ds)
    assert (again.path, again.files_before, again.archived) == (None, 1, [])
    assert len(raw_events(ds)) == events
    a, b = ids(SEQS)[:2]
    put(ds, "m", {a: {"m__n": None}, b: {"m__n": 8.0}})
    assert cells(ds, "m__n")[:2] == [None, 8.0]
    before = merged(ds)
    second = compact(ds)
    assert merged(ds) == before
    assert second.path != first.path
    assert second.files_before == 2


def test_OVL_9_single_file_and_parts_together_and_its_old_content_is_kept(ds) -> None:
    ragged(ds)
    first = compact(ds, single_file=True)
    old = (ds.dir / first.path).read_bytes()
    put(ds, "m", {ids(SEQS)[1]: {"m__s": "new"}})
    before = merged(ds)
    done = compact(ds, single_file=True)
    assert merged(ds) == before
    assert done.path == "_derived/m.parquet"
    assert old in [(ds.dir / a).read_bytes() for a in done.archived]
    # Back to the form of parts.
    compact(ds)
    assert merged(ds) == before
    assert not (ds.dir / "_derived/m.parquet").exists()
    assert {f.severity for f in ds.validate().findings} <= {"note"}


def test_OVL_10_a_part_that_lands_while_compacting_is_kept_and_wins(ds, monkeypatch) -> None:
    ragged(ds)
    a, b = ids(SEQS)[:2]
    real = folding.fold
    landed = []

    def slow(*args, **how):
        folded = real(*args, **how)
        if not landed:
            landed.append(True)
            put(ds, "m", {a: {"m__n": 77.0}, b: {"m__n": None}})
        return folded

    monkeypatch.setattr(compaction, "fold", slow)
    done = compact(ds)
    assert done.files_before == 3
    assert len(parts(ds)) == 2
    assert cells(ds, "m__n")[:2] == [77.0, None]
    monkeypatch.undo()
    before = merged(ds)
    assert compact(ds).files_before == 2
    assert merged(ds) == before


def test_OVL_10_a_part_that_lands_while_materializing_is_kept(ds, monkeypatch) -> None:
    from usr_nb.dataset import maintenance

    ragged(ds)
    a = ids(SEQS)[0]
    real = maintenance._rows

    def slow(*args):
        put(ds, "m", {a: {"m__n": 77.0}})
        return real(*args)

    monkeypatch.setattr(maintenance, "_rows", slow)
    with ds.maintenance(reason="t"):
        ds.materialize(keep_overlays=False)
    assert len(parts(ds)) == 1
    assert cells(ds, "m__n")[0] == 77.0


def test_OVL_9_compaction_needs_maintenance_and_an_overlay(ds, root) -> None:
    ragged(ds)
    with refused(root, ValidationError, match="maintenance section"):
        ds.compact_overlay("m")
    with refused(root, NamespaceError, match="no overlay of namespace 'k'"):
        compact(ds, "k")
    for reserved in ("usr", "usr_state"):
        with refused(root, NamespaceError):
            compact(ds, reserved)


def test_OVL_9_compaction_sees_tombstoned_rows(ds) -> None:
    ragged(ds)
    ds.tombstone(ids(SEQS)[:1])
    compact(ds)
    ds.restore(ids(SEQS)[:1])
    assert cells(ds, "m__n")[0] == 1.5


# Any parts against a dict -----------------------------------------------------------------------

FIELD_NAMES = ["n", "s", "l"]
cell = {
    "n": st.one_of(st.none(), st.sampled_from([0.0, 1.5, float("nan")])),
    "s": st.one_of(st.none(), st.sampled_from(["", "x"])),
    "l": st.one_of(st.none(), st.lists(st.sampled_from([1.0, None]), max_size=2)),
}
one_part = st.lists(st.sampled_from(FIELD_NAMES), min_size=1, unique=True).flatmap(
    lambda fields: st.dictionaries(
        st.integers(0, 5), st.fixed_dictionaries({f: cell[f] for f in fields}), min_size=1
    ).map(lambda rows: (fields, rows))
)
step = st.one_of(one_part, one_part, st.sampled_from(["compact", "single", "materialize"]))
POOL = [*SEQS, "CCCC", "CATG"]  # The last two come late: orphans until then.


@settings(max_examples=18, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(step, min_size=1, max_size=6), st.sampled_from(["id", "sequence"]))
def test_OVL_9_any_parts_and_compactions_against_a_dict(tmp_path_factory, steps, key) -> None:
    folder = tmp_path_factory.mktemp("any")
    ds = new(fresh(folder, m=SPEC), SEQS)
    keys = ids(POOL) if key == "id" else POOL
    said: dict[tuple[int, str], object] = {}
    types = {"n": pa.float64(), "s": pa.string(), "l": pa.list_(pa.float64())}
    for number, one in enumerate(steps):
        if isinstance(one, tuple):
            fields, rows = one
            at = later(number)
            Part(part_name(at, number), key, at, [f"m__{f}" for f in fields],
                 [(keys[r], {f"m__{f}": v for f, v in cs.items()}) for r, cs in rows.items()]
                 ).write(ds.dir, "m", {f"m__{f}": t for f, t in types.items()})  # fmt: skip
            said |= {(r, f): v for r, cs in rows.items() for f, v in cs.items()}
        elif said and one == "materialize":
            with ds.maintenance(reason="t"):
                ds.materialize()
        elif said:
            compact(ds, single_file=one == "single")
        check(ds, said, SEQS)
    ds.add_sequences(POOL[4:], bio_type="dna", alphabet="dna_4")
    check(ds, said, POOL)
    shutil.rmtree(folder)


def check(ds, said, sequences) -> None:
    from tests.overlay.kit import same

    names = ds.schema().names
    for f in FIELD_NAMES:
        wanted = [said.get((i, f)) for i in range(len(sequences))]
        got = cells(ds, f"m__{f}") if f"m__{f}" in names else [None] * len(sequences)
        assert [same(v) for v in got] == [same(v) for v in wanted], f


def test_REG_5_times_in_seconds_are_read_as_registered_everywhere(tmp_path) -> None:
    kinds = {"t": "timestamp[s]", "u": "timestamp[s, UTC]", "l": "list<timestamp[s]>",
             "r": "struct<a:timestamp[s]>"}  # fmt: skip
    ds = new(fresh(tmp_path, m=",".join(f"m__{f}:{t}" for f, t in kinds.items())), SEQS)
    at = NOON.replace(tzinfo=None)
    told = {"m__t": at, "m__u": NOON, "m__l": [at, None], "m__r": {"a": at}}
    put(ds, "m", {ids(SEQS)[0]: told})
    put(ds, "m", {ids(SEQS)[1]: {"m__t": None}})
    before = merged(ds)
    assert before["m__t"][0] is not None
    assert {n: str(ds.schema().field(n).type) for n in ("m__t", "m__u")} == {
        "m__t": "timestamp[s]", "m__u": "timestamp[s, tz=UTC]"}  # fmt: skip
    compact(ds)
    assert merged(ds) == before
    for keep in (True, False):
        with ds.maintenance(reason="t"):
            ds.materialize(keep_overlays=keep)
        assert merged(ds) == before
        assert ds.validate().errors == []
    ds.add_sequences(["CCCC"], bio_type="dna", alphabet="dna_4")
    put(ds, "m", {ids(["CCCC"])[0]: told})
    assert cells(ds, "m__t")[-1] == cells(ds, "m__t")[0] == at
