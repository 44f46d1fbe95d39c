"""`usr ls` reads footers by itself: it must say what pyarrow says."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.cli.conftest import run
from usr_nb import Dataset
from usr_nb.dataset.glance import summaries
from usr_nb.errors import StorageError
from usr_nb.storage.footer import read_counts

TYPES = [
    pa.int32(), pa.string(), pa.bool_(), pa.list_(pa.float32()), pa.timestamp("us", "UTC"),
    pa.struct([("a", pa.int8()), ("b", pa.list_(pa.string()))]), pa.decimal128(9, 2),
]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(st.sampled_from(TYPES), min_size=1, max_size=40),
    st.integers(0, 50),
    st.dictionaries(st.binary(max_size=20), st.binary(max_size=300), max_size=5),
    st.sampled_from(["1.0", "2.6"]),
)
def test_the_footer_reader_agrees_with_pyarrow(tmp_path: Path, types, rows, metadata, version):
    schema = pa.schema([(f"c{i}", t) for i, t in enumerate(types)], metadata=metadata)
    table = pa.table([pa.nulls(rows, t) for t in types], schema=schema)
    path = tmp_path / "x.parquet"
    pq.write_table(table, path, version=version, row_group_size=7)
    assert read_counts(path) == (rows, len(types))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.binary(max_size=200))
def test_damage_is_a_typed_error(tmp_path: Path, body: bytes):
    path = tmp_path / "x.parquet"
    for content in (body, body + len(body).to_bytes(4, "little") + b"PAR1"):
        path.write_bytes(content)
        try:
            rows, cols = read_counts(path)
        except StorageError:
            continue
        assert isinstance(rows, int)
        assert isinstance(cols, int)


def test_GET_1_ls_says_what_the_datasets_say(root: Path):
    for line in summaries(root):
        ds = Dataset.open(root, line["dataset"])
        info = ds.info()
        base = pq.read_schema(ds.records_path)
        assert line["rows"] == info.rows
        assert line["cols"] == len(base.names)
        assert line["size_bytes"] == info.size_bytes == ds.records_path.stat().st_size
        assert line["updated"] == info.updated


def test_a_damaged_dataset_is_listed_with_nulls(root: Path, demo: Dataset):
    demo.records_path.write_bytes(b"no")
    data = run("ls", "--format", "json").data
    assert data[0] == {
        "dataset": "densegen/demo", "rows": None, "cols": None, "size_bytes": None,
        "updated": None,
    }  # fmt: skip
    assert "–" in run("ls").out


def test_a_footer_cut_anywhere_is_a_typed_error(demo: Dataset, tmp_path: Path):
    whole = demo.records_path.read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    footer = whole[-8 - length : -8]
    path = tmp_path / "cut.parquet"
    # A footer may end early only behind the two numbers that are asked for.
    for cut in range(0, 120, 5):
        path.write_bytes(footer[:cut] + cut.to_bytes(4, "little") + b"PAR1")
        with pytest.raises(StorageError):
            read_counts(path)
