"""A filter as Python, as a line and as JSON, and back; its hash."""

from __future__ import annotations

import functools
import hashlib
import json
import random

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.filter import strategies as some
from tests.filter.reference import keeps
from usr_nb.errors import SequencesError, ValidationError
from usr_nb.filter import feature as feature_module, tree
from usr_nb.filter.build import F
from usr_nb.filter.codec import (
    filter_from_json,
    filter_from_plain,
)
from usr_nb.filter.feature import Feature
from usr_nb.filter.line import parse_filter
from usr_nb.filter.regex import RegexError
from usr_nb.filter.tokens import FilterSyntaxError
from usr_nb.filter.tree import Filter, In, Not, Range, all_of, any_of

names = st.sampled_from(["a__x", "length", "gc", "in", "a b", "a`b", 'q"', "F", "x.y", "é", "len"])
steps = st.lists(st.sampled_from(["p", "a b", "in", "`", 0, -1, 12]), max_size=3).map(tuple)
features = st.one_of(
    st.builds(Feature, names, steps, st.none() | st.sampled_from(feature_module.REDUCERS)),
    st.sampled_from([Feature(c, computed=True) for c in feature_module.COMPUTED]),
)
texts = st.text(max_size=8) | st.sampled_from(['a"b', "it's", "\\d", "'\\", "\n", "\u2028", "true"])


@st.composite
def moved(draw: st.DrawFn, inner: st.SearchStrategy[Filter]) -> Filter:
    """A filter on any feature and any text, whether or not there is such a column."""
    where = draw(inner)
    new = {f: draw(features) for f in where.features()}
    plain = json.dumps(where.plain())
    body = json.loads(plain)

    def swap(node):
        if isinstance(node.get("of"), list):
            return {**node, "of": [swap(n) for n in node["of"]]}
        if "of" in node:
            return {**node, "of": swap(node["of"])}
        old = next(f for f in new if feature_module.plain_feature(f) == node["feature"])
        out = {**node, "feature": feature_module.plain_feature(new[old])}
        if node["kind"] == "text":
            out["text"] = draw(texts)
        if node["kind"] == "in" and isinstance(node["values"][0], str):
            out["values"] = draw(st.lists(texts, min_size=1, max_size=3))
        return out

    return filter_from_plain({"usr_filter": 1, "filter": swap(body)})


every = moved(some.filters)


@settings(max_examples=200)
@given(every)
def test_json_line_and_python_lead_back_to_the_same_tree(where):
    assert filter_from_json(where.to_json()) == where
    assert filter_from_json(json.dumps(where.to_plain())) == where
    assert parse_filter(where.as_line()) == where
    assert eval(where.as_python(), {"F": F}) == where


def shuffled(where: Filter, rng: random.Random) -> Filter:
    if isinstance(where, Not):
        return Not(shuffled(where.inner, rng))
    if isinstance(where, In):
        return In(where.feature, tuple(rng.sample(where.values, len(where.values))))
    if isinstance(where, tree.And | tree.Or):
        of = [shuffled(c, rng) for c in where.of]
        join = all_of if isinstance(where, tree.And) else any_of
        return join(*rng.sample(of, len(of)), *of[:1])
    return where


@settings(max_examples=60)
@given(every, st.integers(0, 99))
def test_the_hash_does_not_hang_on_order_or_repeats(where, seed):
    other = shuffled(where, random.Random(seed))
    assert other.hash == where.hash


@settings(max_examples=60)
@given(st.lists(some.filters, min_size=2, max_size=2, unique_by=lambda f: f.hash))
def test_other_filters_have_other_hashes_and_are_not_equal(pair):
    a, b = pair
    assert a != b
    assert a.hash != b.hash


def test_the_hash_is_the_documented_one():
    # A hash is written into notes and events: it may never change.
    where = (F["evo2__llr"] > 3.5) & F.gc.between(0.4, 0.6)
    text = (
        '{"filter":{"kind":"and","of":['
        '{"feature":{"column":"evo2__llr","path":[],"reducer":null},"high":null,"high_open":false,'
        '"kind":"range","low":3.5,"low_open":true,"outside":false},'
        '{"feature":{"computed":"gc"},"high":0.6,"high_open":false,'
        '"kind":"range","low":0.4,"low_open":false,"outside":false}]},"usr_filter":1}'
    )
    assert where.hash == hashlib.sha256(text.encode()).hexdigest()
    assert (F.gc.between(0.4, 0.6) & (F["evo2__llr"] > 3.5)).hash == where.hash
    assert ((F["evo2__llr"] > 3.5) & (F["evo2__llr"] > 3.5)).hash == (F["evo2__llr"] > 3.5).hash


