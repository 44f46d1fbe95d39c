"""REC-6, OVL-2: Parquet with checksums, readable everywhere; a footer rewritten, rows untouched."""

from __future__ import annotations

import math
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.storage.kit import write_table
from usr_nb.errors import PathNotFound, StorageError
from usr_nb.storage import door, parquet
from usr_nb.storage.parquet import (
    ROW_GROUP_ROWS,
    file_metadata,
    open_parquet,
    reading,
    regroup,
    require_file,
    rewrite_footer,
    with_metadata,
    writer,
)


def table(rows: int, seed: int = 1) -> pa.Table:
    rng = random.Random(seed)
    return pa.table({
        "id": [f"{rng.getrandbits(160):040x}" for _ in range(rows)],
        "sequence": ["".join(rng.choices("ACGT", k=60)) for _ in range(rows)],
        "m__x": pa.array([rng.random() for _ in range(rows)], pa.float64()),
        "m__v": pa.array([[rng.random()] * 2 for _ in range(rows)], pa.list_(pa.float32())),
        "m__kind": pa.array([rng.choice(["a", "b"]) for _ in range(rows)]),
        "m__s": pa.array([{"y": rng.random(), "n": i} for i in range(rows)],
                         pa.struct([("y", pa.float64()), ("n", pa.int64())])),
    })  # fmt: skip


def columns_of(path: Path) -> dict[str, pq.ColumnChunkMetaData]:
    group = pq.read_metadata(path).row_group(0)
    return {c.path_in_schema: c for c in (group.column(i) for i in range(group.num_columns))}


def test_REC_6_zstd_small_groups_and_the_right_encodings(tmp_path):
    path = write_table(tmp_path / "x.parquet", table(2 * ROW_GROUP_ROWS + 5))
    meta = pq.read_metadata(path)
    groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    assert groups == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 5]
    assert ROW_GROUP_ROWS == 8192
    columns = columns_of(path)
    assert {c.compression for c in columns.values()} == {"ZSTD"}
    for name in ("m__x", "m__v.list.element", "m__s.y"):
        assert "BYTE_STREAM_SPLIT" in columns[name].encodings, name
        assert not columns[name].has_dictionary_page
    for name in ("id", "sequence"):
        assert not columns[name].has_dictionary_page
    assert columns["m__kind"].has_dictionary_page
    with open_parquet(path) as file:
        assert file.read().equals(table(2 * ROW_GROUP_ROWS + 5))


def test_REC_6_every_batch_size_gives_full_groups():
    whole = table(40, seed=2)
    for size in (1, 3, 7, 40):
        batches = [b for i in range(0, 40, size) for b in whole.slice(i, size).to_batches()]
        out = list(regroup(batches, whole.schema, rows=16))
        assert [t.num_rows for t in out] == [16, 16, 8]
        assert pa.concat_tables(out).equals(whole)
    assert list(regroup([], whole.schema)) == []


@pytest.mark.parametrize("column", list(table(1).schema.names))
def test_VAL_a_flipped_bit_in_a_page_is_an_error_not_a_value(tmp_path, column):
    """Without page checksums most of such flips are read silently."""
    data = table(3000)
    clean = write_table(tmp_path / "clean.parquet", data).read_bytes()
    chunks = [
        c for n, c in columns_of(tmp_path / "clean.parquet").items() if n.split(".")[0] == column
    ]
    rng = random.Random(column)
    for n in range(12):
        chunk = rng.choice(chunks)
        # The middle of a chunk is inside the body of its one page.
        start = chunk.data_page_offset + chunk.total_compressed_size // 4
        at = rng.randrange(start, start + chunk.total_compressed_size // 4)
        bad = bytearray(clean)
        bad[at] ^= 1 << rng.randrange(8)
        path = tmp_path / f"{n}.parquet"
        path.write_bytes(bad)
        with (
            pytest.raises(StorageError, match=f"{n}.parquet"),
            reading(path),
            open_parquet(path) as f,
        ):
            f.read(columns=[column])


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"PAR1PAR1", b"x" * 100, b"PAR1" + b"\0" * 50 + b"PAR1",
             b"PAR1" + b"\xff" * 50 + b"PAR1"]
)  # fmt: skip
def test_VAL_what_is_no_parquet_is_a_typed_error(tmp_path, data):
    path = tmp_path / "x.parquet"
    path.write_bytes(data)
    with pytest.raises(StorageError, match="not a readable Parquet file") as e:
        open_parquet(path)
    assert "usr validate" in e.value.hint


def test_VAL_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_parquet(tmp_path / "gone")
    with pytest.raises(StorageError):
        open_parquet(tmp_path)
    for wrong in ("gone", "."):
        with pytest.raises(PathNotFound):
            require_file(tmp_path / wrong)


