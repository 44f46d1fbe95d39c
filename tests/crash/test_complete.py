"""No verb is forgotten: whatever is public is under test, does as one that is, or writes nothing.

A new verb fails here until it has a place in one of the three lists, and each list is proven.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import usr_nb
from tests.cli.test_every_command import GOOD, leaves
from tests.crash.disk import Disk, read_image, write_disk
from tests.crash.ops import BY_NAME, Operation, template
from tests.crash.oshook import Hook
from tests.crash.store import IDS, NAME, NEW, Store
from tests.crash.verdict import _NUMBERS
from usr_nb import Dataset, F
from usr_nb.sync import remotes
from usr_nb.sync.api import SyncPlan
from usr_nb.tools import legacy, mock
from usr_nb.tools.densegen.repair import repair

Act = Callable[[Store], Any]

#: Verb → the operation under test that calls it.
UNDER_TEST = {
    "init": "init", "import_rows": "import-append", "write_overlay": "attach",
    "write_overlay_part": "part", "tombstone": "tombstone", "restore": "restore",
    "set_state": "state-set", "clear_state": "state-clear", "snapshot": "snapshot",
    "materialize": "materialize", "compact_overlay": "compact-parts", "dedupe": "dedupe",
    "freeze_registry": "freeze", "remove_overlay": "remove-overlay", "maintenance": "materialize",
    "log_event": "log-event", "save_filter": "save-filter", "delete_filter": "delete-filter",
    "append_meta_note": "note", "export": "export", "merge_datasets()": "merge-datasets",
    "register_namespace()": "register-later", "init_root()": "init-root",
    "make_mock()": "make-mock", "add_demo_cols()": "add-demo-cols", "convert()": "legacy-convert",
    "repair()": "densegen-repair", "add()": "remotes-add", "SyncPlan.apply": "pull",
}  # fmt: skip


def _csv(store: Store) -> Path:
    path = store.folder.parent / "new.csv"
    path.write_text("sequence\n" + "\n".join(NEW) + "\n")
    return path


def _jsonl(store: Store) -> Path:
    path = store.folder.parent / "new.jsonl"
    path.write_text("".join(f'{{"sequence": "{s}"}}\n' for s in NEW))
    return path


def _parquet(store: Store) -> Path:
    path = store.folder.parent / "new.parquet"
    pq.write_table(pa.table({"sequence": NEW}), path)
    return path


def _fasta(store: Store) -> Path:
    path = store.folder.parent / "new.fasta"
    path.write_text("".join(f">{n}\n{s}\n" for n, s in enumerate(NEW)))
    return path


def _cells(store: Store) -> Path:
    path = store.folder.parent / "cells.csv"
    rows = "\n".join(f"{i},{n}" for n, i in enumerate(IDS[:3]))
    path.write_text(f"id,m__n\n{rows}\n")
    return path


def _plan_nothing(store: Store) -> None:
    # With a remote it is a part of the operation `pull`, which looks and then writes.
    with pytest.raises(usr_nb.SequencesError):
        store.ds().sync_plan("nowhere")


_DEFAULTS = {"default_bio_type": "dna", "default_alphabet": "dna_4", "source": "x"}
#: Verb → the operation whose calls it makes, one for one, and how it is called.
SAME_CALLS: dict[str, tuple[str, Act]] = {
    "add_sequences": ("import-append",
        lambda s: s.ds().add_sequences(NEW, bio_type="dna", alphabet="dna_4")),
    "import_file": ("import-append", lambda s: s.ds().import_file(_csv(s))),
    "import_csv": ("import-append", lambda s: s.ds().import_csv(_csv(s), **_DEFAULTS)),
    "import_jsonl": ("import-append", lambda s: s.ds().import_jsonl(_jsonl(s), **_DEFAULTS)),
    "import_parquet": ("import-append", lambda s: s.ds().import_parquet(_parquet(s), **_DEFAULTS)),
    "import_fasta": ("import-append", lambda s: s.ds().import_fasta(_fasta(s), **_DEFAULTS)),
    "attach": ("attach", lambda s: s.ds().attach(_cells(s), "m", key="id", allow_overwrite=True)),
    "attach_columns": ("attach",
        lambda s: s.ds().attach_columns(_cells(s), "m", key="id", allow_overwrite=True)),
    "attach_file": ("attach",
        lambda s: s.ds().attach_file(_cells(s), "m", key="id", allow_overwrite=True)),
    "delete": ("tombstone", lambda s: s.ds().delete(IDS[:2], reason="why")),
}  # fmt: skip

#: What reads, and how it is called.
READS: dict[str, Act] = {
    "open": lambda s: Dataset.open(s.root, NAME),
    "info": lambda s: s.ds().info(), "info_dict": lambda s: s.ds().info_dict(),
    "schema": lambda s: s.ds().schema(), "manifest": lambda s: s.ds().manifest(),
    "manifest_dict": lambda s: s.ds().manifest_dict(),
    "list_overlays": lambda s: s.ds().list_overlays(), "scan": lambda s: list(s.ds().scan()),
    "head": lambda s: s.ds().head(2), "head_table": lambda s: s.ds().head_table(2),
    "get": lambda s: s.ds().get(IDS[0]), "get_table": lambda s: s.ds().get_table(IDS[0]),
    "grep": lambda s: s.ds().grep("ACG"), "grep_table": lambda s: s.ds().grep_table("ACG"),
    "describe": lambda s: s.ds().describe(), "get_state": lambda s: s.ds().get_state(IDS[:2]),
    "events": lambda s: s.ds().events(), "history": lambda s: s.ds().history(),
    "why": lambda s: s.ds().why(IDS[0], "m__n"), "filters": lambda s: s.ds().filters(),
    "pick": lambda s: s.ds().pick(F["m__n"] > 1),
    "filter": lambda s: s.ds().filter("old"),
    "validate": lambda s: s.ds().validate(), "doctor": lambda s: s.ds().doctor(),
    "import_report": lambda s: s.ds().import_report(_csv(s)),
    "sync_plan": _plan_nothing,
    "doctor()": lambda s: usr_nb.doctor(s.root),
    "load_registry()": lambda s: usr_nb.load_registry(s.root),
    "list_datasets()": lambda s: usr_nb.list_datasets(s.root),
}  # fmt: skip
#: Functions that are given nothing of the disk.
PURE = {"compute_id()", "normalize_sequence()", "validate_bio_type()", "validate_alphabet()",
        "parse_columns_spec()", "parse_filter()", "filter_from_json()", "reporting()"}  # fmt: skip


def verbs() -> dict[str, Callable[..., Any]]:
    """Return every public method of a dataset, every public function, and the tools."""
    methods = {
        n: m for n, m in inspect.getmembers(Dataset, callable)
        if not n.startswith("_") and not isinstance(m, type)
    }  # fmt: skip
    functions = {f"{n}()": f for n in usr_nb.__all__ if inspect.isfunction(f := getattr(usr_nb, n))}
    tools = {f"{f.__name__}()": f for f in (mock.make_mock, mock.add_demo_cols, legacy.convert,
                                            repair, remotes.add)}  # fmt: skip
    return {**methods, **functions, **tools, "SyncPlan.apply": SyncPlan.apply}


def test_RCV_every_verb_has_its_place() -> None:
    known = [*UNDER_TEST, *SAME_CALLS, *READS, *PURE]
    assert [n for n, count in Counter(known).items() if count > 1] == []
    assert set(verbs()) - set(known) == set(), "put each into a list of tests/crash"
    assert set(known) - set(verbs()) == set(), "these are gone"


@contextmanager
def _called() -> Iterator[set[Any]]:
    """Collect the code of every function that is called."""
    seen: set[Any] = set()

    def look(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            seen.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def _fresh(operation: Operation, folder: Path) -> Store:
    store = Store(folder / "work")
    write_disk(Disk.of_folder(template(folder, operation)), store.folder)
    return store


@pytest.mark.parametrize("name", sorted(set(UNDER_TEST.values())))
def test_RCV_an_operation_calls_the_verbs_that_it_stands_for(name: str, folder: Path) -> None:
    store = _fresh(BY_NAME[name], folder)
    with _called() as seen:
        BY_NAME[name].run(store)
    for verb in (v for v, n in UNDER_TEST.items() if n == name):
        assert inspect.unwrap(verbs()[verb]).__code__ in seen, verb


def _calls(operation: Operation, act: Act, folder: Path) -> list[tuple[str, str]]:
    """Return what reaches the disk, times and random numbers taken out; not how many writes."""
    store = _fresh(operation, folder)
    hook = Hook(store.folder)
    with hook.active():
        act(store)
    calls = [(k, re.sub(r"-\w+-\w+-\d+-\d+-[0-9a-f]{8}$", "", _NUMBERS.sub("#", p)))
             for k, p in hook.attempts]  # fmt: skip
    return [c for n, c in enumerate(calls) if n == 0 or c != calls[n - 1]]


@pytest.mark.parametrize("verb", SAME_CALLS)
def test_RCV_a_verb_makes_the_calls_of_one_that_is_under_test(verb: str, folder: Path) -> None:
    name, act = SAME_CALLS[verb]
    operation = BY_NAME[name]
    assert _calls(operation, act, folder) == _calls(operation, operation.run, folder)


@pytest.mark.parametrize("verb", READS)
def test_RCV_what_reads_changes_nothing(verb: str, folder: Path) -> None:
    store = _fresh(BY_NAME["delete-filter"], folder)
    before = read_image(store.folder)
    READS[verb](store)
    assert read_image(store.folder) == before


# The command line ---------------------------------------------------------------------------------

#: Command → the operations that it is made of; nothing if it only reads.
COMMANDS: dict[str, tuple[str, ...]] = {
    "init": ("init",), "import": ("import-append", "import-keep"), "attach": ("attach",),
    "materialize": ("materialize",), "export": ("export",), "snapshot": ("snapshot",),
    "delete": ("tombstone",), "restore": ("restore",), "state set": ("state-set",),
    "state clear": ("state-clear",), "namespace register": ("register-later",),
    "root init": ("init-root",), "maintenance registry-freeze": ("freeze",),
    "maintenance overlay-compact": ("compact-parts", "compact-single"),
    "maintenance overlay-remove": ("remove-overlay", "archive-overlay"),
    "maintenance dedupe": ("dedupe",), "maintenance merge": ("merge-datasets",),
    "densegen repair": ("densegen-repair",), "legacy convert": ("legacy-convert",),
    "dev make-mock": ("make-mock",), "dev add-demo-cols": ("add-demo-cols",),
    "pull": ("pull", "pull-new"), "remotes add": ("remotes-add",),
    "remotes wizard": ("remotes-add",),
    # An event that a read leaves where a file was picked implicitly, as log_event writes one.
    "head": ("log-event",), "cols": ("log-event",), "cell": ("log-event",),
    # Killed at any command of its scripts in tests/sync.
    "push": (),
    # Under its own tests: what a doctor mends is what a next writer mends.
    "doctor": (),
    **dict.fromkeys(("ls", "info", "schema", "describe", "get", "grep", "validate", "diff",
                     "status", "events tail", "namespace list", "namespace show", "state get",
                     "remotes list", "remotes show", "remotes doctor"), ()),
    # A notebook or the explorer is served; the demo is imported and attached as any other data.
    "open": (), "demo": ("init", "import-append", "attach"),
}  # fmt: skip


def test_RCV_every_command_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USR_SHOW_DEV_COMMANDS", "1")
    live = set(leaves())
    assert live - set(COMMANDS) == set(), "put each into COMMANDS of tests/crash/test_complete.py"
    assert set(COMMANDS) - live == set(), "these are gone"
    assert {n for names in COMMANDS.values() for n in names} <= set(BY_NAME)
    writing = {n for n, good in GOOD.items() if good.added or good.altered or good.removed}
    assert {n for n in writing if not COMMANDS[n]} == set()