def test_one_and_true_are_not_one_value():
    assert F["a__x"].isin([1]) != F["a__x"].isin([True])
    assert F["a__x"].isin([1]) == F["a__x"].isin([1.0])


@pytest.mark.parametrize(
    ("where", "line", "python"),
    [
        (F["evo2__llr"] > 3.5, "evo2__llr > 3.5", 'F["evo2__llr"] > 3.5'),
        (F.masked == True, "masked", "F.masked == True"),  # noqa: E712
        (~(F.masked == True), "not masked", "F.masked != True"),  # noqa: E712
        (F.masked == False, "masked == false", "F.masked == False"),  # noqa: E712
        (F.split != "train", 'split != "train"', 'F.split != "train"'),
        (F.gc.between(0.4, 0.6, closed="left"), "gc in [0.4, 0.6)",
         'F.gc.between(0.4, 0.6, closed="left")'),
        (~F.gc.between(0.4, 0.6), "gc not in [0.4, 0.6]", "~F.gc.between(0.4, 0.6)"),
        (F.gc.outside(0.4, None), "gc < 0.4", "F.gc < 0.4"),
        (F["x__v"][-1].is_nan(), "x__v[-1] is nan", 'F["x__v"][-1].is_nan()'),
        (F["x__v"].len() >= 3, "len(x__v) >= 3", 'F["x__v"].len() >= 3'),
        (F.motif("TTGACA N{16,18} TATAAT", mismatches=1, strand="+", start=(0, 9), circular=True),
         'sequence has "TTGACA N{16,18} TATAAT" mismatches 1 strand + start [0, 9) circular',
         ('F.motif("TTGACA N{16,18} TATAAT", strand="+", mismatches=1, start=(0, 9), '
          "circular=True)")),
        (F.source.matches(r"\d+", case=False), r"source matches '\d+' nocase",
         r'F.source.matches("\\d+", case=False)'),
        (F.everything, "everything", "F.everything"),
        (~F.everything, "not everything", "~F.everything"),
        ((F.gc > 0) & ((F.gc < 1) | F.gc.is_null()), "gc > 0 and (gc < 1 or gc is null)",
         "(F.gc > 0) & ((F.gc < 1) | F.gc.is_null())"),
        (F.created_at >= F.time("2026-01-31"), "created_at >= 2026-01-31T00:00:00.000000Z",
         'F.created_at >= F.time("2026-01-31T00:00:00.000000Z")'),
    ],
)  # fmt: skip
def test_the_line_and_the_python_of_a_filter(where, line, python):
    assert where.as_line() == line
    assert where.as_python() == python
    assert parse_filter(line) == where


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("split==train", F.split == "train"),
        ("split in {train, 'val'}", F.split.isin(["train", "val"])),
        ("not not gc > 1e-3", F.gc > 0.001),
        ("gc = .5 or (gc>-inf)", (F.gc == 0.5) | (F.gc > float("-inf"))),
        ("sequence has TATAAT", F.motif("TATAAT")),
        ("sequence has TATAAT strand both mismatches 0", F.motif("TATAAT")),
        ("created_at < 2026-01-31T12:00+02:00", F.created_at < F.time("2026-01-31T10:00Z")),
        ("`gc` > 1", F["gc"] > 1),
        ("d__x.p[0].`q q` is not null", F["d__x"].field("p")[0].field("q q").not_null()),
        ("a__x in {}", F.nothing),
        ('source contains "\\u00e9\\n"', F.source.contains("é\n")),
    ],
)
def test_other_ways_to_write_it(line, same):
    assert parse_filter(line) == same


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("", 1, "expected a filter, found the end"),
        ("gc >> 3", 5, "expected a value, found '>'"),
        ("gc > ", 6, "expected a value, found the end"),
        ("gc > 0.4 gc < 1", 10, "expected 'and', 'or' or the end, found 'gc'"),
        ("(gc > 0.4", 10, r"expected 'and', 'or' or '\)', found the end"),
        ("gc in 0.4", 7, "expected a range or a set"),
        ("gc in [0.4, 0.6", 16, "expected ']' or '\\)'"),
        ("gc in {1, 2", 12, "expected ',' or '}'"),
        ("gc in [0.6, 0.4]", 1, "is empty"),
        ("gc is 3", 7, "expected 'null' or 'nan'"),
        ("gc == null", 7, "expected a value(.|\n)*is null"),
        ("sequence has \"TTX\"", 14, "position 3"),
        ("sequence has ACGT mismatches 9", 14, "Mismatches are 0 to 3"),
        ("sequence has ACGT start [5, 5)", 14, r"within \[5, 5\)"),
        ("source matches '(a'", 16, "letter 3: missing"),
        ('source contains "abc', 17, "not closed"),
        ('source contains "\\x"', 17, "escape"),
        ("gc > 1.2.3", 6, "no number and no time"),
        ("gc ~ 3", 4, "no meaning"),
        ("in > 3", 1, "expected a column(.|\n)*`in`"),
        ("gc.x > 3", 1, "no path into 'gc'"),
        ("len(gc) > 3", 5, "expected a column"),
        ("gc in {1, a}", 1, "one kind"),
        ("0.4 < gc", 1, "expected a column"),
        ("gc > 0.4 < 1", 10, "(.|\n)*gc in"),
        ("created_at > 2026-13-40", 14, "date or time"),
        ("gc > 123456789012345678901234567890123", 6, "64 bits"),
        ("gc > 99999999999999999999", 6, "64 bits"),
        ("(" * 60 + "gc > 1" + ")" * 60, 41, "parentheses"),
        ("source == \"\\ud800\"", 11, "UTF-8"),
    ],
)  # fmt: skip
def test_a_bad_line_says_at_which_column_and_what_was_expected(line, column, says):
    with pytest.raises(FilterSyntaxError, match=says) as caught:
        parse_filter(line)
    assert caught.value.position == column - 1, str(caught.value)
    assert str(caught.value).startswith(f"Filter, column {column}:")


