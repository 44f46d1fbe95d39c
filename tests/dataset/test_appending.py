"""REC-5: appending copies what is encoded, and the base reads as if it had been written anew."""

from __future__ import annotations

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import new_dataset, new_root
from usr_nb import Dataset, DuplicateIDError
from usr_nb.dataset import appending
from usr_nb.storage import splice

GROUP = 16


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Row groups of 16 rows, and no base too small to be copied."""
    monkeypatch.setattr("usr_nb.dataset.appending._WORTH_ROWS", 1)
    monkeypatch.setattr("usr_nb.dataset.appending.ROW_GROUP_ROWS", GROUP)
    monkeypatch.setattr("usr_nb.storage.parquet.ROW_GROUP_ROWS", GROUP)
    monkeypatch.setattr("usr_nb.storage.parquet.WRITE_ROWS", 3 * GROUP)
    monkeypatch.setattr("usr_nb.dataset.spill.IN_MEMORY_ROWS", 5 * GROUP)


def sequences(start: int, n: int) -> list[str]:
    return ["".join("ACGT"[(i >> (2 * k)) & 3] for k in range(8)) for i in range(start, start + n)]


@pytest.fixture
def copied(monkeypatch):
    """Counts what was copied: the rows that came as encoded groups of the base."""
    seen = []
    real = splice.Assembly.head

    def watched(self, source, groups):
        real(self, source, groups)
        seen.append(sum(g.rows for g in groups))

    monkeypatch.setattr(splice.Assembly, "head", watched)
    return seen


def plain(monkeypatch_context, root, rows_by_import, materialize_at):
    """The same imports, each of them a plain rewrite."""

    def refuse(*_, **__):
        raise splice.Unfit("plain")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appending, "_put_together", refuse)
        return imported(root, rows_by_import, materialize_at)


def imported(root, rows_by_import, materialize_at) -> Dataset:
    ds = new_dataset(root, sequences=[])
    start = 0
    for i, n in enumerate(rows_by_import):
        ds.add_sequences(sequences(start, n), bio_type="dna", alphabet="dna_4",
                         created_at="2026-01-01T00:00:00Z", source="t")  # fmt: skip
        start += n
        if i == materialize_at:
            ids = pa.chunked_array([b.column(0) for b in ds.scan(["id"])])
            ds.write_overlay("m", pa.table({"id": ids, "n": np.arange(len(ids)) / 3,
                                            "l": [[1.0, None]] * len(ids)}))  # fmt: skip
            with ds.maintenance("test"):
                ds.materialize()
    return ds


@given(
    sizes=st.lists(st.integers(1, 9 * GROUP), min_size=1, max_size=4),
    materialize_at=st.integers(-1, 3),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_REC_5_the_base_is_as_if_written_anew(tmp_path_factory, sizes, materialize_at):
    folder = tmp_path_factory.mktemp("append")
    ours = imported(new_root(folder / "a"), sizes, materialize_at).records_path
    theirs = plain(None, new_root(folder / "b"), sizes, materialize_at).records_path
    a, b = pq.read_table(ours, page_checksum_verification=True), pq.read_table(theirs)
    assert a.equals(b)
    assert a.schema.equals(b.schema)
    assert set(a.schema.metadata) == set(b.schema.metadata)
    assert pl.read_parquet(ours).equals(pl.read_parquet(theirs))
    with duckdb.connect() as con:
        ours_rows, theirs_rows = (con.sql(f"FROM '{p}'").to_arrow_table() for p in (ours, theirs))
    assert ours_rows.equals(theirs_rows)


def test_REC_5_small_imports_leave_no_small_groups(tmp_path, copied):
    ds = imported(new_root(tmp_path), [40, 3, 3, 3, 3, 3], -1)
    meta = pq.read_metadata(ds.records_path)
    groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    assert groups == [GROUP, GROUP, GROUP, 55 - 3 * GROUP]
    assert copied == [32, 32, 32, 48, 48]


def test_VAL_a_base_that_is_not_what_its_commit_told_of_is_written_anew(tmp_path, copied):
    """Copying would carry what nobody looked at into a file with a digest of its own."""
    ds = imported(new_root(tmp_path), [40, 3], -1)
    assert copied == [32]
    other = pq.read_table(ds.records_path)
    pq.write_table(other, ds.records_path, compression="snappy")
    ds.add_sequences(sequences(500, 5), bio_type="dna", alphabet="dna_4")
    assert copied == [32]
    meta = pq.read_metadata(ds.records_path)
    assert {meta.row_group(0).column(i).compression for i in range(7)} == {"ZSTD"}
    assert pq.read_table(ds.records_path).slice(0, 43).equals(other)


def test_REC_5_another_writers_form_of_a_column_is_written_anew(tmp_path, monkeypatch):
    ds = imported(new_root(tmp_path), [40], -1)
    table = pq.read_table(ds.records_path)
    at = table.schema.get_field_index("length")
    wide = table.set_column(at, pa.field("length", pa.int64(), nullable=False),
                            table.column("length").cast(pa.int64()))  # fmt: skip
    pq.write_table(wide.replace_schema_metadata(table.schema.metadata), ds.records_path)
    monkeypatch.setattr(splice.FileSource, "sha256", lambda _: "0")
    monkeypatch.setattr("usr_nb.storage.digests.newest", lambda *_: "0")
    ds.add_sequences(sequences(100, 40), bio_type="dna", alphabet="dna_4")
    assert [len(b) for b in ds.scan(["sequence"])] == [80]


def test_IMP_4_repeats_are_folded_where_rows_are_kept_encoded(tmp_path):
    ds = new_dataset(new_root(tmp_path), sequences=[])
    rows = [*sequences(0, 200), *sequences(0, 10), *sequences(200, 100)]
    result = ds.add_sequences(rows, bio_type="dna", alphabet="dna_4", on_conflict="ignore")
    assert (result.added, result.skipped) == (300, 10)
    found = pa.chunked_array([b.column(0) for b in ds.scan(["sequence"])]).to_pylist()
    assert found == sequences(0, 300)


def test_IMP_4_ids_that_are_there_are_found_wherever_they_are(tmp_path):
    ds = imported(new_root(tmp_path), [300], -1)
    rows = [*sequences(1000, 20), sequences(299, 1)[0], *sequences(2000, 5), sequences(0, 1)[0]]
    result = ds.add_sequences(rows, bio_type="dna", alphabet="dna_4", on_conflict="ignore")
    assert (result.added, result.skipped) == (25, 2)


def test_IMP_4_repeats_in_different_batches_are_found(tmp_path):
    ds = new_dataset(new_root(tmp_path), sequences=[])
    rows = pa.Table.from_batches(
        [pa.record_batch({"sequence": sequences(start, 4)}) for start in (0, 4, 3)]
    )
    with pytest.raises(DuplicateIDError, match="rows 4, 9"):
        ds.import_rows(rows)
