"""Every quick way of reading equals the plain one, and no cache is ever believed (OVL-6, GET)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from tests.overlay.kit import NOON, Part, base_table, later, part_name, same, write_base
from tests.overlay.test_merge import TYPES, WORDS, build, bury, datasets
from usr_nb import Dataset, RecordNotFound
from usr_nb.contract.hashing import are_hex, id_prefixes, id_words, leading_bits
from usr_nb.contract.names import namespace_of
from usr_nb.dataset.listing import load_registry
from usr_nb.overlay import column as column_module, merge as merge_module, places as places_module
from usr_nb.overlay.idindex import Finder, candidates, entries_of, finder_rows
from usr_nb.overlay.lookup import KeySpace, base_column, normal_keys
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.plain import merge_parts
from usr_nb.storage import caches, parquet
from usr_nb.storage.caches import BLOCK, Kept, Stored, Unusable
from usr_nb.storage.layout import Layout
from usr_nb.storage.view import View, open_view


@contextmanager
def ways(*, few: int, stream: int, cache: Path | None, keep: bool = False) -> Iterator[None]:
    """Read small tables as large ones are read: caches, columns read along, whole columns.

    With `keep` footers and cache files stay open in the process, as those of older files do.
    """
    with pytest.MonkeyPatch.context() as patch:
        if keep:
            patch.setattr(parquet, "SETTLED_NS", 0)
            patch.setattr(caches, "SETTLED_NS", 0)
        patch.setattr(places_module, "MIN_ROWS", 0)
        patch.setattr(merge_module, "FEW_ROWS", few)
        patch.setattr(column_module, "STREAM_ROWS", stream)
        patch.setenv("USR_CACHE_DIR", "" if cache is None else str(cache))
        yield


def plain(merged: Merged, name: str) -> list[Any]:
    """One column of all base rows the plain way: all keys hashed, all values held."""
    below = None
    if name in merged.base_schema.names:
        below = merged.view.base.read(columns=[name]).column(0).cast(merged.field(name).type)
        below = below.combine_chunks()
    ns = namespace_of(name)
    infos = [p for p in merged.parts(ns) if name in p.columns] if ns else []
    if not infos:
        values = below
    else:
        key = infos[0].key
        keys = merged.view.base.read(columns=[base_column(key)]).column(0)
        space = KeySpace(normal_keys(keys, key), unique=key == "id")
        # All columns of the namespace at once: each is decided by itself.
        there = {
            c: merged.field(c).type
            for c in dict.fromkeys(c for p in merged.parts(ns) for c in p.columns)
        }
        found = merge_parts(merged.view, merged.parts(ns), space, there)[name]
        values = found.take(slice(0, len(keys)), below)
    return [same(v) for v in values.to_pylist()]


def cells(table: pa.Table, name: str) -> list[Any]:
    return [same(v) for v in table.column(name).to_pylist()]


@settings(max_examples=30)
@given(data=datasets(), draw=st.data())
def test_OVL_6_every_way_of_reading_gives_what_the_plain_way_gives(data, draw) -> None:
    sequences, _, parts, base, gone = data
    with tempfile.TemporaryDirectory() as tmp:
        folder, rows = build(Path(tmp), sequences, parts, base)
        if rows and draw.draw(st.booleans()):
            bury(folder, rows, gone, as_part=draw.draw(st.booleans()))
        at = draw.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6)) if rows else []
        size = draw.draw(st.integers(1, 5))
        first = draw.draw(st.integers(0, 10))
        cache = Path(tmp) / "cache"
        registry = load_registry(tmp)
        # Twice with a cache: what the first makes, the second finds.
        for few, stream, where in [
            (0, 10**9, None),
            (0, 1, cache),
            (100, 1, cache),
            (3, 10**9, cache),
            (100, 1, cache),
        ]:
            with (
                ways(few=few, stream=stream, cache=where, keep=True),
                open_view(Layout(folder), use_kept=True) as view,
            ):
                merged = Merged(view, registry, include_deleted=True, use_caches=True)
                whole = merged.table()
                again = pa.Table.from_batches(merged.batches(batch_rows=size), schema=whole.schema)
                taken = merged.take(at, whole.schema.names)
                shown = Merged(view, registry, use_caches=True)
                live = shown.live_mask()
                kept = list(range(len(rows))) if live is None else np.flatnonzero(live).tolist()
                for name in [n for n in whole.schema.names if not n.startswith("usr__")]:
                    wanted = plain(merged, name)
                    assert cells(whole, name) == wanted, (name, few, stream, where)
                    assert cells(again, name) == wanted
                    assert cells(taken, name) == [wanted[i] for i in at]
                    assert cells(shown.table([name]), name) == [wanted[i] for i in kept]
                assert shown.first_live(first).tolist() == kept[:first]
                assert shown.is_live(np.arange(len(rows))).tolist() == [
                    i in kept for i in range(len(rows))
                ]


def test_OVL_6_a_part_read_along_with_a_key_in_between_that_no_record_has(tmp_path) -> None:
    """As many rows of the part as of the base, and yet not one for each."""
    ids = [base_table(WORDS[:3]).column("id")[i].as_py() for i in range(3)]
    cells = [(ids[0], {"m__n": 1}), ("f" * 40, {"m__n": 2}), (ids[2], {"m__n": 3})]
    part = Part(part_name(NOON, 1), "id", NOON, ["m__n"], cells)
    folder, _ = build(tmp_path, WORDS[:3], [part], {"m__n": [7, 8, 9]})
    with (
        ways(few=0, stream=1, cache=tmp_path / "cache"),
        open_view(Layout(folder)) as view,
    ):
        merged = Merged(view, load_registry(tmp_path), use_caches=True)
        assert merged.table(["m__n"]).column(0).to_pylist() == [1, 8, 3]


# Look-ups of ids -------------------------------------------------------------------------------


HEX = st.text("0123456789abcdef", min_size=40, max_size=40)
CLOSE = st.builds(
    lambda h, t: h + "0" * 30 + t, st.text("01", min_size=9, max_size=9), st.sampled_from("abc")
)
ODD = st.sampled_from(["", "x", "é" * 20, "G" * 40, "0" * 39])


@given(base=st.lists(st.one_of(HEX, CLOSE), max_size=40), data=st.data())
def test_finder_finds_the_first_row_of_each_id(base, data):
    """Also where ids repeat (a damaged base) or share all of their leading bits."""
    pool = st.one_of(st.sampled_from(base), HEX, CLOSE, ODD, st.none()) if base else HEX
    wanted = data.draw(st.lists(pool, max_size=40))
    words = id_words(pa.array(base, pa.string()))
    found = finder_rows(Finder(words), pa.chunked_array([wanted], pa.string()))
    assert found.tolist() == [base.index(w) if w in base else -1 for w in wanted]


@given(base=st.lists(st.one_of(HEX, CLOSE), min_size=1, max_size=60), data=st.data())
def test_candidates_hold_every_row_of_a_prefix(base, data):
    prefix = data.draw(st.sampled_from(base))[: data.draw(st.integers(7, 40))]
    index = Kept(entries_of(id_words(pa.array(base))))
    found = candidates(index, len(base), prefix)
    assert {i for i, b in enumerate(base) if b.startswith(prefix)} <= set(found)
    assert found == sorted(set(found))


@given(st.lists(HEX, max_size=20), st.integers(0, 5))
def test_ids_as_words_and_bits(ids, cut):
    array = pa.array(ids, pa.string()).slice(min(cut, len(ids)))
    words = id_words(array)
    assert words.tobytes().decode() == "".join(array.to_pylist())
    assert leading_bits(words).tolist() == [int(i[:16], 16) for i in array.to_pylist()]
    assert leading_bits(words).tolist() == id_prefixes(array).tolist()
    assert are_hex(words)


@pytest.mark.parametrize("odd", [["a" * 39], [None, "a" * 40], ["a" * 39, "b" * 41]])
def test_odd_ids_are_no_words(odd):
    assert id_words(pa.array(odd, pa.string())) is None
    assert not are_hex(id_words(pa.array(["A" * 40])))


def test_OVL_6_a_base_that_repeats_ids_reads_the_plain_way(tmp_path):
    """Damage: only the first of equal ids has the overlay's values, with and without caches."""
    folder, _ = build(tmp_path, ["A", "C"], [], {})
    table = base_table(["ACG", "T", "ACG", "CAT", "T"])
    write_base(folder, table, groups=2)
    ids = table.column("id").to_pylist()
    for keys in (ids, ids[:2], [*ids[::-1]]):
        for old in (folder / "_derived").rglob("*.parquet"):
            old.unlink()
        rows = [(k, {"m__i": n}) for n, k in enumerate(keys)]
        Part(part_name(NOON, 1), "id", NOON, ["m__i"], rows).write(folder, "m", TYPES)
        for turn in range(3):
            with ways(few=0, stream=1, cache=tmp_path / "c"), open_view(Layout(folder)) as view:
                merged = Merged(view, load_registry(tmp_path), use_caches=turn > 0)
                assert cells(merged.table(["m__i"]), "m__i") == plain(merged, "m__i")


