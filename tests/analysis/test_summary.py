"""Histograms, grids, nulls and pages, against counting one value at a time."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from hypothesis import given, strategies as st

from usr_nb.analysis.pages import display_order, for_display, page_count, page_rows
from usr_nb.analysis.summary import grid, histogram, null_summary

FLOATS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, width=64),
    st.floats(-100, 100),
    st.integers(-5, 5).map(float),
)
ROWS = st.lists(st.tuples(FLOATS, FLOATS, st.booleans()), max_size=30)


def arrays(rows):
    x, y, keep = ([*column] for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return np.array(x, float), np.array(y, float), np.array(keep, bool)


@given(ROWS, st.integers(1, 60), st.booleans())
def test_every_finite_value_lies_in_the_one_bin_that_counts_it(rows, bins, whole):
    x, _, keep = arrays(rows)
    h = histogram(x, keep, bins=bins, whole=whole)
    assert (np.diff(h.edges) > 0).all()
    assert len(h.rows) == len(h.matching) == len(h.edges) - 1
    assert len(h.rows) <= bins + 2
    for i, (low, high) in enumerate(zip(h.edges[:-1], h.edges[1:], strict=True)):
        inside = [low <= value < high or (i == len(h.rows) - 1 and value == high) for value in x]
        assert h.rows[i] == sum(inside)
        assert h.matching[i] == sum(a and b for a, b in zip(inside, keep, strict=True))
    finite = [math.isfinite(value) for value in x]
    assert h.rows.sum() + h.missing == len(x)
    assert h.missing == finite.count(False)
    assert h.matching.sum() + h.matching_missing == keep.sum()


def test_bins_are_round_and_as_wide_as_asked():
    values = np.array([40.0, 60.0, 300.0])
    keep = np.ones(3, bool)
    assert set(np.diff(histogram(values, keep, whole=True).edges)) == {10.0}
    assert histogram(values, keep, step=100).edges.tolist() == [0, 100, 200, 300, 400]
    small = histogram(np.array([1.0, 2.0]), keep[:2], whole=True)
    assert small.edges.tolist() == [1, 2, 3]
    assert histogram(np.array([]), keep[:0]).rows.sum() == 0


@given(ROWS)
def test_a_grid_counts_every_pair_once(rows):
    x, y, keep = arrays(rows)
    # Sums of huge numbers overflow; positions of sequences and percentages do not come near.
    x, y = (np.where(np.abs(v) > 1e100, math.nan, v) for v in (x, y))
    cells = grid(x, y, keep)
    pairs = [(a, b, k) for a, b, k in zip(x, y, keep, strict=True) if math.isfinite(a + b)]
    assert sum(c.rows for c in cells) == len(pairs)
    assert sum(c.matching for c in cells) == sum(k for _, _, k in pairs)
    for c in cells:
        assert c.rows > 0
        assert c.x0 <= c.x1
        inside = [p for p in pairs if c.x0 <= p[0] < c.x1 and c.y0 <= p[1] < c.y1]
        assert len(inside) == c.rows
        np.testing.assert_allclose(c.x, np.mean([p[0] for p in inside]), atol=1e-9, rtol=1e-6)
        np.testing.assert_allclose(c.y, np.mean([p[1] for p in inside]), atol=1e-9, rtol=1e-6)


@given(st.lists(st.tuples(st.one_of(st.none(), FLOATS), st.booleans()), max_size=20))
def test_nulls_are_counted_and_nan_is_a_value(rows):
    values, keep = [r[0] for r in rows], np.array([r[1] for r in rows], bool)
    table = pa.table({"x": pa.array(values, pa.float64()), "y": pa.array([1] * len(rows))})
    x, y = null_summary(table, keep)
    assert x.nulls == values.count(None)
    assert x.matching_nulls == sum(v is None and k for v, k in zip(values, keep, strict=True))
    assert (y.nulls, y.rows, y.matching) == (0, len(rows), keep.sum())
    if rows:
        assert x.percent == 100 * values.count(None) / len(rows)


def test_shares_of_nothing_are_zero():
    [n] = null_summary(pa.table({"x": pa.array([], pa.int8())}), np.zeros(0, bool))
    assert (n.percent, n.matching_percent) == (0.0, 0.0)


# ------------------------------------------------------------------ pages


@given(st.lists(st.booleans(), max_size=50), st.integers(1, 12))
def test_pages_hold_every_matching_row_once_and_in_order(keep, size):
    mask = np.array(keep, bool)
    table = pa.table({"n": pa.array(range(len(keep)), pa.int64())})
    pages = page_count(mask, page_size=size)
    found = [
        page_rows(table, mask, page=p + 1, page_size=size)["n"].to_pylist() for p in range(pages)
    ]
    assert [n for page in found for n in page] == [i for i, k in enumerate(keep) if k]
    assert all(len(page) == size for page in found[:-1])
    assert page_rows(table, mask, page=pages + 1, page_size=size).num_rows == 0


def test_cells_read_as_a_person_would_write_them():
    table = pa.table({
        "id": ["0123456789abcdef", None],
        "n": pa.array([1, None], pa.int32()),
        "x": [math.nan, 0.5],
        "ok": [True, None],
        "note": ["", "<b>"],
        "vec": pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)),
        "names": [["a", "b"], []],
        "sites": pa.array([[{"tf": "lexa", "offset": 3}], None]),
        "at": pa.array([datetime(2026, 1, 31, 12, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
    })  # fmt: skip
    shown = for_display(table)
    assert math.isnan(shown.pop("x")[0])
    assert shown == {
        "id": ["01234567", "–"],
        "n": [1, None],
        "ok": ["True", "–"],
        "note": ['""', "<b>"],
        "vec": ["vec[2]", "–"],
        "names": ["a, b", "[]"],
        "sites": ["tf=lexa offset=3", "–"],
        "at": ["2026-01-31 12:00:00", "–"],
    }
    assert list(for_display(table, ["note", "id"])) == ["note", "id"]


def test_what_all_records_share_comes_last():
    columns = ["id", "bio_type", "sequence", "alphabet", "length", "source", "created_at", "a__x"]
    assert display_order(columns) == [
        "id", "sequence", "length", "a__x", "bio_type", "alphabet", "source", "created_at",
    ]  # fmt: skip
