"""Every text that the library takes is given every hostile value of its kind."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import usr_nb
from tests.hostile.scene import DATASET, SECONDS, Scene, TooLong, alarm
from tests.hostile.values import KINDS, MAY_SUCCEED
from usr_nb import Dataset, SequencesError
from usr_nb.errors import MAX_MESSAGE
from usr_nb.tools import legacy, mock
from usr_nb.tools.densegen.repair import repair

#: Parameters by name: the kind of hostile text, or None where any text is data, or is no text.
KIND: dict[str, str | None] = {
    "root": "ROOT", "name": "NAME", "name_or_path": "ID", "dataset": "ID", "dest": "ID",
    "src": "ID",
    "namespace": "NAMESPACE", "ns": "NAMESPACE", "namespaces": "NAMESPACE",
    "carry_namespace": "NAMESPACE",
    "include_overlays": "NAMESPACE", "keep": "NAMESPACE", "columns": "COLUMN", "key_col": "COLUMN",
    "match": "COLUMN", "names": "COLUMN", "id": "IDS", "ids": "IDS", "pattern": "PATTERN",
    "path": "PATH",
    "column": "COLUMN", "per": "COLUMN", "always": "IDS", "motif": "PATTERN", "text": "FILTER",
    "where": None, "rename": None, "touching": "FREE",
    **dict.fromkeys(("since", "until", "direction", "prefer", "verify"), "WORD"), "remote": "HOST",
    "out": "OUT", "action": "WORD", "spec": "SPEC",
    **dict.fromkeys(("fmt", "on_conflict", "key", "backend", "aggregate", "mode", "registry_mode",
                     "qc_status",
                     "split", "default_bio_type", "default_alphabet", "bio_type", "alphabet",
                     "created_at",
                     "duplicate_policy", "overlap_coercion", "columns_mode", "if_duplicate",
                     "coerce_overlap"), "WORD"),
    **dict.fromkeys(("source", "notes", "reason", "note", "title", "code", "supersedes",
                     "lineage", "owner",
                     "description", "actor", "token", "undoes", "unit", "label", "model",
                     "reduction"), "FREE"),
    # Data, whose cells the fuzz tests damage; flags and counts; checked by their types.
    **dict.fromkeys(("rows", "table", "options", "args", "metrics", "artifacts", "maintenance",
                     "target_path",
                     "masked", "n", "limit", "batch_size", "sample", "strict", "strict_id_check"),
                     None),
}  # fmt: skip
KIND_HERE: dict[tuple[str, str], str | None] = {
    # What is looked for in the log may be anything; nothing is found then.
    ("history", "action"): "FREE",
    ("dedupe", "keep"): "WORD", ("register_namespace", "columns"): "SPEC", ("import_report",
                                                                            "source"): "PATH",
    ("plan_attach", "source"): "PATH",
    ("plan_attach", "types"): None, ("set_column", "name"): "COLUMN",
    ("set_column", "format"): "WORD", ("plan_attach", "name"): "FREE",
    ("attach", "path"): "PATH", ("init_root", "root"): "ROOT",
}  # fmt: skip
#: What a call needs beside the value that is tried.
NEEDED: dict[str, dict[str, Any]] = {
    "export": {"fmt": "csv", "out": "{folder}/out.csv"}, "set_state": {"masked": True},
    "import_rows": {"rows": ["ACGTA"]}, "import_file": {"path": "{folder}/new.csv"},
    "add_sequences": {"rows": ["ACGTA"], "bio_type": "dna", "alphabet": "dna_4"},
    "import_report": {"source": "{folder}/new.csv"}, "import_csv": {"path": "{folder}/new.csv"},
    "import_parquet": {"path": "{folder}/more.parquet"}, "write_overlay": {"table": "{table}"},
    "write_overlay_part": {"table": "{table}"}, "log_event": {"action": "tried"},
    "append_meta_note": {"title": "t", "code": "c"}, "compact_overlay": {"namespace": "quickstart"},
    "remove_overlay": {"namespace": "quickstart"}, "dedupe": {"dry_run": True},
    "merge_datasets": {"dest": DATASET, "src": "lab/other"},
    "register_namespace": {"namespace": "fresh", "columns": "x:int8"},
    "parse_columns_spec": {"spec": "x:int8", "namespace": "m"}, "open": {"name_or_path": DATASET},
    "make_mock": {"dataset": "lab/mock", "n": 2, "length": 8, "x_dim": 2},
    "add_demo_cols": {"x_dim": 2},
    "plan_attach": {"source": "{folder}/more.csv"}, "plan_states": {"rows": "{states}"},
    "plan_undo": {"receipt": "{receipt}"}, "save_selection": {"selection": "{selection}"},
    "set_column": {"name": "evo2__score"}, "outcome": {"token": "0123456789abcdef"},
    "convert": {"dataset": "lab/old", "paths": ["{folder}/old.pt"]},
}  # fmt: skip
#: Given wherever a parameter of that name must be there.
REQUIRED: dict[str, Any] = {
    "name": "mine", "column": "quickstart__x", "text": "length > 3", "where": "{filter}",
    "remote": "lab",
    "root": "{root}", "id": "{id}", "ids": "{id}", "pattern": "ACG", "path": "{folder}/more.csv",
    "namespace": "evo2", "ds": "{ds}",
}  # fmt: skip
EXTRA: dict[tuple[str, str], dict[str, Any]] = {("export", "names"): {"fmt": "fasta"}}
#: Methods that give back something lazy, or open a section.
LAZY = {"scan": list, "events": list}
#: Not of the store, or harmless by nature: no text goes in.
LEFT_OUT = frozenset({"maintenance", "compute_id", "normalize_sequence", "validate_bio_type",
                      "validate_alphabet",
                      "reporting", "report"})  # fmt: skip


@pytest.fixture
def scene(made: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.chdir(made.base / "inputs")
    monkeypatch.setattr(legacy, "load_pt", lambda path: [{"sequence": "ACGTT" * 12}])
    yield made
    made.restore()


def calls() -> dict[str, Callable[..., Any]]:
    """Every public function, and every method of a dataset, by name."""
    methods = {
        n: m for n, m in inspect.getmembers(Dataset, callable)
        if not n.startswith("_") and n not in LEFT_OUT
    }  # fmt: skip
    functions = {
        n: f for n in usr_nb.__all__
        if inspect.isfunction(f := getattr(usr_nb, n)) and n not in LEFT_OUT
    }  # fmt: skip
    tools = {"make_mock": mock.make_mock, "add_demo_cols": mock.add_demo_cols,
             "convert": legacy.convert,
             "repair": repair}  # fmt: skip
    # A function of a method's name is another call.
    return {
        **methods,
        **{f"{n}()" if n in methods else n: f for n, f in functions.items()},
        **tools,
    }


def texts(name: str, call: Callable[..., Any]) -> dict[str, str]:
    """Return the parameters that take text, with the kind of what is hostile for them."""
    found = {}
    for p in inspect.signature(call).parameters.values():
        kind = str(p.annotation)
        takes = any(
            w in kind for w in ("str", "Literal", "PathLike", "Any", "Actor", "Backend", "Mode")
        )
        if (
            p.name in ("self", "cls", "ds", "paths", "from_csv", "plan", "choices", "callback")
            or not takes
        ):
            continue
        known = (name, p.name) in KIND_HERE or p.name in KIND
        assert known, f"{name}(): say in KIND what is hostile for {p.name!r} ({kind})"
        which = KIND_HERE.get((name, p.name), KIND.get(p.name))
        if which is not None:
            found[p.name] = which
    return found


#: What stands for an object, and how it is made.
MADE: dict[str, Callable[[Scene, Dataset], Any]] = {
    "{table}": lambda scene, _: pa.table({"id": [scene.ids[0]], "evo2__score": [1.5]}),
    "{id}": lambda scene, _: scene.ids[0],
    "{filter}": lambda *_: usr_nb.parse_filter("length > 3"),
    "{states}": lambda scene, _: [{"id": scene.ids[0], "masked": True}],
    "{selection}": lambda _, ds: ds.pick(top=1),
    "{receipt}": lambda scene, ds: ds.plan_state([scene.ids[0]], masked=True).apply(),
    "{ds}": lambda _, ds: ds,
}


def filled(scene: Scene, value: Any) -> Any:
    if isinstance(value, str) and value in MADE:
        return MADE[value](scene, Dataset.open(scene.root, DATASET))
    if isinstance(value, list):
        return [filled(scene, v) for v in value]
    return scene.value(value) if isinstance(value, str) else value


def attempt(name: str, call: Callable[..., Any], scene: Scene, given: dict[str, Any]) -> Any:
    also = EXTRA.get((name, next(iter(given))), {})
    kwargs = {k: filled(scene, v) for k, v in {**NEEDED.get(name, {}), **also}.items()} | given
    for p in inspect.signature(call).parameters.values():
        if p.default is p.empty and p.name in REQUIRED and p.name not in kwargs:
            kwargs[p.name] = filled(scene, REQUIRED[p.name])
    if not hasattr(Dataset, name):
        return call(**kwargs)
    if name == "open":
        return Dataset.open(kwargs["root"], kwargs["name_or_path"]).head(1)
    ds = Dataset.open(scene.root, "lab/fresh" if name == "init" else DATASET)
    with ds.maintenance(reason="test"):
        return LAZY.get(name, lambda x: x)(getattr(ds, name)(**kwargs))


#: They look and write nothing, whatever they find; what is wrong stands in the plan.
PLANS = frozenset(
    {"plan_attach", "plan_materialize", "plan_compact", "plan_tombstone", "plan_restore",
     "plan_state", "plan_states"}
)  # fmt: skip
SEQUENCE_LIKE = frozenset({"namespaces", "columns", "lineage", "carry_namespace"})


@pytest.mark.parametrize("name", sorted(calls()))
def test_LAY_3_hostile_text_at_every_entry_is_a_typed_error_and_changes_nothing(
    name: str, scene: Scene
) -> None:
    call = calls()[name]
    wrong = []
    for parameter, kind in texts(name, call).items():
        for raw in KINDS[kind]:
            value: Any = scene.value(raw)
            if parameter in SEQUENCE_LIKE and kind != "SPEC":
                value = [value]
            what = f"{parameter}={raw[:40]!a}"
            before = scene.state()
            started = time.process_time()
            try:
                with alarm():
                    attempt(name, call, scene, {parameter: value})
                ended = "result"
            except SequencesError as error:
                ended = "typed"
                if len(str(error)) > 2 * MAX_MESSAGE + 10:
                    wrong.append(f"{what}: a message of {len(str(error))} letters")
            except TooLong:
                ended = "hang"
            except Exception as error:  # noqa: BLE001 - whatever comes is reported
                ended = f"{type(error).__name__}: {str(error)[:120]!a}"
            if time.process_time() - started > SECONDS:
                wrong.append(f"{what}: took {time.process_time() - started:.1f} s")
            changed = scene.changes(before)
            if ended == "typed" and changed:
                wrong.append(f"{what}: an error, but changed {changed[:4]!a}")
            elif ended == "result":
                if name in PLANS and changed:
                    wrong.append(f"{what}: a plan, but changed {changed[:4]!a}")
                beside = [c for c in changed if c.startswith(("victim", "template"))]
                if beside:
                    wrong.append(f"{what}: changed {beside!a}")
                if kind not in MAY_SUCCEED and not harmless(name, parameter, raw):
                    wrong.append(f"{what}: succeeded")
                scene.is_whole()
            elif ended != "typed":
                wrong.append(f"{what}: {ended}")
            if changed:
                scene.restore()
    assert not wrong, "\n".join(wrong[:12])


def harmless(name: str, parameter: str, value: str) -> bool:
    """Say whether a value of a kind that never succeeds does so here, and rightly."""
    none_at_all = value == "" and parameter in (
        "name",
        "match",
        "names",
        "key_col",
        "aggregate",
        "actor",
        "mode",
        "created_at",
        "fmt",
        "qc_status",
        "split",
    )
    # An action of one's own may have any plain name.
    own = (name, parameter) == ("log_event", "action") and value == "nonesuch"
    # A report names what is wrong; a specification alone registers nothing.
    tells = name == "import_report" or (name, value) == ("parse_columns_spec", "usr")
    # The name of a filter is data in the log, and no path is made of it.
    named = name == "save_filter"
    # An empty text forgets what a column was told, or is no group at all.
    forgets = value == "" and (name == "set_column" or parameter == "per")
    return none_at_all or own or tells or named or forgets or name in PLANS


def test_every_public_call_is_tried() -> None:
    tried = {n: texts(n, c) for n, c in calls().items()}
    assert sum(len(KINDS[k]) for kinds in tried.values() for k in kinds.values()) > 1000
    assert {"open", "attach", "grep", "export", "merge_datasets", "register_namespace"} <= {
        n for n, kinds in tried.items() if kinds
    }


def test_values_in_sql_are_bound_and_names_are_columns(scene: Scene) -> None:
    ds = Dataset.open(scene.root, DATASET)
    folder = scene.base / "inputs" / "a'; DROP TABLE x; --[1]*?"
    folder.mkdir()
    path = folder / 'it\'s [a] "file"*.parquet'
    table = pa.table({"id": [scene.ids[0]], "x'; SELECT 1; --": [1.0], "x": [2.5]})
    pa.parquet.write_table(table, path)
    with pytest.raises(SequencesError, match="cannot be a field"):
        ds.attach(path, "quickstart", backend="duckdb", parse_json=False, allow_overwrite=True)
    assert ds.attach(path, "quickstart", columns=["x"], backend="duckdb", parse_json=False,
                     allow_overwrite=True) == 1  # fmt: skip
    assert ds.head(1)["quickstart__x"].tolist() == [2.5]


def test_duckdb_reads_the_named_file_only(scene: Scene) -> None:
    ds = Dataset.open(scene.root, DATASET)
    folder = scene.base / "inputs" / "globs"
    folder.mkdir()
    for name, value in (
        ("a1.parquet", 1.0),
        ("a[1].parquet", 2.0),
        ("a*.parquet", 3.0),
        ("a?.parquet", 4.0),
    ):
        pa.parquet.write_table(pa.table({"id": [scene.ids[0]], "x": [value]}), folder / name)
    for name, value in (("a[1].parquet", 2.0), ("a*.parquet", 3.0), ("a?.parquet", 4.0)):
        ds.attach(
            folder / name, "quickstart", backend="duckdb", parse_json=False, allow_overwrite=True
        )
        assert ds.head(1)["quickstart__x"].tolist() == [value]


def test_the_victim_is_there(scene: Scene) -> None:
    assert Path(scene.victim / "keep.txt").read_text() == "mine"