# Caches are not believed --------------------------------------------------------------------------


def scene(root: Path, rows: int = 9) -> tuple[Path, list[str]]:
    """A dataset of `rows` records in groups of two: m__i counts upwards, a newer part holds -1."""
    folder, _ = build(root, WORDS[:rows], [], {})
    ids = base_table(WORDS[:rows]).column("id").to_pylist()
    shuffled = [ids[i] for i in np.random.default_rng(1).permutation(rows)]
    first = [(k, {"m__i": ids.index(k), "m__s": k}) for k in shuffled]
    Part(part_name(NOON, 1), "id", NOON, ["m__i", "m__s"], first).write(folder, "m", TYPES)
    newer = [(ids[4], {"m__i": -1})]
    Part(part_name(later(1), 2), "id", later(1), ["m__i"], newer).write(folder, "m", TYPES)
    return folder, ids


def answers(root: Path, folder: Path) -> tuple[Any, ...]:
    """What is read in every way, as plain values."""
    with open_view(Layout(folder)) as view:
        merged = Merged(view, load_registry(root), use_caches=True)
        ids = merged.base_keys("id").to_pylist()
        order = list(range(len(ids)))
        return (
            merged.table(["m__i", "m__s"]).to_pylist(),
            Merged(view, load_registry(root), use_caches=True).take(order, ["m__i"]).to_pylist(),
            [merged.rows_by_id([i[:12]])[0] or [(i, n)] for n, i in enumerate(ids)],
        )


