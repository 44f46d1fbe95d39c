"""Where each public verb stands in the crash harness; a new one has to find its place here.

``tests/architecture/test_verbs.py`` sees that none is missing, ``test_verbs.py`` that each list is
true.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import usr_nb
from tests.crash.ops import plan_attach
from tests.crash.store import IDS, NAME, NEW, Store
from usr_nb import Dataset, F
from usr_nb.dataset.plans.plan import Receipt
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
    "log_event": "log-event", "save_filter": "save-filter",
    "save_selection": "save-selection", "delete_filter": "delete-filter",
    "append_meta_note": "note", "export": "export", "merge_datasets()": "merge-datasets",
    "set_column()": "set-column",
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


def _no_selection(store: Store) -> None:
    with pytest.raises(usr_nb.RecordNotFound):
        store.ds().selection("none")


def _undo(store: Store) -> Any:
    was = pa.table({"id": IDS[:1], "usr_state__split": pa.array([None], pa.string())})
    now = pa.table({"id": IDS[:1], "usr_state__split": ["train"]})
    receipt = Receipt("state_set", NAME, "x", "y", (), (), {}, {}, before=was, after=now)
    return store.ds().plan_undo(receipt)


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

#: What looks first: plan → what applying it makes the calls of, and how it is made. Making one
#: only reads.
PLANS: dict[str, tuple[str, Act]] = {
    "plan_attach": ("plan-attach", plan_attach),
    "plan_materialize": ("materialize", lambda s: s.ds().plan_materialize()),
    "plan_compact": ("compact-parts", lambda s: s.ds().plan_compact("m")),
    "plan_tombstone": ("tombstone", lambda s: s.ds().plan_tombstone(IDS[:2], "why")),
    "plan_restore": ("restore", lambda s: s.ds().plan_restore(IDS[5])),
    "plan_state": ("state-set", lambda s: s.ds().plan_state(IDS[1:3], split="val")),
    "plan_states": ("state-set",
        lambda s: s.ds().plan_states([{"id": i, "split": "val"} for i in IDS[1:3]])),
    "plan_undo": ("state-set", _undo),
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
    "pick": lambda s: s.ds().pick(where=F["m__n"] > 1),
    "find_table": lambda s: s.ds().find_table(2, where=F["m__n"] > 1, order_by="length desc"),
    "outcome": lambda s: s.ds().outcome("0" * 16),
    "filter": lambda s: s.ds().filter("old"), "find_motif": lambda s: s.ds().find_motif("ACG"),
    "selections": lambda s: s.ds().selections(), "selection": _no_selection,
    "validate": lambda s: s.ds().validate(), "doctor": lambda s: s.ds().doctor(),
    "import_report": lambda s: s.ds().import_report(_csv(s)),
    "profile": lambda s: s.ds().profile(),
    "sync_plan": _plan_nothing, "plan_pull": _plan_nothing, "plan_push": _plan_nothing,
    "doctor()": lambda s: usr_nb.doctor(s.root),
    "load_columns()": lambda s: usr_nb.load_columns(s.root),
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


#: Command → the operations that it is made of; nothing if it only reads.
COMMANDS: dict[str, tuple[str, ...]] = {
    "init": ("init",), "import": ("import-append", "import-keep"), "attach": ("attach",),
    "materialize": ("materialize",), "export": ("export",), "snapshot": ("snapshot",),
    "delete": ("tombstone",), "restore": ("restore",), "state set": ("state-set",),
    "state clear": ("state-clear",), "namespace register": ("register-later",),
    "root init": ("init-root",), "columns set": ("set-column",),
    "maintenance registry-freeze": ("freeze",),
    "maintenance overlay-compact": ("compact-parts", "compact-single"),
    "maintenance overlay-remove": ("remove-overlay", "archive-overlay"),
    "maintenance dedupe": ("dedupe",), "maintenance merge": ("merge-datasets",),
    "densegen repair": ("densegen-repair",), "legacy convert": ("legacy-convert",),
    "dev make-mock": ("make-mock",), "dev add-demo-cols": ("add-demo-cols",),
    "filters save": ("save-filter",), "filters delete": ("delete-filter",),
    "pull": ("pull", "pull-new"), "remotes add": ("remotes-add",),
    "remotes wizard": ("remotes-add",),
    # An event that a read leaves where a file was picked implicitly, as log_event writes one.
    "head": ("log-event",), "cols": ("log-event",), "cell": ("log-event",),
    # Killed at any command of its scripts in tests/sync.
    "push": (),
    # Under its own tests: what a doctor mends is what a next writer mends.
    "doctor": (),
    **dict.fromkeys(("ls", "info", "schema", "describe", "get", "grep", "validate", "diff",
                     "status", "events tail", "namespace list", "namespace show", "columns list",
                     "state get", "pick", "why", "filters list",
                     "remotes list", "remotes show", "remotes doctor"), ()),
    # A notebook or the explorer is served; the demo is imported and attached as any other data.
    "open": (), "demo": ("init", "import-append", "attach"),
}  # fmt: skip
