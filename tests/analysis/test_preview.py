"""The filter preview counts what the engine and the tree say, over every type of column."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.features.kit import fresh, new
from tests.filter import strategies as some
from tests.filter.reference import keeps, value_of
from usr_nb import F, compute_id
from usr_nb.analysis import facets, preview as module
from usr_nb.analysis.facets import make_facet
from usr_nb.analysis.preview import FilterPreview, Look
from usr_nb.contract.types import type_text
from usr_nb.errors import SchemaError
from usr_nb.filter.compute import Values
from usr_nb.filter.engine import evaluate, explain
from usr_nb.filter.tree import all_of

LETTERS = ["ACGTACGTAC", "GGGGCCCC", "ATATATAT", "TTGACAATATAAT", "ACGT", "AATTCCGG", "GAATTC"]
OWN = {n: t for n, t in some.COLUMNS.items() if n.startswith("a__")}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = ",".join(f"{n}:{type_text(t)}" for n, t in OWN.items())
    return fresh(tmp_path_factory.mktemp("preview"), a=spec)


def dataset(root: Path, rows: list[dict[str, Any]]):
    folder = root.parent / f"one{np.random.default_rng().integers(1 << 60)}"
    folder.mkdir()
    (folder / "registry.yaml").write_bytes((root / "registry.yaml").read_bytes())
    ds = new(folder, LETTERS)
    ids = ds.head(99)["id"].tolist()
    arrays = {n: some.array([r[n] for r in rows], t) for n, t in OWN.items()}
    ds.write_overlay_part("a", pa.table({"id": ids, **arrays}))
    ds.set_state(ids[:2], masked=True, qc_status="pass")
    ds.tombstone(ids[-1:])
    plain = [
        {n: some.plain_cell(r[n], t) for n, t in OWN.items()}
        | {"sequence": LETTERS[i], "length": len(LETTERS[i]), "bio_type": "dna"}
        | {"usr_state__masked": True if i < 2 else None}
        | {"usr_state__qc_status": "pass" if i < 2 else None, "usr__deleted": i == len(ids) - 1}
        for i, r in enumerate(rows)
    ]
    return ds, plain


row = st.fixed_dictionaries({n: some.cells(t, n) for n, t in OWN.items()})
SHOWN = [f for f in [*some.FEATURES, *some.TEXTS, *some.FLAGS, *some.WHENS] if f.name != "sequence"]


@pytest.mark.parametrize("one_column", [module.ONE_COLUMN_BYTES, 0])
@settings(max_examples=12)
@given(
    rows=st.lists(row, min_size=len(LETTERS), max_size=len(LETTERS)),
    wheres=st.lists(st.lists(some.filters, max_size=4), min_size=3, max_size=3),
    looks=st.lists(st.builds(Look, st.sampled_from(SHOWN), st.sampled_from(["linear", "log"]),
                             st.sampled_from(["all", "core"])), max_size=3),
)  # fmt: skip
def test_the_preview_keeps_what_the_tree_says(root, one_column, rows, wheres, looks):
    ds, plain = dataset(root, rows)
    with FilterPreview(ds) as preview, pytest.MonkeyPatch.context() as patch:
        # Nothing is kept of a column that is too large: tests of it are read from the files.
        patch.setattr(module, "ONE_COLUMN_BYTES", one_column)
        alive = np.array([not r["usr__deleted"] for r in plain])
        for where in (all_of(*w) for w in wheres):
            expected = np.array([keeps(where, r, some.SCHEMA) for r in plain])
            with ds._ctx.merged(include_deleted=True) as merged:
                assert evaluate(where, merged).tolist() == expected.tolist()
            for deleted in (False, True):
                shown = expected if deleted else expected & alive
                counted = preview.count(where, looks, include_deleted=deleted)
                assert (counted.kept, counted.total) == (shown.sum(), len(plain) - (not deleted))
                assert preview.rows(where, include_deleted=deleted).tolist() == (
                    np.flatnonzero(shown).tolist()
                )
            # The same again: now all is remembered.
            counted = preview.count(where, looks)
            assert counted.kept == (expected & alive).sum()
            with ds._ctx.merged() as visible_only:
                told = explain(where, visible_only)
            assert (counted.chips, counted.strictest) == (told.chips, told.strictest)
            for look, found in zip(looks, counted.facets, strict=True):
                others = all_of(*(c for c in where.chips if c.features() != [look.feature]))
                left = np.array([keeps(others, r, some.SCHEMA) for r in plain]) & alive
                check(found, look, [r for r, a in zip(plain, alive, strict=True) if a], found.rows)
                check(found, look, [r for r, k in zip(plain, left, strict=True) if k], found.kept)


def check(found, look, records, counts) -> None:
    """Sort records into slots one by one and compare."""
    facet = found.facet
    wanted = np.zeros(facet.shown + 4, int)
    for record in records:
        wanted[slot_of(facet, value_of(look.feature, record))] += 1
    assert counts.tolist() == wanted.tolist()


def slot_of(facet, value) -> int:
    n = facet.shown
    if value is None:
        return n + 2
    if facet.kind == "category":
        return facet.values.index(value)
    if facet.kind == "many":
        return 0
    number = float(math.floor(value * 10**6)) if facet.kind == "time" else float(value)
    if math.isnan(number):
        return n + 3
    if number < facet.edges[0]:
        return n
    if number >= facet.edges[-1]:
        return n + 1
    return int(np.flatnonzero(facet.edges <= number)[-1])


def test_a_brush_leaves_the_other_columns_their_own_counts(root):
    rows = [dict.fromkeys(OWN) | {"a__int8": i, "a__text": "xy"[i % 2]} for i in range(7)]
    ds, _ = dataset(root, rows)
    with FilterPreview(ds) as preview:
        looks = [Look(F["a__int8"].feature), Look(F["a__text"].feature)]
        counted = preview.count((F["a__int8"] >= 3) & (F["a__text"] == "x"), looks)
        # The last record is deleted. Of its own brush a histogram shows what there is to choose.
        assert counted.facets[0].kept[:7].tolist() == [1, 0, 1, 0, 1, 0, 0]
        assert counted.facets[1].kept[:2].tolist() == [1, 2]
        assert counted.facets[1].facet.values == ("x", "y")
        assert counted.kept == 1


@pytest.mark.parametrize("more", [0, 1])
def test_counting_two_bytes_at_a_time_is_counting(more):
    rng = np.random.default_rng(3)
    numbers = pa.array(rng.normal(0, 1, facets._MANY + more))
    facet = make_facet(Values(numbers, numbers.type))
    keep = rng.random(len(numbers)) < 0.3
    for mask in (None, keep):
        wanted = np.bincount(facet.codes[slice(None) if mask is None else mask])
        assert facet.count(mask)[: len(wanted)].tolist() == wanted.tolist()
        assert facet.count(mask).sum() == wanted.sum()


def test_text_of_many_values_is_searched_and_null_told_apart():
    many = [f"name {i}" for i in range(facets.MAX_CATEGORIES + 1)]
    facet = make_facet(Values(pa.array([*many, None]), pa.string()))
    assert (facet.kind, facet.count().tolist()) == ("many", [len(many), 0, 0, 1, 0])
    few = make_facet(Values(pa.array(many[1:]), pa.string()))
    assert few.kind == "category"
    # Codes of this many values take two bytes; a count of some must not run over.
    keep = np.arange(facets.MAX_CATEGORIES) % 2 == 0
    assert few.count(keep).sum() == keep.sum()


def test_the_core_view_says_how_many_lie_beyond():
    numbers = pa.array([*range(1, 399), 1e6, -1e6])
    facet = make_facet(Values(numbers, numbers.type), view="core")
    counts = facet.count()
    assert facet.edges[-1] < 500
    assert counts[facet.shown :].tolist() == [1, 1, 0, 0]
    assert (facet.low, facet.high) == (-1e6, 1e6)


def test_a_log_scale_has_bins_of_one_ratio_and_counts_the_rest_below():
    numbers = pa.array([0.0, -1.0, 1.0, 10.0, 100.0, 1000.0, None, math.nan, math.inf])
    facet = make_facet(Values(numbers, numbers.type), scale="log")
    ratios = facet.edges[1:] / facet.edges[:-1]
    assert np.allclose(ratios, ratios[0])
    assert facet.count()[facet.shown :].tolist() == [2, 1, 1, 1]
    assert facet.count()[: facet.shown].sum() == 4


def test_what_is_kept_in_memory_is_bounded(root, monkeypatch):
    rows = [dict.fromkeys(OWN) | {"a__float64": float(i)} for i in range(7)]
    ds, _ = dataset(root, rows)
    for name in ("COLUMN_BYTES", "MASK_BYTES", "FACET_BYTES"):
        monkeypatch.setattr(module, name, 100)
    with FilterPreview(ds) as preview:
        for i in range(100):
            preview.count(F["a__float64"] > i / 10, [Look(F["a__float64"].feature)])
            preview.count(F["a__int8"] > i / 10, [Look(F["a__int8"].feature, "log")])
        assert 0 < preview.nbytes() <= 400


def test_a_column_that_is_not_there_is_named(root):
    ds, _ = dataset(root, [dict.fromkeys(OWN)] * 7)
    with FilterPreview(ds) as preview:
        with pytest.raises(SchemaError, match="Did you mean 'a__int"):
            preview.count(F["a__int9"] > 2)
        with pytest.raises(SchemaError, match="does not exist"):
            preview.facet(Look(F["b__x"].feature))


def test_hits_are_counted_in_the_records_that_are_kept(root):
    ds, _ = dataset(root, [dict.fromkeys(OWN)] * 7)
    with FilterPreview(ds) as preview:
        motif = F.motif("AT", strand="+")
        assert preview.hits(motif, motif) == 4 + 3 + 1
        assert preview.hits(motif, motif & (F.length > 8)) == 3
        # GAATTC is tombstoned, and has one.
        assert preview.hits(motif, motif, include_deleted=True) == 9


def test_a_table_in_memory_is_counted_the_same(root):
    rows = [dict.fromkeys(OWN) | {"a__int8": i, "a__text": "xy"[i % 2]} for i in range(7)]
    ds, _ = dataset(root, rows)
    ds.restore([compute_id("dna", LETTERS[-1])])
    where = (F["a__int8"] >= 2) & F.gc.between(0.0, 0.6) & (F["a__text"] == "x")
    looks = [Look(F["a__int8"].feature), Look(F.gc.feature), Look(F["a__text"].feature)]
    table = pa.Table.from_batches(ds.scan(batch_size=2))
    with FilterPreview(ds) as one, FilterPreview(table) as two:
        found, again = one.count(where, looks), two.count(where, looks)
        assert (found.kept, found.total, found.chips) == (again.kept, again.total, again.chips)
        for a, b in zip(found.facets, again.facets, strict=True):
            assert (a.rows.tolist(), a.kept.tolist()) == (b.rows.tolist(), b.kept.tolist())
        assert two.subject.ids(two.rows(where)) == one.subject.ids(one.rows(where))
        with pytest.raises(SchemaError, match="a__gone"):
            two.count(F["a__gone"] > 1)
    with FilterPreview(table.slice(0, 0)) as empty:
        assert empty.count(where, looks).total == 0
