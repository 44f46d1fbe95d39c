"""ATT: a long input that is taken range by range gives the part that the plain way gives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import new_dataset, new_root
from usr_nb import Dataset, SequencesError, compute_id, register_namespace
from usr_nb.dataset import overlays
from usr_nb.overlay import ranges

N = 60
SEQUENCES = ["".join("ACGT"[(i >> (2 * k)) & 3] for k in range(4)) for i in range(N)]
IDS = [compute_id("dna", s) for s in SEQUENCES]
STRANGE = [compute_id("dna", "T" * n) for n in range(10, 20)]
SCHEMA = pa.schema(
    [("id", pa.string()), ("x", pa.float64()), ("v", pa.list_(pa.float64())), ("t", pa.string())]
)
CELLS = st.tuples(
    st.none() | st.floats(allow_nan=False), st.none() | st.lists(st.floats(0, 1), max_size=3),
    st.none() | st.text("ab\n", max_size=3),
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = new_root(tmp_path_factory.mktemp("ranges"))
    register_namespace(root, namespace="r", columns="x:float64,v:list<float64>,t:string")
    return new_dataset(root, sequences=SEQUENCES)


def attached(ds: Dataset, path, patch: pytest.MonkeyPatch, *, long_rows: int, allow: bool):
    """Attach, and return what was written or the error, without leaving anything."""
    patch.setattr(overlays, "LONG_ROWS", long_rows)
    folder = ds.records_path.parent / "_derived" / "r"
    try:
        done = ds.attach(path, "r", allow_missing=allow)
    except SequencesError as error:
        return type(error), str(error), None
    found = list(folder.glob("part-*.parquet"))
    table = pq.read_table(found[0], page_checksum_verification=True) if found else None
    for f in found:
        f.unlink()
    return done, table and table.schema.remove_metadata(), table


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_ATT_1_range_by_range_is_as_all_at_once(dataset, tmp_path_factory, data):
    ids = data.draw(st.lists(st.sampled_from(IDS), unique=True, max_size=N).map(list))
    extra = data.draw(st.lists(st.sampled_from(STRANGE + IDS[:3] + ["", "x"]), max_size=2))
    rows = data.draw(st.permutations(ids + extra))
    cells = [data.draw(CELLS) for _ in rows]
    table = pa.table([rows, *map(list, zip(*cells, strict=True))] if rows else [[]] * 4,
                     schema=SCHEMA)  # fmt: skip
    path = tmp_path_factory.mktemp("in") / "in.parquet"
    pq.write_table(table, path, row_group_size=7)
    allow = data.draw(st.booleans())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "RUN_ROWS", 11)
        patch.setattr("usr_nb.readers.parquet._fitting_rows", lambda *_: 4)
        patch.setattr(ranges, "RANGE_ROWS", data.draw(st.sampled_from([5, 16, 100])))
        patch.setattr(ranges, "MEMORY_BYTES", data.draw(st.sampled_from([0, 600, 1 << 20])))
        ours = attached(dataset, path, patch, long_rows=0, allow=allow)
        plain = attached(dataset, path, patch, long_rows=1 << 40, allow=allow)
    assert ours[:2] == plain[:2]
    assert (ours[2] is None) == (plain[2] is None)
    if ours[2] is not None:
        assert ours[2].equals(plain[2])
    assert not list((dataset.records_path.parent / "_txn").glob(".tmp-*"))


@pytest.mark.parametrize("twice", [IDS[0], STRANGE[0]])
def test_ATT_3_an_id_that_comes_again_in_a_later_run_is_refused(
    dataset, tmp_path, monkeypatch, twice
):
    """The first and the last row, far from one another, are of one id."""
    monkeypatch.setattr(ranges, "RUN_ROWS", 11)
    monkeypatch.setattr("usr_nb.readers.parquet._fitting_rows", lambda *_: 4)
    path = tmp_path / "in.parquet"
    ids = [twice, *IDS[1:], twice]
    pq.write_table(pa.table({"id": ids, "x": np.arange(len(ids)) / 7}), path, row_group_size=7)
    ours = attached(dataset, path, monkeypatch, long_rows=0, allow=True)
    plain = attached(dataset, path, monkeypatch, long_rows=1 << 40, allow=True)
    assert ours == plain
    assert issubclass(ours[0], SequencesError)


def test_ATT_1_a_long_input_is_not_held_as_a_whole(dataset, tmp_path, monkeypatch):
    table = pa.table({"id": IDS, "x": np.arange(N) / 7})
    pq.write_table(table, tmp_path / "in.parquet")

    def refuse(_):
        raise AssertionError("all rows at once")

    monkeypatch.setattr(overlays, "LONG_ROWS", N)
    monkeypatch.setattr(overlays, "_together", refuse)
    assert dataset.attach(tmp_path / "in.parquet", "r") == N
    for part in (dataset.records_path.parent / "_derived" / "r").glob("part-*.parquet"):
        part.unlink()


def test_ATT_3_values_that_are_there_are_still_protected(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(overlays, "LONG_ROWS", 1)
    pq.write_table(pa.table({"id": IDS, "x": np.arange(N) / 7}), tmp_path / "in.parquet")
    dataset.attach(tmp_path / "in.parquet", "r")
    with pytest.raises(SequencesError, match="already has values"):
        dataset.attach(tmp_path / "in.parquet", "r")
    assert dataset.attach(tmp_path / "in.parquet", "r", allow_overwrite=True) == N
    for part in (dataset.records_path.parent / "_derived" / "r").glob("part-*.parquet"):
        part.unlink()