@pytest.fixture
def cached(tmp_path: Path) -> Iterator[tuple[Path, Path, Path, tuple[Any, ...]]]:
    folder, _ = scene(tmp_path)
    cache = tmp_path / "cache"
    with ways(few=100, stream=1, cache=cache):
        answers(tmp_path, folder)
        yield tmp_path, folder, cache, answers(tmp_path, folder)


def test_caches_are_made_and_found(cached, monkeypatch):
    root, folder, cache, wanted = cached
    assert sorted(p.name.partition("-")[0] for p in cache.iterdir()) == ["ids", "rows", "rows"]
    assert cache.stat().st_mode & 0o777 == 0o700
    assert wanted[0][4]["m__i"] == -1
    assert [r["m__i"] for r in wanted[0]] == [0, 1, 2, 3, -1, 5, 6, 7, 8]
    monkeypatch.setattr(caches, "keep", lambda *_, **__: pytest.fail("made anew"))
    assert answers(root, folder) == wanted


def test_a_cache_with_any_byte_wrong_changes_no_answer(cached):
    root, folder, cache, wanted = cached
    rng = np.random.default_rng(7)
    for path in sorted(cache.iterdir()):
        whole = path.read_bytes()
        for at in [0, 8, len(whole) - 1, *rng.integers(0, len(whole), 40).tolist()]:
            broken = bytearray(whole)
            broken[at] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(broken)
            assert answers(root, folder) == wanted
        for size in (0, 7, 20, len(whole) - 4):
            path.write_bytes(whole[:size])
            assert answers(root, folder) == wanted
    assert all(Stored.open(p) is not None for p in cache.iterdir())


