"""Parquet."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from usr_nb.errors import SchemaError
from usr_nb.readers import open_rows
from usr_nb.readers.plain import plain_array, plain_type


@pytest.fixture
def saved(tmp_path):
    def save(table, **options):
        path = tmp_path / "a.parquet"
        pq.write_table(table, path, **options)
        return path

    return save


def test_IMP_1_types_become_plain(saved, table):
    source = pa.table(
        {
            "d": pa.array(["x", None, "x"]).dictionary_encode(),
            "ls": pa.array(["x", None, "y"], pa.large_string()),
            "v": pa.array(["x", None, "y"], pa.string_view()),
            "ll": pa.array([[1], None, []], pa.large_list(pa.int8())),
            "s": pa.array([{"a": "q"}, None, {"a": None}], pa.struct([("a", pa.large_string())])),
        }
    )
    path = saved(source)
    rows = open_rows(path)
    assert rows.schema.types == [
        pa.string(),
        pa.string(),
        pa.string(),
        pa.list_(pa.int8()),
        pa.struct([("a", pa.string())]),
    ]
    assert rows.num_rows == 3
    assert table(path) == source.to_pydict()


def test_IMP_1_columns_and_batches(saved, table):
    path = saved(pa.table({"a": range(100), "b": range(100), "c": range(100)}), row_group_size=30)
    assert table(path, columns=["c", "a"]) == {"c": list(range(100)), "a": list(range(100))}
    assert max(batch.num_rows for batch in open_rows(path, batch_rows=7)) == 7
    with pytest.raises(SchemaError, match="no column 'z'"):
        open_rows(path, columns=["z"])


def test_IMP_1_dotted_names_are_no_paths(saved, table):
    source = pa.table({"a.b": [1], "a": [{"b": 2}]})
    path = saved(source)
    assert table(path, columns=["a.b"]) == {"a.b": [1]}
    assert table(path, columns=["a"]) == {"a": [{"b": 2}]}


def test_IMP_6_arrow_nan_stays_nan(saved, table):
    found = table(saved(pa.table({"x": [float("nan"), None]})))["x"]
    assert found[0] != found[0]
    assert found[1] is None


def test_IMP_1_repeated_names(saved):
    path = saved(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]))
    with pytest.raises(SchemaError, match="more than once: 'a'"):
        open_rows(path)


def test_IMP_1_flipped_bit_in_a_page_is_found(saved):
    path = saved(
        pa.table({"s": [f"ACGT{i}" for i in range(2000)]}),
        compression="zstd",
        write_page_checksum=True,
    )
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 4
    path.write_bytes(data)
    with pytest.raises(SchemaError, match=r"a\.parquet: damaged"):
        list(open_rows(path))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"ACGT" * 100])
def test_IMP_1_no_parquet(write, content):
    with pytest.raises(SchemaError, match="damaged or not a parquet file"):
        open_rows(write("a.parquet", content))


def test_IMP_1_forged_strings_are_not_passed_on(saved):
    array = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    with pytest.raises(SchemaError, match="UTF8"):
        list(open_rows(saved(pa.table({"s": array}))))


SHAPES = [
    pa.array(["x", "y", None, "z"], pa.large_string()).dictionary_encode(),
    pa.array(
        [[{"q": "x"}], None, [], [{"q": None}]],
        pa.large_list(pa.struct([("q", pa.dictionary(pa.int8(), pa.string()))])),
    ),
    pa.array([["x"], ["y"], None, ["z", None]], pa.list_view(pa.string_view())),
    pa.array([["x"], ["y"], None, ["z", None]], pa.large_list_view(pa.large_string())),
    pa.array([[("k", "v")], [], None, [("a", None)]], pa.map_(pa.string(), pa.large_string())),
    pa.array([["x", "y"], None, ["a", None], ["q", "r"]], pa.list_(pa.large_string(), 2)),
    pa.array([["x"], None, [None], []], pa.list_(pa.field("element", pa.string()))),
    pa.array([{}, None, {}, {}], pa.struct([])),
    pa.array([b"x", None, b"y", b"z"], pa.binary_view()),
    pa.array([[[1], [2, 3]], None, [[]], [None]], pa.large_list(pa.list_view(pa.int8()))),
]


@pytest.mark.parametrize("array", SHAPES, ids=lambda a: str(a.type)[:40])
def test_IMP_1_slices_of_any_layout_keep_their_values(array):
    dtype = plain_type(array.type)
    assert plain_type(dtype) == dtype
    for part in (array, array.slice(1), array.slice(1, 2), array.slice(3, 0)):
        found = plain_array(part, dtype)
        found.validate(full=True)
        assert found.type == dtype
        assert found.to_pylist() == part.to_pylist()
