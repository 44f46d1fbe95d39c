"""What a dataset is: counts, overlays, files (contract GET-1, DEL-2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from usr_nb.contract.essentials import META_CREATED_AT, META_REGISTRY_HASH
from usr_nb.contract.names import TOMBSTONE_NS
from usr_nb.contract.times import to_text
from usr_nb.contract.types import type_text
from usr_nb.dataset.context import Context
from usr_nb.dataset.glance import last_change
from usr_nb.errors import SequencesError
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import parts_of
from usr_nb.storage import registryfile
from usr_nb.storage.layout import TXN
from usr_nb.storage.parquet import file_metadata


@dataclass(frozen=True)
class OverlayInfo:
    """One namespace's overlay: its key, columns, number of parts, their rows and bytes."""

    namespace: str
    key: str
    columns: list[str]
    parts: int
    rows: int
    size_bytes: int
    oldest: str
    newest: str


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset at a glance.

    ``rows`` counts the base; ``rows_live`` leaves the tombstoned ones out. ``size_bytes`` is the
    base's. ``columns`` are those a read gives.
    """

    name: str
    path: str
    root: str
    rows: int
    rows_live: int
    rows_deleted: int
    columns: list[str]
    namespaces: list[str]
    overlays: list[OverlayInfo]
    size_bytes: int
    created_at: str | None
    updated: str | None
    registry_hash: str | None


@dataclass(frozen=True)
class Manifest:
    """Every file of a dataset with its size in bytes and SHA-256, by path; ``_txn/`` left out."""

    dataset: str
    files: dict[str, dict[str, Any]]


def overlay_infos(ctx: Context) -> list[OverlayInfo]:
    """Return what overlays there are, reserved ones included, A-Z."""
    found = []
    with ctx.view() as view:
        for ns, files in view.overlays.items():
            infos = parts_of(view, ns)
            sizes = 0
            for f in files:
                with view.open(f) as opened:
                    sizes += _size(f.at, opened.metadata.serialized_size)
            columns = list(dict.fromkeys(c for i in infos for c in i.columns))
            found.append(
                OverlayInfo(
                    namespace=ns,
                    key=infos[0].key,
                    columns=columns,
                    parts=len(infos),
                    rows=sum(i.rows for i in infos),
                    size_bytes=sizes,
                    oldest=to_text(infos[0].created_at),
                    newest=to_text(infos[-1].created_at),
                )
            )
    return found


def _size(path: Path, least: int) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return least


def dataset_info(ctx: Context) -> DatasetInfo:
    """Return the dataset at a glance."""
    overlays = overlay_infos(ctx)
    with ctx.merged() as merged:
        meta = file_metadata(merged.view.base)
        live = merged.live_mask()
        deleted = 0 if live is None else int((~live).sum())
        try:
            columns = list(merged.schema.names)
        except SequencesError:
            # An unregistered leftover must not keep anyone from seeing what there is.
            columns = list(merged.base_schema.names)
        return DatasetInfo(
            name=ctx.name,
            path=str(ctx.layout.dir),
            root=str(ctx.root),
            rows=merged.base_rows,
            rows_live=merged.base_rows - deleted,
            rows_deleted=deleted,
            columns=columns,
            namespaces=[o.namespace for o in overlays if o.namespace != TOMBSTONE_NS],
            overlays=overlays,
            size_bytes=_size(ctx.layout.records, 0),
            created_at=_text(meta.get(META_CREATED_AT)),
            updated=last_change(ctx.layout),
            registry_hash=_text(meta.get(META_REGISTRY_HASH)),
        )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", errors="replace")


def info_dict(ctx: Context) -> dict[str, Any]:
    """Return :func:`dataset_info` as plain values."""
    return asdict(dataset_info(ctx))


def schema_fields(merged: Merged) -> list[dict[str, Any]]:
    """Return ``[{name, type, nullable}]`` of the merged table."""
    return [
        {"name": f.name, "type": type_text(f.type), "nullable": f.nullable} for f in merged.schema
    ]


def manifest(ctx: Context) -> Manifest:
    """Return every file of the dataset with its digest; locks and slots are left out."""
    files: dict[str, dict[str, Any]] = {}
    with ctx.view():
        pass
    for path in sorted(ctx.layout.dir.rglob("*")):
        rel = path.relative_to(ctx.layout.dir)
        skip = rel.parts[0] == TXN or path.name == ".usr.lock" or path.name.startswith(".tmp-")
        if skip or path.is_symlink() or not path.is_file():
            continue
        size = path.stat().st_size
        files[rel.as_posix()] = {"size": size, "sha256": registryfile.file_hash(path)}
    return Manifest(ctx.name, files)


def manifest_dict(ctx: Context) -> Mapping[str, Any]:
    """Return :func:`manifest` as plain values."""
    return asdict(manifest(ctx))
