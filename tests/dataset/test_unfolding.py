"""MAT-1: materializing by copying what is encoded gives the base of the plain way."""

from __future__ import annotations

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import new_dataset, new_root
from tests.dataset.test_appending import sequences
from usr_nb import Dataset, compute_id
from usr_nb.dataset import unfolding

GROUP = 16
ROWS = 3 * GROUP + 5
IDS = [compute_id("dna", s) for s in sequences(0, ROWS)]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Row groups of 16 rows, and no base too small to be copied."""
    monkeypatch.setattr("usr_nb.dataset.unfolding._WORTH_ROWS", 1)
    monkeypatch.setattr("usr_nb.dataset.unfolding._GROUPS_AT_ONCE", 2)
    monkeypatch.setattr("usr_nb.storage.parquet.ROW_GROUP_ROWS", GROUP)
    monkeypatch.setattr("usr_nb.storage.parquet.WRITE_ROWS", 2 * GROUP)


@pytest.fixture
def copied(monkeypatch):
    """The columns that the last materialize copied, or None."""
    seen = []
    real = unfolding._find

    def watched(*args):
        found = real(*args)
        seen.append(None if found is None else sorted(found.of))
        return found

    monkeypatch.setattr(unfolding, "_find", watched)
    return seen


def table(columns: dict, rows: list[int], salt: int) -> pa.Table:
    """Cells that tell row, column and part."""
    cells = {"n": lambda i: i + salt / 8, "s": lambda i: None if i % 5 == 0 else f"{salt}-{i}",
             "l": lambda i: [float(i), None] if i % 3 else None}  # fmt: skip
    return pa.table({"id": [IDS[i] for i in rows], **{c: [cells[c](i) for i in rows]
                                                      for c in columns}})  # fmt: skip


def write(ds: Dataset, ns: str, columns, rows, salt: int) -> None:
    ds.write_overlay_part(ns, table(columns, rows, salt))


def made(root, steps) -> Dataset:
    ds = new_dataset(new_root(root), sequences=[])
    ds.add_sequences(sequences(0, ROWS), bio_type="dna", alphabet="dna_4", source="t",
                     created_at="2026-01-01T00:00:00Z")  # fmt: skip
    for salt, step in enumerate(steps):
        if step == "materialize":
            with ds.maintenance("test"):
                ds.materialize()
        elif step == "compact":
            if (ds.dir / "_derived" / "m").is_dir():
                with ds.maintenance("test"):
                    ds.compact_overlay("m")
        elif step == "tombstone":
            ds.tombstone(IDS[3:7])
        elif step == "drop":
            with ds.maintenance("test"):
                ds.materialize(drop_deleted=True)
        else:
            columns, rows = step
            write(ds, "m", columns, rows, salt)
    with ds.maintenance("test"):
        ds.materialize()
    return ds


EVERY = list(range(ROWS))
part = st.tuples(
    st.lists(st.sampled_from(["n", "s", "l"]), min_size=1, max_size=3, unique=True),
    st.just(EVERY) | st.lists(st.integers(0, ROWS - 1), min_size=1, unique=True),
)


@given(steps=st.lists(part | st.sampled_from(["materialize", "compact", "tombstone"]), max_size=5))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_MAT_1_the_base_is_that_of_the_plain_way(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("unfold")
    ours = made(folder / "a", steps).records_path
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("usr_nb.dataset.unfolding._WORTH_ROWS", 10**9)
        theirs = made(folder / "b", steps).records_path
    a, b = pq.read_table(ours, page_checksum_verification=True), pq.read_table(theirs)
    assert a.schema.equals(b.schema)
    assert a.equals(b)
    assert set(a.schema.metadata) == set(b.schema.metadata)
    assert pl.read_parquet(ours).equals(pl.read_parquet(theirs))
    with duckdb.connect() as con:
        rows = [con.sql(f"FROM '{p}'").to_arrow_table() for p in (ours, theirs)]
    assert rows[0].equals(rows[1])


def test_MAT_1_an_aligned_overlay_is_copied(tmp_path, copied):
    ds = made(tmp_path, [(["n", "l"], EVERY[::-1])])
    assert copied == [sorted([*pq.read_schema(ds.records_path).names])]
    found = pq.read_table(ds.records_path)
    assert found.column("m__n").to_pylist() == table(["n"], EVERY, 0).column("n").to_pylist()


@pytest.mark.parametrize("steps", [
    [(["n"], EVERY), (["n"], [1])],  # two parts speak
    [(["n"], EVERY[:-1])],  # a row is missing
    ["materialize", (["n"], [0, 1]), "compact"],  # one part, and it covers two rows
], ids=str)  # fmt: skip
def test_MAT_1_what_is_not_aligned_is_merged(tmp_path, copied, steps):
    made(tmp_path, steps)
    assert "m__n" not in copied[-1]
    assert "sequence" in copied[-1]


def test_OVL_9_cells_for_which_no_part_spoke_are_merged(tmp_path, copied):
    ds = made(tmp_path, [(["n"], EVERY), "materialize", (["s"], EVERY), (["n"], [4]), "compact"])
    assert pq.read_table(ds.records_path).column("m__n").to_pylist()[4] == 4 + 3 / 8
    assert "m__s" in copied[0] or copied[0] is not None


def test_VAL_a_part_that_is_not_what_its_commit_told_of_is_merged(tmp_path, copied):
    ds = new_dataset(new_root(tmp_path), sequences=[])
    ds.add_sequences(sequences(0, ROWS), bio_type="dna", alphabet="dna_4")
    write(ds, "m", ["n"], EVERY, 0)
    path = next((ds.dir / "_derived" / "m").iterdir())
    other = pq.read_table(path)
    pq.write_table(other, path, row_group_size=GROUP)
    with ds.maintenance("test"):
        ds.materialize()
    assert "m__n" not in copied[0]
    assert pq.read_table(ds.records_path).column("m__n").equals(other.column("m__n"))


def test_MAT_2_rows_that_go_take_the_plain_way(tmp_path, copied):
    ds = made(tmp_path, [(["n"], EVERY), "tombstone", "drop"])
    assert pq.read_metadata(ds.records_path).num_rows == ROWS - 4
    assert len(copied) == 1  # The last one, which leaves out nothing.


def test_MAT_1_keys_in_another_order_are_not_taken_for_aligned(tmp_path, copied):
    """A part of another tool may have as many rows, in the same groups, in any order."""
    ds = new_dataset(new_root(tmp_path), sequences=[])
    ds.add_sequences(sequences(0, ROWS), bio_type="dna", alphabet="dna_4")
    write(ds, "m", ["n"], EVERY, 0)
    path = next((ds.dir / "_derived" / "m").iterdir())
    given = pq.read_table(path)
    upside_down = given.take(pa.array(EVERY[::-1])).replace_schema_metadata(given.schema.metadata)
    pq.write_table(upside_down, path, row_group_size=GROUP)
    with pytest.MonkeyPatch.context() as patch, ds.maintenance("test"):
        patch.setattr("usr_nb.storage.digests.newest", lambda *_: "told")
        patch.setattr("usr_nb.storage.splice.FileSource.sha256", lambda _: "told")
        ds.materialize()
    assert "m__n" not in copied[0]
    assert (
        pq.read_table(ds.records_path).column("m__n").to_pylist()
        == given.column("m__n").to_pylist()
    )
