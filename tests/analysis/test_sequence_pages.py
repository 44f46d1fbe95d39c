"""Pages of sequences against slices that Python makes of the same texts."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from usr_nb import Dataset, RecordNotFound, SchemaError, ValidationError, register_namespace
from usr_nb.analysis.features import feature_columns, read_features
from usr_nb.analysis.sequences import PAGE_SCHEMA, Look, SequencePages

SITES = "list<struct<offset:int64,orientation:string,tf:string,tfbs:string>>"
ROWS = 60
FEATURES = "densegen__used_tfbs_detail"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    register_namespace(root, namespace="densegen", columns=f"{FEATURES}:{SITES}")
    register_namespace(
        root,
        namespace="lab",
        columns="lab__names:list<string>,lab__tss:int32,lab__signal:list<float64>",
    )
    draw = random.Random(1)
    texts = ["".join(draw.choices("ACGT", k=draw.randint(8, 50))) for _ in range(ROWS)]
    ds = Dataset.open(root, "lab/pages")
    ds.init()
    ds.add_sequences([{"sequence": t} for t in texts], bio_type="dna", alphabet="dna_4")
    ids = ds.head_table(ROWS, ["id"])["id"].to_pylist()
    sites = [
        [{"offset": i % 6, "orientation": "rev", "tf": "lexA", "tfbs": "AC"},
         {"offset": 1, "orientation": "fwd", "tf": "fis", "tfbs": "ACG"}] if i % 9 else None
        for i in range(ROWS)
    ]  # fmt: skip
    ds.write_overlay("densegen", pa.table({"id": ids, "used_tfbs_detail": sites}))
    ds.write_overlay("lab", pa.table({
        "id": ids, "names": [[f"n{i}", "also"] for i in range(ROWS)],
        "tss": [None if i == 3 else i % 8 for i in range(ROWS)],
        "signal": [[float(j) for j in range(len(t) + (i == 5))] for i, t in enumerate(texts)],
    }))  # fmt: skip
    ds.set_state([ids[1]], supersedes=ids[0])
    ds.set_state([ids[2]], lineage=[ids[0], ids[1]])
    return ds, texts, ids


@given(
    start=st.integers(0, ROWS + 5), count=st.integers(0, 20), first=st.integers(-60, 60),
    letters=st.integers(0, 80), align=st.sampled_from(["start", "end", "feature", "column"]),
)  # fmt: skip
def test_a_page_holds_the_letters_of_its_window(library, *, start, count, first, letters, align):
    ds, texts, _ = library
    at = {"feature": "lexA", "column": "lab__tss"}.get(align, "")
    with SequencePages(ds) as pages:
        page = pages.page(
            start, count, first=first, letters=letters,
            look=Look(align=align, at=at, features=FEATURES, track="lab__signal"),
        )  # fmt: skip
    assert page.table.schema == PAGE_SCHEMA
    assert page.total == ROWS
    rows = page.table.to_pylist()
    assert [r["row"] for r in rows] == list(range(ROWS))[start : start + count]
    for r in rows:
        i, text = r["row"], texts[r["row"]]
        anchor = {
            "start": 0, "end": len(text), "feature": None if i % 9 == 0 else i % 6,
            "column": None if i == 3 or i % 8 > len(text) else i % 8,
        }[align]  # fmt: skip
        assert r["anchor"] == anchor
        positions = [p for p in range(len(text)) if first <= p - (anchor or 0) < first + letters]
        assert r["letters"] == "".join(text[p] for p in positions)
        if positions:
            assert r["first"] == positions[0]
            # One letter more than numbers: no track.
            assert r["track"] == (None if i == 5 else [float(p) for p in positions])
        shown = {(f["start"], f["end"], f["strand"], f["label"]) for f in r["features"] or []}
        features = [] if i % 9 == 0 else [(i % 6, i % 6 + 2, -1, "lexA"), (1, 4, 1, "fis")]
        assert shown == {f for f in features if any(f[0] <= p < f[1] for p in positions)}


def test_what_is_compared_stands_over_its_letters(library):
    ds, texts, ids = library
    with SequencePages(ds) as pages:
        against = pages.page(
            0, ROWS, letters=60, look=Look(against="record", record=ids[4][:10])
        ).table["against"].to_pylist()  # fmt: skip
        assert against == [texts[4][: len(t)].ljust(len(t)) for t in texts]
        ends = pages.page(0, 9, first=-5, letters=5,
                          look=Look(align="end", against="record", record=ids[4]))  # fmt: skip
        assert ends.table["against"].to_pylist() == [texts[4][-5:]] * 9
        parents = pages.page(0, 4, letters=60, look=Look(against="parent")).table["against"]
        assert [p.strip() if p else p for p in parents.to_pylist()] == [
            None, texts[0][: len(texts[1])], texts[1][: len(texts[2])], None,
        ]  # fmt: skip
        with pytest.raises(RecordNotFound):
            pages.page(0, 4, look=Look(against="record", record="0" * 40))


def test_GET_2_motif_hits_of_a_page_are_on_both_strands(library):
    ds, texts, _ = library
    with SequencePages(ds) as pages:
        hits = pages.page(0, ROWS, letters=60, look=Look(motif="GGT")).table["hits"].to_pylist()
    for text, found in zip(texts, hits, strict=True):
        wanted = {(i, 1) for i in range(len(text)) if text.startswith("GGT", i)}
        wanted |= {(i, -1) for i in range(len(text)) if text.startswith("ACC", i)}
        assert {(h["start"], h["strand"]) for h in found or []} == wanted


def test_overview_options_and_names(library):
    ds, texts, _ = library
    with SequencePages(ds) as pages:
        there = pages.overview()
        assert (there.rows, there.max_length) == (ROWS, max(map(len, texts)))
        assert there.feature_columns == (FEATURES,)
        assert there.anchor_columns == ("lab__tss",)
        assert there.name_columns == ("lab__names",)
        assert there.track_columns == ("lab__signal",)
        assert there.parents
        options = pages.options(features=FEATURES)
        assert set(options.labels) == {"lexA", "fis"}
        assert options.tracks == {"lab__signal": (0.0, max(map(len, texts)) - 1.0)}
        assert pages.records(1, 1, name="lab__names")[0]["name"] == "n1, also"


def test_only_the_rows_asked_for_and_never_deleted_ones(library, tmp_path):
    ds, _, ids = library
    with SequencePages(ds, rows=[7, 3, 5]) as pages:
        assert pages.page(0, 10).table["id"].to_pylist() == [ids[7], ids[3], ids[5]]
        assert pages.find(ids[5][:8]) == 2
        assert pages.find("2") == 1
        with pytest.raises(RecordNotFound, match="not among the 3 rows"):
            pages.find(ids[0])
        assert not pages.changed()
        ds.tombstone([ids[3]], reason="test")
        assert pages.changed()
        pages.close()
        assert pages.page(0, 10).table["id"].to_pylist() == [ids[7], ids[5]]
        pages.select(None)
        assert pages.page(0, 1).total == ROWS - 1
        assert ids[3] not in pages.page(0, 10).table["id"].to_pylist()
    ds.restore([ids[3]])
    with pytest.raises(ValidationError, match="Row 900"), SequencePages(ds, rows=[900]) as pages:
        pages.page(0, 1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda p: p.page(-1, 5), ValidationError),
        (lambda p: p.page(0, 401), ValidationError),
        (lambda p: p.page(0, 400, letters=1000), ValidationError),
        (lambda p: p.page(0, 5, look=Look(motif="TT{")), ValidationError),
        (lambda p: p.page(0, 5, look=Look(features="lab__gone")), SchemaError),
        (lambda p: p.find("0"), RecordNotFound),
        (lambda p: p.find("abc"), ValidationError),
    ],
)
def test_bad_requests_are_typed_errors(library, call, error):
    with SequencePages(library[0]) as pages, pytest.raises(error):
        call(pages)


def test_features_of_other_forms_are_understood():
    schema = pa.schema([
        ("a__hits", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))),
        ("a__tags", pa.list_(pa.struct([("start", pa.string()), ("end", pa.string())]))),
        ("a__names", pa.list_(pa.string())),
    ])  # fmt: skip
    assert feature_columns(schema) == ["a__hits"]
    cell = [
        {"start": 2, "end": 5, "strand": "-", "name": "x"}, {"start": 1, "length": 2},
        {"start": None, "end": 3}, {"start": 5, "end": 5}, {"start": -1, "end": 4}, None,
    ]  # fmt: skip
    found = [(f.start, f.end, f.strand, f.label) for f in read_features(cell)]
    assert found == [(1, 3, 0, ""), (2, 5, -1, "x")]
    assert read_features("text") == []
