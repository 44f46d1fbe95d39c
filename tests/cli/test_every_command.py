"""Every command of the live tree: a success, typical mistakes, and the files that changed."""

from __future__ import annotations

import os
import re
import shutil
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.conftest import MATERIAL, run, watching
from tests.sync.sshd import STANDIN
from usr_nb import Dataset
from usr_nb.cli import serve
from usr_nb.cli.main import app
from usr_nb.tools import legacy

LOGS = {"densegen/demo/.events.log", "densegen/demo/meta.md"}
PART = r"densegen/demo/_derived/{}/part-\d{{8}}T\d{{12}}Z-[0-9a-f]{{32}}\.parquet"
BASE = "densegen/demo/records.parquet"
D = "densegen/demo"


@dataclass(frozen=True)
class Good:
    """A command line that works: words that it prints, and patterns of the files it changes."""

    argv: Sequence[str]
    says: Sequence[str] = ()
    added: Sequence[str] = ()
    altered: frozenset[str] = frozenset()
    removed: Sequence[str] = ()
    setup: Sequence[Sequence[str]] = field(default=())


@dataclass(frozen=True)
class Bad:
    """A mistake: the exit code, what stderr says, what the hint says. It never changes a file."""

    argv: Sequence[str]
    code: int
    says: str
    hint: str = ""
    setup: Sequence[Sequence[str]] = field(default=())


SAVE = ["filters", "save", D, "--name", "long", "--where", "length > 50"]
ADD = ["remotes", "add", "lab", "--host", "stand-in.test", "--user", "ada"]
#: What a dataset is made of when it arrives somewhere.
WHOLE = [
    r"records\.parquet",
    r"meta\.md",
    r"\.events\.log",
    r"_registry/registry\.[0-9a-f]{64}\.yaml",
]
THERE = "../there/datasets/"
WORK_THERE = ["state", "set", "--root", "there/datasets", D, "--id", "93664019", "--masked"]

ATTACH = ["attach", D, "--path", "more.csv", "--namespace", "evo2"]

