"""REC: the base table and what every rewrite keeps."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.dataset.kit import IDS, SEQUENCES, base, cells, footer, new_dataset, new_root, refused
from usr_nb import ARROW_SCHEMA, AlphabetError, Dataset, ValidationError, compute_id

PADS = ["", " ", "\n", "\t", "\u00a0", "\x1c", "\x85", "\u2028", "\u3000", "\r\n"]


def test_REC_1_schema_of_the_base(ds) -> None:
    schema = pq.read_schema(ds.records_path).remove_metadata()
    assert schema == pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("bio_type", pa.string(), nullable=False),
            pa.field("sequence", pa.string(), nullable=False),
            pa.field("alphabet", pa.string(), nullable=False),
            pa.field("length", pa.int32(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        ]
    )
    assert schema == ARROW_SCHEMA
    assert all(c.null_count == 0 for c in base(ds).columns)


@pytest.fixture(scope="module")
def module_root(tmp_path_factory):
    return new_root(tmp_path_factory.mktemp("rec"))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(PADS), st.text("ACGTacgt", min_size=1, max_size=8),
                       st.sampled_from(PADS)), min_size=1, max_size=6, unique_by=lambda t: t[1]),
    st.sampled_from(["dna", "rna", "protein"]),
)  # fmt: skip
def test_REC_2_trimmed_as_python_does_case_kept_hashed(module_root, rows, kind) -> None:
    name = f"rec/x{len(list(module_root.rglob('records.parquet')))}"
    ds = new_dataset(module_root, name, [])
    words = {"dna": str, "protein": str, "rna": lambda s: s.replace("T", "U").replace("t", "u")}
    raw = [a + words[kind](s) + b for a, s, b in rows]
    alphabet = {"dna": "dna_4", "rna": "rna_4", "protein": "protein_20"}[kind]
    result = ds.add_sequences(raw, bio_type=kind, alphabet=alphabet)
    stored = base(ds).to_pydict()
    wanted = [r.strip() for r in raw]
    assert stored["sequence"] == wanted
    assert stored["length"] == [len(w) for w in wanted]
    hashes = [hashlib.sha1(f"{kind}|{w}".encode()).hexdigest() for w in wanted]
    assert stored["id"] == hashes == result.ids
    assert [compute_id(kind, r) for r in raw] == hashes


def test_REC_2_zero_width_space_is_a_letter_not_white_space(ds, root) -> None:
    with refused(root, AlphabetError, "Row 1"):
        ds.import_rows(["\u200bACGTT"])


@pytest.mark.parametrize(
    ("alphabet", "good", "bad"),
    [
        ("dna_4", "ACGTacgt", "N"), ("dna_5", "ACGTNacgtn", "U"), ("rna_4", "ACGUacgu", "T"),
        ("rna_5", "ACGUNn", "T"), ("protein_20", "ACDEFGHIKLMNPQRSTVWYacdefghiklmnpqrstvwy", "X"),
        ("protein_21", "ACDEFGHIKLMNPQRSTVWYXx", "B"),
    ],
)  # fmt: skip
def test_REC_3_alphabets(ds, root, alphabet, good, bad) -> None:
    kind = alphabet.split("_")[0]
    ds.add_sequences([good], bio_type=kind, alphabet=alphabet)
    with refused(root, AlphabetError, "Row 2"):
        ds.add_sequences([good[:3], f"A{bad}"], bio_type=kind, alphabet=alphabet)
    for letter in "*-. \nBZ1":
        if letter not in good:
            with pytest.raises(AlphabetError):
                ds.add_sequences([f"A{letter}A"], bio_type=kind, alphabet=alphabet)


@pytest.mark.parametrize("kind", ["DNA", "Dna", " dna", "xna", "", "dna|x"])
def test_REC_3_bio_types_are_exact(ds, root, kind) -> None:
    with refused(root, ValidationError):
        ds.add_sequences(["AC"], bio_type=kind, alphabet="dna_4")
    with refused(root, ValidationError):
        ds.import_rows([{"sequence": "AC", "bio_type": kind}])


def test_REC_3_an_alphabet_must_belong_to_its_bio_type(ds, root) -> None:
    with refused(root, ValidationError, "belong"):
        ds.add_sequences(["AC"], bio_type="rna", alphabet="dna_4")
    rows = [{"sequence": "AC", "alphabet": "dna_4"}, {"sequence": "AG", "alphabet": "rna_4"}]
    with refused(root, ValidationError, "Row 2"):
        ds.import_rows(rows)


def test_REC_4_every_rewrite_keeps_the_footer(ds) -> None:
    first = footer(ds.records_path)
    assert first[b"usr:schema_version"] == b"1"
    assert first[b"usr:id_hash"] == b"sha1_utf8_pipe"
    assert len(first[b"usr:registry_hash"]) == 64
    assert first[b"usr:dataset_created_at"].decode() == ds.info().created_at
    mine = base(ds).replace_schema_metadata({**first, b"other:tool": b"kept", b"pandas": b"{}"})
    pq.write_table(mine, ds.records_path)

    def check() -> None:
        now = footer(ds.records_path)
        assert now == {
            **first,
            b"other:tool": b"kept",
            b"usr:registry_hash": now[b"usr:registry_hash"],
        }

    ds.add_sequences(["GGGG"], bio_type="dna", alphabet="dna_4")
    check()
    ds.write_overlay_part("m", [{"id": IDS[0], "n": 1.0}])
    ds.tombstone(IDS[1])
    with ds.maintenance(reason="test"):
        ds.materialize()
        check()
        ds.materialize(drop_deleted=True)
        check()
        ds.freeze_registry()
        check()


def test_REC_5_appends_keep_order_and_materialized_columns(ds) -> None:
    ds.write_overlay_part("m", [{"id": i, "n": float(k), "s": str(k)} for k, i in enumerate(IDS)])
    with ds.maintenance(reason="test"):
        ds.materialize(keep_overlays=False)
    before = base(ds)
    ds.add_sequences(["AAAA", "CCCC"], bio_type="dna", alphabet="dna_4")
    after = base(ds)
    assert after.schema.names == [*ARROW_SCHEMA.names, "m__n", "m__s"]
    assert after.slice(0, len(IDS)).equals(before)
    assert after.column("m__n").to_pylist() == [*map(float, range(6)), None, None]
    assert cells(ds, "sequence") == [*SEQUENCES, "AAAA", "CCCC"]


def test_REC_6_files_are_zstd_and_readable_by_four_tools(ds) -> None:
    vectors = [[1.0, None, float("nan")], [], None, [2.0], [3.0], [4.0]]
    rows = [
        {"id": i, "n": k / 2, "i": k, "s": str(k), "b": bool(k % 2), "l": vectors[k],
         "v": [0.5, k], "r": {"p": k, "q": "x"}}
        for k, i in enumerate(IDS)
    ]  # fmt: skip
    ds.write_overlay_part("m", rows)
    ds.tombstone(IDS[0])
    with ds.maintenance(reason="test"):
        ds.materialize()
    everything = [ds.records_path, *ds.dir.glob("_derived/**/*.parquet")]
    assert len(everything) == 3
    for path in everything:
        meta = pq.read_metadata(path)
        for g in range(meta.num_row_groups):
            for c in range(meta.num_columns):
                assert meta.row_group(g).column(c).compression == "ZSTD"
        rows_there = meta.num_rows
        assert len(pd.read_parquet(path)) == rows_there
        assert len(pl.read_parquet(path)) == rows_there
        assert duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall() == [(rows_there,)]
    frame = pl.read_parquet(ds.records_path)
    assert frame["m__i"].to_list() == list(range(6))
    query = f"SELECT list(m__s ORDER BY m__i) FROM '{ds.records_path}'"
    assert duckdb.sql(query).fetchall() == [([str(k) for k in range(6)],)]


def test_REC_6_importing_the_package_loads_no_notebook() -> None:
    code = (
        "import sys, usr_nb; print(sorted({'marimo','altair','typer','rich'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_API_open_of_a_dataset_reads_nothing(root) -> None:
    assert repr(Dataset.open(root, "not/there")).startswith("Dataset('not/there'")
