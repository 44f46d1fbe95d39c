"""Cells into registered types: nothing is lost, or the error names the cell (ATT, IMP-6)."""

from __future__ import annotations

import contextlib
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, strategies as st

from tests.overlay.kit import same
from usr_nb import SchemaError
from usr_nb.contract.types import parse_type
from usr_nb.overlay.cast import cast_column

INTS = {
    f"{sign}int{bits}": (0 if sign else -(2 ** (bits - 1)), 2 ** (bits - (not sign)) - 1)
    for bits in (8, 16, 32, 64)
    for sign in ("", "u")
}
FLOATS = {"float16": np.float16, "float32": np.float32, "float64": np.float64}
EDGES = [
    0,
    1,
    -1,
    127,
    128,
    255,
    256,
    2**15,
    2**24,
    2**24 + 1,
    2**31,
    2**53,
    2**53 + 1,
    2**62,
    2**63,
]


def cast(
    cells: list[Any], source: pa.DataType | None, target: str, *, parse_json: bool = True
) -> Any:
    values = pa.array(cells, source) if source is not None else pa.array(cells)
    chunks = [values.slice(0, len(values) // 2), values.slice(len(values) // 2)]
    column = pa.chunked_array(chunks)
    out = cast_column(
        column, parse_type(target), name="m__x", parse_json=parse_json, where="table.csv"
    )
    assert out.type == parse_type(target)
    return out.to_pylist()


def refused(cells: list[Any], source: pa.DataType | None, target: str, row: int, **how: Any) -> str:
    with pytest.raises(SchemaError) as caught:
        cast(cells, source, target, **how)
    message = caught.value.message
    assert "table.csv" in message
    assert "'m__x'" in message
    assert f"row {row}:" in message
    assert f"not a {target}" in message
    return message


def fits(value: Any, target: str) -> bool:
    """Whether a number is exactly a value of the type, in Python's exact arithmetic."""
    if target in INTS:
        low, high = INTS[target]
        return math.isfinite(value) and value == int(value) and low <= int(value) <= high
    if not math.isfinite(value):
        return True
    with np.errstate(over="ignore"):
        try:
            held = float(FLOATS[target](value))
        except OverflowError:
            return False
    return math.isfinite(held) and (int(held) if isinstance(value, int) else held) == value


def check_numbers(cells: list[Any], source: pa.DataType, target: str) -> None:
    bad = [i for i, v in enumerate(cells) if v is not None and not fits(v, target)]
    if bad:
        message = refused(cells, source, target, bad[0] + 1)
        assert repr(cells[bad[0]])[:50] in message
        return
    got = cast(cells, source, target)
    assert [g is None for g in got] == [c is None for c in cells]
    for g, c in zip(got, cells, strict=True):
        if c is not None:
            assert g == c or (math.isnan(g) and math.isnan(c))


@given(
    st.sampled_from(list(INTS)).flatmap(
        lambda s: st.tuples(
            st.just(s),
            st.lists(
                st.one_of(
                    st.none(),
                    st.integers(*INTS[s]),
                    st.sampled_from([e for e in EDGES if INTS[s][0] <= e <= INTS[s][1]]),
                ),
                max_size=6,
            ),
        )
    ),
    st.sampled_from([*INTS, *FLOATS]),
)
def test_ATT_2_integers_keep_their_value_or_name_the_cell(typed, target) -> None:
    source, cells = typed
    check_numbers(cells, parse_type(source), target)


@given(
    st.sampled_from([16, 32, 64]).flatmap(
        lambda w: st.tuples(
            st.just(f"float{w}"),
            st.lists(
                st.one_of(
                    st.none(),
                    st.floats(width=w),
                    st.integers(-300, 300).map(float),
                    st.just(math.nan),
                ),
                max_size=6,
            ),
        )
    ),
    st.sampled_from([*INTS, *FLOATS]),
)
def test_ATT_2_floats_keep_their_value_or_name_the_cell(typed, target) -> None:
    source, cells = typed
    check_numbers([None if c is None else float(c) for c in cells], parse_type(source), target)


def test_ATT_2_float64_that_float32_cannot_hold_names_column_row_value_and_type() -> None:
    message = refused([0.5, None, 0.1], pa.float64(), "float32", 3)
    assert "0.1" in message


def test_ATT_2_integers_with_missing_cells_stay_integers() -> None:
    assert cast([1.0, None, 3.0], pa.float64(), "int64") == [1, None, 3]
    assert cast(["1", "", "3.0", None, " 4 "], pa.string(), "int64") == [1, None, 3, None, 4]
    assert cast([2**53 + 1, None], pa.int64(), "int64") == [2**53 + 1, None]


def test_IMP_6_nan_is_a_value_and_null_is_none() -> None:
    got = cast([math.nan, None, 1.0], pa.float64(), "float32")
    assert got[1] is None
    assert math.isnan(got[0])
    got = cast(["nan", "NaN", "", None], pa.string(), "float64")
    assert [g is None for g in got] == [False, False, True, True]
    assert math.isnan(got[0])
    assert math.isnan(got[1])
    refused([1.0, math.nan], pa.float64(), "int64", 2)
    refused(["1", "nan"], pa.string(), "int64", 2)


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=6))
def test_ATT_2_text_of_integers(cells) -> None:
    text = ["" if c is None else f" {c} " for c in cells]
    assert cast(text, pa.string(), "int64") == cells
    assert cast([t.strip() for t in text], pa.large_string(), "int64") == cells


