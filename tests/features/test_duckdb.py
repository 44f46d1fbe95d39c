"""``backend="duckdb"`` gives what ``pyarrow`` gives, also its errors (contract ATT-5)."""

from __future__ import annotations

import decimal
import shutil
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from tests.dataset.kit import cells, last_event, parts, refused
from tests.features.kit import fresh, ids, merged, new
from usr_nb import SequencesError, ValidationError

SEQS = ["ACGT", "TTTT", "GGGG", "CCCC", "CATG"]
KEYS = ids(SEQS)
TYPES = ["string", "bool", "int8", "int64", "uint64", "float16", "float32", "float64",
         "list<float64>", "list<string>", "list<list<int64>>", "fixed_size_list<float64>[2]",
         "struct<p:int64,q:string>", "list<struct<p:float32,q:bool>>", "timestamp[s]",
         "timestamp[us, UTC]", "timestamp[ns]", "timestamp[ns, UTC]"]  # fmt: skip
NS = ",".join(f"m__c{i}:{t}" for i, t in enumerate(TYPES))

floats = st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0, 1.5, float("nan")]))
ints = st.integers(-128, 127)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(["1", "1.5", "", "true", "[1, 2]", "2026-03-01T12:00:00Z"]),
)
OLD, NEW = (datetime(y, 1, 1, tzinfo=UTC).replace(tzinfo=None) for y in (1970, 2100))
moments = st.datetimes(OLD, NEW)


def optional(values):
    return st.one_of(st.none(), values)


pairs = st.fixed_dictionaries({"p": optional(floats), "q": optional(st.booleans())})

#: Arrow types that a Parquet file may hold, and values of them.
SOURCES = {
    "string": (pa.string(), texts),
    "large_string": (pa.large_string(), texts),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a", "b", "1"])),
    "binary": (pa.binary(), st.binary(max_size=3)),
    "bool": (pa.bool_(), st.booleans()),
    "int8": (pa.int8(), ints),
    "int64": (pa.int64(), st.one_of(ints, st.integers(-(2**63), 2**63 - 1))),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "float16": (pa.float16(), st.sampled_from([0.0, 1.5, -2.0, float("nan")]).map(np.float16)),
    "float32": (pa.float32(), floats),
    "float64": (pa.float64(), st.floats()),
    "decimal": (pa.decimal128(12, 2), st.integers(-99, 99).map(lambda n: decimal.Decimal(n) / 4)),
    "decimal256": (pa.decimal256(50, 0), st.integers(0, 10**45).map(decimal.Decimal)),
    "date": (pa.date32(), st.dates(date(1970, 1, 1), date(2100, 1, 1))),
    "s": (pa.timestamp("s"), moments.map(lambda t: t.replace(microsecond=0))),
    "us_utc": (pa.timestamp("us", tz="UTC"), moments.map(lambda t: t.replace(tzinfo=UTC))),
    "paris": (pa.timestamp("us", tz="Europe/Paris"), moments.map(lambda t: t.replace(tzinfo=UTC))),
    "ns": (pa.timestamp("ns"), st.integers(0, 2**61)),
    "ns_utc": (pa.timestamp("ns", tz="UTC"), st.integers(0, 2**61)),
    "list": (pa.list_(pa.float64()), st.lists(optional(st.floats()), max_size=3)),
    "large_list": (pa.large_list(pa.int64()), st.lists(optional(ints), max_size=3)),
    "lists": (pa.list_(pa.list_(pa.int64())),
              st.lists(optional(st.lists(ints, max_size=2)), max_size=2)),
    "texts": (pa.list_(pa.large_string()), st.lists(optional(texts), max_size=2)),
    "pair": (pa.list_(pa.float64(), 2), st.lists(floats, min_size=2, max_size=2)),
    "struct": (pa.struct([("p", pa.int64()), ("q", pa.string())]),
               st.fixed_dictionaries({"p": optional(ints), "q": optional(texts)})),
    "structs": (pa.list_(pa.struct([("p", pa.float32()), ("q", pa.bool_())])),
                st.lists(optional(pairs), max_size=2)),
    "map": (pa.map_(pa.string(), pa.int64()), st.lists(st.tuples(texts, ints), max_size=2)),
    "nulls": (pa.null(), st.none()),
}  # fmt: skip

columns = st.sampled_from(sorted(SOURCES)).flatmap(
    lambda kind: st.tuples(
        st.just(kind), st.lists(optional(SOURCES[kind][1]), min_size=len(SEQS), max_size=len(SEQS))
    )
)


def attach_with(root, name, path, backend, **how):
    """Attach to a dataset of its own; returns (rows or error, table, parts, event)."""
    ds = new(root, SEQS, name)
    try:
        result = ds.attach(path, "m", backend=backend, parse_json=False, **how)
    except SequencesError as error:
        return f"{type(error).__name__}: {error}", None, None, None
    event = last_event(ds, "attach") if result else None
    return result, merged(ds), [pq.read_table(p) for p in parts(ds)], event


