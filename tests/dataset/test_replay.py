"""The quickstart through the command line equals the quickstart through Python.

Tables, schemas, files, metadata, notes and events, once times, ids of parts and operations, pids
and sizes are made equal.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dataset.kit import footer, same, tree
from usr_nb import Dataset, register_namespace
from usr_nb.cli.main import main

NAME = "densegen/demo"
COLUMNS = "quickstart__X_value:list<float64>,quickstart__intensity_log2_offset_delta:float64"
FILES = ["demo_sequences.csv", "demo_attachment_one.csv", "demo_y_sfxi.csv"]


@pytest.fixture
def work(tmp_path, repo, monkeypatch) -> Path:
    """One working folder at a time, so that both runs see the same paths."""
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        shutil.copy(repo / "demo_material" / name, tmp_path)
    return tmp_path


def usr(*argv: str) -> None:
    assert main([*argv, "--root", "datasets"]) in (0, None), argv


def by_command_line() -> None:
    sequences, one, sfxi = FILES
    attach = ["attach", NAME, "--namespace", "quickstart", "--key", "sequence",
              "--key-col", "sequence"]  # fmt: skip
    usr("namespace", "register", "quickstart", "--columns", COLUMNS)
    usr("init", NAME, "--source", "readme quickstart", "--notes", "hello, world")
    usr("import", NAME, "--from", "csv", "--path", sequences, "--bio-type", "dna",
        "--alphabet", "dna_4")  # fmt: skip
    usr(*attach, "--path", one, "--columns", "X_value")
    usr(*attach, "--path", sfxi, "--columns", "intensity_log2_offset_delta", "--allow-missing")
    usr("materialize", NAME)
    usr("materialize", NAME, "--yes", "--snapshot-before")
    first, second = head_ids()
    usr("delete", NAME, "--id", first, "--reason", "bad input")
    usr("restore", NAME, "--id", first)
    usr("state", "set", NAME, "--id", first, "--masked")
    usr("state", "set", NAME, "--id", first, "--qc-status", "pass", "--split", "train")
    usr("state", "clear", NAME, "--id", first)
    usr("state", "set", NAME, "--id", second, "--split", "val")
    usr("delete", NAME, "--id", second)
    usr("snapshot", NAME)
    usr("materialize", NAME, "--yes", "--archive-overlays")
    usr("maintenance", "registry-freeze", NAME)


def by_python() -> None:
    sequences, one, sfxi = FILES
    register_namespace("datasets", namespace="quickstart", columns=COLUMNS)
    ds = Dataset.open("datasets", NAME)
    ds.init(source="readme quickstart", notes="hello, world")
    ds.import_csv(sequences, default_bio_type="dna", default_alphabet="dna_4")
    how: dict[str, Any] = {"key": "sequence", "key_col": "sequence"}
    ds.attach(one, "quickstart", columns=["X_value"], **how)
    ds.attach(
        sfxi, "quickstart", columns=["intensity_log2_offset_delta"], allow_missing=True, **how
    )
    with ds.maintenance(reason="usr materialize"):
        ds.materialize()
        ds.materialize(snapshot_before=True)
    first, second = head_ids()
    ds.tombstone(first, reason="bad input")
    ds.restore(first)
    ds.set_state(first, masked=True)
    ds.set_state(first, qc_status="pass", split="train")
    ds.clear_state(first)
    ds.set_state(second, split="val")
    ds.tombstone(second)
    ds.snapshot()
    with ds.maintenance(reason="usr materialize"):
        ds.materialize(archive_overlays=True)
    with ds.maintenance(reason="usr maintenance registry-freeze"):
        ds.freeze_registry()


def head_ids() -> list[str]:
    return list(Dataset.open("datasets", NAME).head(2)["id"])


def normal(value: Any) -> Any:
    """Times, part and operation ids, pids, sizes and digests as words."""
    text = json.dumps(value)
    text = re.sub(r"\d{8}T\d{12}Z-[0-9a-f]{32}", "PART", text)
    text = re.sub(r"\d{8}T\d{12}Z-[0-9a-f]{12}", "OPERATION", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "TIME", text)
    text = re.sub(r"\d{8}T\d{12}", "STAMP", text)
    text = re.sub(r"### Updates \(\d{4}-\d\d-\d\d\)", "### Updates", text)
    text = re.sub(r'"(size_bytes|pid)": \d+', r'"\1": 0', text)
    text = re.sub(r'"sha256": "[0-9a-f]{64}"', '"sha256": ""', text)
    return json.loads(text)


def story(run: Callable[[], None], work: Path) -> dict[str, Any]:
    """Everything that a run left behind; the folder is then cleared for the other."""
    run()
    root = work / "datasets"
    ds = Dataset.open(root, NAME)
    found: dict[str, Any] = {"registry": (root / "registry.yaml").read_text()}
    for deleted in (False, True):
        table = pa.Table.from_batches(list(ds.scan(include_deleted=deleted)))
        found[f"schema {deleted}"] = str(table.schema)
        kept = [n for n in table.schema.names if n not in ("created_at", "usr__deleted_at")]
        found[f"table {deleted}"] = {n: [same(v) for v in table[n].to_pylist()] for n in kept}
    files = [f for f in tree(ds.dir) if not f.startswith("_txn/")]
    found["files"] = sorted(normal(files))
    found["footers"] = sorted(
        json.dumps(
            [normal(f), str(pq.read_schema(ds.dir / f).remove_metadata()), *_plain(ds.dir / f)]
        )
        for f in files
        if f.endswith(".parquet")
    )
    lines = ds.events_path.read_text().splitlines()
    found["events"] = [normal(json.loads(line)) for line in lines]
    found["notes"] = normal(ds.meta_path.read_text())
    assert ds.validate(strict=True).errors == []
    shutil.rmtree(root)
    return found


def _plain(path: Path) -> list[Any]:
    return [
        [k.decode(), normal(json.loads(v) if k == b"usr:event" else v.decode())]
        for k, v in sorted(footer(path).items())
    ]


def test_CLI_6_quickstart_by_command_line_equals_python(work, capsys) -> None:
    shell = story(by_command_line, work)
    library = story(by_python, work)
    capsys.readouterr()
    actions = [e["action"] for e in library["events"]]
    assert actions == [
        "init", "registry_freeze", "import_rows", "attach", "attach", "materialize", "materialize",
        "tombstone", "restore", "state_set", "state_set", "state_clear", "state_set", "tombstone",
        "snapshot", "materialize", "registry_freeze",
    ]  # fmt: skip
    assert set(shell) == set(library)
    for what, left in library.items():
        assert shell[what] == left, what
