"""FASTA → store → FASTA gives the same bytes (contract IMP-1)."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import cells, refused
from tests.features.kit import DEMO, by_sequence, fresh, new
from usr_nb import Dataset, DuplicateIDError, ValidationError, register_namespace
from usr_nb.errors import SchemaError

CASES = {
    "plain": b">a one\nACGT\n>b\nTTTT\n",
    "tabs": b">a\tx\ty\nACGT\n>b  two  blanks \nTTTT\n",
    "odd headers": b">> >|\"quoted\", 'x';\xc3\xa9\xe2\x80\xa8 \x0b\nACGT\n>=1+1\nTTTT\n"
    b"> lead\nGGGG\n",
    "empty header": b">\nACGT\n> \nTTTT\n",
    "duplicate headers": b">same\nACGT\n>same\nTTTT\n",
    "duplicate sequences": b">a first\nACGT\n>b\nTTTT\n>c third\nACGT\n>d\nACGT\n",
    "wrapped": b">a\nACGT\nACGT\nAC\n>b\nTTTT\n>c\nGGGGGGGG\n".replace(b"GGGGGGGG", b"GGGG\nGGGG"),
    "lower and mixed case": b">a\nacgt\n>b\nACgt\n>c\nACGT\n",
    "carriage returns": b">a x\r\nACGT\r\n>b\r\nTTTT\r\n",
    "wrapped carriage returns": b">a\r\nACGT\r\nAC\r\n>b\r\nTTTT\r\n",
    "no last line end": b">a\nACGT\n>b\nTTTT",
    "no last line end, folded": b">a\nACGT\n>b\nTTTT\n>c\nACGT",
    "one record": b">x\nA\n",
}


def round_trip(folder, data: bytes, name: str = "a.fa", alphabet: str = "dna_4") -> bytes:
    root = fresh(folder)
    (root / name).write_bytes(data)
    ds = new(root)
    ds.import_file(root / name, keep="fa", on_conflict="ignore", default_alphabet=alphabet)
    ds.export("fasta", root / f"out-{name}")
    assert ds.validate().errors == []
    return (root / f"out-{name}").read_bytes()


@pytest.mark.parametrize("case", CASES)
def test_IMP_1_fasta_comes_back_byte_for_byte(tmp_path, case) -> None:
    assert round_trip(tmp_path, CASES[case]) == CASES[case]


@pytest.mark.parametrize("suffix", ["fa", "fasta", "fna", "faa"])
def test_IMP_1_gzip_fasta_both_ways(tmp_path, suffix) -> None:
    data = CASES["duplicate sequences"]
    packed = round_trip(tmp_path, gzip.compress(data), f"a.{suffix}.gz")
    assert gzip.decompress(packed) == data
    # No time and no name in it: the same records give the same file.
    assert packed == round_trip(tmp_path, gzip.compress(data), f"a.{suffix}.gz")


def test_IMP_1_text_exports_named_gz_are_gzip(tmp_path) -> None:
    ds = new(fresh(tmp_path), ["ACGT", "TTTT"])
    for fmt in ("csv", "jsonl", "fasta"):
        ds.export(fmt, tmp_path / f"a.{fmt}")
        ds.export(fmt, tmp_path / f"a.{fmt}.gz")
        packed = (tmp_path / f"a.{fmt}.gz").read_bytes()
        assert gzip.decompress(packed) == (tmp_path / f"a.{fmt}").read_bytes(), fmt


headers = st.text(
    st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12
).filter(lambda h: not h.endswith("\r"))
records = st.lists(
    st.tuples(headers, st.text("ACGTacgt", min_size=1, max_size=14)), min_size=1, max_size=8
)


def fasta(rows, width: int | None, newline: str, ended: bool) -> bytes:
    """FASTA in the plainest words."""
    lines = []
    for header, sequence in rows:
        step = width or len(sequence)
        lines += [">" + header, *(sequence[i : i + step] for i in range(0, len(sequence), step))]
    return (newline.join(lines) + (newline if ended else "")).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fasta")


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records, st.one_of(st.none(), st.integers(1, 9)), st.sampled_from(["\n", "\r\n"]),
       st.tuples(st.booleans(), st.booleans()))  # fmt: skip
def test_IMP_1_any_fasta_comes_back(folder, rows, width, newline, flags) -> None:
    ended, packed = flags
    data = fasta(rows, width, newline, ended)
    name = "r.fa.gz" if packed else "r.fa"
    out = round_trip(folder, gzip.compress(data) if packed else data, name)
    assert (gzip.decompress(out) if packed else out) == data


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records, records, st.booleans())
def test_IMP_1_two_fasta_files_come_back_one_after_the_other(folder, a, b, same_source) -> None:
    known = {s for _, s in a}
    b = [(h, s) for h, s in b if s not in known]
    root = fresh(folder)
    ds = new(root)
    for name, rows in (("a.fa", a), ("b.fa", b)):
        (root / name).write_bytes(fasta(rows, None, "\n", ended=True))
        if rows:
            ds.import_file(root / name, keep="fa", on_conflict="ignore",
                           source="plate 1" if same_source else None)  # fmt: skip
    ds.export("fasta", root / "out.fa")
    assert (root / "out.fa").read_bytes() == fasta([*a, *b], None, "\n", ended=True)


def test_IMP_1_a_second_file_of_the_same_source_comes_after_the_first(tmp_path) -> None:
    root = fresh(tmp_path)
    ds = new(root)
    files = [b">a\nAAAA\n>b\nCCCC\n", b">c\nGGGG\n>d\nTTTT\n"]
    for data in files:
        (root / "x.fa").write_bytes(data)
        ds.import_file(root / "x.fa", keep="fa")
    ds.export("fasta", root / "out.fa")
    assert (root / "out.fa").read_bytes() == b"".join(files)


def test_IMP_1_folded_duplicates_collect_names_positions_and_headers(tmp_path) -> None:
    root = fresh(tmp_path)
    (root / "a.fa").write_bytes(CASES["duplicate sequences"])
    ds = new(root)
    with refused(root, DuplicateIDError, match="rows 1, 3, 4"):
        ds.import_file(root / "a.fa", keep="fa")
    assert "fa__names" not in ds.schema().names
    ds.import_file(root / "a.fa", keep="fa", on_conflict="ignore")
    assert by_sequence(ds, "fa__names") == {"ACGT": ["a", "c", "d"], "TTTT": ["b"]}
    assert by_sequence(ds, "fa__header") == {"ACGT": "a first", "TTTT": "b"}
    places = {
        s: [r["position"] for r in rs] for s, rs in by_sequence(ds, "fa__fasta_records").items()
    }
    assert places == {"ACGT": [0, 2, 3], "TTTT": [1]}


def test_IMP_1_fasta_name_and_description_are_kept(tmp_path) -> None:
    root = fresh(tmp_path)
    (root / "a.fa").write_bytes(CASES["tabs"])
    ds = new(root)
    ds.import_file(root / "a.fa", keep="fa")
    assert cells(ds, "fa__name") == ["a", "b"]
    assert cells(ds, "fa__description") == ["x\ty", " two  blanks "]
    assert cells(ds, "fa__header") == ["a\tx\ty", "b  two  blanks "]


def test_IMP_1_fasta_export_of_records_without_names_uses_ids(tmp_path) -> None:
    root = fresh(tmp_path, k="name:string,n:int64")
    ds = new(root, ["ACGT", "TTTT"])
    a, b = cells(ds, "id")
    ds.write_overlay("k", pa.table({"id": [a], "name": ["first one"], "n": [1]}))
    ds.export("fasta", tmp_path / "ids.fa")
    assert (tmp_path / "ids.fa").read_text() == f">{a}\nACGT\n>{b}\nTTTT\n"
    ds.export("fasta", tmp_path / "names.fa", names="k__name")
    assert (tmp_path / "names.fa").read_text() == f">first one\nACGT\n>{b}\nTTTT\n"
    for bad in ("k__n", "k__absent"):
        with refused(root, SchemaError):
            ds.export("fasta", tmp_path / "bad.fa", names=bad)
    assert not (tmp_path / "bad.fa").exists()


def test_IMP_1_fasta_export_survives_materialize_delete_and_a_second_name_space(tmp_path) -> None:
    root = fresh(tmp_path)
    data = CASES["duplicate sequences"]
    (root / "a.fa").write_bytes(data)
    ds = new(root)
    ds.import_file(root / "a.fa", keep="fa", on_conflict="ignore")
    with ds.maintenance(reason="t"):
        ds.materialize(keep_overlays=False)
    ds.export("fasta", tmp_path / "out.fa")
    assert (tmp_path / "out.fa").read_bytes() == data
    (root / "b.fa").write_bytes(b">z\nGGGG\n")
    ds.import_file(root / "b.fa", keep="fb")
    with pytest.raises(ValidationError, match="fa, fb"):
        ds.export("fasta", tmp_path / "both.fa")
    ds.export("fasta", tmp_path / "fb.fa", names="fb")
    lines = (tmp_path / "fb.fa").read_text().splitlines()
    assert lines[:2] == [">z", "GGGG"]
    assert len(lines) == 6
    ds.tombstone(cells(ds, "id")[:1])
    ds.export("fasta", tmp_path / "less.fa", names="fa")
    assert (tmp_path / "less.fa").read_text().startswith(">b\nTTTT\n")
    assert "ACGT" not in (tmp_path / "less.fa").read_text()


def test_IMP_1_fasta_export_refuses_a_name_that_forges_records(tmp_path) -> None:
    root = fresh(tmp_path, k="name:string")
    ds = new(root, ["ACGT"])
    ds.import_rows([{"sequence": "TTTT", "name": "a\n>b\nGGGG"}], keep="k")
    out = tmp_path / "x.fa"
    out.write_text("before")
    with pytest.raises(ValidationError, match="line end"):
        ds.export("fasta", out, names="k__name")
    assert out.read_text() == "before"


def test_IMP_1_fasta_records_need_their_own_column_types(tmp_path) -> None:
    root = fresh(tmp_path)
    register_namespace(root, namespace="fa", columns="names:string")
    (root / "a.fa").write_bytes(CASES["plain"])
    ds = new(root, ["GGGG"])
    with refused(root, SchemaError, match="fa__names"):
        ds.import_file(root / "a.fa", keep="fa")
    assert len(cells(ds, "id")) == 1


def test_IMP_1_broken_fasta_imports_and_registers_nothing(tmp_path) -> None:
    root = fresh(tmp_path)
    ds = new(root, ["GGGG"])
    for n, data in enumerate([b">a\nACGT\n>b\nACXT\n", b"ACGT\n", b">a\nACGT\n>empty\n>c\nTT\n"]):
        (root / f"{n}.fa").write_bytes(data)
        with refused(root, ValidationError):
            ds.import_file(root / f"{n}.fa", keep="fa")
    assert cells(Dataset.open(root, "d"), "sequence") == ["GGGG"]


def test_IMP_1_demo_controls_are_a_fasta_that_comes_back(tmp_path) -> None:
    data = (DEMO / "controls.fasta").read_bytes()
    assert round_trip(tmp_path, data) == data