def forge(path: Path, change: Any) -> None:
    """Write other entries under the same key, checksums right."""
    found = Stored.open(path)
    entries = found.whole().copy()
    fenced = path.name.startswith("ids")
    caches.keep(path, found.key, change(entries), fenced=fenced)


def test_a_map_of_wrong_rows_is_found_out_and_thrown_away(cached):
    """Right key, right checksums, wrong content: the keys of the rows tell."""
    root, folder, cache, wanted = cached
    for path in sorted(cache.glob("rows-*")):
        for change in (lambda e: np.roll(e, 1), lambda e: e[::-1].copy(), lambda e: e + 50):
            forge(path, change)
            assert answers(root, folder) == wanted
            assert answers(root, folder) == wanted
            assert Stored.open(path) is not None


def test_single_rows_of_a_wrong_map_are_found_out(cached):
    root, folder, cache, wanted = cached
    for path in sorted(cache.glob("rows-*")):
        answers(root, folder)
        forge(path, lambda e: np.concatenate([e[:1], e[2:0:-1], e[3:]]))
        with open_view(Layout(folder)) as view:
            merged = Merged(view, load_registry(root), use_caches=True)
            taken = merged.take([2, 1, 8], ["m__i", "m__s"])
        assert taken.to_pylist() == [wanted[0][n] for n in (2, 1, 8)]


def test_a_map_of_another_base_is_not_extended(cached):
    root, folder, _, wanted = cached
    base = pq.read_table(folder / "records.parquet")
    # First and last row stay where they are: only the key tells.
    write_base(folder, base.take([0, 2, 1, 3, 4, 5, 6, 7, 8]), groups=2)
    rows = [(base["id"][8].as_py(), {"m__i": 8})]
    Part(part_name(later(2), 3), "id", later(2), ["m__i"], rows).write(folder, "m", TYPES)
    with open_view(Layout(folder)) as view:
        table = Merged(view, load_registry(root), use_caches=True).table(["m__i"])
    assert table["m__i"].to_pylist() == [0, 2, 1, 3, -1, 5, 6, 7, 8]
    assert wanted[0][1]["m__i"] == 1


def test_an_id_index_that_lies_finds_no_wrong_record(cached):
    root, _, cache, wanted = cached
    ds = Dataset.open(root, "d")
    ids = [pairs[0][0] for pairs in wanted[2]]
    (path,) = cache.glob("ids-*")
    for change in (lambda e: e ^ np.uint64(3), lambda e: e[::-1].copy(), lambda e: e * 0):
        forge(path, change)
        for n, i in enumerate(ids):
            assert ds.get_table(i)["m__i"].to_pylist() == [wanted[0][n]["m__i"]]
            assert ds.get_table(i[:9])["id"].to_pylist() == [i]
        with pytest.raises(RecordNotFound):
            ds.get_table("f" * 40)


