"""Filters, motif hits and picks over datasets on disk, with overlays, tombstones and state."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.dataset.kit import table
from tests.features.kit import fresh, new
from tests.filter import strategies as some
from tests.filter.reference import hits, keeps
from usr_nb import Dataset, F, Selection, UserAbort, reporting
from usr_nb.contract.types import type_text
from usr_nb.errors import RecordNotFound, SchemaError, ValidationError
from usr_nb.filter.distance import far_apart
from usr_nb.filter.engine import evaluate, explain, filtered_batches, mask_of
from usr_nb.filter.hits import find_motif
from usr_nb.filter.kept import Kept, kept as kept_rows
from usr_nb.filter.order import sort_keys, sorted_rows
from usr_nb.filter.selection import pick

LETTERS = ["ACGTACGTAC", "GGGGCCCC", "ATATATAT", "TTGACAATATAAT", "ACGT", "AATTCCGG", "GAATTC"]
OWN = {n: t for n, t in some.COLUMNS.items() if n.startswith("a__")}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = ",".join(f"{n}:{type_text(t)}" for n, t in OWN.items())
    return fresh(tmp_path_factory.mktemp("filter"), a=spec, e="e__llr:float32,e__tf:string")


@st.composite
def overlays(draw: st.DrawFn) -> list[dict[str, Any]]:
    row = st.fixed_dictionaries({n: some.cells(t, n) for n, t in OWN.items()})
    return draw(st.lists(row, min_size=len(LETTERS), max_size=len(LETTERS)))


@settings(max_examples=12)
@given(rows=overlays(), wheres=st.lists(some.filters, min_size=4, max_size=4), data=st.data())
def test_a_filter_over_a_dataset_keeps_what_the_tree_says(root, rows, wheres, data):
    folder = root.parent / f"one{np.random.default_rng().integers(1 << 60)}"
    folder.mkdir()
    (folder / "registry.yaml").write_bytes((root / "registry.yaml").read_bytes())
    ds = new(folder, LETTERS)
    ids = ds.head(99)["id"].tolist()
    # Two parts that share columns, so that merging has something to do.
    cut = data.draw(st.integers(1, len(ids)))
    for some_ids, held in ((ids, rows[::-1]), (ids[:cut], rows)):
        arrays = {n: some.array([r[n] for r in held[: len(some_ids)]], t) for n, t in OWN.items()}
        ds.write_overlay_part("a", pa.table({"id": some_ids, **arrays}))
    ds.set_state(ids[:2], masked=True, qc_status="pass")
    ds.tombstone(ids[-1:])
    final = [rows[i] if i < cut else rows[::-1][i] for i in range(len(ids))]
    plain = [
        {n: some.plain_cell(r[n], t) for n, t in OWN.items()}
        | {"sequence": LETTERS[i], "length": len(LETTERS[i]), "bio_type": "dna"}
        | {"usr_state__masked": True if i < 2 else None}
        | {"usr_state__qc_status": "pass" if i < 2 else None, "usr__deleted": i == len(ids) - 1}
        for i, r in enumerate(final)
    ]
    with ds._ctx.merged() as merged:
        for where in wheres:
            expected = [keeps(where, r, some.SCHEMA) for r in plain]
            assert evaluate(where, merged, batch_rows=3).tolist() == expected
            got = [b.column("id").to_pylist() for b in filtered_batches(merged, where, ["id"])]
            alive = [i for i, k in zip(ids[:-1], expected, strict=False) if k]
            assert [i for batch in got for i in batch] == alive


@pytest.fixture
def ds(root: Path, tmp_path: Path) -> Dataset:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "registry.yaml").write_bytes((root / "registry.yaml").read_bytes())
    made = new(folder, LETTERS)
    ids = made.head(99)["id"].tolist()
    scores = pa.array([3.0, 1.0, None, float("nan"), 3.0, -1.0], pa.float32())
    tfs = ["lexA", "lexA", "cpxR", "cpxR", None, "lexA"]
    made.write_overlay_part("e", pa.table({"id": ids[:6], "e__llr": scores, "e__tf": tfs}))
    return made


def kept(ds: Dataset, where, **how) -> list[int]:
    with ds._ctx.merged(**how) as merged:
        return np.flatnonzero(evaluate(where, merged)).tolist()


def test_only_the_columns_that_are_named_are_read(ds, monkeypatch):
    (ds.dir / "_derived/a").mkdir(parents=True)
    (ds.dir / f"_derived/a/part-20260101T000000000000Z-{1:032x}.parquet").write_bytes(b"no")
    assert kept(ds, F["e__llr"] > 2) == [0, 4]
    with pytest.raises(Exception, match="part-2026"):
        kept(ds, F["a__int8"] > 2)


def test_overlays_that_a_read_leaves_out_can_still_be_asked(ds):
    assert kept(ds, F["e__llr"] > 2, include_overlays=False) == [0, 4]


def test_a_column_that_vanished_is_named_with_what_there_is(ds):
    with pytest.raises(SchemaError, match="Did you mean 'e__llr'"):
        kept(ds, F["e__llt"] > 2)
    with pytest.raises(SchemaError, match="'a__int8' does not exist"):
        kept(ds, F["a__int8"] > 2)
    with pytest.raises(SchemaError, match="e__tf is string"):
        kept(ds, F["e__tf"] > 2)


def test_state_and_tombstones_before_and_after_there_are_any(ds):
    ids = ds.head(99)["id"].tolist()
    assert kept(ds, F.masked == False) == list(range(7))  # noqa: E712
    assert kept(ds, F["usr_state__qc_status"].is_null()) == list(range(7))
    assert kept(ds, F.deleted == True) == []  # noqa: E712
    ds.set_state(ids[1], masked=True, qc_status="fail", split="val")
    ds.tombstone(ids[2])
    assert kept(ds, F.masked == True) == [1]  # noqa: E712
    assert kept(ds, (F.qc_status == "fail") & (F.split == "val")) == [1]
    assert kept(ds, F.deleted == True) == [2]  # noqa: E712
    assert kept(ds, F.deleted == True, include_deleted=True) == [2]  # noqa: E712


def test_explain_counts_each_chip_alone_and_names_the_strictest(ds):
    ds.tombstone(ds.head(1)["id"].tolist())
    with ds._ctx.merged() as merged:
        found = explain((F["e__llr"] > 0) & (F.length > 100) & (F.length > 4), merged)
        assert (found.total, found.kept, found.strictest) == (6, 0, 1)
        assert [(c.line, c.alone, c.without) for c in found.chips] == [
            ("e__llr > 0", 2, 0), ("length > 100", 0, 1), ("length > 4", 5, 0),
        ]  # fmt: skip
        one = explain(F.length > 4, merged, batch_rows=2)
        assert (one.total, one.kept, one.strictest, one.chips[0].without) == (6, 5, None, 6)
        every = explain(F.everything, merged)
        assert (every.total, every.kept, every.chips) == (6, 6, ())


def test_explain_breaks_a_tie_by_what_would_come_back(ds):
    with ds._ctx.merged() as merged:
        chips = (F.length > 9, F["e__tf"] == "cpxR", F["e__llr"] == -1)
        found = explain(chips[0] & chips[1] & chips[2], merged)
        assert found.kept == 0
        assert found.strictest == 2


def test_progress_can_cancel(ds):
    def stop(_):
        raise UserAbort("enough")

    with pytest.raises(UserAbort), reporting(stop), ds._ctx.merged() as merged:
        evaluate(F.length > 3, merged)


# Motif hits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"mismatches": 2, "strand": "-"}, {"circular": True}])
def test_hits_are_rows_with_ids_places_and_text(ds, how):
    with ds._ctx.merged() as merged:
        found = find_motif(merged, "GAATTC", batch_rows=3, **how)
    ids = ds.head(99)["id"].tolist()
    expected = [(ids[i], *h) for i, s in enumerate(LETTERS) for h in hits(s, "GAATTC", **how)]
    rows = found.table.to_pylist()
    got = [(r["id"], r["start"], r["end"], r["strand"], r["mismatches"]) for r in rows]
    assert got == expected
    assert (found.records, found.hits) == (7, len(expected))
    assert found.sequences == len({e[0] for e in expected})
    assert found.is_whole


def test_the_text_of_a_hit_is_read_along_its_strand_and_over_the_end(ds):
    with ds._ctx.merged() as merged:
        found = find_motif(merged, "ATATTG", where=F.length == 13)
        assert found.table.to_pylist()[0]["text"] == "ATATTG"
        assert found.table.to_pylist()[0]["strand"] == "-"
        over = find_motif(merged, "TCGA", strand="+", circular=True, where=F.length == 6)
        assert [r["text"] for r in over.table.to_pylist()] == ["TCGA"]
        few = find_motif(merged, "N", limit=5, batch_rows=2)
        assert few.table.num_rows == 5
        assert few.hits == sum(map(len, LETTERS))
        assert not few.is_whole
        none = find_motif(merged, "WWWWWWWWWWWWWWW")
        assert (none.table.num_rows, none.hits, none.sequences) == (0, 0, 0)


def test_hidden_records_are_not_searched(ds):
    ds.tombstone(ds.head(99)["id"].tolist()[-1:])
    with ds._ctx.merged() as merged:
        assert find_motif(merged, "GAATTC").records == 6
        assert find_motif(merged, "GAATTC").hits == 0


# Order and picks ----------------------------------------------------------------------------------


def order(ds: Dataset, by) -> list[int]:
    with ds._ctx.merged() as merged:
        return sorted_rows(merged, np.arange(7), sort_keys(by)).tolist()


def test_nulls_come_last_either_way_and_nan_before_them(ds):
    assert order(ds, F["e__llr"]) == [5, 1, 0, 4, 3, 2, 6]
    assert order(ds, F["e__llr"].desc()) == [0, 4, 1, 5, 3, 2, 6]
    assert order(ds, "length desc, id") == sorted(
        range(7), key=lambda i: (-len(LETTERS[i]), ds.head(99)["id"][i])
    )


def test_text_times_and_truth_can_be_sorted_lists_cannot(ds):
    assert order(ds, "e__tf") == [2, 3, 0, 1, 5, 4, 6]
    assert order(ds, [F.masked, F.created_at.desc()]) == list(range(7))
    with pytest.raises(SchemaError, match="no order"):
        order(ds, "usr_state__lineage")
    for bad in ("length upward", "", "nope desc", 3, [None]):
        with pytest.raises(ValidationError):
            order(ds, bad)


def picked(ds: Dataset, **how) -> list[int]:
    ids = ds.head(99)["id"].tolist()
    with ds._ctx.merged() as merged:
        return [ids.index(i) for i in pick(merged, **how).ids]


def test_top_per_group_and_always(ds):
    ids = ds.head(99)["id"].tolist()
    best = F["e__llr"].desc()
    assert picked(ds) == list(range(7))
    assert picked(ds, order_by=best, top=2) == [0, 4]
    assert picked(ds, order_by=best, top=1, per=F["e__tf"]) == [0, 4, 3]
    assert picked(ds, order_by=best, top=1, per="e__tf", always=[ids[5]]) == [5, 4, 3]
    assert picked(ds, where=F.length > 9, always=ids[1:2]) == [1, 0, 3]
    assert picked(ds, top=1, always=ids[4:6]) == [4, 5]
    assert ds.pick(top=1, always=[ids[4][:7]]).ids == (ids[4],)
    assert picked(ds, top=0) == []
    with pytest.raises(RecordNotFound):
        picked(ds, always=["f" * 40])
    ds.tombstone(ids[:1])
    with pytest.raises(RecordNotFound, match="deleted"):
        picked(ds, always=ids[:1])
    for bad in ({"top": -1}, {"per": "e__tf"}, {"metric": "edit"}, {"always": ids[1]},
                {"metric": "cosine", "min_distance": 1}, {"metric": "edit", "min_distance": 0},
                {"top": 1, "per": "usr_state__lineage"}):  # fmt: skip
        with pytest.raises(ValidationError):
            picked(ds, **bad)


def test_a_selection_keeps_ids_rule_and_where_it_was_made(ds):
    with ds._ctx.merged() as merged:
        made = pick(merged, where=F.length > 5, order_by="e__llr desc", top=2, metric="hamming",
                    min_distance=1)  # fmt: skip
        assert made.fingerprint == pick(merged).fingerprint
    assert made.where == (F.length > 5)
    assert made.rule.order_by == ("e__llr desc",)
    assert "Li & Godzik" in (made.rule.method or "")
    assert Selection.from_json(made.to_json()) == made
    with pytest.raises(AttributeError):
        made.ids = ()  # type: ignore[misc]
    # A part takes no slot, and yet the dataset is another one now.
    ds.write_overlay_part("e", pa.table({"id": list(made.ids), "e__llr": [0.0, 0.0]}))
    with ds._ctx.merged() as merged:
        later = pick(merged)
    assert (later.slot, later.fingerprint != made.fingerprint) == (made.slot, True)
    for bad in ("", "[]", "{}", made.to_json().replace('"slot"', '"slots"'), "null"):
        with pytest.raises(ValidationError):
            Selection.from_json(bad)


def edits(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, last = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
    return row[-1]


def plainly_apart(texts: list[str], metric: str, minimum: int) -> list[bool]:
    kept: list[str] = []
    out = []
    for text in (t.upper() for t in texts):
        if metric == "edit":
            near = any(edits(text, k) < minimum for k in kept)
        else:
            near = any(len(k) == len(text) and sum(x != y for x, y in zip(k, text, strict=True))
                       < minimum for k in kept)  # fmt: skip
        out.append(not near)
        kept += [] if near else [text]
    return out


@settings(max_examples=80)
@given(
    st.lists(st.text("ACGTa", max_size=9), max_size=12),
    st.sampled_from(["hamming", "edit"]),
    st.integers(1, 5),
)
def test_what_is_picked_is_far_apart(texts, metric, minimum):
    found = list(far_apart(texts, metric=metric, minimum=minimum))
    assert found == plainly_apart(texts, metric, minimum)


def test_many_kept_sequences_of_growing_length_are_still_compared():
    texts = ["A" * n for n in range(1, 90, 3)] * 2
    found = list(far_apart(texts, metric="edit", minimum=2))
    assert found == plainly_apart(texts, "edit", 2)
    with pytest.raises(ValidationError, match="too many"):
        far_apart(["A"] * 60_000, metric="hamming", minimum=1)


@pytest.mark.parametrize("metric", ["hamming", "edit"])
def test_sequences_longer_than_all_that_are_kept_are_compared(metric):
    texts = ["A" * 67, "A" * 200, "A" * 66 + "C", "A" * 500, "C" * 200, "A" * 67]
    found = list(far_apart(texts, metric=metric, minimum=2))
    assert found == plainly_apart(texts, metric, 2) == [True, True, False, True, True, False]


def test_a_distance_stops_at_the_number_that_is_wanted(ds):
    assert picked(ds, metric="hamming", min_distance=9, top=2) == [0, 1]
    assert picked(ds, metric="hamming", min_distance=9) == [0, 1, 3, 4, 6]
    assert picked(ds, metric="hamming", min_distance=9, top=1, per="e__tf") == [0, 2, 4]


def test_a_filter_over_a_table_in_memory_is_the_same(ds):
    whole = table(ds)
    where = (F["e__llr"] > 0) | F.motif("GAATTC")
    batch = whole.combine_chunks().to_batches()[0]
    assert np.flatnonzero(mask_of(where, batch)).tolist() == kept(ds, where)


def test_times_of_records_are_compared(ds):
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert kept(ds, F.created_at == at) == list(range(7))
    assert kept(ds, F.created_at < at) == []


def test_a_table_of_kept_rows_reads_like_any_other(ds):
    ds.tombstone(ds.head(1)["id"].tolist())
    with ds._ctx.merged() as merged:
        where = "e__llr > 0 and not e__tf == cpxR"
        some_rows = kept_rows(merged, where)
        assert isinstance(some_rows, Kept)
        assert some_rows.rows().tolist() == [1, 4]
        whole = merged.table()
        assert some_rows.table().equals(whole.take([0, 3]))
        assert some_rows.table(["id"], limit_base=3).equals(whole.select(["id"]).take([0]))
        assert some_rows.first(1, ["length"])["length"].to_pylist() == [8]
        assert kept_rows(merged, F.nothing).table().equals(whole.slice(0, 0))
        assert kept_rows(merged, None) is merged
        with pytest.raises(ValidationError, match="a filter or a line"):
            kept_rows(merged, 3)
        with pytest.raises(ValidationError, match="column 4"):
            kept_rows(merged, "gc ~ 3")


def test_reads_and_exports_keep_what_a_filter_keeps(tmp_path):
    ds = new(fresh(tmp_path, a="a__x:int64"), LETTERS)
    frame = ds.head(99)
    ids = frame["id"].tolist()
    ds.write_overlay("a", pa.table({"id": ids, "x": list(range(len(ids)))}))
    ds.tombstone(ids[:1])
    wanted = [i for i, n in zip(ids[1:], frame["length"][1:], strict=True) if n > 7]
    for where in (F.length > 7, "length > 7"):
        batches = ds.scan(["id"], where=where)
        assert [i for b in batches for i in b["id"].to_pylist()] == wanted
        assert ds.head(2, where=where)["id"].tolist() == wanted[:2]
        found = ds.export("csv", tmp_path / "out.csv", ["id"], where=where)
        assert (found.rows, found.hidden) == (len(wanted), 1)
        assert (tmp_path / "out.csv").read_text().replace(chr(34), "").split()[1:] == wanted
    assert ds.head(9, ["id"], include_derived=False, where="a__x > 4")["id"].tolist() == ids[5:]
    assert list(ds.pick(where="length > 7", order_by="length desc", top=1).ids) == [
        max(zip(frame["length"][1:], ids[1:], strict=True), key=lambda p: p[0])[1]
    ]
    with pytest.raises(SchemaError, match="lengt"):
        ds.head(where="lengt > 7")
