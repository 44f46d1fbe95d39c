"""Tables with every type of column, and filters that fit them."""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from usr_nb.filter import feature as feature_module, tree
from usr_nb.filter.feature import Feature

INTS = {f"{s}{b}": getattr(pa, f"{s}{b}")() for s in ("int", "uint") for b in (8, 16, 32, 64)}
FLOATS = {"float16": pa.float16(), "float32": pa.float32(), "float64": pa.float64()}
NUMPY = {pa.float16(): np.float16, pa.float32(): np.float32, pa.float64(): np.float64}
TIMES = {
    "t_s": pa.timestamp("s"), "t_ms": pa.timestamp("ms"), "t_us": pa.timestamp("us", tz="UTC"),
    "t_ns": pa.timestamp("ns", tz="UTC"),
}  # fmt: skip
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
INNER = pa.struct([("p", pa.int16()), ("q q", pa.list_(pa.float32()))])

COLUMNS: dict[str, pa.DataType] = (
    {"sequence": pa.string(), "length": pa.int32(), "bio_type": pa.string()}
    | {f"a__{n}": t for n, t in (INTS | FLOATS | TIMES).items()}
    | {
        "a__text": pa.string(),
        "a__flag": pa.bool_(),
        "a__ints": pa.list_(pa.int64()),
        "a__vec": pa.list_(pa.float32(), 3),
        "a__halves": pa.list_(pa.float16()),
        "a__words": pa.list_(pa.string()),
        "a__inner": INNER,
        "a__many": pa.list_(INNER),
        "usr_state__masked": pa.bool_(),
        "usr_state__qc_status": pa.string(),
    }
)
SCHEMA = pa.schema(list(COLUMNS.items()))

#: Few different values, so that tests hit and miss.
WORDS = ["", "a", "A", "ab", "Ab b", "é", "É", "x'y", 'q"\\d', "train", "new\nline", "1"]
LETTERS = "ACGTacgtNUnRx*"
EDGES = [0, 1, 2, -1, 100, 127, 128, 255, 2**15, 2**53, 2**53 + 1, -(2**31), 2**63 - 1, -(2**63)]


@functools.cache
def ints(dtype: pa.DataType) -> st.SearchStrategy[int]:
    info = np.iinfo(dtype.to_pandas_dtype())
    edges = [e for e in [*EDGES, 2**64 - 1, info.max, info.min] if info.min <= e <= info.max]
    return st.sampled_from(edges) | st.integers(max(info.min, -3), 5)


@functools.cache
def floats(dtype: pa.DataType) -> st.SearchStrategy[float]:
    special = [0.1, 0.5, -0.0, 2.5, 1e-7, math.nan, math.inf, -math.inf, 60000.0, 2.0**53]
    with np.errstate(over="ignore"):
        held = sorted({float(NUMPY[dtype](v)) for v in [*special, *range(-3, 6)]})
    return st.sampled_from(held)


@functools.cache
def cells(dtype: pa.DataType, name: str = "") -> st.SearchStrategy[Any]:
    """Values of a type, with nulls; times are whole numbers of their unit."""
    t = pa.types
    if name == "sequence":
        return st.text(LETTERS, max_size=14)
    if name == "bio_type":
        return st.sampled_from(["dna", "rna", "protein"])
    if t.is_integer(dtype):
        inner: st.SearchStrategy[Any] = ints(dtype)
    elif t.is_floating(dtype):
        inner = floats(dtype)
    elif t.is_timestamp(dtype):
        inner = st.integers(-3, 3).map(lambda s: s * PER_SECOND[dtype.unit]) | st.integers(-5, 5)
    elif t.is_boolean(dtype):
        inner = st.booleans()
    elif t.is_string(dtype):
        inner = st.sampled_from(WORDS)
    elif t.is_fixed_size_list(dtype):
        n = dtype.list_size
        inner = st.lists(cells(dtype.value_type), min_size=n, max_size=n)
    elif t.is_list(dtype):
        inner = st.lists(cells(dtype.value_type), max_size=4)
    else:
        inner = st.fixed_dictionaries({f.name: cells(f.type) for f in dtype})
    return st.none() | inner


@st.composite
def tables(draw: st.DrawFn, names: list[str], most: int = 8) -> tuple[pa.RecordBatch, list[dict]]:
    """A batch (perhaps a slice of a longer one) and the same rows for the reference."""
    rows = draw(st.lists(st.fixed_dictionaries({n: cells(COLUMNS[n], n) for n in names}),
                         max_size=most))  # fmt: skip
    schema = pa.schema([SCHEMA.field(n) for n in names])
    arrays = [array([r[n] for r in rows], COLUMNS[n]) for n in names]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    cut = draw(st.integers(0, max(0, len(rows) - 1)))
    plain = [{n: plain_cell(r[n], COLUMNS[n]) for n in names} for r in rows]
    return batch.slice(cut), plain[cut:]


def array(values: list[Any], dtype: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(dtype):
        return pa.array(values, pa.int64()).cast(dtype)
    return pa.array([numpy_cell(v, dtype) for v in values], dtype)


def numpy_cell(value: Any, dtype: pa.DataType) -> Any:
    """Half floats are given to Arrow as NumPy's."""
    if value is None:
        return None
    if pa.types.is_float16(dtype):
        return np.float16(value)
    if pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype):
        return [numpy_cell(v, dtype.value_type) for v in value]
    if pa.types.is_struct(dtype):
        return {f.name: numpy_cell(value[f.name], f.type) for f in dtype}
    return value


