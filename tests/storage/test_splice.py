"""REC-6: a file put together from encoded row groups is the file that a plain rewrite would be.

Property: whatever the columns and wherever the pieces end, pyarrow, DuckDB and Polars read the
same, and every page still has its checksum. What is unusual is refused before a byte is written.
"""

from __future__ import annotations

import io
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.storage.test_parquet import table as some_table
from usr_nb.errors import StorageError
from usr_nb.storage import door, splice, thrift
from usr_nb.storage.parquet import assembly, encoded, open_parquet, write_batches

TYPES = {
    pa.string(): st.text(max_size=5), pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.float64(): st.floats(), pa.bool_(): st.booleans(), pa.uint8(): st.integers(0, 255),
    pa.list_(pa.float64()): st.lists(st.floats(width=64), max_size=3),
    pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]): st.fixed_dictionaries(
        {"a": st.integers(-9, 9), "b": st.lists(st.text(max_size=2), max_size=2)}
    ),
    pa.timestamp("us", tz="UTC"): st.integers(0, 2**50),
}  # fmt: skip


@st.composite
def pieces(draw):
    """Tables of one schema, some of them empty."""
    kinds = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4))
    schema = pa.schema([(f"c{i}", t) for i, t in enumerate(kinds)])
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))

    def cells(field: pa.Field, n: int) -> pa.Array:
        values = st.none() | TYPES[field.type]
        return pa.array(draw(st.lists(values, min_size=n, max_size=n)), field.type)

    return [pa.table({f.name: cells(f, n) for f in schema}, schema=schema) for n in sizes]


def put_together(path: Path, schema: pa.Schema, groups: list[splice.Group]) -> Path:
    with door.replaced_file(path) as sink:
        assembly(sink, schema).whole(groups)
    return path


def alike(path: Path, other: Path) -> None:
    """Three readers read the same of both, metadata too."""
    # Through lists of text, so that NaN equals NaN.
    a, b = (pq.read_table(p, page_checksum_verification=True) for p in (path, other))
    assert a.schema.equals(b.schema, check_metadata=True)
    assert str(a.to_pylist()) == str(b.to_pylist())
    assert str(pl.read_parquet(path).rows()) == str(pl.read_parquet(other).rows())
    with duckdb.connect() as con:
        rows = [con.sql(f"FROM '{p}'").to_arrow_table().to_pylist() for p in (path, other)]
    assert str(rows[0]) == str(rows[1])


@given(tables=pieces())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_REC_6_pieces_together_are_the_plain_file(tmp_path, tables):
    schema = tables[0].schema.with_metadata({b"usr:x": b"1"})
    groups = [g for t in tables for g in encoded(t).groups]
    path = put_together(tmp_path / "a.parquet", schema, groups)
    with door.replaced_file(tmp_path / "b.parquet") as sink:
        write_batches(sink, schema, tables)
    alike(path, tmp_path / "b.parquet")
    meta = pq.read_metadata(path)
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [
        t.num_rows for t in tables
    ]


@given(tables=pieces(), swap=st.randoms())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_REC_6_columns_of_several_files_in_one(tmp_path, tables, swap):
    """Columns come from different files, in any order."""
    table = tables[0]
    names = list(table.schema.names)
    swap.shuffle(names)
    laid = {n: encoded(table.select([n])) for n in names}
    schema = table.select(names).schema
    chunks = tuple(c for n in names for c in laid[n].select([n], 0))
    path = put_together(tmp_path / "a.parquet", schema, [splice.Group(table.num_rows, chunks)])
    with door.replaced_file(tmp_path / "b.parquet") as sink:
        write_batches(sink, schema, [table.select(names)])
    alike(path, tmp_path / "b.parquet")