def both(root, path, **how):
    a = attach_with(root, "arrow", path, "pyarrow", **how)
    b = attach_with(root, "duck", path, "duckdb", **how)
    assert a[0] == b[0]
    assert a[1] == b[1]
    if a[3] is None:
        assert b[3] is None
        return a
    for mine, theirs in zip(a[2], b[2], strict=True):
        assert mine.schema.equals(theirs.schema)
        # Byte for byte: NaN payloads, signs of zero and nulls inside lists count.
        assert _bytes(mine) == _bytes(theirs)
    assert (a[3]["args"].pop("backend"), b[3]["args"].pop("backend")) == ("pyarrow", "duckdb")
    for key in ("action", "args", "metrics", "maintenance", "registry_hash"):
        assert a[3][key] == b[3][key], key
    return a


def _bytes(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    plain = table.replace_schema_metadata(None).combine_chunks()
    pq.write_table(plain, out, compression="none", use_dictionary=False)
    return out.getvalue().to_pybytes()


def write(path, cols: dict[str, tuple[str, list]], keys=KEYS):
    arrays = {"id": pa.array(keys, pa.string())}
    for name, (kind, values) in cols.items():
        arrays[name] = pa.array(values, SOURCES[kind][0])
    pq.write_table(pa.table(arrays), path)
    return path


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns, st.integers(0, len(TYPES) - 1), st.booleans(), st.permutations(range(len(SEQS))))
@example(("map", [None] * len(SEQS)), 1, False, list(range(len(SEQS))))
def test_ATT_5_any_column_into_any_type(tmp_path_factory, column, target, matching, order) -> None:
    kind, values = column
    alike = {"string": 0, "large_string": 0, "dictionary": 0, "bool": 1, "int8": 2, "int64": 3,
             "uint64": 4, "float16": 5, "float32": 6, "float64": 7, "list": 8, "texts": 9,
             "lists": 10, "pair": 11, "struct": 12, "structs": 13, "s": 14, "us_utc": 15,
             "ns": 16, "ns_utc": 17}  # fmt: skip
    at = alike.get(kind, target) if matching else target
    folder = tmp_path_factory.mktemp("duck")
    root = fresh(folder, m=NS)
    path = write(folder / "a.parquet", {f"c{at}": (kind, values)}, [KEYS[i] for i in order])
    both(root, path)
    shutil.rmtree(folder)


def test_ATT_5_every_kind_of_column_is_attached_to_its_own_type(tmp_path) -> None:
    one = {"string": "a", "large_string": "b", "bool": True, "int8": 1, "int64": 2**62,
           "uint64": 2**64 - 1, "float16": np.float16(1.5), "float32": 1.5, "float64": 0.1,
           "list": [1.0, None], "texts": ["x", None], "lists": [[1], None, []], "pair": [1.0, 2.0],
           "struct": {"p": 1, "q": None}, "structs": [{"p": 1.0, "q": None}, None],
           "s": OLD, "us_utc": datetime(2026, 1, 1, tzinfo=UTC),
           "ns": 1_234_567_891, "ns_utc": 1_234_567_891}  # fmt: skip
    target = {
        "string": 0,
        "large_string": 0,
        "bool": 1,
        "int8": 2,
        "int64": 3,
        "uint64": 4,
        "float16": 5,
        "float32": 6,
        "float64": 7,
        "list": 8,
        "texts": 9,
        "lists": 10,
        "pair": 11,
        "struct": 12,
        "structs": 13,
        "s": 14,
        "us_utc": 15,
        "ns": 16,
        "ns_utc": 17,
    }
    # One column per registered type; large strings are read in a file of their own.
    for number, left_out in enumerate(("large_string", "string")):
        cols = {f"c{target[k]}": (k, [v] + [None] * 4) for k, v in one.items() if k != left_out}
        assert len(cols) == len(TYPES)
        path = write(tmp_path / f"{number}.parquet", cols)
        done, table, _, _ = both(fresh(tmp_path, m=NS), path)
        assert done == 5
        for name in cols:
            assert table[f"m__{name}"][0] is not None, name
            assert table[f"m__{name}"][1:] == [None] * 4, name


@pytest.mark.parametrize("name", ["a[1].parquet", "a*.parquet", "a?b.parquet", "it's.parquet",
                                  "x=7/c3.parquet", "ü b.parquet"])  # fmt: skip
