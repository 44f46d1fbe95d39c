"""Overlay files: what their footers say, and how a new part is written (contract OVL-1, OVL-2)."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.order import next_created_at, part_key
from usr_nb.contract.registry import Registry
from usr_nb.contract.times import parse, to_part_stamp, to_text, utc_now
from usr_nb.contract.types import stored_as, type_text
from usr_nb.errors import NamespaceError, SchemaError
from usr_nb.storage import door
from usr_nb.storage.inside import check_parents
from usr_nb.storage.layout import Layout, overlay_folder
from usr_nb.storage.parquet import (
    Opened,
    check_names,
    file_metadata,
    with_metadata,
    write_batches,
)
from usr_nb.storage.view import OverlayFile, View

META_NAMESPACE: Final = b"usr:overlay_namespace"
META_KEY: Final = b"usr:overlay_key"
META_CREATED_AT: Final = b"usr:overlay_created_at"
META_REGISTRY: Final = b"usr:registry_hash"
META_CONTRACT: Final = b"usr:namespace_contract_hash"
META_OPERATION: Final = b"usr:operation_id"
META_EVENT: Final = b"usr:event"
META_UNSPOKEN: Final = b"usr:unspoken"

KEYS: Final[tuple[str, ...]] = ("id", "sequence", "sequence_norm", "sequence_ci")


@dataclass(frozen=True)
class PartInfo:
    """What an overlay file's footer says."""

    file: OverlayFile
    key: str
    created_at: datetime
    schema: pa.Schema
    rows: int
    metadata: dict[bytes, bytes]
    #: Inode, size, mtime in ns and SHA-256 of the footer: what a cache knows the file by.
    identity: tuple[Any, ...] = ()

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The derived columns this file holds."""
        return tuple(n for n in self.schema.names if n != self.key)

    @cached_property
    def order(self) -> tuple[datetime, str]:
        """Sort key: ascending is oldest first."""
        return part_key(self.created_at, self.file.name)

    def unspoken(self, column: str) -> npt.NDArray[np.bool_] | None:
        """Return which rows hold no value of their own in `column`, or None if all speak."""
        text = self.metadata.get(META_UNSPOKEN)
        if not text:
            return None
        try:
            marked = json.loads(text)
        except ValueError:
            marked = None
        if not isinstance(marked, dict):
            raise SchemaError(f"{self.file.path}: usr:unspoken is not a JSON object")
        packed = marked.get(column)
        return None if packed is None else unpack_bitmap(packed, self.rows)


def pack_bitmap(mask: npt.NDArray[np.bool_]) -> str:
    """Return a row mask as base64 of zlib of bits, least significant first (``format.md``).

    Examples
    --------
    >>> unpack_bitmap(pack_bitmap(np.array([True, False, True])), 3).tolist()
    [True, False, True]
    """
    bits = np.packbits(mask, bitorder="little").tobytes()
    return base64.b64encode(zlib.compress(bits, 6)).decode("ascii")


def unpack_bitmap(text: str, rows: int) -> npt.NDArray[np.bool_]:
    """Return the row mask written by :func:`pack_bitmap`."""
    try:
        size = (rows + 7) // 8
        raw = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size or 1)
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little", count=rows)
    except (ValueError, TypeError, zlib.error) as error:
        raise SchemaError(f"usr:unspoken is not a bitmap of {rows} rows: {error}") from None
    return bits.astype(np.bool_)


def part_info(view: View, file: OverlayFile) -> PartInfo:
    """Read the footer of an overlay file of a view; footers are kept while the file is the same.

    Raises
    ------
    SchemaError
        If the key or the time is missing, the key is not the first column, or the
        namespace in the footer is not that of the path. The error names the file.
    """
    held = view.held.get(file.path)
    stamp = _stamp_of(file.at) if held is None else _stamp(os.fstat(held.bytes.fileno()))
    if stamp is not None:
        known = _INFOS.get((str(file.at), stamp))
        if known is not None:
            return known
    with view.open(file) as opened:
        info = read_info(file, opened)
        # What lies there by now may be another file than the one that was read.
        is_same = stamp == _stamp(os.fstat(opened.bytes.fileno()))
    if stamp is not None and is_same:
        if len(_INFOS) > _MAX_INFOS:
            _INFOS.clear()
        _INFOS[str(file.at), stamp] = info
    return info


def _stamp_of(path: Path) -> tuple[int, int, int, int] | None:
    try:
        return _stamp(os.stat(path))  # noqa: PTH116 - in the path of every read
    except OSError:
        return None


def _stamp(st: os.stat_result) -> tuple[int, int, int, int]:
    return st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns


_MAX_INFOS: Final = 50_000
_INFOS: dict[tuple[str, tuple[int, int, int, int]], PartInfo] = {}


def read_info(file: OverlayFile, opened: Opened) -> PartInfo:
    """Read the footer of an open overlay file; see :func:`part_info`."""
    meta = file_metadata(opened)
    for needed in (META_KEY, META_CREATED_AT):
        if not meta.get(needed):
            raise SchemaError(
                f"{file.path} has no {needed.decode()} in its footer",
                hint="Every overlay file needs it; write the file again or move it away.",
            )
    key = meta[META_KEY].decode("utf-8", errors="replace")
    schema = check_names(opened.schema_arrow, file.path).remove_metadata()
    if key not in KEYS or key not in schema.names:
        raise SchemaError(
            f"{file.path}: usr:overlay_key is {key[:40]!r}",
            hint=f"It must be one of {', '.join(KEYS)} and a column of the file.",
        )
    if len(set(schema.names)) < len(schema.names):
        raise SchemaError(
            f"{file.path}: two columns have one name", hint="Write the file again, or move it away."
        )
    named = meta.get(META_NAMESPACE, file.namespace.encode()).decode("utf-8", errors="replace")
    if named != file.namespace:
        raise NamespaceError(f"{file.path} says it belongs to namespace {named[:60]!r}")
    at = parse(meta[META_CREATED_AT].decode("utf-8", errors="replace"), where=file.path)
    identity = tuple(opened.identity())
    return PartInfo(file, key, at, schema, opened.metadata.num_rows, meta, identity)


def parts_of(view: View, namespace: str) -> list[PartInfo]:
    """Return the parts of a namespace, oldest first (OVL-5).

    Raises
    ------
    SchemaError
        If two parts have different keys (OVL-3).
    """
    infos = sorted(
        (part_info(view, f) for f in view.overlays.get(namespace, ())), key=lambda p: p.order
    )
    for other in infos[1:]:
        if other.key != infos[0].key:
            raise SchemaError(
                f"Namespace '{namespace}' has two keys: {infos[0].file.path} by "
                f"'{infos[0].key}', {other.file.path} by '{other.key}'",
                hint="A namespace has one key: move one of the files away, or attach it again.",
            )
    return infos


def check_registered(infos: Iterable[PartInfo], registry: Registry) -> None:
    """Raise unless every column of every part is registered with its type (OVL-8)."""
    for info in infos:
        ns = info.file.namespace
        if ns == "usr":
            continue
        for name in info.columns:
            wanted = registry.column(ns, name).arrow_type
            found = info.schema.field(name).type
            if not stored_as(found, wanted):
                raise SchemaError(
                    f"{info.file.path}: column '{name}' is {type_text(found)}, "
                    f"registered as {type_text(wanted)}",
                    hint="Write the part again in the registered type.",
                )


def part_metadata(
    *,
    namespace: str,
    key: str,
    created_at: datetime,
    registry: Registry | None,
    operation_id: str,
    event: Mapping[str, Any] | None = None,
    unspoken: Mapping[str, npt.NDArray[np.bool_]] | None = None,
) -> dict[bytes, bytes]:
    """Return the footer keys of an overlay file (``docs/format.md``)."""
    meta = {
        META_NAMESPACE: namespace.encode(),
        META_KEY: key.encode(),
        META_CREATED_AT: to_text(created_at).encode(),
        META_OPERATION: operation_id.encode(),
    }
    if registry is not None:
        meta[META_REGISTRY] = registry.hash.encode()
        if namespace in registry:
            meta[META_CONTRACT] = registry.contract_hash(namespace).encode()
    if event is not None:
        text = json.dumps(event, ensure_ascii=True, separators=(",", ":"))
        meta[META_EVENT] = text.encode()
    marked = {c: pack_bitmap(m) for c, m in (unspoken or {}).items() if m.any()}
    if marked:
        meta[META_UNSPOKEN] = json.dumps(marked, separators=(",", ":")).encode()
    return meta


def part_file_name(created_at: datetime) -> str:
    """Return a fresh part name for that instant."""
    return f"part-{to_part_stamp(created_at)}-{uuid4().hex}.parquet"


def new_part_time(infos: Iterable[PartInfo]) -> datetime:
    """Return the time of a new part: after every part there is (OVL-5)."""
    return next_created_at(utc_now(), max((i.created_at for i in infos), default=None))


class Cells(Protocol):
    """The content of a part: a :class:`pyarrow.Table`, or what gives its rows in pieces."""

    schema: pa.Schema
    num_rows: int

    def to_batches(self) -> Iterable[pa.RecordBatch | pa.Table]:
        """Return the rows."""


def link_part(
    layout: Layout, namespace: str, cells: Cells, metadata: Mapping[bytes, bytes]
) -> tuple[str, str]:
    """Write a new part; linking it is the commit. Returns (path, sha256).

    The path is relative to the dataset. Takes no lock (RCV-3).
    """
    at = parse(metadata[META_CREATED_AT].decode())
    path = f"{overlay_folder(namespace)}/{part_file_name(at)}"
    check_parents(layout, path)
    with door.new_file(layout.dir / path, within=layout.dir) as sink:
        schema = with_metadata(cells.schema, dict(metadata))
        write_batches(sink, schema, cells.to_batches(), total=cells.num_rows)
    return path, sink.sha256
