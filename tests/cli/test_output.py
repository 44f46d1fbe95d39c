"""What is printed, and where: GET-1, CLI-2, CLI-3, DEL-2, STA-3."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from tests.cli.conftest import run
from usr_nb import Dataset, register_namespace
from usr_nb.cli import pretty, render
from usr_nb.contract.records import STATE_FIELDS

READS = [
    ["ls"], ["info", "demo"], ["schema", "demo"], ["describe", "demo"], ["head", "demo"],
    ["get", "demo", "--id", "93664019"], ["grep", "demo", "--pattern", "A"], ["cols", "demo"],
    ["cell", "demo", "--col", "quickstart__X_value"], ["validate", "demo"],
    ["doctor"], ["doctor", "demo"], ["namespace", "list"],
    ["namespace", "show", "evo2"], ["state", "get", "demo", "--id", "93664019"],
]  # fmt: skip


@pytest.mark.parametrize("argv", READS, ids=lambda a: " ".join(a[:2]))
def test_GET_1_every_read_command_has_every_format(root: Path, argv: list[str]):
    for fmt in ("auto", "rich", "plain", "json", "csv"):
        result = run(*argv, "--format", fmt)
        assert result.code == 0, result.err
        assert result.out
        assert "\x1b" not in result.out
    assert run(*argv).out == run(*argv, "--format", "plain").out
    assert run(*argv, "--format", "json").data is not None


@pytest.mark.parametrize("argv", READS, ids=lambda a: " ".join(a[:2]))
def test_GET_1_csv_has_one_width(root: Path, argv: list[str]):
    rows = list(csv.reader(io.StringIO(run(*argv, "--format", "csv").out)))
    assert len({len(r) for r in rows}) == 1


def test_GET_1_shapes(root: Path, demo: Dataset):
    listed = run("ls", "--format", "json").data
    assert [list(d) for d in listed] == [["dataset", "rows", "cols", "size_bytes", "updated"]] * 2
    assert [d["dataset"] for d in listed] == ["densegen/demo", "lab/other"]
    assert listed[0]["size_bytes"] == demo.records_path.stat().st_size
    info = run("info", "demo", "--format", "json").data
    assert list(info)[:2] == ["name", "path"]
    assert {"rows", "columns", "namespaces"} <= set(info)
    schema = run("schema", "demo", "--format", "json").data
    assert list(schema) == ["fields"]
    assert schema["fields"][0] == {"name": "id", "type": "string", "nullable": False}
    assert run("schema", "demo", "--tree", "--format", "json").data == schema
    state = run("state", "get", "demo", "--id", "cfd716d8,93664019", "--format", "json").data
    assert [list(s) for s in state] == [["id", *STATE_FIELDS]] * 2
    assert [s["id"][:8] for s in state] == ["cfd716d8", "93664019"]
    assert state[0]["masked"] is False


def test_GET_1_strict_json_has_no_nan(root: Path, demo: Dataset):
    register_namespace(root, namespace="odd", columns="x:float64,v:list<float32>,s:string")
    frame = demo.head(3, ["id"])
    frame["x"] = [math.nan, math.inf, 1.5]
    frame["v"] = [np.array([1, math.nan], "float32"), None, np.array([], "float32")]
    frame["s"] = ["", None, 'a "b", \x1b[31m']
    demo.write_overlay("odd", frame)
    for argv in (["head", "demo", "-n", "3"], ["get", "demo", "--id", "93664019"],
                 ["describe", "demo"], ["grep", "demo", "--pattern", "A", "--columns", "id,odd__x"],
                 ["cell", "demo", "--row", "0", "--col", "odd__v"]):  # fmt: skip
        assert run(*argv, "--format", "json").data
    data = run("head", "demo", "-n", "3", "--format", "json").data
    assert [d["odd__x"] for d in data] == [None, None, 1.5]
    assert [d["odd__v"] for d in data] == [[1.0, None], None, []]
    # What stands in a file cannot paint the terminal, nor look like nothing.
    plain = run("head", "demo", "-n", "3", "--columns", "odd__s").out
    assert plain == 'odd__s\n""\n–\na "b", \\x1b[31m\n'


def test_CLI_2_results_alone_on_stdout(root: Path):
    for argv in READS:
        result = run(*argv, "--format", "json")
        assert result.out.count("\n") == 1
    result = run("head", "demo", "-n", "1", "--columns", "quickstart__X_value")
    assert result.out == "quickstart__X_value\nvec[8] [0.744, -0.4675, -0.6279, ..]\n"
    assert result.err.splitlines() == [
        "Long vectors are shortened; --format json has them whole.",
        "The first of 36 records (-n shows more).",
    ]


def test_auto_is_rich_on_a_terminal(root: Path, monkeypatch):
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm-256color")
    painted = run("ls", tty=True).out
    assert "─" in painted
    assert "\x1b[1m" in painted
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in run("ls", tty=True).out


def test_rich_has_short_ids_and_says_what_it_leaves_out(root: Path):
    result = run("head", "demo", "-n", "2", "--format", "rich")
    lines = result.out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line[:10] for line in lines[-2:]] == ["93664019  ", "cfd716d8  "]
    assert "3 columns not shown: alphabet, source, created_at" in result.err
    assert "--columns" in result.err


def test_rich_shows_all_columns_that_were_asked_for(root: Path):
    names = "id,bio_type,sequence,alphabet,length,source,created_at"
    result = run("head", "demo", "-n", "1", "--columns", names, "--format", "rich")
    assert "not shown" not in result.err
    assert len(result.out.splitlines()[0].split()) == 7


def test_plain_text_is_whole(root: Path):
    out = run("head", "demo", "-n", "1").out
    assert "936640194ed026669f936a0cd539de79a69ef669" in out
    assert "CTATCAACTAGGCGAAAGTTTACAGAGCAGACAACTAAGTGTATAATCCGCCTGAGGTGC" in out


def test_get_is_one_value_per_line(root: Path):
    lines = run("get", "demo", "--id", "93664019,cfd716d8", "--columns", "id,length").out
    assert lines == (
        "id      936640194ed026669f936a0cd539de79a69ef669\nlength  60\n\n"
        "id      cfd716d8649379d255f5fde58bfbfdc735e42bec\nlength  60\n"
    )


def test_DEL_2_info_counts_live_and_deleted(root: Path):
    run("delete", "demo", "--id", "93664019")
    assert "36 (35 live, 1 deleted)" in run("info", "demo").out


def test_GET_3_a_hidden_id_says_so(root: Path):
    run("delete", "demo", "--id", "93664019")
    result = run("get", "demo", "--id", "93664019")
    assert (result.code, "is deleted" in result.err) == (4, True)
    shown = run("get", "demo", "--id", "93664019", "--include-deleted", "--format", "json")
    assert shown.data[0]["usr__deleted"] is True


def test_STA_3_export_says_how_many_are_masked_and_failed(root: Path):
    run("state", "set", "demo", "--id", "93664019,cfd716d8", "--masked")
    run("state", "set", "demo", "--id", "05ab611b", "--qc-status", "fail")
    result = run("export", "demo", "--fmt", "jsonl", "--out", "out.jsonl")
    assert "exported 36 of 36 records to out.jsonl" in result.out
    assert "of these, 2 masked and 1 with qc_status fail" in result.err
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len(rows) == 36
    assert sum(r["usr_state__masked"] is True for r in rows) == 2


def test_GET_2_hint_at_iupac(root: Path):
    result = run("grep", "demo", "--pattern", "TTGACAN")
    assert result.code == 0
    assert "0 of 36 records match.\nHint: " in result.err
    assert "--iupac" in result.err
    found = run("grep", "demo", "--pattern", "TTGACAN", "--iupac", "--format", "json").data
    assert found
    assert "--iupac" not in run("grep", "demo", "--pattern", "GGGGGGGGGGGG").err


def test_GET_2_counts_say_of_how_many(root: Path):
    hit = run("grep", "demo", "--pattern", "ttgaca", "--format", "json").data[0]["id"]
    run("delete", "demo", "--id", hit)
    cut = run("grep", "demo", "--pattern", "ttgaca", "--limit", "3")
    assert cut.err == "7 of 35 records match; the first 3 are shown (--limit).\n"
    assert len(cut.out.splitlines()) == 4
    every = run("grep", "demo", "--pattern", "ttgaca", "--limit", "7")
    assert every.err == "7 of 35 records match.\n"
    hidden = run("grep", "demo", "--pattern", "ttgaca", "--include-deleted")
    assert hidden.err == "8 of 36 records match.\n"
    out = run("export", "demo", "--fmt", "csv", "--out", "o.csv").out
    assert out == "exported 35 of 36 records to o.csv (1 deleted left out)\n"
    Path("s.csv").write_text("id,score\n" + "\n".join(
        f"{i},1" for i in [*Dataset.open(root, "demo").head(2)["id"], "0" * 40]))  # fmt: skip
    argv = ["attach", "demo", "--path", "s.csv", "--namespace", "evo2", "--allow-missing"]
    assert run(*argv).out == "attached 2 of 3 rows to evo2; 1 skipped: not in the dataset\n"
    again = run(*argv, "--allow-overwrite").out
    assert again.endswith("1 skipped: not in the dataset; 2 overwritten\n")


def test_GET_2_both_strands_find_more(root: Path):
    one = run("grep", "demo", "--pattern", "TTGACW", "--iupac", "--limit", "99", "--format", "json")
    two = run("grep", "demo", "--pattern", "TTGACW", "--both-strands", "--limit", "99", "--format",
              "json")  # fmt: skip
    assert len(two.data) > len(one.data) > 0


def test_IMP_1_an_import_names_the_columns_it_ignored(root: Path):
    Path("x.csv").write_text("sequence,name,score\nACGTAA,x,1\n")
    result = run("import", "demo", "--path", "x.csv")
    assert "ignored columns: name, score" in result.err
    assert result.out == "imported 1 of 1 row\n"
    again = run("import", "demo", "--path", "x.csv", "--on-conflict", "ignore")
    assert again.out == "imported 0 of 1 row; 1 skipped: their ids are there already\n"


def test_IMP_1_a_dry_run_reports_and_changes_nothing(root: Path, demo: Dataset):
    Path("x.csv").write_text("sequence,name\nACGTAA,x\nacgtaa,y\n")
    events = len(demo.events())
    report = run("import", "demo", "--path", "x.csv", "--dry-run", "--format", "json").data
    assert (report["rows"], report["would_add"], report["ignored_columns"]) == (2, 2, ["name"])
    assert len(demo.events()) == events
    assert "casefold duplicates  1" in run("import", "demo", "--path", "x.csv", "--dry-run").out


def test_IMP_1_other_columns_can_be_kept(root: Path):
    Path("x.csv").write_text("sequence,name\nACGTAA,x\n")
    assert run("import", "demo", "--path", "x.csv", "--keep", "names").code == 0
    rows = run("head", "demo", "-n", "99", "--columns", "names__name", "--format", "json").data
    assert rows[-1] == {"names__name": "x"}


def test_alphabet_follows_the_bio_type(root: Path):
    Path("p.fasta").write_text(">a\nMKLV\n")
    run("init", "lab/proteins")
    result = run("import", "lab/proteins", "--path", "p.fasta", "--bio-type", "protein")
    assert result.code == 0, result.err
    assert run("cell", "lab/proteins", "--col", "alphabet").out == "protein_20\n"


def test_schema_tree_opens_nested_types(root: Path):
    register_namespace(root, namespace="deep", columns="d:list<struct<a:int8,b:string>>")
    Path("d.jsonl").write_text('{"id": "936640194ed026669f936a0cd539de79a69ef669",'
                               ' "d": [{"a": 1, "b": "x"}]}\n')  # fmt: skip
    assert run("attach", "demo", "--path", "d.jsonl", "--namespace", "deep").code == 0
    assert run("schema", "demo", "--tree").out.endswith(
        "deep\n└── deep__d: list<struct<a:int8,b:string>>\n"
        "    └── item: struct<a:int8,b:string>\n"
        "        ├── a: int8\n        └── b: string\n"
        "quickstart\n├── quickstart__X_value: list<float64>\n"
        "└── quickstart__intensity_log2_offset_delta: float64\n"
    )


# The pure parts ---------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=12), st.integers(20, 200), st.booleans(),
    st.sets(st.integers(1, 11)),
)  # fmt: skip
def test_fit_never_exceeds_the_terminal_while_it_can(
    natural: list[int], width: int, keep_all: bool, spare: set[int]
):
    chosen = pretty.fit(natural, width, [i for i in spare if i < len(natural)], keep_all=keep_all)
    assert sorted(chosen.columns + chosen.left_out) == list(range(len(natural)))
    assert chosen.columns[0] == 0
    assert all(0 < w <= natural[i] for i, w in zip(chosen.columns, chosen.widths, strict=True))
    used = sum(chosen.widths) + 2 * (len(chosen.widths) - 1)
    assert used <= width or len(chosen.columns) == 1


@given(st.text())
def test_cells_of_text_are_one_printable_line(text: str):
    shown = render.cell(text)
    assert shown.isprintable()
    assert shown != ""


def test_cells():
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    values = (1, 2.5, False, at, {"a": None}, ["x"], ["a", "b", "c", "d"])
    assert [render.cell(v) for v in values] == [
        "1", "2.5", "false", "2026-01-02T03:04:05Z", "{a: –}", "[x]", "list[4] [a, b, c, ..]",
    ]  # fmt: skip


# Filters, order, picks ----------------------------------------------------------------------------


#: True of some demo sequences and not of others.
STARTS = 'sequence startswith "T"'


def test_where_and_order_by_say_of_how_many(root: Path, demo: Dataset):
    every = demo.head(99)
    wanted = every[every["sequence"].str.startswith("T")].sort_values("id")
    assert 2 < len(wanted) < 30
    argv = ["head", "demo", "-n", "2", "--where", STARTS, "--order-by", "id"]
    found = run(*argv, "--columns", "sequence", "--format", "json")
    assert [r["sequence"] for r in found.data] == list(wanted["sequence"])[:2]
    assert found.err == f"{len(wanted)} of 36 records match; the first 2 are shown (-n).\n"
    one = run("head", "demo", "-n", "1", "--where", STARTS)
    assert one.err.endswith("the first is shown (-n).\n")
    run("delete", "demo", "--id", wanted["id"].iloc[0])
    assert run("head", "demo", "-n", "0", "--where", STARTS).err.startswith(
        f"{len(wanted) - 1} of 35 records match"
    )
    assert run("head", "demo", "-n", "99").err.endswith("All 35 records.\n")
    assert run("head", "demo", "-n", "3").err.endswith(
        "The first 3 of 35 records (-n shows more).\n"
    )


@pytest.mark.parametrize("where", ["gc > 0.4", "@rich"])
def test_where_is_the_same_for_every_command(root: Path, demo: Dataset, where: str):
    assert run("filters", "save", "demo", "--name", "rich", "--where", "gc > 0.4").code == 0
    rows = demo.head(99, where="gc > 0.4")
    ids = list(rows["id"])
    assert 0 < len(ids) < 36
    head = run("head", "demo", "-n", "99", "--where", where, "--format", "json").data
    assert [r["id"] for r in head] == ids
    grepped = run("grep", "demo", "-e", ".", "--limit", "99", "--where", where, "--format", "json")
    assert [r["id"] for r in grepped.data] == ids
    assert grepped.err == f"{len(ids)} of {len(ids)} records match.\n"
    described = run("describe", "demo", "--where", where, "--format", "json").data
    assert described[0]["rows"] == described[0]["distinct"] == len(ids)
    picked = run("pick", "demo", "--where", where, "--format", "csv").out.splitlines()
    assert picked == ["id", *ids]
    exported = run("export", "demo", "--fmt", "csv", "--out", "o.csv", "--where", where)
    assert (
        exported.out == f"exported {len(ids)} of 36 records to o.csv ({36 - len(ids)} not picked)\n"
    )
    assert len(Path("o.csv").read_text().splitlines()) == len(ids) + 1
    Path("all.csv").write_text("id\n" + "\n".join(demo.head(99)["id"]))
    got = run("get", "demo", "--id-file", "all.csv", "--where", where, "--format", "json")
    assert [r["id"] for r in got.data] == ids
    assert got.err == f"{len(ids)} of 36 records match.\n"


def test_what_was_picked_is_exported_in_its_order(root: Path, demo: Dataset):
    picked = run("pick", "demo", "--order-by", "gc desc, id", "--top", "4", "--format", "csv").out
    Path("picks.csv").write_text(picked)
    ids = picked.split()[1:]
    by = dict(demo.head(99)[["id", "sequence"]].itertuples(index=False))
    done = run("export", "demo", "--out", "o.fa", "--id-file", "picks.csv")
    assert done.out == "exported 4 of 36 records to o.fa (32 not picked)\n"
    assert Path("o.fa").read_text() == "".join(f">{i}\n{by[i]}\n" for i in ids)
    argv = ["export", "demo", "--id", ",".join(ids), "--columns", "id"]
    assert run(*argv, "--out", "o.csv.gz", "--order-by", "id").code == 0
    assert gzip.decompress(Path("o.csv.gz").read_bytes()).decode().split() == [
        '"id"', *(f'"{i}"' for i in sorted(ids))
    ]  # fmt: skip
    assert run(*argv, "--out", "o.jsonl", "--where", f'id == "{ids[2]}"').code == 0
    assert json.loads(Path("o.jsonl").read_text()) == {"id": ids[2]}
    assert run("delete", "demo", "--id", ids[1]).code == 0
    for wrong, code in (([*argv, "--out", "p.csv"], 4), (["export", "demo", "--out", "p.x"], 2),
                        (["export", "demo", "--out", "p.fa", "--id", "0000000"], 4)):  # fmt: skip
        assert run(*wrong).code == code
    assert not list(Path.cwd().glob("p.*"))


def test_a_list_says_what_lies_beside_the_base(root: Path, demo: Dataset):
    size = sum(f.stat().st_size for f in (demo.dir / "_derived").rglob("*.parquet"))
    demo.tombstone(demo.head(1)["id"][0])
    shown = run("ls").out.splitlines()
    assert shown[0].split("  ")[:1] == ["dataset"]
    assert "base cols  base size  overlays" in shown[0]
    assert f"  1, {render.size_text(size)}  " in shown[1]
    assert "  –  " in shown[2]
    assert set(run("ls", "--format", "json").data[0]) == {
        "dataset", "rows", "cols", "size_bytes", "updated"
    }  # fmt: skip


def test_export_sorts_and_stops(root: Path, demo: Dataset):
    argv = ["export", "demo", "--order-by", "gc desc, id", "--top", "3", "--columns", "id"]
    for fmt in ("csv", "jsonl", "parquet"):
        done = run(*argv, "--fmt", fmt, "--out", f"o.{fmt}")
        assert done.out == f"exported 3 of 36 records to o.{fmt} (33 not picked)\n"
    best = [r["id"] for r in map(json.loads, Path("o.jsonl").read_text().splitlines())]
    assert best == run("pick", "demo", "--order-by", "gc desc, id", "--top", "3", "--format",
                       "json").data["ids"]  # fmt: skip
    sequences = list(demo.get(best)["sequence"])
    share = [sum(c in "GCgc" for c in s) / len(s) for s in sequences]
    assert share == sorted(share, reverse=True)
    every = [sum(c in "GCgc" for c in s) / len(s) for s in demo.head(99)["sequence"]]
    assert share == sorted(every, reverse=True)[:3]
    assert run(*argv, "--fmt", "fasta", "--out", "o.fa").code == 0
    assert Path("o.fa").read_text().split() == [
        w for i, s in zip(best, sequences, strict=True) for w in (f">{i}", s)
    ]
    assert "--safe-csv" in run(*argv, "--fmt", "jsonl", "--out", "x", "--safe-csv").err


def test_pick_prints_ids_that_other_commands_read(root: Path, demo: Dataset):
    argv = ["pick", "demo", "--where", "length > 59", "--min-distance", "10", "--metric", "edit"]
    picked = run(*argv)
    Path("ids.txt").write_text(picked.out)
    n = len(picked.out.splitlines()) - 1
    assert picked.err == f"picked {n} records.\n"
    assert run("delete", "demo", "--id-file", "ids.txt").out == f"deleted {n} of {n} ids given\n"


def test_a_file_is_filtered_too(root: Path, demo: Dataset):
    path = "datasets/densegen/demo/records.parquet"
    found = run("head", path, "--where", STARTS, "-n", "2", "--columns", "id", "--format", "json")
    every = demo.head(99)
    wanted = list(every[every["sequence"].str.startswith("T")]["id"])
    assert [r["id"] for r in found.data] == wanted[:2]
    assert found.err == f"{len(wanted)} of 36 records match; the first 2 are shown (-n).\n"
    for argv in (["--where", "@rich"], ["--order-by", "length"]):
        result = run("head", path, *argv)
        assert (result.code, "is a file" in result.err) == (2, True)
    wrong = run("head", path, "--where", "lenght > 1")
    assert (wrong.code, "'lenght'" in wrong.err) == (2, True)


def test_why_tells_the_story_of_a_cell(root: Path, demo: Dataset):
    score = "evo2__score"
    for value in (1.5, 2.5):
        Path("s.csv").write_text(f"id,score\n936640194ed026669f936a0cd539de79a69ef669,{value}\n")
        run("attach", "demo", "--path", "s.csv", "--namespace", "evo2", "--allow-overwrite")
    lines = run("why", "demo", "93664019", score).out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["decides", "2.5"], ["shadowed", "1.5"]]
    assert lines[3].startswith("evo2__score of 93664019 is 2.5, set by usr (attach) at 20")
    data = run("why", "demo", "93664019", score, "--format", "json").data
    assert (data["value"], data["source"]) == (2.5, "part")
    assert [s["value"] for s in data["said"]] == [2.5, 1.5]
    assert data["setter"]["action"] == "attach"
    run("materialize", "demo", "--drop-overlays", "--yes")
    base = run("why", "demo", "93664019", score).out
    assert base.splitlines()[1].split()[:2] == ["decides", "2.5"]
    nothing = run("why", "demo", "cfd716d8", "quickstart__intensity_log2_offset_delta")
    assert "is " in nothing.out.splitlines()[-1]
    empty = run("why", "demo", "cfd716d8", score).out
    assert empty.splitlines()[-1].startswith("evo2__score of cfd716d8 ")


def test_why_inside_a_dataset_needs_no_name(root: Path, demo: Dataset, monkeypatch):
    monkeypatch.chdir(demo.dir)
    assert (
        "length of 93664019 is 60, set by usr (import_rows)" in run("why", "93664019", "length").out
    )


def test_filters_are_listed_with_what_they_say(root: Path):
    assert run("filters", "list", "demo").err.startswith("No filter is saved.")
    run("filters", "save", "demo", "--name", "two words", "--where", 'source contains "csv"')
    data = run("filters", "list", "demo", "--format", "json").data
    assert [(f["name"], f["where"], f["problem"]) for f in data] == [
        ("two words", 'source contains "csv"', None)
    ]
    assert run("head", "demo", "-n", "1", "--where", "@two words").code == 0
