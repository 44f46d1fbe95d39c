"""One dataset and what every change of it needs: registry, view, events, notes, freezing."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from usr_nb._version import __version__
from usr_nb.contract.essentials import META_REGISTRY_HASH
from usr_nb.contract.events import Fingerprint, build_event, env_actor, redact_command
from usr_nb.contract.registry import Registry
from usr_nb.contract.times import to_text, utc_now
from usr_nb.errors import DatasetNotFound, SequencesError, StorageError
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import Cells, link_part, part_file_name, part_metadata
from usr_nb.storage import door, eventlog, inside, notes, registryfile, slots
from usr_nb.storage.layout import RECORDS, Layout, frozen_registry, overlay_file, overlay_folder
from usr_nb.storage.parquet import (
    file_metadata,
    open_parquet,
    rewrite_footer,
    with_metadata,
    write_batches,
)
from usr_nb.storage.roots import Place, not_found
from usr_nb.storage.view import View, open_view

T = TypeVar("T")
Actor = Mapping[str, str | None] | str


@dataclass
class Context:
    """A dataset's place, and the maintenance section it is in, if any."""

    place: Place
    layout: Layout = field(init=False)
    maintenance: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.layout = Layout(self.place.dir, self.place.root)

    @property
    def root(self) -> Path:
        """The root folder."""
        return self.place.root

    @property
    def name(self) -> str:
        """The dataset id."""
        return self.place.name

    def check_links(self) -> None:
        """Raise if a file or folder of the dataset is a link that leaves the root."""
        inside.check_folder(self.layout.dir, self.root)

    def registry(self) -> Registry:
        """Return the root's registry, or raise with the command that makes one."""
        self.check_links()
        return registryfile.load(self.root)

    def reading_registry(self) -> Registry:
        """Return the registry to read with; a dataset outside any root has the frozen ones."""
        found = registryfile.load_or_none(self.root)
        if found is not None:
            return found
        frozen = list(registryfile.frozen_hashes(self.layout).values())
        return frozen[-1] if frozen else Registry()

    @contextlib.contextmanager
    def view(self, *, avoid: Collection[str] = (), use_kept: bool = False) -> Iterator[View]:
        """Open a consistent view; a missing dataset is named with what is there instead.

        With `use_kept`, for reading only, footers may be ones that were parsed before.
        """
        self.check_links()
        try:
            view = open_view(self.layout, avoid=avoid, use_kept=use_kept)
        except DatasetNotFound:
            raise not_found(self.root, self.name) from None
        with view:
            yield view

    @contextlib.contextmanager
    def merged(
        self,
        *,
        include_overlays: bool | Sequence[str] = True,
        include_deleted: bool = False,
    ) -> Iterator[Merged]:
        """Open the merged table of the present instant."""
        with self.view(use_kept=True) as view:
            yield Merged(
                view,
                self.reading_registry(),
                include_overlays=include_overlays,
                include_deleted=include_deleted,
                use_caches=True,
            )

    def event(
        self,
        action: str,
        *,
        fingerprint: Fingerprint,
        registry_hash: str | None,
        args: Mapping[str, Any],
        metrics: Mapping[str, Any],
        artifacts: Mapping[str, Any] | None = None,
        actor: Actor | None = None,
        maintenance: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return one event line of this dataset."""
        section = maintenance if maintenance is not None else self.maintenance or {}
        given = actor or (self.maintenance or {}).get("actor") or {}
        who = {"tool": given} if isinstance(given, str) else given
        return build_event(
            action=action,
            at=to_text(utc_now()),
            dataset=self.name,
            root=str(self.root),
            args=args,
            metrics=metrics,
            artifacts=artifacts or {},
            maintenance={k: v for k, v in section.items() if k != "actor"},
            fingerprint=fingerprint.as_plain(),
            registry_hash=registry_hash,
            actor=env_actor(who.get("tool"), who.get("run_id"), door.host_name(), os.getpid()),
            version=__version__,
        )

    def fingerprint(self, view: View) -> Fingerprint:
        """Return the size of the base in a view."""
        return fingerprint_of(
            self.layout.records, view.base.metadata.num_rows, top_columns(view.base)
        )


def top_columns(file: pq.ParquetFile) -> int:
    """Return the number of top-level columns of a Parquet file."""
    return len(file.schema_arrow.names)


def fingerprint_of(path: Path, rows: int, cols: int) -> Fingerprint:
    """Return the fingerprint of a base file; its SHA-256 only if ``USR_EVENT_SHA256=1``."""
    try:
        size = path.stat().st_size
        wanted = os.environ.get("USR_EVENT_SHA256") == "1"
        sha256 = registryfile.file_hash(path) if wanted else None
    except OSError:
        return Fingerprint(rows, cols, 0)
    return Fingerprint(rows, cols, size, sha256)


@dataclass
class Change:
    """One attempt at a change: the settled state to read, the stage to write to."""

    ctx: Context
    stage: slots.Stage
    view: View
    registry: Registry
    args: Mapping[str, Any]
    actor: Actor | None
    #: The plan that is applied; its events carry it, so that one can see later whether it is in.
    plan: str | None = None

    def merged(self, *, include_deleted: bool = True) -> Merged:
        """Return the merged table that this change starts from."""
        return Merged(self.view, self.registry, include_deleted=include_deleted)

    def base_metadata(self) -> dict[bytes, bytes]:
        """Return the base's footer keys, stamped with the present registry."""
        meta = file_metadata(self.view.base)
        meta[META_REGISTRY_HASH] = self.registry.hash.encode()
        return meta

    def stage_overlay(
        self,
        namespace: str,
        *,
        key: str,
        created_at: datetime,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch | pa.Table],
        single_file: bool = False,
        unspoken: Mapping[str, npt.NDArray[np.bool_]] | None = None,
        total: int | None = None,
    ) -> str:
        """Stage one overlay file, a part by default; returns its path in the dataset.

        With `total`, the rows of `batches`, it reports how many are written.
        """
        metadata = part_metadata(
            namespace=namespace,
            key=key,
            created_at=created_at,
            registry=self.registry,
            operation_id=self.stage.operation_id,
            unspoken=unspoken,
        )
        part = f"{overlay_folder(namespace)}/{part_file_name(created_at)}"
        path = overlay_file(namespace) if single_file else part
        with self.stage.file(path) as sink:
            write_batches(sink, with_metadata(schema, metadata), batches, total=total)
        return path

    def record(
        self,
        action: str,
        *,
        metrics: Mapping[str, Any],
        title: str | None,
        command: Sequence[str] | str,
        args: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, Any] | None = None,
    ) -> None:
        """Add event and note of this change, and freeze the registry if that is due (REG-8)."""
        frozen = self._freeze_if_due()
        shared: dict[str, Any] = {
            "fingerprint": self._fingerprint(),
            "registry_hash": self.registry.hash,
            "actor": self.actor,
        }
        told = {"plan": self.plan, **(artifacts or {})} if self.plan else artifacts
        event = self.ctx.event(
            action, args=args or self.args, metrics=metrics, artifacts=told, **shared
        )
        self.stage.event(event)
        if frozen and action != "registry_freeze":
            freeze = self.ctx.event(
                "registry_freeze",
                args={"auto": True},
                metrics={},
                artifacts={"registry": frozen},
                **shared,
            )
            self.stage.event(freeze)
        if title is not None:
            text = command if isinstance(command, str) else redact_command(command)
            self.stage.note(title, text)

    def _fingerprint(self) -> Fingerprint:
        staged = [i for i in self.stage.intent.install if i.path == RECORDS]
        if staged:
            path = self.stage.staged_path(RECORDS)
            with open_parquet(path) as file:
                return fingerprint_of(path, file.metadata.num_rows, top_columns(file))
        return self.ctx.fingerprint(self.view)

    def _freeze_if_due(self) -> str | None:
        path = frozen_registry(self.registry.hash)
        staged = {i.path for i in self.stage.intent.install}
        if RECORDS not in staged and META_REGISTRY_HASH not in file_metadata(self.view.base):
            self.stamp_base()
        if path in staged or (self.ctx.layout.dir / path).is_file():
            return None
        self.stage.small_file(path, self.registry.as_yaml().encode())
        return path

    def stamp_base(self) -> None:
        """Stage the base under a footer that carries the present registry hash."""
        with self.stage.file(RECORDS) as sink:
            rewrite_footer(sink, self.ctx.layout.records, self.base_metadata())


