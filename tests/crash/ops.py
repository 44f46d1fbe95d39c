"""The operations under test, and the store that they start from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from usr_nb import Dataset, compute_id, init_root, merge_datasets, register_namespace
from usr_nb.dataset.archiving import archive_dataset
from usr_nb.storage import slots

SEQUENCES = ["ACGTACGTAA", "TTGACAGGGC", "TATAATCCGT", "acgtacgtaa", "GGGGCCCCAT", "CATCATCATC"]
IDS = [compute_id("dna", s) for s in SEQUENCES]
NEW = ["TTTTTTTTTT", "CCCCCCCCCC"]
NAME = "ns/demo"
#: So many that the next commits take old slots away.
MANY_SLOTS = 70


@dataclass(frozen=True)
class Store:
    """One root, in a folder of its own, with a place beside it to export to."""

    folder: Path

    @property
    def root(self) -> Path:
        """The root."""
        return self.folder / "root"

    @property
    def fresh(self) -> Path:
        """A root that does not exist yet."""
        return self.folder / "fresh"

    @property
    def out(self) -> Path:
        """The file that is exported to."""
        return self.folder / "out.csv"

    def ds(self, name: str = NAME) -> Dataset:
        """Open a dataset."""
        return Dataset.open(self.root, name)


@dataclass(frozen=True)
class Operation:
    """One verb under test.

    `does` is what has to change: the merged table, the registry, files beside them, or only the
    log. `commits` is how many commit points it has; between two of them its state is between
    before and after. `prepare` is what happened to the store before.
    """

    name: str
    run: Callable[[Store], Any]
    prepare: Callable[[Store], Any] | None = None
    dataset: str = NAME
    commits: int = 1
    does: Literal["table", "registry", "files", "log"] = "table"
    slot: bool = True

    @property
    def registers(self) -> bool:
        """Whether a registry is written."""
        return self.does == "registry" or self.name == "import-keep"


def build_store(folder: Path) -> Store:
    """Make a store with everything in it that a change can meet."""
    store = Store(folder)
    register_namespace(store.root, namespace="m", columns="n:float64,s:string,l:list<float64>")
    register_namespace(store.root, namespace="k", columns="x:float64")
    ds = store.ds()
    ds.init(source="test")
    ds.add_sequences(SEQUENCES, bio_type="dna", alphabet="dna_4", source="start")
    ds.write_overlay_part(
        "m", pa.table({"id": IDS[:4], "m__n": [1.0, 2.0, None, 4.0], "m__s": list("abcd")})
    )
    ds.write_overlay_part("m", pa.table({"id": IDS[1:3], "m__n": [20.0, 30.0]}))
    ds.write_overlay_part("k", pa.table({"id": IDS, "k__x": [float(i) for i in range(6)]}))
    with ds.maintenance("test"):
        ds.compact_overlay("k", single_file=True)
    ds.write_overlay_part("k", pa.table({"id": IDS[:1], "k__x": [100.0]}))
    ds.tombstone(IDS[5], reason="test")
    ds.set_state(IDS[:2], masked=True, split="train")
    other = store.ds("ns/other")
    other.init()
    other.add_sequences([*NEW, SEQUENCES[0]], bio_type="dna", alphabet="dna_4")
    other.write_overlay_part("k", pa.table({"id": [compute_id("dna", NEW[0])], "k__x": [7.0]}))
    store.ds("ns/empty").init()
    ds.snapshot_dir.mkdir()
    for n in range(5):
        # As many automatic snapshots as are kept, so that the next one pushes one out.
        name = f"records-2026010{n + 1}T000000000000-auto.parquet"
        shutil.copyfile(ds.records_path, ds.snapshot_dir / name)
    return store


def part(store: Store, value: float = 5.0) -> Any:
    table = pa.table({"id": IDS[2:4], "m__n": [value, value]})
    return store.ds().write_overlay_part("m", table)


def _attach(store: Store) -> Any:
    table = pa.table({"id": IDS[:3], "m__n": [7.0, 8.0, 9.0], "m__l": [[1.0], None, [2.0, 3.0]]})
    return store.ds().write_overlay("m", table, overwrite=True)


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
    Operation("init-root", lambda s: init_root(s.fresh), does="registry"),
    Operation(
        "log-event", lambda s: s.ds().log_event("my_tool.done", args={"n": 1}), does="log",
        slot=False,
    ),
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
