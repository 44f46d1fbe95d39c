"""Tables in memory and the one function that opens everything."""

from __future__ import annotations

import datetime as dt
import math
import os

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from usr_nb.errors import PathNotFound, SchemaError, SequencesError, ValidationError
from usr_nb.readers import FORMATS, guess_format, open_rows

NAN = float("nan")


def types_of(source, **options):
    return {f.name: f.type for f in open_rows(source, **options).schema}


def test_IMP_6_pandas_missing_cells_are_null(table):
    frame = pd.DataFrame(
        {
            "f": [1.5, NAN],
            "s": ["x", None],
            "t": [pd.Timestamp("2024-01-01", tz="UTC"), pd.NaT],
            "i": pd.array([1, None], dtype="Int64"),
            "o": pd.Series(["x", NAN], dtype=object),
            "n": pd.Series(["x", pd.NA], dtype=object),
            "a": pd.array([1.0, NAN], dtype="Float64"),
            "c": pd.Categorical(["x", None]),
        },
        index=pd.Index(["p", "q"], name="named"),
    )
    found = table(frame)
    assert list(found) == list(frame.columns)
    assert [column[1] for column in found.values()] == [None] * 8
    assert types_of(frame)["c"] == pa.string()


def test_ATT_2_pandas_integers_with_missing_cells_stay_integers():
    frame = pd.DataFrame(
        {
            "a": pd.Series([1, None, 2], dtype=object),
            "b": pd.Series([1, NAN, 2.0], dtype=object),
            "c": pd.Series([1, NAN, 2.5], dtype=object),
            "d": pd.array([1, None, 2], dtype="Int8"),
        }
    )
    assert types_of(frame) == {"a": pa.int64(), "b": pa.int64(), "c": pa.float64(), "d": pa.int8()}


def test_IMP_1_pandas_object_columns(table):
    frame = pd.DataFrame(
        {
            "l": pd.Series([[1, 2], None], dtype=object),
            "n": pd.Series([np.array([1.5]), NAN], dtype=object),
            "m": pd.Series([np.array([[1, 2]]), []], dtype=object),
            "d": pd.Series([{"a": 1}, {"b": "x"}], dtype=object),
        }
    )
    assert table(frame, batch_rows=1) == {
        "l": [[1, 2], None],
        "n": [[1.5], None],
        "m": [[[1, 2]], []],
        "d": [{"a": 1, "b": None}, {"a": None, "b": "x"}],
    }
    with pytest.raises(SchemaError, match=r"'x': row 1 holds a whole number .* row 3 holds text"):
        open_rows(pd.DataFrame({"x": pd.Series([1, None, "a"], dtype=object)}))


def test_IMP_1_pandas_names(table):
    with pytest.raises(SchemaError, match="more than once: 'a'"):
        open_rows(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(SchemaError, match="several levels"):
        open_rows(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])))
    assert table(pd.DataFrame([[1, 2]]), columns=["1"]) == {"1": [2]}


@pytest.mark.parametrize("column", [pd.period_range("2024", periods=1), [1 + 2j], [object()]])
def test_IMP_1_pandas_types_without_arrow_form(column):
    with pytest.raises(SchemaError, match="column 'x'"):
        list(open_rows(pd.DataFrame({"x": column})))


def test_IMP_1_polars_frames(table):
    frame = pl.DataFrame({"s": ["x", None, "y"], "f": [NAN, 1.0, None], "l": [[1], [], None]})
    for source in (frame, frame.lazy()):
        found = table(source, columns=["s", "l"], batch_rows=2)
        assert found == {"s": ["x", None, "y"], "l": [[1], [], None]}
        rows = open_rows(source)
        assert [sum(b.num_rows for b in rows) for _ in range(2)] == [3, 3]
    assert open_rows(frame).num_rows == 3
    assert types_of(pl.DataFrame({"c": pl.Series(["a"], dtype=pl.Categorical)})) == {
        "c": pa.string()
    }


def test_IMP_6_nan_of_arrow_and_polars_stays_nan(table):
    for source in (pa.table({"x": [NAN]}), pl.DataFrame({"x": [NAN]}), [{"x": NAN}]):
        value = table(source)["x"][0]
        assert math.isnan(value)


def test_IMP_1_polars_query_that_fails_is_typed():
    query = pl.DataFrame({"a": ["x"]}).lazy().select(pl.col("a").cast(pl.Int64, strict=True))
    with pytest.raises(SchemaError, match="Polars could not compute"):
        list(open_rows(query))
    with pytest.raises(SchemaError, match="Polars could not compute"):
        open_rows(pl.DataFrame({"a": ["x"]}).lazy().select("zzz"))