GOOD: dict[str, Good] = {
    "ls": Good(["ls"], ["dataset ", "densegen/demo  36", "lab/other      2"]),
    "info": Good(["info", D], ["rows", "36 (36 live, 0 deleted)", "overlay quickstart"]),
    "schema": Good(["schema", D], ["id ", "timestamp[us, UTC]", "list<float64>"]),
    "describe": Good(["describe", D], ["36 distinct", "length 8", "33.3 %"]),
    "head": Good(["head", D, "-n", "2", "--columns", "id,length"], ["id ", "60"]),
    "get": Good(["get", D, "--id", "936640194ed0"], ["CTATCAACTAGG", "vec[8] [0.744, "]),
    "grep": Good(["grep", D, "--pattern", "ttgaca", "--limit", "2"], ["TTGACA", "sequence"]),
    "pick": Good(
        ["pick", D, "--where", "gc > 0.3", "--order-by", "gc desc, id", "--top", "2"],
        ["id\n", "\n"],
    ),
    "why": Good(
        ["why", D, "93664019", "quickstart__X_value"],
        ["decides", "attach", "quickstart__X_value of 93664019 is vec[8] [0.744"],
    ),
    "filters list": Good(["filters", "list", D], ["long  length > 50"], setup=[SAVE]),
    "filters save": Good(SAVE, ["saved long: length > 50"], altered=frozenset(LOGS)),
    "filters delete": Good(
        ["filters", "delete", D, "--name", "long"], ["deleted filter long"],
        altered=frozenset(LOGS), setup=[SAVE],
    ),
    "remotes list": Good(["remotes", "list"], ["lab   stand-in.test  ada"]),
    "remotes show": Good(["remotes", "show", "lab"], ["base_dir", "there/datasets"]),
    "remotes add": Good(
        ["remotes", "add", "two", *ADD[3:], "--base-dir", "/data"],
        ["has ssh remote two. Check it: usr remotes doctor --remote two"],
        altered=frozenset({"../remotes.yaml"}),
    ),
    "remotes wizard": Good(
        ["remotes", "wizard", "--user", "ada", "--base-dir", "/project/ada"],
        ["HostName scc1.bu.edu", "User ada"], altered=frozenset({"../remotes.yaml"}),
    ),
    "remotes doctor": Good(["remotes", "doctor", "--remote", "lab"], ["ok", "ssh", "rsync"]),
    "diff": Good(["diff", D, "lab", "--exit-code"], ["is only here"]),
    "status": Good(["status", D, "lab"], ["both copies are equal"], setup=[["push", D, "lab"]]),
    "push": Good(
        ["push", D, "lab", "--yes"], ["pushed to lab: "],
        added=[*(f"{THERE}{D}/{name}" for name in WHOLE), THERE + PART.format("quickstart"),
               rf"{THERE}registry\.yaml"],
    ),
    "pull": Good(
        ["pull", D, "lab", "-y"], ["pulled from lab: "],
        added=[r"densegen/demo/_derived/usr_state\.parquet",
               r"densegen/demo/_registry/registry\.[0-9a-f]{64}\.yaml"],
        altered=frozenset(LOGS), setup=[["push", D, "lab", "-y"], WORK_THERE],
    ),
    "demo": Good(["demo", "simulated", "--no-serve"], ["The demo is ready: "],
                 added=[r"\.\./simulated/.*"]),
    "open": Good(["open", D, "--host", "127.0.0.1"], ["Explorer: http://127.0.0.1:"]),
    "cols": Good(["cols", D], ["quickstart__X_value", "list<float64>"]),
    "cell": Good(["cell", D, "--row", "0", "--col", "length"], ["60\n"]),
    "validate": Good(["validate", D], ["36 rows checked: 0 errors"]),
    "doctor": Good(["doctor", D], ["densegen/demo: checked ", "0 errors, 0 warnings, 0 notes"]),
    "events tail": Good(["events", "tail", D, "--n", "1"], ['"action":"attach"']),
    "init": Good(
        ["init", "lab/fresh", "--source", "s", "--notes", "hello"],
        ["created lab/fresh"],
        added=[
            r"lab/fresh/records\.parquet", r"lab/fresh/meta\.md", r"lab/fresh/\.events\.log",
            r"lab/fresh/_registry/registry\.[0-9a-f]{64}\.yaml",
        ],
    ),
    "import": Good(
        ["import", D, "--from", "csv", "--path", "new.csv"],
        ["imported 2 of 2 rows"],
        altered=frozenset({BASE, *LOGS}),
    ),
    "attach": Good(
        ATTACH, ["attached 2 of 2 rows to evo2"],
        added=[PART.format("evo2")], altered=frozenset(LOGS),
    ),
    "materialize": Good(
        ["materialize", D, "--yes"],
        ["materialized densegen/demo: 36 rows, 2 derived columns"],
        altered=frozenset({BASE, *LOGS}),
    ),
    "export": Good(
        ["export", D, "--fmt", "csv", "--out", "datasets/out.csv"],
        ["exported 36 of 36 records to datasets/out.csv"], added=[r"out\.csv"],
    ),
    "snapshot": Good(
        ["snapshot", D, "--name", "before"],
        ["_snapshots/records-", "-before.parquet"],
        added=[r"densegen/demo/_snapshots/records-\d{8}T\d{12}-before\.parquet"],
        altered=frozenset(LOGS),
    ),
    "namespace list": Good(["namespace", "list"], ["quickstart", "usr_state", "lab"]),
    "namespace show": Good(["namespace", "show", "evo2"], ["evo2__score  float64"]),
    "namespace register": Good(
        ["namespace", "register", "mock", "--columns", "mock__v:struct<a:int8,b:list<string>>"],
        ["registered mock: mock__v:struct<a:int8,b:list<string>>"],
        altered=frozenset({"registry.yaml"}),
    ),
    "columns list": Good(
        ["columns", "list"], ["column", "unit", "better"],
    ),
    "columns set": Good(
        ["columns", "set", "evo2__llr", "--unit", "nats", "--better", "high", "--number", ".3f"],
        ["evo2__llr: unit nats, better high, format .3f"], added=[r"columns\.yaml"],
    ),
    "root init": Good(["root", "init", "datasets"], ["is a root with 5 namespaces"]),
    "delete": Good(
        ["delete", D, "--id", "9366401,cfd716d8", "--reason", "bad"],
        ["deleted 2 of 2 ids given"],
        added=[r"densegen/demo/_derived/usr\.parquet"], altered=frozenset(LOGS),
    ),
    "restore": Good(["restore", D, "--id", "93664019"], ["restored 0 of 1 id given"]),
    "state set": Good(
        ["state", "set", D, "--id", "93664019", "--masked", "--split", "train",
         "--lineage", "a,b"],
        ["state set for 1 of 1 id"],
        added=[r"densegen/demo/_derived/usr_state\.parquet"], altered=frozenset(LOGS),
    ),
    "state clear": Good(
        ["state", "clear", D, "--id", "93664019"], ["state cleared for 1 of 1 id"],
        added=[r"densegen/demo/_derived/usr_state\.parquet"], altered=frozenset(LOGS),
    ),
    "state get": Good(["state", "get", D, "--id", "93664019"], ["masked", "false", "–"]),
    "maintenance registry-freeze": Good(
        ["maintenance", "registry-freeze", D], ["froze registry "], altered=frozenset(LOGS)
    ),
    "maintenance overlay-compact": Good(
        ["maintenance", "overlay-compact", D, "--namespace", "quickstart"],
        ["compacted 2 files of quickstart into _derived/quickstart/part-"],
        added=[PART.format("quickstart"),
               r"densegen/demo/_derived/_archived/quickstart/\d+T\d+/part-.*\.parquet"],
        altered=frozenset(LOGS), removed=[PART.format("quickstart")],
    ),
    "maintenance overlay-remove": Good(
        ["maintenance", "overlay-remove", D, "--namespace", "quickstart", "--mode", "archive"],
        ["archived 2 files of quickstart"],
        added=[r"densegen/demo/_derived/_archived/quickstart/\d+T\d+/part-.*\.parquet"],
        altered=frozenset(LOGS), removed=[PART.format("quickstart")],
    ),
    "maintenance dedupe": Good(
        ["maintenance", "dedupe", D], ["none of 36 rows repeats a key"]
    ),
    "maintenance merge": Good(
        ["maintenance", "merge", "--dest", D, "--src", "lab/other"], ["added 2 of 2 rows"],
        added=[r"densegen/demo/_snapshots/records-\d{8}T\d{12}-auto\.parquet"],
        altered=frozenset({BASE, *LOGS}),
    ),
    "densegen repair": Good(
        ["densegen", "repair", "dg", "--dry-run"], ["rows ", "touched"]
    ),
    "legacy convert": Good(
        ["legacy", "convert", "lab/old", "old.pt", "--plan", "sigma70_mid"], ["rows", "files"],
        added=[
            r"lab/old/records\.parquet", r"lab/old/meta\.md", r"lab/old/\.events\.log",
            r"lab/old/_registry/registry\.[0-9a-f]{64}\.yaml",
            r"lab/old/_derived/densegen/part-.*\.parquet",
        ],
        altered=frozenset({"registry.yaml"}),
    ),
    "dev make-mock": Good(
        ["dev", "make-mock", "lab/mock", "--n", "3", "--length", "20", "--x-dim", "4"],
        ["made lab/mock: 3 rows"],
        added=[
            r"lab/mock/records\.parquet", r"lab/mock/meta\.md", r"lab/mock/\.events\.log",
            r"lab/mock/_registry/registry\.[0-9a-f]{64}\.yaml",
            r"lab/mock/_derived/demo/part-.*\.parquet",
        ],
    ),
    "dev add-demo-cols": Good(
        ["dev", "add-demo-cols", D, "--x-dim", "4"], ["added demo columns to 36 rows"],
        added=[PART.format("demo")], altered=frozenset(LOGS),
    ),
}  # fmt: skip