@given(st.lists(st.floats(), max_size=6))
def test_ATT_2_text_of_floats(cells) -> None:
    got = cast([repr(c) for c in cells], pa.string(), "float64")
    assert [same(g) for g in got] == [same(c) for c in cells]


@pytest.mark.parametrize(
    ("cell", "target"),
    [
        ("12.5", "int64"), ("300", "int8"), ("-1", "uint8"), ("1e30", "int64"), ("1_000", "int64"),
        ("1_0.5", "float64"), ("x", "float64"), ("1e400", "float64"), ("-1e39", "float32"),
        ("70000", "float16"), ("maybe", "bool"), ("1.0", "bool"), ("now", "timestamp[us, UTC]"),
        ("today", "timestamp[us]"), ("NaT", "timestamp[us]"), ("2026", "timestamp[us]"),
        ("2026-02-30", "timestamp[us]"), ("2026-01-01T00:00:00.0000001Z", "timestamp[us, UTC]"),
        ("2026-01-01T00:00:00.5", "timestamp[s]"), ("2500-01-01", "timestamp[ns]"),
        ("1,5", "float64"), ("None", "int64"),
    ],
)  # fmt: skip
def test_ATT_2_text_that_does_not_fit_names_the_cell(cell, target) -> None:
    message = refused(["", None, cell], pa.string(), target, 3)
    assert repr(cell) in message


def test_ATT_2_text_of_bools() -> None:
    assert cast(["true", "FALSE", "1", "0", "", "Yes", "No"], pa.string(), "bool") == [
        True, False, True, False, None, True, False,
    ]  # fmt: skip


INSTANTS = st.datetimes(datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2200-01-01"))


@given(INSTANTS, st.sampled_from(["us", "ns"]), st.integers(-14 * 60, 14 * 60))
def test_ATT_2_text_of_times_with_any_offset(at, unit, minutes) -> None:
    shifted = at.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    got = cast([shifted.isoformat(), at.isoformat() + "Z", at.isoformat(" ")], pa.string(),
               f"timestamp[{unit}, UTC]")  # fmt: skip
    assert [same(g) for g in got] == [same(at.replace(tzinfo=UTC))] * 3


@given(st.lists(st.one_of(st.none(), INSTANTS), max_size=5))
def test_ATT_2_times_in_other_units(cells) -> None:
    whole = [c is None or c.microsecond == 0 for c in cells]
    assert [same(g) for g in cast(cells, pa.timestamp("us"), "timestamp[us, UTC]")] == [
        same(c) for c in cells
    ]
    if all(whole):
        assert [same(g) for g in cast(cells, pa.timestamp("us"), "timestamp[s]")] == [
            same(c) for c in cells
        ]
    else:
        refused(cells, pa.timestamp("us"), "timestamp[s]", whole.index(False) + 1)


JSON_TYPES = {
    "list<float64>": st.lists(
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
    ),
    "list<int32>": st.lists(st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1))),
    "list<string>": st.lists(
        st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5))
    ),
    "fixed_size_list<float64>[3]": st.lists(st.floats(-9, 9), min_size=3, max_size=3),
    "struct<a:int64,b:string,c:list<bool>>": st.fixed_dictionaries(
        {
            "a": st.one_of(st.none(), st.integers(-9, 9)),
            "b": st.one_of(st.none(), st.sampled_from(["x", "it's", '"', ""])),
            "c": st.one_of(st.none(), st.lists(st.booleans(), max_size=2)),
        }
    ),
    "list<struct<a:int8,v:list<float32>>>": st.lists(
        st.fixed_dictionaries(
            {"a": st.integers(-128, 127), "v": st.lists(st.floats(width=32), max_size=2)}
        ),
        max_size=2,
    ),
}


@given(
    st.sampled_from(list(JSON_TYPES)).flatmap(
        lambda t: st.tuples(st.just(t), st.lists(st.one_of(st.none(), JSON_TYPES[t]), max_size=4))
    ),
    st.booleans(),
)
def test_ATT_4_json_and_single_quoted_text_become_values(typed, single_quotes) -> None:
    target, cells = typed
    nonfinite = any(w in repr(cells) for w in ("nan", "inf"))
    assume(not (single_quotes and nonfinite))
    write = repr if single_quotes else json.dumps
    text = ["" if c is None else f" {write(c)}" for c in cells]
    got = cast(text, pa.string(), target)
    assert [same(g) for g in got] == [same(c) for c in cells]


