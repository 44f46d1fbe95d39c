"""Profile: every number equals one that plain Python works out from the same cells."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from tests.dataset.kit import IDS, SEQUENCES, new_dataset
from tests.dataset.test_materialize import fill
from tests.filter.strategies import COLUMNS, tables
from usr_nb import Dataset, F, SchemaError, compute_id, register_namespace
from usr_nb.dataset.profile import bins, numbers, words
from usr_nb.dataset.profile.column import Tally
from usr_nb.dataset.profile.model import Histogram, Numbers, Stats
from usr_nb.dataset.profile.sequences import folded_and_turned

T = pa.types


# The reference ------------------------------------------------------------------------------------


def check(found: Stats, cells: list[Any], dtype: pa.DataType) -> None:
    """Compare statistics with what the cells, as plain Python values, say."""
    there = [c for c in cells if c is not None]
    assert (found.rows, found.nulls) == (len(cells), len(cells) - len(there))
    assert (found.example is None) == (not there)
    assert (found.numbers is not None) == (
        T.is_integer(dtype) or T.is_floating(dtype) or T.is_timestamp(dtype)
    )
    if found.numbers is not None:
        check_numbers(found.numbers, there, dtype)
    if T.is_string(dtype) or T.is_boolean(dtype):
        check_words(found.words, there, all_of_them=T.is_boolean(dtype))
    if T.is_list(dtype) or T.is_fixed_size_list(dtype):
        check_numbers(found.lists.lengths, [len(c) for c in there], pa.int32())
        check(found.lists.elements, [item for c in there for item in c], dtype.value_type)
        check_means(found.lists.means, there, dtype.value_type)
    if T.is_struct(dtype):
        assert [(n, t) for n, t, _ in found.children] == [(f.name, text(f.type)) for f in dtype]
        for name, _, child in found.children:
            check(child, [None if c is None else c[name] for c in cells], dtype.field(name).type)


def text(dtype: pa.DataType) -> str:
    from usr_nb.contract.types import type_text

    return type_text(dtype)


def check_numbers(found: Numbers, values: list[Any], dtype: pa.DataType) -> None:
    floating = T.is_floating(dtype)
    known = [v for v in values if not (floating and math.isnan(v))]
    finite = [v for v in known if not (floating and math.isinf(v))]
    assert (found.count, found.nan, found.infinite) == (
        len(known), len(values) - len(known), len(known) - len(finite)
    )  # fmt: skip
    assert (found.min, found.max) == ((min(known), max(known)) if known else (None, None))
    check_histogram(found.histogram, finite)
    assert found.quantiles_exact
    if T.is_timestamp(dtype):
        return
    if not known:
        assert found.mean is None
    elif len(finite) == len(known):
        total = math.fsum(known) if floating else sum(known)
        assert found.mean == pytest.approx(total / len(known), rel=1e-12, abs=1e-300)
    if len(finite) > 1:
        spread = statistics.stdev([float(v) for v in finite])
        size = max(abs(float(v)) for v in finite)
        assert found.std == pytest.approx(spread, rel=1e-9, abs=1e-7 * size)
    wide = pd.Series([float(v) for v in finite], dtype="float64")
    assert [q for q, _ in found.quantiles] == (list(numbers.QUANTILES) if finite else [])
    for share, value in found.quantiles:
        assert value == pytest.approx(wide.quantile(share), rel=1e-12, abs=1e-300)


def check_histogram(found: Histogram | None, finite: list[Any]) -> None:
    if not finite:
        assert found is None
        return
    assert sum(found.counts) == len(finite)
    assert len(found.edges) == len(found.counts) + 1 <= bins.SHOWN + 1
    assert list(found.edges) == sorted(set(found.edges))
    assert found.counts[0] > 0 < found.counts[-1]
    for low, high, n in zip(found.edges, found.edges[1:], found.counts, strict=False):
        assert n == sum(low <= v < high for v in finite)


def check_words(found: Any, values: list[Any], *, all_of_them: bool) -> None:
    counted = Counter(values)
    assert (found.distinct, found.distinct_exact) == (len(counted), True)
    ranked = sorted(
        counted.items(),
        key=lambda vn: (-vn[1], vn[0].encode() if isinstance(vn[0], str) else vn[0]),
    )
    once = not all_of_them and max(counted.values(), default=1) == 1
    assert list(found.top) == ([] if once else ranked[: words.TOP])


def check_means(found: Any, lists: list[list[Any]], inner: pa.DataType) -> None:
    numeric = T.is_integer(inner) or T.is_floating(inner)
    lengths = {len(v) for v in lists}
    if not numeric or len(lengths) != 1 or lengths == {0}:
        assert found is None
        return
    for place, mean in enumerate(found):
        known = [float(v[place]) for v in lists if v[place] is not None and math.isfinite(v[place])]
        wanted = math.fsum(known) / len(known) if known else None
        size = max(map(abs, known), default=0.0)
        assert mean == (
            None if wanted is None else pytest.approx(wanted, rel=1e-9, abs=1e-9 * size)
        )


@given(st.data())
def test_a_profile_equals_plain_python_over_all_column_types(data: st.DataObject) -> None:
    names = sorted(COLUMNS)
    batch, _ = data.draw(tables(names, most=7))
    cuts = sorted(data.draw(st.lists(st.integers(0, batch.num_rows), max_size=3)))
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=batch.num_rows,
                                       max_size=batch.num_rows)), bool)  # fmt: skip
    for name in names:
        dtype = COLUMNS[name]
        whole, kept = (Tally(dtype, sample=99, full=True) for _ in range(2))
        for start, end in zip([0, *cuts], [*cuts, batch.num_rows], strict=True):
            some = batch.column(name).slice(start, end - start)
            whole.add(some)
            kept.add(some.filter(pa.array(keep[start:end])))
        cells = batch.column(name).to_pylist()
        check(whole.result(), cells, dtype)
        check(kept.result(), [c for c, k in zip(cells, keep, strict=True) if k], dtype)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.lists(FLOATS, max_size=40), max_size=4), st.booleans())
def test_bins_hold_every_float_there_is_whatever_the_batches(batches, single) -> None:
    kind = np.float32 if single else np.float64
    with np.errstate(over="ignore"):
        arrays = [
            a[np.isfinite(a)] for a in (np.array(b, np.float64).astype(kind) for b in batches)
        ]
    parts, together = bins.Bins(whole=False), bins.Bins(whole=False)
    for array in arrays:
        parts.add(array)
    every = np.concatenate([np.zeros(0, kind), *arrays])
    together.add(every)
    check_histogram(parts.histogram(), every.tolist())
    assert parts.histogram() == together.histogram()
    some = bins.Bins(whole=False)
    some.add(every[::2])
    if len(every):
        like = some.histogram(parts)
        assert like.edges == parts.histogram().edges
        assert like.counts == tuple(
            sum(a <= v < b for v in every[::2].tolist())
            for a, b in zip(like.edges, like.edges[1:], strict=False)
        )


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint64, np.uint8])
def test_bins_hold_every_integer_there_is(dtype) -> None:
    info = np.iinfo(dtype)
    values = np.array([info.min, info.max, 0, 1, 5, info.max // 2, info.max - 1], dtype)
    found = bins.Bins(whole=True)
    for one in (values[3:], values[:3], np.zeros(0, dtype)):
        found.add(one)
    check_histogram(found.histogram(), values.tolist())
    narrow = bins.Bins(whole=True)
    narrow.add(np.array([info.max - 3, info.max], dtype))
    assert narrow.histogram().counts == (1, 0, 0, 1)


def test_quantiles_beyond_what_is_kept_are_close_and_marked(monkeypatch) -> None:
    monkeypatch.setattr(numbers, "EXACT_VALUES", 50_000)
    values = np.random.default_rng(3).lognormal(size=200_000)
    tally = numbers.NumberTally(pa.float64(), full=True)
    for part in np.split(values, 8):
        tally.add(pa.array(part))
    found = tally.result()
    assert not found.quantiles_exact
    step = (found.max - found.min) / 2_048
    for share, value in found.quantiles:
        assert abs(value - np.quantile(values, share)) <= step


def test_many_different_words_are_counted_like_few() -> None:
    draw = np.random.default_rng(5)
    texts = [f"w{n}" for n in draw.integers(0, 60_000, 120_000)]
    tally = words.WordTally(counting=True)
    for start in range(0, len(texts), 40_000):
        tally.add(pa.array([*texts[start : start + 40_000], None]))
    found, counted = tally.result(), Counter(texts)
    assert (found.distinct, found.distinct_exact) == (len(counted), True)
    assert list(found.top) == sorted(counted.items(), key=lambda vn: (-vn[1], vn[0]))[: words.TOP]


# Over a dataset -----------------------------------------------------------------------------------

TEXT = st.text("ACGTacgt", min_size=1, max_size=5)
COMPLEMENT = str.maketrans("ACGTU", "TGCAA")


def turned(sequence: str, kind: str) -> str:
    if kind == "protein":
        return sequence.upper()
    table = str.maketrans("ACGU", "UGCA") if kind == "rna" else COMPLEMENT
    return sequence.upper().translate(table)[::-1]


def groups(rows: list[tuple[Any, Any]]) -> tuple[int, int]:
    """How many keys have two and more different members, and how many rows have such keys."""
    members: dict[Any, set[Any]] = {}
    for key, member in rows:
        members.setdefault(key, set()).add(member)
    several = {k for k, m in members.items() if len(m) > 1}
    return len(several), sum(k in several for k, _ in rows)


@given(st.lists(TEXT, max_size=12), st.sampled_from(["dna", "rna", "protein"]))
def test_turning_all_at_once_is_turning_each(texts, kind) -> None:
    texts = [t.replace("T", "U").replace("t", "u") if kind == "rna" else t for t in texts]
    folded, back = folded_and_turned(
        pa.array(texts, pa.string()), pa.array([kind] * len(texts), pa.string())
    )
    assert folded.to_pylist() == [t.upper().encode() for t in texts]
    assert back.to_pylist() == [turned(t, kind).encode() for t in texts]


def test_sequences_and_columns_of_a_filtered_dataset_equal_pandas(tmp_path) -> None:
    register_namespace(tmp_path, namespace="m", owner="ana", description="tests",
                       columns="m__x:float64,m__tags:list<string>")  # fmt: skip
    ds = Dataset.open(tmp_path, "lab/d")
    ds.init()
    draw = np.random.default_rng(9)
    texts = list(dict.fromkeys("".join(draw.choice(list("ACGTacgt"), draw.integers(1, 5)))
                               for _ in range(400)))  # fmt: skip
    ds.add_sequences([{"sequence": t} for t in texts], bio_type="dna", alphabet="dna_4")
    proteins = ["GCG", "MK", "CGC"]
    ds.add_sequences([{"sequence": t} for t in proteins], bio_type="protein", alphabet="protein_20")
    ids = [compute_id("dna", t) for t in texts]
    ds.write_overlay_part("m", pa.table({"id": ids[:90], "x": draw.normal(size=90)}),
                          actor={"tool": "evo2", "run_id": "job 8812"})  # fmt: skip
    ds.write_overlay_part("m", pa.table({"id": ids[:3], "tags": [["a", "b"], [], ["a"]]}))
    ds.tombstone(ids[5:9])
    found = ds.profile("length >= 3")

    frame = pd.read_parquet(ds.records_path)
    frame = frame[~frame["id"].isin(ids[5:9])]
    some = frame[frame["length"] >= 3]
    assert (found.rows, found.kept, found.where) == (len(frame), len(some), "length >= 3")
    assert not found.is_sample
    for rows, stats in ((frame, found.sequences), (some, found.sequences_kept)):
        pairs = list(zip(rows["sequence"], rows["bio_type"], strict=True))
        assert dict(stats.letters) == dict(Counter("".join(rows["sequence"])))
        assert stats.lengths.mean == pytest.approx(rows["sequence"].str.len().mean())
        dna = rows[rows["bio_type"] == "dna"]["sequence"].str.upper()
        gc = dna.str.count("[GC]") / dna.str.len()
        assert (stats.gc.count, stats.gc.mean) == (len(dna), pytest.approx(gc.mean()))
        kinds = {
            "exact": groups([(s, i) for i, (s, _) in enumerate(pairs)]),
            "case": groups([(s.upper(), s) for s, _ in pairs]),
            "reverse_complement": groups(
                [(min(s.upper(), turned(s, k)), s.upper()) for s, k in pairs if k != "protein"]
            ),
        }
        assert kinds["case"][0] > 2 < kinds["reverse_complement"][0]
        assert {k: (d.groups, d.records) for k, d in stats.duplicates.items()} == kinds
        twins = stats.duplicates["case"].ids
        assert len(twins) == kinds["case"][1]
        assert set(twins) <= set(rows["id"])
    assert sum(found["length"].kept.numbers.histogram.counts) == len(some)
    assert (
        found["length"].kept.numbers.histogram.edges == found["length"].all.numbers.histogram.edges
    )
    x = found["m__x"]
    assert (x.owner, x.description, x.namespace, x.type) == ("ana", "tests", "m", "float64")
    assert (x.all.non_null, x.kept.rows) == (90 - 4, len(some))
    assert found["m__tags"].all.lists.elements.words.top == (("a", 2), ("b", 1))
    [space] = found.namespaces
    assert (space.covered, space.parts, space.run_id) == (90 - 4, 2, None)
    assert space.covered_kept == sum(i in set(ids[:90]) for i in some["id"])
    with pytest.raises(SchemaError, match="m__y"):
        found["m__y"]


def test_describe_is_a_view_of_the_profile(ds) -> None:
    fill(ds)
    found = ds.profile(include_deleted=True)
    for row in ds.describe(include_deleted=True):
        column = found[row["column"]]
        stats, n = column.all, column.all.numbers
        assert (row["rows"], row["non_null"], row["type"]) == (
            stats.rows,
            stats.non_null,
            column.type,
        )
        if n is not None:
            assert [row["min"], row["max"]] == [n.min, n.max]
            assert row["mean"] == n.mean
        if stats.lists is not None:
            assert row["len_mean"] == stats.lists.lengths.mean
        if T.is_string(
            ds.schema(include_overlays=True).field(column.name).type
            if column.name in ds.schema().names
            else pa.null()
        ):
            assert row["distinct"] == stats.words.distinct


def test_an_empty_dataset_has_an_empty_profile(root) -> None:
    ds = new_dataset(root, "ns/none", [])
    found = ds.profile("length > 3")
    assert (found.rows, found.kept, found.sequences.lengths.count) == (0, 0, 0)
    assert found["sequence"].all.null_pct == 0.0
    assert found.sequences.duplicates["case"].records == 0


def test_only_some_columns_and_no_sequences(ds) -> None:
    found = ds.profile(F["length"] > 0, ["length"], sequences=False)
    assert [c.name for c in found] == ["length"]
    assert found.sequences is None
    assert found.rows == len(SEQUENCES) == len(IDS)
