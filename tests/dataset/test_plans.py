"""Plans: they write nothing, say exactly what applying does, and are applied once or refused."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import example, given, settings, strategies as st

from tests.dataset.kit import (
    IDS,
    SEQUENCES,
    cells,
    files,
    new_dataset,
    new_root,
    nothing_changes,
    raw_events,
    tree,
    values,
)
from usr_nb import Dataset, StalePlanError, UsedPlanError, UserAbort, load_registry
from usr_nb.dataset.plans import plan as plan_module
from usr_nb.errors import SequencesError

N = len(SEQUENCES)


@pytest.fixture
def ds(tmp_path) -> Dataset:
    made = new_dataset(new_root(tmp_path))
    made.write_overlay("m", pa.table({"id": IDS[:4], "n": [1.0, 2.0, None, 4.0]}))
    made.write_overlay_part("k", pa.table({"id": IDS[:2], "x": [0.5, 1.5]}))
    made.write_overlay_part("k", pa.table({"id": IDS[1:4], "x": [9.0, None, 2.0]}))
    made.tombstone(IDS[5])
    made.set_state(IDS[0], qc_status="fail", split="train")
    return made


#: Every verb that has a plan, each with something to do on the dataset above.
PLANS = {
    "attach": lambda d: d.plan_attach(
        [{"id": i, "y": "a", "z": 1} for i in IDS], "k", register=True, allow_overwrite=True
    ),
    "materialize": lambda d: d.plan_materialize(),
    "materialize, all gone": lambda d: d.plan_materialize(
        keep_overlays=False, drop_deleted=True, snapshot_before=True
    ),
    "compact": lambda d: d.plan_compact("k"),
    "compact to one file": lambda d: d.plan_compact("m", single_file=True),
    "tombstone": lambda d: d.plan_tombstone(IDS[:2], "bad"),
    "restore": lambda d: d.plan_restore(where="length > 1"),
    "state": lambda d: d.plan_state(where="length > 1", qc_status="pass"),
    "clear": lambda d: d.plan_state(IDS[0], clear=True),
    "states": lambda d: d.plan_states(
        [{"id": IDS[0], "masked": True}, {"id": IDS[3], "split": "val"}]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_writes_nothing_and_its_counts_are_those_of_the_event(ds, name):
    with nothing_changes(ds.root):
        plan = PLANS[name](ds)
        told = json.loads(json.dumps(plan.as_dict()))
        assert plan.ready, plan.summary()
    events = len(raw_events(ds))
    before = files(ds)
    receipt = plan.apply()
    event = receipt.event
    assert dict(plan.counts) == dict(receipt.counts) == event["metrics"] == told["counts"]
    assert [e["action"] for e in raw_events(ds)[events:]][:1] == [plan.action]
    logged = next(e for e in raw_events(ds) if e["artifacts"].get("plan") == plan.token)
    assert logged["artifacts"]["operation_id"] == receipt.operation_id
    assert logged["metrics"] == event["metrics"]
    came = {p for p in files(ds) if p not in before}
    assert came <= set(receipt.files) | {p for p in came if "_archived" in p}
    assert set(receipt.retired) == {p for p in before if p not in files(ds)}
    ds.validate()


@pytest.mark.parametrize("name", PLANS)
def test_a_used_plan_is_refused(ds, name):
    plan = PLANS[name](ds)
    plan.apply()
    assert not plan.ready
    with nothing_changes(ds.root), pytest.raises(UsedPlanError, match="applied already"):
        plan.apply()


@pytest.mark.parametrize("name", PLANS)
def test_of_two_equal_plans_the_second_is_stale(ds, name):
    first, second = PLANS[name](ds), PLANS[name](ds)
    assert first.digest == second.digest
    assert first.token != second.token
    first.apply()
    with nothing_changes(ds.root), pytest.raises(StalePlanError, match="when the plan was made"):
        second.apply()


@pytest.mark.parametrize("name", PLANS)
def test_cancel_leaves_the_state_before(tmp_path, name):
    made = new_dataset(new_root(tmp_path))
    made.write_overlay("m", pa.table({"id": IDS[:4], "n": [1.0, 2.0, None, 4.0]}))
    for x in (0.5, 1.5):
        made.write_overlay_part("k", pa.table({"id": IDS[:2], "x": [x, x]}))
    made.tombstone(IDS[5])
    made.set_state(IDS[0], qc_status="fail")
    before, events = values(made, include_deleted=True), made.events_path.read_bytes()
    registry = load_registry(made.root).hash
    for after in range(50):
        seen = iter(range(after))
        plan = PLANS[name](made)
        try:
            plan.apply(cancel=lambda seen=seen: next(seen, None) is None)
        except UserAbort:
            assert values(made, include_deleted=True) == before
            assert made.events_path.read_bytes() == events
            assert load_registry(made.root).hash == registry
            assert plan.ready, "a cancelled plan may be applied after all"
        else:
            assert after >= 2
            break
    else:
        pytest.fail("it never got through")


def test_a_listener_that_raises_cancels(ds):
    def stop(_progress):
        raise KeyboardInterrupt

    plan = ds.plan_materialize()
    before = tree(ds.dir)
    with pytest.raises(KeyboardInterrupt):
        plan.apply(progress=stop)
    assert {p: d for p, d in tree(ds.dir).items() if "_txn" not in p} == {
        p: d for p, d in before.items() if "_txn" not in p
    }


def test_what_cannot_change_the_outcome_does_not_make_a_plan_stale(ds):
    plan = ds.plan_attach([{"id": IDS[0], "n": 5.0}], "m", allow_overwrite=True)
    state = ds.plan_state(IDS[1], qc_status="warn")
    ds.write_overlay_part("k", pa.table({"id": IDS[:1], "x": [7.0]}))
    ds.snapshot("meanwhile")
    ds.tombstone(IDS[4])
    assert plan.apply().counts["rows_overwritten"] == 1
    assert cells(ds, "m__n")[0] == 5.0
    with pytest.raises(StalePlanError, match=r"usr\.parquet"):
        state.apply()


@pytest.mark.parametrize("change", ["part", "base", "register", "file"])
def test_each_thing_that_counts_makes_a_plan_stale(ds, tmp_path, change):
    path = tmp_path / "in.csv"
    path.write_text(f"id,n\n{IDS[0]},5\n")
    plan = ds.plan_attach(path, "m", allow_overwrite=True)
    if change == "part":
        ds.write_overlay_part("m", pa.table({"id": IDS[1:2], "n": [0.0]}))
    elif change == "base":
        ds.add_sequences(["ACGTACGTACGTTTT"], bio_type="dna", alphabet="dna_4")
    elif change == "register":
        from tests.dataset.kit import SPEC
        from usr_nb import register_namespace

        register_namespace(ds.root, namespace="m", columns=SPEC + ",m__new:string", overwrite=True)
    else:
        path.write_text(f"id,n\n{IDS[0]},6\n")
    with nothing_changes(ds.root), pytest.raises(StalePlanError):
        plan.apply()


def test_a_file_that_was_only_touched_is_still_the_same(ds, tmp_path):
    path = tmp_path / "in.csv"
    text = f"id,n\n{IDS[0]},5\n"
    path.write_text(text)
    plan = ds.plan_attach(path, "m", allow_overwrite=True)
    path.unlink()
    path.write_text(text)
    assert plan.apply().counts["rows_matched"] == 1


def test_a_part_that_lands_while_the_plan_is_written_is_seen(ds, monkeypatch):
    plan = ds.plan_compact("k")
    act = type(plan)._act

    def late(self, c):
        act(self, c)
        ds.write_overlay_part("k", pa.table({"id": IDS[:1], "x": [7.0]}))

    monkeypatch.setattr(type(plan), "_act", late)
    with pytest.raises(StalePlanError, match="came or went"):
        plan.apply()
    assert cells(ds, "k__x")[0] == 7.0
    ds.validate()


def test_only_one_of_many_callers_applies_a_plan(ds):
    plan = ds.plan_attach([{"id": IDS[0], "n": 5.0}], "m", allow_overwrite=True)
    parts = len(list((ds.dir / "_derived/m").iterdir()))
    outcomes = []
    ready = threading.Barrier(4)

    def run():
        ready.wait()
        try:
            outcomes.append(plan.apply().operation_id)
        except SequencesError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert outcomes.count("UsedPlanError") == 3
    assert len(list((ds.dir / "_derived/m").iterdir())) == parts + 1


# Attach -------------------------------------------------------------------------------------------

CELL = st.one_of(st.none(), st.floats(-5, 5).map(lambda x: round(x, 2)))
ROWS = st.lists(
    st.tuples(st.integers(0, N + 2), CELL, st.one_of(st.none(), st.sampled_from(["p", "q"]))),
    min_size=1, max_size=8, unique_by=lambda r: r[0],
)  # fmt: skip


def _id(i: int) -> str:
    return IDS[i] if i < N else f"{i:040x}"


@settings(max_examples=12)
@given(ROWS, ROWS, st.booleans())
def test_ATT_what_an_attach_plan_says_is_what_the_verb_does(first, second, by_verb):
    with TemporaryDirectory() as folder:
        made = new_dataset(new_root(Path(folder)))
        rows = [{"id": _id(i), "x": x, "y": y} for i, x, y in first]
        made.attach(rows, "k", allow_missing=True)
        before = {c: dict(zip(IDS, cells(made, c), strict=True)) if c in made.schema().names
                  else dict.fromkeys(IDS) for c in ("k__x", "k__y")}  # fmt: skip
        rows = [{"id": _id(i), "x": x, "y": y} for i, x, y in second]
        plan = made.plan_attach(rows, "k", allow_missing=True, allow_overwrite=True, key="id")
        hit = [r for r in rows if r["id"] in IDS]
        over = sum(any(before[f"k__{c}"][r["id"]] is not None and r[c] is not None for c in "xy")
                   for r in hit)  # fmt: skip
        lost = sum(any(before[f"k__{c}"][r["id"]] is not None and r[c] is None for c in "xy")
                   for r in hit)  # fmt: skip
        kept = sum(all(before[f"k__{c}"][r["id"]] is None for c in "xy") for r in hit)
        said = (plan.incoming, plan.matched, plan.missing, plan.overwritten, plan.unset, plan.new)
        assert said == (len(rows), len(hit), len(rows) - len(hit), over, lost, kept)
        if by_verb:
            done = made.attach_file(rows, "k", allow_missing=True, allow_overwrite=True)
            got = (done.incoming, done.matched, done.missing, done.overwritten, done.unset)
            assert got == said[:5]
        else:
            assert dict(plan.apply().counts) == dict(plan.counts)
        for c in ("x", "y"):
            wanted = before[f"k__{c}"] | {r["id"]: r[c] for r in hit}
            there = f"k__{c}" in made.schema().names
            assert (cells(made, f"k__{c}") if there else [None] * N) == list(wanted.values())


def test_a_plan_shows_everything_that_is_wrong_and_the_verb_raises_the_first(ds, tmp_path):
    path = tmp_path / "in.csv"
    lines = [f"{IDS[0]},1.5,1", f"{IDS[0]},x,2", f"{'f' * 40},3,a", f"{IDS[1]},4,1.5"]
    path.write_text("\n".join(["id,n,i", *lines]))
    plan = ds.plan_attach(path, "m", key="id")
    assert [(b.column, b.row) for b in plan.bad_cells] == [("m__n", 2), ("m__i", 3), ("m__i", 4)]
    assert [(r.count, r.rows) for r in plan.repeats] == [(2, (1, 2))]
    assert [(u.row, u.why) for u in plan.unmatched] == [(3, "not in the dataset")]
    kinds = [p.kind for p in plan.problems]
    assert kinds == ["DuplicateIDError", "SchemaError", "SchemaError", "ValidationError",
                     "ValidationError"]  # fmt: skip
    with pytest.raises(SequencesError) as by_verb:
        ds.attach(path, "m")
    with nothing_changes(ds.root), pytest.raises(SequencesError) as by_plan:
        plan.apply()
    assert (by_plan.value.message, type(by_plan.value)) == (
        by_verb.value.message, type(by_verb.value),
    )  # fmt: skip


def test_the_key_is_chosen_by_match_rates_and_misses_are_explained(ds):
    lower = [s.lower() for s in SEQUENCES]
    flipped = "CCGGTTAACCGGACTT"
    rows = [{"seq": s, "z": 1.0} for s in [*lower[:4], SEQUENCES[4], "TTACGTACGT", flipped]]
    plan = ds.plan_attach(rows, "new", register=True, allow_missing=True)
    assert (plan.key, plan.key_col, plan.matched) == ("sequence_ci", "seq", 5)
    assert [c.label for c in plan.choices] == [
        "sequence_ci 71.4 %", "sequence 14.3 %", "sequence_norm 14.3 %",
    ]  # fmt: skip
    assert {m.why: m.rows for m in plan.misses} == {
        "reverse complement": 1,
        "not in the dataset": 1,
    }
    assert [c.type for c in plan.registers] == ["float64"]
    plan.apply()
    assert load_registry(ds.root)["new"].column_names == ("new__z",)
    exact = ds.plan_attach(rows, "other", register=True, key="sequence", key_col="seq")
    assert {m.why for m in exact.misses} >= {"case differs"}


def test_a_unique_name_column_is_offered_and_stored_by_id(ds):
    ds.write_overlay("k", pa.table({"id": IDS, "y": list("abcdef")}), overwrite=True)
    plan = ds.plan_attach([{"who": "a", "w": 2}, {"who": "f", "w": 3}], "lab", register=True)
    assert (plan.match, plan.key, plan.matched) == ("k__y", "id", 2)
    plan.apply()
    assert cells(ds, "lab__w") == [2, None, None, None, None]


def test_a_notebook_shows_the_summary_of_a_plan(ds):
    plans = [ds.plan_attach([{"id": IDS[0], "w": 2}], "lab", register=True),
             ds.plan_tombstone(IDS[:1]), ds.plan_materialize(), ds.plan_compact("k"),
             ds.plan_state(IDS[:1], qc_status="fail")]  # fmt: skip
    for plan in plans:
        assert repr(plan) == f"<{type(plan).__name__} {plan.token}: {plan.summary()}>"
    assert repr(ds.validate()).startswith(f"<Report on {ds.name}: {ds.info().rows} rows checked: 0")


def test_columns_are_renamed_and_their_types_chosen(ds):
    rows = [{"id": i, "LLR (nats)": "1"} for i in IDS]
    plan = ds.plan_attach(rows, "evo2", rename={"LLR (nats)": "llr"}, register=True)
    assert [(c.source, c.name, c.type) for c in plan.columns] == [
        ("LLR (nats)", "evo2__llr", "int64")
    ]
    plan = ds.plan_attach(
        rows, "evo2", rename={"LLR (nats)": "evo2__llr"}, register=True, types={"llr": "float32"},
        owner="me",
    )  # fmt: skip
    plan.apply()
    entry = load_registry(ds.root)["evo2"]
    assert (entry.owner, entry.columns[0].type) == ("me", "float32")


def test_a_cancelled_registration_leaves_the_registry(ds):
    plan = ds.plan_attach([{"id": IDS[0], "z": 1}], "new", register=True)
    with nothing_changes(ds.root / "registry.yaml"), pytest.raises(UserAbort):
        plan.apply(cancel=lambda: True)
    assert "new" not in load_registry(ds.root)


# Materialize and compact --------------------------------------------------------------------------


@settings(max_examples=8)
@given(first=ROWS, second=ROWS, drop=st.booleans(), archive=st.booleans())
@example(first=[(0, 1.0, None)], second=[(0, 2.0, None)], drop=True, archive=False)
def test_MAT_a_plan_counts_the_cells_that_change(first, second, drop, archive):
    with TemporaryDirectory() as folder:
        made = new_dataset(new_root(Path(folder)))
        made.attach([{"id": _id(i), "x": x} for i, x, _ in first], "k", allow_missing=True)
        with made.maintenance(reason="t"):
            made.materialize()
        rows = [{"id": _id(i), "x": x, "y": y} for i, x, y in second]
        made.write_overlay_part("k", pa.Table.from_pylist(
            rows, schema=pa.schema([("id", "string"), ("x", "float64"), ("y", "string")])),
            allow_missing=True)  # fmt: skip
        made.tombstone(IDS[0])
        base = {c: _base(made, c) for c in ("k__x", "k__y")}
        plan = made.plan_materialize(drop_deleted=drop, archive_overlays=archive)
        after = {c: cells(made, c, include_deleted=True) if c in made.schema().names else [None] * N
                 for c in base}  # fmt: skip
        first_row = 1 if drop else 0
        for c in plan.columns:
            pairs = list(zip(base[c.name], after[c.name], strict=True))[first_row:]
            assert c.changed == sum(a != b for b, a in pairs)
            assert c.values == sum(a is not None for _, a in pairs)
        before = values(made, include_deleted=not drop)
        if not plan.writes:
            assert plan.apply().operation_id is None
            return
        receipt = plan.apply()
        assert dict(receipt.counts) == dict(plan.counts)
        assert values(made, include_deleted=not drop) == before
        assert _base(made, "id") == cells(made, "id", include_deleted=True)


def _base(ds: Dataset, column: str) -> list[object]:
    table = pa.Table.from_batches(ds.scan(include_overlays=False, include_deleted=True))
    return table[column].to_pylist() if column in table.schema.names else [None] * N


def test_OVL_9_reads_are_equal_before_and_after_a_compact_plan(ds):
    before = values(ds)
    plan = ds.plan_compact("k")
    assert (plan.parts, plan.rows, plan.columns) == (2, 4, ("k__x",))
    plan.apply()
    assert values(ds) == before
    assert not ds.plan_compact("k").writes


# Records ------------------------------------------------------------------------------------------

STATES = st.dictionaries(
    st.sampled_from(IDS),
    st.fixed_dictionaries(
        {}, optional={"qc_status": st.sampled_from(["pass", "fail", None]),
                      "masked": st.sampled_from([True, False, None]),
                      "split": st.sampled_from(["train", None])},
    ),
    min_size=1,
)  # fmt: skip


@settings(max_examples=12)
@given(STATES, STATES)
def test_STA_states_by_record_and_their_undo(first, second):
    with TemporaryDirectory() as folder:
        made = new_dataset(new_root(Path(folder)))
        made.plan_states([{"id": i, **s} for i, s in first.items()]).apply()
        before = made.get_state(IDS)
        plan = made.plan_states([{"id": i, **s} for i, s in second.items()], reason="why")
        receipt = plan.apply()
        assert receipt.event["args"]["reason"] == "why"
        after = made.get_state(IDS)
        wanted = [row | {k: bool(v) if k == "masked" else v for k, v in
                         second.get(row["id"], {}).items()} for row in before]  # fmt: skip
        assert after == wanted
        if plan.changed == 0:
            return
        events = len(raw_events(made))
        undone = made.plan_undo(receipt).apply()
        assert made.get_state(IDS) == before
        assert len(raw_events(made)) == events + 1
        assert undone.event["args"]["undoes"] == receipt.operation_id


def test_an_undo_is_refused_where_somebody_has_decided_since(ds):
    receipt = ds.plan_state(IDS[:3], qc_status="pass").apply()
    ds.set_state(IDS[1], qc_status="warn")
    with nothing_changes(ds.root), pytest.raises(StalePlanError, match="changed again"):
        ds.plan_undo(receipt)


def test_DEL_a_tombstone_plan_by_filter_and_its_undo(ds):
    plan = ds.plan_tombstone(where='qc_status == "fail"', reason="low")
    assert (plan.records, plan.ids) == (1, (IDS[0],))
    assert [c.field for c in plan.changes] == ["deleted", "deleted at", "reason"]
    receipt = plan.apply()
    assert IDS[0] not in cells(ds, "id")
    ds.plan_undo(receipt).apply()
    assert cells(ds, "id") == IDS[:5]


def test_missing_ids_are_a_problem_that_names_them(ds):
    plan = ds.plan_state([IDS[0], "0" * 40], masked=True)
    assert [p.kind for p in plan.problems] == ["RecordNotFound"]
    assert plan.records == 1
    assert ds.plan_state([IDS[0], "0" * 40], masked=True, allow_missing=True).ready


def test_examples_are_few_and_the_summary_is_short(ds):
    many = [{"id": f"{i:040x}", "n": 1.0} for i in range(3_000)]
    plan = ds.plan_attach(many, "m", key="id", allow_missing=True, allow_overwrite=True)
    assert len(plan.unmatched) <= 2 * plan_module.EXAMPLES
    assert len(plan.summary()) < 2_000
    assert not plan.writes
