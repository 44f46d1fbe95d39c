"""``merge_datasets`` in every mode, against a plain Python oracle (contract MNT-2)."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from itertools import product

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import (
    SPEC,
    base,
    cells,
    last_event,
    nothing_changes,
    raw_events,
    refused,
    tree,
)
from tests.features.kit import by_sequence, fresh, ids, new, put
from tests.overlay.kit import same
from usr_nb import (
    DatasetNotFound,
    DuplicateIDError,
    NamespaceError,
    SchemaError,
    ValidationError,
    merge_datasets,
)

NS = {"m": SPEC, "c": "x:float64,y:string", "f": "q:int64"}
NAN = float("nan")


@pytest.fixture
def root(tmp_path):
    return fresh(tmp_path, **NS)


def materialize(ds) -> None:
    with ds.maintenance(reason="t"):
        ds.materialize(keep_overlays=False)


def pair(root, dest=("ACGT", "TTTT"), src=("TTTT", "GGGG")):
    return new(root, dest, "dest"), new(root, src, "src")


def merge(root, **how):
    return merge_datasets(root, dest="dest", src="src", **how)


def test_MNT_2_new_rows_are_appended_and_dest_keeps_its_order(root) -> None:
    a, b = pair(root, ["TTTT", "ACGT"], ["GGGG", "ACGT", "CCCC"])
    before = base(a)
    with nothing_changes(b.dir):
        done = merge(root)
    assert (done.rows_src, done.rows_added, done.duplicates_total, done.casefold_skipped) == (
        3,
        2,
        1,
        0,
    )
    assert cells(a, "sequence") == ["TTTT", "ACGT", "GGGG", "CCCC"]
    assert base(a).slice(0, 2).equals(before)
    # Essentials of new rows are the source's.
    assert base(a).slice(2).equals(base(b).take([0, 2]))
    event = last_event(a, "merge_datasets")
    assert event["metrics"] == {
        "rows_src": 3,
        "rows_added": 2,
        "duplicates_total": 1,
        "casefold_skipped": 0,
        "cells_filled": 0,
        "cells_replaced": 0,
    }
    assert event["args"]["src"] == "src"
    assert event["args"]["if_duplicate"] == "skip"
    assert event["fingerprint"]["rows"] == 4
    snapshot = event["artifacts"]["snapshot"]
    assert snapshot.endswith("-auto.parquet")
    assert pq.read_table(a.dir / snapshot).equals(before)
    assert "usr maintenance merge --dest dest --src src --union-columns" in a.meta_path.read_text()
    assert a.validate().errors == []


def test_MNT_2_nothing_new_writes_nothing(root) -> None:
    a, _ = pair(root, ["ACGT", "TTTT"], ["TTTT"])
    with nothing_changes(root):
        done = merge(root)
    assert (done.rows_added, done.duplicates_total) == (0, 1)
    assert a.events()[-1]["action"] != "merge_datasets"


def test_MNT_2_tombstoned_rows_of_the_source_stay_away(root) -> None:
    a, b = pair(root)
    b.tombstone(ids(["GGGG"]))
    assert merge(root).rows_src == 1
    assert cells(a, "sequence") == ["ACGT", "TTTT"]


@pytest.mark.parametrize("how", ["skip", "error", "prefer-src", "prefer-dest"])
def test_MNT_2_what_happens_to_duplicates(root, how) -> None:
    a, b = pair(root, ["ACGT", "TTTT", "CCCC"], ["TTTT", "ACGT", "CCCC", "GGGG"])
    one, two, new_one = ids(["ACGT", "TTTT", "GGGG"])
    put(a, "m", {one: {"m__n": 1.0, "m__s": None}, two: {"m__n": None, "m__s": "d"}})
    materialize(a)
    put(a, "m", {ids(["ACGT"])[0]: {"m__s": "overlay"}})
    put(b, "m", {one: {"m__n": 9.0, "m__s": "src"}, two: {"m__n": 8.0, "m__s": None}})
    put(b, "m", {new_one: {"m__n": 7.0, "m__s": "new"}})
    materialize(b)
    old = base(a)
    if how == "error":
        with refused(root, DuplicateIDError, match="3 ids of the source") as caught:
            merge(root, if_duplicate=how)
        assert {g["id"] for g in caught.value.groups} == set(ids(["ACGT", "TTTT", "CCCC"]))
        return
    done = merge(root, if_duplicate=how)
    wanted = {"skip": ([1.0, None, None], ["overlay", "d", None]),
              "prefer-dest": ([1.0, 8.0, None], ["overlay", "d", None]),
              "prefer-src": ([9.0, 8.0, None], ["src", "d", None])}  # fmt: skip
    n, s = wanted[how]
    assert cells(a, "m__n") == [*n, 7.0]
    assert cells(a, "m__s") == [*s, "new"]
    counts = {"skip": (0, 0), "prefer-dest": (1, 0), "prefer-src": (1, 2)}[how]
    assert (done.cells_filled, done.cells_replaced) == counts
    # Essentials and base cells of dest's rows never change; what changes lies in a new part.
    assert base(a).slice(0, 3).equals(old)
    assert a.validate().errors == []


def test_MNT_2_nulls_of_the_source_replace_nothing_and_equal_cells_do_not_count(root) -> None:
    a, b = pair(root, ["ACGT"], ["ACGT"])
    put(a, "m", {ids(["ACGT"])[0]: {"m__n": NAN, "m__l": [NAN, 1.0], "m__s": "kept", "m__i": 3}})
    put(b, "m", {ids(["ACGT"])[0]: {"m__n": NAN, "m__l": [NAN, 1.0], "m__s": None, "m__i": 3}})
    materialize(a)
    materialize(b)
    with nothing_changes(root):
        done = merge(root, if_duplicate="prefer-src")
    assert (done.cells_filled, done.cells_replaced) == (0, 0)


def test_MNT_2_columns_are_united_or_must_agree(root) -> None:
    a, b = pair(root)
    put(b, "m", {i: {"m__n": 1.0, "m__l": [2.0]} for i in ids(["TTTT", "GGGG"])})
    materialize(b)
    with refused(root, SchemaError, match="m__n, m__l"):
        merge(root, columns="require-same-columns")
    preview = merge(root, dry_run=True)
    done = merge(root)
    assert done.columns_added == preview.columns_added == ["m__n", "m__l"]
    assert cells(a, "m__n") == [None, None, 1.0]
    assert cells(a, "m__l") == [None, None, [2.0]]
    assert base(a).schema.names[7:] == ["m__n", "m__l"]
    assert merge(root, columns="require-same-columns").rows_added == 0


def test_MNT_2_columns_added_is_empty_if_no_row_is(root) -> None:
    a, b = pair(root, ["TTTT"], ["TTTT"])
    put(b, "m", {ids(["TTTT"])[0]: {"m__n": 1.0}})
    materialize(b)
    done = merge(root, if_duplicate="prefer-dest")
    assert (done.columns_added, done.cells_filled, done.carried) == ([], 1, {"m": 1})
    assert base(a).schema.names[7:] == []
    assert cells(a, "m__n") == [1.0]


@pytest.mark.parametrize("coerce", ["to-dest", "none"])
def test_MNT_2_overlapping_columns_of_another_type(root, coerce) -> None:
    a, b = pair(root)
    put(a, "f", {ids(["ACGT"])[0]: {"f__q": 1}})
    materialize(a)
    # Another tool materialized the same column as whole floats.
    table = base(b)
    wide = table.append_column("f__q", pa.array([5.0, 6.0]))
    pq.write_table(wide.replace_schema_metadata(table.schema.metadata), b.records_path)
    if coerce == "none":
        with refused(root, SchemaError, match="int64 here and double"):
            merge(root, coerce_overlap=coerce)
        return
    merge(root, coerce_overlap=coerce)
    assert cells(a, "f__q") == [1, None, 6]
    assert base(a).schema.field("f__q").type == pa.int64()
    lossy = table.append_column("f__q", pa.array([5.5, 6.5]))
    at = lossy.schema.get_field_index("sequence")
    assert at >= 0
    pq.write_table(lossy.replace_schema_metadata(table.schema.metadata), b.records_path)
    with refused(root, SchemaError, match="f__q"):
        merge(root, coerce_overlap=coerce, if_duplicate="prefer-src")


def test_MNT_2_letters_in_another_case_are_left_out_unless_asked_for(root) -> None:
    a, b = pair(root, ["ACGT", "tttt"], ["acgt", "TTTT", "tttt", "GGGG", "gggg", "GgGg"])
    preview = merge(root, avoid_casefold_dups=False, dry_run=True)
    assert (preview.rows_added, preview.casefold_skipped, preview.duplicates_total) == (5, 0, 1)
    done = merge(root)
    # acgt and TTTT are there in other case; of the three Gs the first comes.
    assert (done.rows_added, done.casefold_skipped, done.duplicates_total) == (1, 4, 1)
    assert cells(a, "sequence") == ["ACGT", "tttt", "GGGG"]
    done = merge(root, avoid_casefold_dups=False)
    assert (done.rows_added, done.duplicates_total) == (4, 2)
    assert len(cells(a, "sequence")) == len(set(cells(a, "sequence"))) == 7
    assert len(cells(b, "id")) == 6


def test_MNT_2_equal_letters_of_another_kind_are_no_case_fold_duplicates(root) -> None:
    a, b = pair(root, ["ACGT"], [])
    b.add_sequences(["acgt"], bio_type="protein", alphabet="protein_20")
    assert merge(root).rows_added == 1
    assert cells(a, "bio_type") == ["dna", "protein"]


def test_MNT_2_carried_namespaces_bring_their_merged_values(root) -> None:
    a, b = pair(root, ["ACGT", "TTTT"], ["TTTT", "GGGG", "CCCC"])
    put(b, "c", {i: {"c__x": 1.0, "c__y": "base"} for i in ids(["TTTT", "GGGG"])})
    materialize(b)
    put(b, "c", {ids(["GGGG"])[0]: {"c__y": None}, ids(["CCCC"])[0]: {"c__y": "late"}})
    put(b, "m", {ids(["GGGG"])[0]: {"m__n": 5.0}})
    preview = merge(root, carry_namespace="c", dry_run=True)
    done = merge(root, carry_namespace="c")
    assert replace(preview, dry_run=False) == done
    assert done.carried == {"c": 2}
    assert by_sequence(a, "c__x") == {"ACGT": None, "TTTT": None, "GGGG": 1.0, "CCCC": None}
    assert by_sequence(a, "c__y") == {"ACGT": None, "TTTT": None, "GGGG": None, "CCCC": "late"}
    # m was not asked for; and c lies in an overlay, not in the base.
    assert "m__n" not in a.schema().names
    assert base(a).schema.names[7:] == []
    with refused(root, NamespaceError, match="no values of namespace 'f'"):
        merge(root, carry_namespace=["f"])
    assert a.validate().errors == []


def test_MNT_2_carried_values_of_duplicates_follow_the_policy(root) -> None:
    for how, wanted in (("skip", 1.0), ("prefer-dest", 1.0), ("prefer-src", 2.0)):
        a = new(root, ["ACGT", "TTTT"], f"dest-{how}")
        b = new(root, ["ACGT", "TTTT"], f"src-{how}")
        put(a, "c", {ids(["ACGT"])[0]: {"c__x": 1.0}})
        put(b, "c", {ids(["ACGT"])[0]: {"c__x": 2.0}, ids(["TTTT"])[0]: {"c__x": 3.0}})
        done = merge_datasets(root, dest=a.name, src=b.name, if_duplicate=how, carry_namespace="c")
        assert cells(a, "c__x") == [wanted, None if how == "skip" else 3.0], how
        assert done.carried == {"skip": {}, "prefer-dest": {"c": 1}, "prefer-src": {"c": 2}}[how]


@pytest.mark.parametrize("key", ["sequence", "sequence_ci"])
def test_OVL_4_carried_parts_keep_the_destinations_key_and_are_unique(root, key) -> None:
    a, b = pair(root, ["ACGT"], ["acgt", "GGGG", "gggg"])
    put(a, "c", {"ACGT": {"c__x": 1.0}}, key)
    put(b, "c", {i: {"c__x": float(n)} for n, i in enumerate(ids(["acgt", "GGGG", "gggg"]), 5)})
    merge(root, carry_namespace="c", avoid_casefold_dups=False)
    assert by_sequence(a, "c__x")["ACGT"] == 1.0
    if key == "sequence":
        assert by_sequence(a, "c__x") == {"ACGT": 1.0, "acgt": 5.0, "GGGG": 6.0, "gggg": 7.0}
    else:
        # Letters share a value whatever their case: dest's, then the first row's.
        assert by_sequence(a, "c__x") == {"ACGT": 1.0, "acgt": 1.0, "GGGG": 6.0, "gggg": 6.0}
    assert a.validate().errors == []


def test_VAL_merging_an_id_that_was_dropped_does_not_revive_its_values(root) -> None:
    a, b = pair(root, ["ACGT", "TTTT"], ["ACGT", "GGGG"])
    put(a, "c", {ids(["ACGT"])[0]: {"c__x": 1.0, "c__y": "old"}})
    put(b, "c", {ids(["ACGT"])[0]: {"c__x": 2.0}})
    a.set_state(ids(["ACGT"]), qc_status="fail")
    a.tombstone(ids(["ACGT"]))
    with a.maintenance(reason="t"):
        a.materialize(drop_deleted=True)
    merge(root)
    assert by_sequence(a, "c__x")["ACGT"] is None
    assert a.get_state(ids(["ACGT"]))[0]["qc_status"] is None
    assert a.validate().errors == []


def test_VAL_carried_values_show_over_the_silence(root) -> None:
    a, b = pair(root, ["ACGT"], ["ACGT"])
    put(a, "c", {ids(["ACGT"])[0]: {"c__x": 1.0, "c__y": "old"}})
    put(b, "c", {ids(["ACGT"])[0]: {"c__x": 2.0}})
    a.tombstone(ids(["ACGT"]))
    with a.maintenance(reason="t"):
        a.materialize(drop_deleted=True)
    merge(root, carry_namespace="c")
    assert cells(a, "c__x") == [2.0]
    assert cells(a, "c__y") == [None]


def test_MNT_2_a_source_that_repeats_ids_brings_each_once(root) -> None:
    a, b = pair(root, ["ACGT"], ["GGGG", "TTTT"])
    table = base(b)
    again = pa.concat_tables([table, table])
    pq.write_table(again.replace_schema_metadata(table.schema.metadata), b.records_path)
    done = merge(root, avoid_casefold_dups=False)
    assert (done.rows_src, done.rows_added, done.duplicates_total) == (4, 2, 2)
    assert a.validate().errors == []


def test_MNT_2_refusals_change_nothing(root) -> None:
    pair(root)
    with refused(root, ValidationError, match="into itself"):
        merge_datasets(root, dest="dest", src="dest")
    with refused(root, DatasetNotFound):
        merge_datasets(root, dest="dest", src="absent")
    for name, bad in (
        ("if_duplicate", "replace"),
        ("columns", "union"),
        ("coerce_overlap", "to-src"),
    ):
        with refused(root, ValidationError, match=f"{name} '{bad}' is not known"):
            merge(root, **{name: bad})
    for ns in ("usr", "usr_state", "B", "a__b"):
        with refused(root, NamespaceError):
            merge(root, carry_namespace=ns)


def test_MNT_2_actor_and_maintenance_are_in_the_event(root) -> None:
    a, _ = pair(root)
    merge(root, actor={"tool": "robot", "run_id": "7"})
    event = last_event(a, "merge_datasets")
    assert (event["actor"]["tool"], event["actor"]["run_id"]) == ("robot", "7")
    assert event["maintenance"] == {"reason": "merge"}


# Everything at once against a dict --------------------------------------------------------------

POOL = ["A", "a", "AC", "aC", "ac", "GT", "T"]
cell = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.0, NAN]))
text = st.one_of(st.none(), st.sampled_from(["", "x", "y"]))
one_row = st.fixed_dictionaries({"m__n": cell, "c__x": cell, "c__y": text})
in_base = st.tuples(st.booleans(), st.booleans())
side = st.dictionaries(st.sampled_from(POOL), one_row, max_size=5)
POLICIES = list(product(["skip", "error", "prefer-src", "prefer-dest"],
                        ["union-columns", "require-same-columns"], ["to-dest", "none"],
                        [True, False], [(), ("c",)], [True, False]))  # fmt: skip


def build(root, name, rows, dead, in_base: bool):
    """A dataset whose m is in the base (if asked for) and whose c is an overlay."""
    ds = new(root, rows, name)
    if in_base and rows:
        put(
            ds, "m", {i: {"m__n": r["m__n"]} for i, r in zip(ids(rows), rows.values(), strict=True)}
        )
        materialize(ds)
    for column in ("c__x", "c__y"):
        told = {i: {column: r[column]} for i, r in zip(ids(rows), rows.values(), strict=True)}
        if told:
            put(ds, "c", told)
    if dead:
        ds.tombstone(ids(dead))
    return ds


def oracle(dest, src, dead, policy, in_base):
    """Return (rows afterwards, counts) or the error, in the plainest words."""
    how, columns, _, fold, carry, _ = policy
    dest_base, src_base = in_base
    if columns == "require-same-columns" and dest_base != src_base:
        return SchemaError
    if carry and not src:
        return NamespaceError
    live = {s: r for s, r in src.items() if s not in dead}
    twins = [s for s in live if s in dest]
    if how == "error" and twins:
        return DuplicateIDError
    after = {s: dict(r) for s, r in dest.items()}
    if not dest_base:
        for r in after.values():
            r["m__n"] = None
    travels = (["m__n"] if src_base else []) + (["c__x", "c__y"] if carry else [])
    filled = replaced = folded = 0
    for s in twins:
        for n in travels if how in ("prefer-src", "prefer-dest") else []:
            mine, theirs = after[s][n], live[s][n]
            if theirs is None or same(mine) == same(theirs):
                continue
            if mine is None:
                filled += 1
                after[s][n] = theirs
            elif how == "prefer-src":
                replaced += 1
                after[s][n] = theirs
    known = {s.upper() for s in dest}
    added = []
    for s, r in live.items():
        if s in dest:
            continue
        if fold and s.upper() in known:
            folded += 1
            continue
        known.add(s.upper())
        added.append(s)
        after[s] = {n: r[n] if n in travels else None for n in ("m__n", "c__x", "c__y")}
    return after, (len(live), len(added), len(twins), folded, filled, replaced)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(side, side, st.sets(st.sampled_from(POOL)), st.sampled_from(POLICIES), in_base)
def test_MNT_2_every_policy_against_a_dict(  # noqa: PLR0917 - one argument per choice
    tmp_path_factory, dest, src, dead, policy, in_base
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    root = fresh(folder, **NS)
    dead &= set(src)
    dest_base, src_base = in_base[0] and bool(dest), in_base[1] and bool(src)
    a = build(root, "dest", dest, set(), dest_base)
    b = build(root, "src", src, dead, src_base)
    how, columns, coerce, fold, carry, dry_run = policy
    args = {"if_duplicate": how, "columns": columns, "coerce_overlap": coerce,
            "avoid_casefold_dups": fold, "carry_namespace": carry}  # fmt: skip
    wanted = oracle(dest, src, dead, policy, (dest_base, src_base))
    before, events = tree(root), len(raw_events(a))
    if isinstance(wanted, type):
        with pytest.raises(wanted):
            merge(root, dry_run=dry_run, **args)
        assert tree(root) == before
        return
    after, counts = wanted
    preview = merge(root, dry_run=True, **args)
    assert tree(root) == before
    if not dry_run:
        old, untouched = base(a), tree(b.dir)
        done = merge(root, **args)
        assert done == replace(preview, dry_run=False)
        assert tree(b.dir) == untouched
        assert cells(a, "sequence") == list(after)
        assert base(a).select(old.schema.names[:7]).slice(0, len(dest)).equals(old.select(range(7)))
        names = a.schema().names
        for n in ("m__n", "c__x", "c__y"):
            got = cells(a, n) if n in names else [None] * len(after)
            assert [same(v) for v in got] == [same(r[n]) for r in after.values()], n
        changed = counts[1] + counts[4] + counts[5] > 0
        assert len(raw_events(a)) == events + changed
        assert a.validate().errors == []
    assert (
        preview.rows_src,
        preview.rows_added,
        preview.duplicates_total,
        preview.casefold_skipped,
        preview.cells_filled,
        preview.cells_replaced,
    ) == counts
    shutil.rmtree(folder)


def test_MNT_2_nan_is_a_value_not_a_blank(root) -> None:
    a, b = pair(root, ["ACGT"], ["ACGT"])
    put(a, "c", {ids(["ACGT"])[0]: {"c__x": NAN}})
    put(b, "c", {ids(["ACGT"])[0]: {"c__x": 1.0}})
    assert merge(root, if_duplicate="prefer-dest", carry_namespace="c").cells_filled == 0
    assert math.isnan(cells(a, "c__x")[0])
    assert merge(root, if_duplicate="prefer-src", carry_namespace="c").cells_replaced == 1
    assert cells(a, "c__x") == [1.0]
