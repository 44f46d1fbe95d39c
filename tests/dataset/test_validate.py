"""VAL: every class of violation is planted and found, with its place and severity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from tests.dataset.kit import (
    IDS,
    SEQUENCES,
    base,
    count_events,
    footer,
    nothing_changes,
    parts,
    register_namespace,
)
from tests.dataset.test_materialize import fill
from tests.overlay.kit import overlay_meta, part_name, write_parquet
from usr_nb import Dataset, ValidationError
from usr_nb.contract.essentials import ARROW_SCHEMA
from usr_nb.dataset.checks import base as base_checks
from usr_nb.dataset.validate import Report
from usr_nb.overlay.base import Base
from usr_nb.storage import probe, view

AT = datetime(2026, 1, 1, tzinfo=UTC)


def report_of(ds: Dataset, **how) -> Report:
    try:
        return ds.validate(**how)
    except ValidationError as error:
        return error.report


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table], **meta: bytes | None) -> None:
    """Write a file again with other content; its Arrow schema may differ."""
    kept = footer(path) | {k.replace("__", ":").encode(): v for k, v in meta.items()}
    table = change(pq.read_table(path))
    kept = {k: v for k, v in kept.items() if v is not None}
    pq.write_table(table.replace_schema_metadata(kept), path, compression="zstd")


def cell(table: pa.Table, column: str, row: int, value) -> pa.Table:
    at = table.schema.get_field_index(column)
    field = table.schema.field(column)
    found = table.column(column).to_pylist()
    found[row] = value
    return table.set_column(at, pa.field(column, field.type), pa.array(found, field.type))


def records(column: str, row: int, value) -> Callable[[Dataset], None]:
    return lambda ds: rewrite(ds.records_path, lambda t: cell(t, column, row, value))


def overlay(
    change: Callable[[pa.Table], pa.Table] = lambda t: t, **meta
) -> Callable[[Dataset], None]:
    return lambda ds: rewrite(parts(ds)[0], change, **meta)


def flip_a_page(path: Path) -> None:
    """Turn over one byte inside a page; the footer stays right."""
    meta = pq.read_metadata(path).row_group(0).column(pq.read_metadata(path).num_columns - 1)
    data = bytearray(path.read_bytes())
    start = min(o for o in (meta.dictionary_page_offset, meta.data_page_offset) if o)
    data[start + meta.total_compressed_size - 3] ^= 0xFF
    path.write_bytes(bytes(data))


def append(line: bytes) -> Callable[[Dataset], None]:
    def write(ds: Dataset) -> None:
        with ds.events_path.open("ab") as f:
            f.write(line)

    return write


def stray(ds: Dataset, name: str, data: bytes) -> None:
    path = ds.dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def reserved(ds: Dataset, name: str, table: pa.Table) -> None:
    write_parquet(
        ds.dir / "_derived" / name / part_name(AT, 1), table, overlay_meta(name, "id", AT)
    )


BASE, PART, LOG = "records.parquet", "_derived/m/part-", ".events.log"
# what: (how to plant it, severity, start of the place, words of the message)
PLANTED: dict[str, tuple[Callable[[Dataset], object], str, str, str]] = {
    "missing essential": (
        lambda ds: rewrite(ds.records_path, lambda t: t.drop_columns(["source"])),
        "error",
        BASE,
        "source",
    ),
    "wrong type": (
        lambda ds: rewrite(
            ds.records_path, lambda t: t.set_column(4, "length", t["length"].cast(pa.int64()))
        ),
        "error",
        BASE,
        "length",
    ),
    "order of essentials": (
        lambda ds: rewrite(ds.records_path, lambda t: t.select([1, 0, *range(2, t.num_columns)])),
        "warning",
        BASE,
        "order",
    ),
    "null essential": (records("source", 3, None), "error", f"{BASE}, row 4", "source is null"),
    "repeated id": (
        lambda ds: rewrite(ds.records_path, lambda t: pa.concat_tables([t, t.slice(2, 1)])),
        "error",
        BASE,
        IDS[2][:8],
    ),
    "wrong id": (records("id", 1, "f" * 40), "error", f"{BASE}, row 2", "id is not"),
    "wrong length": (records("length", 5, 3), "error", f"{BASE}, row 6", "length"),
    "untrimmed": (records("sequence", 0, SEQUENCES[0] + " "), "error", f"{BASE}, row 1", "trimmed"),
    "wrong letter": (records("sequence", 0, "ACGTX"), "error", f"{BASE}, row 1", "letters"),
    "unknown alphabet": (records("alphabet", 0, "dna_6"), "error", f"{BASE}, row 1", "alphabet"),
    "foreign alphabet": (records("alphabet", 0, "rna_4"), "error", f"{BASE}, row 1", "belong"),
    "unknown bio_type": (records("bio_type", 2, "DNA"), "error", f"{BASE}, row 3", "bio_type"),
    "column without namespace": (
        lambda ds: rewrite(ds.records_path, lambda t: t.append_column("plain", pa.array([1] * 6))),
        "error",
        BASE,
        "'plain' has no namespace",
    ),
    "unregistered column in the base": (
        lambda ds: rewrite(ds.records_path, lambda t: t.append_column("zz__x", pa.array([1] * 6))),
        "warning",
        BASE,
        "'zz__x'",
    ),
    "base column of another type": (
        lambda ds: rewrite(ds.records_path, lambda t: t.append_column("k__x", pa.array([1] * 6))),
        "error",
        BASE,
        "k__x' is int64, registered as float64",
    ),
    "schema version": (
        lambda ds: rewrite(ds.records_path, lambda t: t, usr__schema_version=b"2"),
        "error",
        BASE,
        "usr:schema_version",
    ),
    "id hash": (
        lambda ds: rewrite(ds.records_path, lambda t: t, usr__id_hash=None),
        "error",
        BASE,
        "usr:id_hash",
    ),
    "created at": (
        lambda ds: rewrite(ds.records_path, lambda t: t, usr__dataset_created_at=None),
        "error",
        BASE,
        "usr:dataset_created_at",
    ),
    "unknown stamp": (
        lambda ds: rewrite(ds.records_path, lambda t: t, usr__registry_hash=b"e" * 64),
        "error",
        BASE,
        "usr:registry_hash",
    ),
    "overlay without key": (overlay(usr__overlay_key=None), "error", PART, "usr:overlay_key"),
    "overlay without time": (
        overlay(usr__overlay_created_at=None),
        "error",
        PART,
        "usr:overlay_created_at",
    ),
    "overlay with a bad time": (overlay(usr__overlay_created_at=b"soon"), "error", PART, "soon"),
    "overlay with a foreign key": (overlay(usr__overlay_key=b"name"), "error", PART, "name"),
    "overlay of another namespace": (overlay(usr__overlay_namespace=b"k"), "error", PART, "'k'"),
    "overlay without registry hash": (
        overlay(usr__registry_hash=None),
        "error",
        PART,
        "usr:registry_hash",
    ),
    "key repeated in a part": (
        overlay(lambda t: pa.concat_tables([t, t.slice(0, 1)])),
        "error",
        PART,
        "repeated",
    ),
    "null key": (overlay(lambda t: cell(t, "id", 0, None)), "error", PART, "null"),
    "overlay column of another type": (
        overlay(lambda t: t.set_column(1, "m__n", pa.array([1] * t.num_rows))),
        "error",
        PART,
        "m__n' is int64, registered as float64",
    ),
    "overlay column unregistered": (
        overlay(lambda t: t.append_column("m__zz", pa.array([1] * t.num_rows))),
        "error",
        PART,
        "m__zz",
    ),
    "orphan keys": (
        overlay(lambda t: cell(t, "id", 0, "f" * 40)),
        "warning",
        PART,
        "not in the base",
    ),
    "bad bitmap": (overlay(usr__unspoken=b'{"m__n":"AAAA"}'), "error", PART, "usr:unspoken"),
    "two keys": (
        lambda ds: write_parquet(
            ds.dir / "_derived" / "m" / part_name(AT, 1),
            pa.table({"sequence": SEQUENCES[:1], "m__n": [1.0]}),
            overlay_meta("m", "sequence", AT),
        ),
        "error",
        "_derived/m",
        "several keys",
    ),
    "unregistered leftover": (
        lambda ds: write_parquet(
            ds.dir / "_derived" / "gone.parquet",
            pa.table({"id": IDS[:1], "gone__x": [1]}),
            overlay_meta("gone", "id", AT),
        ),
        "warning",
        "_derived/gone",
        "not registered",
    ),
    "page of a part": (lambda ds: flip_a_page(parts(ds)[0]), "error", PART, ""),
    "page of the base": (lambda ds: flip_a_page(ds.records_path), "error", BASE, ""),
    "truncated part": (
        lambda ds: parts(ds)[0].write_bytes(parts(ds)[0].read_bytes()[:200]),
        "error",
        PART,
        "",
    ),
    "digest of the base": (
        lambda ds: rewrite(ds.records_path, lambda t: t),
        "error",
        BASE,
        "event log",
    ),
    "digest of a part": (overlay(), "error", PART, "event log"),
    "digest of a snapshot": (
        lambda ds: next(ds.snapshot_dir.iterdir()).write_bytes(b"x"),
        "error",
        "_snapshots/",
        "event log",
    ),
    "frozen registry": (
        lambda ds: next((ds.dir / "_registry").iterdir()).write_text("namespaces: {}"),
        "error",
        "_registry/registry.",
        "hash",
    ),
    "tombstone column": (
        lambda ds: reserved(ds, "usr", pa.table({"id": IDS[:1], "usr__why": ["x"]})),
        "error",
        "_derived/usr/",
        "usr__why",
    ),
    "tombstone type": (
        lambda ds: reserved(ds, "usr", pa.table({"id": IDS[:1], "usr__deleted": ["yes"]})),
        "error",
        "_derived/usr/",
        "usr__deleted",
    ),
    "state word": (
        lambda ds: reserved(
            ds, "usr_state", pa.table({"id": IDS[:1], "usr_state__qc_status": ["ok"]})
        ),
        "error",
        "_derived/usr_state/",
        "'ok'",
    ),
    "state column": (
        lambda ds: reserved(ds, "usr_state", pa.table({"id": IDS[:1], "usr_state__zz": ["ok"]})),
        "error",
        "_derived/usr_state/",
        "usr_state__zz",
    ),
    "event without keys": (
        append(b'{"action":"x","event_version":1}\n'),
        "error",
        f"{LOG}, line",
        "timestamp",
    ),
    "event with a bad time": (
        lambda ds: append(
            ds.events_path.read_bytes().splitlines()[0].replace(b':"20', b':"x0', 1) + b"\n"
        )(ds),
        "error",
        f"{LOG}, line",
        "time",
    ),
    "no event log": (lambda ds: ds.events_path.unlink(), "warning", LOG, "no event log"),
    "notes without a name": (lambda ds: ds.meta_path.write_text("x"), "warning", "meta.md", "name"),
    "foreign file": (lambda ds: stray(ds, "notes.txt", b"x"), "note", "notes.txt", "others"),
    "foreign file in _derived": (
        lambda ds: stray(ds, "_derived/m/readme.txt", b"x"),
        "note",
        "_derived/m/readme.txt",
        "",
    ),
    "case-fold duplicates": (
        lambda ds: ds.import_rows([SEQUENCES[0].lower()]),
        "note",
        BASE,
        "other case",
    ),
    "file without a digest": (
        lambda ds: write_parquet(
            ds.dir / "_derived" / "k.parquet",
            pa.table({"id": IDS[:1], "k__x": [1.0]}),
            overlay_meta("k", "id", AT),
        ),
        "note",
        "_derived/k.parquet",
        "digest",
    ),
    "torn event": (append(b'{"event'), "note", f"{LOG}, line", "torn"),
    "text in the log": (append(b"not an event\n"), "note", f"{LOG}, line", "torn"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_VAL_each_violation_is_found_with_place_and_severity(ds, what) -> None:
    plant, severity, place, words = PLANTED[what]
    ds.write_overlay_part("m", [{"id": i, "n": float(k)} for k, i in enumerate(IDS)])
    ds.snapshot()
    clean = ds.validate(strict=True)
    assert [f for f in clean.findings if f.severity != "note"] == []
    known = {(f.place, f.message) for f in clean.findings}
    plant(ds)
    new = [f for f in report_of(ds).findings if (f.place, f.message) not in known]
    hits = [f for f in new if f.place.startswith(place) and words in f.message]
    assert hits, new
    assert severity in {f.severity for f in hits}, hits
    assert all(f.rule for f in hits)


@pytest.mark.parametrize("severity", ["error", "warning", "note"])
def test_VAL_strict_makes_errors_of_warnings_and_never_of_notes(ds, severity) -> None:
    def orphan() -> None:
        table = pa.table({"id": ["f" * 40], "m__n": [1.0]})
        name = ds.dir / "_derived" / "m" / part_name(AT, 1)
        from tests.dataset.kit import registry_of

        write_parquet(name, table, overlay_meta("m", "id", AT, registry_of(ds.root)))

    plant = {
        "note": lambda: stray(ds, "x.txt", b""),
        "warning": orphan,
        "error": lambda: rewrite(ds.records_path, lambda t: cell(t, "length", 0, 1)),
    }
    plant[severity]()
    for strict in (False, True):
        fails = severity == "error" or (strict and severity == "warning")
        if fails:
            with pytest.raises(ValidationError) as caught:
                ds.validate(strict=strict)
            assert caught.value.exit_code == 2
            assert caught.value.report.of(severity)
        else:
            assert ds.validate(strict=strict).of(severity)


def test_VAL_all_findings_are_reported_at_once(ds) -> None:
    ds.write_overlay_part("m", [{"id": i, "n": float(k)} for k, i in enumerate(IDS)])
    rewrite(ds.records_path, lambda t: cell(cell(t, "length", 0, 1), "id", 3, "0" * 40))
    rewrite(parts(ds)[0], lambda t: cell(t, "id", 0, None))
    append(b'{"action":"x"}\n')(ds)
    found = report_of(ds)
    places = [f.place for f in found.errors]
    for start in (f"{BASE}, row 1", f"{BASE}, row 4", PART, f"{LOG}, line"):
        assert any(p.startswith(start) for p in places), (start, places)
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["errors"] == len(found.errors)
    assert {"severity", "rule", "place", "message", "hint"} == set(plain["findings"][0])


def test_VAL_a_row_number_list_is_bounded(ds) -> None:
    rewrite(ds.records_path, lambda t: t.set_column(4, "length", pa.array([1] * 6, pa.int32())))
    (finding,) = [f for f in report_of(ds).errors if "length" in f.message]
    assert finding.place == f"{BASE}, row 1, 2, 3, 4, 5"
    assert finding.message.startswith("6 rows")


def test_VAL_a_whole_life_validates(ds, root) -> None:
    fill(ds)
    assert ds.validate(strict=True).errors == []
    with ds.maintenance(reason="test"):
        ds.compact_overlay("m")
        ds.materialize(drop_deleted=True, archive_overlays=True)
    register_namespace(root, namespace="later", columns="x:int8")
    ds.import_rows(["AA"])
    with nothing_changes(root):
        report = ds.validate()
    assert report.errors == []
    assert report.rows == base(ds).num_rows == 5
    assert count_events(ds) > 8


def test_VAL_dropped_ids_explain_orphans_of_every_key(ds) -> None:
    ds.write_overlay_part("m", [{"id": i, "n": 1.0} for i in IDS])
    ds.write_overlay_part("k", [{"sequence": s, "x": 1.0} for s in SEQUENCES], key="sequence")
    ds.tombstone(IDS[2])
    with ds.maintenance(reason="test"):
        ds.materialize(drop_deleted=True)
    assert ds.validate(strict=True).errors == []


@pytest.mark.parametrize("where", ["_derived/m/part-pipe.parquet", "_derived/k.parquet"])
def test_VAL_a_file_that_hangs_its_reader_is_never_opened_here(ds, where, monkeypatch) -> None:
    """The child is told to hang by a file that it cannot be done with: a made-up limit of 0 s."""
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    write_parquet(
        ds.dir / where, pa.table({"id": IDS[:1], "x": [1.0]}), overlay_meta("m", "id", AT)
    )
    opened: list[str] = []
    real = view.open_parquet

    def watched(path: Path, **how):
        opened.append(path.name)
        return real(path, **how)

    def never(self: probe.Prober, path: Path) -> probe.Probed:
        return probe.Probed(path, "hung", "reading it takes longer than 5 s", "Restore it.")

    monkeypatch.setattr(view, "open_parquet", watched)
    monkeypatch.setattr(probe.Prober, "probe", never)
    found = [f for f in report_of(ds).findings if f.place == where]
    assert ("error", "reading it takes longer than 5 s") in {(f.severity, f.message) for f in found}
    assert Path(where).name not in opened
    assert parts(ds)[0].name in opened


def test_VAL_a_base_that_hangs_its_reader_is_never_opened_here(ds, monkeypatch) -> None:
    rewrite(ds.records_path, lambda t: t)

    def never(self: probe.Prober, path: Path) -> probe.Probed:
        return probe.Probed(path, "crashed", "reading it ends the process (SIGSEGV)", "Restore it.")

    def refuse(path: Path, **_):
        raise AssertionError(path)

    monkeypatch.setattr(probe.Prober, "probe", never)
    monkeypatch.setattr(view, "open_parquet", refuse)
    report = report_of(ds)
    assert report.rows == 0
    assert {f.place for f in report.errors} == {"records.parquet"}
    assert {"SIGSEGV" in f.message for f in report.errors} == {True, False}


def test_VAL_files_with_a_known_digest_need_no_child(ds, monkeypatch) -> None:
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])

    def refuse(self: probe.Prober, path: Path):
        raise AssertionError(path)

    monkeypatch.setattr(probe.Prober, "probe", refuse)
    assert ds.validate(strict=True).errors == []


TEXTS = st.text(st.sampled_from("ACGTNUXacgt é\n*"), max_size=6)
SEQUENCE = st.one_of(st.text("ACGT", min_size=1, max_size=6), TEXTS)


@given(st.lists(SEQUENCE, min_size=1, max_size=5), st.data())
def test_VAL_the_quick_look_says_what_the_careful_one_says(sequences, data):
    """Rows that it passes have no mistake, and none of them repeats another in other case."""
    n = len(sequences)
    kinds = data.draw(st.sampled_from([["dna"], ["dna", "rna"], ["rnd"], ["protein"]]))
    named = st.sampled_from([["dna_4"], ["dna_4", "dna_5"], ["rna_4"], ["protein_20"]])
    alphabets = data.draw(named)
    bio_types = [data.draw(st.sampled_from(kinds)) for _ in range(n)]
    wrong = data.draw(st.sampled_from(["nothing", "nothing", "length", "id"]))
    table = pa.table(
        {
            "id": [sha1(f"{b}|{s}") for b, s in zip(bio_types, sequences, strict=True)],
            "bio_type": bio_types,
            "sequence": sequences,
            "alphabet": [data.draw(st.sampled_from(alphabets)) for _ in range(n)],
            "length": [len(s) + (wrong == "length") for s in sequences],
            "source": [""] * n,
            "created_at": pa.array([AT] * n, pa.timestamp("us", "UTC")),
        }
    ).cast(ARROW_SCHEMA)
    if wrong == "id":
        table = cell(table, "id", n - 1, "0" * 40).cast(ARROW_SCHEMA)
    batch = table.combine_chunks().to_batches()[0]
    careful = base_checks._Rows()
    base_checks._check_batch(batch, careful, 0)
    kind = base_checks._quickly(batch)
    if kind is not None:
        assert not careful.found
        assert {kind} == set(bio_types)
        assert sequences == [s.upper() for s in sequences]
    elif not careful.found:
        one_kind = len(set(bio_types)) == 1 and len(set(table["alphabet"].to_pylist())) == 1
        assert not one_kind or sequences != [s.upper() for s in sequences]


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def test_VAL_many_batches_count_as_one(root, monkeypatch):
    """Row numbers, counts and repeats go over all of the base, however it is cut to be checked."""
    monkeypatch.setitem(Base.base_worked.__kwdefaults__, "batch_rows", 3)
    ds = Dataset.open(root, "many")
    ds.init()
    ds.add_sequences(["ACGT" + "ACGT"[i % 4] * (i + 1) for i in range(11)], bio_type="dna",
                     alphabet="dna_4")  # fmt: skip

    def spoil(table: pa.Table) -> pa.Table:
        for row in (1, 4, 9):
            table = cell(table, "length", row, 1)
        table = pa.concat_tables([table, table.slice(2, 1), table.slice(7, 1)])
        return cell(table, "sequence", 12, table["sequence"][7].as_py().lower())

    with pq.ParquetFile(ds.records_path) as file:
        meta = dict(file.metadata.metadata)
    table = spoil(pq.read_table(ds.records_path)).replace_schema_metadata(meta)
    pq.write_table(table, ds.records_path, row_group_size=2)
    found = {f.message: f.place for f in report_of(ds).findings if f.rule in ("REC-2", "VAL")}
    assert found["3 rows: length is wrong"] == "records.parquet, row 2, 5, 10"
    assert any(m.startswith("2 ids stand in many rows") for m in found)
    assert found["1 rows: id is not that of the sequence"] == "records.parquet, row 13"
    assert "2 rows repeat a sequence in other case" in found


def test_VAL_a_sequence_in_other_case_or_of_another_kind_is_noted(root):
    ds = Dataset.open(root, "cases")
    ds.init()
    ds.add_sequences(["ACGT", "TTTT"], bio_type="dna", alphabet="dna_4")
    assert not [f for f in ds.validate(strict=True).notes if "other case" in f.message]
    ds.add_sequences(["acgt"], bio_type="dna", alphabet="dna_4")
    ds.add_sequences(["TTTT"], bio_type="protein", alphabet="protein_20")
    (note,) = [f for f in ds.validate(strict=True).notes if "other case" in f.message]
    assert note.message == "2 rows repeat a sequence in other case"