@pytest.mark.parametrize(
    ("cell", "target"),
    [
        ("1, 2", "list<int64>"),
        ("[1, 2", "list<int64>"),
        ("[300]", "list<int8>"),
        ("[1.5]", "list<int8>"),
        ("[true]", "list<int8>"),
        ("['a']", "list<float64>"),
        ("[1, 2, 3]", "fixed_size_list<int8>[2]"),
        ("[[1]]", "list<int8>"),
        ("null", "list<int8>"),
        ("{'a': 1, 'z': 2}", "struct<a:int64>"),
        ("[1]", "struct<a:int64>"),
        ("{'a'}", "list<string>"),
        ("[1e39]", "list<float32>"),
        ("[70000]", "list<float16>"),
        ("__import__('os')", "list<int8>"),
        ("[__import__('os')]", "list<int8>"),
        ("[[" * 200_000, "list<int8>"),
        ("['2026-13-01']", "list<timestamp[us]>"),
        ("[1" + "0" * 5000 + "]", "list<float64>"),
    ],
)
def test_ATT_4_what_cannot_be_read_names_column_and_row(cell, target) -> None:
    refused(["", cell], pa.string(), target, 2)


def test_ATT_4_parse_json_false_refuses_text_for_lists() -> None:
    refused([None, "[1]"], pa.string(), "list<int64>", 2, parse_json=False)
    assert cast([None, " "], pa.string(), "list<int64>", parse_json=False) == [None, None]


def test_ATT_4_string_columns_keep_their_text() -> None:
    cells = ["[1, 2]", "{'a': 1}", " x ", "NA", "", None]
    assert cast(cells, pa.string(), "string") == cells


def test_ATT_2_structs_go_by_field_name() -> None:
    source = pa.struct([("b", pa.string()), ("a", pa.int64())])
    cells = [{"b": "x", "a": 1}, None, {"b": None, "a": 2}]
    wanted = [{"a": 1, "b": "x"}, None, {"a": 2, "b": None}]
    assert cast(cells, source, "struct<a:int8,b:string>") == wanted
    assert cast([{"a": 1}], None, "struct<a:int64,b:string>") == [{"a": 1, "b": None}]
    refused([None, {"a": 1, "z": 2}], None, "struct<a:int64>", 2)


def test_ATT_2_lists_of_other_sizes_and_kinds() -> None:
    assert cast([[1, 2], None], None, "fixed_size_list<float32>[2]") == [[1.0, 2.0], None]
    assert cast([[1, 2], None], pa.list_(pa.int64(), 2), "list<int8>") == [[1, 2], None]
    assert cast([[1], [], None], pa.large_list(pa.int64()), "list<int64>") == [[1], [], None]
    refused([[1, 2], [1]], None, "fixed_size_list<int64>[2]", 2)
    refused([[0.5], [0.1]], None, "list<float32>", 2)
    refused([[1], [300]], None, "list<int8>", 2)
    refused([1], None, "list<int64>", 1)


def test_ATT_2_decimals_categories_and_dates() -> None:
    assert cast([Decimal("0.1"), None], None, "float64") == [0.1, None]
    assert cast([Decimal("2.00")], None, "int64") == [2]
    refused([Decimal("2.5")], None, "int64", 1)
    category = pa.dictionary(pa.int8(), pa.string())
    assert cast(["a", None, "a"], category, "string") == ["a", None, "a"]
    assert cast(["1", "2"], category, "int64") == [1, 2]
    day = datetime(2026, 1, 1, tzinfo=UTC)
    assert [same(v) for v in cast([day.date()], None, "timestamp[us, UTC]")] == [same(day)]
    refused([b"ab"], None, "string", 1)
    refused([b"ab"], None, "float64", 1)


def test_ATT_2_the_first_bad_row_is_named_far_down() -> None:
    cells: list[Any] = [1.0] * 9000
    cells[8500], cells[8700] = 0.5, 0.25
    refused(cells, pa.float64(), "int64", 8501)


@pytest.mark.parametrize("target", ["list<int8>", "string", "struct<a:int8>", "timestamp[us, UTC]"])
def test_ATT_2_a_column_without_values_fits_every_type(target) -> None:
    assert cast([None, None], pa.null(), target) == [None, None]
    assert cast([], pa.string(), target) == []


_ANY = ["string", "bool", "int8", "uint64", "float16", "float64", "list<float64>", "list<string>",
        "fixed_size_list<float32>[2]", "struct<a:int64,b:string>", "timestamp[us]",
        "timestamp[ns, UTC]"]  # fmt: skip
_READ = [*(parse_type(t) for t in _ANY), pa.decimal128(9, 2), pa.date32(), pa.binary(),
         pa.time64("us"), pa.duration("s"), pa.map_(pa.string(), pa.int64())]  # fmt: skip


@pytest.mark.parametrize("target", _ANY)
@pytest.mark.parametrize("source", _READ, ids=str)
def test_ATT_2_nothing_but_nulls_fits_or_is_a_typed_error(source: pa.DataType, target: str):
    # Binary into text, say, is refused whatever the cells are; anything but that is a defect.
    with contextlib.suppress(SchemaError):
        assert cast([None, None], source, target) == [None, None]
