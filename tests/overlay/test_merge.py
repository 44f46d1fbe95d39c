"""The merged view against a plain model over random parts (OVL-1..8, GET head windows)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.overlay.kit import (
    NOON,
    Part,
    base_table,
    expected,
    later,
    part_name,
    same,
    write_base,
    write_registry,
)
from usr_nb import Dataset
from usr_nb.contract.types import parse_type
from usr_nb.dataset.listing import load_registry
from usr_nb.overlay.merge import Merged
from usr_nb.storage.layout import Layout
from usr_nb.storage.view import open_view

FIELDS = {
    "n": "float64", "i": "int64", "s": "string", "b": "bool", "l": "list<float64>",
    "r": "struct<p:int64,q:string>", "v": "fixed_size_list<float64>[2]", "t": "timestamp[us, UTC]",
}  # fmt: skip
NUMBERS = st.one_of(st.floats(width=64), st.sampled_from([0.0, -0.0, float("nan"), 1.5]))
TEXTS = st.sampled_from(["", "x", "naïve", "NA", "[1]", "null"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": NUMBERS,
    "i": st.integers(-(2**63), 2**63 - 1),
    "s": TEXTS,
    "b": st.booleans(),
    "l": st.lists(st.one_of(st.none(), NUMBERS), max_size=3),
    "r": st.fixed_dictionaries(
        {"p": st.one_of(st.none(), st.integers(0, 9)), "q": st.one_of(st.none(), TEXTS)}
    ),
    "v": st.lists(NUMBERS, min_size=2, max_size=2),
    "t": st.integers(0, 10**6).map(later),
}
KEYS = ("id", "sequence", "sequence_norm", "sequence_ci")
WORDS = ["A", "AC", "ac", "Ac", "ACG", "acg", "T", "t", "GG", "gg", "CAT", "TTT", "gat"]
ORPHANS = ["AAAAAA", "CCCCCC", "GGGGGG"]
PADS = ["", " ", "\t", "\u00a0", "\x1f", "\u3000"]
COLUMNS = [f"m__{f}" for f in FIELDS]
TYPES = {f"m__{f}": parse_type(t) for f, t in FIELDS.items()}


def cell(column: str) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), VALUES[column.removeprefix("m__")])


@st.composite
def parts_for(draw: st.DrawFn, sequences: list[str], key: str) -> list[Part]:
    ids = base_table([*sequences, *ORPHANS]).column("id").to_pylist()
    pool = list(dict.fromkeys(ids if key == "id" else [*sequences, *ORPHANS]))
    if key == "sequence_ci":
        pool = list(dict.fromkeys(w.upper() for w in pool))
    parts = []
    single_taken = False
    for number in range(draw(st.integers(0, 4))):
        columns = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4, unique=True))
        keys = draw(st.lists(st.sampled_from(pool), max_size=6, unique=True))
        rows = []
        for k in keys:
            raw = k
            if key != "id":
                raw = draw(st.sampled_from(PADS)) + k + draw(st.sampled_from(PADS))
            if key == "sequence_ci" and draw(st.booleans()):
                raw = raw.lower()
            rows.append((raw, {c: draw(cell(c)) for c in columns}))
        at = later(draw(st.integers(0, 2)))
        single = not single_taken and draw(st.integers(0, 4)) == 0
        single_taken |= single
        name = "m.parquet" if single else part_name(at, draw(st.integers(0, 99)) * 10 + number)
        marked = draw(st.sets(st.sampled_from(columns))) if draw(st.booleans()) else set()
        flags = st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))
        parts.append(
            Part(
                name, key, at, columns, rows, {c: draw(flags) for c in sorted(marked)},
                single=single, key_last=draw(st.booleans()), large=draw(st.booleans()),
            )
        )  # fmt: skip
    return parts


@st.composite
def datasets(
    draw: st.DrawFn,
) -> tuple[list[str], str, list[Part], dict[str, list[Any]], list[bool]]:
    sequences = draw(st.lists(st.sampled_from(WORDS), max_size=9, unique=True))
    key = draw(st.sampled_from(KEYS))
    n = len(sequences)
    held = draw(st.lists(st.sampled_from(COLUMNS), max_size=2, unique=True))
    base = {c: draw(st.lists(cell(c), min_size=n, max_size=n)) for c in held}
    gone = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return sequences, key, draw(parts_for(sequences, key)), base, gone


def build(
    root: Path, sequences: list[str], parts: list[Part], base: dict[str, list[Any]]
) -> tuple[Path, list[dict[str, Any]]]:
    write_registry(root, {"m": FIELDS, "a": {"x": "int64"}})
    table = base_table(sequences)
    for c, cells in base.items():
        table = table.append_column(c, pa.array(cells, TYPES[c]))
    write_base(root / "d", table, groups=2)
    for part in parts:
        part.write(root / "d", "m", TYPES)
    return root / "d", table.to_pylist()


def bury(folder: Path, rows: list[dict[str, Any]], gone: list[bool], *, as_part: bool) -> None:
    """Tombstone rows: an old file, and a newer part that restores and deletes others."""
    from usr_nb.contract.records import TOMBSTONE_SCHEMA

    types = {f.name: f.type for f in TOMBSTONE_SCHEMA if f.name != "id"}
    old = [(r["id"], _mark(not g)) for r, g in zip(rows, gone, strict=True)]
    new = [(r["id"], _mark(g)) for r, g in zip(rows, gone, strict=True)]
    columns = list(types)
    if as_part:
        Part("usr.parquet", "id", NOON, columns, old, single=True).write(folder, "usr", types)
        Part(part_name(later(1), 1), "id", later(1), columns, new).write(folder, "usr", types)
    else:
        Part("usr.parquet", "id", NOON, columns, new, single=True).write(folder, "usr", types)


def _mark(deleted: bool) -> dict[str, Any]:
    at = NOON if deleted else None
    return {"usr__deleted": deleted, "usr__deleted_at": at, "usr__deleted_reason": None}


@settings(max_examples=120)
@given(data=datasets(), draw=st.data())
def test_OVL_6_merged_view_equals_the_model(data, draw) -> None:
    sequences, key, parts, base, gone = data
    buried = draw.draw(st.sampled_from(["no", "file", "part"]))
    with tempfile.TemporaryDirectory() as tmp:
        folder, rows = build(Path(tmp), sequences, parts, base)
        if buried != "no" and rows:
            bury(folder, rows, gone, as_part=buried == "part")
        else:
            gone = [False] * len(rows)
        wanted = {c: [same(v) for v in expected(rows, parts, c, key)] for c in COLUMNS}
        live = [i for i, g in enumerate(gone) if not g]
        held = {c for p in parts for c in p.columns}
        names = [*base, *[c for c in COLUMNS if c in held and c not in base]]
        with open_view(Layout(folder)) as view:
            merged = Merged(view, load_registry(tmp))
            # OVL-7: base columns first, then the namespace's in registry order.
            assert merged.schema.names[7:] == names
            table = merged.table()
            assert table.schema == merged.schema
            assert table.column("id").to_pylist() == [rows[i]["id"] for i in live]
            for c in names:
                got = [same(v) for v in table.column(c).to_pylist()]
                assert got == [wanted[c][i] for i in live], c
            size = draw.draw(st.integers(1, 4))
            chosen = draw.draw(st.permutations([*names, "length"]))[:4]
            again = pa.Table.from_batches(
                merged.batches(chosen, batch_rows=size), schema=table.select(chosen).schema
            )
            assert again.schema.names == chosen
            for c in chosen:
                assert [same(v) for v in again.column(c).to_pylist()] == [
                    same(v) for v in table.column(c).to_pylist()
                ]
            places = st.lists(st.integers(0, len(rows) - 1), max_size=6) if rows else st.just([])
            at = draw.draw(places)
            taken = merged.take(at, [*chosen, "id"])
            assert taken.column("id").to_pylist() == [rows[i]["id"] for i in at]
            for c in chosen:
                if c != "length":
                    assert [same(v) for v in taken.column(c).to_pylist()] == [
                        wanted[c][i] for i in at
                    ], c
        ds = Dataset.open(tmp, "d")
        n = draw.draw(st.integers(0, 10))
        assert list(ds.head(n, columns=["id"])["id"]) == [rows[i]["id"] for i in live][:n]
        everything = list(ds.head(n, columns=["id"], include_deleted=True)["id"])
        assert everything == [r["id"] for r in rows][:n]


def one_row(tmp_path: Path, *parts: Part, key: str = "id") -> pa.Table:
    folder, _ = build(tmp_path, ["ACGT"], list(parts), {})
    with open_view(Layout(folder)) as view:
        return Merged(view, load_registry(tmp_path)).table()


ID = base_table(["ACGT"]).column("id")[0].as_py()


def numbered(name: str, at: int, **cells: Any) -> Part:
    named = {f"m__{k}": v for k, v in cells.items()}
    return Part(name, "id", later(at), list(named), [(ID, named)])


def test_OVL_6_columns_are_merged_one_by_one(tmp_path) -> None:
    table = one_row(
        tmp_path,
        numbered(part_name(NOON, 1), 0, n=1.0, s="old"),
        numbered(part_name(NOON, 2), 1, s="new"),
    )
    assert table.column("m__n").to_pylist() == [1.0]
    assert table.column("m__s").to_pylist() == ["new"]


def test_OVL_6_a_null_of_a_newer_part_is_a_value(tmp_path) -> None:
    table = one_row(
        tmp_path, numbered(part_name(NOON, 1), 0, s="old"), numbered(part_name(NOON, 2), 1, s=None)
    )
    assert table.column("m__s").to_pylist() == [None]


def test_OVL_5_newest_wins_whatever_the_file_names(tmp_path) -> None:
    table = one_row(
        tmp_path,
        numbered(part_name(later(9), 9), 0, s="older, later name"),
        numbered(part_name(NOON, 1), 1, s="newer"),
    )
    assert table.column("m__s").to_pylist() == ["newer"]


def test_OVL_5_equal_times_are_decided_by_file_name(tmp_path) -> None:
    table = one_row(
        tmp_path,
        numbered(part_name(NOON, 2), 0, s="second"),
        numbered(part_name(NOON, 1), 0, s="first"),
    )
    assert table.column("m__s").to_pylist() == ["second"]


def test_OVL_5_equal_times_also_order_the_single_file_by_its_name(tmp_path) -> None:
    write_registry(tmp_path, {"zeta": {"s": "string"}})
    write_base(tmp_path / "d", base_table(["ACGT"]))
    for name, said in (("zeta.parquet", "z comes after p"), (part_name(NOON, 1), "part")):
        single = name == "zeta.parquet"
        part = Part(name, "id", NOON, ["zeta__s"], [(ID, {"zeta__s": said})], single=single)
        part.write(tmp_path / "d", "zeta", {"zeta__s": pa.string()})
    with open_view(Layout(tmp_path / "d")) as view:
        table = Merged(view, load_registry(tmp_path)).table()
    assert table.column("zeta__s").to_pylist() == ["z comes after p"]


def test_OVL_1_single_file_counts_as_one_part(tmp_path) -> None:
    single = Part("m.parquet", "id", later(1), ["m__s"], [(ID, {"m__s": "file"})], single=True)
    table = one_row(tmp_path, numbered(part_name(NOON, 1), 0, s="part", n=2.0), single)
    assert table.column("m__s").to_pylist() == ["file"]
    assert table.column("m__n").to_pylist() == [2.0]


def test_OVL_6_where_no_part_speaks_the_base_stands(tmp_path) -> None:
    part = numbered(part_name(NOON, 1), 0, n=5.0)
    folder, _ = build(tmp_path, ["ACGT", "TTTT"], [part], {"m__n": [1.0, 2.0], "m__s": ["x", None]})
    with open_view(Layout(folder)) as view:
        table = Merged(view, load_registry(tmp_path)).table()
    assert table.column("m__n").to_pylist() == [5.0, 2.0]
    assert table.column("m__s").to_pylist() == ["x", None]


def test_OVL_3_white_space_is_pythons(tmp_path) -> None:
    rows = [("\u00a0\x1fACGT\u2003\x85", {"m__s": "found"})]
    part = Part(part_name(NOON, 1), "sequence", NOON, ["m__s"], rows)
    assert one_row(tmp_path, part).column("m__s").to_pylist() == ["found"]


def test_OVL_3_zero_width_space_is_not_white_space(tmp_path) -> None:
    rows = [("\u200bACGT", {"m__s": "not found"})]
    part = Part(part_name(NOON, 1), "sequence", NOON, ["m__s"], rows)
    assert one_row(tmp_path, part).column("m__s").to_pylist() == [None]


def test_OVL_3_several_base_rows_may_share_a_key_when_reading(tmp_path) -> None:
    part = Part(part_name(NOON, 1), "sequence_ci", NOON, ["m__n"], [("ac", {"m__n": 3.0})])
    folder, _ = build(tmp_path, ["AC", "ac", "T"], [part], {})
    with open_view(Layout(folder)) as view:
        table = Merged(view, load_registry(tmp_path)).table()
    assert table.column("m__n").to_pylist() == [3.0, 3.0, None]


def test_OVL_3_two_keys_in_one_namespace_are_an_error(tmp_path) -> None:
    from usr_nb import SchemaError

    other = Part(part_name(NOON, 2), "sequence", NOON, ["m__s"], [("ACGT", {"m__s": "x"})])
    with pytest.raises(SchemaError, match="two keys"):
        one_row(tmp_path, numbered(part_name(NOON, 1), 0, s="y"), other)


@pytest.mark.parametrize("missing", ["usr:overlay_key", "usr:overlay_created_at"])
def test_OVL_2_a_part_without_key_or_time_is_an_error_with_its_name(tmp_path, missing) -> None:
    from tests.overlay.kit import overlay_meta, write_parquet
    from usr_nb import SchemaError

    folder, _ = build(tmp_path, ["ACGT"], [], {})
    meta = overlay_meta("m", "id", NOON)
    del meta[missing.encode()]
    name = part_name(NOON, 1)
    table = pa.table({"id": [ID], "m__s": ["x"]})
    write_parquet(folder / "_derived" / "m" / name, table, meta)
    with pytest.raises(SchemaError) as caught:
        Dataset.open(tmp_path, "d").head()
    assert missing in str(caught.value)
    assert name in str(caught.value)


def test_OVL_8_a_type_that_differs_is_an_error_with_part_column_and_both_types(tmp_path) -> None:
    from tests.overlay.kit import overlay_meta, write_parquet
    from usr_nb import SchemaError

    folder, _ = build(tmp_path, ["ACGT"], [], {})
    name = part_name(NOON, 1)
    table = pa.table({"id": [ID], "m__n": pa.array([1], pa.int64())})
    write_parquet(folder / "_derived" / "m" / name, table, overlay_meta("m", "id", NOON))
    with pytest.raises(SchemaError) as caught:
        Dataset.open(tmp_path, "d").head()
    for word in (name, "m__n", "int64", "float64"):
        assert word in str(caught.value), word


def test_OVL_8_reading_needs_the_namespace_registered(tmp_path) -> None:
    from usr_nb import NamespaceError

    folder, _ = build(tmp_path, ["ACGT"], [], {})
    stray = Part(part_name(NOON, 1), "id", NOON, ["q__n"], [(ID, {"q__n": 1.0})])
    stray.write(folder, "q", {"q__n": pa.float64()})
    ds = Dataset.open(tmp_path, "d")
    with pytest.raises(NamespaceError, match="'q' is not registered"):
        ds.head()
    # What does not touch it is still readable.
    assert list(ds.head(columns=["id"])["id"]) == [ID]
    assert list(ds.head(include_derived=False)["id"]) == [ID]


def test_OVL_7_namespaces_come_a_to_z_and_usr_only_when_asked(tmp_path) -> None:
    folder, rows = build(tmp_path, ["ACGT"], [numbered(part_name(NOON, 1), 0, t=NOON, n=1.0)], {})
    Part(part_name(NOON, 1), "id", NOON, ["a__x"], [(ID, {"a__x": 1})]).write(
        folder, "a", {"a__x": pa.int64()}
    )
    bury(folder, rows, [True], as_part=False)
    ds = Dataset.open(tmp_path, "d")
    derived = ["a__x", "m__n", "m__t"]
    assert ds.schema().names[7:] == derived
    assert list(ds.head().columns[7:]) == derived
    assert len(ds.head()) == 0
    shown = ds.head(include_deleted=True)
    assert list(shown.columns[7:]) == [
        *derived, "usr__deleted", "usr__deleted_at", "usr__deleted_reason",
    ]  # fmt: skip
    assert list(shown["usr__deleted"]) == [True]


def test_OVL_7_an_empty_result_still_has_its_schema(tmp_path) -> None:
    folder, _ = build(tmp_path, [], [Part(part_name(NOON, 1), "id", NOON, ["m__v"], [])], {})
    with open_view(Layout(folder)) as view:
        table = Merged(view, load_registry(tmp_path)).table()
    assert table.num_rows == 0
    assert table.schema.field("m__v").type == pa.list_(pa.float64(), 2)
    assert list(Dataset.open(tmp_path, "d").head().columns[7:]) == ["m__v"]


def test_OVL_9_unspoken_cells_are_silent(tmp_path) -> None:
    old = Part(part_name(NOON, 1), "id", NOON, ["m__n"], [(ID, {"m__n": 1.0})])
    new = Part(
        part_name(later(1), 2), "id", later(1), ["m__n"], [(ID, {"m__n": 9.0})], {"m__n": [True]}
    )
    assert one_row(tmp_path, old, new).column("m__n").to_pylist() == [1.0]


def test_OVL_9_a_damaged_unspoken_bitmap_is_a_typed_error(tmp_path) -> None:
    from tests.overlay.kit import overlay_meta, write_parquet
    from usr_nb import SequencesError

    for number, text in enumerate((b"{", b'{"m__n": "%%%"}', b'{"m__n": 5}', b"[]")):
        root = tmp_path / str(number)
        folder, _ = build(root, ["ACGT"], [], {})
        meta = overlay_meta("m", "id", NOON) | {b"usr:unspoken": text}
        table = pa.table({"id": [ID], "m__n": [1.0]})
        write_parquet(folder / "_derived" / "m" / part_name(NOON, 1), table, meta)
        with pytest.raises(SequencesError):
            Dataset.open(root, "d").head()


@pytest.mark.parametrize("include", [True, False, ["m"], ["a"], []])
def test_OVL_7_include_overlays_chooses_namespaces(tmp_path, include) -> None:
    folder, _ = build(tmp_path, ["ACGT"], [numbered(part_name(NOON, 1), 0, n=1.0)], {"m__s": ["b"]})
    Part(part_name(NOON, 1), "id", NOON, ["a__x"], [(ID, {"a__x": 1})]).write(
        folder, "a", {"a__x": pa.int64()}
    )
    ds = Dataset.open(tmp_path, "d")
    names = pa.Table.from_batches(list(ds.scan(include_overlays=include))).schema.names[7:]
    wanted = {"a": ["a__x"], "m": ["m__n"]}
    chosen = ["a", "m"] if include is True else include or []
    assert names == ["m__s", *[c for ns in chosen for c in wanted[ns]]]
