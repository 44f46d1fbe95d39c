"""Ids kept in memory between writes: right after any change of the base, and in any part."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import IDS, new_dataset, new_root
from usr_nb import RecordNotFound, compute_id
from usr_nb.contract.hashing import id_words
from usr_nb.overlay import attach, kept, ranges
from usr_nb.overlay.idindex import Finder

ID = st.integers(0, 30).map(lambda i: compute_id("dna", "A" * (i + 1)))
ODD = st.sampled_from(["", "x", "é" * 20, "G" * 40, "0" * 39])


@given(
    base=st.lists(ID, unique=True),
    parts=st.lists(st.lists(ID | ODD, unique=True), min_size=1, max_size=4),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_OVL_9_codes_are_those_of_all_keys_in_base_order(base, parts):
    finder = Finder(id_words(pa.array(base, pa.string())))
    together = pa.chunked_array([pa.array(p, pa.string()) for p in parts])
    space = kept.IdSpace(finder, [pa.chunked_array([c]) for c in together.chunks])
    every = list(dict.fromkeys(k for p in parts for k in p))
    known = sorted((k for k in every if k in base), key=base.index)
    expected = known + [k for k in every if k not in base]
    assert space.keys.to_pylist() == expected
    assert space.size == len(expected)
    assert [expected[c] for c in space.all_codes] == together.to_pylist()
    for start in range(len(expected)):
        assert space.names(start, start + 2).to_pylist() == expected[start : start + 2]
    assert space.base_rows.tolist() == [base.index(k) for k in known]
    for keys in (together, pa.chunked_array([pa.array(parts[-1], pa.string())])):
        assert [expected[c] for c in space.codes(keys)] == keys.to_pylist()


def test_DEL_1_a_base_that_grew_is_looked_into_anew(tmp_path):
    """Twice the same dataset, each time with more rows: nobody sees the ids of before."""
    ds = new_dataset(new_root(tmp_path), sequences=["AAAA", "CCCC"])
    ds.tombstone(compute_id("dna", "AAAA"))
    with pytest.raises(RecordNotFound):
        ds.tombstone(compute_id("dna", "GGGG"))
    ds.add_sequences(["GGGG"], bio_type="dna", alphabet="dna_4")
    assert ds.tombstone(compute_id("dna", "GGGG")) == 1
    part = pa.table({"id": [compute_id("dna", "GGGG")], "n": [1.0]})
    assert ds.write_overlay_part("m", part) == 1


def test_two_datasets_do_not_see_the_ids_of_one_another(tmp_path):
    root = new_root(tmp_path)
    one, two = (new_dataset(root, n, [s]) for n, s in (("a", "AAAA"), ("b", "CCCC")))
    for ds, mine, other in ((one, "AAAA", "CCCC"), (two, "CCCC", "AAAA"), (one, "AAAA", "CCCC")):
        with pytest.raises(RecordNotFound):
            ds.tombstone([compute_id("dna", mine), compute_id("dna", other)])
        assert ds.tombstone(compute_id("dna", mine)) == 1


def test_a_long_base_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MOST_ROWS", 3)
    kept._kept.clear()
    ds = new_dataset(new_root(tmp_path))
    ds.tombstone(IDS[0])
    assert not kept._kept
    monkeypatch.setattr(kept, "MOST_ROWS", 6)
    ds.tombstone(IDS[1])
    assert [len(f.words) for f in kept._kept.values()] == [6]


def test_ids_come_back_as_the_text_they_were():
    ids = pa.array(IDS)
    assert kept.ids_of(id_words(ids)[np.array([3, 0])]).to_pylist() == [IDS[3], IDS[0]]


LISTS = st.lists(
    st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=4), min_size=1, max_size=20
)


EVEN = st.integers(1, 3).flatmap(
    lambda n: st.lists(
        st.lists(st.none() | st.integers(-9, 9), min_size=n, max_size=n), min_size=1, max_size=20
    )
)


@given(cells=LISTS | EVEN, data=st.data())
def test_ATT_1_lists_in_another_order_are_what_arrow_makes_of_them(cells, data):
    """Pieces, slices, empty lists, nulls in lists and instead of them."""
    begin = data.draw(st.integers(0, len(cells) - 1))
    values = pa.array(cells, pa.list_(pa.int64()))[begin:]
    at = np.array(data.draw(st.lists(st.integers(0, len(values) - 1), max_size=30)), np.int64)
    assert ranges.picked(values, at).equals(values.take(pa.array(at)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attach, "_PIECE", 3)
        patch.setattr(attach, "_MANY", 0)
        chunked = pa.chunked_array([values[:1], values[1:]])
        assert attach._taken(chunked, at).to_pylist() == values.take(pa.array(at)).to_pylist()


@pytest.mark.parametrize(
    "cells", [[[1, 2], [3], [4, 5]], [[1], [2, 3], [4]], [[1, 2], [], [3, 4], [5, 6]]]
)
def test_ATT_1_lists_of_nearly_one_length_do_not_move_as_blocks(cells):
    values = pa.array(cells, pa.list_(pa.int64()))
    at = np.arange(len(cells))[::-1].copy()
    assert ranges.picked(values, at).to_pylist() == cells[::-1]


@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=5))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_IMP_4_an_append_carries_the_ids_on(tmp_path_factory, sizes):
    """What the next write looks up is what it would have read, and it reads nothing."""
    ds = new_dataset(new_root(tmp_path_factory.mktemp("grown")), sequences=[])
    every = ["".join("ACGT"[(i >> (2 * k)) & 3] for k in range(4)) for i in range(sum(sizes))]
    done = 0
    with pytest.MonkeyPatch.context() as patch:
        for i, n in enumerate(sizes):
            ds.add_sequences(every[done : done + n], bio_type="dna", alphabet="dna_4")
            done += n
            if i == 0:
                with ds._ctx.merged() as merged:
                    kept.finder_of(merged)
                patch.setattr(kept, "_words", lambda _: pytest.fail("the ids were read again"))
    with ds._ctx.merged() as merged:
        finder = kept.finder_of(merged)
    ids = id_words(pa.array([compute_id("dna", s) for s in every]))
    assert np.array_equal(finder.words, ids)
    assert np.array_equal(finder.entries, Finder(ids).entries)
    assert np.array_equal(finder._starts, Finder(ids)._starts)
    again = ds.add_sequences(every, bio_type="dna", alphabet="dna_4", on_conflict="ignore")
    assert (again.added, again.skipped) == (0, len(every))
