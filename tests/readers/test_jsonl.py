"""JSON lines."""

from __future__ import annotations

import gzip
import json
import math

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from usr_nb.errors import SchemaError
from usr_nb.readers import jsonl, open_rows


def lines(*objects):
    return "".join(json.dumps(o) + "\n" for o in objects)


def schema_of(path, **options):
    return {f.name: f.type for f in open_rows(path, **options).schema}


def test_IMP_1_union_of_keys_and_types(write, table):
    path = write(
        "a.jsonl",
        "\ufeff"
        + lines({"s": "A", "n": 1}, {"n": 2.5, "l": [1, None]})
        + "\n \r\n"
        + lines({"b": True}),
    )
    assert table(path) == {
        "s": ["A", None, None],
        "n": [1.0, 2.5, None],
        "l": [None, [1, None], None],
        "b": [None, None, True],
    }
    assert schema_of(path)["l"] == pa.list_(pa.int64())


def test_IMP_1_structs_empty_lists_and_nulls(write):
    path = write("a.jsonl", lines({"s": {"a": 1}, "e": [], "z": None}, {"s": {"b": ["x"]}}))
    assert schema_of(path) == {
        "s": pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]),
        "e": pa.list_(pa.null()),
        "z": pa.null(),
    }


def test_IMP_1_gzip_and_ndjson(write, table):
    packed = gzip.compress(b'{"a":1}\n{"a":2}')
    assert table(write("a.ndjson.gz", packed)) == {"a": [1, 2]}


def test_IMP_6_nan_and_infinity_are_floats(write, table):
    found = table(write("a.jsonl", '{"x": NaN}\n{"x": -Infinity}\n{"x": null}\n'))["x"]
    assert math.isnan(found[0])
    assert found[1:] == [-math.inf, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":1}\n{"a":\n', "line 2: Expecting value"),
        ("{'a':1}\n", "line 1: Expecting property name"),
        ("\n[1]\n", "line 2 is no object"),
        ('{"a":1} {"a":2}\n', "line 1: Extra data"),
        ('{"a":1,"a":2}\n', "line 1: the key 'a' appears twice"),
        ('{"a":1}\n{"a":{"b":1,"b":1}}\n', "line 2: the key 'b' appears twice"),
        ('{"a":' + "[" * 100_000 + "\n", "line 1 is nested too deeply"),
        ('{"a":' + "[" * 50 + "]" * 50 + "}\n", "row 1: nested deeper than 32"),
        ('{"a":' + "9" * 5000 + "}\n", "line 1: Exceeds the limit"),
        ('{"a":1}\n{"a":18446744073709551616}\n', "row 2: 18446744073709551616 does not fit 64"),
        ('{"a":-1}\n{"a":9223372036854775808}\n', "row 2: .* does not fit int64, and row 1"),
        ('{"a":1.5}\n{"a":9007199254740993}\n', "row 2: 9007199254740993 is not exact as a float"),
        ('{"a":"\\ud800"}\n', "row 1: .* cannot be string"),
        ('{"\\ud800":1}\n', "row 1: the key .* is not valid Unicode"),
        (
            '{"a":1}\n{"b":2}\n{"a":"x"}\n',
            r"'a': row 1 holds a whole number \(1\), row 3 holds text",
        ),
        ('{"a":true}\n{"a":1}\n', "row 1 holds true or false .* row 2 holds a whole number"),
        ('{"a":[1]}\n{"a":[2,"x"]}\n', "'a': row 1 holds a whole number .* row 2 holds text"),
        ('{"a":[1]}\n{"a":{"b":1}}\n', "row 1 holds a list .* row 2 holds an object"),
    ],
)
def test_IMP_1_errors_name_the_place(write, text, message):
    with pytest.raises(SchemaError, match=message) as e:
        list(open_rows(write("a.jsonl", text)))
    assert "a.jsonl" in e.value.message
    assert e.value.hint


def test_IMP_1_invalid_utf8_and_long_lines(write, monkeypatch):
    with pytest.raises(SchemaError, match="line 2 is not UTF-8"):
        open_rows(write("a.jsonl", b'{"a":1}\n{"a":"\xff"}\n'))
    monkeypatch.setattr(jsonl, "_LONGEST_LINE", 100)
    with pytest.raises(SchemaError, match="line 2 is longer"):
        open_rows(write("b.jsonl", '{"a":1}\n{"a":"' + "x" * 200 + '"}\n'))


