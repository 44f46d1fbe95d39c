"""Cells of a few rows are those of the merged table, however the parts lie."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from usr_nb import Dataset, register_namespace
from usr_nb.analysis import cells
from usr_nb.analysis.cells import Cells
from usr_nb.dataset.context import Context
from usr_nb.errors import SchemaError
from usr_nb.storage.roots import Place

ROWS = 40
_count = itertools.count()
part = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.one_of(st.none(), st.integers(-9, 9))),
    min_size=1, max_size=12, unique_by=lambda cell: cell[0],
)  # fmt: skip


def context(ds: Dataset) -> Context:
    return Context(Place(ds.root, ds.name, ds.dir))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    register_namespace(folder, namespace="a", columns="a__x:int64,a__y:list<int64>")
    register_namespace(folder, namespace="b", columns="b__z:string")
    return folder


def dataset(root) -> Dataset:
    ds = Dataset.open(root, f"t/{next(_count)}")
    ds.init()
    texts = [np.base_repr(i + 100, 4).translate(str.maketrans("0123", "ACGT")) for i in range(ROWS)]
    ds.add_sequences([{"sequence": t} for t in texts], bio_type="dna", alphabet="dna_4")
    return ds


@settings(max_examples=20)
@given(
    parts=st.lists(part, max_size=4), lists=st.lists(part, max_size=2), compact=st.booleans(),
    wanted=st.lists(st.integers(0, ROWS - 1), max_size=30),
)  # fmt: skip
def test_OVL_6_cells_are_those_of_the_merged_table(root, parts, lists, compact, wanted):
    ds = dataset(root)
    ids = ds.head_table(ROWS, ["id"])["id"].to_pylist()
    for cut in parts:
        ds.write_overlay_part(
            "a", pa.table({"id": [ids[r] for r, _ in cut],
                           "x": pa.array([v for _, v in cut], pa.int64())})
        )  # fmt: skip
    for cut in lists:
        ds.write_overlay_part(
            "a", pa.table({"id": [ids[r] for r, _ in cut],
                           "y": pa.array([None if v is None else [v, r] for r, v in cut],
                                         pa.list_(pa.int64()))})
        )  # fmt: skip
    if compact and (parts or lists):
        # A compacted part has cells where nobody speaks.
        with ds.maintenance(reason="test"):
            ds.compact_overlay("a")
    ds.write_overlay_part("b", pa.table({"sequence": ds.head_table(3)["sequence"],
                                         "z": ["p", "q", None]}), key="sequence")  # fmt: skip
    with context(ds).merged() as merged:
        names = merged.schema.names
        whole, some = merged.table(), Cells(merged)
        assert some.take(np.array(wanted, np.int64), names).equals(
            whole.take(pa.array(wanted, pa.int64()))
        )
        # Again, now that places and row groups are known.
        again = some.take(np.array(wanted[::-1], np.int64), names[::-1])
        assert again.equals(whole.select(names[::-1]).take(pa.array(wanted[::-1], pa.int64())))
        assert some.is_ready(names)


def test_values_of_the_base_stand_where_no_part_speaks(root):
    ds = dataset(root)
    ids = ds.head_table(ROWS, ["id"])["id"].to_pylist()
    ds.write_overlay_part("a", pa.table({"id": ids, "x": list(range(ROWS))}))
    with ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=False)
    ds.write_overlay_part("a", pa.table({"id": ids[:2], "x": pa.array([None, 7], pa.int64())}))
    with context(ds).merged() as merged:
        found = Cells(merged).take(np.array([3, 0, 1]), ["a__x"])["a__x"].to_pylist()
    assert found == [3, None, 7]


def test_what_is_kept_stays_bounded(root, monkeypatch):
    ds = dataset(root)
    monkeypatch.setattr(cells, "KEPT_BYTES", 500)
    with context(ds).merged() as merged:
        some = Cells(merged)
        for name in ("id", "sequence", "created_at"):
            some.take(np.arange(ROWS), [name])
        assert some.kept_bytes <= 500
        assert some.kept_bytes == sum(v.nbytes for v in some._reader._kept.values())
        with pytest.raises(SchemaError, match="nope"):
            some.take(np.arange(2), ["nope"])