BAD: dict[str, list[Bad]] = {
    "ls": [Bad(["ls", "--format", "yaml"], 2, "'yaml' is not one of", "usr ls --help")],
    "info": [Bad(["info", "densegen/dmeo"], 1, "does not exist below", "densegen/demo")],
    "schema": [Bad(["schema", "a/b/c"], 2, "must have one or two parts")],
    "describe": [Bad(["describe", D, "--columns", "lenght"], 2, "'lenght'", "'length'")],
    "head": [Bad(["head", "no.parquet"], 4, "no such file")],
    "get": [
        Bad(["get", D, "--id", "0" * 40], 4, "not in the dataset"),
        Bad(["get", D], 2, "No id was given", "--id-file"),
        Bad(["get", D, "--id", "abc"], 2, "too short"),
    ],
    "grep": [
        Bad(["grep", D], 2, "Missing option '--pattern'"),
        Bad(["grep", D, "--pattern", "("], 2, "not a regular expression", "RE2"),
    ],
    "pick": [
        Bad(["pick", D, "--where", "gc >"], 2, "expected a value"),
        Bad(["pick", D, "--per", "length"], 2, "top="),
        Bad(["pick", D, "--order-by", "lenght desc"], 2, "'lenght'", "'length'"),
        Bad(["pick", D, "--where", "@long"], 4, "No filter is named 'long'", "usr filters list"),
    ],
    "why": [
        Bad(["why", D], 2, "named by an id and a column", "usr why DATASET ID COLUMN"),
        Bad(["why", D, "93664019", "lenght"], 2, "'lenght'", "'length'"),
        Bad(["why", D, "0" * 40, "length"], 4, "not in the dataset"),
    ],
    "filters list": [Bad(["filters", "list", "densegen/dmeo"], 1, "not exist", "densegen/demo")],
    "filters save": [
        Bad([*SAVE[:-1], "lenght > 50"], 2, "'lenght'", "'length'"),
        Bad([*SAVE[:-1], "length > > 50"], 2, "column 10"),
        Bad([*SAVE[:4], " x", *SAVE[5:]], 2, "' x'"),
        Bad(SAVE[:5], 2, "Missing option '--where'"),
    ],
    "filters delete": [
        Bad(["filters", "delete", D, "--name", "lang"], 4, "'lang'", "'long'", setup=[SAVE]),
    ],
    "remotes list": [Bad(["remotes", "list", "lab"], 2, "unexpected extra argument")],
    "remotes show": [Bad(["remotes", "show", "lap"], 2, "'lap'", "'lab'")],
    "remotes add": [
        Bad([*ADD, "--base-dir", "/data"], 3, "'lab'"),
        Bad(["remotes", "add", "x", "--host", "-oProxyCommand=x", "--user", "a", "--base-dir",
             "/d"], 2, "-oProxyCommand"),
        Bad(ADD, 2, "Missing option '--base-dir'"),
    ],
    "remotes wizard": [
        Bad(["remotes", "wizard", "--preset", "bu-sc", "--user", "a", "--base-dir", "/d"], 2,
            "'bu-sc' is not one of"),
    ],
    "remotes doctor": [Bad(["remotes", "doctor", "--remote", "lap"], 2, "'lap'", "'lab'")],
    "diff": [
        Bad(["diff", D], 2, "Missing argument 'REMOTE'"),
        Bad(["diff", D, "lap"], 2, "'lap'", "'lab'"),
        Bad(["diff", "absent.parquet", "lab"], 2, "there is no local root", "--repo-root"),
    ],
    "status": [Bad(["status", D, "lab", "--verify", "md5"], 2, "'md5' is not one of")],
    "push": [
        Bad(["push", "densegen/dmeo", "lab", "-y"], 1, "densegen/dmeo"),
        Bad(["push", D, "lab", "-y", "--prefer", "mine"], 2, "'mine' is not one of"),
    ],
    "pull": [Bad(["pull", "densegen/dmeo", "lab", "-y"], 1, "densegen/dmeo")],
    "demo": [
        Bad(["demo", "--port", "many"], 2, "--port"),
        Bad(["demo", "new.csv", "--no-serve"], 2, "new.csv"),
    ],
    "open": [
        Bad(["open", "densegen/dmeo"], 1, "does not exist below", "densegen/demo"),
        Bad(["open", D, "--port", "70000"], 2, "--port"),
        Bad(["open", D, "--base-url", "a b"], 2, "--base-url"),
    ],
    "cols": [
        Bad(["cols", "./nothing"], 4, "no such file")],
    "cell": [
        Bad(["cell", D, "--row", "36", "--col", "id"], 4, "there is no row 36", ""),
        Bad(["cell", D, "--col", "idd"], 2, "'idd'", "'id'"),
    ],
    "validate": [Bad(["validate", D, "--registry-mode", "old"], 2, "'old' is not one of")],
    "doctor": [
        Bad(["doctor", "densegen/dmeo"], 1, "does not exist below", "densegen/demo"),
        Bad(["doctor", D, "--fix"], 2, "No such option", "doctor --help"),
    ],
    "events tail": [Bad(["events", "tail", "nowhere"], 1, "does not exist")],
    "init": [
        Bad(["init", D], 3, "exists already"),
        Bad(["init", "../evil"], 2, "not allowed"),
        Bad(["init", "densegen"], 2, "is a namespace"),
    ],
    "import": [
        Bad(["import", D, "--path", "bad.csv"], 2, "Row 2: letter 'X' at position 3"),
        Bad(["import", D, "--path", "absent.csv"], 4, "no such file"),
        Bad(["import", D, "--from", "vcf", "--path", "new.csv"], 2, "'vcf'"),
        Bad(["import", D, "--path", str(MATERIAL / "demo_sequences.csv")], 2,
            "in the dataset already", "--on-conflict ignore"),
    ],
    "attach": [
        Bad([*ATTACH[:-1], "evo"], 2, "'evo' is not registered", "'evo2'"),
        Bad(["attach", D, "--path", str(MATERIAL / "demo_attachment_two.csv"), "--namespace",
             "quickstart", "--key", "sequence", "--columns", "X_value"], 2, "more than one row"),
        Bad(ATTACH, 2, "already", "--allow-overwrite", setup=[ATTACH]),
    ],
    "materialize": [
        Bad(["materialize", D, "--drop-overlays"], 2, "nobody can be asked", "--yes"),
        Bad(["materialize", D, "--drop-deleted"], 2, "nobody can be asked", "--yes"),
        Bad(["materialize", D, "--yes", "--drop-overlays", "--archive-overlays"], 2,
            "exclude each other"),
        Bad(["materialize", D, "--yes", "--namespaces", "evo2"], 2, "no overlay of namespace"),
    ],
    "export": [
        Bad(["export", D, "--fmt", "xml", "--out", "x"], 2, "'xml' is not one of"),
        Bad(["export", D, "--fmt", "csv", "--out", "no/such/x.csv"], 4, "Cannot write"),
    ],
    "snapshot": [Bad(["snapshot", D, "--name", "a/b"], 2, "a/b")],
    "namespace list": [Bad(["--root", "empty", "namespace", "list"], 2, "No registry",
                           "usr root init")],
    "namespace show": [Bad(["namespace", "show", "Evo2"], 2, "not registered", "'evo2'")],
    "namespace register": [
        Bad(["namespace", "register", "evo2", "--columns", "x:int8"], 3, "is registered"),
        Bad(["namespace", "register", "a__b", "--columns", "x:int8"], 2, "a__b"),
        Bad(["namespace", "register", "usr", "--columns", "x:int8"], 2, "reserved"),
        Bad(["namespace", "register", "m", "--columns", "x:floaty"], 2, "floaty"),
    ],
    "columns list": [Bad(["columns", "list", "--format", "yaml"], 2, "'yaml' is not one of")],
    "columns set": [
        Bad(["columns", "set", "lenght", "--unit", "nt"], 2, "'lenght' is no column", "'length'"),
        Bad(["columns", "set", "length", "--number", "{}"], 2, "no number format", ".3f"),
    ],
    "root init": [Bad(["root", "init", "new.csv"], 2, "new.csv")],
    "delete": [
        Bad(["delete", D, "--id", "0" * 40], 4, "1 of 1 ids are not in the dataset"),
        Bad(["delete", D, "--id-file", "absent.txt"], 4, "absent.txt cannot be read"),
    ],
    "restore": [Bad(["restore", D, "--id", "0" * 40], 4, "not in the dataset")],
    "state set": [
        Bad(["state", "set", D, "--id", "93664019"], 2, "", ""),
        Bad(["state", "set", D, "--id", "93664019", "--split", "tain"], 2, "'tain' is not one of"),
    ],
    "state clear": [Bad(["state", "clear", D, "--id", "0" * 40], 4, "not in the dataset")],
    "state get": [Bad(["state", "get", D, "--id", "0" * 40], 4, "not in the dataset")],
    "maintenance registry-freeze": [Bad(["maintenance", "registry-freeze", "x"], 1, "not exist")],
    "maintenance overlay-compact": [
        Bad(["maintenance", "overlay-compact", D, "--namespace", "evo2"], 2, "no overlay"),
    ],
    "maintenance overlay-remove": [
        Bad(["maintenance", "overlay-remove", D, "--namespace", "quickstat"], 2,
            "no overlay", "'quickstart'"),
    ],
    "maintenance dedupe": [
        Bad(["maintenance", "dedupe", D, "--key", "name"], 2, "'name' is not one of"),
    ],
    "maintenance merge": [
        Bad(["maintenance", "merge", "--dest", D, "--src", "lab/othr"], 1, "'lab/othr'",
            "lab/other"),
        Bad(["maintenance", "merge", "--dest", D, "--src", D], 2, ""),
    ],
    "densegen repair": [
        Bad(["densegen", "repair", D], 2, "densegen__"),
        Bad(["densegen", "repair", D, "--dedupe", "first"], 2, "'first' is not one of"),
    ],
    "legacy convert": [
        Bad(["legacy", "convert", "lab/old", "absent.pt"], 4, "absent.pt"),
        Bad(["legacy", "convert", "lab/old"], 2, "Missing argument"),
    ],
    "dev make-mock": [
        Bad(["dev", "make-mock", "lab/mock", "--namespace", "nope"], 2, "'nope' is not registered"),
        Bad(["dev", "make-mock", D, "--n", "3"], 3, "exists"),
    ],
    "dev add-demo-cols": [
        Bad(["dev", "add-demo-cols", D, "--namespace", "nope"], 2, "'nope' is not registered"),
    ],
}  # fmt: skip