def test_RCV_1_an_error_in_the_middle_makes_no_whole_file(tmp_path):
    data = table(10)

    def half() -> None:
        with door.new_file(tmp_path / "x") as sink, writer(sink, data.schema) as w:
            w.write_table(data)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert list(tmp_path.iterdir()) == []


def test_REC_4_metadata_keeps_all_but_what_describes_a_lost_form():
    kept = {b"usr:schema_version": b"1", b"mine": b"\xff", b"pandas": b"{}", b"ARROW:schema": b"x"}
    found = with_metadata(table(1).schema, kept).metadata
    assert found == {b"usr:schema_version": b"1", b"mine": b"\xff"}


# The footer alone -----------------------------------------------------------------------------

LEAVES = [pa.string(), pa.bool_(), pa.int8(), pa.int64(), pa.uint16(), pa.uint32(), pa.float32(),
          pa.float64(), pa.timestamp("us", "UTC")]  # fmt: skip
TYPES = st.recursive(
    st.sampled_from(LEAVES),
    lambda c: c.map(pa.list_) | st.tuples(c, st.integers(1, 3)).map(lambda p: pa.list_(*p))
    | st.lists(c, min_size=1, max_size=3).map(
        lambda ts: pa.struct([(f"f{i}", t) for i, t in enumerate(ts)])
    ),
    max_leaves=3,
)  # fmt: skip


def value(rng: random.Random, dtype: pa.DataType) -> object:
    if rng.random() < 0.15:
        return None
    if pa.types.is_struct(dtype):
        return {f.name: value(rng, f.type) for f in dtype}
    if pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype):
        n = dtype.list_size if pa.types.is_fixed_size_list(dtype) else rng.randrange(3)
        return [value(rng, dtype.value_type) for _ in range(n)]
    if pa.types.is_string(dtype):
        return rng.choice(["", "a", "ACGT", "é"])
    if pa.types.is_boolean(dtype):
        return rng.random() < 0.5
    if pa.types.is_floating(dtype):
        return rng.choice([0.0, -1.5, 2.25, math.inf])
    if pa.types.is_timestamp(dtype):
        return datetime(2026, 1, rng.randrange(1, 28), tzinfo=UTC)
    return rng.randrange(100)


def same_everywhere(one: Path, two: Path) -> None:
    with open_parquet(one) as a, open_parquet(two) as b:
        assert a.read().equals(b.read())
        assert a.schema_arrow.equals(b.schema_arrow)
    assert by_duckdb(one).equals(by_duckdb(two))
    assert pl.read_parquet(one).equals(pl.read_parquet(two))
    assert by_duckdb(one).num_rows == pq.read_table(one).num_rows == pl.read_parquet(one).height


def by_duckdb(path: Path) -> pa.Table:
    return duckdb.sql("select * from read_parquet($p)", params={"p": str(path)}).to_arrow_table()


def rewrite(source: Path, target: Path, metadata: dict[bytes, bytes]) -> None:
    target.unlink(missing_ok=True)
    with door.new_file(target) as sink:
        rewrite_footer(sink, source, metadata)


NEW = {b"usr:registry_hash": b"h", b"other": "é".encode()}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TYPES, min_size=1, max_size=4), st.integers(0, 60), st.integers(0, 9))
def test_REG_8_stamping_equals_a_plain_rewrite(tmp_path, types, rows, seed):
    rng = random.Random(seed)
    data = pa.table({
        "id": [f"{i:040x}" for i in range(rows)],
        **{
            f"m__c{i}": pa.array([value(rng, t) for _ in range(rows)], t)
            for i, t in enumerate(types)
        },
    })  # fmt: skip
    old, new, plain = (tmp_path / n for n in ("old", "new", "plain"))
    for path in (old, plain):
        path.unlink(missing_ok=True)
    write_table(old, data.replace_schema_metadata({"usr:registry_hash": "before", "gone": "x"}))
    write_table(plain, data.replace_schema_metadata(NEW))
    rewrite(old, new, NEW)
    with open_parquet(new) as a, open_parquet(plain) as b:
        assert file_metadata(a).keys() == file_metadata(b).keys()
        for key, text in NEW.items():
            assert file_metadata(a)[key] == text
    same_everywhere(new, plain)


