"""Overlay files: metadata, keys, types, registry stamps, orphans (OVL, REG-9)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.hashing import id_words, leading_bits
from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS
from usr_nb.contract.types import stored_as, type_text
from usr_nb.dataset.checks.finding import Finding, Scope, accepts_hash
from usr_nb.errors import SequencesError, some
from usr_nb.overlay.lookup import normal_keys
from usr_nb.overlay.parts import META_CONTRACT, META_REGISTRY, PartInfo, part_info
from usr_nb.storage.parallel import in_order
from usr_nb.storage.parquet import reading, sound

#: Row groups that are decoded together.
_GROUPS = 4


def check(scope: Scope) -> Iterator[Finding]:
    """Yield what is wrong with each overlay file, and with each namespace as a whole."""
    for ns, files in scope.view.overlays.items():
        infos = []
        for file in files:
            try:
                infos.append(part_info(scope.view, file))
            except SequencesError as error:
                yield Finding("error", "OVL-2", file.path, error.message, error.hint)
        keys = sorted({i.key for i in infos})
        if len(keys) > 1:
            yield Finding("error", "OVL-3", f"_derived/{ns}", f"several keys: {some(keys)}")
        if ns not in scope.registry and ns != TOMBSTONE_NS:
            yield Finding("warning", "VAL", f"_derived/{ns}", f"namespace '{ns}' is not registered",
                          f"Register it again, or move it away: usr maintenance overlay-remove "
                          f"--namespace {ns} --mode archive")  # fmt: skip
        for info in infos:
            yield from _one(scope, info)


def _one(scope: Scope, info: PartInfo) -> Iterator[Finding]:
    ns, path = info.file.namespace, info.file.path
    if ns != TOMBSTONE_NS and ns in scope.registry:
        yield from _columns(scope, info)
        yield from _stamp(scope, info)
    try:
        keys = _decoded(scope, info)
        for c in info.columns:
            info.unspoken(c)
    except SequencesError as error:
        yield Finding("error", "VAL", path, error.message, error.hint)
        return
    if keys.null_count:
        yield Finding("error", "ATT-3", path, f"{keys.null_count:,} keys are null")
    repeated = _repeated(keys)
    if repeated:
        yield Finding("error", "OVL-4", path, f"{repeated:,} keys are repeated")
    orphans = np.flatnonzero(scope.merged.key_rows(keys, info.key) < 0)
    if len(orphans) and not _dropped(scope, keys.take(pa.array(orphans)), info):
        yield Finding("warning", "VAL", path, f"{len(orphans):,} keys are not in the base")


def _decoded(scope: Scope, info: PartInfo) -> pa.ChunkedArray:
    """Decode every page of a part, so that every checksum is verified; return its keys."""
    with scope.view.open(info.file) as opened, reading(info.file.path):
        groups = range(0, opened.num_row_groups, _GROUPS)

        def read(first: int) -> pa.ChunkedArray:
            some_groups = list(range(first, min(first + _GROUPS, opened.num_row_groups)))
            table = opened.twin().read_row_groups(some_groups, use_threads=False)
            return table.column(info.key)

        chunks = [c for column in in_order(read, groups) for c in column.chunks]
        if sum(len(c) for c in chunks) != info.rows:
            raise pa.ArrowInvalid("fewer rows were found than the footer says")
        dtype = info.schema.field(info.key).type
        return normal_keys(sound(pa.chunked_array(chunks, dtype)), info.key)


def _repeated(keys: pa.ChunkedArray) -> int:
    """Return how many keys are there again."""
    words = [id_words(c) for c in keys.chunks]
    leading = [leading_bits(w) for w in words if w is not None]
    if len(leading) == len(words) > 0:
        ordered = np.sort(np.concatenate(leading))
        if not (ordered[1:] == ordered[:-1]).any():
            return 0
    return len(keys) - int(pc.count_distinct(keys, mode="all").as_py())


def _dropped(scope: Scope, keys: pa.ChunkedArray, info: PartInfo) -> bool:
    """Say whether the lists of dropped rows explain all of these orphans."""
    gone = scope.dropped if info.key == "id" else scope.dropped_sequences
    known = normal_keys(pa.chunked_array([gone]), info.key).combine_chunks()
    return bool(pc.all(pc.is_in(keys, value_set=known)).as_py())


def _columns(scope: Scope, info: PartInfo) -> Iterator[Finding]:
    ns, path = info.file.namespace, info.file.path
    for name in info.columns:
        column = scope.registry[ns].column(name)
        found = info.schema.field(name).type
        if column is None:
            yield Finding("error", "OVL-8", path, f"column '{name}' is not registered",
                          f"Add it: usr namespace register {ns} --overwrite")  # fmt: skip
        elif not stored_as(found, column.arrow_type):
            yield Finding("error", "OVL-8", path,
                          f"column '{name}' is {type_text(found)}, "
                          f"registered as {column.type}")  # fmt: skip


def _stamp(scope: Scope, info: PartInfo) -> Iterator[Finding]:
    ns = info.file.namespace
    full, contract = (
        v.decode("utf-8", errors="replace") if (v := info.metadata.get(k)) is not None else None
        for k in (META_REGISTRY, META_CONTRACT)
    )
    if full is None:
        yield Finding("error", "REG-9", info.file.path, "usr:registry_hash is missing")
        return
    if ns == STATE_NS and scope.mode == "current":
        return
    why = accepts_hash(scope, ns, full, contract)
    if why is not None:
        passes = "mode namespace-" in why
        yield Finding("warning" if passes else "error", "REG-9", info.file.path, why,
                      "The values are right: other namespaces were registered since. Say "
                      f"--registry-mode {why.split('mode ')[-1].split()[0]}, or compact it."
                      if passes else "Try --registry-mode frozen or either.")  # fmt: skip