def test_ATT_2_wished_types_are_given(write, table):
    path = write("a.jsonl", lines({"n": 1.0, "v": [1, 2], "f": 1, "t": "2024-01-01T10:00:00Z"}, {}))
    wished = {
        "n": pa.int16(),
        "v": pa.list_(pa.float32(), 2),
        "f": pa.float16(),
        "t": pa.timestamp("us", tz="UTC"),
        "absent": pa.string(),
    }
    assert schema_of(path, types=wished) == {k: v for k, v in wished.items() if k != "absent"}
    found = table(path, types=wished)
    assert found["n"] == [1, None]
    assert found["v"] == [[1.0, 2.0], None]
    assert found["t"][0].isoformat() == "2024-01-01T10:00:00+00:00"


@pytest.mark.parametrize(
    ("value", "dtype", "problem"),
    [
        (1.5, pa.int64(), "cannot be int64 .not a whole number"),
        (300, pa.int8(), "cannot be int8"),
        (1, pa.string(), "is a whole number, not string"),
        ("1", pa.int64(), "is text, not int64"),
        (True, pa.float64(), "is true or false, not float64"),
        (1e300, pa.float32(), "cannot be float32 .too large"),
        ([1e300], pa.list_(pa.float32()), "cannot be list<float32> .too large"),
        ([1.5], pa.list_(pa.int8()), "cannot be list<int8> .not a whole"),
        ([1], pa.list_(pa.int8(), 2), r"cannot be fixed_size_list<int8>\[2\]"),
        ({"a": 1, "z": 2}, pa.struct([("a", pa.int8())]), "is a key that struct<a:int8> does not"),
        ("yesterday", pa.timestamp("us"), r"cannot be timestamp\[us\]"),
    ],
)
def test_ATT_2_unfit_value_names_row_value_and_type(write, value, dtype, problem):
    path = write("a.jsonl", lines({"x": None}, {"x": value}))
    with pytest.raises(SchemaError, match=f"column 'x', row 2: .*{problem}"):
        list(open_rows(path, types={"x": dtype}))


def test_ATT_4_text_in_a_list_column_stays_text(write):
    path = write("a.jsonl", lines({"x": "[1, 2]"}, {"x": None}))
    assert schema_of(path, types={"x": pa.list_(pa.int64())}) == {"x": pa.string()}


def test_IMP_1_columns_left_out_are_not_looked_at(write, table):
    path = write("a.jsonl", lines({"s": "A", "m": 1}, {"m": "x"}))
    assert table(path, columns=["s"]) == {"s": ["A", None]}
    with pytest.raises(SchemaError, match="no column 'seq'"):
        open_rows(path, columns=["seq"])


def test_IMP_5_types_found_late_hold_for_all_batches(write, table):
    path = write("a.jsonl", lines(*[{"n": i} for i in range(25)], {"n": 0.5, "late": "x"}))
    found = table(path, batch_rows=10)
    assert found["n"] == [*map(float, range(25)), 0.5]
    assert found["late"] == [None] * 25 + ["x"]


@pytest.mark.parametrize("line", ['{"k%d":1}\n', '{"a":{"k%d":1}}\n', '{"a":[{"k%d":1}]}\n'])
def test_IMP_5_keys_without_end_are_refused(write, line, in_time):
    path = write("a.jsonl", "".join(line % (i % 10_000) for i in range(30_000)))
    with pytest.raises(SchemaError, match="share hardly any"):
        open_rows(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "s": st.none() | st.text(st.characters(codec="utf-8"), max_size=4),
                "i": st.none() | st.integers(-(2**63), 2**63 - 1),
                "f": st.none() | st.floats(allow_nan=False),
                "l": st.none() | st.lists(st.none() | st.lists(st.integers(0, 9), max_size=2)),
                "o": st.none()
                | st.fixed_dictionaries({"p": st.booleans(), "q": st.none() | st.text("ab")}),
            },
        ),
        max_size=8,
    )
)
def test_IMP_1_values_come_back_as_written(write, table, rows):
    path = write("p.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    names = list(dict.fromkeys(key for row in rows for key in row))
    assert table(path, batch_rows=3) == {name: [row.get(name) for row in rows] for name in names}
