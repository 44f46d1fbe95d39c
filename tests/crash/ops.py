"""The operations under test: every verb that changes the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import pyarrow as pa

from tests.crash import pulling
from tests.crash.store import IDS, NAME, NEW, SEQUENCES, Store, build_store
from usr_nb import F, init_root, merge_datasets, register_namespace, set_column
from usr_nb.dataset.archiving import archive_dataset
from usr_nb.storage import slots
from usr_nb.sync import remotes
from usr_nb.tools import legacy, mock
from usr_nb.tools.densegen import repair
from usr_nb.tools.densegen.survey import TYPES

#: So many that the next commits take old slots away.
MANY_SLOTS = 70


@dataclass(frozen=True)
class Operation:
    """One verb under test.

    `does` is what has to change: the merged table, the registry, files beside them, or only the
    log. `commits` is how many commit points it has; between two of them its state is between
    before and after. `prepare` is what happened to the store before. `again`: doing it once more
    after a kill gives the state after, whatever the kill left.
    """

    name: str
    run: Callable[[Store], Any]
    prepare: Callable[[Store], Any] | None = None
    dataset: str = NAME
    commits: int = 1
    does: Literal["table", "registry", "files", "log"] = "table"
    slot: bool = True
    again: bool = False

    @property
    def registers(self) -> bool:
        """Whether a registry is written."""
        return self.does == "registry" or self.name in ("import-keep", "pull-new", "legacy-convert")

    @property
    def writes_out(self) -> bool:
        """Whether it writes a file of no dataset."""
        return self.name in ("export", "remotes-add")


def part(store: Store, value: float = 5.0) -> Any:
    table = pa.table({"id": IDS[2:4], "m__n": [value, value]})
    return store.ds().write_overlay_part("m", table)


def _attach(store: Store) -> Any:
    table = pa.table({"id": IDS[:3], "m__n": [7.0, 8.0, 9.0], "m__l": [[1.0], None, [2.0, 3.0]]})
    return store.ds().write_overlay("m", table, overwrite=True)


def plan_attach(store: Store) -> Any:
    table = pa.table({"id": IDS[:3], "m__n": [7.0, 8.0, 9.0], "m__l": [[1.0], None, [2.0, 3.0]]})
    return store.ds().plan_attach(table, "m", key="id", allow_overwrite=True)


def _maintain(store: Store, verb: str, *args: Any, **options: Any) -> Any:
    ds = store.ds()
    with ds.maintenance("test"):
        return getattr(ds, verb)(*args, **options)


def maintained(verb: str, *args: Any, **options: Any) -> Callable[[Store], Any]:
    return lambda store: _maintain(store, verb, *args, **options)


def _new_namespace(store: Store) -> Any:
    return register_namespace(store.root, namespace="later", columns="later__v:int64")


def _many_slots(store: Store) -> None:
    layout = store.ds()._ctx.layout
    template = store.ds().events(n=1)[0]
    for _ in range(MANY_SLOTS):

        def tell(stage: slots.Stage) -> None:
            stage.event({**template, "artifacts": {}})

        slots.commit(layout.dir, tell, action="registry_freeze")


def _import(store: Store, name: str = NAME, **options: Any) -> Any:
    return store.ds(name).import_rows(
        pa.table({"sequence": NEW, "score": [1.5, 2.5]}), source="new", **options
    )


def _restamped(store: Store) -> None:
    _new_namespace(store)


def _with_filter(store: Store) -> None:
    store.ds().save_filter("old", F["m__n"] > 1)


def _mock_columns(store: Store) -> None:
    spec = "x_representation:list<float32>,label_vec8:list<float32>"
    register_namespace(store.root, namespace="demo", columns=spec)


def _add_demo_cols(store: Store) -> Any:
    return mock.add_demo_cols(store.ds(), x_dim=2, y_dim=2)


def _make_mock(store: Store) -> Any:
    return mock.make_mock(store.root, "ns/new", n=3, length=10, x_dim=2, y_dim=2)


def _convert(store: Store) -> Any:
    entries = [{"sequence": s * 6, "evo2_logits_mean_pooled": [1.0] * 512} for s in SEQUENCES[:2]]
    file = store.root / "registry.yaml"  # Any file: what it holds is given here.
    with (
        patch.object(legacy, "load_pt", lambda path: entries),
        patch.object(legacy, "pt_files", lambda paths: [file]),
    ):
        return legacy.convert(store.root, "ns/new", [file])


def _legacy_columns(store: Store) -> None:
    legacy.register_columns(store.root, ["densegen", "infer"])


def _densegen(store: Store) -> None:
    spec = ",".join(f"{name}:{text}" for name, text in TYPES.items())
    register_namespace(store.root, namespace="densegen", columns=spec)
    row = {"id": IDS[1], "plan": "sigma70_high", "tfbs_parts": ["LexA:TTGACA", "x:A"]}
    store.ds().write_overlay_part("densegen", [row])


def _add_remote(store: Store) -> Any:
    with patch.dict(os.environ, USR_REMOTES_PATH=str(store.out)):
        return remotes.add(pulling.REMOTE)


OPERATIONS: tuple[Operation, ...] = (
    Operation("init", lambda s: s.ds("ns/new").init(source="x", notes="y"), dataset="ns/new"),
    Operation("import-first", lambda s: _import(s, "ns/empty"), dataset="ns/empty"),
    Operation("import-append", _import),
    Operation("import-keep", lambda s: _import(s, keep="kept"), commits=2),
    Operation("part", part, slot=False),
    Operation("attach", _attach, slot=False),
    Operation("attach-after-register", _attach, prepare=_new_namespace, commits=2, slot=False),
    Operation("tombstone", lambda s: s.ds().tombstone(IDS[:2], reason="why")),
    Operation("tombstone-many-slots", lambda s: s.ds().tombstone(IDS[:2]), prepare=_many_slots),
    Operation("restore", lambda s: s.ds().restore(IDS[5])),
    Operation("state-set", lambda s: s.ds().set_state(IDS[1:3], qc_status="pass", split="val")),
    Operation("state-clear", lambda s: s.ds().clear_state(IDS[:1])),
    Operation("snapshot", lambda s: s.ds().snapshot("mine"), does="files"),
    Operation("materialize", maintained("materialize"), does="files"),
    Operation(
        "materialize-snapshot",
        maintained("materialize", ["k"], snapshot_before=True),
        does="files",
    ),
    Operation("materialize-drop", maintained("materialize", keep_overlays=False), does="files"),
    Operation(
        "materialize-archive", maintained("materialize", archive_overlays=True), does="files"
    ),
    Operation("materialize-drop-deleted", maintained("materialize", drop_deleted=True)),
    Operation("compact-parts", maintained("compact_overlay", "m"), does="files"),
    Operation(
        "compact-single", maintained("compact_overlay", "k", single_file=True), does="files"
    ),
    Operation("dedupe", maintained("dedupe", "sequence_ci")),
    Operation(
        "merge-datasets",
        lambda s: merge_datasets(s.root, dest=NAME, src="ns/other", carry_namespace="k"),
    ),
    Operation("freeze", maintained("freeze_registry"), prepare=_restamped, does="files"),
    Operation("remove-overlay", maintained("remove_overlay", "k", "delete")),
    Operation("archive-overlay", maintained("remove_overlay", "m", "archive")),
    Operation(
        "register-first",
        lambda s: register_namespace(s.fresh, namespace="one", columns="one__v:int64"),
        does="registry",
    ),
    Operation("register-later", _new_namespace, does="registry"),
    Operation(
        "set-column", lambda s: set_column(s.root, "m__n", unit="nats"), does="registry"),
    Operation("init-root", lambda s: init_root(s.fresh), does="registry"),
    Operation(
        "log-event", lambda s: s.ds().log_event("my_tool.done", args={"n": 1}), does="log",
        slot=False,
    ),
    Operation(
        "save-filter", lambda s: s.ds().save_filter("new", F["m__n"] > 2), does="log", slot=False
    ),
    Operation(
        "delete-filter", lambda s: s.ds().delete_filter("old"), prepare=_with_filter, does="log",
        slot=False),
    Operation(
        "save-selection", lambda s: s.ds().save_selection("best", s.ds().pick(top=2)),
        does="files"),
    Operation("plan-attach", lambda s: plan_attach(s).apply()),
    Operation(
        "note", lambda s: s.ds().append_meta_note("by hand", "usr info"), does="log", slot=False,
    ),
    Operation("pull", pulling.pull, prepare=pulling.with_remote, again=True),
    Operation(
        "pull-new", lambda s: pulling.pull(s, "ns/new"), prepare=pulling.with_new_remote,
        dataset="ns/new", commits=2, again=True),
    Operation(
        "make-mock", _make_mock, prepare=_mock_columns, dataset="ns/new"),
    Operation(
        "add-demo-cols", _add_demo_cols, prepare=_mock_columns),
    Operation(
        "legacy-convert", _convert, prepare=_legacy_columns, dataset="ns/new"),
    Operation("densegen-repair", lambda s: repair(s.ds()), prepare=_densegen),
    Operation("remotes-add", _add_remote, does="files", slot=False),
    Operation("export", lambda s: s.ds().export("csv", s.out), does="files", slot=False),
    Operation("archive-dataset", lambda s: archive_dataset(s.ds()._ctx), slot=False),
)  # fmt: skip
BY_NAME = {o.name: o for o in OPERATIONS}


@cache
def _base(folder: Path) -> Path:
    return build_store(folder / "base").folder


def template(folder: Path, operation: Operation) -> Path:
    """Return a store as the operation finds it; made once per process and never changed."""
    base = _base(folder)
    if operation.prepare is None:
        return base
    target = folder / f"for-{operation.name}"
    if not target.exists():
        shutil.copytree(base, target)
        operation.prepare(Store(target))
    return target
