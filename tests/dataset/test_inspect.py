"""GET: what is shown, and in which form."""

from __future__ import annotations

import csv
import json
import math
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dataset.kit import (
    IDS,
    SEQUENCES,
    base,
    cells,
    new_dataset,
    nothing_changes,
    table,
    values,
)
from tests.dataset.test_materialize import FULL, fill
from usr_nb import (
    Dataset,
    DatasetNotFound,
    PathNotFound,
    RecordNotFound,
    SchemaError,
    ValidationError,
    list_datasets,
)
from usr_nb.dataset.glance import summaries
from usr_nb.events import LogReader


def test_GET_1_reading_writes_nothing(ds, root, tmp_path) -> None:
    fill(ds)
    with nothing_changes(root):
        ds.info_dict()
        ds.schema()
        ds.manifest_dict()
        ds.list_overlays()
        ds.head(3)
        ds.get(IDS[1])
        ds.grep("ACG")
        ds.describe()
        ds.get_state(IDS)
        ds.events()
        ds.validate()
        ds.export("csv", tmp_path / "out.csv")
        assert list_datasets(root) == ["ns/demo"]


def test_GET_1_ls(root, ds) -> None:
    new_dataset(root, "alone", [])
    assert list_datasets(root) == ["alone", "ns/demo"]
    (root / "broken").mkdir()
    (root / "broken" / "records.parquet").write_bytes(b"no parquet")
    lines = summaries(root)
    assert [list(line) for line in lines] == [
        ["dataset", "rows", "cols", "size_bytes", "updated"]
    ] * 3
    found = {line["dataset"]: (line["rows"], line["cols"]) for line in lines}
    assert found == {"alone": (0, 7), "broken": (None, None), "ns/demo": (6, 7)}
    assert lines[2]["size_bytes"] == ds.records_path.stat().st_size


def test_GET_1_archived_datasets_are_not_listed(root, ds) -> None:
    place = root / "_archive" / "ns" / "old"
    place.mkdir(parents=True)
    (place / "records.parquet").write_bytes(ds.records_path.read_bytes())
    assert list_datasets(root) == ["ns/demo"]


def test_GET_1_info(ds) -> None:
    fill(ds)
    info = ds.info_dict()
    assert info["name"] == "ns/demo"
    assert info["path"] == str(ds.dir)
    assert (info["rows"], info["rows_live"], info["rows_deleted"]) == (6, 4, 2)
    assert info["columns"] == ds.schema().names
    assert info["namespaces"] == ["k", "m", "usr_state"]
    m = next(o for o in info["overlays"] if o["namespace"] == "m")
    assert (m["key"], m["parts"], m["rows"]) == ("id", 2, 12)
    assert m["columns"] == [f"m__{f}" for f in FULL]
    assert m["size_bytes"] == sum(p.stat().st_size for p in (ds.dir / "_derived/m").iterdir())
    assert m["oldest"] < m["newest"]
    json.dumps(info)


def test_GET_1_manifest_has_every_file_with_its_digest(ds) -> None:
    import hashlib

    fill(ds)
    found = ds.manifest_dict()
    assert found["dataset"] == "ns/demo"
    for path, entry in found["files"].items():
        data = (ds.dir / path).read_bytes()
        assert entry == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert {"records.parquet", "meta.md", ".events.log", "_derived/usr.parquet"} <= set(
        found["files"]
    )
    assert not [p for p in found["files"] if "lock" in p or p.startswith("_txn")]


def test_GET_1_head_and_scan_choose_columns(ds) -> None:
    fill(ds)
    assert list(ds.head(2, columns=["m__i", "id"]).columns) == ["m__i", "id"]
    assert list(ds.head(2, include_derived=False).columns) == base(ds).schema.names
    assert len(ds.head(0)) == 0
    assert list(ds.head(99)["id"]) == [IDS[i] for i in (1, 2, 4, 5)]
    sizes = [b.num_rows for b in ds.scan(batch_size=4)]
    assert sum(sizes) == 4
    assert max(sizes) <= 4
    with pytest.raises(SchemaError) as caught:
        ds.head(columns=["m__ii"])
    assert "Did you mean" in str(caught.value)
    with pytest.raises(ValidationError):
        ds.head(-1)
    with pytest.raises(ValidationError):
        list(ds.scan(batch_size=0))


