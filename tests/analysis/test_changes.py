"""What changed per column between two moments, against what readers saw at both."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.dataset.kit import IDS, new_dataset, new_root
from usr_nb.analysis.history import EventHistory
from usr_nb.errors import ValidationError


def last(ds) -> int:
    return len(ds.events_path.read_bytes().splitlines()) - 1


def seen(ds) -> pd.DataFrame:
    return ds.head_table(100).to_pandas().set_index("id")


@pytest.fixture
def ds(tmp_path):
    return new_dataset(new_root(tmp_path))


def change(ds, first, second):
    found = EventHistory(ds).changes(first, second)
    return {c.name: (c.added, c.changed, c.removed) for c in found.columns}, found.unknown


def test_first_other_and_lost_values_are_told_apart(ds):
    start = last(ds)
    ds.write_overlay_part("k", pa.table({"id": IDS[:3], "x": [1.0, 2.0, float("nan")]}))
    middle = last(ds)
    ds.write_overlay_part("k", pa.table({"id": IDS[:4], "x": [1.0, None, float("nan"), 7.0]}))
    ds.write_overlay_part("m", pa.table({"id": IDS[:1], "n": [4.0]}))
    end = last(ds)
    assert change(ds, start, middle) == ({"k__x": (3, 0, 0)}, {})
    assert change(ds, end, middle) == ({"k__x": (1, 0, 1), "m__n": (1, 0, 0)}, {})
    assert change(ds, start, end) == ({"k__x": (3, 0, 0), "m__n": (1, 0, 0)}, {})
    assert change(ds, end, end) == ({}, {})
    with pytest.raises(ValidationError):
        change(ds, 0, end + 1)


def test_an_import_gives_new_rows_and_leaves_the_others(ds):
    ds.write_overlay_part("k", pa.table({"id": IDS[:2], "x": [1.0, 2.0]}))
    ds.add_sequences(["ACACACAC"], bio_type="dna", alphabet="dna_4")
    ds.write_overlay_part("k", pa.table({"id": IDS[:1], "x": [3.0]}))
    assert change(ds, 0, last(ds)) == ({"k__x": (2, 0, 0)}, {})


def test_what_was_rewritten_since_is_not_guessed(ds):
    start = last(ds)
    for x in (1.0, 2.0):
        ds.write_overlay_part("k", pa.table({"id": IDS[:2], "x": [x, x]}))
    ds.write_overlay_part("m", pa.table({"id": IDS[:1], "n": [4.0]}))
    ds.set_state(IDS[0], qc_status="pass")
    middle = last(ds)
    with ds.maintenance(reason="t"):
        ds.compact_overlay("k")
    known, unknown = change(ds, start, middle)
    assert known == {"m__n": (1, 0, 0)}
    assert set(unknown) == {"k", "usr_state"}
    assert "compact_overlay" in unknown["k"]
    with ds.maintenance(reason="t"):
        ds.materialize()
    known, unknown = change(ds, start, middle)
    assert (known, set(unknown)) == ({}, {"k", "m", "usr_state"})
    assert "materialize" in unknown["m"]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.integers(0, 5), st.sampled_from([None, 1.0, 2.0]), min_size=1, max_size=6
        ),
        min_size=1, max_size=5,
    ),
    st.integers(0, 4),
)  # fmt: skip
def test_the_difference_is_that_of_what_readers_saw(tmp_path_factory, parts, cut):
    ds = new_dataset(new_root(tmp_path_factory.mktemp("x")))
    lines, views = [last(ds)], [seen(ds)]
    for part in parts:
        rows = [{"id": IDS[i], "x": x} for i, x in part.items()]
        ds.write_overlay_part("k", pa.Table.from_pylist(rows, pa.schema(
            [("id", pa.string()), ("x", pa.float64())])))  # fmt: skip
        lines.append(last(ds))
        views.append(seen(ds))
    at = min(cut, len(parts) - 1)
    old = views[at].get("k__x", pd.Series(index=views[at].index, dtype=float))
    new = views[-1]["k__x"]
    wanted = (
        int((old.isna() & new.notna()).sum()),
        int((old.notna() & new.notna() & (old != new)).sum()),
        int((old.notna() & new.isna()).sum()),
    )
    assert change(ds, lines[at], lines[-1]) == ({"k__x": wanted}, {})
