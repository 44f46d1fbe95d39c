"""The demo root: the quickstart's small dataset and the simulated SOS library.

Built step by step through the public library. Each step looks first whether it was done before,
in the event log and in the footers of the parts, so that an interrupted build goes on where it
stopped and a finished one is left as it is, with everything its user did to it since.
"""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from usr_nb.contract.events import decode_event, operation_of
from usr_nb.contract.registry import Column, parse_columns_spec
from usr_nb.contract.types import same_type
from usr_nb.dataset.columns import load_columns, set_column
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.listing import list_datasets
from usr_nb.dataset.registration import register_namespace
from usr_nb.errors import NamespaceError, ValidationError, some
from usr_nb.overlay.parts import META_EVENT, parts_of
from usr_nb.storage import registryfile
from usr_nb.storage.layout import Layout, real_path
from usr_nb.storage.view import open_view
from usr_nb.tools import sos
from usr_nb.tools.places import demo_file

Say = Callable[[str], None]

QUICKSTART: Final = "densegen/demo"
LIBRARY: Final = "promoters/sos"
"""The dataset ids of the demo root."""

_QUICKSTART_COLUMNS: Final = (
    "quickstart__X_value:list<float64>,quickstart__intensity_log2_offset_delta:float64"
)
_ATTACH_ONE: Final = ("demo_attachment_one.csv", "X_value", False)
_ATTACH_TWO: Final = ("demo_y_sfxi.csv", "intensity_log2_offset_delta", True)


def quiet(_: str) -> None:
    """Say nothing: the default of :func:`build_demo`."""


def build_demo(root: str | os.PathLike[str], *, say: Say = quiet) -> Path:
    """Build the demo root, or finish it; a finished one stays as it is.

    Parameters
    ----------
    root : path
        A new or empty folder, or a root. Written below it: ``registry.yaml``, ``densegen/demo``
        (36 promoters, the quickstart) and ``promoters/sos`` (20,000 simulated promoters).
    say : callable
        Called with each line to show: the step as a command, then its result.

    Returns
    -------
    Path
        The root, absolute.

    Raises
    ------
    ValidationError
        The folder is no root and holds other files.
    NamespaceError
        A namespace of the demo is registered there with other types.
    PathNotFound
        The demo material is not installed.

    Examples
    --------
    >>> lines = []
    >>> root = build_demo("/tmp/demo", say=lines.append)  # doctest: +SKIP
    """
    started = time.monotonic()
    base = real_path(root)
    _refuse_foreign(base)
    say(f"Demo root: {base} (the commands below mean this root, as with USR_ROOT or --root)")
    step = _Steps(base, say)
    _build_quickstart(step)
    _build_library(step)
    say("")
    say(f"The demo is ready: {QUICKSTART} and {LIBRARY} ({time.monotonic() - started:.1f} s)")
    return base


def _refuse_foreign(root: Path) -> None:
    """Raise for a home folder or a project: nobody wants a registry among other files."""
    if root.exists() and not root.is_dir():
        raise ValidationError(f"{root} is not a folder", hint="Name a new or an empty folder.")
    if not root.is_dir() or registryfile.load_or_none(root) is not None:
        return
    strangers = sorted(e.name for e in root.iterdir() if not e.name.startswith((".", "_txn")))
    if strangers:
        raise ValidationError(
            f"{root} is no root of datasets, and it is not empty: {some(strangers, 3)}",
            hint="Name a new or an empty folder.",
        )


@dataclass(frozen=True)
class _Steps:
    """The steps that both datasets share; each says what it did."""

    root: Path
    say: Say

    def title(self, text: str) -> None:
        self.say("")
        self.say(text)

    def command(self, *words: str) -> None:
        self.say("  $ " + shlex.join(words))

    def result(self, text: str) -> None:
        self.say(f"      {text}")

    def register(self, namespace: str, columns: str, owner: str, description: str) -> None:
        self.command("usr", "namespace", "register", namespace, "--columns", columns)
        registry = registryfile.load_or_none(self.root)
        known = registry.get(namespace) if registry is not None else None
        wanted = parse_columns_spec(columns, namespace)
        if known is None:
            register_namespace(
                self.root, namespace=namespace, columns=columns, owner=owner,
                description=description,
            )  # fmt: skip
            self.result(f"registered {_count(len(wanted), 'column')}")
            return
        missing = [c for c in wanted if not _has(known.columns, c, self.root)]
        if missing:
            register_namespace(
                self.root, namespace=namespace, columns=[*known.columns, *missing],
                owner=known.owner, description=known.description, overwrite=True,
            )  # fmt: skip
        self.result(f"added {_count(len(missing), 'column')}" if missing else "registered already")

    def tell(self, column: str, words: Mapping[str, str]) -> None:
        """Say what people need to know of a column; what is said already stays."""
        # The command's --format is the form of its output.
        options = [("--number" if k == "format" else f"--{k}", v) for k, v in words.items()]
        self.command("usr", "columns", "set", column, *(w for pair in options for w in pair))
        known = load_columns(self.root).get(column)
        missing = {k: v for k, v in words.items() if getattr(known, k, None) is None}
        if missing:
            set_column(self.root, column, **missing)  # type: ignore[arg-type]
        self.result("told in columns.yaml" if missing else "told already")

    def init(self, name: str, source: str, notes: str) -> Dataset:
        self.command("usr", "init", name, "--source", source, "--notes", notes)
        ds = Dataset.open(self.root, name)
        if name in list_datasets(self.root):
            self.result("there already")
        else:
            ds.init(source=source, notes=notes)
            self.result(f"created {ds.records_path.relative_to(self.root)}")
        return ds

    def fill(self, ds: Dataset, file: str) -> None:
        path = demo_file(file)
        self.command(
            "usr", "import", ds.name, "--from", "csv", "--path", _short(path),
            "--bio-type", "dna", "--alphabet", "dna_4",
        )  # fmt: skip
        rows = ds.info().rows
        if rows or any(e.get("action") == "import_rows" for e in ds.events()):
            self.result(f"{rows:,} records there already")
        else:
            self.result(f"imported {ds.import_csv(path, source=file):,} records")