class Stream:
    """Anything with the one method is a table."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def test_IMP_1_arrow_sources(table):
    source = pa.table({"a": [1, 2, 3], "b": ["x", "y", None]})
    expected = source.to_pydict()
    assert table(source) == expected
    assert table(source.to_batches()[0]) == expected
    assert table(pa.RecordBatchReader.from_batches(source.schema, source.to_batches())) == expected
    assert table(Stream(source), columns=["b"], batch_rows=2) == {"b": expected["b"]}
    with pytest.raises(SchemaError, match="is no table"):
        open_rows(Stream(pa.chunked_array([[1]])))


def test_IMP_1_one_shot_streams_say_so():
    source = pa.table({"a": [1]})
    for stream in (Stream(source), source.to_reader(), iter([{"a": 1}]), iter(["ACGT"])):
        rows = open_rows(stream)
        assert sum(b.num_rows for b in rows) == 1
        with pytest.raises(SequencesError, match="cannot be read twice"):
            list(rows)


def test_IMP_1_lists_of_strings_and_dicts(table):
    assert table(["ACGT", None, ""]) == {"sequence": ["ACGT", None, ""]}
    assert table(({"a": 1}, {"b": np.float32(1.5)})) == {"a": [1, None], "b": [None, 1.5]}
    assert table([]) == {}
    assert table([{"t": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}])["t"][0].year == 2024
    assert types_of([{"n": 1}], types={"n": pa.int8()}) == {"n": pa.int8()}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["ACGT", {"a": 1}], "row 2 is {'a': 1}, not text"),
        ([{"a": 1}, "ACGT"], "row 2 is 'ACGT', not a dict"),
        ([{"a": 1}, None], "row 2 is None, not a dict"),
        ([1, 2], "row 1 is 1, not a dict"),
        ([{1: 2}], "row 1: the key 1 is not text"),
        ([{"a": 1}, {"a": object()}], "column 'a', row 2: <object object"),
        ([{"a": 1}, {"a": "x"}], "row 1 holds a whole number .* row 2 holds text"),
    ],
)
def test_IMP_1_bad_rows_are_named(rows, message):
    with pytest.raises(SchemaError, match=message):
        open_rows(rows)


def test_IMP_5_iterator_takes_its_columns_from_the_first_batch(table):
    many = [{"a": i, "b": None} for i in range(25)]
    assert table(iter(many), batch_rows=10)["a"] == list(range(25))
    for late, message in (
        ({"z": 1}, "row 26 has a column 'z'"),
        ({"a": "x"}, "row 26: 'x' is text"),
    ):
        with pytest.raises(SchemaError, match=message):
            list(open_rows(iter([*many, late]), batch_rows=10))


@pytest.mark.parametrize(
    "source", [{"a": [1]}, b"ACGT", 5, None, {"ACGT"}, object(), pl.Series([1])]
)
def test_IMP_1_what_is_no_table_is_refused(source):
    with pytest.raises(ValidationError, match="cannot be read as a table"):
        open_rows(source)


def test_IMP_1_open_files_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("ACGT\n")
    with (
        (tmp_path / "a.txt").open() as file,
        pytest.raises(ValidationError, match="cannot be read"),
    ):
        open_rows(file)


@pytest.mark.parametrize(
    ("name", "fmt"),
    [
        ("a.csv", "csv"), ("a.TSV.gz", "tsv"), ("a.ndjson", "jsonl"), ("x/a.jsonl.gz", "jsonl"),
        ("a.parquet", "parquet"), ("a.xlsx", "xlsx"), ("a.b.fna.gz", "fasta"), ("a.faa", "fasta"),
    ],
)  # fmt: skip
def test_IMP_1_formats_are_guessed(name, fmt):
    assert guess_format(name) == fmt
    assert fmt in FORMATS


@pytest.mark.parametrize("name", ["a", "a.txt", "a.gz", "a.parquet.gz", "a.xlsx.gz", ".csv"])
def test_IMP_1_unknown_suffix_lists_the_formats(name):
    with pytest.raises(ValidationError) as e:
        guess_format(name)
    assert "csv, tsv, jsonl, parquet, xlsx, fasta" in e.value.hint


def test_IMP_1_named_formats(write, table):
    assert table(write("a.txt", "a\tb\n1\t2\n"), fmt="tsv") == {"a": ["1"], "b": ["2"]}
    with pytest.raises(ValidationError, match="'cvs' is not known") as e:
        open_rows(write("b.csv", "a\n1\n"), fmt="cvs")
    assert "Did you mean 'csv'?" in e.value.hint
    with pytest.raises(ValidationError, match="for files"):
        open_rows(["ACGT"], fmt="csv")
    with pytest.raises(ValidationError, match="in memory"):
        open_rows(write("c.csv", "a\n1\n"), fmt="table")


def test_IMP_1_paths(write, tmp_path):
    path = write("sequences.csv", "a\n1\n")
    assert open_rows(path).label == str(path)
    assert open_rows(["A"]).label == "<table>"
    with pytest.raises(PathNotFound) as e:
        open_rows(tmp_path / "sequence.csv")
    assert e.value.hint == "Did you mean 'sequences.csv'?"
    for bad in (tmp_path, str(path) + "/x.csv", "a\0.csv", "x" * 5000 + ".csv", ""):
        with pytest.raises(PathNotFound):
            open_rows(bad)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ValidationError, match="not a regular file"):
        open_rows(tmp_path / "pipe.csv")


def test_IMP_1_bad_options():
    with pytest.raises(ValidationError, match="batch_rows"):
        open_rows(["A"], batch_rows=0)
    with pytest.raises(ValidationError, match="list of names"):
        open_rows(["A"], columns="sequence")
