"""The SOS library holds what its truth file says, found by searching and not by its own code."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import io
import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from usr_nb.errors import PathNotFound, SchemaError, ValidationError
from usr_nb.tools import sos

MATERIAL = Path(__file__).resolve().parents[2] / "demo_material"
PAIRS = {"A": "T", "C": "G", "G": "C", "T": "A"}
IUPAC = {**{letter: letter for letter in "ACGT"}, "N": "[ACGT]"}
TYPES = {
    "string": pa.string(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "list<string>": pa.list_(pa.string()),
    "fixed_size_list<float32>[16]": pa.list_(pa.float32(), 16),
    "list<struct<offset:int64,orientation:string,tf:string,tfbs:string>>": pa.list_(
        pa.struct(
            [
                ("offset", pa.int64()),
                ("orientation", pa.string()),
                ("tf", pa.string()),
                ("tfbs", pa.string()),
            ]
        )
    ),
}


def other_strand(sequence: str) -> str:
    return "".join(PAIRS[letter] for letter in reversed(sequence.upper()))


def record_id(sequence: str) -> str:
    return hashlib.sha1(b"dna|" + sequence.encode()).hexdigest()


def spots(pattern: str, sequence: str) -> set[int]:
    """Starts, on the forward strand, of an IUPAC pattern on either strand; overlaps count."""
    found = set()
    complement = {**PAIRS, "N": "N"}
    for strand in (pattern, "".join(complement[letter] for letter in reversed(pattern))):
        look = re.compile("(?=" + "".join(IUPAC[letter] for letter in strand) + ")")
        found |= {hit.start() for hit in look.finditer(sequence.upper())}
    return found


def search(pattern: str, sequences: list[str]) -> tuple[int, int]:
    """Rows and occurrences of a pattern on both strands."""
    hits = [len(spots(pattern, sequence)) for sequence in sequences]
    return sum(n > 0 for n in hits), sum(hits)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_sos", MATERIAL / "make_sos.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(script):
    return script.build()


@pytest.fixture(scope="module")
def library():
    return sos.read_library(MATERIAL / "demo_library.csv.gz")


@pytest.fixture(scope="module")
def rows(library):
    return library.to_pylist()


@pytest.fixture(scope="module")
def sequences(library):
    return library["sequence"].to_pylist()


@pytest.fixture(scope="module")
def steps(library):
    return sos.overlays(library)


@pytest.fixture(scope="module")
def told():
    return json.loads((MATERIAL / "demo_library_truth.json").read_text())


def steps_of(steps, namespace):
    return [step for step in steps if step.namespace == namespace]


# ------------------------------------------------------------------ the files


def test_regenerated_files_equal_the_committed_ones(built, told):
    committed = (MATERIAL / "demo_library.csv.gz").read_bytes()
    # The text, not its compression: another zlib may pack the same text into other bytes.
    fresh = gzip.decompress(built["demo_library.csv.gz"])
    assert fresh == gzip.decompress(committed)
    assert built["demo_library_truth.json"] == (MATERIAL / "demo_library_truth.json").read_bytes()
    assert told["rows"] == fresh.count(b"\n") - 1 == 20_000


def test_gzip_header_carries_no_time_and_no_name(built):
    for packed in (built["demo_library.csv.gz"], (MATERIAL / "demo_library.csv.gz").read_bytes()):
        assert packed[:3] == b"\x1f\x8b\x08"
        assert packed[3] == 0, "flags: a file name or comment would change with the machine"
        assert packed[4:8] == b"\0\0\0\0"


def test_files_are_small():
    assert (MATERIAL / "demo_library.csv.gz").stat().st_size < 1_500_000
    assert (MATERIAL / "demo_library_truth.json").stat().st_size < 300_000


def test_library_reads_back_as_designed(library):
    assert library.equals(sos.design_library())
    assert library.schema.equals(sos.LIBRARY_SCHEMA)


def test_another_seed_gives_another_library():
    one, two = sos.design_library(seed=1, rows=500), sos.design_library(seed=2, rows=500)
    assert not set(one["sequence"].to_pylist()) & set(two["sequence"].to_pylist())


# ------------------------------------------------------------------ sequences


def test_sequences_are_unique_but_for_the_planted_pairs(sequences, told):
    assert len(set(sequences)) == len(sequences)
    assert set("".join(sequences)) == set("ACGTacgt")
    folded: dict[str, list[str]] = {}
    for sequence in sequences:
        folded.setdefault(sequence.upper(), []).append(record_id(sequence))
    twins = sorted(sorted(ids) for ids in folded.values() if len(ids) > 1)
    assert twins == sorted(told["planted"]["casefold_pairs"]["ids"])
    assert len(twins) == told["planted"]["casefold_pairs"]["count"] == 10


def test_reverse_complement_pairs(sequences, told):
    by_letters = {sequence.upper(): record_id(sequence) for sequence in sequences}
    pairs = {
        tuple(sorted((by_letters[letters], by_letters[other_strand(letters)])))
        for letters in by_letters
        if other_strand(letters) in by_letters
    }
    assert sorted(map(list, pairs)) == sorted(told["planted"]["rc_pairs"]["ids"])
    assert len(pairs) == told["planted"]["rc_pairs"]["count"] == 10


def test_lengths(sequences, library, told):
    lengths = [len(sequence) for sequence in sequences]
    assert library["length"].to_pylist() == lengths
    assert (min(lengths), max(lengths)) == (told["length"]["min"], told["length"]["max"])
    assert (min(lengths), max(lengths)) == (40, 300)
    assert lengths.count(60) == told["length"]["rows_of_most"] > 0.9 * len(lengths)


def test_bsai_sites_are_the_planted_ones(sequences, told):
    planted = told["planted"]["bsai"]
    found = [s for s in sequences if "GGTCTC" in s.upper() or "GAGACC" in s.upper()]
    assert sorted(map(record_id, found)) == planted["ids"]
    assert search(planted["site"], sequences) == (planted["count"], planted["count"])
    assert planted["count"] == 20


def test_no_other_type_iis_site(sequences, told):
    sites = told["planted"]["other_type_iis"]["sites"]
    assert set(sites) == {"BsmBI", "BbsI", "SapI"}
    for site in sites.values():
        assert search(site, sequences) == (0, 0)


def test_homopolymers_are_the_planted_ones(sequences, told):
    runs = [s for s in sequences if re.search(r"A{8}|C{8}|G{8}|T{8}", s.upper())]
    assert sorted(map(record_id, runs)) == told["planted"]["homopolymer"]["ids"]
    assert len(runs) == told["planted"]["homopolymer"]["count"] == 15


def test_lexa_motif_count_is_exact(sequences, told):
    lexa = told["motifs"]["lexa"]
    for pattern in (lexa["pattern"], *lexa["also_exact"]):
        assert search(pattern, sequences) == (lexa["rows"], lexa["occurrences"])
    for box, rows in lexa["boxes"].items():
        assert search(box, sequences) == (rows, rows)
    core = told["motifs"]["lexa_core"]
    assert search(core["pattern"], sequences) == (core["rows"], core["occurrences"])
    assert lexa["rows"] > core["rows"] > 1000


def test_cpxr_motif_count_is_exact(sequences, told):
    cpxr = told["motifs"]["cpxr"]
    assert sorted(map(len, cpxr["patterns"])) == [14, 15, 16, 17, 18]
    per_row = Counter()
    occurrences = 0
    for pattern in cpxr["patterns"]:
        for at, sequence in enumerate(sequences):
            hits = len(spots(pattern, sequence))
            occurrences += hits
            per_row[at] += hits
    assert sum(n > 0 for n in per_row.values()) == cpxr["rows"] > 1000
    assert occurrences == cpxr["occurrences"]


# ------------------------------------------------------------------ factors


def test_hexamers_stand_where_the_factors_say(rows):
    backward = 0
    for row in rows:
        for element in ("minus35", "minus10"):
            start = row[f"{element}_start"]
            letters = row["sequence"][start : start + 6].upper()
            assert row[element] == (letters if row["strand"] == "fwd" else other_strand(letters))
        if row["strand"] == "fwd":
            assert row["minus10_start"] - row["minus35_start"] - 6 == row["spacer"]
        else:
            backward += 1
            assert row["minus35_start"] - row["minus10_start"] - 6 == row["spacer"]
    assert backward == 10


def test_lexa_boxes_lie_between_the_hexamers(rows):
    seen = 0
    for row in rows:
        assert (row["tf"] in {"lexa", "both"}) == bool(row["lexa_box"])
        if row["lexa_box"]:
            seen += 1
            assert row["minus35_start"] + 6 <= row["lexa_start"]
            assert row["lexa_start"] + 16 <= row["minus10_start"]
    assert seen > 5000


def test_cpxr_boxes_and_up_elements_lie_before_the_minus35(rows):
    for row in rows:
        assert (row["tf"] in {"cpxr", "both"}) == bool(row["cpxr_box"])
        if row["cpxr_box"]:
            assert re.fullmatch(r"GTAAA.{4,8}GTAAA", row["cpxr_box"])
            assert row["cpxr_start"] + len(row["cpxr_box"]) <= row["minus35_start"] - 2
            assert row["up"] == "none"
        if row["up"] != "none":
            before = row["sequence"][: row["minus35_start"] - 2]
            # nnAAAWWTWTTTTnnAAAAnnn and AAAAAARNR of the papers.
            wanted = {"full": "..AAA[AT]{2}T[AT]TTTT..AAAA...", "partial": "A{6}[AG].[AG]"}
            assert re.search(wanted[row["up"]] + "$", before)


def test_extended_minus10_is_tg_at_minus15_and_minus14(rows):
    for row in rows:
        if row["strand"] == "fwd":
            start = row["minus10_start"]
            assert (row["sequence"][start - 3 : start - 1].upper() == "TG") == row["ext10"]


def test_factor_levels(library, rows, told):
    assert len(set(library["minus35"].to_pylist())) == 8
    assert len(set(library["minus10"].to_pylist())) == 8
    assert len({(row["minus35"], row["minus10"]) for row in rows}) == 64
    assert set(library["spacer"].to_pylist()) == {15, 16, 17, 18, 19}
    assert set(library["up"].to_pylist()) == {"none", "partial", "full"}
    assert set(library["tf"].to_pylist()) == {"none", "lexa", "cpxr", "both"}
    assert len(set(library["background"].to_pylist())) == 200
    for name, counts in told["factors"].items():
        assert Counter(library[name].to_pylist()) == counts


def test_names_fit_an_oligo_order(library):
    names = library["name"].to_pylist()
    assert len(set(names)) == len(names)
    assert all(re.match(r"[A-Za-z]", name) for name in names)


def test_backgrounds_differ_by_gc(rows):
    share = {
        level: np.mean(
            [
                sum(letter in "GC" for letter in row["sequence"].upper()) / row["length"]
                for row in rows
                if row["gc_class"] == level
            ]
        )
        for level in ("low", "mid", "high")
    }
    assert share["low"] + 0.05 < share["mid"] < share["high"] - 0.05


# ------------------------------------------------------------------ overlays


def test_overlay_types_are_the_registered_ones(steps):
    assert {step.namespace for step in steps} == set(sos.REGISTRY)
    for step in steps:
        declared = dict(sos.REGISTRY[step.namespace].columns)
        assert step.table.column_names[0] == step.key
        for name in step.table.column_names[1:]:
            assert name.startswith(f"{step.namespace}__")
            assert step.table.schema.field(name).type == TYPES[declared[name]], name


def test_simulated_namespaces_say_so():
    for namespace, spec in sos.REGISTRY.items():
        assert namespace.startswith("sim_") == ("simulated" in spec.description.lower())
        assert spec.spec().startswith(f"{namespace}__")


def test_every_declared_simulated_and_meta_column_is_written(steps):
    written = {name for step in steps for name in step.table.column_names[1:]}
    for namespace, spec in sos.REGISTRY.items():
        if namespace != "densegen":
            assert {name for name, _ in spec.columns} <= written


def test_overlay_keys_are_unique_and_known(steps, sequences):
    known = {"id": {record_id(s) for s in sequences}, "sequence": set(sequences)}
    for step in steps:
        keys = step.table[step.key].to_pylist()
        assert len(set(keys)) == len(keys)
        assert set(keys) <= known[step.key]
    for namespace in sos.REGISTRY:
        assert len({step.key for step in steps_of(steps, namespace)}) == 1


def test_binding_sites_stand_at_their_offsets(steps, sequences, told):
    (step,) = steps_of(steps, "densegen")
    by_id = {record_id(sequence): sequence for sequence in sequences}
    turned, boxes = 0, Counter()
    for row in step.table.to_pylist():
        sequence = by_id[row["id"]]
        detail = row["densegen__used_tfbs_detail"]
        for site in detail:
            start = site["offset"]
            letters = sequence[start : start + len(site["tfbs"])].upper()
            if site["orientation"] == "rev":
                turned += 1
                letters = other_strand(letters)
            assert letters == site["tfbs"]
        assert detail == sorted(detail, key=lambda site: (site["offset"], site["tf"]))
        plan = row["densegen__plan"]
        names = {site["tf"] for site in detail}
        boxes.update(site["tf"] for site in detail)
        assert {f"{plan}_upstream", f"{plan}_downstream"} == names - {"lexa", "cpxr"}
        assert sorted(row["densegen__tfbs_parts"]) == sorted(
            f"{site['tf']}:{site['tfbs']}" for site in detail if site["tf"] in {"lexa", "cpxr"}
        )
    assert turned > 1000
    # With the exact search above: every box that a search finds is in the detail, and no other.
    assert {tf: boxes[tf] for tf in ("lexa", "cpxr")} == {
        tf: told["motifs"][tf]["occurrences"] for tf in ("lexa", "cpxr")
    }


def test_densegen_plans_match_the_hexamers(steps, library):
    (step,) = steps_of(steps, "densegen")
    plan = {}
    for hexamer, name in zip(
        library["minus35"].to_pylist(), step.table["densegen__plan"].to_pylist(), strict=True
    ):
        assert plan.setdefault(hexamer, name) == name
    assert plan["TTGACA"] == "sigma70_high"
    assert plan["ACCGCG"] == "sigma70_mid"
    assert plan["GCAGGT"] == "sigma70_low"
    assert set(plan.values()) == {"sigma70_high", "sigma70_mid", "sigma70_low"}


def test_scores_come_in_twenty_parts_and_a_second_look(steps, sequences, told):
    parts = steps_of(steps, "sim_evo2")
    assert len(parts) == told["evo2"]["parts"] == 21
    first: dict[str, float] = {}
    for part in parts[:20]:
        fresh = dict(zip(*(column.to_pylist() for column in part.table.columns), strict=True))
        assert not first.keys() & fresh.keys()
        first |= fresh
    assert not any(value is None or math.isnan(value) for value in first.values())
    missing = sorted({record_id(s) for s in sequences} - first.keys())
    assert missing == told["evo2"]["missing"]["ids"]
    assert len(missing) == told["evo2"]["missing"]["count"] == 400
    again = parts[told["evo2"]["rescored"]["part"]]
    assert again is steps[-1]
    assert again.run_id == told["evo2"]["rescored"]["run_id"] != parts[0].run_id
    second = dict(zip(*(column.to_pylist() for column in again.table.columns), strict=True))
    assert sorted(second) == told["evo2"]["rescored"]["ids"]
    assert len(second) == told["evo2"]["rescored"]["count"] == 500
    assert all(abs(second[key] - first[key]) >= 0.2 - 1e-12 for key in second)
    values = np.array(list(first.values()))
    assert values.mean() == pytest.approx(-1.4, abs=0.03)
    assert values.std() == pytest.approx(0.1, abs=0.02)


def test_one_batch_is_shifted(steps, library, told):
    shifted = told["shifted_batch"]
    ids = map(record_id, library["sequence"].to_pylist())
    batch = dict(zip(ids, library["batch"].to_pylist(), strict=True))
    assert Counter(batch.values())[shifted["batch"]] == shifted["rows"]
    columns: dict[str, dict[str, list[float]]] = {}
    for step in steps[:-1]:
        for name in set(shifted["shift"]) & set(step.table.column_names):
            groups = columns.setdefault(name, {})
            for key, value in zip(
                step.table["id"].to_pylist(), step.table[name].to_pylist(), strict=True
            ):
                if value is not None:
                    groups.setdefault(batch[key], []).append(value)
    assert columns.keys() == shifted["shift"].keys()
    for name, groups in columns.items():
        means = {key: np.mean(values) for key, values in groups.items()}
        usual = np.median(list(means.values()))
        shift = shifted["shift"][name]
        assert means.pop(shifted["batch"]) - usual == pytest.approx(shift, rel=0.35)
        assert max(abs(mean - usual) for mean in means.values()) < abs(shift) / 2


def test_replicates_are_null_below_five_barcodes(steps, told):
    seen = 0
    for step in steps_of(steps, "sim_assay"):
        *replicates, count = step.table.column_names[1:]
        assert count.endswith("n_barcodes")
        few = step.table[count].to_numpy() < 5
        for name in replicates:
            column = step.table[name].combine_chunks()
            assert (column.is_null().to_numpy(zero_copy_only=False) == few).all()
            assert not column.is_nan().drop_null().to_numpy(zero_copy_only=False).any()
        assert told["assay"][f"{count}_below"] == few.sum() > 100
        seen += 1
    assert seen == 2


def replicate_mean(step) -> np.ndarray:
    names = [name for name in step.table.column_names if "log2_rna_dna" in name]
    return np.mean([step.table[n].to_numpy(zero_copy_only=False) for n in names], axis=0)


def test_hexamers_explain_70_to_78_percent(steps, library, told):
    plain, treated = steps_of(steps, "sim_assay")
    for step, name in ((plain, "log2_rna_dna_mean"), (treated, "mmc_log2_rna_dna_mean")):
        y = replicate_mean(step)
        levels = {
            column: np.array(library[column].to_pylist()) for column in ("minus35", "minus10")
        }
        x = np.column_stack(
            [
                (cells == level).astype(float)
                for cells in levels.values()
                for level in sorted(set(cells))
            ]
        )
        kept = ~np.isnan(y)
        x = x[kept]
        fitted = x @ np.linalg.pinv(x.T @ x) @ x.T @ y[kept]
        r2 = 1 - np.var(y[kept] - fitted) / np.var(y[kept])
        assert 0.70 <= r2 <= 0.78
        assert r2 == pytest.approx(told["hexamer_r2"][f"sim_assay__{name}"], abs=1e-4)


def test_mitomycin_lifts_the_repression(steps, library):
    plain, treated = map(replicate_mean, steps_of(steps, "sim_assay"))
    repressed = np.array([bool(box) for box in library["lexa_box"].to_pylist()])
    gain = treated - plain
    assert np.nanmean(gain[repressed]) > 1.2
    assert abs(np.nanmean(gain[~repressed])) < 0.1


def test_embedding_keeps_like_designs_near(steps, library):
    (step,) = steps_of(steps, "sim_embed")
    vectors = np.stack(step.table["sim_embed__vec"].to_numpy(zero_copy_only=False)[:2000])
    factors = [library[c].to_pylist()[:2000] for c in ("minus35", "minus10", "tf", "gc_class")]
    group = np.array(["|".join(cells) for cells in zip(*factors, strict=True)])
    same, other = [], []
    for at in range(0, 2000, 50):
        far = np.linalg.norm(vectors - vectors[at], axis=1)
        like = group == group[at]
        like[at] = False
        same += list(far[like])
        other += list(far[group != group[at]])
    assert np.mean(same) < 0.6 * np.mean(other)


def test_overlays_depend_on_the_library_and_the_seed_alone(library, steps):
    text = io.StringIO(sos.library_csv(library))
    header, *lines = csv.reader(text)
    texts = pa.table(dict(zip(header, map(pa.array, zip(*lines, strict=True)), strict=True)))
    assert set(texts.schema.types) == {pa.string()}
    for one, two in zip(steps, sos.overlays(texts), strict=True):
        assert one.table.equals(two.table)
    other = sos.overlays(library, seed=8)
    assert not steps[-1].table.equals(other[-1].table)


# ------------------------------------------------------------------ bad input


def test_too_few_rows_is_a_typed_error():
    with pytest.raises(ValidationError, match="499 rows"):
        sos.design_library(rows=499)


def test_reading_what_is_not_a_library(tmp_path):
    with pytest.raises(PathNotFound):
        sos.read_library(tmp_path / "none.csv")
    for text in ("", "name,sequence\nx,ACGT\n", "\x00\xff"):
        (tmp_path / "bad.csv").write_bytes(text.encode("latin-1"))
        with pytest.raises(SchemaError, match=r"bad\.csv"):
            sos.read_library(tmp_path / "bad.csv")
    good = sos.library_csv(sos.design_library(rows=500)).replace(",60,", ",sixty,", 1)
    (tmp_path / "cell.csv").write_text(good)
    with pytest.raises(SchemaError, match="sixty"):
        sos.read_library(tmp_path / "cell.csv")


def test_overlays_of_what_is_not_a_library(library):
    with pytest.raises(SchemaError, match="spacer"):
        sos.overlays(library.drop_columns(["spacer"]))
    texts = pa.array(["seventeen"] * library.num_rows)
    at = library.column_names.index("spacer")
    with pytest.raises(SchemaError, match="spacer"):
        sos.overlays(library.set_column(at, "spacer", texts))