def change(
    ctx: Context,
    action: str,
    build: Callable[[Change], T],
    *,
    args: Mapping[str, Any],
    actor: Actor | None = None,
    locked: bool = True,
) -> T:
    """Run `build` on the settled state and commit what it staged, in one slot.

    A missing dataset or registry is an error before anything is written.
    """
    ctx.registry()
    with ctx.view():
        pass

    def attempt(stage: slots.Stage) -> T:
        with ctx.view() as view:
            return build(Change(ctx, stage, view, ctx.registry(), args, actor))

    return slots.commit(ctx.layout.dir, attempt, action=action, locked=locked)


def append_part(
    ctx: Context,
    namespace: str,
    write: Callable[[str], tuple[Cells, Mapping[bytes, bytes], dict[str, Any]] | None],
    *,
    title: str | None,
    command: Sequence[str],
) -> tuple[str, str] | None:
    """Link one new part, then tell of it. Takes no lock.

    `write` is given the operation id and returns (cells, footer keys, event), or None for nothing.
    """
    operation = slots.new_operation_id()
    made = write(operation)
    if made is None:
        return None
    cells, metadata, event = made
    try:
        path, sha256 = link_part(ctx.layout, namespace, cells, metadata)
    except FileNotFoundError as error:
        raise StorageError(
            f"{ctx.layout.dir} was moved or removed while a part was written to it",
            hint="Find out where it is now, and whether the part is in it, before you repeat.",
        ) from error
    event["artifacts"] = {
        "operation_id": operation,
        "files": [{"path": path, "sha256": sha256}],
        **event["artifacts"],
    }
    with after_commit("the part"):
        if title is not None:
            note = {"at": event["timestamp_utc"], "title": title,
                    "command": redact_command(command)}  # fmt: skip
            notes.append_note(ctx.layout.meta, note)
        eventlog.append_event(ctx.layout.events, event)
    return path, sha256