#: Where success has another code than 0.
CODES = {"diff": 10}


def leaves(command: Any = None, prefix: str = "") -> list[str]:
    """Return the names of all commands of the live tree."""
    group = command or typer.main.get_command(app)
    ctx = typer.Context(group)
    found = []
    for name in group.list_commands(ctx):
        child = group.get_command(ctx, name)
        below = hasattr(child, "list_commands")
        found += leaves(child, f"{prefix}{name} ") if below else [prefix + name]
    return found


def test_every_command_of_the_tree_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USR_SHOW_DEV_COMMANDS", "1")
    live = set(leaves())
    assert live == set(GOOD)
    assert set(BAD) == set(GOOD)


@pytest.fixture
def inputs(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (root.parent / "new.csv").write_text("sequence,name\nACGTTTTT,n1\nGGGGACGT,n2\n")
    (root.parent / "bad.csv").write_text("sequence\nACGT\nACXT\n")
    (root.parent / "more.csv").write_text(
        "id,score\n936640194ed026669f936a0cd539de79a69ef669,1.5\n"
        "cfd716d8649379d255f5fde58bfbfdc735e42bec,2.5\n"
    )
    (root.parent / "empty").mkdir()
    # A remote that is reached through a stand-in for ssh, and lies in the next folder.
    home, tools = root.parent / "there", root.parent.parent / "bin"
    (home / "datasets").mkdir(parents=True)
    tools.mkdir()
    shutil.copy(STANDIN, tools / "ssh")
    (tools / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN_HOME", str(home))
    monkeypatch.setenv("USR_REMOTES_PATH", str(root.parent / "remotes.yaml"))
    assert run(*ADD, "--base-dir", home / "datasets").code == 0
    # The explorer is served, asked for its page, and stopped as Ctrl-C stops it.
    said = serve._say

    def say_and_stop(url: str, host: str, port: int) -> None:
        said(url, host, port)
        with urllib.request.urlopen(url, timeout=60) as page:
            assert page.status == 200
        raise KeyboardInterrupt

    monkeypatch.setattr(serve, "_say", say_and_stop)
    # torch is an optional extra; what its loader gives is a list of dicts.
    (root.parent / "old.pt").write_bytes(b"")
    entries = [{"sequence": "ACGTT" * 12, "meta_tfbs_parts": ["lexa:CTGTATAT"]}]
    monkeypatch.setattr(legacy, "load_pt", lambda path: entries)
    designs = Dataset.open(root, "lab/dg")
    designs.init()
    added = designs.add_sequences(["CCTTGACACC"], bio_type="dna", alphabet="dna_4")
    row = {"id": added.ids[0], "plan": "sigma70_high", "tfbs_parts": ["LexA:GTGTCAA", "x:A"]}
    designs.write_overlay_part("densegen", [row])
    return root


def matches(found: set[str], patterns: Sequence[str]) -> bool:
    """Say whether each file fits a pattern and each pattern has a file."""
    return all(any(re.fullmatch(p, f) for p in patterns) for f in found) and all(
        any(re.fullmatch(p, f) for f in found) for p in patterns
    )


@pytest.mark.parametrize("name", sorted(GOOD))
def test_success(name: str, inputs: Path) -> None:
    good = GOOD[name]
    for argv in good.setup:
        assert run(*argv).code == 0
    with watching(inputs.parent) as seen:
        result = run(*good.argv)
    assert result.code == CODES.get(name, 0), result.err
    change = seen.from_inside("datasets")
    for words in good.says:
        assert words in result.out
    assert "ERROR" not in result.err
    assert matches(change.added, good.added), change.added
    assert matches(change.removed, good.removed), change.removed
    assert change.altered == good.altered
    if "densegen/demo/meta.md" in change.altered:
        # LAY-7: the command that does the same stands last in the notes.
        notes = (inputs / "densegen" / "demo" / "meta.md").read_text("utf-8")
        assert notes.rstrip().endswith("```")
        last = notes.rstrip().removesuffix("```").rpartition("```bash\n")[2]
        assert last.startswith(f"usr {name} ")
    if change.altered & LOGS:
        assert f"root: {inputs}\ndataset: densegen/demo" in result.err


@pytest.mark.parametrize(("name", "at"), [(n, i) for n in sorted(BAD) for i in range(len(BAD[n]))])
def test_mistake(name: str, at: int, inputs: Path) -> None:
    bad = BAD[name][at]
    for argv in bad.setup:
        assert run(*argv).code == 0
    with watching(inputs.parent) as change:
        result = run(*bad.argv)
    assert result.code == bad.code, result.err
    assert result.out == ""
    lines = result.err.splitlines()
    errors = [i for i, line in enumerate(lines) if line.startswith("ERROR: ")]
    assert len(errors) == 1
    assert bad.says in lines[errors[0]]
    if bad.hint:
        hints = [line for line in lines[errors[0] :] if line.startswith("Hint: ")]
        assert len(hints) == 1
        assert bad.hint in hints[0]
    assert "Traceback" not in result.err
    assert not change, change