def test_a_line_bound_to_columns_points_at_the_column_that_is_not_there():
    schema = pa.schema([("length", pa.int32()), ("evo2__llr", pa.float32())])
    assert len(parse_filter("evo2__llr > 3 and not masked", schema=schema).chips) == 2
    with pytest.raises(FilterSyntaxError, match="Did you mean 'evo2__llr'") as caught:
        parse_filter("length > 3 and evo2__lr > 3", schema=schema)
    assert caught.value.position == 15
    with pytest.raises(FilterSyntaxError, match="evo2__llr is float32") as caught:
        parse_filter("length > 3 and evo2__llr == abc", schema=schema)
    assert caught.value.position == 28


@settings(max_examples=200)
@given(st.text("abgc_ ()[]{}<>=!.,'\"`\\0129-+eTin\n", max_size=30) | st.text(max_size=12))
def test_any_text_is_a_filter_or_a_typed_error(text):
    try:
        found = parse_filter(text)
    except FilterSyntaxError as error:
        place = error.position
        assert 0 <= place <= len(text)
        return
    assert parse_filter(found.as_line()) == found


NODE = {"kind": "in", "feature": {"column": "a", "path": [], "reducer": None}, "values": [1]}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "filter is no object"),
        ({"usr_filter": 2, "filter": NODE}, "version 2"),
        ({"usr_filter": True, "filter": NODE}, "version True"),
        ({"usr_filter": 1}, "lacks 'filter'"),
        ({"usr_filter": 1, "filter": NODE, "sql": "x"}, "key 'sql'"),
        ({"usr_filter": 1, "filter": {**NODE, "kind": "sql"}}, "kind 'sql'"),
        ({"usr_filter": 1, "filter": {**NODE, "kind": ["in"]}}, "not known"),
        ({"usr_filter": 1, "filter": {**NODE, "values": []}}, None),
        ({"usr_filter": 1, "filter": {**NODE, "values": [None]}}, r"values\[0\] is no value"),
        ({"usr_filter": 1, "filter": {**NODE, "values": [1, "a"]}}, "one kind"),
        ({"usr_filter": 1, "filter": {**NODE, "values": [{"time": 3}]}}, "no text"),
        ({"usr_filter": 1, "filter": {**NODE, "values": [{"time": "x"}]}}, "date or time"),
        ({"usr_filter": 1, "filter": {**NODE, "values": [2**70]}}, "64 bits"),
        ({"usr_filter": 1, "filter": {**NODE, "feature": {"column": 3}}}, "lacks"),
        ({"usr_filter": 1, "filter": {**NODE, "feature": {"computed": "rm"}}}, "one of gc"),
        ({"usr_filter": 1, "filter": {**NODE, "feature": {**NODE["feature"], "path": [1.5]}}},
         "step of a path"),
        ({"usr_filter": 1, "filter": {"kind": "and", "of": {}}}, "no list"),
        ({"usr_filter": 1, "filter": {"kind": "not", "of": [NODE]}}, "no object"),
        ({"usr_filter": 1, "filter": {"kind": "regex", "feature": NODE["feature"],
                                      "pattern": "(", "case": True}}, "letter 2"),
        ({"usr_filter": 1, "filter": {"kind": "motif", "feature": NODE["feature"], "motif": "A",
                                      "strand": "both", "mismatches": True, "start": None,
                                      "circular": False}}, "whole number"),
        ({"usr_filter": 1, "filter": {"kind": "motif", "feature": NODE["feature"], "motif": "A",
                                      "strand": "both", "mismatches": 0, "start": [1],
                                      "circular": False}}, "two positions"),
        ({"usr_filter": 1, "filter": {"kind": "text", "feature": NODE["feature"], "how": "like",
                                      "text": "a", "case": True}}, "'like'"),
    ],
)  # fmt: skip
def test_json_that_is_no_filter_is_a_typed_error(body, says):
    if says is None:
        assert filter_from_plain(body) == F.nothing
        return
    with pytest.raises(ValidationError, match=says):
        filter_from_plain(body)
    with pytest.raises(ValidationError, match=says):
        filter_from_json(json.dumps(body))