def test_REG_8_stamping_copies_row_groups_byte_for_byte(tmp_path):
    old = write_table(tmp_path / "old", table(20_000))
    rewrite(old, tmp_path / "new", NEW)
    rewrite(tmp_path / "new", tmp_path / "again", {})
    data, new = old.read_bytes(), (tmp_path / "new").read_bytes()
    body = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    assert body > 0.9 * len(data)
    assert new[:body] == data[:body]
    assert data != new
    same_everywhere(old, tmp_path / "again")
    damaged = bytearray(new)
    damaged[body // 2] ^= 1
    (tmp_path / "bad").write_bytes(damaged)
    with pytest.raises(StorageError), reading("bad"), open_parquet(tmp_path / "bad") as f:
        f.read()


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "none"}, {"compression": "gzip", "version": "1.0"},
     {"data_page_version": "2.0"}, {"use_deprecated_int96_timestamps": True},
     {"use_compliant_nested_type": False},
     {"store_schema": False}, {"row_group_size": 7}, {"write_page_index": True}],
    ids=str,
)  # fmt: skip
def test_REG_8_stamping_files_of_other_writers(tmp_path, options):
    at = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 50, pa.timestamp("us", "UTC"))
    data = table(50).append_column("at", at)
    old = tmp_path / "old.parquet"
    pq.write_table(data.replace_schema_metadata({"pandas": "{}"}), old, **options)
    rewrite(old, tmp_path / "new.parquet", NEW)
    with open_parquet(old) as a, open_parquet(tmp_path / "new.parquet") as b:
        assert a.read().equals(b.read())
        assert {k: v for k, v in file_metadata(b).items() if k != b"ARROW:schema"} == NEW
    new = tmp_path / "new.parquet"
    # INT96 has no zone and no unit of its own, so other tools see a stamped file as it is meant.
    skip = ["at"] if "use_deprecated_int96_timestamps" in options else []
    assert by_duckdb(new).drop_columns(skip).equals(by_duckdb(old).drop_columns(skip))
    assert pl.read_parquet(new).drop(skip).equals(pl.read_parquet(old).drop(skip))


@pytest.mark.parametrize("read", [
    lambda f: f.read(columns=["id"]),
    lambda f: f.twin().read_row_groups([0, 1], columns=["id"]),
    lambda f: f.twin().read_row_group(0, columns=["id"]),
])  # fmt: skip
def test_REC_6_a_page_that_pyarrow_passes_over_is_missed(tmp_path, read):
    """One flipped bit makes a data page an index page, which no checksum covers."""
    path = tmp_path / "x.parquet"
    pq.write_table(table(10), path, row_group_size=5, use_dictionary=False,
                   write_page_checksum=True)  # fmt: skip
    damaged = bytearray(path.read_bytes())
    assert damaged[4:6] == b"\x15\x00"
    damaged[5] ^= 2
    path.write_bytes(damaged)
    with open_parquet(path) as file:
        assert file.twin().read(columns=["m__x"]).num_rows == 10
        with pytest.raises(StorageError, match="rows found, the footer says"), reading(path):
            read(file)


def _named(path: Path, name: str) -> Path:
    """Write a file whose only difference is a word of its footer."""
    data = pa.table({"v": pa.array([1, 2, 3])}).replace_schema_metadata({"n": name})
    pq.write_table(data, path)
    return path


def _name(path: Path) -> bytes:
    with open_parquet(path, use_kept=True) as file:
        assert file.read()["v"].to_pylist() == [1, 2, 3]
        assert file.twin().group_starts().tolist() == [0, 3]
        return file.metadata.metadata[b"n"]


def test_a_footer_that_is_kept_is_that_of_the_file(tmp_path, monkeypatch):
    """Another file under the same name is another, also of the same size and mtime."""
    monkeypatch.setattr(parquet, "SETTLED_NS", 0)
    path = _named(tmp_path / "x.parquet", "a")
    os.utime(path, ns=(10**18, 10**18))
    assert [_name(path), _name(path)] == [b"a", b"a"]
    with open_parquet(path, use_kept=True) as kept, open_parquet(path) as fresh:
        assert kept.identity() == fresh.identity()
        assert kept.metadata.equals(fresh.metadata)
        assert kept.schema_arrow.equals(fresh.schema_arrow, check_metadata=True)
        assert kept.group_starts().tolist() == fresh.group_starts().tolist()
    other = _named(tmp_path / "y.parquet", "b")
    os.utime(other, ns=(10**18, 10**18))
    assert other.stat().st_size == path.stat().st_size
    other.replace(path)
    assert _name(path) == b"b"


def test_a_footer_is_kept_only_of_a_file_that_has_settled(tmp_path):
    """Written to again within a tick of the clock, a file may have the mtime it had."""
    path = _named(tmp_path / "x.parquet", "a")
    before = path.stat()
    assert _name(path) == b"a"
    path.write_bytes(_named(tmp_path / "y.parquet", "b").read_bytes())
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert _name(path) == b"b"


def test_footers_that_are_kept_take_no_more_than_they_may(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "SETTLED_NS", 0)
    monkeypatch.setattr(parquet, "FOOTER_BYTES", 1_000)
    parquet.forget_footers()
    for name in "abcdefgh":
        assert _name(_named(tmp_path / f"{name}.parquet", name)) == name.encode()
    assert 0 < len(parquet._footers) < 8
