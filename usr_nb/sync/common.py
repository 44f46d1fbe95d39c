"""What two copies had in common when they last met, as the bytes that are kept of it.

``_txn/remotes/<name>/common.json`` and, beside it, copies of the small files that a three-way
comparison needs. They may be lost or damaged: then nothing counts as common.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from usr_nb.storage.layout import META
from usr_nb.sync.classes import STATE, TOMBSTONES, classify
from usr_nb.sync.model import Common, Direction, Entry

COMMON_FILE: Final = "common.json"
#: Files of which a copy is kept: path in the dataset to name beside ``common.json``.
COPIED: Final[Mapping[str, str]] = {
    META: "meta.md",
    TOMBSTONES: "usr.parquet",
    STATE: "usr_state.parquet",
}
_SHA = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)


def encode_common(
    common: Common, *, direction: Direction, operation_id: str | None, plan: str | None = None
) -> bytes:
    """Return the text of ``common.json``.

    Parameters
    ----------
    common : Common
        What both have in common now.
    direction : {"pull", "push"}
        How they met.
    operation_id : str or None
        The commit of that sync.
    plan : str, optional
        The token of the plan that was applied.

    Examples
    --------
    >>> common = Common("/data/x", "2026-01-02T03:04:05.000006Z", {"a": Entry("a", 3, None)})
    >>> decode_common(encode_common(common, direction="pull", operation_id=None), {}) == common
    True
    """
    files = {p: {"size": e.size, "sha256": e.sha256} for p, e in sorted(common.files.items())}
    plain = {
        "version": 1, "place": common.place, "at": common.at, "direction": direction,
        "operation_id": operation_id, "base_rows": common.base_rows, "files": files,
        **({"plan": plan} if plan else {}),
    }  # fmt: skip
    return json.dumps(plain, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def decode_common(data: bytes | None, copies: Mapping[str, bytes]) -> Common | None:
    """Read ``common.json``; None if there is none, or if anything about it is not as it should be.

    Parameters
    ----------
    data : bytes or None
        The text.
    copies : mapping of str to bytes
        Path in the dataset to the copy kept of it.
    """
    if data is None:
        return None
    try:
        plain = json.loads(data)
        files = {p: _entry(p, body) for p, body in plain["files"].items()}
        rows = plain.get("base_rows")
        if plain["version"] != 1 or not all(isinstance(plain[k], str) for k in ("place", "at")):
            return None
        if rows is not None and (type(rows) is not int or rows < 0):
            return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    kept = {p: b for p, b in copies.items() if p in files and _is_copy(files[p], b)}
    return Common(plain["place"], plain["at"], files, kept, rows)


def _is_copy(entry: Entry, data: bytes) -> bool:
    if entry.sha256 is None:
        return entry.size == len(data)
    return entry.sha256 == hashlib.sha256(data).hexdigest()


def _entry(path: str, body: Mapping[str, object]) -> Entry:
    size, sha256 = body["size"], body["sha256"]
    if classify(path) is None or type(size) is not int or size < 0:
        raise ValueError(path)
    if sha256 is not None and not (isinstance(sha256, str) and _SHA.match(sha256)):
        raise ValueError(path)
    return Entry(path, size, sha256)