def plain_cell(value: Any, dtype: pa.DataType) -> Any:
    if value is not None and pa.types.is_timestamp(dtype):
        return Fraction(value, PER_SECOND[dtype.unit])
    return value


# Filters ------------------------------------------------------------------------------------------

FEATURES: list[Feature] = [
    *(Feature(f"a__{n}") for n in [*INTS, *FLOATS]),
    Feature("length"),
    Feature("gc", computed=True),
    Feature("a__ints", (0,)), Feature("a__ints", (-1,)), Feature("a__vec", (2,)),
    *(Feature("a__ints", (), r) for r in feature_module.REDUCERS),
    *(Feature("a__vec", (), r) for r in feature_module.REDUCERS),
    *(Feature("a__halves", (), r) for r in feature_module.REDUCERS),
    Feature("a__words", (), "len"), Feature("a__text", (), "len"),
    Feature("a__inner", ("p",)), Feature("a__inner", ("q q",), "max"),
    Feature("a__inner", ("q q", 0)), Feature("a__many", (0, "p")),
    Feature("a__many", (-2, "q q"), "mean"), Feature("a__many", (), "len"),
]  # fmt: skip
NUMBERS = FEATURES
TEXTS = [
    Feature("a__text"), Feature("sequence"), Feature("a__words", (1,)),
    Feature("qc_status", computed=True),
]  # fmt: skip
FLAGS = [
    Feature("a__flag"), Feature("masked", computed=True), Feature("deleted", computed=True),
]  # fmt: skip
WHENS = [Feature(f"a__{n}") for n in TIMES]
WHOLE = [Feature(n) for n in ("a__inner", "a__many", "a__vec", "a__words")]
FLOATING = [Feature(f"a__{n}") for n in FLOATS] + [Feature("a__vec", (), "mean")]

numbers = st.one_of(
    st.sampled_from(EDGES),
    st.sampled_from([2**64 - 1, 1e300, -1e300, math.inf, -math.inf, 0.1, 0.5, 2.5, 1e-7, 1 / 3]),
    st.integers(-3, 5),
)
times = st.builds(
    lambda s, us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=s, microseconds=us),
    st.integers(-3, 3),
    st.sampled_from([0, 0, 1, -1, 2, 500_000]),
) | st.sampled_from([datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
MOTIFS = ["A", "ACGT", "n", "AN{0,2}C", "RY", "TT{1,2}N{2}", "GGUA", "W{2,3}S{0,1}", "acg"]


@st.composite
def ranges(draw: st.DrawFn, features: list[Feature], values: st.SearchStrategy[Any]) -> tree.Filter:
    low, high = sorted(draw(st.tuples(values, values)))
    ends = draw(st.sampled_from([(low, high), (low, high), (low, None), (None, high)]))
    return tree.in_range(
        draw(st.sampled_from(features)), *ends, low_open=draw(st.booleans()),
        high_open=draw(st.booleans()), outside=draw(st.booleans()),
    )  # fmt: skip


def sets(features: list[Feature], values: st.SearchStrategy[Any]) -> st.SearchStrategy[tree.Filter]:
    several = st.lists(values, min_size=1, max_size=4).map(tuple)
    return st.builds(tree.one_of, st.sampled_from(features), several)


@st.composite
def motifs(draw: st.DrawFn) -> tree.Filter:
    low = draw(st.integers(0, 6))
    start = draw(st.none() | st.just((low, low + draw(st.integers(1, 8)))))
    return tree.Motif(
        draw(st.sampled_from([Feature("sequence"), Feature("a__text")])),
        draw(st.sampled_from(MOTIFS)), draw(st.sampled_from(tree.STRANDS)),
        draw(st.integers(0, 3)), start, draw(st.booleans()),
    )  # fmt: skip


conditions = st.one_of(
    ranges(NUMBERS, numbers),
    ranges(WHENS, times),
    sets(NUMBERS, numbers),
    sets(WHENS, times),
    sets(TEXTS, st.sampled_from([*WORDS, "ACGT", "pass"])),
    sets(FLAGS, st.booleans()),
    st.builds(tree.IsNull, st.sampled_from([*NUMBERS, *TEXTS, *FLAGS, *WHENS, *WHOLE])),
    st.builds(tree.IsNaN, st.sampled_from(FLOATING)),
    st.builds(tree.Text, st.sampled_from(TEXTS), st.sampled_from(tree.TEXT_TESTS),
              st.sampled_from(WORDS), case=st.booleans()),
    st.builds(tree.Regex, st.sampled_from(TEXTS),
              st.sampled_from(["a", "^a", "b$", r"\d", "[A-Z]+", "x'", r'"', "a|A"]),
              case=st.booleans()),
    motifs(),
)  # fmt: skip

filters = st.recursive(
    conditions | st.sampled_from([tree.all_of(), tree.any_of()]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda of: tree.all_of(*of)),
        st.lists(inner, max_size=3).map(lambda of: tree.any_of(*of)),
        inner.map(tree.negation),
    ),
    max_leaves=5,
)


def columns_of(where: tree.Filter) -> list[str]:
    """The columns of SCHEMA that a filter reads, and one that it does not."""
    names = {"length"}
    for feature in where.features():
        if not feature.computed:
            names.add(feature.name)
        elif feature.name == "gc":
            names |= {"sequence", "bio_type"}
        elif f"usr_state__{feature.name}" in COLUMNS:
            names.add(f"usr_state__{feature.name}")
    return sorted(names)
