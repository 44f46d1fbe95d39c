"""The four small files of the quickstart."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest

MATERIAL = Path(__file__).resolve().parents[2] / "demo_material"


def read(name: str) -> list[dict[str, str]]:
    with (MATERIAL / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def sequences() -> list[str]:
    return [row["sequence"] for row in read("demo_sequences.csv")]


def test_small_files_are_what_their_script_writes():
    spec = importlib.util.spec_from_file_location("make_small", MATERIAL / "make_small.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    built = module.build()
    assert len(built) == 4
    for name, text in built.items():
        assert (MATERIAL / name).read_bytes() == text.encode()


def test_sequences_are_short_dna_in_mixed_case(sequences):
    assert len(sequences) >= 24
    assert len({one.upper() for one in sequences}) == len(sequences)
    assert set("".join(sequences)) == set("ACGTacgt")
    assert {len(one) for one in sequences} == {60}
    assert any(one.islower() for one in sequences)
    assert any(one.isupper() for one in sequences)
    assert any(one[0].islower() and one[30].isupper() for one in sequences)


def test_attachment_one_has_a_vector_for_every_sequence(sequences):
    rows = read("demo_attachment_one.csv")
    assert [row["sequence"] for row in rows] == sequences
    for row in rows:
        vector = json.loads(row["X_value"])
        assert len(vector) == 8
        assert all(isinstance(number, float) for number in vector)


def test_attachment_two_repeats_sequences_told_apart_by_tag(sequences):
    rows = read("demo_attachment_two.csv")
    counts = Counter(row["sequence"] for row in rows)
    assert set(counts) <= set(sequences)
    assert min(counts.values()) > 1
    assert len({(row["sequence"], row["tag"]) for row in rows}) == len(rows)


def test_sfxi_labels_cover_some_sequences_and_two_unknown_ones(sequences):
    rows = read("demo_y_sfxi.csv")
    vec8 = ["v00", "v10", "v01", "v11", "y00_star", "y10_star", "y01_star", "y11_star"]
    assert list(rows[0]) == ["sequence", *vec8, "intensity_log2_offset_delta"]
    keys = [row["sequence"] for row in rows]
    assert len(set(keys)) == len(keys)
    assert len(set(keys) & set(sequences)) == 24 < len(sequences)
    known = {one.upper() for one in sequences}
    assert len([key for key in keys if key.upper() not in known]) == 2
    for row in rows:
        assert all(0 <= float(row[name]) <= 1 for name in vec8[:4])
        assert all(isinstance(float(row[name]), float) for name in list(row)[1:])
