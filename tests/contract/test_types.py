"""REG-5: registry type text and Arrow types."""

from __future__ import annotations

import contextlib

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from usr_nb.contract.registry import parse_columns_spec
from usr_nb.contract.types import (
    MAX_DEPTH,
    is_registry_type,
    parse_type,
    plain_type,
    same_type,
    split_top_level,
    type_text,
)
from usr_nb.errors import SequencesError

PLAIN = {
    "string": pa.string(), "bool": pa.bool_(),
    "int8": pa.int8(), "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64(),
    "uint8": pa.uint8(), "uint16": pa.uint16(), "uint32": pa.uint32(), "uint64": pa.uint64(),
    "float16": pa.float16(), "float32": pa.float32(), "float64": pa.float64(),
    "timestamp[s]": pa.timestamp("s"), "timestamp[ms]": pa.timestamp("ms"),
    "timestamp[us]": pa.timestamp("us"), "timestamp[ns]": pa.timestamp("ns"),
    "timestamp[us, UTC]": pa.timestamp("us", "UTC"),
    "timestamp[ns, UTC]": pa.timestamp("ns", "UTC"),
}  # fmt: skip

FIELD_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,6}", fullmatch=True)


def _nested(children):
    return (
        children.map(pa.list_)
        | st.tuples(children, st.integers(0, 99)).map(lambda p: pa.list_(*p))
        | st.lists(
            st.tuples(FIELD_NAMES, children), min_size=1, max_size=4, unique_by=lambda f: f[0]
        ).map(pa.struct)
    )  # fmt: skip


TYPES = st.recursive(st.sampled_from(list(PLAIN.values())), _nested, max_leaves=6)


@pytest.mark.parametrize("text", list(PLAIN))
def test_REG_5_plain_types(text):
    assert parse_type(text) == PLAIN[text]
    assert type_text(PLAIN[text]) == text
    assert parse_type(f"  {text} ") == PLAIN[text]


@given(TYPES)
def test_REG_5_text_and_type_are_inverse(dtype):
    text = type_text(dtype)
    again = parse_type(text)
    assert again == dtype
    assert type_text(again) == text
    assert is_registry_type(dtype)
    assert same_type(again, dtype)


@given(st.lists(st.tuples(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), TYPES),
                min_size=1, max_size=5, unique_by=lambda c: c[0]))  # fmt: skip
def test_REG_5_commas_inside_brackets_do_not_split(columns):
    spec = ",".join(f"m__{name}:{type_text(t)}" for name, t in columns)
    found = parse_columns_spec(spec, namespace="m")
    assert [(c.name, c.arrow_type) for c in found] == [(f"m__{n}", t) for n, t in columns]


def test_REG_5_split_top_level_keeps_what_is_nested():
    text = "a:struct<p:int8,q:list<struct<r:bool,s:int8>>>,b:timestamp[us, UTC] , c:int8"
    assert split_top_level(text) == [
        "a:struct<p:int8,q:list<struct<r:bool,s:int8>>>", "b:timestamp[us, UTC]", "c:int8",
    ]  # fmt: skip


def test_REG_5_large_and_dictionary_forms_count_as_plain():
    large = pa.large_list(pa.large_string())
    assert type_text(large) == "list<string>"
    assert same_type(large, pa.list_(pa.string()))
    assert plain_type(large) == pa.list_(pa.string())
    assert same_type(pa.dictionary(pa.int32(), pa.string()), pa.string())
    assert same_type(pa.list_(pa.field("element", pa.int8())), pa.list_(pa.int8()))
    assert not same_type(pa.int32(), pa.int64())
    assert not same_type(pa.list_(pa.int8(), 2), pa.list_(pa.int8()))


@pytest.mark.parametrize(
    "dtype",
    [pa.decimal128(5, 2), pa.date32(), pa.binary(), pa.null(), pa.duration("s"),
     pa.timestamp("us", "Europe/Berlin"), pa.map_(pa.string(), pa.int8()), pa.time32("s")],
    ids=str,
)  # fmt: skip
def test_REG_5_other_types_are_not_registry_types(dtype):
    assert not is_registry_type(dtype)


@pytest.mark.parametrize(
    "text",
    ["", " ", "int", "int128", "String", "list", "list<", "list<>", "list<int8", "list<int8>>",
     "fixed_size_list<int8>", "fixed_size_list<int8>[]", "fixed_size_list<int8>[-1]",
     "fixed_size_list<int8>[9999999999]", "fixed_size_list<int8>[٣]", "struct<>", "struct<a>",
     "struct<a:>", "struct<:int8>", "struct<a:int8,a:int8>", "struct<a:int8,>", "struct<1 a:int8>",
     "timestamp", "timestamp[h]", "timestamp[us, Europe/Berlin]", "timestamp[us,]", "int8\n,",
     "list<" * 400 + "int8" + ">" * 400, "x" * 10_000, "int8;drop", "__import__('os')"],
)  # fmt: skip
def test_REG_5_hostile_types_give_typed_errors(text):
    with pytest.raises(SequencesError):
        parse_type(text)


@given(st.text(alphabet="list<>[]struct:,ab8 int0UTC_fxed\n\0", max_size=40) | st.text(max_size=30))
def test_REG_5_any_text_gives_a_type_or_a_typed_error(text):
    with contextlib.suppress(SequencesError):
        found = parse_type(text)
        assert parse_type(type_text(found)) == found


@given(st.text(alphabet="m__ab:,<>[]int8struct\n\0'\"", max_size=40))
def test_REG_5_any_spec_gives_columns_or_a_typed_error(spec):
    with contextlib.suppress(SequencesError):
        assert all(c.name.startswith("m__") for c in parse_columns_spec(spec, namespace="m"))


def test_REG_5_depth_is_bounded():
    deep = MAX_DEPTH
    assert parse_type("list<" * deep + "int8" + ">" * deep)
    with pytest.raises(SequencesError, match="deep"):
        parse_type("list<" * (deep + 1) + "int8" + ">" * (deep + 1))