@pytest.mark.parametrize("options", [
    {}, {"write_page_index": True}, {"version": "1.0", "compression": "gzip"},
    {"use_dictionary": False, "data_page_size": 200, "store_schema": False},
    {"bloom_filter_options": {"id": True}}, {"data_page_version": "2.0"},
], ids=str)  # fmt: skip
def test_REC_6_files_of_other_writers_are_copied_rightly(tmp_path, options):
    table = some_table(500).select(["id", "m__v", "m__kind", "m__s"])
    try:
        pq.write_table(table, tmp_path / "o.parquet", row_group_size=99, **options)
    except TypeError:
        pytest.skip("this pyarrow has no such option")
    with splice.source_of(tmp_path / "o.parquet") as source:
        laid = splice.lay_out(source)
        with door.replaced_file(tmp_path / "a.parquet") as sink:
            out = assembly(sink, table.schema)
            assert out.fits(laid, table.schema.names)
            out.whole(laid.groups)
    alike(tmp_path / "a.parquet", write(tmp_path / "b.parquet", table))


def write(path: Path, table: pa.Table) -> Path:
    with door.replaced_file(path) as sink:
        write_batches(sink, table.schema, [table])
    return path


def test_REC_6_many_pieces_are_encoded_at_once_and_stay_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("usr_nb.storage.parquet.WRITE_ROWS", 50)
    monkeypatch.setattr("usr_nb.storage.parquet.ROW_GROUP_ROWS", 20)
    table = some_table(730)
    path = tmp_path / "a.parquet"
    with door.replaced_file(path) as sink:
        assert write_batches(sink, table.schema, table.to_batches(max_chunksize=33)) == 730
    assert pq.read_table(path).equals(table)
    pq.write_table(table, tmp_path / "b.parquet")
    assert pl.read_parquet(path).equals(pl.read_parquet(tmp_path / "b.parquet"))


def test_RCV_1_what_does_not_fit_is_refused_before_a_byte_is_written(tmp_path):
    one, other = (encoded(pa.table({"a": pa.array([1], t)})) for t in (pa.int64(), pa.int32()))
    both = encoded(pa.table({"a": [1], "b": [2]}))
    schema = pa.schema([("a", pa.int64())])
    with door.replaced_file(tmp_path / "x") as sink:
        out = assembly(sink, schema)
        assert out.fits(one, ["a"])
        assert not out.fits(other, ["a"])
        assert not out.fits(one, ["b"])
        with pytest.raises(splice.Unfit):
            out.whole([*one.groups, *both.groups])
        assert sink.size == 0


def test_REC_6_a_column_that_may_be_null_does_not_pass_for_one_that_may_not(tmp_path):
    laid = encoded(pa.table({"a": [1]}))
    with door.replaced_file(tmp_path / "x") as sink:
        schema = pa.schema([pa.field("a", pa.int64(), nullable=False)])
        assert not assembly(sink, schema).fits(laid, ["a"])


@given(data=st.data())
@settings(max_examples=200)
def test_footers_of_any_bytes_end_in_a_typed_refusal(data):
    """Flipped, cut or made up: taken apart rightly or refused, never anything else."""
    buffer = io.BytesIO()
    pq.write_table(some_table(40), buffer, row_group_size=9)
    raw = bytearray(buffer.getvalue())
    length = int.from_bytes(raw[-8:-4], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        raw[len(raw) - 8 - length + data.draw(st.integers(0, length - 1))] = data.draw(
            st.integers(0, 255)
        )
    try:
        laid = splice.lay_out(splice.BufferSource(pa.py_buffer(bytes(raw))))
    except StorageError:
        return
    for group in laid.groups:
        assert all(4 <= c.start < c.end <= len(raw) - 8 - length for c in group.chunks)


@given(st.dictionaries(st.integers(1, 300), st.integers(0, 2**40)))
def test_structs_come_apart_as_they_were_put_together(numbers):
    content = {k: thrift.encoded(v) for k, v in numbers.items()}
    found, _, end = thrift.fields(thrift.struct(content))
    assert {k: thrift.number(v) for k, v in found.items()} == numbers
    assert end == len(thrift.struct(content))


def test_what_is_put_together_opens_as_any_file(tmp_path):
    path = put_together(
        tmp_path / "a.parquet", some_table(30).schema, encoded(some_table(30)).groups
    )
    with open_parquet(path) as file:
        assert file.read().equals(some_table(30))