def _has(known: Iterable[Column], wanted: Column, root: Path) -> bool:
    for column in known:
        if column.name == wanted.name:
            if not same_type(column.arrow_type, wanted.arrow_type):
                raise NamespaceError(
                    f"{root}: column {wanted.name} is registered as {column.type}, "
                    f"the demo needs {wanted.type}",
                    hint="Build the demo in another folder.",
                )
            return True
    return False


def _short(path: Path) -> str:
    """Return the path as a person standing here would type it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


# ------------------------------------------------------------------ densegen/demo


def _build_quickstart(step: _Steps) -> None:
    step.title(f"{QUICKSTART}: the quickstart")
    step.register("quickstart", _QUICKSTART_COLUMNS, "usr demo", "Columns of the quickstart")
    ds = step.init(QUICKSTART, "readme quickstart", "hello, world")
    step.fill(ds, "demo_sequences.csv")
    for file, column, allow_missing in (_ATTACH_ONE, _ATTACH_TWO):
        _attach(step, ds, file, column, allow_missing=allow_missing)
    _materialize(step, ds)


def _attach(step: _Steps, ds: Dataset, file: str, column: str, *, allow_missing: bool) -> None:
    path = demo_file(file)
    step.command(
        "usr", "attach", ds.name, "--path", _short(path), "--namespace", "quickstart",
        "--key", "sequence", "--key-col", "sequence", "--columns", column,
        *(["--allow-missing"] if allow_missing else []),
    )  # fmt: skip
    # The column itself is the proof: values under another's hand count as well.
    if f"quickstart__{column}" in ds.schema().names:
        step.result(f"quickstart__{column} is there already")
        return
    matched = ds.attach(
        path, "quickstart", key="sequence", key_col="sequence", columns=[column],
        allow_missing=allow_missing,
    )  # fmt: skip
    step.result(f"attached quickstart__{column} to {matched} of {ds.info().rows} records")


def _materialize(step: _Steps, ds: Dataset) -> None:
    step.command("usr", "materialize", ds.name)
    base = ds.schema(include_overlays=False).names
    if {f"quickstart__{column}" for _, column, _ in (_ATTACH_ONE, _ATTACH_TWO)} <= set(base):
        step.result("the base holds the columns already")
        return
    with ds.maintenance(reason="readme quickstart"):
        ds.materialize()
    step.result(f"wrote the overlays into {ds.records_path.name}, and kept them")


# ------------------------------------------------------------------ promoters/sos


def _build_library(step: _Steps) -> None:
    step.title(f"{LIBRARY}: an SOS biosensor library, simulated")
    for namespace, spec in sos.REGISTRY.items():
        step.register(namespace, spec.spec(), spec.owner, spec.description)
    for column, words in sos.COLUMN_WORDS.items():
        step.tell(column, words)
    ds = step.init(LIBRARY, "simulated SOS library", "made by demo_material/make_sos.py")
    step.fill(ds, "demo_library.csv.gz")
    written = Counter(_writers(ds))
    planned = sos.overlays(sos.read_library(demo_file("demo_library.csv.gz")))
    for (namespace, tool, run_id), parts in groupby(planned, key=_writer):
        todo = list(parts)
        step.say(f"  > ds.write_overlay_part({namespace!r}, ...)  # by {tool}, run {run_id}")
        done = written[namespace, tool, run_id]
        rows = sum(
            ds.write_overlay_part(
                namespace, part.table, key=part.key, allow_missing=True,
                actor={"tool": tool, "run_id": run_id},
            )
            for part in todo[done:]
        )  # fmt: skip
        fresh = max(0, len(todo) - done)
        step.result(f"wrote {rows:,} rows in {_count(fresh, 'part')}" if fresh else "there already")


def _writer(part: sos.OverlayStep) -> tuple[str, str, str]:
    return part.namespace, part.tool, part.run_id


def _writers(ds: Dataset) -> Iterator[tuple[str, str, str]]:
    """Yield (namespace, tool, run id) of every part written so far.

    The log alone is not enough: between a part and its line the power may fail. The parts alone
    are not enough either: their user may have compacted or removed them.
    """
    told = {operation_of(event): event for event in [*_footer_events(ds), *ds.events()]}
    for operation, event in told.items():
        args, actor = event.get("args"), event.get("actor")
        if operation is None or not isinstance(args, dict) or not isinstance(actor, dict):
            continue
        if event["action"] == "write_overlay_part":
            yield str(args.get("namespace")), str(actor.get("tool")), str(actor.get("run_id"))


def _footer_events(ds: Dataset) -> Iterator[dict[str, Any]]:
    with open_view(Layout(ds.dir)) as view:
        for namespace in sorted(view.overlays):
            for part in parts_of(view, namespace):
                event = decode_event(part.metadata.get(META_EVENT, b""))
                if event is not None:
                    yield event