def test_GET_1_head_is_full_behind_hidden_rows(ds) -> None:
    ds.tombstone([IDS[0], IDS[2]])
    assert list(ds.head(2)["id"]) == [IDS[1], IDS[3]]
    assert list(ds.head(2, include_deleted=True)["id"]) == IDS[:2]


def test_GET_1_pandas_keeps_integers_and_bools_with_nulls(ds) -> None:
    fill(ds)
    frame = ds.head(99, include_deleted=True)
    assert str(frame["m__i"].dtype) == "Int64"
    assert frame["m__i"].iloc[2] == 2**62
    assert str(frame["m__b"].dtype) == "boolean"
    assert frame["m__i"].isna().tolist() == [False, True, False, False, False, False]


def test_GET_1_a_dataset_that_is_not_there_is_named_with_the_closest(root, ds) -> None:
    missing = Dataset.open(root, "ns/dmeo")
    for call in (missing.info, missing.head, lambda: list(missing.scan()), missing.describe,
                 missing.validate, missing.list_overlays, lambda: missing.tombstone("f" * 40),
                 lambda: missing.import_rows(["AA"]), missing.snapshot, missing.schema,
                 lambda: missing.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}]),
                 lambda: missing.log_event("x")):  # fmt: skip
        with pytest.raises(DatasetNotFound) as caught:
            call()
        assert "ns/demo" in str(caught.value)
        assert not missing.dir.exists()


def test_GET_2_grep_ignores_case_and_has_a_limit(ds) -> None:
    assert list(ds.grep("acgt")["id"]) == [IDS[0], IDS[4]]
    assert list(ds.grep("^TT.*C$")["id"]) == [IDS[1]]
    assert len(ds.grep(".", limit=3)) == 3
    assert len(ds.grep("ZZZ")) == 0
    assert list(ds.grep("acgt", batch_size=1, limit=1)["id"]) == [IDS[0]]
    many = new_dataset(ds.root, "ns/many", [f"A{a}{b}" for a in "ACGT" for b in "ACGTacgt"])
    assert len(many.grep("A")) == 20


@pytest.mark.parametrize(
    "pattern", ["(", "[", "a{2", "(?=x)", r"\1", "*", "", "x" * 20_000, "(?P<"]
)
def test_GET_2_bad_patterns_are_typed_errors(ds, pattern) -> None:
    if pattern == "a{2":
        assert len(ds.grep(pattern)) == 0
        return
    with pytest.raises(ValidationError):
        ds.grep(pattern)


def reference_hits(motif: str, sequence: str) -> bool:
    codes = {"R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC", "B": "CGT",
             "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"}  # fmt: skip
    pattern = "".join(f"[{codes.get(c, c)}]" for c in motif)
    return re.search(pattern, sequence.upper()) is not None


@pytest.mark.parametrize(
    "motif", ["TTGACA", "TATAAT", "CATNNN", "RYRY", "SSSS", "WWWW", "GGCCAA", "BDHV"]
)
def test_GET_2_iupac_and_both_strands(ds, motif) -> None:
    turn = str.maketrans("ACGTRYKMBVDHSWN", "TGCAYRMKVBHDSWN")
    back = motif.translate(turn)[::-1]
    one = [i for i, s in zip(IDS, SEQUENCES, strict=True) if reference_hits(motif, s)]
    two = [
        i for i, s in zip(IDS, SEQUENCES, strict=True)
        if reference_hits(motif, s) or reference_hits(back, s)
    ]  # fmt: skip
    assert list(ds.grep(motif, iupac=True)["id"]) == one
    assert list(ds.grep(motif, both_strands=True)["id"]) == two


def test_GET_3_absent_and_hidden_ids_say_so_with_exit_code_4(ds) -> None:
    ds.tombstone(IDS[0])
    for wanted, word in (("f" * 40, "not in the dataset"), (IDS[0], "deleted")):
        with pytest.raises(RecordNotFound, match=word) as caught:
            ds.get(wanted)
        assert caught.value.exit_code == 4
    assert list(ds.get(IDS[0], include_deleted=True)["id"]) == [IDS[0]]
    assert list(ds.get([IDS[3], IDS[1]], columns=["sequence"])["sequence"]) == [
        SEQUENCES[3],
        SEQUENCES[1],
    ]


