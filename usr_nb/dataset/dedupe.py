"""Removing rows that repeat one another (contract MNT-1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.dataset.context import Change, Context, change
from usr_nb.dataset.dropping import drop_rows, values_lost
from usr_nb.errors import ValidationError, did_you_mean
from usr_nb.overlay.lookup import base_column, normal_keys
from usr_nb.overlay.merge import Merged

DedupeKey = Literal["id", "sequence", "sequence_norm", "sequence_ci"]
Keep = Literal["keep-first", "keep-last"]
DEDUPE_KEYS: Final[tuple[str, ...]] = get_args(DedupeKey)
KEEPS: Final[tuple[str, ...]] = get_args(Keep)
_SHOWN: Final = 3


@dataclass(frozen=True)
class DedupeResult:
    """What a dedupe did, or would do.

    Attributes
    ----------
    rows_before, rows_dropped : int
        Rows of the base, and how many of them go.
    groups : int
        Keys that stood in more than one row.
    examples : list of dict
        Up to three groups ``{"key", "kept", "dropped"}``: ids, the kept one first in base order.
    values_lost : dict of str to int
        Namespace → values attached by id (or exact sequence) to dropped rows, or materialized in
        them; they no longer show.
    dropped_ids : str or None
        Path of the list of dropped ids, relative to the dataset.
    snapshot : str or None
        Path of the automatic snapshot of the prior base.
    dry_run : bool
        Whether nothing was written.
    """

    rows_before: int
    rows_dropped: int
    groups: int
    examples: list[dict[str, Any]] = field(default_factory=list)
    values_lost: dict[str, int] = field(default_factory=dict)
    dropped_ids: str | None = None
    snapshot: str | None = None
    dry_run: bool = False


def dedupe(
    ctx: Context,
    *,
    key: DedupeKey,
    keep: Keep,
    dry_run: bool,
    approve: Callable[[DedupeResult], object] | None = None,
) -> DedupeResult:
    """Keep one row per key; see :meth:`Dataset.dedupe`."""
    for value, known, name in ((key, DEDUPE_KEYS, "key"), (keep, KEEPS, "keep")):
        if value not in known:
            raise ValidationError(
                f"{name} {str(value)[:40]!r} is not known",
                hint=did_you_mean(str(value), known) or f"Use one of {', '.join(known)}.",
            )
    if dry_run or approve is not None:
        with ctx.view() as view:
            merged = Merged(view, ctx.registry(), include_deleted=True)
            plan = _plan(merged, key, keep)[0]
        if dry_run or plan.rows_dropped == 0:
            return replace(plan, dry_run=dry_run)
        # Asked without the lock: whoever is asked may take an hour, and others go on meanwhile.
        if approve is not None:
            approve(plan)

    def build(c: Change) -> DedupeResult:
        merged = c.merged()
        plan, drop = _plan(merged, key, keep)
        if plan.rows_dropped == 0:
            return DedupeResult(plan.rows_before, 0, 0)
        return _write(c, merged, plan, drop, key=key, keep=keep)

    args = {"key": key, "keep": keep}
    return change(ctx, "dedupe", build, args=args)


def _write(
    c: Change,
    merged: Merged,
    plan: DedupeResult,
    drop: npt.NDArray[np.bool_],
    *,
    key: str,
    keep: str,
) -> DedupeResult:
    dropped = drop_rows(c, merged, drop, why="dedupe")
    c.record(
        "dedupe",
        metrics={"rows": plan.rows_before - plan.rows_dropped, "rows_dropped": plan.rows_dropped,
                 "groups": plan.groups, "values_lost": sum(plan.values_lost.values())},
        title=f"removed {plan.rows_dropped:,} duplicates",
        command=["usr", "maintenance", "dedupe", c.ctx.name, "--key", key, "--keep", keep, "--yes"],
        artifacts=dropped.artifacts,
    )  # fmt: skip
    return replace(plan, dropped_ids=dropped.dropped_ids, snapshot=dropped.snapshot, dry_run=False)


def _plan(merged: Merged, key: str, keep: str) -> tuple[DedupeResult, npt.NDArray[np.bool_]]:
    names = _group_names(merged, key)
    encoded = names.combine_chunks().dictionary_encode()
    codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
    n = len(codes)
    live = merged.live_mask()
    rank = np.arange(n) if keep == "keep-first" else -np.arange(n)
    if live is not None:
        # A row that people see is kept before one that is hidden.
        rank = rank + np.where(live, 0, 2 * n + 2)
    order = np.lexsort((rank, codes))
    first = np.ones(n, bool)
    first[1:] = codes[order][1:] != codes[order][:-1]
    drop = np.zeros(n, bool)
    drop[order[~first]] = True
    counts = np.bincount(codes, minlength=len(encoded.dictionary))
    groups = np.flatnonzero(counts > 1)
    ids = merged.base_keys("id")
    examples = []
    for g in groups[:_SHOWN]:
        rows = np.flatnonzero(codes == g)
        kept = rows[~drop[rows]]
        examples.append(
            {
                "key": encoded.dictionary[int(g)].as_py().partition("|")[2][:60],
                "kept": ids.take(pa.array(kept)).to_pylist()[0],
                "dropped": ids.take(pa.array(rows[drop[rows]])).to_pylist(),
            }
        )
    lost = values_lost(merged, drop) if drop.any() else {}
    result = DedupeResult(n, int(drop.sum()), len(groups), examples, lost, dry_run=True)
    return result, drop


def _group_names(merged: Merged, key: str) -> pa.ChunkedArray:
    """Return what rows are compared by; sequences of different bio types are never equal."""
    column = merged.base_keys(base_column(key))
    if key == "id":
        return pc.binary_join_element_wise("", column, "|")
    kinds = pa.Table.from_batches(
        merged.base_batches(["bio_type", "alphabet"]),
        schema=pa.schema([merged.base_schema.field(n) for n in ("bio_type", "alphabet")]),
    )
    if key == "sequence_ci":
        others = [a for a in pc.unique(kinds.column("alphabet")).to_pylist() if a != "dna_4"]
        if others:
            raise ValidationError(
                f"Key 'sequence_ci' needs every row to be dna_4; there is also {others[0]}",
                hint="Use key 'sequence'.",
            )
    return pc.binary_join_element_wise(kinds.column("bio_type"), normal_keys(column, key), "|")
