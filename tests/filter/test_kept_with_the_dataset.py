"""Motif hits as rows and as an overlay; picks that are saved and never change."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from tests.dataset.kit import IDS, SEQUENCES, last_event, new_dataset, new_root, tree
from usr_nb import (
    AlreadyExists,
    Dataset,
    RecordNotFound,
    ValidationError,
    register_namespace,
)
from usr_nb.analysis.features import feature_columns, read_features
from usr_nb.filter.hits import HIT_COLUMNS


@pytest.fixture
def ds(tmp_path: Path) -> Dataset:
    return new_dataset(new_root(tmp_path))


def plain_hits(text: str, motif: str) -> list[tuple[int, int]]:
    return [(m.start(), m.start() + len(motif))
            for m in re.finditer(f"(?={motif})", text.upper())]  # fmt: skip


def test_hits_are_rows_and_an_overlay_that_reads_as_features(ds) -> None:
    found = ds.find_motif("CAT", strand="+")
    wanted = [(i, *h) for i, s in zip(IDS, SEQUENCES, strict=True) for h in plain_hits(s, "CAT")]
    rows = found.table.to_pylist()
    assert [(r["id"], r["start"], r["end"]) for r in rows] == wanted
    assert (found.hits, found.sequences, found.records) == (
        len(wanted), len({w[0] for w in wanted}), len(IDS)
    )  # fmt: skip
    table = found.per_record()
    assert table["n"].to_pylist() == [
        sum(w[0] == i for w in wanted) for i in dict.fromkeys(w[0] for w in wanted)
    ]
    register_namespace(ds.root, namespace="site", columns=",".join(HIT_COLUMNS))
    assert ds.write_overlay("site", table) == len(table)
    back = ds.head_table(99, ["id", "site__n", "site__hits"]).to_pylist()
    for row in back:
        mine = [w[1:] for w in wanted if w[0] == row["id"]]
        features = read_features(row["site__hits"] or [])
        assert [(f.start, f.end, f.strand) for f in features] == [(*m, 1) for m in mine]
        assert row["site__n"] == (len(mine) or None)
    assert "site__hits" in feature_columns(ds.schema())


def test_limited_hits_make_no_overlay_and_no_hits_an_empty_one(ds) -> None:
    with pytest.raises(ValidationError, match="Only 1 of"):
        ds.find_motif("A", limit=1).per_record()
    none = ds.find_motif("A{200}")
    assert (none.hits, none.per_record().num_rows) == (0, 0)
    assert ds.find_motif("CAT", where="length > 999").records == 0


def test_a_saved_pick_stays_as_it_is(ds) -> None:
    ds.write_overlay_part("m", pa.table({"id": IDS, "n": [3.0, 1.0, 2.0, 9.0, 5.0, 4.0]}))
    picked = ds.pick(where="m__n > 1", order_by="m__n desc", top=2, always=[IDS[1]])
    path = ds.save_selection("plate-7", picked)
    assert re.fullmatch(r"_artifacts/selection-\d{8}T\d{12}-plate-7\.json", path)
    event = last_event(ds, "selection_save")
    assert event["args"] == {"name": "plate-7", "ids_hash": picked.ids_hash}
    assert [f["path"] for f in event["artifacts"]["files"]] == [path]
    ds.tombstone(IDS[3])
    ds.write_overlay_part("m", pa.table({"id": IDS, "n": [0.0] * 6}))
    assert ds.selection("plate-7") == picked
    assert (picked.ids, picked.rule.always) == ((IDS[1], IDS[3]), (IDS[1],))
    assert ds.selection("plate-7").where.as_line() == "m__n > 1"
    before = tree(ds.dir)
    with pytest.raises(AlreadyExists, match="never changes"):
        ds.save_selection("plate-7", picked)
    for wrong in ("a/b", "", "x" * 99, "../up"):
        with pytest.raises(ValidationError):
            ds.save_selection(wrong, picked)
    assert tree(ds.dir) == before
    assert ds.doctor().ok
    assert list(ds.selections()) == ["plate-7"]


def test_strange_files_are_no_selections(ds) -> None:
    with pytest.raises(RecordNotFound, match="'none'"):
        ds.selection("none")
    folder = ds.dir / "_artifacts"
    folder.mkdir(exist_ok=True)
    (folder / "selection-20260101T000000000000-bad.json").write_text("[" * 90_000)
    (folder / "selection-bad.json").write_text("{}")
    assert ds.selections() == {}
    with pytest.raises(ValidationError, match="holds no selection"):
        ds.selection("bad")


def test_of_two_with_one_name_the_older_counts(ds) -> None:
    first, second = ds.pick(top=1), ds.pick(top=2)
    path = ds.dir / ds.save_selection("a", second)
    older = path.with_name("selection-20200101T000000000000-a.json")
    older.write_text(first.to_json())
    assert ds.selection("a") == first