def test_a_changed_base_or_part_is_another_key(cached):
    root, folder, _, wanted = cached
    base = pq.read_table(folder / "records.parquet")
    write_base(folder, base.take(list(range(len(base)))[::-1]), groups=2)
    assert [r["m__i"] for r in answers(root, folder)[0]] == [r["m__i"] for r in wanted[0]][::-1]
    Part(
        part_name(later(2), 3), "id", later(2), ["m__i"], [(base["id"][0].as_py(), {"m__i": 77})]
    ).write(folder, "m", TYPES)
    assert answers(root, folder)[0][-1]["m__i"] == 77
    for part in (folder / "_derived" / "m").iterdir():
        if "000002." in part.name:
            part.unlink()
    assert answers(root, folder)[0][4]["m__i"] == 4


def test_a_replaced_single_file_of_equal_size_is_another_key(tmp_path):
    """Same name, same size, same footer but for the mtime or inode: what it holds counts."""
    folder, _ = build(tmp_path, WORDS[:3], [], {})
    ids = base_table(WORDS[:3]).column("id").to_pylist()
    with ways(few=100, stream=1, cache=tmp_path / "cache"):
        for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
            rows = [(ids[i], {"m__i": i, "m__s": ""}) for i in order]
            Part("m.parquet", "id", NOON, ["m__i", "m__s"], rows, single=True).write(
                folder, "m", TYPES
            )
            assert [r["m__i"] for r in answers(tmp_path, folder)[0]] == [0, 1, 2]


def test_a_new_part_extends_the_map(cached, monkeypatch):
    root, folder, _, wanted = cached
    ids = [pairs[0][0] for pairs in wanted[2]]
    Part(
        part_name(later(2), 3),
        "id",
        later(2),
        ["m__i"],
        [(ids[0], {"m__i": 70})],
    ).write(folder, "m", TYPES)
    read = []
    keys = places_module.part_keys
    monkeypatch.setattr(places_module, "part_keys", lambda v, i: read.append(i.rows) or keys(v, i))
    with open_view(Layout(folder)) as view:
        merged = Merged(view, load_registry(root), use_caches=True)
        got = merged.table(["m__i"])["m__i"].to_pylist()
    assert got == [70, 1, 2, 3, -1, 5, 6, 7, 8]
    assert read == [1]


def test_a_cache_folder_that_is_a_file_keeps_maps_in_memory(tmp_path, monkeypatch):
    folder, _ = scene(tmp_path)
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(caches, "_MEMORY", type(caches._MEMORY)())
    with ways(few=100, stream=1, cache=tmp_path / "file"):
        wanted = answers(tmp_path, folder)
        assert len(caches._MEMORY) == 3
        monkeypatch.setattr(places_module, "part_keys", lambda *_: pytest.fail("read again"))
        assert answers(tmp_path, folder) == wanted


def test_VAL_validate_doctor_and_writers_use_no_cache(cached, monkeypatch):
    root, folder, _, _ = cached
    ds = Dataset.open(root, "d")
    (folder / "meta.md").write_text("name: d\n")
    for name in ("find", "keep"):
        monkeypatch.setattr(caches, name, lambda *_, **__: pytest.fail("a cache was asked"))
    ds.doctor()
    with pytest.raises(Exception, match="not valid"):
        ds.validate()
    ds.tombstone([ds.head_table(1, ["id"], include_derived=False)["id"][0].as_py()])
    with ds.maintenance(reason="test"):
        ds.materialize()


def test_caches_are_bounded_and_the_oldest_goes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(caches, "MAX_BYTES", 3000)
    for n in range(5):
        path = tmp_path / f"rows-{n:032x}.idx"
        caches.keep(path, {"n": n}, np.arange(200, dtype=np.int32))
        os.utime(path, ns=(n, n))
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [f"rows-{n:032x}.idx" for n in (2, 3, 4)]
    assert caches.find(tmp_path / left[-1], {"n": 4}).whole().tolist() == list(range(200))
    assert caches.find(tmp_path / left[-1], {"n": 3}) is None


