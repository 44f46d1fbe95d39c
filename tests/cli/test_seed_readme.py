"""The specification's README as one script of real processes: `seed_readme.sh`."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import MATERIAL, ROOT
from tests.sync.sshd import STANDIN
from usr_nb import Dataset

SCRIPT = Path(__file__).with_name("seed_readme.sh")


@dataclass(frozen=True)
class Played:
    work: Path
    there: Path
    out: str
    err: str

    @property
    def demo(self) -> Path:
        return self.work / "datasets" / "densegen" / "demo"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The script's working folder, the machine beyond ssh, and what was printed."""
    base = tmp_path_factory.mktemp("readme")
    work, there, tools = base / "work", base / "there", base / "bin"
    for folder in (work, there / "usr_datasets", tools):
        folder.mkdir(parents=True)
    shutil.copytree(MATERIAL, work / "demo_material")
    shutil.copy(STANDIN, tools / "ssh")
    (tools / "usr").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m usr_nb.cli.main "$@"\n')
    (tools / "python").symlink_to(sys.executable)
    for tool in ("ssh", "usr"):
        (tools / tool).chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("USR_", "DNADESIGN_"))}
    # -I would hide the checkout, and a link to an interpreter forgets its environment.
    clean |= {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(os.path.isdir, sys.path)]),
              "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "STANDIN_HOME": str(there),
              "REMOTE_USER": "ada", "REMOTE_HOST": "stand-in.test",
              "REMOTE_BASE": str(there)}  # fmt: skip
    done = subprocess.run(
        ["bash", str(SCRIPT)], cwd=work, env=clean, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return Played(work, there, done.stdout, done.stderr)


pytestmark = pytest.mark.needs("rsync")


def test_the_readme_runs_as_written(played: Played):
    assert played.out.splitlines()[-1] == "the README ran to its end"
    for words in ("created densegen/demo", "imported 36 of 36 rows", "froze registry ",
                  "attached 36 of 36 rows to quickstart", "Host bu-scc", "both copies are equal",
                  "36 rows checked: 0 errors"):  # fmt: skip
        assert words in played.out, words
    assert "Traceback" not in played.out + played.err
    expected = SCRIPT.read_text().count("\nmust_fail ")
    assert len(re.findall("^ERROR: ", played.err, re.MULTILINE)) == expected == 3


def test_the_readme_exports_what_it_says(played: Played):
    out = played.work / "demo_material"
    with (out / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 34, "two are deleted"
    assert (played.work / "records.csv").read_bytes() == (out / "out.csv").read_bytes()
    assert (out / "out_small.csv").read_text().splitlines()[0] == '"id","sequence"'
    lines = [json.loads(line) for line in (out / "out.jsonl").read_text().splitlines()]
    assert [r["id"] for r in lines] == [r["id"] for r in rows]
    assert len((out / "out_with_deleted.csv").read_text().splitlines()) == 37
    # Two events in a row; which ones hangs on when the follower was ready.
    followed = (played.work / "followed.jsonl").read_text()
    assert followed.count("\n") == 2
    assert followed in (played.demo / ".events.log").read_text()


def test_the_readme_leaves_what_it_should(played: Played):
    names = {p.name for p in played.demo.iterdir()}
    assert names >= {"records.parquet", "meta.md", ".events.log", "_derived", "_registry"}
    assert not list((played.demo / "_derived" / "quickstart").glob("*.parquet"))
    assert list((played.demo / "_derived" / "_archived" / "quickstart").rglob("*.parquet"))
    assert list((played.demo / "_snapshots").glob("records-????????T????????????.parquet"))
    ds = Dataset.open(played.work / "datasets", "densegen/demo")
    actions = {e["action"] for e in ds.events()}
    assert actions >= {
        "init", "import_rows", "attach", "materialize", "tombstone", "restore", "state_set",
        "state_clear", "snapshot", "compact_overlay", "registry_freeze", "repair_densegen",
    }  # fmt: skip
    sites = ds.head(99)["densegen__used_tf_list"]
    assert sites.notna().all(), "every row that stayed has a repaired list"


def test_LAY_7_the_notes_hold_every_command(played: Played):
    notes = (played.demo / "meta.md").read_text()
    assert notes.startswith("name: densegen/demo\n")
    noted = re.findall(r"^usr ((?:maintenance |state |densegen )?[a-z-]+)", notes, re.MULTILINE)
    assert set(noted) >= {
        "init", "import", "attach", "materialize", "delete", "restore", "state set",
        "state clear", "snapshot", "maintenance overlay-compact", "maintenance registry-freeze",
        "densegen repair",
    }  # fmt: skip


def test_the_readme_moves_datasets_and_files(played: Played):
    there = played.there / "usr_datasets"
    for root, name in (("datasets", "densegen/60bp_dual_promoter_cpxR_LexA"),
                       ("outputs/usr_datasets", "densegen/demo_hpc")):  # fmt: skip
        here = played.work / root / name / "records.parquet"
        assert (there / name / "records.parquet").read_bytes() == here.read_bytes()
        Dataset.open(there, name).validate(strict=True)
    assert "permuter/run42/records.parquet" in SCRIPT.read_text()
