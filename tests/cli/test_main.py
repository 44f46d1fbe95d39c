"""Errors become text and codes, never tracebacks: CLI-1."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run, watching
from usr_nb import Dataset
from usr_nb.cli import commands, main, say
from usr_nb.dataset import info
from usr_nb.errors import LockTimeout


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raise_it(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(Dataset, "info_dict", raise_it)


def test_CLI_1_version_and_help():
    assert run("--version").out.startswith("usr 0.")
    helped = run("--help")
    assert (helped.code, helped.err) == (0, "")
    assert "Exit codes" in helped.out


def test_every_synonym_leads_to_a_command():
    names = commands.LazyGroup(name="usr").list_commands(None)
    for word, command in commands.SYNONYMS.items():
        assert word not in names
        first = command.split()[0]
        assert first in names or first.startswith("--")
        assert run(*command.split(), "--help").code == 0


@pytest.mark.parametrize("argv", [["-h"], ["head", "-h"], ["state", "set", "-h"]])
def test_dash_h_helps(argv: list[str]):
    result = run(*argv)
    assert (result.code, result.err) == (0, "")
    assert result.out == run(*argv[:-1], "--help").out


def test_CLI_1_nothing_said_shows_the_help_on_stderr():
    result = run()
    assert (result.code, result.out) == (2, "")
    assert "Usage: usr" in result.err


@pytest.mark.parametrize(
    ("argv", "says", "hint"),
    [
        (["lss"], "There is no command 'usr lss'", "Did you mean 'ls'?"),
        (["Info"], "no command 'usr Info'", "'info'"),
        (["zzzz"], "no command", "usr --help"),
        (["rm", "demo"], "no command 'usr rm'", "'usr delete'"),
        (["select", "demo"], "no command 'usr select'", "'usr head'"),
        (["dedupe"], "no command 'usr dedupe'", "'usr maintenance dedupe'"),
        (["demo1", "head"], "no command 'usr demo1'", "usr head demo1"),
        (["--format", "json", "ls"], "No such option: --format", "stand behind the command"),
        (["get", "demo", "93664019"], "unexpected extra argument", "named with --id"),
        (["import", "demo", "x.csv", "--path", "y"], "unexpected extra", "named with --path"),
        (["maintenance", "dedup"], "No such command 'dedup'", "'dedupe'"),
        (["state", "zzzz"], "No such command 'zzzz'", "usr state --help"),
        (["ls", "--fromat", "json"], "No such option: --fromat", "--format"),
        (["ls", "extra"], "unexpected extra argument", "usr ls --help"),
        (["head", "demo", "-n", "-1"], "greater than or equal to 0", "usr head --help"),
        (["head", "demo", "-n", "many"], "-n", "usr head --help"),
        (["--rot", "x", "ls"], "No such option: --rot", "--root"),
        (["import", "demo"], "Missing option '--path'", "usr import --help"),
        (["head", "demo", "--columns", " , "], "empty list", "a,b"),
    ],
)
def test_CLI_1_usage_errors_have_the_same_form(root: Path, argv: list[str], says: str, hint: str):
    result = run(*argv)
    assert (result.code, result.out) == (2, "")
    error, hinted = result.err.splitlines()
    assert error.startswith("ERROR: ")
    assert says in error
    assert hinted.startswith("Hint: ")
    assert hint in hinted
    assert "Value error" not in error


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (LockTimeout("held by pid 7", hint="Wait."), 2, "ERROR: held by pid 7\nHint: Wait.\n"),
        (KeyboardInterrupt(), 130, "ERROR: Aborted\n"),
        (EOFError(), 130, "ERROR: Aborted\n"),
        (OSError(errno.ENOSPC, "No space left", "/disk/x"), 2, "ERROR: /disk/x: No space left\n"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "ERROR: x: Permission denied"),
        (KeyError("surprise"), 2, "ERROR: Unexpected KeyError: 'surprise'\nHint: This is a defect"),
        (RecursionError("deep"), 2, "ERROR: Unexpected RecursionError: deep"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), 2, "ERROR: Unexpected UnicodeDecode"),
    ],
)
def test_CLI_1_never_a_traceback(root, monkeypatch, error: BaseException, code: int, says: str):
    failing(monkeypatch, error)
    result = run("info", "demo")
    assert (result.code, result.out) == (code, "")
    assert result.err.lstrip("\n").startswith(says)
    assert "Traceback" not in result.err


def test_USR_DEBUG_lets_the_traceback_through(root, monkeypatch):
    failing(monkeypatch, KeyError("surprise"))
    monkeypatch.setenv("USR_DEBUG", "1")
    with pytest.raises(KeyError):
        run("info", "demo")


def test_a_closed_pipe_is_silent(root, monkeypatch):
    failing(monkeypatch, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    result = run("info", "demo")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_warnings_of_the_library_are_one_line(root, monkeypatch):
    import warnings

    def warn(*_: Any, **__: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = say.warning
            warnings.warn("the part is committed", UserWarning, stacklevel=1)
        return info.info_dict(Dataset.open(root, "lab/other")._ctx)

    monkeypatch.setattr(Dataset, "info_dict", warn)
    assert run("info", "demo").err == "WARNING: the part is committed\n"


# Questions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["\n", "n\n", "no\n"])
def test_MAT_3_a_terminal_is_asked_and_the_default_is_no(root: Path, answer: str):
    with watching(root) as change:
        result = run("materialize", "demo", answers=answer)
    assert (result.code, result.out) == (130, "")
    assert "Rewrite the base table?" in result.err
    assert "nothing was changed" in result.err
    assert not change


def test_MAT_3_yes_and_dash_y(root: Path):
    assert run("materialize", "demo", answers="y\n").code == 0
    assert run("materialize", "demo", "-y", answers="").code == 0


def test_MAT_3_a_pipe_proceeds_unless_something_is_lost(root: Path):
    assert run("materialize", "demo").code == 0
    with watching(root) as change:
        assert run("materialize", "demo", "--drop-overlays").code == 2
        assert run("materialize", "demo", "--drop-deleted").code == 2
    assert not change
    with watching(root) as change:
        result = run("materialize", "demo", "--drop-overlays", "--yes")
    assert result.code == 0
    assert "retired 2 overlay files" in result.out
    assert len(change.removed) == 2


def test_MAT_3_the_question_names_what_is_lost(root: Path):
    result = run("materialize", "demo", "--drop-overlays", "--drop-deleted", answers="n\n")
    assert "remove overlays and deleted records for good?" in result.err


def test_MAT_3_snapshot_before_keeps_the_prior_base(root: Path):
    with watching(root) as change:
        result = run("materialize", "demo", "--yes", "--snapshot-before", "--archive-overlays")
    assert "prior base kept as _snapshots/records-" in result.out
    assert sum("/_snapshots/" in p for p in change.added) == 1
    assert sum("/_derived/_archived/" in p for p in change.added) == 2


def test_MAT_3_namespaces(root: Path):
    assert "2 derived columns" in run("materialize", "demo", "--namespaces", "quickstart").out


def test_CLI_5_init_offers_a_registry_on_a_terminal(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("init", "a/b", answers="\n").code == 130
    assert list(tmp_path.iterdir()) == []
    result = run("init", "a/b", answers="y\n")
    assert result.code == 0, result.err
    assert "There is no registry at" in result.err
    assert (tmp_path / "datasets" / "registry.yaml").is_file()
    assert (tmp_path / "datasets" / "a" / "b" / "records.parquet").is_file()


def test_CLI_5_init_in_a_pipe_names_the_command(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("init", "a/b")
    assert (result.code, "usr root init" in result.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_CLI_5_root_init(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("root", "init").code == 0
    text = (tmp_path / "datasets" / "registry.yaml").read_text()
    assert "usr_state__masked" in text
    assert run("root", "init", "here").code == 0
    assert (tmp_path / "here" / "registry.yaml").read_text() == text
    assert run("init", "a/b").code == 0


def test_overlay_remove_asks_before_it_deletes(root: Path):
    argv = ["maintenance", "overlay-remove", "demo", "--namespace", "quickstart"]
    with watching(root) as change:
        assert run(*argv, answers="\n").code == 130
    assert not change
    assert run(*argv, "--mode", "archive", answers="").code == 0


def test_CLI_6_dedupe_is_one_library_call_also_when_it_asks(root: Path, monkeypatch):
    Path("twice.csv").write_text("sequence\nACGTACGTAA\nacgtacgtaa\n")
    run("import", "demo", "--path", "twice.csv")
    calls = []
    own = Dataset.dedupe
    monkeypatch.setattr(Dataset, "dedupe", lambda *a, **k: calls.append(k) or own(*a, **k))
    argv = ["maintenance", "dedupe", "demo", "--key", "sequence_ci"]
    asked = run(*argv, answers="y\n")
    assert asked.code == 0, asked.err
    assert "This would drop 1 of 38 rows (1 repeated key)" in asked.err
    assert asked.out.startswith("dropped 1 of 38 rows (1 repeated key); ")
    assert run(*argv, answers="").out == "none of 37 rows repeats a key; nothing to do\n"
    assert len(calls) == 2


def test_dedupe_asks_and_keeps_a_snapshot(root: Path):
    Path("twice.csv").write_text("sequence\nACGTACGTAA\nacgtacgtaa\n")
    run("import", "demo", "--path", "twice.csv")
    argv = ["maintenance", "dedupe", "demo", "--key", "sequence_ci"]
    with watching(root) as change:
        dry = run(*argv, "--dry-run")
        no = run(*argv, answers="\n")
    assert not change
    assert "would drop 1 of 38 rows (1 repeated key)" in dry.out
    assert no.code == 130
    with watching(root) as change:
        done = run(*argv, "--keep", "keep-last")
    assert "dropped 1 of 38 rows" in done.out
    assert any(p.endswith("-auto.parquet") for p in change.added)


def test_attach_by_match_and_aggregate(root: Path):
    Path("n.csv").write_text("sequence,name\nACGTAA,x\n")
    run("import", "demo", "--path", "n.csv", "--keep", "names")
    Path("s.csv").write_text("name,score\nx,1\nx,3\n")
    result = run("attach", "demo", "--path", "s.csv", "--namespace", "evo2", "--match",
                 "names__name", "--key-col", "name", "--aggregate", "mean")  # fmt: skip
    assert result.code == 0, result.err
    rows = run("head", "demo", "-n", "99", "--columns", "evo2__score", "--format", "json").data
    assert rows[-1] == {"evo2__score": 2.0}


def test_ids_from_a_file(root: Path):
    Path("ids.txt").write_text("\ufeff93664019 # first\n\n# comment\ncfd716d8\n", "utf-8")
    assert "deleted 2 of 2 ids" in run("delete", "demo", "--id-file", "ids.txt").out
    assert "restored 2 of 2 ids" in run("restore", "demo", "--id-file", "ids.txt").out
    Path("ids.txt").write_bytes(b"\xff\xfe\x00")
    assert "no text file" in run("delete", "demo", "--id-file", "ids.txt").err


def test_state_set_leaves_other_fields(root: Path):
    run("state", "set", "demo", "--id", "93664019", "--split", "train", "--lineage", "a,b",
        "--lineage", "c")  # fmt: skip
    run("state", "set", "demo", "--id", "93664019", "--masked")
    run("state", "set", "demo", "--id", "93664019", "--no-masked", "--supersedes", "old")
    state = run("state", "get", "demo", "--id", "93664019", "--format", "json").data[0]
    assert (state["masked"], state["split"]) == (False, "train")
    assert (state["supersedes"], state["lineage"]) == ("old", ["a", "b", "c"])


def test_LAY_7_every_mutation_leaves_its_command_in_the_notes(root: Path, demo: Dataset):
    run("delete", "demo", "--id", "93664019", "--reason", "two words")
    run("snapshot", "demo")
    notes = demo.meta_path.read_text()
    assert "usr delete densegen/demo --id 93664019 --reason 'two words'" in notes
    assert "usr snapshot densegen/demo" in notes


def test_validate_reports_all_findings_and_exits_2(root: Path, demo: Dataset):
    for part in (demo.dir / "_derived" / "quickstart").iterdir():
        part.write_bytes(part.read_bytes()[:-10])
    result = run("validate", "demo", "--format", "json")
    assert result.code == 2
    places = [f["place"] for f in result.data["findings"] if f["severity"] == "error"]
    assert len(set(places)) == 2
    assert "ERROR: Dataset 'densegen/demo' is not valid" in result.err
    plain = run("validate", "demo")
    assert plain.code == 2
    assert "severity  error" in plain.out


def test_VAL_strict_makes_warnings_errors(root: Path, demo: Dataset):
    run("delete", "demo", "--id", "93664019")
    demo.log_event("import_rows", metrics={"rows_written": 1})
    with demo.events_path.open("a") as log:
        log.write("{torn\n")
    loose = run("validate", "demo", "--format", "json")
    strict = run("validate", "demo", "--strict", "--format", "json")
    assert loose.code == 0, loose.err
    assert strict.code == (2 if strict.data["warnings"] else 0)
    assert strict.data["findings"] == loose.data["findings"]


@pytest.mark.parametrize("mode", ["current", "frozen", "either", "namespace-current"])
def test_VAL_registry_modes(root: Path, mode: str):
    assert run("validate", "demo", "--registry-mode", mode).code == 0


def test_groups_know_themselves():
    group = commands.LazyGroup(name="usr")
    assert "ls" in group.list_commands(None)
    assert main.app.info.cls is commands.LazyGroup


# What a message says next ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["attach", "demo", "--path", "x.csv", "--namespace", "Evo2"], "Did you mean 'evo2'?"),
        (["attach", "demo", "--path", "x.csv", "--namespace", "evo2", "--key", "seqence"],
         "Did you mean 'sequence'?"),
        (["validate", "demo", "--registry-mode", "frozn"], "Did you mean 'frozen'?"),
        (["info", "lab"], "'lab' is a namespace, with lab/other."),
        (["info", "Demo"], "Did you mean 'demo'?"),
        (["get", "demo", "--id", "0000000"], "Check the ids with `usr head` or `usr grep`."),
        (["delete", "demo", "--id", "0000000"], "--allow-missing"),
        (["grep", "demo", "--pattern", ""], "TTGACA"),
        (["head", "demo", "--columns", "quickstart__x_value"], "'quickstart__X_value'"),
        (["head", "demo", "--columns", "X_value"], "'quickstart__X_value'"),
        (["head", "demo", "--where", "X_value is null"], "'quickstart__X_value'"),
        (["ls", "--root", "nowhere"], "Check --root."),
        (["export", "demo", "--fmt", "csv", "--out", "-"], "usr head"),
        (["pick", "demo", "--order-by", "length dsc"], "desc"),
        (["import", "demo", "--path", "iupac.csv"], "IUPAC"),
        (["import", "demo", "--path", "protein.csv"], "--bio-type protein"),
        (["import", "demo", "--path", "semi.csv"], "separated by semicolons"),
        (["import", "demo", "--path", "seq.csv"], "--rename seq=sequence"),
        (["import", "demo", "--path", "n.csv"], "alphabet dna_5"),
        (["cell", "demo", "--col", "id", "--row", "99"], "Rows count from 0."),
        (["namespace", "register", "n2", "--columns", "x:list<"], "list<float64>"),
    ],
)  # fmt: skip
def test_CLI_1_hints_say_what_to_do(root: Path, argv: list[str], hint: str):
    Path("x.csv").write_text("sequence,score\nACGT,1\n")
    Path("semi.csv").write_text("sequence;name\nACGT;a\n")
    Path("seq.csv").write_text("seq,name\nACGT,a\n")
    Path("iupac.csv").write_text("sequence\nACGR\n")
    Path("protein.csv").write_text("sequence\nLPLP\n")
    Path("n.csv").write_text("sequence\nACGN\n")
    result = run(*argv)
    assert result.code != 0
    assert hint in result.err.splitlines()[-1]
    assert result.err.splitlines()[-1].startswith("Hint: ")


def test_columns_that_nothing_is_said_of_and_slips_of_the_pen(root: Path):
    assert "usr columns set" in run("columns", "list").err
    wrong = run("columns", "set", "quickstart__X_valu", "--unit", "a")
    assert (wrong.code, "Did you mean 'quickstart__X_value'?" in wrong.err) == (0, True)
    assert run("columns", "set", "quickstart__X_value", "--unit", "a").err == ""
    assert "--help?" not in run("delete", "demo", "--where", "gc > 0.5").err


def test_ATT_7_nothing_to_attach_is_said(root: Path):
    Path("none.csv").write_text("id,score\n")
    result = run("attach", "demo", "--path", "none.csv", "--namespace", "evo2")
    assert result.out == "nothing to attach to evo2: the input has no rows\n"
