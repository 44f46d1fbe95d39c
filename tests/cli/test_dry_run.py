"""``--dry-run``: the plan of each change is printed, and no byte changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import run
from tests.dataset.kit import tree
from usr_nb import Dataset

ATTACH = ["attach", "demo", "--namespace", "evo2", "--key", "sequence", "--path"]
COMMANDS = {
    "delete": (["delete", "demo", "--id", "9366401,cfd716d8", "--reason", "bad"], "tombstone"),
    "state set": (["state", "set", "demo", "--id", "93664019", "--split", "train"], "state_set"),
    "state clear": (["state", "clear", "demo", "--id", "93664019"], "state_clear"),
    "materialize": (["materialize", "demo"], "materialize"),
    "compact": (["maintenance", "overlay-compact", "demo", "--namespace", "quickstart"],
                "compact_overlay"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_CLI_a_dry_run_prints_the_plan_that_is_then_done(root: Path, demo: Dataset, name: str):
    argv, action = COMMANDS[name]
    before = tree(root)
    plan = run(*argv, "--dry-run", "--format", "json").data
    text = run(*argv, "--dry-run")
    assert text.code == 0
    assert text.out.splitlines()[0] == plan["question"]
    assert tree(root) == before
    assert (plan["action"], plan["writes"]) == (action, True)
    assert run(*argv, *(["--yes"] if name == "materialize" else [])).code == 0
    event = next(e for e in reversed(demo.events()) if e["action"] == action)
    assert event["metrics"] == plan["counts"]


def test_CLI_a_dry_run_of_restore_says_that_nothing_is_hidden(root: Path):
    out = run("restore", "demo", "--id", "93664019", "--dry-run").out
    assert "nothing to write" in out


def test_CLI_a_dry_run_of_attach_ends_with_the_error_of_the_command(
    root: Path, demo: Dataset, tmp_path: Path
):
    first = demo.head(2)["sequence"].tolist()
    path = tmp_path / "in.csv"
    path.write_text(f"sequence,score\n{first[0]},1.5\n{first[1]},x\nACGT,2\n")
    before = tree(root)
    dry = run(*ATTACH, str(path), "--dry-run")
    assert "row 2: evo2__score is 'x': not a float64" in dry.out
    assert "unmatched: 1 not in the dataset" in dry.out
    real = run(*ATTACH, str(path))
    assert (dry.code, real.code) == (2, 2)
    assert [t for t in dry.err.splitlines() if t.startswith("ERROR")] == [
        t for t in real.err.splitlines() if t.startswith("ERROR")
    ]
    assert tree(root) == before
    path.write_text(f"sequence,score\n{first[0]},1.5\n{first[1]},2\n")
    plan = run(*ATTACH, str(path), "--dry-run", "--format", "json").data
    assert (plan["button"], plan["matched"]) == ("Attach 2 rows", 2)
    assert tree(root) == before