def test_ATT_5_odd_paths_are_paths_not_patterns(tmp_path, name) -> None:
    root = fresh(tmp_path, m=NS)
    path = tmp_path / "files" / name
    path.parent.mkdir(parents=True)
    # A file that the name as a pattern would fit.
    for other in ("a1.parquet", "aab.parquet", "axb.parquet"):
        write(path.parent / other, {"c3": ("int64", [666] * 5)})
    write(path, {"c3": ("int64", [1, 2, 3, 4, 5])})
    _, table, _, _ = both(root, path)
    assert [v[1] for v in table["m__c3"]] == [1, 2, 3, 4, 5]


def test_ATT_5_names_that_differ_in_case_only(tmp_path) -> None:
    """Also where one of them is what SQL would call the other."""
    root = fresh(tmp_path, m=NS + ",m__C3:int64,m__c3_1:int64")
    numbers = {"C3": 1, "c3": 2, "c3_1": 3}
    path = write(tmp_path / "a.parquet", {c: ("int64", [n] * 5) for c, n in numbers.items()})
    _, table, _, _ = both(root, path)
    assert {c: table[f"m__{c}"][0][1] for c in numbers} == numbers


def test_ATT_5_errors_are_the_same(tmp_path) -> None:
    bad = {
        "unmatched": ({"c3": ("int64", [1] * 5)}, [*KEYS[:4], "f" * 40], {}, "not in the dataset"),
        "repeated": ({"c3": ("int64", [1] * 5)}, [KEYS[0]] * 5, {}, "more than one row"),
        "missing": ({"c3": ("int64", [1] * 5)}, [*KEYS[:4], None], {}, "row 5"),
        "cell": ({"c2": ("int64", [1, 2, 300, 4, 5])}, KEYS, {}, "row 3: 300"),
        "unregistered": ({"zz": ("int64", [1] * 5)}, KEYS, {}, "m__zz"),
        "column": ({"c3": ("int64", [1] * 5)}, KEYS, {"columns": ["c4"]}, "no column 'c4'"),
        "text": ({"c8": ("string", ["[1, 2]"] * 5)}, KEYS, {}, "parse_json=False"),
    }
    for case, (cols, keys, how, match) in bad.items():
        path = write(tmp_path / f"{case}.parquet", cols, keys)
        said = both(fresh(tmp_path, m=NS), path, **how)[0]
        assert match in str(said), (case, said)


def test_ATT_5_damaged_files_are_refused_alike(tmp_path) -> None:
    root = fresh(tmp_path, m=NS)
    path = write(tmp_path / "a.parquet", {"c3": ("int64", [1] * 5)})
    data = path.read_bytes()
    for number, torn in enumerate((b"", b"PAR1", data[:-20], b"x" * 100)):
        bad = tmp_path / f"bad{number}.parquet"
        bad.write_bytes(torn)
        both(fresh(tmp_path, m=NS), bad)
    ds = new(root, SEQS)
    with refused(root, SequencesError, match="no such file"):
        ds.attach(tmp_path / "absent.parquet", "m", backend="duckdb", parse_json=False)


def test_ATT_5_parquet_only_and_without_parsing(tmp_path) -> None:
    root = fresh(tmp_path, m=NS)
    ds = new(root, SEQS)
    path = write(tmp_path / "a.parquet", {"c3": ("int64", [1] * 5)})
    (tmp_path / "a.csv").write_text("id,c3\n")
    for source, how in ((path, {}), (path, {"parse_json": True}),
                        (tmp_path / "a.csv", {"parse_json": False}),
                        (pa.table({"id": KEYS}), {"parse_json": False})):  # fmt: skip
        with refused(root, ValidationError, match="reads parquet files, with parse_json=False"):
            ds.attach(source, "m", backend="duckdb", **how)
    with refused(root, ValidationError, match="backend is"):
        ds.attach(path, "m", backend="polars", parse_json=False)


def test_ATT_5_many_rows_keep_their_order(tmp_path) -> None:
    root = fresh(tmp_path, m=NS)
    rng = np.random.default_rng(1)
    seqs = ["".join(s) for s in rng.choice(list("ACGT"), (3000, 20))]
    table = pa.table({"id": ids(seqs), "c7": rng.random(3000)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100)
    for name, backend in (("a", "pyarrow"), ("b", "duckdb")):
        ds = new(root, seqs, name)
        assert ds.attach(tmp_path / "a.parquet", "m", backend=backend, parse_json=False) == 3000
        assert cells(ds, "m__c7") == table.column("c7").to_pylist()


def test_ATT_5_no_rows_write_nothing(tmp_path) -> None:
    root = fresh(tmp_path, m=NS)
    pq.write_table(pa.table({"id": pa.array([], pa.string()), "c3": pa.array([], pa.int64())}),
                   tmp_path / "a.parquet")  # fmt: skip
    done, _, written, event = both(root, tmp_path / "a.parquet")
    assert (done, written, event) == (0, [], None)