@contextlib.contextmanager
def after_commit(what: str) -> Iterator[None]:
    """Turn a failure after the commit point into a warning: the change stands (EVT-5)."""
    try:
        yield
    except (SequencesError, OSError) as error:
        warnings.warn(
            f"{what} is committed; its log entry will be completed by a later writer: {error}",
            slots.CommittedWarning,
            stacklevel=4,
        )


def is_frozen(ctx: Context, registry: Registry, view: View) -> bool:
    """Say whether the registry is frozen in the dataset, and the base stamped (REG-8)."""
    path = ctx.layout.dir / frozen_registry(registry.hash)
    return META_REGISTRY_HASH in file_metadata(view.base) and path.is_file()


def freeze_first(ctx: Context) -> None:
    """Freeze the registry before a part is linked (REG-8).

    It takes a slot, so that its event is never lost, but not the lock: a part waits for nobody.
    """

    def build(c: Change) -> None:
        if is_frozen(ctx, c.registry, c.view):
            return  # Another part was first.
        frozen = frozen_registry(c.registry.hash)
        c.record(
            "registry_freeze", metrics={}, title=None, command="", artifacts={"registry": frozen}
        )

    change(ctx, "registry_freeze", build, args={"auto": True}, locked=False)


def freeze(ctx: Context) -> str:
    """Freeze the present registry into the dataset and stamp the base; return its hash."""

    def build(c: Change) -> str:
        if file_metadata(c.view.base).get(META_REGISTRY_HASH) != c.registry.hash.encode():
            c.stamp_base()
        c.record(
            "registry_freeze",
            metrics={},
            title="froze the registry",
            command=["usr", "maintenance", "registry-freeze", ctx.name],
            artifacts={"registry": frozen_registry(c.registry.hash)},
        )
        return c.registry.hash

    return change(ctx, "registry_freeze", build, args={})


def require_writable(ctx: Context) -> None:
    """Raise early, with a clear reason, where the dataset folder cannot be written."""
    if not os.access(ctx.layout.dir, os.W_OK):
        raise StorageError(
            f"{ctx.layout.dir} is not writable",
            hint="Copy the dataset to a place you can write to, or ask its owner.",
        )