def test_stored_blocks_are_read_and_checked_one_by_one(tmp_path):
    entries = np.arange(30 * BLOCK + 7, dtype=np.int32) * 3
    path = tmp_path / "rows-x.idx"
    caches.keep(path, {}, entries)
    places = np.array([0, 30 * BLOCK + 6, BLOCK, BLOCK - 1])
    assert caches.find(path, {}).at(places).tolist() == (places * 3).tolist()
    assert caches.find(path, {}).block_range(BLOCK - 2, BLOCK + 2).tolist() == [
        3 * n for n in range(BLOCK - 2, BLOCK + 2)
    ]
    broken = bytearray(path.read_bytes())
    broken[-4] ^= 1
    path.write_bytes(broken)
    assert caches.find(path, {}).at(places[[0, 2]]).tolist() == [0, 3 * BLOCK]
    with pytest.raises(Unusable):
        caches.find(path, {}).at(places)
    with pytest.raises(Unusable):
        caches.find(path, {}).whole()


def test_an_empty_cache_folder_keeps_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("USR_CACHE_DIR", "")
    assert caches.cache_path("rows", "x") is None
    monkeypatch.delenv("USR_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert caches.cache_path("rows", "x").parent == tmp_path / "usr_nb"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert caches.cache_path("rows", "x").parent == tmp_path / "home" / ".cache" / "usr_nb"


@pytest.mark.parametrize("new_is_known", [False, True])
def test_RCV_3_what_a_view_holds_open_is_not_taken_for_what_lies_there_now(tmp_path, new_is_known):
    """A file replaced while a view is open: its footer must not be remembered as the new one's."""
    folder, _ = build(tmp_path, WORDS[:3], [], {})
    ids = base_table(WORDS[:3]).column("id").to_pylist()
    one = [(ids[0], {"m__i": 1})]
    Part("m.parquet", "id", NOON, ["m__i"], one, single=True).write(folder, "m", TYPES)
    registry = load_registry(tmp_path)

    def read(view: View) -> list[Any]:
        return Merged(view, registry).table(["m__i"])["m__i"].to_pylist()

    with open_view(Layout(folder)) as old:
        two = [(i, {"m__i": 2}) for i in ids]
        aside = tmp_path / "aside"
        Part("m.parquet", "id", NOON, ["m__i"], two, single=True).write(aside, "m", TYPES)
        (aside / "_derived" / "m.parquet").replace(folder / "_derived" / "m.parquet")
        if new_is_known:
            with open_view(Layout(folder)) as new:
                assert read(new) == [2, 2, 2]
        assert Merged(old, registry).parts("m")[0].rows == 1
        assert read(old) == [1, None, None]
    with open_view(Layout(folder)) as new:
        assert Merged(new, registry).parts("m")[0].rows == 3
        assert read(new) == [2, 2, 2]


def test_head_and_get_read_few_row_groups(tmp_path, monkeypatch):
    """The cost of a look does not grow with the dataset."""
    folder, ids = scene(tmp_path)
    groups: list[int] = []
    original = pq.ParquetFile.read_row_groups

    def counting(self: Any, which: list[int], *args: Any, **kwargs: Any) -> pa.Table:
        groups.append(len(which))
        return original(self, which, *args, **kwargs)

    with ways(few=100, stream=1, cache=tmp_path / "cache"):
        answers(tmp_path, folder)
        monkeypatch.setattr(pq.ParquetFile, "read_row_groups", counting)
        monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("a whole column"))
        ds = Dataset.open(tmp_path, "d")
        assert ds.head_table(2)["m__i"].to_pylist() == [0, 1]
        assert ds.get_table(ids[4])["m__i"].to_pylist() == [-1]
    assert set(groups) == {1}


def test_another_key_finds_nothing(tmp_path):
    path = tmp_path / "rows-x.idx"
    caches.keep(path, {"base": [1, 2, 3, "a"]}, np.zeros(3, np.int32))
    assert caches.find(path, {"base": [1, 2, 3, "a"]}) is not None
    assert caches.find(path, {"base": [1, 2, 4, "a"]}) is None