def test_json_is_bounded_in_depth_number_and_length():
    deep = NODE
    for _ in range(50):
        deep = {"kind": "not", "of": {"kind": "or", "of": [deep, {**NODE, "values": [2]}]}}
    with pytest.raises(ValidationError, match="40 levels"):
        filter_from_plain({"usr_filter": 1, "filter": deep})
    wide = {"kind": "or", "of": [NODE] * 5_001}
    with pytest.raises(ValidationError, match="5,000"):
        filter_from_plain({"usr_filter": 1, "filter": wide})
    with pytest.raises(ValidationError, match="20,000"):
        filter_from_plain({"usr_filter": 1, "filter": {**NODE, "values": [*range(20_001)]}})
    with pytest.raises(ValidationError, match="no JSON"):
        filter_from_json("[" * 200_000)
    with pytest.raises(ValidationError, match="letters"):
        filter_from_json(" " * (2 << 20))
    for text in ("NaN", '{"usr_filter": 1, "usr_filter": 1}', "{", '{"usr_filter": 1}x', b"\xff"):
        with pytest.raises(ValidationError):
            filter_from_json(text)


@settings(max_examples=100)
@given(every, st.data())
def test_damaged_json_is_a_filter_or_a_typed_error(where, data):
    text = where.to_json()
    at = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.sampled_from(["", "0", "[", '"', "null", "}", "e"]))
    try:
        found = filter_from_json(text[:at] + put + text[at + 1 :])
    except SequencesError:
        return
    assert isinstance(found, Filter)


def test_and_or_not_of_python_are_refused_with_a_hint():
    with pytest.raises(ValidationError, match="&"):
        bool(F.gc > 0.5)
    with pytest.raises(ValidationError, match="between"):
        0.1 < F.gc < 0.5  # noqa: B015
    with pytest.raises(ValidationError, match="isin"):
        "a" in F.source  # noqa: B015
    with pytest.raises(TypeError):
        (F.gc > 0.5) & True


def test_a_bad_expression_says_at_which_letter():
    for pattern, at in (("a(b", 3), ("a[z", 1), (r"(?=a)", 0), ("a**", 1), (")", 0)):
        with pytest.raises(RegexError) as caught:
            F.source.matches(pattern)
        assert caught.value.position == at, str(caught.value)


def test_a_filter_cannot_be_changed():
    where = F.gc > 0.5
    with pytest.raises(AttributeError):
        where.low = 3  # type: ignore[attr-defined]
    assert hash(where) == hash(F.gc > 0.5)


def test_values_of_other_kinds_are_refused():
    for value in (None, float("nan"), [1], 2**65, object(), b"a"):
        with pytest.raises(ValidationError):
            F["a__x"] == value  # noqa: B015
    with pytest.raises(ValidationError):
        Range(Feature("a"), None, None)
    with pytest.raises(ValidationError, match="40 levels"):
        functools.reduce(lambda f, _: ~(f & (F.gc > 1)) | (F.gc > 2), range(30), F.gc > 0)


def test_a_range_that_is_outside_of_one_end_is_the_other_side():
    row = {"a__x": 3}
    schema = pa.schema([("a__x", pa.int64())])
    assert F["a__x"].outside(None, 2) == (F["a__x"] > 2)
    assert keeps(F["a__x"].outside(None, 2), row, schema)
