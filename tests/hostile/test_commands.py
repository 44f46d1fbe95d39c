"""Every option and argument of the live command tree is given every hostile value of its kind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from tests.cli.conftest import run
from tests.cli.test_every_command import GOOD, leaves
from tests.hostile.scene import DATASET, SECONDS, Scene, TooLong, alarm
from tests.hostile.values import KINDS, MAY_SUCCEED
from usr_nb.cli.main import app
from usr_nb.tools import legacy

ID = "936640194ed0"
#: What an option of a name is about; one that is not here fails the test.
KIND = {
    "dataset": "ID", "dest": "ID", "src": "ID", "namespace": "NAMESPACE", "namespaces": "NAMESPACE",
    "carry_namespace": "NAMESPACE", "columns": "COLUMN", "col": "COLUMN", "key_col": "COLUMN",
    "match": "COLUMN", "order_by": "COLUMN", "per": "COLUMN", "names": "COLUMN",
    "where": "FILTER", "always": "IDS",
    "ids": "IDS", "pattern": "PATTERN", "glob": "GLOB", "path": "PATH", "id_file": "PATH",
    "from_csv": "PATH",
    "subject": "ID", "remote": "HOST", "host": "HOST", "user": "HOST", "base_dir": "FAR",
    "repo_root": "FAR", "remote_path": "FAR", "ssh_key_env": "FREE",
    **dict.fromkeys(("type", "preset", "verify", "prefer"), "WORD"),
    "paths": "PATH", "out": "OUT", "root": "ROOT", "folder": "ROOT",
    **dict.fromkeys(("source", "notes", "note", "reason", "owner", "description", "plan",
                     "supersedes", "lineage", "unit", "label", "model", "reduction"), "FREE"),
    **dict.fromkeys(("fmt", "from_", "on_conflict", "key", "backend", "aggregate", "mode",
                     "if_duplicate",
                     "coerce_overlap", "registry_mode", "qc_status", "split", "dedupe",
                     "bio_type", "alphabet", "keep", "better", "number", "metric",
                     "rename"), "WORD"),
    **dict.fromkeys(("sample", "n", "row", "limit", "min_tfbs_len", "expected_length", "length",
                     "x_dim", "y_dim", "seed", "port", "top", "min_distance"), "NUMBER"),
}  # fmt: skip
#: They serve, or build a library of 20,000: too much to try dozens of values on.
ELSEWHERE = frozenset({"demo", "open"})
#: Commands that tests/cli gives a remote, and how they go well but for it.
MORE = {
    "remotes add": ["remotes", "add", "lab", "--host", "h", "--user", "u", "--base-dir", "/x"],
    "remotes show": ["remotes", "show", "lab"],
    # There is no such remote: whatever is wrong must be said before one would be asked.
    **{verb: [verb, DATASET, "lab"] for verb in ("diff", "pull", "push", "status")},
    "remotes wizard": ["remotes", "wizard", "--user", "u", "--base-dir", "/x"],
    "remotes doctor": ["remotes", "doctor", "--remote", "lab"],
}
LINES = {**{n: list(g.argv) for n, g in GOOD.items() if n not in ELSEWHERE}, **MORE}
#: The same name, another meaning.
KIND_HERE = {
    ("import", "keep"): "NAMESPACE", ("namespace register", "columns"): "SPEC",
    ("namespace show", "name"): "NAMESPACE", ("namespace register", "name"): "NAMESPACE",
    ("snapshot", "name"): "NAME", ("columns set", "name"): "COLUMN", ("why", "words"): "ID",
    ("filters save", "name"): "FREE", ("filters delete", "name"): "NAME",
    ("remotes add", "name"): "HOST", ("remotes show", "name"): "HOST",
    ("remotes wizard", "name"): "HOST", ("root init", "folder"): "ROOT",
}  # fmt: skip
#: Asked for by every command; all values are tried on a few of them, on the others three.
EVERYWHERE = frozenset({"root", "fmt"})
FULL = frozenset(
    {"info", "head", "init", "import", "export", "namespace register", "legacy convert"}
)


@pytest.fixture
def scene(made: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.chdir(made.base / "inputs")
    monkeypatch.setenv("USR_ROOT", str(made.root))
    monkeypatch.setenv("USR_SHOW_DEV_COMMANDS", "1")
    monkeypatch.setenv("USR_REMOTES_PATH", str(made.base / "inputs" / "remotes.yaml"))
    # torch is an optional extra; paths are checked before it is asked.
    monkeypatch.setattr(legacy, "load_pt", lambda path: [{"sequence": "ACGTT" * 12}])
    yield made
    made.restore()


def command(name: str) -> Any:
    found: Any = typer.main.get_command(app)
    for word in name.split():
        found = found.get_command(typer.Context(found), word)
    return found


def params(name: str) -> list[Any]:
    return [
        p for p in command(name).params if not getattr(p, "is_flag", False) and p.name != "help"
    ]


def kind_of(name: str, param: str) -> str:
    kind = KIND_HERE.get((name, param)) or KIND.get(param)
    assert kind is not None, f"`usr {name}`: say in KIND what is hostile for {param!r}"
    return kind


def words(name: str, param: Any, value: str, scene: Scene) -> list[str]:
    """Return the good command line of a command with one of its values replaced."""
    swap = {
        "dg": DATASET,
        "datasets/out.csv": str(scene.base / "inputs" / "out.csv"),
        "datasets": str(scene.root),
    }
    good = [swap.get(w, scene.ids[0] if w.startswith("9366401") else w) for w in LINES[name]]
    head, rest = good[: len(name.split())], good[len(name.split()) :]
    if param.param_type_name == "option":
        flags = {*param.opts, *param.secondary_opts}
        at = next((i for i, w in enumerate(rest) if w in flags), None)
        if at is not None:
            del rest[at : at + 2]
        return [*head, *rest,
                f"{param.opts[0]}={value}" if param.opts[0].startswith("--") else param.opts[0],
                *([] if param.opts[0].startswith("--") else [value])]  # fmt: skip
    place = [p.name for p in params(name) if p.param_type_name == "argument"].index(param.name)
    count = next((i for i, w in enumerate(rest) if w.startswith("-")), len(rest))
    plain, options = rest[:count], rest[count:]
    plain[place] = value
    return [*head, *options, "--", *plain]


def cases(name: str) -> list[tuple[Any, str, str]]:
    found = []
    for p in params(name):
        kind = kind_of(name, p.name)
        values = KINDS[kind]
        if p.name in EVERYWHERE and name not in FULL:
            values = values[:: max(1, len(values) // 3)]
        found += [(p, kind, v) for v in values]
    return found


@pytest.mark.parametrize("name", sorted(LINES))
def test_CLI_1_hostile_values_of_every_option_are_typed_errors_and_change_nothing(
    name: str, scene: Scene
) -> None:
    wrong = []
    for param, kind, raw in cases(name):
        value = scene.value(raw)
        before = scene.state()
        started = time.process_time()
        what = f"{param.name}={raw[:40]!r}"
        try:
            with alarm():
                result = run(*words(name, param, value, scene))
        except TooLong:
            wrong.append(f"{what}: hangs")
            scene.restore()
            continue
        except BaseException as error:  # noqa: BLE001 - whatever comes is reported
            wrong.append(f"{what}: {type(error).__name__}: {str(error)[:100]}")
            continue
        if time.process_time() - started > SECONDS:
            wrong.append(f"{what}: took {time.process_time() - started:.1f} s")
        if "Unexpected" in result.err or "Traceback" in result.err:
            wrong.append(f"{what}: {result.err[:200]}")
        if result.code == 0:
            if kind not in MAY_SUCCEED and not harmless(name, param.name, raw):
                wrong.append(f"{what}: succeeded: {result.out[:80]!r}")
            kept = {k: v for k, v in before.items() if not k.startswith(str(scene.root))}
            allowed = ("inputs/",) if kind == "ROOT" else ("inputs/out.csv", "inputs/remotes.yaml")
            outside = scene.changes(kept, outside_only=True)
            if outside := [c for c in outside if not c.startswith(allowed)]:
                wrong.append(f"{what}: changed {outside}")
            if kind == "FREE":
                scene.is_whole()
            if scene.changes(before):
                scene.restore()
        else:
            if "ERROR: " not in result.err:
                wrong.append(f"{what}: exit {result.code} without an error: {result.err[:80]!r}")
            if changed := scene.changes(before):
                wrong.append(f"{what}: exit {result.code}, but changed {changed[:4]}")
                scene.restore()
    assert not wrong, "\n".join(ascii(w) for w in wrong)


def harmless(name: str, param: str, value: str) -> bool:
    """Say whether a value of a kind that never succeeds does so here, and rightly."""
    if param == "dataset" and name in ("cols", "head", "cell") and value in ("", ".", "./."):
        return True  # Path-first: the working folder, which holds one Parquet file.
    if (name, param) == ("legacy convert", "paths") and value in ("", "{folder}"):
        return True  # A folder stands for the files in it.
    if param in ("order_by", "per") and value.strip() in ("", "usr__deleted_at"):
        return True  # No order at all, and a column that there is.
    if name == "columns set" and not value:
        return True  # Nothing there takes what was said away.
    # An empty list of columns or words is none at all, so the default; `..` is the folder above.
    return value.strip() in ("", ",") and param in (
        "columns", "key_col", "match", "namespaces", "alphabet", "keep", "ids", "name", "aggregate"
    )  # fmt: skip


def test_every_option_of_the_tree_has_hostile_values() -> None:
    os.environ["USR_SHOW_DEV_COMMANDS"] = "1"
    try:
        live = [n for n in leaves() if n not in ELSEWHERE]
    finally:
        del os.environ["USR_SHOW_DEV_COMMANDS"]
    assert set(live) <= set(LINES)
    for name in live:
        assert all(cases(name) for _ in params(name))
    assert sum(len(cases(n)) for n in live) > 1500