def test_GET_3_prefixes(root) -> None:
    import hashlib
    import itertools

    # Two sequences whose ids share seven digits.
    seen: dict[str, str] = {}
    for letters in itertools.product("ACGT", repeat=8):
        word = "".join(letters)
        digest = hashlib.sha1(f"dna|{word}".encode()).hexdigest()
        if digest[:7] in seen:
            pair = [seen[digest[:7]], word]
            break
        seen[digest[:7]] = word
    ds = new_dataset(root, "ns/twins", pair)
    ids = cells(ds, "id")
    with pytest.raises(RecordNotFound) as caught:
        ds.get(ids[0][:7])
    assert all(i in str(caught.value) for i in ids)
    longer = next(n for n in range(8, 41) if ids[0][:n] != ids[1][:n])
    assert list(ds.get(ids[0][:longer])["id"]) == [ids[0]]
    with pytest.raises(ValidationError, match="too short"):
        ds.get(ids[0][:6])


def test_GET_4_describe_is_exact(ds) -> None:
    fill(ds)
    found = {d["column"]: d for d in ds.describe(include_deleted=True)}
    assert list(found) == [
        *ds.schema().names,
        "usr__deleted",
        "usr__deleted_at",
        "usr__deleted_reason",
    ]
    n = found["m__n"]
    assert (n["non_null"], n["null_pct"], n["type"]) == (5, pytest.approx(16.6667), "float64")
    assert (n["min"], n["max"]) == (-0.0, math.inf)
    i = found["m__i"]
    assert (i["min"], i["max"], i["mean"]) == (-1, 2**62, pytest.approx((2**62 + 5) / 5))
    lists = found["m__l"]
    assert (lists["len_min"], lists["len_max"], lists["len_mean"]) == (0, 2, 1.0)
    vectors = found["m__v"]
    assert (vectors["len_min"], vectors["len_max"]) == (2, 2)
    s = found["m__s"]
    assert (s["distinct"], s["distinct_exact"], s["example"]) == (5, True, "")
    assert found["sequence"]["distinct"] == 6
    assert found["length"]["mean"] == 10
    assert ds.describe(["m__t"])[0]["min"] is not None


def test_GET_4_sample_bounds_only_the_examples(ds) -> None:
    ds.write_overlay_part("m", [{"id": IDS[5], "n": 4.0}])
    first, all_rows = ds.describe(["m__n"], sample=2)[0], ds.describe(["m__n"], sample=99)[0]
    assert first["example"] is None
    assert all_rows["example"] == 4.0
    for key in ("non_null", "min", "max", "mean", "rows"):
        assert first[key] == all_rows[key]


def test_GET_4_distinct_beyond_a_million_is_approximate_and_marked(monkeypatch) -> None:
    from usr_nb.dataset.profile import words

    assert words.EXACT_DISTINCT == 1_000_000
    monkeypatch.setattr(words, "EXACT_DISTINCT", 50_000)
    exact, rough = words.WordTally(counting=False), words.WordTally(counting=True)
    for counter, rows in ((exact, 50_000), (rough, 300_000)):
        for start in range(0, rows, 25_000):
            texts = pa.array(np.arange(start, start + 25_000)).cast(pa.string())
            counter.add(texts)
            counter.add(texts)
    assert exact.result() == words.Words(50_000, distinct_exact=True)
    found = rough.result()
    assert not found.distinct_exact
    assert abs(found.distinct - 300_000) < 9_000


def test_GET_1_exports_can_be_read_back(ds, tmp_path) -> None:
    fill(ds)
    everything = table(ds).to_pylist()
    ds.export("parquet", tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet").column("m__i").to_pylist() == [
        r["m__i"] for r in everything
    ]
    ds.export("jsonl", tmp_path / "a.jsonl")
    lines = [
        json.loads(line, parse_constant=lambda c: pytest.fail(f"{c} is not strict JSON"))
        for line in (tmp_path / "a.jsonl").read_text().splitlines()
    ]
    assert [list(line) for line in lines] == [ds.schema().names] * 4
    assert [line["m__n"] for line in lines] == [None, None, None, 2.0]
    assert [line["m__r"] for line in lines] == [r["m__r"] for r in everything]
    assert re.fullmatch(r"\d{4}-.*T.*\.\d{6}Z", lines[0]["created_at"])
    ds.export("csv", tmp_path / "a.csv", columns=["id", "m__s", "m__l", "m__t"])
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [r["m__s"] for r in rows] == ["x", "", "ü", "[1]"]
    assert [r["m__l"] for r in rows] == ["[]", "", "[2.0]", "[0.0]"]
    assert rows[1]["m__t"].endswith("T12:00:00.000000Z")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_GET_1_an_export_can_be_attached_again(ds, root, tmp_path, form) -> None:
    fill(ds)
    path = tmp_path / f"a.{form}"
    columns = [f"m__{f}" for f in FULL if f != "n"] + ["m__n"]
    ds.export(form, path, columns=["id", *columns])
    other = new_dataset(root, "ns/again")
    assert other.attach(path, "m") == 4
    for c in columns:
        mine, theirs = values(ds)[c], [values(other)[c][i] for i in (1, 2, 4, 5)]
        if form == "jsonl" and c in ("m__n", "m__l", "m__v"):
            continue  # Strict JSON has no NaN.
        if form == "csv" and c in ("m__s", "m__l", "m__v"):
            continue  # JSON in a cell has no NaN either; "" and null are told apart below.
        assert theirs == mine, c


