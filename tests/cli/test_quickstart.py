"""The seed's README blocks as one script, paths adapted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import MATERIAL, run

#: From "CLI quickstart" to "Merge datasets". `!` begins a line that must fail, `cd` moves.
SCRIPT = """
usr namespace register quickstart \\
  --columns "quickstart__X_value:list<float64>,quickstart__intensity_log2_offset_delta:float64"
usr init densegen/demo --source "readme quickstart" --notes "hello, world"
usr import densegen/demo --from csv \\
  --path $MATERIAL/demo_sequences.csv \\
  --bio-type dna --alphabet dna_4
usr attach densegen/demo \\
  --path $MATERIAL/demo_attachment_one.csv \\
  --namespace quickstart --key sequence --key-col sequence --columns X_value
usr attach densegen/demo \\
  --path $MATERIAL/demo_y_sfxi.csv \\
  --namespace quickstart --key sequence --key-col sequence \\
  --columns intensity_log2_offset_delta --allow-missing
! usr attach densegen/demo --path $MATERIAL/demo_attachment_two.csv \\
  --namespace quickstart --key sequence --key-col sequence --columns X_value --allow-overwrite
usr materialize densegen/demo
usr materialize densegen/demo --yes --snapshot-before

usr ls
usr ls --format json
usr info densegen/demo
usr info densegen/demo --format json
usr head densegen/demo -n 5
usr head densegen/demo -n 5 --columns id,sequence
usr head densegen/demo -n 5 --include-deleted
usr grep densegen/demo --pattern ATG --limit 10
usr schema densegen/demo
usr schema densegen/demo --tree
usr schema densegen/demo --format json
usr events tail "$PWD/datasets/densegen/demo" --format json --n 5
usr validate densegen/demo
usr validate densegen/demo --strict
usr validate densegen/demo --registry-mode frozen
usr validate densegen/demo --registry-mode either
usr validate "$PWD/datasets/densegen/demo" --strict

usr maintenance registry-freeze densegen/demo
usr maintenance overlay-compact densegen/demo --namespace quickstart

usr delete densegen/demo --id $ID
usr restore densegen/demo --id $ID
usr delete densegen/demo --id-file ids.txt --reason "bad input"
usr restore densegen/demo --id $SHORT
usr state set densegen/demo --id $ID --masked
usr state set densegen/demo --id $ID --qc-status pass --split train
usr state get densegen/demo --id $ID
usr state clear densegen/demo --id $ID

usr describe densegen/demo --sample 2048
usr get densegen/demo --id $ID --columns id,sequence,quickstart__X_value
usr export densegen/demo --fmt csv   --out out.csv
usr export densegen/demo --fmt csv   --columns id,sequence --out out_small.csv
usr export densegen/demo --fmt jsonl --out out.jsonl
usr export densegen/demo --fmt csv --out out_with_deleted.csv --include-deleted
cd datasets/densegen/demo
usr export --fmt csv --out ../../../records.csv
cd ../../..
usr snapshot densegen/demo

cd datasets/densegen/demo
usr head .
usr cols
usr cell --row 0 --col sequence
cd ../../..
usr head datasets/densegen/demo/records.parquet
usr cols ./datasets/densegen/demo --glob 'rec*.parquet'

usr materialize densegen/demo --archive-overlays
usr attach densegen/demo --path $MATERIAL/demo_attachment_one.csv --allow-overwrite \\
  --namespace quickstart --key sequence --key-col sequence --columns X_value
usr materialize densegen/demo --drop-overlays --yes

usr maintenance dedupe densegen/demo --dry-run
usr maintenance dedupe densegen/demo --key sequence_ci --keep keep-first
usr maintenance dedupe densegen/demo --key sequence --keep keep-last
usr init densegen/other
usr import densegen/other --path $MATERIAL/demo_sequences.csv
usr maintenance merge --dest densegen/demo --src densegen/other --union-columns --if-duplicate skip

usr namespace register mock \\
  --columns "mock__score:float64,mock__vec:list<float64>" \\
  --owner "your-name" --description "example derived metrics"
usr namespace list
usr namespace show mock
usr validate densegen/demo --registry-mode namespace-current --strict
"""


def play(work: Path) -> str:
    """Run the script in a folder and return what it printed; stops at the first surprise."""
    printed = ""
    first = "936640194ed026669f936a0cd539de79a69ef669"
    (work / "ids.txt").write_text(f"{first}\n")
    names = {"MATERIAL": str(MATERIAL), "PWD": str(work), "ID": first, "SHORT": first[:8]}
    for line in SCRIPT.replace("\\\n", " ").splitlines():
        words = shlex.split(re.sub(r"\$(\w+)", lambda m: names[m[1]], line))
        if not words:
            continue
        if words[0] == "cd":
            os.chdir(words[1])
            continue
        fails = words[0] == "!"
        result = run(*words[1 + fails :])
        assert (result.code != 0) == fails, f"{line}\n{result.err}"
        printed += result.out
    return printed


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The script's working folder and what it printed."""
    work = tmp_path_factory.mktemp("quickstart")
    with contextlib.chdir(work):
        return work, play(work)


def test_the_quickstart_runs_as_written(done: tuple[Path, str]):
    work, out = done
    assert "created densegen/demo" in out
    assert "imported 36 of 36 rows" in out
    assert "froze registry " in out
    assert len((work / "out.csv").read_text().splitlines()) == 37
    assert (work / "records.csv").read_bytes() == (work / "out.csv").read_bytes()
    assert (work / "out_small.csv").read_text().splitlines()[0] == '"id","sequence"'


def test_the_quickstart_leaves_what_it_should(done: tuple[Path, str]):
    folder = done[0] / "datasets" / "densegen" / "demo"
    names = {p.name for p in folder.iterdir()}
    assert names >= {"records.parquet", "meta.md", ".events.log", "_derived", "_registry"}
    assert not list((folder / "_derived" / "quickstart").glob("*.parquet"))
    assert list((folder / "_derived" / "_archived" / "quickstart").rglob("*.parquet"))
    actions = [
        json.loads(line)["action"] for line in (folder / ".events.log").read_text().splitlines()
    ]
    for action in ("init", "import_rows", "attach", "materialize", "tombstone", "restore",
                   "state_set", "state_clear", "snapshot", "compact_overlay", "registry_freeze",
                   "implicit_file_pick"):  # fmt: skip
        assert action in actions


def test_LAY_7_the_notes_hold_every_command(done: tuple[Path, str]):
    notes = (done[0] / "datasets" / "densegen" / "demo" / "meta.md").read_text()
    assert notes.startswith("name: densegen/demo\n")
    commands = re.findall(r"^usr (\w+(?: [a-z-]+)?)", notes, re.MULTILINE)
    assert len(commands) >= 15
