"""Real ``.pt`` files: loaded as plain data, and never run (MNT-4)."""

from __future__ import annotations

import os
import pickle
import sys
import warnings

import pytest

from usr_nb import Dataset
from usr_nb.errors import ValidationError
from usr_nb.tools.legacy import convert, load_pt

ENTRY = {"sequence": "ACGTACGTAC", "meta_tfbs_parts": ["lexA:CTGT"], "meta_gap_fill": False}


class Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture(scope="module")
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while it is imported
        return pytest.importorskip("torch", reason="the extra usr-nb[legacy] is not installed")


def test_MNT_4_without_torch_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "a.pt"
    path.write_bytes(b"")
    with pytest.raises(ValidationError, match=r"usr-nb\[legacy\]"):
        load_pt(path)


def test_MNT_4_only_plain_data_is_ever_asked_for(tmp_path, monkeypatch):
    """Without torch too: whatever stands in its place is told ``weights_only=True``."""
    asked = []

    class Stand:
        @staticmethod
        def load(path, **options):
            asked.append(options)
            return [ENTRY]

    monkeypatch.setitem(sys.modules, "torch", Stand)
    path = tmp_path / "a.pt"
    path.write_bytes(b"")
    convert(tmp_path / "root", "densegen/old", [path], expected_length=10)
    assert asked == [{"map_location": "cpu", "weights_only": True}]


@pytest.mark.parametrize("fault", [ValueError("x\ny"), KeyError(), MemoryError(), OSError(5, "io")])
def test_MNT_4_whatever_a_damaged_file_does_is_a_typed_error(tmp_path, monkeypatch, fault):
    class Stand:
        @staticmethod
        def load(path, **options):
            raise fault

    monkeypatch.setitem(sys.modules, "torch", Stand)
    with pytest.raises(ValidationError, match=r"a\.pt cannot be loaded as plain data"):
        load_pt(tmp_path / "a.pt")


def test_MNT_4_a_real_file_is_converted(torch, tmp_path):
    logits = torch.arange(512, dtype=torch.float32)
    entries = [
        ENTRY | {"evo2_logits_mean_pooled": logits.to(torch.bfloat16).reshape(1, 512)},
        ENTRY
        | {
            "sequence": "GGGGGCCCCC",
            "evo2_logits_mean_pooled": logits,
            "meta_compression_ratio": torch.tensor(1.25),
            "diverse_solution": torch.tensor(True),
            "sequence_length": torch.tensor(10),
        },
    ]
    path = tmp_path / "run.pt"
    torch.save(entries, path)
    report = convert(tmp_path / "root", "densegen/old", [path], expected_length=10)
    assert report.rows == 2
    ds = Dataset.open(tmp_path / "root", "densegen/old")
    table = ds.head().to_dict("list")
    name = "infer__evo2_7b__60bp_dual_promoter_cpxR_LexA__logits_mean"
    assert list(table[name][0]) == logits.to(torch.bfloat16).tolist()
    assert list(table[name][1]) == [float(i) for i in range(512)]
    assert table["densegen__compression_ratio"][1] == 1.25
    assert table["densegen__sequence_length"][1] == 10
    assert ds.validate(strict=True)


@pytest.mark.parametrize("legacy_format", [False, True])
def test_MNT_4_a_hostile_file_is_refused_and_not_run(torch, tmp_path, legacy_format):
    flag = tmp_path / "ran"
    hostile = [ENTRY, {"sequence": Hostile(f"touch '{flag}'")}]
    path = tmp_path / "bad.pt"
    torch.save(hostile, path, _use_new_zipfile_serialization=not legacy_format)
    with pytest.raises(ValidationError, match="plain data"):
        convert(tmp_path / "root", "densegen/old", [path], expected_length=10)
    assert not flag.exists()
    assert not (tmp_path / "root").exists()


def test_MNT_4_a_bare_pickle_is_refused_and_not_run(torch, tmp_path):
    flag = tmp_path / "ran"
    path = tmp_path / "bad.pt"
    path.write_bytes(pickle.dumps(Hostile(f"touch '{flag}'")))
    with pytest.raises(ValidationError, match="plain data"):
        load_pt(path)
    assert not flag.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02", b"not a file", bytes(100)])
def test_MNT_4_a_damaged_file_is_a_typed_error(torch, tmp_path, content):
    path = tmp_path / "bad.pt"
    path.write_bytes(content)
    with pytest.raises(ValidationError, match=r"bad\.pt"):
        load_pt(path)


def test_MNT_4_tensors_without_values_are_a_typed_error(torch, tmp_path):
    path = tmp_path / "meta.pt"
    torch.save([ENTRY | {"meta_compression_ratio": torch.empty((), device="meta")}], path)
    with pytest.raises(ValidationError, match="meta"):
        convert(tmp_path / "root", "densegen/old", [path], expected_length=10)