def test_GET_1_csv_tells_empty_text_from_null(ds, root, tmp_path) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "s": ""}, {"id": IDS[1], "s": None}])
    ds.export("csv", tmp_path / "a.csv", columns=["id", "m__s"])
    other = new_dataset(root, "ns/again")
    other.attach(tmp_path / "a.csv", "m")
    assert cells(other, "m__s")[:2] == ["", None]


def test_GET_1_a_failed_export_leaves_the_old_file(ds, root, tmp_path) -> None:
    out = tmp_path / "a.csv"
    out.write_text("precious")
    (ds.dir / "_derived" / "m").mkdir(parents=True)
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    part = next((ds.dir / "_derived" / "m").iterdir())
    data = bytearray(part.read_bytes())
    data[4:40] = b"\0" * 36
    part.write_bytes(data)
    with pytest.raises(Exception, match=r".") as caught:
        ds.export("csv", out)
    assert type(caught.value).__module__ == "usr_nb.errors"
    assert out.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.csv"]
    with pytest.raises(ValidationError, match="not known"):
        ds.export("xls", out)
    with pytest.raises(PathNotFound):
        ds.export("csv", tmp_path / "no" / "a.csv")
    with pytest.raises(PathNotFound):
        ds.export("csv", tmp_path)


def test_GET_5_no_torn_line_is_shown_until_it_is_complete(ds) -> None:
    assert [e["action"] for e in ds.events(n=1)] == ["import_rows"]
    assert ds.events(n=0) == []
    with LogReader(ds.events_path) as reader:
        assert [e["action"] for e in reader.poll()] == ["init", "registry_freeze", "import_rows"]
        with ds.events_path.open("ab") as f:
            f.write(b'{"event_version":1,"action":"half')
        assert [e["action"] for e in ds.events()][-1] == "import_rows"
        assert reader.poll() == []
        ds.tombstone(IDS[0])
        assert [e["action"] for e in ds.events()][-1] == "tombstone"
        assert [e["action"] for e in reader.poll()] == ["tombstone"]
    assert b"half\n{" in ds.events_path.read_bytes()


def test_GET_5_following_survives_rotation_and_truncation(ds) -> None:
    def after_rotation() -> None:
        ds.log_event("before_rotation")
        ds.events_path.rename(ds.events_path.with_name("events.1"))
        ds.log_event("after_rotation")

    def after_truncation() -> None:
        ds.events_path.write_bytes(b"")
        ds.log_event("x")

    steps = [lambda: None, lambda: ds.log_event("plain"), after_rotation, after_truncation]
    waiting = iter([*steps, None])

    def stop() -> bool:
        step = next(waiting)
        if step is not None:
            step()
        return step is None

    with LogReader(ds.events_path, offset=ds.events_path.stat().st_size) as reader:
        seen = [e["action"] for e in reader.follow(interval_s=0, stop=stop)]
    assert seen == ["plain", "before_rotation", "after_rotation", "x"]


def test_GET_5_a_saved_offset_goes_on_where_it_stopped(ds) -> None:
    offset = 0
    seen = []
    for k in range(3):
        with LogReader(ds.events_path, offset=offset) as reader:
            seen += [e["action"] for e in reader.poll()]
            offset = reader.offset
        ds.log_event(f"step{k}")
    assert seen == ["init", "registry_freeze", "import_rows", "step0", "step1"]


def test_GET_1_frames_are_pandas(ds) -> None:
    assert isinstance(ds.head(1), pd.DataFrame)
    assert isinstance(ds.get(IDS[0]), pd.DataFrame)
    assert isinstance(ds.grep("A"), pd.DataFrame)
